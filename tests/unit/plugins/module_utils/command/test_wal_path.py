# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's %p, and where fetched files go."""

from __future__ import annotations

import os
import threading

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.wal_get import write_destination
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.wal_path import absolute_wal_path
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    FileWriteError,
    OptionInvalidValueError,
    OptionRequiredError,
)


def test_a_relative_name_means_the_data_directory(tmp_path, monkeypatch) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(tmp_path / "link")
    assert absolute_wal_path("pg_wal/x", str(data)) == f"{data}/pg_wal/x"
    assert absolute_wal_path("/else/x", str(data)) == "/else/x"
    assert absolute_wal_path("/else/x", None) == "/else/x"
    with pytest.raises(OptionRequiredError):
        absolute_wal_path("pg_wal/x", None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionInvalidValueError):
        absolute_wal_path("pg_wal/x", str(data))
    with pytest.raises(OptionInvalidValueError):
        absolute_wal_path("pg_wal/x", str(tmp_path / "nowhere"))


def test_a_destination_is_replaced_as_a_whole(tmp_path) -> None:
    destination = tmp_path / "RECOVERYXLOG"
    destination.write_bytes(b"old")
    write_destination(str(destination), [b"one ", memoryview(b"two")])
    assert destination.read_bytes() == b"one two"
    assert os.listdir(tmp_path) == ["RECOVERYXLOG"]


def test_a_source_that_fails_leaves_the_destination_as_it_was(tmp_path) -> None:
    def chunks():
        yield b"half"
        raise ChecksumError("damaged")

    destination = tmp_path / "RECOVERYXLOG"
    destination.write_bytes(b"old")
    with pytest.raises(ChecksumError):
        write_destination(str(destination), chunks())
    assert destination.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["RECOVERYXLOG"]


def test_a_destination_without_a_directory(tmp_path) -> None:
    with pytest.raises(FileWriteError, match="nowhere"):
        write_destination(str(tmp_path / "nowhere" / "x"), [b"x"])


def test_a_pipe_is_written_to(tmp_path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write_destination(str(pipe), [b"x" * 100000])
    reader.join(10)
    assert found == [b"x" * 100000]
