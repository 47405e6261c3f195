# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore finds out before it changes anything, on a made-up repository."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_plan import plan_restore
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    BackupSetInvalidError,
    DbMismatchError,
    EngineError,
    FileMissingError,
    FormatError,
    PathNotEmptyError,
    PgRunningError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    ArchiveInfo,
    PgHistory,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupInfo, entry_of
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import File
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import put

from .builders import STAMP
from .trip import LABEL, Trip, tree

HISTORY = (PgHistory(1, 1, "15", 1300, 202209061),)


class Bench:
    """A stanza with a backup that was made online on timeline 2, and a host to restore it to."""

    def __init__(self, path):
        self.path, self.there = path, path / "there"
        self.trip = Trip(path)
        self.trip.write("PG_VERSION", b"15\n")
        self.trip.write("base/5/PG_VERSION", b"15\n")
        self.manifest = self.trip.back_up()
        self.manifest.pg = HISTORY[0]
        self.manifest.options["option-online"] = True
        self.manifest.archive_start = self.manifest.archive_stop = "000000020000000000000005"
        self.manifest.lsn_start, self.manifest.lsn_stop = "0/5000028", "0/5000100"
        self.repo = self.trip.repo
        self.repo.save_archive_info(ArchiveInfo(HISTORY, 1))
        self.publish()

    def publish(self):
        self.repo.publish_manifest(self.manifest, None)
        info = BackupInfo(HISTORY, 1).with_backup(entry_of(self.manifest))
        self.repo.save_backup_info(info)
        return info

    def history(self, timeline, text):
        put(self.repo.storage, f"archive/main/15-1/{timeline:08X}.history", text.encode())

    def plan(self, *options):
        config = load([f"--config={self.path}/holdfast.conf", "--stanza=main", f"--pg1-path={self.there}", *options,
                       "restore"], {})  # fmt: skip
        return plan_restore(config, str(self.there))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def refused(bench, kind, *options):
    before = tree(bench.path)
    with pytest.raises(kind) as caught:
        bench.plan(*options)
    assert tree(bench.path) == before
    return caught.value


def test_a_plan_changes_nothing(bench):
    before = tree(bench.path)
    plan = bench.plan()
    assert (plan.manifest.label, plan.kind, plan.clean, plan.delta, plan.by_time) == (
        LABEL,
        "default",
        False,
        False,
        False,
    )
    assert plan.manifest.targets["pg_data"].path == str(bench.there)
    assert tree(bench.path) == before


# -- the destination


@pytest.mark.parametrize("options", [[], ["--delta"], ["--force"], ["--delta", "--force"]])
def test_a_server_that_runs_is_not_overwritten(bench, options):
    bench.there.mkdir()
    (bench.there / "PG_VERSION").touch()
    (bench.there / "postmaster.pid").touch()
    assert "postmaster.pid" in refused(bench, PgRunningError, *options).message


@pytest.mark.parametrize(
    ("options", "clean", "delta", "by_time"),
    [
        (["--delta"], True, True, False), (["--force"], True, False, False), (["--delta", "--force"], True, True, True),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mark", ["PG_VERSION", "backup.manifest"])
def test_delta_and_force_are_for_data_directories(bench, options, clean, delta, by_time, mark, caplog):
    bench.there.mkdir()
    (bench.there / "precious").touch()
    assert "--delta" in refused(bench, PathNotEmptyError, *options).hint
    assert any("PG_VERSION" in record.getMessage() for record in caplog.records)
    (bench.there / mark).touch()
    plan = bench.plan(*options)
    # What an interrupted restore left may have the right time and the wrong content.
    assert (plan.clean, plan.delta, plan.by_time) == (clean, delta, by_time and mark == "PG_VERSION")


def test_delta_into_a_directory_that_is_empty_is_an_ordinary_restore(bench):
    assert bench.plan("--delta").clean is False
    bench.there.mkdir()
    assert bench.plan("--delta").clean is False


@pytest.mark.parametrize(("kind", "settings_go"), [("default", False), ("preserve", True)])
def test_what_is_not_restored_is_not_in_the_plan_either(bench, kind, settings_go):
    bench.trip.write("tablespace_map", b"x")
    bench.trip.write("postgresql.auto.conf", b"x")
    now = bench.trip.back_up()
    for name in ("pg_data/tablespace_map", "pg_data/postgresql.auto.conf"):
        bench.manifest.add_file(now.known_file(name))
    bench.publish()
    plan = bench.plan(f"--type={kind}")
    names = {file.name for file in plan.manifest.files}
    assert "pg_data/tablespace_map" not in names
    assert ("pg_data/postgresql.auto.conf" not in names) == settings_go
    (bench.there / "PG_VERSION").parent.mkdir()
    for name in ("PG_VERSION", "tablespace_map", "postgresql.auto.conf"):
        (bench.there / name).touch()
    unwanted = bench.plan(f"--type={kind}", "--delta").destination.unwanted()
    assert unwanted == [f"{bench.there}/tablespace_map"]


# -- the set


@pytest.mark.parametrize("label", ["latest", "20200101-000000F"])
def test_a_set_that_is_not_there(bench, label):
    assert label in refused(bench, BackupSetInvalidError, f"--set={label}").message
    assert bench.plan(f"--set={LABEL}").manifest.label == LABEL


def test_an_unreadable_repository_is_passed_over_with_a_warning(bench, caplog):
    plan = bench.plan(f"--repo2-path={bench.path}/repo", f"--repo1-path={bench.path}/nothing")
    assert plan.repo.key == 2
    assert ["repo1" in record.getMessage() for record in caplog.records if record.levelname == "WARNING"][:1] == [True]
    refused(bench, FileMissingError, f"--repo1-path={bench.path}/nothing")


def test_a_manifest_of_another_backup_is_refused(bench):
    bench.manifest.label = "20250101-000000F"
    bench.manifest.reference = ["20250101-000000F"]
    bench.repo.publish_manifest(bench.manifest, None)
    (bench.trip.root / LABEL / "backup.manifest").write_bytes(
        (bench.trip.root / "20250101-000000F/backup.manifest").read_bytes()
    )
    assert "20250101-000000F" in refused(bench, FormatError).message


def test_a_manifest_with_a_file_without_a_checksum_is_refused(bench):
    bench.manifest.known_file("pg_data/PG_VERSION").checksum = None
    bench.repo.publish_manifest(bench.manifest, None)
    assert "PG_VERSION" in refused(bench, FormatError).message


def test_a_manifest_with_an_unsafe_name_is_refused(bench):
    bench.manifest.files.append(File("pg_data/../x", 0, STAMP))
    bench.repo.publish_manifest(bench.manifest, None)
    assert "../x" in refused(bench, FormatError).message


def test_the_copy_of_a_damaged_manifest_is_as_good(bench):
    (bench.trip.root / LABEL / "backup.manifest").write_bytes(b"nothing")
    assert bench.plan().manifest.label == LABEL


def test_a_backup_from_before_an_upgrade_has_to_be_asked_for(bench):
    history = (*HISTORY, PgHistory(2, 2, "16", 1300, 202307071))
    bench.repo.save_backup_info(replace(bench.publish(), history=history, current_id=2))
    bench.repo.save_archive_info(ArchiveInfo(history, 2))
    assert LABEL in refused(bench, BackupSetInvalidError).message
    assert bench.plan(f"--set={LABEL}").manifest.label == LABEL


# -- the type and the timeline


def test_an_offline_backup_needs_no_recovery_unless_it_is_asked_for(bench):
    bench.manifest.options["option-online"] = False
    bench.manifest.archive_start = bench.manifest.archive_stop = None
    bench.manifest.lsn_start = bench.manifest.lsn_stop = None
    bench.publish()
    bench.history(9, "8\t0/1\tx\n")
    assert bench.plan().kind == "none"
    assert bench.plan("--type=default").kind == "default"
    assert bench.plan("--type=standby").kind == "standby"


FORKED_AFTER = "1\t0/3000000\tx\n# a comment\n\n2\t0/6000000\tno recovery target specified\n"
FORKED_BEFORE = "1\t0/3000000\tx\n2\t0/5000028\tx\n"


@pytest.mark.parametrize("options", [[], ["--type=none"], ["--type=preserve"], ["--target-timeline=latest"]])
def test_a_newer_timeline_must_have_passed_through_the_backup(bench, options):
    bench.history(3, FORKED_AFTER)
    bench.plan(*options)
    bench.history(4, FORKED_BEFORE)
    error = refused(bench, DbMismatchError, *options)
    assert "timeline 4" in error.message and LABEL in error.message and error.hint
    bench.history(4, "1\t0/9000000\tx\n")
    assert "not in the history" in refused(bench, DbMismatchError, *options).message
    bench.history(4, "garbage\n")
    refused(bench, FormatError, *options)


@pytest.mark.parametrize(
    "options", [["--target-timeline=current"], ["--target-timeline=2"], ["--target-timeline=0x2"], ["--type=immediate"],
                ["--target-timeline=3"]],
)  # fmt: skip
def test_the_backups_own_timeline_is_fine_whatever_else_there_is(bench, options):
    bench.history(3, FORKED_AFTER)
    bench.history(4, FORKED_BEFORE)
    bench.plan(*options)


def test_older_timelines_do_not_count(bench):
    bench.history(1, "garbage")
    bench.history(2, "garbage")
    bench.plan()


def test_a_timeline_without_a_history_file(bench):
    error = refused(bench, FileMissingError, "--target-timeline=7")
    assert "00000007.history" in error.message
    refused(bench, DbMismatchError, "--target-timeline=newest")


def test_a_cluster_that_archive_info_does_not_know(bench):
    bench.repo.save_archive_info(ArchiveInfo((PgHistory(2, 2, "16"),), 2))
    refused(bench, EngineError)
