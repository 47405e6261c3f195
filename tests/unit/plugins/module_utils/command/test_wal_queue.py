# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.wal_queue import Queue, in_order
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import PathOpenError

FIRST, SECOND = "00000001000000000000000A", "00000001000000000000000B"


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    (tmp_path / "archive_status").mkdir()
    return tmp_path


def mark(wal: Path, *names: str) -> None:
    for name in names:
        (wal / "archive_status" / name).touch()


def test_only_ready_files_count(wal: Path) -> None:
    mark(wal, f"{FIRST}.ready", f"{SECOND}.done", "00000002.history.ready", "x")
    queue = Queue(str(wal))
    assert queue.read() == {FIRST, "00000002.history"}
    assert queue.has(FIRST) and not queue.has(SECOND)


def test_a_change_is_seen_although_the_clock_of_the_file_system_stood_still(wal: Path) -> None:
    queue = Queue(str(wal))
    status = wal / "archive_status"
    queue.read()
    before = status.stat().st_mtime_ns
    mark(wal, f"{FIRST}.ready")
    os.utime(status, ns=(before, before))
    assert queue.read_changes() == {FIRST}


def test_what_has_not_changed_is_not_read_again(wal: Path) -> None:
    status = wal / "archive_status"
    mark(wal, f"{FIRST}.ready")
    os.utime(status, (1, 1))
    queue = Queue(str(wal))
    queue.read()
    assert queue.read_changes() is None
    mark(wal, f"{SECOND}.ready")
    assert queue.read_changes() == {FIRST, SECOND}


def test_a_directory_that_is_gone_is_told(wal: Path) -> None:
    queue = Queue(str(wal))
    queue.read()
    (wal / "archive_status").rmdir()
    with pytest.raises(PathOpenError, match="archive_status"):
        queue.read_changes()


def test_the_size_is_that_of_the_first_file_that_is_there(wal: Path) -> None:
    mark(wal, f"{FIRST}.ready", f"{SECOND}.ready")
    (wal / SECOND).write_bytes(b"x" * 10)
    queue = Queue(str(wal))
    assert queue.size == 0
    queue.read()
    assert queue.size == 20
    (wal / FIRST).write_bytes(b"x" * 100)
    assert queue.size == 200


def test_histories_come_first() -> None:
    names = frozenset({"00000003.history", SECOND, f"{FIRST}.partial", FIRST, f"{FIRST}.00000028.backup"})
    assert in_order(names) == ["00000003.history", FIRST, f"{FIRST}.00000028.backup", f"{FIRST}.partial", SECOND]
