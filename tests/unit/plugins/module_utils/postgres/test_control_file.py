# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import os
import pathlib
import threading
import time

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    FileMissingError,
    FileOpenError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres import control_file

WHOLE = (pathlib.Path(__file__).parents[3] / "fixtures/postgres/15.pg_control.bin").read_bytes()
TORN = WHOLE[:100] + bytes(100) + WHOLE[200:]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "global" / "pg_control"
    path.parent.mkdir()
    path.write_bytes(WHOLE + b"x" * 7680)
    return path


@pytest.fixture
def rewritten(file):
    """Call it with contents: something goes on writing them in place, one after the other, while the test runs."""
    done = threading.Event()
    threads = []

    def rewrite(contents, pause):
        def run():
            for content in contents:
                if done.wait(pause):
                    return
                with open(file, "r+b") as stream:
                    stream.write(content)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield rewrite
    done.set()
    for thread in threads:
        thread.join(timeout=30)


def read(file, version=None):
    return control_file.read_control(str(file.parent.parent), version)


def test_only_what_the_server_writes_is_read(file):
    assert read(file) == WHOLE[:512]
    assert control_file.load_control(str(file.parent.parent)).version == "15"
    assert control_file.load_control(str(file.parent.parent), "15").version == "15"


def test_a_torn_file_is_read_again_until_it_is_whole(file, rewritten, monkeypatch):
    monkeypatch.setattr(control_file, "TORN_PAUSE", 0.3)
    file.write_bytes(TORN)
    rewritten([WHOLE], 0.1)
    assert read(file) == WHOLE[:512]


def test_a_broken_file_is_no_torn_one(file):
    file.write_bytes(TORN)
    begin = time.monotonic()
    with pytest.raises(ChecksumError):
        read(file)
    assert time.monotonic() - begin < 5


def test_a_file_that_is_never_whole_is_given_up(file, rewritten, monkeypatch):
    monkeypatch.setattr(control_file, "TORN_PAUSE", 0.005)
    file.write_bytes(TORN)
    rewritten((TORN[:-4] + number.to_bytes(4, "little") for number in itertools.count()), 0.001)
    with pytest.raises(ChecksumError):
        read(file)


@pytest.mark.parametrize("content", [b"", WHOLE[:511]])
def test_a_file_that_is_too_short(file, content):
    file.write_bytes(content)
    with pytest.raises(FormatError):
        read(file)


def test_no_file(file):
    file.unlink()
    with pytest.raises(FileMissingError, match="pg_control") as caught:
        read(file)
    assert "pg1-path" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(file):
    file.chmod(0)
    with pytest.raises(FileOpenError, match="pg_control"):
        read(file)


def test_a_directory_is_no_control_file(file):
    file.unlink()
    file.mkdir()
    with pytest.raises(FileOpenError, match="pg_control"):
        read(file)
