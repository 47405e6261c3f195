# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The database session against real servers, well ones and sick ones."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ArchiveCommandInvalidError,
    ArchiveDisabledError,
    DbConnectError,
    DbMismatchError,
    DbQueryError,
    FeatureNotSupportedError,
    TermError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres import server
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.lsn import segment_name
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.server import (
    Session,
    check_archiving,
    check_identity,
    connect_clusters,
    find_clusters,
)
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster

NAME = "Holdfast [test]"


def options(cluster: Cluster, key: int = 1, **changes: Any) -> Any:
    """The option group of a cluster."""
    values = {
        "key": key, "path": str(cluster.data), "port": cluster.port, "socket_path": str(cluster.socket_path),
        "database": "postgres", "user": "postgres",
    }  # fmt: skip
    return SimpleNamespace(**{**values, **changes})


def config(*pgs: Any, command: str = "backup", **changes: Any) -> Any:
    values = {"command": command, "pgs": pgs, "db_timeout": 20.0, "io_timeout": 10.0, "backup_standby": "n"}
    return SimpleNamespace(**{**values, **changes})


@contextlib.contextmanager
def session(cluster: Cluster, timeout: float = 20.0, **changes: Any) -> Iterator[Session]:
    opened = Session(options(cluster, **changes), timeout, 10.0, NAME)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(scope="module")
def running(module_workshop) -> Cluster:
    return module_workshop.cluster().start()


def test_what_a_session_knows_of_its_server(running: Cluster) -> None:
    with session(running) as opened:
        assert opened.version == running.server.major
        assert opened.data_directory == str(running.data)
        assert (opened.archive_mode, opened.checkpoint_timeout, opened.in_recovery) == ("off", 300, False)
        assert opened.segment_size == 16 << 20
        name = running.value("select application_name from pg_stat_activity where application_name like 'Holdfast%'")
        assert name == NAME
        assert abs(opened.clock_ms() / 1000 - time.time()) < 5
        assert opened.replay_lsn() is None


def test_a_backup_on_every_version(each_server, workshop) -> None:
    cluster = workshop.cluster(each_server, wal_segment_mb=1).start()
    oid = cluster.value("select oid from pg_tablespace where spcname = 'pg_default'")
    cluster.tablespace("ts_here")
    with session(cluster) as opened:
        assert opened.version == each_server.major
        lsn, segment = opened.backup_start("Holdfast backup", True)
        assert segment == segment_name(1, lsn, 1 << 20)
        assert opened.checkpoint_lsn() >= opened.redo_lsn() == lsn
        stop = opened.backup_stop()
        assert stop.lsn > lsn
        assert stop.segment >= segment
        assert "LABEL: Holdfast backup\n" in stop.label_text
        assert stop.tablespace_map is not None and stop.tablespace_map.endswith("ts_here\n")
        names = opened.tablespaces()
        assert names[oid] == "pg_default" and "ts_here" in names.values()


def test_without_tablespaces_there_is_no_map(running: Cluster) -> None:
    with session(running) as opened:
        opened.backup_start("Holdfast backup", True)
        assert opened.backup_stop().tablespace_map is None


def test_switching_after_a_restore_point_ends_a_segment(running: Cluster) -> None:
    with session(running) as opened:
        before = opened.current_segment()
        opened.restore_point("here")
        assert opened.switch_wal() == before
        opened.restore_point("there")
        assert opened.current_segment() > before


def test_databases_come_with_the_last_system_oid(running: Cluster) -> None:
    running.sql('create database "größe 1"')
    with session(running) as opened:
        found, last_system = opened.databases()
        assert {name for _oid, name in found} == {"größe 1", "postgres", "template0", "template1"}
        assert found == sorted(found, key=lambda row: row[1])
        assert last_system == {name: oid for oid, name in found}["template0"]


def test_names_that_are_not_utf8_survive(workshop) -> None:
    cluster = workshop.cluster().start()
    cluster.sql("create database plain template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'")
    with contextlib.closing(cluster.connect("plain")) as connection, connection.cursor() as cursor:
        connection.set_client_encoding("SQL_ASCII")
        cursor.execute(b"create database \"caf\xe9\" template template0 encoding 'SQL_ASCII'")
    with session(cluster, database="plain") as opened:
        names = [name for _oid, name in opened.databases()[0]]
    assert "caf\udce9" in names


def test_a_query_ends_after_db_timeout_and_the_session_goes_on(running: Cluster) -> None:
    with session(running, timeout=0.5) as opened:
        begun = time.monotonic()
        with pytest.raises(DbQueryError, match="db-timeout"):
            opened.query("select pg_sleep(30)")
        assert time.monotonic() - begun < 5
        assert opened.clock_ms()


def test_a_server_that_hangs_is_given_up(running: Cluster, monkeypatch) -> None:
    monkeypatch.setattr(server, "GRACE", 0.5)
    with session(running, timeout=0.5) as opened:
        pid = opened.query("select pg_backend_pid()")[0][0]
        os.kill(pid, signal.SIGSTOP)
        try:
            with pytest.raises(DbQueryError, match="no answer"):
                opened.clock_ms()
        finally:
            os.kill(pid, signal.SIGCONT)
        with pytest.raises(DbQueryError):
            opened.clock_ms()


def test_a_signal_ends_a_query_at_once(running: Cluster) -> None:
    def terminate(number: int, frame: object) -> None:
        raise TermError("terminated")

    with session(running) as opened:
        previous = signal.signal(signal.SIGALRM, terminate)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.3)
            begun = time.monotonic()
            with pytest.raises(TermError):
                opened.query("select pg_sleep(30)")
            assert time.monotonic() - begun < 5
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)


def test_a_connection_that_ends_is_an_error_with_the_reason(running: Cluster) -> None:
    with session(running) as opened:
        running.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = %s", NAME)
        with pytest.raises(DbQueryError, match="terminating connection"):
            opened.clock_ms()


def test_a_role_without_rights_is_told_which_one_it_needs(running: Cluster) -> None:
    running.sql("create role nobody login")
    with pytest.raises(DbQueryError) as caught, session(running, user="nobody"):
        pass
    assert "pg_read_all_settings" in caught.value.hint
    running.sql("grant pg_read_all_settings to nobody")
    with session(running, user="nobody") as opened:
        assert opened.data_directory == str(running.data)


def test_a_server_that_is_not_there(running: Cluster) -> None:
    with pytest.raises(DbConnectError, match="port 1:"), session(running, port=1):
        pass


def test_the_data_directory_is_compared_as_it_is_spelled(running: Cluster) -> None:
    control: Any = SimpleNamespace(version=str(running.server.major))
    with session(running) as opened:
        check_identity(opened, control)
        with pytest.raises(DbMismatchError):
            check_identity(opened, SimpleNamespace(version="9"))  # type: ignore[arg-type]
    with session(running, path=f"{running.data}/.") as opened, pytest.raises(DbMismatchError):
        check_identity(opened, control)


def test_archiving_has_to_be_on_and_ours(workshop) -> None:
    cluster = workshop.cluster(settings={"archive_mode": "on", "archive_command": "true"}).start()
    with session(cluster) as opened, pytest.raises(ArchiveCommandInvalidError):
        check_archiving(opened, True)
    for command in ("true holdfast archive-push %p", "true pgbackrest archive-push %p"):
        cluster.sql("alter system set archive_command = %s", command)
        cluster.reload()
        cluster.wait_for(f"select current_setting('archive_command') = '{command}'")
        with session(cluster) as opened:
            check_archiving(opened, True)
    cluster.sql("alter system set archive_mode = 'always'")
    cluster.restart()
    with session(cluster) as opened:
        with pytest.raises(FeatureNotSupportedError):
            check_archiving(opened, True)
        check_archiving(opened, False)
    cluster.sql("alter system set archive_mode = 'off'")
    cluster.restart()
    with session(cluster) as opened, pytest.raises(ArchiveDisabledError):
        check_archiving(opened, True)


def test_primary_and_standby_are_found(workshop, caplog) -> None:
    primary = workshop.cluster().start()
    standby = workshop.standby(primary)
    here = [options(standby, 1), options(primary, 2), options(primary, 3, port=1)]
    clusters = find_clusters(config(*here))
    try:
        assert (clusters.primary.name, clusters.standby.name) == ("pg2", "pg1")
        assert clusters.standby.in_recovery and clusters.standby.replay_lsn() > 0
        clusters.standby.checkpoint()
    finally:
        clusters.close()
    assert "unable to use pg3" in caplog.text

    for wanted, found in (("n", False), ("prefer", True), ("y", True)):
        clusters = connect_clusters(config(*here[:2], backup_standby=wanted))
        assert (clusters.standby is not None) == found
        clusters.close()

    with pytest.raises(DbConnectError, match="no primary"):
        connect_clusters(config(here[0]))
    with pytest.raises(DbConnectError, match="backup-standby"):
        connect_clusters(config(here[1], backup_standby="y"))
    clusters = connect_clusters(config(here[1], backup_standby="prefer"))
    assert clusters.standby is None
    clusters.close()
    assert "no standby found" in caplog.text

    standby.promote()
    with pytest.raises(DbConnectError, match="more than one primary: pg1, pg2"):
        find_clusters(config(*here[:2]))


def test_a_stopped_standby_notices_its_promotion(workshop) -> None:
    primary = workshop.cluster().start()
    standby = workshop.standby(primary)
    with session(standby) as opened:
        assert opened.still_in_recovery()
        standby.promote()
        assert not opened.still_in_recovery()
