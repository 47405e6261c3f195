# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster with something odd in every corner: both programs record the same files, directories, links and targets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    File,
    Manifest,
    parse_manifest,
)
from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Program

ODD_NAMES = [
    b"a=b", b'quote"d', b"it's", b"back\\slash", b"tab\there", b"#hash", b"[section]", b"two  blanks ", b"$HOME",
    "\u00fcml\u00e4ut".encode(), b"bytes\xff\xfe",
]  # fmt: skip
FILES = [
    "pg_replslot/x/file", "pg_notify/file", "pg_stat_tmp/file", "sub/pg_replslot/file", "pgsql_tmp1", "base/pgsql_tmp2",
    "base/1/pgsql_tmp3/file", "base/1/t3_123", "base/1/t3_123_fsm.1", "base/1/t3_123_init", "base/1/t3_abc", "t3_123",
    "base/1/pg_internal.init.123", "base/1/pg_internal.init.abc", "pg_internal.init", "base/1/90000", "base/1/90000.1",
    "base/1/90000_vm", "base/1/90000_init", "base/1/90000_xx", "base/1/900001", "base/1/90000_fsm.2",
    "base/1/sub/90000", "backup_label.old", "backup_manifest", "backup_manifest.tmp", "postgresql.auto.conf.tmp",
    "recovery.done", "current_logfiles.old", "tablespace_map.old", "lost+found/file", "pg_wal/extra/file",
    "pg_wal/archive_status/x.done", "log/today.log",
]  # fmt: skip


def make_odd(cluster: Cluster, beside: Path) -> None:
    for name in [*map(os.fsencode, FILES), *ODD_NAMES]:
        path = Path(os.fsdecode(os.path.join(os.fsencode(cluster.data), name)))
        account.make_directory(path.parent)
        account.write_file(path, b"x" * 100, 0o640)
    account.write_file(account.make_directory(beside / "etc") / "hba", "local all all trust\n")
    account.write_file(account.make_directory(beside / "linked/sub", 0o750) / "file", "x")
    os.symlink(beside / "etc/hba", cluster.data / "hba.link")
    os.symlink(f"{beside}/linked/", cluster.data / "directory.link")
    for name in ("hba.link", "directory.link"):
        account.own(cluster.data / name)
    os.mkfifo(cluster.data / "pipe")
    account.own(cluster.data / "pipe")


def recorded(program: Program, **options: Any) -> Manifest:
    label = program.backup("full", **options)
    path = program.repository / "backup" / program.stanza / label / "backup.manifest"
    return parse_manifest(path.read_bytes())


def attributes(file: File) -> tuple[Any, ...]:
    return file.name, file.mode, file.user, file.group, file.checksum_page


@pytest.mark.parametrize("bundle", [False, True])
def test_both_programs_record_the_same(workshop: Workshop, bundle: bool) -> None:
    cluster = workshop.cluster(settings={"autovacuum": False})
    options = {"repo1_retention_full": 9, "compress_type": "none", "repo1_bundle": bundle}
    ours, theirs = workshop.holdfast(cluster, **options), workshop.oracle(cluster, **options)
    cluster.configure(archive_mode=True, archive_command=f"{ours.archive_command} # holdfast pgbackrest")
    cluster.start()
    ours.stanza_create()
    cluster.tablespace("space")
    cluster.sql("create table in_space tablespace space as select generate_series(1, 500) id")
    cluster.sql("create unlogged table lost as select generate_series(1, 500) id")
    cluster.sql("checkpoint")
    make_odd(cluster, account.make_directory(workshop.path("beside")))  # with some of it no server would start
    same(recorded(theirs), recorded(ours))
    cluster.stop()
    same(recorded(theirs, online=False), recorded(ours, online=False))


def same(theirs: Manifest, ours: Manifest) -> None:
    # A server that runs makes and removes statistics and the like between the two.
    volatile = ("pg_data/pg_stat", "pg_data/pg_wal/0", "pg_data/pg_logical/")
    for attribute in ("files", "paths", "links"):
        lists = [{attributes(item) if isinstance(item, File) else tuple(item) for item in getattr(manifest, attribute)
                  if not item.name.startswith(volatile)} for manifest in (theirs, ours)]  # fmt: skip
        assert lists[0] == lists[1], attribute
    assert theirs.targets == ours.targets
    odd = [f"pg_data/{os.fsdecode(name)}" for name in ODD_NAMES]
    for name in odd:
        one, other = theirs.known_file(name), ours.known_file(name)
        assert (one.size, one.timestamp, one.checksum) == (other.size, other.timestamp, other.checksum)
