# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report as people and programs get it."""

from __future__ import annotations

import json
import logging
from collections import Counter

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify_report import (
    IN_PROGRESS,
    INVALID,
    NO_MANIFEST,
    ROOM,
    ArchiveResult,
    BackupResult,
    Report,
    render_text,
)

FULL, LATER, NEWEST, LOST = "20260101-010000F", "20260102-010000F", "20260103-010000F", "20251231-010000F"
WAL = ("000000010000000000000001", "000000010000000000000004")


def report(**values):
    return Report(
        "main",
        1,
        archives=[
            ArchiveResult("15-1", 4, 0, (), [WAL], 1 << 24),
            ArchiveResult("16-2", 7, 2, (WAL[0],), [], 1 << 24, Counter(checksum=1)),
        ],
        backups=[
            BackupResult(LOST, NO_MANIFEST),
            BackupResult(FULL, checked=9, missing_wal=[WAL, (WAL[1], WAL[1])]),
            BackupResult(LATER, INVALID, 9, Counter(missing=2, other=1)),
            BackupResult(NEWEST, IN_PROGRESS),
        ],
        **values,
    )


def test_text_tells_what_something_is_wrong_with():
    assert render_text(report(error_total=5), verbose=False) == f"""\
stanza: main
status: error
  archiveId: 16-2, total WAL checked: 7, total valid WAL: 4
    checksum invalid: 1
  backup: {LOST}, status: manifest missing, total files checked: 0, total valid files: 0
  backup: {LATER}, status: invalid, total files checked: 9, total valid files: 6
    missing: 2, other: 1
  missing WAL of backup: {FULL}
    {WAL[0]} to {WAL[1]}
    {WAL[1]}
"""


def test_verbose_text_tells_everything():
    assert render_text(report(), verbose=True) == f"""\
stanza: main
status: ok
  archiveId: 15-1, total WAL checked: 4, total valid WAL: 4
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  archiveId: 16-2, total WAL checked: 7, total valid WAL: 4
    missing: 0, checksum invalid: 1, size invalid: 0, other: 0
  backup: {LOST}, status: manifest missing, total files checked: 0, total valid files: 0
  backup: {FULL}, status: valid, total files checked: 9, total valid files: 9
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: {LATER}, status: invalid, total files checked: 9, total valid files: 6
    missing: 2, checksum invalid: 0, size invalid: 0, other: 1
  backup: {NEWEST}, status: in-progress, total files checked: 0, total valid files: 0
  missing WAL of backup: {FULL}
    {WAL[0]} to {WAL[1]}
    {WAL[1]}
"""


def test_text_of_a_repository_without_anything():
    empty = "stanza: main\nstatus: ok\n  archiveId: none found\n  backup: none found\n"
    assert render_text(Report("main", 1), verbose=True) == empty
    refused = Report("main", 1, lines=["one", "two"], error_total=2)
    for verbose in (False, True):
        assert render_text(refused, verbose) == "stanza: main\nstatus: error\n  one\n  two\n"


def test_facts_can_be_json_and_sum_up():
    facts = json.loads(json.dumps(report(bytes=5, duration=0.12345, lost=[LOST]).facts()))
    assert facts["totals"] == {
        "errors": 0, "wal": 11, "wal_valid": 8, "files": 18, "files_valid": 15, "bytes": 5, "duration": 0.123,
    }  # fmt: skip
    assert facts["backups"][2] == {
        "label": LATER, "status": "invalid", "checked": 9, "valid": 6, "missing": 2, "checksum_invalid": 0,
        "size_invalid": 0, "other": 1, "missing_wal": [],
    }  # fmt: skip
    assert facts["backups"][1]["missing_wal"] == [list(WAL), [WAL[1], WAL[1]]]
    assert facts["archives"][1] == {
        "archive_id": "16-2", "checked": 7, "valid": 4, "missing": 0, "checksum_invalid": 1, "size_invalid": 0,
        "other": 0, "duplicates": [WAL[0]], "ranges": [], "segment_size": 1 << 24,
    }  # fmt: skip


def test_errors_are_counted_when_there_is_no_room_left_for_them(caplog):
    found = Report("main", 1)
    with caplog.at_level(logging.INFO, "holdfast"):
        for number in range(ROOM + 5):
            found.add_error("missing", f"{number}", 2, source="x")
            found.tell(logging.ERROR, f"{number}", 55)
    assert (len(found.errors), found.error_total) == (ROOM, 2 * (ROOM + 5))
    assert found.errors[0] == {"kind": "missing", "message": "0", "source": "x"}
    assert [record.code for record in caplog.records if record.levelno == logging.ERROR] == [55] * ROOM
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
