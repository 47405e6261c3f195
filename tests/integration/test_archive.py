# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-push and archive-get: what they say when something is wrong decides what PostgreSQL does next."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster, ServerFailedError
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast

NOT_THERE = "0000000100000000000000FF"


@pytest.fixture(scope="module")
def stopped(module_workshop) -> tuple[Cluster, Path]:
    """A cluster at rest, and the path of a segment that it wrote."""
    cluster = module_workshop.cluster(settings={"archive_mode": "on", "archive_command": "true"}).start()
    cluster.sql("create table t as select n, md5(n::text) from generate_series(1, 20000) n")
    segment = cluster.switch_wal()
    kept = account.make_directory(module_workshop.path("wal"))
    account.write_file(kept / segment, (cluster.data / "pg_wal" / segment).read_bytes())
    cluster.stop()
    return cluster, kept / segment


@pytest.fixture
def archive(stopped, workshop) -> Holdfast:
    """A program with two repositories that have the stanza."""
    program = workshop.holdfast(stopped[0], repo2_path=account.make_directory(workshop.path("repo"), 0o750))
    program.run("stanza-create", online=False)
    return program


def stored(program: Holdfast, segment: Path, key: int = 1) -> list[Path]:
    path = Path(str(program.options[f"repo{key}_path"])) / "archive/main/15-1" / segment.name[:16]
    return sorted(path.glob(f"{segment.name}-*")) if path.exists() else []


def changed(workshop, segment: Path) -> Path:
    """A segment of the same name with other content."""
    copy = account.make_directory(workshop.path("d")) / segment.name
    account.write_file(copy, segment.read_bytes())
    damage.flip_bit(copy, -1)
    return copy


# -- push


def test_a_segment_goes_to_every_repository(archive, stopped) -> None:
    segment = stopped[1]
    archive.run("archive-push", segment)
    sha1 = hashlib.sha1(segment.read_bytes()).hexdigest()
    for key in (1, 2):
        (path,) = stored(archive, segment, key)
        assert path.name == f"{segment.name}-{sha1}.zst"
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.parent.stat().st_mode & 0o777 == 0o750


def test_a_repository_that_fails_does_not_keep_it_from_the_other(archive, stopped) -> None:
    segment = stopped[1]
    info = archive.repository / "archive/main/archive.info"
    shutil.move(info, f"{info}.away")
    shutil.move(f"{info}.copy", f"{info}.copy.away")
    failed = archive.attempt("archive-push", segment)
    assert failed.status == 104
    assert "repo1: [FileMissingError]" in failed.error
    assert stored(archive, segment, 1) == [] and len(stored(archive, segment, 2)) == 1
    shutil.move(f"{info}.away", info)
    shutil.move(f"{info}.copy.away", f"{info}.copy")
    again = archive.run("archive-push", segment)
    assert "repo2: WAL file" in again.error and "repo1" not in again.error
    assert len(stored(archive, segment, 1)) == 1


def test_without_any_repository_nothing_can_be_said(archive, stopped) -> None:
    for key in (1, 2):
        shutil.rmtree(Path(str(archive.options[f"repo{key}_path"])) / "archive")
    failed = archive.attempt("archive-push", stopped[1])
    assert failed.status == 103
    assert "repo1: [FileMissingError]" in failed.error and "repo2: [FileMissingError]" in failed.error


def test_other_content_is_never_written_anywhere(archive, stopped, workshop) -> None:
    segment = stopped[1]
    archive.run("archive-push", segment)
    stored(archive, segment, 2)[0].unlink()
    failed = archive.attempt("archive-push", changed(workshop, segment))
    assert failed.status == 45
    assert stored(archive, segment, 2) == []


def test_the_same_segment_twice_is_reported(archive, stopped) -> None:
    segment = stopped[1]
    archive.run("archive-push", segment)
    (path,) = stored(archive, segment)
    shutil.copy(path, path.with_suffix(".gz"))
    failed = archive.attempt("archive-push", segment)
    assert failed.status == 104
    assert "[ArchiveDuplicateError]" in failed.error


def test_it_is_present_without_a_warning_when_several_hosts_archive(archive, stopped) -> None:
    archive.run("archive-push", stopped[1])
    assert archive.run("archive-push", stopped[1], archive_mode_check=False).error == ""


def test_wal_of_another_cluster_is_refused(archive, stopped, workshop) -> None:
    segment = stopped[1]
    other = workshop.holdfast(workshop.cluster(), repo1_path=archive.repository)
    failed = other.attempt("archive-push", segment)
    assert failed.status == 103 and "[ArchiveMismatchError]" in failed.error
    foreign = account.make_directory(workshop.path("d")) / segment.name
    data = bytearray(segment.read_bytes())
    data[24] ^= 1  # system identifier
    account.write_file(foreign, bytes(data))
    assert archive.attempt("archive-push", foreign).status == 44
    data[0] ^= 1  # magic
    account.write_file(foreign, bytes(data))
    assert archive.attempt("archive-push", foreign).status == 46
    archive.run("archive-push", foreign, archive_header_check=False)


def test_half_a_segment_is_refused(archive, stopped, workshop) -> None:
    copy = account.make_directory(workshop.path("d")) / stopped[1].name
    account.write_file(copy, stopped[1].read_bytes()[: 8 << 20])
    failed = archive.attempt("archive-push", copy)
    assert failed.status == 29
    assert stored(archive, copy) == []


def test_large_segments_are_not_held_in_memory(workshop) -> None:
    cluster = workshop.cluster(wal_segment_mb=128).start()
    cluster.sql("create table t as select n from generate_series(1, 20000) n")
    segment = cluster.data / "pg_wal" / cluster.switch_wal()
    program = workshop.holdfast(cluster)
    program.stanza_create()
    program.run("archive-push", segment)
    (path,) = stored(program, segment)
    assert path.name == f"{segment.name}-{hashlib.sha1(segment.read_bytes()).hexdigest()}.zst"
    target = workshop.path("t")
    program.run("archive-get", segment.name, target)
    assert target.read_bytes() == segment.read_bytes()


def test_a_stop_file_forbids_pushing_but_not_getting(archive, stopped, workshop) -> None:
    segment = stopped[1]
    archive.run("archive-push", segment)
    account.write_file(archive.base / "lock" / "main.stop", "")
    assert archive.attempt("archive-push", segment).status == 62
    archive.run("archive-get", segment.name, workshop.path("t"))


def test_parameters_and_paths(archive, stopped, workshop) -> None:
    segment = stopped[1]
    assert archive.attempt("archive-push").status == 43
    assert archive.attempt("archive-get", segment.name).status == 43
    assert archive.attempt("archive-get", segment.name, "a", "b").status == 96
    failed = archive.attempt("archive-push", f"pg_wal/{segment.name}")  # the tests run programs in /
    assert failed.status == 32
    assert archive.attempt("archive-push", "/nowhere/000000010000000000000001").status == 55


def test_a_queue_that_is_too_long_is_dropped(archive, stopped, workshop) -> None:
    segment = stopped[1]
    wal = account.make_directory(workshop.path("pg_wal"))
    account.write_file(wal / segment.name, segment.read_bytes())
    status = account.make_directory(wal / "archive_status")
    for name in (segment.name, f"{segment.name[:-1]}F"):
        account.write_file(status / f"{name}.ready", "")
    dropped = archive.run("archive-push", wal / segment.name, archive_push_queue_max="31MiB")
    assert "dropped WAL file" in dropped.error
    assert stored(archive, segment) == []
    archive.run("archive-push", wal / segment.name, archive_push_queue_max="32MiB")
    assert len(stored(archive, segment)) == 1


def test_a_dry_run_writes_nothing(archive, stopped) -> None:
    archive.run("archive-push", stopped[1], dry_run=True)
    assert stored(archive, stopped[1]) == []


def test_a_history_file_with_other_content_is_replaced_with_a_warning(archive, workshop) -> None:
    source = account.make_directory(workshop.path("d")) / "00000002.history"
    account.write_file(source, "1\t0/1000000\tbefore\n")
    assert archive.run("archive-push", source).error == ""
    assert archive.run("archive-push", source).error == ""
    account.write_file(source, "1\t0/2000000\tbefore\n")
    assert archive.run("archive-push", source).error.count("replaces one with other content") == 2


@pytest.mark.parametrize("point", ["archive_push.write", "storage.local.sync", "storage.local.rename"])
def test_a_crash_leaves_no_segment_and_the_next_try_succeeds(archive, stopped, workshop, point: str) -> None:
    segment = stopped[1]
    archive.environ["HOLDFAST_FAULTS"] = f"{point}=kill"
    assert archive.attempt("archive-push", segment).status < 0
    archive.environ.clear()
    assert not [path for path in stored(archive, segment) if not path.name.endswith(".tmp")]
    assert archive.attempt("archive-get", segment.name, workshop.path("t")).status == 1
    archive.run("archive-push", segment)
    archive.run("archive-get", segment.name, workshop.path("t"))


def test_a_disk_that_fails_is_told_and_the_other_repository_served(archive, stopped) -> None:
    segment = stopped[1]
    archive.environ["HOLDFAST_FAULTS"] = "storage.local.sync@1=raise:ENOSPC"
    failed = archive.attempt("archive-push", segment)
    assert failed.status == 104
    assert "repo1: [FileSyncError]" in failed.error
    assert stored(archive, segment, 1) == [] and len(stored(archive, segment, 2)) == 1


# -- get


def test_the_first_good_copy_is_taken(archive, stopped, workshop) -> None:
    segment = stopped[1]
    archive.run("archive-push", segment, compress_type="none")
    (first,) = stored(archive, segment, 1)
    damage.flip_bit(first)
    target = workshop.path("t")
    done = archive.run("archive-get", segment.name, target, log_level_console="info")
    assert "repo1: [ChecksumError]" in done.error and "in the repo2" in done.error
    assert target.read_bytes() == segment.read_bytes()
    damage.flip_bit(stored(archive, segment, 2)[0])
    failed = archive.attempt("archive-get", segment.name, workshop.path("u"))
    assert failed.status == 42
    assert "repo1: [ChecksumError]" in failed.error and "repo2: [ChecksumError]" in failed.error


@pytest.mark.parametrize("compression", ["none", "gz", "lz4", "zst"])
def test_a_damaged_copy_leaves_nothing_behind(stopped, workshop, compression: str) -> None:
    cluster, segment = stopped
    program = workshop.holdfast(cluster, compress_type=compression)
    program.run("stanza-create", online=False)
    program.run("archive-push", segment)
    (path,) = stored(program, segment)
    damage.flip_bit(path)
    target = account.make_directory(workshop.path("d")) / "RECOVERYXLOG"
    assert program.attempt("archive-get", segment.name, target).status == 42
    damage.cut(path, path.stat().st_size // 2)
    assert program.attempt("archive-get", segment.name, target).status == 42
    assert list(target.parent.iterdir()) == []


def test_not_there_is_only_said_when_all_were_asked(archive, stopped, workshop) -> None:
    target = workshop.path("t")
    assert archive.attempt("archive-get", NOT_THERE, target).status == 1
    assert archive.attempt("archive-get", "00000009.history", target).status == 1
    shutil.rmtree(archive.repository / "archive")
    failed = archive.attempt("archive-get", NOT_THERE, target)
    assert failed.status == 103
    assert "repo1: [FileMissingError]" in failed.error
    assert archive.attempt("archive-get", NOT_THERE, target, repo=2).status == 1
    archive.attempt("archive-push", stopped[1])
    archive.run("archive-get", stopped[1].name, target)


def test_copies_that_differ_are_not_guessed_between(archive, stopped, workshop) -> None:
    segment = stopped[1]
    archive.run("archive-push", segment)
    (path,) = stored(archive, segment, 2)
    path.rename(path.with_name(f"{segment.name}-{'0' * 40}.zst"))
    failed = archive.attempt("archive-get", segment.name, workshop.path("t"))
    assert failed.status == 45
    assert "repo1: 15-1/" in failed.error and "repo2: 15-1/" in failed.error


def test_wal_of_an_earlier_stay_is_found(archive, stopped, workshop) -> None:
    """The cluster came back after a stanza-upgrade to another one: its WAL lies below two archive ids."""
    cluster, segment = stopped
    archive.run("archive-push", segment)
    workshop.holdfast(workshop.cluster(), repo1_path=archive.repository).run("stanza-upgrade", online=False)
    back = workshop.holdfast(cluster, repo1_path=archive.repository)
    back.run("stanza-upgrade", online=False)
    done = back.run("archive-get", segment.name, workshop.path("t"), log_level_console="info")
    assert "15-1 archive" in done.error


def test_a_destination_that_cannot_be_written(archive, stopped, workshop) -> None:
    archive.run("archive-push", stopped[1])
    failed = archive.attempt("archive-get", stopped[1].name, "/nowhere/x")
    assert failed.status == 64
    assert "/nowhere/x" in failed.error


def test_a_crash_while_fetching_leaves_no_half_file(archive, stopped, workshop) -> None:
    archive.run("archive-push", stopped[1])
    target = workshop.path("t")
    archive.environ["HOLDFAST_FAULTS"] = "archive_get.rename=kill"
    assert archive.attempt("archive-get", stopped[1].name, target).status < 0
    assert not target.exists()


def test_a_restored_cluster_without_its_label_gets_nothing(archive, stopped, workshop) -> None:
    cluster, segment = stopped
    archive.run("archive-push", segment)
    data = workshop.path("r")
    shutil.copytree(cluster.data / "global", data / "global")
    control = data / "global" / "pg_control"
    # What restore leaves: no checkpoint to start from.
    from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.control import disarm_control

    image = control.read_bytes()
    account.write_file(control, disarm_control(image[:512]) + image[512:])
    account.own(data)
    failed = archive.attempt("archive-get", segment.name, workshop.path("t"), pg1_path=data)
    assert failed.status == 29
    assert "backup_label" in failed.error
    account.write_file(data / "backup_label", "")
    archive.run("archive-get", segment.name, workshop.path("t"), pg1_path=data)


# -- with PostgreSQL


def test_postgresql_archives_and_recovers(workshop) -> None:
    cluster = workshop.cluster()
    program = workshop.holdfast(cluster)
    workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    cluster.sql("create table t as select 1 as a")
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    assert len(stored(program, Path(segment))) == 1
    standby = workshop.standby(cluster, restore_command=program.line("archive-get", "%f", "%p"))
    cluster.sql("insert into t values (2)")
    cluster.wait_archived(cluster.switch_wal())
    standby.wait_for("select count(*) = 2 from t")


def recovering(workshop, cluster: Cluster, program: Holdfast, signal_file: str) -> Cluster:
    """A copy of a stopped cluster that will ask program for WAL."""
    data = workshop.path("r")
    shutil.copytree(cluster.data, data)
    (data / signal_file).touch()
    account.own(data)
    command = program.line("archive-get", "%f", "%p", pg1_path=data)
    return workshop.restored(data, restore_command=command, max_wal_senders=10)


def test_a_repository_that_fails_does_not_end_a_recovery(archive, stopped, workshop) -> None:
    """PostgreSQL takes a status of 103 for the end of the archive; it must not open with WAL missing."""
    cluster = stopped[0]
    shutil.rmtree(archive.repository / "archive")
    restored = recovering(workshop, cluster, archive, "recovery.signal")
    with pytest.raises(ServerFailedError, match=r"exit(ed with exit)? code 231"):
        restored.start()
    alone = recovering(workshop, cluster, workshop.holdfast(cluster, repo1_path=archive.options["repo2_path"]),
                       "recovery.signal")  # fmt: skip
    alone.start()
    alone.wait_for("select not pg_is_in_recovery()")


def test_a_repository_that_fails_does_not_stop_a_standby(archive, stopped, workshop) -> None:
    cluster = stopped[0]
    shutil.rmtree(archive.repository / "archive")
    standby = recovering(workshop, cluster, archive, "standby.signal")
    standby.start()
    assert standby.value("select pg_is_in_recovery()")


def test_the_status_is_plain_outside_of_a_recovery(archive, stopped, workshop) -> None:
    shutil.rmtree(archive.repository / "archive")
    for names, status in (([], 103), (["recovery.signal"], 231), (["recovery.signal", "standby.signal"], 103)):
        here = account.make_directory(workshop.path("cwd"))
        for name in names:
            account.write_file(here / name, "")
        argv = [os.fspath(part) for part in archive.argv("archive-get", NOT_THERE, here / "x")]
        done = account.run(["/bin/sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", here, *argv])
        assert done.returncode == status, done.stderr
