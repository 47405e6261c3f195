# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup that is disturbed: killed, terminated, refused, or given a damaged repository."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, checks, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast

POINTS = ["backup.stopped", "storage.local.rename", "storage.local.rename@2", "backup.published", "*@30"]


@pytest.fixture
def cluster(workshop: Workshop) -> Cluster:
    return workshop.cluster()


@pytest.fixture
def holdfast(workshop: Workshop, cluster: Cluster) -> Holdfast:
    program = workshop.holdfast(cluster, process_max=2, repo1_retention_full=3)
    workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 200000) id")
    return program


def start_backup(holdfast: Holdfast, **options: object) -> subprocess.Popen[str]:
    argv = holdfast.argv("backup", type="full", log_level_console="detail", **options)
    return subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/",
        env=account.environment(holdfast.environ), start_new_session=True, **account.credentials(),
    )  # fmt: skip


def wait_for_line(process: subprocess.Popen[str], text: str) -> None:
    """Read the log until a line has the text; the pipe ends when the process does, so this does, too."""
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"the backup ended before it said {text!r}")


def usable(workshop: Workshop, cluster: Cluster, holdfast: Holdfast) -> None:
    """The newest backup restores, and holds what the cluster holds."""
    cluster.wait_archived(cluster.switch_wal())
    data = workshop.path("r")
    holdfast.restore(data)
    copy = workshop.restored(data).start()
    copy.wait_for("select not pg_is_in_recovery()")
    assert checks.contents(copy) == checks.contents(cluster)


def no_backup_is_running(cluster: Cluster) -> None:
    cluster.wait_for("select count(*) = 0 from pg_stat_activity where application_name like 'Holdfast%'")


def test_a_killed_backup_leaves_the_way_free_for_the_next(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    process = start_backup(holdfast)
    wait_for_line(process, "backup file pg_data/base/")
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    no_backup_is_running(cluster)
    left = list(workshop.repository.glob("backup/main/*F"))
    assert len(left) == 1 and not (left[0] / "backup.manifest").exists()
    label = holdfast.backup()  # at once: no orphan of the killed one may hold the lock
    assert holdfast.labels() == [label]
    usable(workshop, cluster, holdfast)


def test_a_terminated_backup_ends_with_63_and_leaves_nothing_behind(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    process = start_backup(holdfast)
    wait_for_line(process, "backup file pg_data/base/")
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(10) == 63
    no_backup_is_running(cluster)
    assert not list(workshop.repository.rglob("*.pgbackrest.tmp"))
    assert not list(Path(holdfast.options["lock_path"]).glob("*.lock"))
    children = subprocess.run(["pgrep", "-g", str(process.pid)], capture_output=True, text=True, check=False)
    assert children.stdout == "", "no worker outlives its parent"
    holdfast.backup()
    usable(workshop, cluster, holdfast)


def test_a_held_lock_is_an_error_and_no_silent_skip(cluster: Cluster, holdfast: Holdfast) -> None:
    lock = Path(holdfast.options["lock_path"]) / "main-backup-1.lock"
    account.write_file(lock, "{}", 0o640)
    with open(lock, "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = holdfast.attempt("backup", type="full")
    assert result.status == 50
    assert str(lock) in result.error and "HINT" in result.error
    assert holdfast.labels() == []
    holdfast.backup()


def test_a_worker_that_is_killed_is_an_error_that_names_the_file(cluster: Cluster, holdfast: Holdfast) -> None:
    holdfast.environ["HOLDFAST_FAULTS"] = "storage.local.read@40=kill"
    result = holdfast.attempt("backup", type="full")
    assert result.status not in (0, 63)
    assert "worker" in result.error
    del holdfast.environ["HOLDFAST_FAULTS"]
    no_backup_is_running(cluster)
    holdfast.backup()


@pytest.mark.parametrize("which", ["backup.info", "archive.info"])
def test_a_damaged_info_file_is_replaced_by_its_copy(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast, which: str
) -> None:
    holdfast.backup()
    path = next(workshop.repository.glob(f"*/main/{which}"))
    kept = path.read_bytes()
    damage.flip_bit(path)
    holdfast.backup()
    path.unlink()
    holdfast.backup()
    assert len(holdfast.labels()) == 3
    for broken in (path, path.with_name(path.name + ".copy")):
        broken.write_bytes(kept[: len(kept) // 2])
    result = holdfast.attempt("backup", type="full")
    assert result.status != 0
    assert which in result.error and f"{which}.copy" in result.error


def test_another_cluster_is_refused_before_anything_is_written(workshop: Workshop, holdfast: Holdfast) -> None:
    stranger = workshop.cluster()
    workshop.archive(stranger, holdfast)
    stranger.start()
    before = sorted(str(path) for path in workshop.repository.rglob("*"))
    there = {"pg1_path": stranger.data, "pg1_socket_path": stranger.socket_path}
    result = holdfast.attempt("backup", type="full", **there)
    assert result.status == 51
    ids = [
        str(item.value("select system_identifier from pg_control_system()")) for item in (stranger, holdfast.cluster)
    ]
    assert all(system_id in result.error for system_id in ids)
    pushed = holdfast.attempt(
        "archive-push", str(stranger.data / "pg_wal" / stranger.switch_wal()), pg1_path=stranger.data
    )
    assert pushed.status == 103
    assert "ArchiveMismatchError" in pushed.error
    assert sorted(str(path) for path in workshop.repository.rglob("*")) == before


def test_archiving_that_does_not_work_is_found_before_copying(cluster: Cluster, holdfast: Holdfast) -> None:
    cluster.configure(archive_command=f"false {holdfast.base}/holdfast")
    cluster.reload()
    time.sleep(0.2)
    result = holdfast.attempt("backup", type="full", archive_timeout="1s")
    assert result.status == 82
    assert "HINT" in result.error
    assert holdfast.labels() == []
    no_backup_is_running(cluster)


def test_a_crash_at_any_named_point_leaves_a_valid_repository(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    good = holdfast.backup()
    for point in POINTS:
        holdfast.environ["HOLDFAST_FAULTS"] = f"{point}=kill"
        assert holdfast.attempt("backup", type="full").status != 0, point
        del holdfast.environ["HOLDFAST_FAULTS"]
        no_backup_is_running(cluster)
        assert good in holdfast.labels(), point
    holdfast.backup()
    usable(workshop, cluster, holdfast)
