# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job: a busy cluster backed up, its WAL archived, and brought back to a moment."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import checks
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast
from ansible_collections.holdfast.postgres.tests.support.servers import Server


@dataclasses.dataclass
class Moments:
    """A cluster with a backup and, after it, three rounds of rows with a moment between any two."""

    workshop: Workshop
    server: Server
    cluster: Cluster
    holdfast: Holdfast
    label: str
    time: str
    lsn: str
    xid: str


@pytest.fixture(scope="module")
def moments(module_workshop: Workshop, each_server: Server) -> Moments:
    workshop = module_workshop
    workshop.path("")
    cluster = workshop.cluster(each_server, wal_segment_mb=1)
    holdfast = workshop.holdfast(cluster, stanza=f"main{each_server.major}")
    workshop.archive(cluster, holdfast)
    cluster.start()
    holdfast.stanza_create()
    cluster.tablespace("space")
    cluster.sql("create table ledger (id int primary key, round int)")
    cluster.sql("create table in_space tablespace space as select generate_series(1, 3000) id")
    cluster.sql("create unlogged table scratchpad as select 1 id")
    cluster.sql('create database "Umlaut ä b"')
    with cluster.busy():
        label = holdfast.backup("full", repo1_retention_full=2)
    cluster.sql("insert into ledger select id, 1 from generate_series(1, 100) id")
    time.sleep(1.1)  # a set is chosen only for a time in a later second than the one in which its backup ended
    moment = str(cluster.value("select clock_timestamp()"))
    time.sleep(0.01)
    cluster.sql("select pg_create_restore_point('before round two')")
    lsn = str(cluster.value("select pg_current_wal_insert_lsn()"))
    cluster.sql("insert into ledger select id, 2 from generate_series(101, 200) id")
    xid = str(cluster.sql("insert into ledger values (201, 3) returning pg_current_xact_id()::text")[0][0])
    cluster.sql("insert into ledger select id, 3 from generate_series(202, 300) id")
    cluster.wait_archived(cluster.switch_wal())
    return Moments(workshop, each_server, cluster, holdfast, label, moment, lsn, xid)


def recovered(moments: Moments, **options: Any) -> tuple[Cluster, int]:
    """Restore with these options, start, and count the rows of the ledger when recovery has ended or paused."""
    data = moments.workshop.path("r")
    spaces = moments.workshop.path("ts")
    moments.holdfast.restore(data, tablespace_map_all=spaces, **options)
    cluster = moments.workshop.restored(data, moments.server).start()
    if options.get("target_action", "promote") == "promote":
        cluster.wait_for("select not pg_is_in_recovery()")
    return cluster, int(cluster.value("select count(*) from ledger"))


TARGETS = [
    ("default", None, {}, 300),
    ("immediate", None, {}, 0),
    ("name", lambda m: "before round two", {}, 100),
    ("time", lambda m: m.time, {}, 100),
    ("lsn", lambda m: m.lsn, {}, 100),
    ("xid", lambda m: m.xid, {}, 201),
    ("xid", lambda m: m.xid, {"target_exclusive": True}, 200),
]


@pytest.mark.parametrize(("kind", "target", "more", "expected"), TARGETS, ids=lambda value: str(value)[:12])
def test_recovery_ends_at_the_target(moments: Moments, kind: str, target: Any, more: Any, expected: int) -> None:
    options = {"type": kind, **more}
    if kind != "default":
        options["target_action"] = "promote"
    if target is not None:
        options["target"] = target(moments)
    cluster, rows = recovered(moments, **options)
    assert rows == expected
    cluster.destroy()


def test_the_restored_cluster_is_the_original_to_the_row(moments: Moments) -> None:
    cluster, _other = recovered(moments)
    assert checks.contents(cluster) == checks.contents(moments.cluster)
    assert cluster.value("select count(*) from scratchpad") == 0, "an unlogged table is empty after recovery"
    checks.check_relations(cluster)
    cluster.stop()
    checks.check_page_checksums(cluster)
    cluster.destroy()


def test_a_standby_follows_by_its_archive(moments: Moments) -> None:
    data = moments.workshop.path("r")
    moments.holdfast.restore(data, type="standby", tablespace_map_all=moments.workshop.path("ts"))
    assert (data / "standby.signal").exists()
    standby = moments.workshop.restored(data, moments.server).start()
    moments.cluster.sql("insert into ledger select id, 4 from generate_series(301, 310) id")
    moments.cluster.wait_archived(moments.cluster.switch_wal())
    standby.wait_for("select count(*) = 310 from ledger")
    standby.destroy()
    moments.cluster.sql("delete from ledger where id > 300")
    moments.cluster.wait_archived(moments.cluster.switch_wal())


def test_a_second_delta_restore_has_nothing_to_do(moments: Moments) -> None:
    data, spaces = moments.workshop.path("r"), moments.workshop.path("ts")
    moments.holdfast.restore(data, tablespace_map_all=spaces)
    before = tree_state(data)
    again = moments.holdfast.run(
        "restore", pg1_path=data, tablespace_map_all=spaces, delta=True, log_level_console="detail"
    )
    assert "matches backup" in again.error
    assert {name for name, state in tree_state(data).items() if before.get(name) != state} <= {
        "global/pg_control",
        "postgresql.auto.conf",
        "recovery.signal",
    }


def tree_state(data: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    return {
        str(path.relative_to(data)): (path.stat().st_size, int(path.stat().st_mtime))
        for path in data.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
