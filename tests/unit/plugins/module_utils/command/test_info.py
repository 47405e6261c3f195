# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""info as pgBackRest prints it: the JSON and the text of repositories that it was seen to print."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import info_facts
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.info_facts import (
    LockView,
    RepoView,
    progress_facts,
    snake_case,
    stanza_facts,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.info_text import (
    render_text,
    render_time,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupEntry
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import Manifest, Target

SYSTEM_ID = 7710939714520404989
PG14 = PgHistory(1, SYSTEM_ID - 1, "14", 1300, 202107181)
PG15 = PgHistory(1, SYSTEM_ID, "15", 1300, 202209061)
FULL, DIFF = "20261122-103239F", "20261122-103239F_20261122-103242D"
INCR = "20261122-103239F_20261122-103244I"
NO_LOCK = [LockView(1, False), LockView(2, False)]


def wal(number: int) -> str:
    return f"{1:08X}{0:08X}{number:08X}"


def full(**changes: object) -> BackupEntry:
    entry = BackupEntry(
        FULL, "full", 1795343559, 1795343561, 30939542, 30939542, 4739774, 4739774, 1,
        archive_start=wal(0x11), archive_stop=wal(0x11), lsn_start="0/1100028", lsn_stop="0/1100408",
        writer="2.60.0dev",
    )  # fmt: skip
    return replace(entry, **changes)


def incr() -> BackupEntry:
    return BackupEntry(
        INCR, "incr", 1795343564, 1795343565, 30939542, 8487, 4739774, 485, 1, prior=DIFF, reference=(FULL, DIFF),
        archive_start=wal(0x14), archive_stop=wal(0x15), lsn_start="0/1400028", lsn_stop="0/1500050",
        annotation={"who": "me", "note": "long text"},
    )  # fmt: skip


def view(*entries: BackupEntry, **changes: object) -> RepoView:
    repo = RepoView(1, "none", history=(PG15,), current=1, backups={entry.label: entry for entry in entries},
                    wal={1: (wal(0x8), wal(0x1B))})  # fmt: skip
    return replace(repo, **changes)


def without_backup(key: int, last: int = 0x1A) -> RepoView:
    code = info_facts.NO_BACKUP
    return view(key=key, code=code, message=info_facts.MESSAGES[code], wal={1: (wal(0x8), wal(last))})


@pytest.fixture
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


JSON = (
    '[{"archive":[{"database":{"id":1,"repo-key":1},"id":"15-1","max":"00000001000000000000001B",'
    '"min":"000000010000000000000008"},{"database":{"id":1,"repo-key":2},"id":"15-1",'
    '"max":"00000001000000000000001A","min":"000000010000000000000008"}],"backup":[{"annotation":{"note":"long text",'
    '"who":"me"},"archive":{"start":"000000010000000000000011","stop":"000000010000000000000011"},"backrest":{"format":5,'
    '"version":"2.60.0dev"},"database":{"id":1,"repo-key":1},"error":false,"info":{"delta":30939542,'
    '"repository":{"delta":4739774,"size":4739774},"size":30939542},"label":"20261122-103239F","lsn":{"start":"0/1100028",'
    '"stop":"0/1100408"},"prior":null,"reference":null,"timestamp":{"start":1795343559,"stop":1795343561},"type":"full"}],'
    '"cipher":"none","db":[{"id":1,"repo-key":1,"system-id":7710939714520404989,"version":"15"},{"id":1,"repo-key":2,'
    '"system-id":7710939714520404989,"version":"15"}],"name":"demo","repo":[{"cipher":"none","key":1,"status":{"code":0,'
    '"message":"ok"}},{"cipher":"none","key":2,"status":{"code":2,"message":"no valid backups"}}],"status":{"code":4,'
    '"lock":{"backup":{"held":true,"repo":[{"key":1,"size":3159000,"size-cplt":1435765}],"size":3159000,'
    '"size-cplt":1435765},"restore":{"held":false}},"message":"different across repos"}}]'
)


def test_the_json_is_what_was_observed() -> None:
    repos = [view(full(annotation={"who": "me", "note": "long text"})), without_backup(2)]
    facts = stanza_facts("demo", repos, [LockView(1, True, 3159000, 1435765), LockView(2, False)], NO_LOCK)
    assert json.dumps([facts], separators=(",", ":"), sort_keys=True) == JSON


TEXT = """\
stanza: demo
    status: ok
    cipher: none

    db (prior)
        wal archive min/max (14): 000000010000000000000001/000000010000000000000008

        full backup: 20260101-000000F
            timestamp start/stop: 2026-01-01 00:00:00+00 / 2026-01-01 00:00:10+00
            wal start/stop: n/a
            database size: 29.5MB, database backup size: 29.5MB
            repo1: backup set size: 4.5MB, backup size: 4.5MB

    db (current)
        wal archive min/max (15): 000000010000000000000008/00000001000000000000001B

        full backup: 20261122-103239F
            timestamp start/stop: 2026-11-22 10:32:39+00 / 2026-11-22 10:32:41+00
            wal start/stop: 000000010000000000000011 / 000000010000000000000011
            database size: 29.5MB, database backup size: 29.5MB
            repo1: backup set size: 4.5MB, backup size: 4.5MB

        incr backup: 20261122-103239F_20261122-103244I
            timestamp start/stop: 2026-11-22 10:32:44+00 / 2026-11-22 10:32:45+00
            wal start/stop: 000000010000000000000014 / 000000010000000000000015
            database size: 29.5MB, database backup size: 8.3KB
            repo1: backup set size: 4.5MB, backup size: 485B
            backup reference total: 1 full, 1 diff
"""


def test_the_text_is_what_was_observed(utc) -> None:
    current = replace(PG15, id=2)
    old = full(label="20260101-000000F", timestamp_start=1767225600, timestamp_stop=1767225610, archive_start=None,
               archive_stop=None, lsn_start=None, lsn_stop=None)  # fmt: skip
    backups = [old, replace(full(), pg_id=2), replace(incr(), pg_id=2)]
    repo = view(*backups, history=(PG14, current), current=2, wal={1: (wal(1), wal(8)), 2: (wal(8), wal(0x1B))})
    assert render_text([stanza_facts("demo", [repo], NO_LOCK, NO_LOCK)]) == TEXT


DETAIL = """\
stanza: demo
    status: ok
    cipher: none

    db (current)
        wal archive min/max (15): 000000010000000000000008/00000001000000000000001B

        incr backup: 20261122-103239F_20261122-103244I
            timestamp start/stop: 2026-11-22 10:32:44+00 / 2026-11-22 10:32:45+00
            wal start/stop: 000000010000000000000014 / 000000010000000000000015
            lsn start/stop: 0/1400028 / 0/1500050
            database size: 29.5MB, database backup size: 8.3KB
            repo1: backup set size: 4.5MB, backup size: 485B
            backup reference list: 20261122-103239F, 20261122-103239F_20261122-103242D
            database list: app (16394), postgres (5)
            symlinks:
                pg_hba.conf => ../config/pg_hba.conf
            tablespaces:
                ts1 (16393) => /data/ts1
            annotation(s)
                note: long text
                who: me
"""


def test_one_backup_is_shown_in_detail(utc) -> None:
    manifest = Manifest(label=INCR, type="incr", timestamp_start=0, pg=PG15)
    manifest.databases = {"template0": (4, 4), "template1": (1, 4), "postgres": (5, 4), "app": (16394, 4)}
    manifest.targets = {
        "pg_data": Target("pg_data", "path", "/data", None, None, None),
        "pg_data/pg_hba.conf": Target("pg_data/pg_hba.conf", "link", "../config", "pg_hba.conf", None, None),
        "pg_tblspc/16393": Target("pg_tblspc/16393", "link", "/data/ts1", None, "16393", "ts1"),
    }
    facts = stanza_facts("demo", [view(full(), incr(), manifest=manifest)], NO_LOCK, NO_LOCK, label=INCR)
    assert render_text([facts], INCR) == DETAIL


def test_without_stanzas_there_is_one_line() -> None:
    assert render_text([]) == "No stanzas exist in the repository.\n"


@pytest.mark.parametrize(
    ("backup", "restore", "repo", "status"),
    [
        (LockView(1, True), LockView(1, False), view(full()), "ok (backup/expire running)"),
        (LockView(1, True, 400, 100), LockView(1, True, 10, 5), view(full()),
         "ok (backup/expire running - 25.00% complete, restore running - 50.00% complete)"),
        (LockView(1, True, 3159000, 1435765), LockView(1, False), without_backup(1),
         "error (no valid backups, backup/expire running - 45.45% complete)"),
        (LockView(1, True, 0, 0), LockView(1, False), view(full()), "ok (backup/expire running - 0.00% complete)"),
    ],
)  # fmt: skip
def test_what_runs_is_part_of_the_status(backup: LockView, restore: LockView, repo: RepoView, status: str) -> None:
    text = render_text([stanza_facts("demo", [repo], [backup], [restore])])
    assert text.splitlines()[1] == f"    status: {status}"


def test_progress_of_several_backups_is_told_by_repository() -> None:
    facts = progress_facts("demo", [LockView(1, True, 100, 10), LockView(2, True, 300, 30)], NO_LOCK)
    assert render_text([facts]) == (
        "stanza: demo\n"
        "    status: ok (backup/expire running - 10.00% complete)\n"
        "        repo1 backup: 10.00% complete\n"
        "        repo2 backup: 10.00% complete\n"
    )


def test_repositories_that_differ_are_told_apart() -> None:
    text = render_text([stanza_facts("demo", [view(full()), without_backup(2)], NO_LOCK, NO_LOCK)])
    assert text.startswith(
        "stanza: demo\n"
        "    status: mixed\n"
        "        repo1: ok\n"
        "        repo2: error (no valid backups)\n"
        "    cipher: none\n"
    )


def broken(key: int) -> RepoView:
    return RepoView(key, "none", info_facts.OTHER, "[FormatError] first\nsecond")


def test_the_reason_of_a_failure_is_indented() -> None:
    text = render_text([stanza_facts("demo", [broken(1)], NO_LOCK, NO_LOCK)])
    assert text == (
        "stanza: demo\n"
        "    status: error (other)\n"
        "            [FormatError] first\n"
        "            second\n"
        "    cipher: none\n"
    )
    text = render_text([stanza_facts("demo", [view(full()), broken(2)], NO_LOCK, NO_LOCK)])
    assert "        repo2: error (other)\n               [FormatError] first\n               second\n" in text


def test_a_missing_stanza_has_no_cipher_line() -> None:
    code = info_facts.NO_PATH
    repo = RepoView(1, "none", code, info_facts.MESSAGES[code])
    facts = stanza_facts("demo", [repo], NO_LOCK, NO_LOCK)
    assert render_text([facts]) == "stanza: demo\n    status: error (missing stanza path)\n"
    assert (facts["archive"], facts["backup"], facts["db"]) == ([], [], [])


def test_repositories_of_different_clusters_are_a_mismatch() -> None:
    other = view(key=2, history=(replace(PG15, system_id=1),))
    status = stanza_facts("demo", [view(full()), other], NO_LOCK, NO_LOCK)["status"]
    assert (status["code"], status["message"]) == (5, "database mismatch across repos")


def test_an_unknown_label_is_not_found_in_any_repository() -> None:
    facts = stanza_facts("demo", [view(full()), without_backup(2)], NO_LOCK, NO_LOCK, label="20260101-000000F")
    assert [repo["status"]["code"] for repo in facts["repo"]] == [info_facts.NOT_FOUND, info_facts.NO_BACKUP]
    assert facts["backup"] == []


def test_a_type_filters_the_backups() -> None:
    facts = stanza_facts("demo", [view(full(), incr())], NO_LOCK, NO_LOCK, kind="incr")
    assert [backup["label"] for backup in facts["backup"]] == [INCR]


def test_block_incremental_backups_have_no_set_size(utc) -> None:
    facts = stanza_facts("demo", [view(full(repo_size_map=7, repo_size_map_delta=6))], NO_LOCK, NO_LOCK)
    assert facts["backup"][0]["info"]["repository"] == {"delta": 4739774, "delta-map": 6, "size-map": 7}
    assert "            repo1: backup size: 4.5MB\n" in render_text([facts])


def test_backups_of_all_repositories_are_in_the_order_of_their_ends() -> None:
    later, sooner = view(full()), view(incr(), key=2)
    later = view(replace(full(), timestamp_stop=incr().timestamp_stop + 1))
    facts = stanza_facts("demo", [later, sooner], NO_LOCK, NO_LOCK)
    assert [backup["database"]["repo-key"] for backup in facts["backup"]] == [2, 1]


def test_facts_have_no_dashes_in_keys_but_in_those_of_annotations() -> None:
    value = {"repo-key": 1, "annotation": {"my-key": "x"}, "list": [{"size-cplt": 2}]}
    assert snake_case(value) == {"repo_key": 1, "annotation": {"my-key": "x"}, "list": [{"size_cplt": 2}]}


@pytest.mark.parametrize(
    ("zone", "text"),
    [("UTC", "+00"), ("Asia/Kolkata", "+05:30"), ("America/St_Johns", "-03:30"), ("Asia/Tokyo", "+09")],
)
def test_times_are_local_with_their_offset(zone: str, text: str, monkeypatch) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert render_time(1795343559).endswith(text)
    finally:
        monkeypatch.undo()
        time.tzset()
