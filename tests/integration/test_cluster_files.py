# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the engine reads of a cluster's files, compared with what the server says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres import files
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.control import (
    disarm_control,
    parse_control,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.history import parse_history
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.lsn import (
    next_segment,
    parse_lsn,
    segment_name,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.page import bad_pages
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.wal import parse_wal_header
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster, ServerFailedError

PAGE = 8192
SEGMENT_MB = 4


def test_the_files_of_a_cluster_say_what_its_server_says(workshop, each_server):
    """One cluster for all of it: running, stopped, damaged, disarmed."""
    cluster = workshop.cluster(each_server, checksums=True, wal_segment_mb=SEGMENT_MB).start()
    cluster.sql("create table numbers as select n, repeat(n::text, 20) as text from generate_series(1, 20000) n")
    cluster.sql("create index on numbers (text)")
    cluster.sql("delete from numbers where n % 3 = 0")
    cluster.sql("vacuum numbers")
    cluster.sql("checkpoint")
    check_control(cluster)
    check_segments(cluster)
    cluster.stop()
    control_file = cluster.data / "global" / "pg_control"
    assert parse_control(control_file.read_bytes()).state == "shut down"
    check_pages(cluster.data)
    control_file.write_bytes(disarm_control(control_file.read_bytes()))
    with pytest.raises(ServerFailedError, match="checkpoint"):
        cluster.start()


def check_control(cluster: Cluster) -> None:
    control = parse_control((cluster.data / "global" / "pg_control").read_bytes())
    ((system_id, control_version, catalog_version),) = cluster.sql(
        "select system_identifier, pg_control_version, catalog_version_no from pg_control_system()"
    )
    ((checkpoint, timeline, time),) = cluster.sql(
        "select checkpoint_lsn::text, timeline_id, extract(epoch from checkpoint_time)::int "
        "from pg_control_checkpoint()"
    )
    assert (control.system_id, control.control_version) == (system_id, control_version)
    assert (control.catalog_version, control.version) == (catalog_version, str(cluster.server.major))
    assert (control.checkpoint, control.timeline, control.checkpoint_time) == (parse_lsn(checkpoint), timeline, time)
    assert (control.segment_size, control.page_size, control.page_checksum) == (SEGMENT_MB << 20, PAGE, True)
    assert control.state == "in production"


def check_segments(cluster: Cluster) -> None:
    size = SEGMENT_MB << 20
    lsn, name = cluster.sql("select pg_current_wal_insert_lsn()::text, pg_walfile_name(pg_current_wal_insert_lsn())")[0]
    assert segment_name(1, parse_lsn(lsn), size) == name
    header = parse_wal_header((cluster.data / "pg_wal" / name).read_bytes()[:512])
    system_id = cluster.value("select system_identifier from pg_control_system()")
    assert header == (str(cluster.server.major), system_id, size)
    cluster.switch_wal()
    cluster.sql("create table after_the_switch ()")
    assert cluster.value("select pg_walfile_name(pg_current_wal_insert_lsn())") == next_segment(name, size)


def check_pages(data: Path) -> None:
    contents = [path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file() and is_relation(path, data)]
    assert sum(map(len, contents)) > 1000 * PAGE
    assert all(bad_pages(content, 0) == [] for content in contents)
    damaged = bytearray(max(contents, key=len))
    damaged[5 * PAGE + 4000] ^= 0x10
    assert bad_pages(damaged, 0) == [5]


def is_relation(path: Path, data: Path) -> bool:
    name = f"pg_data/{path.relative_to(data)}"
    return files.has_pages(name) and not files.skips_file(f"{name.rpartition('/')[0]}", path.name, False, True)


def test_the_history_of_a_promoted_cluster(workshop):
    standby = workshop.standby(workshop.cluster().start())
    standby.promote()
    history = parse_history((standby.data / "pg_wal" / "00000002.history").read_bytes())
    assert [timeline for timeline, _lsn in history] == [1]
    assert history[0][1] <= parse_lsn(standby.value("select pg_current_wal_lsn()::text"))
