# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a WAL segment: in the foreground or not, held or streamed, it ends in the same bytes and the same errors."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import wal_segment
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.wal_segment import Segment
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    FileMissingError,
    FileReadError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import Chunk
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec

SIZE = 5 << 20  # not a whole number of what is read at once
CONTENT = os.urandom(1 << 20) * 4 + b"\0" * (SIZE - (4 << 20))


@pytest.fixture
def path(tmp_path) -> Path:
    made = tmp_path / "000000010000000000000001"
    made.write_bytes(CONTENT)
    return made


def plain(segment: Segment, compress_type: str) -> bytes:
    content = bytearray()
    for chunk in codec(compress_type).decompress(segment.stored()):
        content += chunk
    return bytes(content)


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("compress_type", ["none", "gz", "zst"])
def test_one_pass_makes_checksum_and_stored_form(path, monkeypatch, compress_type, held, background) -> None:
    monkeypatch.setattr(wal_segment, "IN_MEMORY", SIZE if held else SIZE - 1)
    segment = Segment(str(path), codec(compress_type, threads=2))
    if background:
        segment.begin()
    segment.finish()
    assert (segment.size, segment.header) == (SIZE, CONTENT[:512])
    assert segment.sha1 == hashlib.sha1(CONTENT).hexdigest()
    # Once for each repository.
    assert plain(segment, compress_type) == plain(segment, compress_type) == CONTENT


def test_what_fails_in_the_background_is_raised_in_the_foreground(path) -> None:
    segment = Segment(str(path), codec("zst"))
    path.unlink()
    segment.begin()
    with pytest.raises(FileMissingError):
        segment.finish()


@pytest.mark.parametrize("held", [True, False])
def test_a_file_that_shrinks_is_noticed(path, monkeypatch, held) -> None:
    monkeypatch.setattr(wal_segment, "IN_MEMORY", SIZE if held else SIZE - 1)
    segment = Segment(str(path), codec("zst"))
    os.truncate(path, SIZE // 2)
    with pytest.raises(ChecksumError, match="changed"):
        segment.finish()


def test_a_large_file_that_changes_between_the_passes_is_noticed_before_it_has_a_name(path, monkeypatch) -> None:
    monkeypatch.setattr(wal_segment, "IN_MEMORY", 0)
    segment = Segment(str(path), codec("none"))
    segment.finish()
    path.write_bytes(CONTENT[::-1])
    taken: list[Chunk] = []
    with pytest.raises(ChecksumError, match="changed"):
        taken.extend(segment.stored())


def test_what_is_no_file_is_told(tmp_path) -> None:
    with pytest.raises(FileMissingError, match="does not exist"):
        Segment(str(tmp_path / "nothing"), codec("none"))
    with pytest.raises(FileReadError, match="cannot"):
        Segment("/proc/self/mem", codec("none"))
