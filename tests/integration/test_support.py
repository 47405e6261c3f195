# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The instruments of the other tests: a checker that cannot fail would let everything pass."""

from __future__ import annotations

import os

import pytest

from ansible_collections.holdfast.postgres.tests.support import checks, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import ServerFailedError
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.servers import Server
from ansible_collections.holdfast.postgres.tests.support.sshd import Sshd


@pytest.mark.parametrize("wal_segment_mb", [1, 64])
def test_a_cluster_of_every_version_with_a_tablespace_and_a_standby(
    each_server: Server, workshop: Workshop, wal_segment_mb: int
) -> None:
    cluster = workshop.cluster(each_server, wal_segment_mb=wal_segment_mb, checksums=wal_segment_mb == 1).start()
    assert cluster.value("show wal_segment_size") == f"{wal_segment_mb}MB"
    assert cluster.value("show data_checksums") == ("on" if wal_segment_mb == 1 else "off")
    cluster.tablespace("space")
    cluster.sql("create table in_space tablespace space as select generate_series(1, 1000) id")
    standby = workshop.standby(cluster)
    with cluster.busy():
        cluster.wait_for("select count(*) >= 20 from busy")
    standby.wait_for(f"select pg_last_wal_replay_lsn() >= '{cluster.value('select pg_current_wal_lsn()')}'")
    assert checks.contents(standby) == checks.contents(cluster)
    checks.check_relations(cluster)


def test_contents_tell_databases_with_different_rows_apart(workshop: Workshop) -> None:
    cluster = workshop.cluster().start()
    cluster.sql("create table thing (id int, name text)")
    cluster.sql("insert into thing values (1, 'a'), (2, 'b')")
    cluster.sql("create unlogged table passing (id int)")
    before = checks.contents(cluster)
    assert before["postgres public.thing"].total == 2
    assert "postgres public.passing" not in before
    cluster.sql("update thing set name = 'c' where id = 2")
    assert checks.contents(cluster) != before
    cluster.sql("delete from thing where id = 2")
    cluster.sql("insert into thing values (2, 'b')")
    assert checks.contents(cluster) == before, "the order of rows does not matter"
    cluster.sql("select lo_from_bytea(0, 'large')")
    assert checks.contents(cluster)["postgres pg_largeobject"].total == 1


def test_the_checkers_find_a_flipped_bit(workshop: Workshop) -> None:
    cluster = workshop.cluster().start()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 5000) id")
    path = damage.relation_path(cluster, "thing")
    checks.check_relations(cluster)
    cluster.stop()
    checks.check_page_checksums(cluster)
    damage.flip_page(path, 3)
    with pytest.raises(ServerFailedError, match="block 3"):
        checks.check_page_checksums(cluster)
    cluster.start()
    with pytest.raises(ServerFailedError, match="invalid page"):
        checks.check_relations(cluster)


def test_the_oracle_backs_up_and_restores(workshop: Workshop) -> None:
    cluster = workshop.cluster()
    oracle = workshop.oracle(cluster)
    workshop.archive(cluster, oracle)
    cluster.start()
    oracle.stanza_create()
    cluster.sql("create table thing as select generate_series(1, 1000) id")
    label = oracle.backup()
    assert oracle.labels() == [label]
    cluster.sql("insert into thing select generate_series(1001, 2000)")
    expected = checks.contents(cluster)
    cluster.wait_archived(cluster.switch_wal())
    data = workshop.path("restored")
    oracle.restore(data)
    restored = workshop.restored(data).start()
    restored.wait_for("select not pg_is_in_recovery()")
    assert checks.contents(restored) == expected


def test_sshd_lets_its_user_in(workshop: Workshop) -> None:
    if not Sshd.is_here():
        pytest.fail("openssh-server is not installed")
    from ansible_collections.holdfast.postgres.tests.support import account

    with Sshd(workshop.path("ssh")) as sshd:
        options = ["-F", os.devnull, "-i", sshd.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        known = ["-o", f"UserKnownHostsFile={sshd.known_hosts}", "-P", str(sshd.port)]
        argv = ["sftp", "-q", "-b", "-", *options, *known, f"{sshd.user}@{sshd.host}"]
        done = account.run(argv, stdin="pwd\n")
        assert done.returncode == 0, done.stderr
        assert "Remote working directory" in done.stdout
