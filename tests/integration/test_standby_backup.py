# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups whose files come from a standby: two real servers, and what must not be backed up from the wrong one."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, checks
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast


@dataclasses.dataclass
class Pair:
    """A primary and its standby; to the program the standby is pg1."""

    workshop: Workshop
    primary: Cluster
    standby: Cluster
    holdfast: Holdfast


@pytest.fixture
def pair(workshop: Workshop) -> Pair:
    primary = workshop.cluster(wal_segment_mb=1, tcp=True)
    holdfast = workshop.holdfast(process_max=2, repo1_retention_full=9, archive_timeout="20s")
    primary.configure(archive_mode=True, archive_command=holdfast.line("archive-push", "%p", pg1_path=primary.data))
    primary.start()
    holdfast.stanza_options = {"pg1_path": primary.data, "pg1_port": primary.port,
                               "pg1_socket_path": primary.socket_path, "pg1_user": "postgres"}  # fmt: skip
    holdfast.configure()
    holdfast.stanza_create()
    primary.tablespace("space")
    primary.sql("create table thing as select id, md5(id::text) name from generate_series(1, 30000) id")
    primary.sql("create table in_space tablespace space as select generate_series(1, 5000) id")
    standby = workshop.standby(primary)
    # Over TCP, as it would be from another host.
    holdfast.stanza_options = {
        "pg1_path": standby.data, "pg1_port": standby.port, "pg1_socket_path": standby.socket_path,
        "pg1_user": "postgres",
        "pg2_path": primary.data, "pg2_port": primary.port, "pg2_socket_path": "127.0.0.1", "pg2_user": "postgres",
    }  # fmt: skip
    holdfast.configure()
    return Pair(workshop, primary, standby, holdfast)


def stored_options(pair: Pair, label: str) -> str:
    return (pair.workshop.repository / "backup/main" / label / "backup.manifest").read_text()


@pytest.mark.parametrize("bundle", [False, True])
def test_relations_come_from_the_standby_and_the_rest_from_the_primary(pair: Pair, bundle: bool) -> None:
    primary, standby, holdfast = pair.primary, pair.standby, pair.holdfast
    node = primary.value("select pg_relation_filepath('thing')")
    for cluster, text in ((primary, "of the primary"), (standby, "of the standby")):
        for name in ("whose.conf", "base/1/whose", "pg_xact/whose"):
            path = cluster.data / name
            path.write_text(text)
            path.chmod(0o600)
            account.own(path)
    (standby.data / "base/1/only_here").write_text("x")
    with primary.busy():
        label = holdfast.backup("full", backup_standby="y", repo1_bundle=bundle, compress_type="none")
    primary.wait_archived(primary.switch_wal())
    assert "option-backup-standby=true" in stored_options(pair, label)
    assert f'"path":"{primary.data}"' in stored_options(pair, label)
    spaces = pair.workshop.path("ts")
    data = pair.workshop.path("r")
    holdfast.restore(data, tablespace_map_all=spaces, set=label)
    assert (data / "whose.conf").read_text() == "of the primary"
    assert (data / "base/1/whose").read_text() == "of the standby"
    assert (data / "pg_xact/whose").read_text() == "of the standby"
    assert not (data / "base/1/only_here").exists()
    assert (data / node).exists()
    (data / "pg_xact/whose").unlink()
    copy = pair.workshop.restored(data).start()
    copy.wait_for("select not pg_is_in_recovery()")
    assert checks.contents(copy) == checks.contents(primary)
    checks.check_relations(copy)
    copy.stop()
    (data / "base/1/whose").unlink()
    checks.check_page_checksums(copy)


def test_an_incremental_goes_on_from_the_primary_when_the_standby_is_gone(pair: Pair) -> None:
    full = pair.holdfast.backup("full", backup_standby="y")
    pair.standby.stop()
    result = pair.holdfast.attempt("backup", type="incr", backup_standby="y")
    assert result.status == 56
    assert "no standby" in result.error and "HINT" in result.error
    result = pair.holdfast.run("backup", type="incr", backup_standby="prefer")
    assert "no standby found, using the primary" in result.error
    incr = pair.holdfast.labels()[-1]
    assert incr.startswith(full + "_")
    assert "option-backup-standby=false" in stored_options(pair, incr)


def test_a_standby_that_does_not_replay_is_waited_for_with_a_limit(pair: Pair) -> None:
    pair.standby.sql("select pg_wal_replay_pause()")
    pair.primary.sql("insert into thing select 1, 'x' from generate_series(1, 1000)")
    result = pair.holdfast.attempt("backup", type="full", backup_standby="y", archive_timeout="2s")
    assert result.status == 82
    assert "pg1" in result.error and "replay" in result.error and "HINT" in result.error
    assert pair.holdfast.labels() == []
    pair.standby.sql("select pg_wal_replay_resume()")
    pair.holdfast.backup("full", backup_standby="y")


def test_a_standby_of_another_timeline_is_refused(pair: Pair) -> None:
    standby = pair.standby
    standby.promote()
    standby.stop()
    standby.configure(primary_conninfo="")
    account.write_file(standby.data / "standby.signal", "")
    standby.start()
    pair.primary.sql("insert into thing select 1, 'x' from generate_series(1, 20000)")
    result = pair.holdfast.attempt("backup", type="full", backup_standby="y", archive_timeout="3s")
    assert result.status in (58, 82)  # it has no way to get to where the backup starts
    assert pair.holdfast.labels() == []


def test_a_standby_that_has_been_promoted_is_a_second_primary(pair: Pair) -> None:
    pair.standby.promote()
    result = pair.holdfast.attempt("backup", type="full", backup_standby="y")
    assert result.status == 56
    assert "more than one primary: pg1, pg2" in result.error


def test_a_standby_that_is_promoted_while_we_copy_ends_the_backup(pair: Pair) -> None:
    # The fault point stops a worker, so the promotion surely happens in the middle of the copy.
    pair.holdfast.environ["HOLDFAST_FAULTS"] = "storage.local.read@30=stop"
    argv = pair.holdfast.argv("backup", type="full", backup_standby="y", log_level_console="detail")
    process = subprocess.Popen(
        argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd="/", start_new_session=True,
        env=account.environment(pair.holdfast.environ), **account.credentials(),
    )  # fmt: skip
    stopped = stopped_children(process)
    pair.standby.promote()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    _output, error = process.communicate(timeout=60)
    assert process.returncode == 58, error
    assert "promoted during the backup" in error


def stopped_children(process: subprocess.Popen[str]) -> list[int]:
    """Pids of the workers that are stopped, once there are any."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = [
            int(path.name) for path in Path("/proc").iterdir()
            if path.name.isdigit() and int(_fields(path)[1]) == process.pid
        ]  # fmt: skip
        stopped = [pid for pid in children if _fields(Path(f"/proc/{pid}"))[0] == "T"]
        if stopped:
            return stopped
        time.sleep(0.05)
    process.kill()
    raise AssertionError(f"no worker was stopped: {process.communicate()[1]}")


def _fields(path: Path) -> list[str]:
    """State, parent and so on of a process; of one that is gone an empty state and parent 0."""
    try:
        return (path / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ["", "0"]
