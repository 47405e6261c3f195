# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres import files

RELATION_DIRS = ["pg_data/global", "pg_data/base/5", "pg_tblspc/16400/PG_15_202209061/5"]
OTHER_DIRS = [
    "pg_data", "pg_data/base", "pg_data/base/5/sub", "pg_data/base/x5", "pg_data/pg_xact", "pg_data/sub/global",
    "pg_tblspc/16400", "pg_tblspc/16400/PG_15_202209061", "pg_tblspc/x/PG_15_202209061/5",
]  # fmt: skip


def skips(directory, base_name, online=True):
    return files.skips_file(directory, base_name, online, files.is_relation_dir(directory))


@pytest.mark.parametrize("directory", RELATION_DIRS)
def test_relation_directories_are_known(directory):
    assert files.is_relation_dir(directory)


@pytest.mark.parametrize("directory", OTHER_DIRS)
def test_other_directories_are_not_relation_directories(directory):
    assert not files.is_relation_dir(directory)


@pytest.mark.parametrize("directory", RELATION_DIRS)
@pytest.mark.parametrize(
    ("base_name", "skipped"),
    [
        ("t3_123", True), ("t3_123.1", True), ("t3_123_fsm", True), ("t3_123_fsm.1", True), ("t3_123_vm", True),
        ("t3_abc", False), ("t3_123_init", False), ("t_123", False), ("3_123", False), ("t3_123_fsm.x", False),
        ("pg_internal.init", True), ("pg_internal.init.123", True), ("pg_internal.init.abc", False),
        ("16384", False), ("16384.1", False), ("postmaster.pid", False), ("backup_label", False),
    ],
)  # fmt: skip
def test_temporary_relations_and_caches_are_left_out_of_relation_directories(directory, base_name, skipped):
    assert skips(directory, base_name) == skips(directory, base_name, online=False) == skipped


@pytest.mark.parametrize("directory", OTHER_DIRS)
@pytest.mark.parametrize("base_name", ["t3_123", "pg_internal.init", "pg_internal.init.1", "tablespace_map.old"])
def test_the_same_names_elsewhere_are_ordinary(directory, base_name):
    assert not skips(directory, base_name)


@pytest.mark.parametrize(
    "base_name",
    ["backup_label", "backup_label.old", "backup_manifest", "backup_manifest.tmp", "postmaster.opts", "postmaster.pid",
     "postgresql.auto.conf.tmp", "recovery.signal", "standby.signal"],
)  # fmt: skip
def test_files_of_a_server_at_work_are_left_out_at_the_top_only(base_name):
    assert skips("pg_data", base_name)
    assert skips("pg_data", base_name, online=False)
    assert not skips("pg_data/sub", base_name)


def test_a_stale_tablespace_map_is_left_out_online_where_the_server_gives_a_new_one():
    assert skips("pg_data", "tablespace_map")
    assert not skips("pg_data", "tablespace_map", online=False)
    assert not skips("pg_data/sub", "tablespace_map")


@pytest.mark.parametrize("base_name", ["recovery.conf", "recovery.done", "current_logfiles", "postgresql.auto.conf"])
def test_other_files_at_the_top_are_recorded(base_name):
    assert not skips("pg_data", base_name)


def test_wal_is_left_out_online_but_not_what_lies_in_directories_below():
    assert skips("pg_data/pg_wal", "000000010000000000000001")
    assert skips("pg_data/pg_wal", "anything")
    assert not skips("pg_data/pg_wal", "000000010000000000000001", online=False)
    assert not skips("pg_data/pg_wal/summaries", "x")
    assert files.skips_contents("pg_data/pg_wal/archive_status", online=True)
    assert not files.skips_contents("pg_data/pg_wal/archive_status", online=False)
    assert not files.skips_contents("pg_data/pg_wal", online=True)


@pytest.mark.parametrize(
    "name",
    ["pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"],
)
@pytest.mark.parametrize("online", [True, False])
def test_directories_that_the_server_fills_anew_are_emptied_at_the_top_only(name, online):
    assert files.skips_contents(f"pg_data/{name}", online)
    assert not files.skips_contents(f"pg_data/sub/{name}", online)


def test_unlogged_relations_go_with_all_forks_and_segments_but_for_the_init_fork():
    forks = {"7", "7.1", "7_fsm", "7_vm", "7_vm.1", "7_fsm.2"}
    others = {"7_init", "7_xx", "70", "70_vm", "8_fsm", "x7", "7.x", "_init", "x_init"}
    assert files.unlogged(forks | others) == forks
    assert files.unlogged(forks) == set()


@given(st.sets(st.from_regex(r"[78]{1,2}(_fsm|_vm|_init|_x)?(\.[0-9]{1,2})?", fullmatch=True)))
def test_a_file_goes_if_and_only_if_its_relation_has_an_init_fork(names):
    gone = files.unlogged(names)
    for name in names:
        node = files.relation_number(name)
        assert (name in gone) == (node is not None and f"{node}_init" in names)


@pytest.mark.parametrize(
    ("name", "paged"),
    [
        ("pg_data/base/5/16384", True), ("pg_data/base/5/16384.1", True), ("pg_data/base/5/16384_fsm", True),
        ("pg_data/base/5/stray.txt", True), ("pg_data/global/1260", True),
        ("pg_tblspc/16400/PG_15_202209061/5/16384", True),
        ("pg_data/base/5/PG_VERSION", False), ("pg_data/base/5/pg_filenode.map", False),
        ("pg_data/global/pg_filenode.map", False), ("pg_data/global/pg_control", False),
        ("pg_data/base/16384", False), ("pg_data/pg_xact/0000", False), ("pg_data/PG_VERSION", False),
    ],
)  # fmt: skip
def test_files_with_pages(name, paged):
    assert files.has_pages(name) == paged


@pytest.mark.parametrize(
    ("name", "replayed"),
    [
        ("pg_data/base/5/16384", True), ("pg_data/base/x", True), ("pg_data/global/1260", True),
        ("pg_data/pg_xact/0000", True), ("pg_data/pg_multixact/offsets/0000", True),
        ("pg_tblspc/16400/PG_15_202209061/5/16384", True),
        ("pg_data/global/pg_control", False), ("pg_data/postgresql.conf", False), ("pg_data/pg_commit_ts/0000", False),
        ("pg_data/pg_wal/000000010000000000000001", False), ("pg_data/base.txt", False),
    ],
)  # fmt: skip
def test_files_that_are_read_only_as_far_as_they_went(name, replayed):
    assert files.is_replayed(name) == replayed


@pytest.mark.parametrize(
    ("base_name", "number"),
    [
        ("16384", 0), ("16384.1", 1), ("16384.12", 12), ("16384_fsm.3", 3), ("16384.x", 0), ("16384.1x", 0),
        ("16384.", 0), ("x.1.2", 2), ("16384.32767", 32767), ("16384.32768", 0), ("dump.20261231", 0),
        ("x.\u00b2", 0), ("x.\u0663", 0),  # digits to str.isdigit(), but not to PostgreSQL
    ],
)  # fmt: skip
def test_segment_numbers(base_name, number):
    assert files.segment_number(base_name) == number
