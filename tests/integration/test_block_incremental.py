# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains of block incremental backups of a cluster that really changes, restored and compared row by row."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import checks, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast

ENCRYPTED = {"repo1_cipher_type": "aes-256-cbc", "repo1_cipher_pass": "a passphrase of some length"}
FORMS = [
    pytest.param("zst", {}, id="zst"),
    pytest.param("none", {}, id="none"),
    pytest.param("lz4", ENCRYPTED, id="lz4-encrypted"),
    pytest.param("gz", ENCRYPTED, id="gz-encrypted", marks=pytest.mark.slow),
    pytest.param("bz2", {}, id="bz2", marks=pytest.mark.slow),
]


def make(workshop: Workshop, kind: str, cipher: dict[str, str]) -> tuple[Cluster, Holdfast]:
    cluster = workshop.cluster(wal_segment_mb=1)
    holdfast = workshop.holdfast(
        cluster,
        compress_type=kind,
        repo1_bundle=True,
        repo1_block=True,
        repo1_retention_full=9,
        process_max=2,
        **cipher,
    )
    workshop.archive(cluster, holdfast)
    cluster.start()
    holdfast.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 60000) id")
    cluster.sql("alter table thing add primary key (id)")
    cluster.sql("create table small as select generate_series(1, 2000) id")
    cluster.sql("vacuum freeze")
    return cluster, holdfast


def restored(workshop: Workshop, holdfast: Holdfast, label: str, **options: Any) -> dict[str, checks.Rows]:
    data = workshop.path("r")
    holdfast.restore(data, set=label, type="immediate", target_action="promote", **options)
    cluster = workshop.restored(data).start()
    cluster.wait_for("select not pg_is_in_recovery()")
    contents = checks.contents(cluster)
    checks.check_relations(cluster)
    cluster.stop()
    checks.check_page_checksums(cluster)
    return contents


@pytest.mark.parametrize(("kind", "cipher"), FORMS)
def test_every_backup_of_a_chain_restores(workshop: Workshop, kind: str, cipher: dict[str, str]) -> None:
    cluster, holdfast = make(workshop, kind, cipher)
    expected = {holdfast.backup("full"): checks.contents(cluster)}
    changes = [
        ("incr", "update thing set name = upper(name) where id in (7, 30000, 59999)"),
        ("incr", "insert into thing select id, 'new' from generate_series(60001, 61000) id"),
        ("diff", "delete from thing where id > 20000; vacuum thing"),
        ("incr", "truncate small; update thing set name = 'x' where id = 1"),
    ]
    for backup_type, change in changes:
        for statement in change.split(";"):
            cluster.sql(statement)
        expected[holdfast.backup(backup_type)] = checks.contents(cluster)
    for label, contents in expected.items():
        assert restored(workshop, holdfast, label) == contents, label


def test_three_rows_cost_a_few_blocks_and_not_the_file(workshop: Workshop) -> None:
    cluster, holdfast = make(workshop, "none", {})
    holdfast.backup("full")
    size = int(cluster.value("select pg_relation_size('thing')"))
    cluster.sql("update thing set name = upper(name) where id in (7, 30000, 59999)")
    cluster.sql("checkpoint")
    holdfast.backup("incr")
    delta = holdfast.info()[0]["backup"][-1]["info"]["repository"]["delta"]
    assert delta < size / 3, (delta, size)


def test_delta_fetches_blocks_into_a_damaged_file_and_a_damaged_block_is_found(workshop: Workshop) -> None:
    cluster, holdfast = make(workshop, "zst", {})
    holdfast.backup("full")
    cluster.sql("update thing set name = upper(name) where id = 7")
    label = holdfast.backup("incr")
    data = workshop.path("r")
    holdfast.restore(data, set=label, type="immediate")
    relation = data / str(cluster.value("select pg_relation_filepath('thing')"))
    good = relation.read_bytes()
    inode = relation.stat().st_ino
    for how in ("flip", "cut"):
        damage.flip_page(relation, 100) if how == "flip" else damage.cut(relation, len(good) // 2)
        holdfast.run("restore", pg1_path=data, set=label, type="immediate", delta=True)
        assert relation.read_bytes() == good, how
        assert relation.stat().st_ino == inode, "updated in place"
    damage.cut(relation, 8192)
    for path in workshop.repository.glob("backup/main/*F/bundle/*"):
        damage.flip_bit(path, path.stat().st_size // 3)
    for path in workshop.repository.glob("backup/main/*F/pg_data/base/*/*.pgbi"):
        damage.flip_bit(path, path.stat().st_size // 3)
    result = holdfast.attempt("restore", pg1_path=data, set=label, type="immediate", delta=True, job_retry=0)
    assert result.status in (26, 29), result.error
    assert not (data / "global" / "pg_control").exists()
