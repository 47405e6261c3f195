# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore refuses, what it removes and what it never touches."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, checks, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast


@dataclasses.dataclass
class Backed:
    workshop: Workshop
    cluster: Cluster
    holdfast: Holdfast
    label: str


@pytest.fixture(scope="module")
def backed(module_workshop: Workshop) -> Backed:
    cluster = module_workshop.cluster()
    holdfast = module_workshop.holdfast(cluster, process_max=2)
    module_workshop.archive(cluster, holdfast)
    cluster.start()
    holdfast.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 20000) id")
    label = holdfast.backup()
    cluster.wait_archived(cluster.switch_wal())
    return Backed(module_workshop, cluster, holdfast, label)


def make_file(path: Path, text: str = "x") -> Path:
    return account.write_file(path, text)


def test_a_full_directory_is_refused_and_left_alone(backed: Backed) -> None:
    data = account.make_directory(backed.workshop.path("r"))
    precious = make_file(data / "precious")
    result = backed.holdfast.attempt("restore", pg1_path=data)
    assert result.status == 40
    assert "precious" in result.error and "HINT" in result.error
    assert precious.read_text() == "x"
    assert os.listdir(data) == ["precious"]


def test_delta_without_a_sign_of_a_cluster_is_switched_off(backed: Backed) -> None:
    data = account.make_directory(backed.workshop.path("r"))
    make_file(data / "precious")
    result = backed.holdfast.attempt("restore", pg1_path=data, delta=True)
    assert result.status == 40
    assert "have been disabled" in result.error
    assert (data / "precious").exists()


def test_a_running_cluster_is_refused_even_with_delta_and_force(backed: Backed) -> None:
    for options in ({}, {"delta": True}, {"force": True}):
        assert backed.holdfast.attempt("restore", **options).status == 38
    assert backed.cluster.value("select count(*) from thing") == 20000


def test_delta_repairs_what_was_damaged_and_removes_what_is_foreign(backed: Backed) -> None:
    data = backed.workshop.path("r")
    backed.holdfast.restore(data)
    relation = data / str(backed.cluster.value("select pg_relation_filepath('thing')"))
    grown, touched = data / "global" / "1262", data / "PG_VERSION"
    damage.flip_page(relation, 3)
    with open(grown, "ab") as file:
        file.write(b"tail")
    os.utime(touched, (1, 1))
    outside = account.make_directory(backed.workshop.path("outside"))
    make_file(outside / "precious")
    make_file(data / "stray")
    (data / "base" / "straydir").mkdir()
    (data / "link").symlink_to(outside)
    os.mkfifo(data / "fifo")
    os.chmod(data / "base", 0o755)
    account.own(data)
    result = backed.holdfast.run("restore", pg1_path=data, delta=True, log_level_console="detail")
    for name in ("stray", "base/straydir", "link", "fifo"):
        assert not os.path.lexists(data / name), name
        assert f"remove '{data / name}'" in result.error
    assert (outside / "precious").exists(), "what a link leads to is not ours"
    assert (data / "base").stat().st_mode & 0o777 == 0o700
    assert touched.stat().st_mtime != 1
    assert f"matches backup {grown}" in result.error, "a file that only grew is cut, not copied"
    assert f"restore file {relation}" in result.error
    cluster = backed.workshop.restored(data).start()
    cluster.wait_for("select not pg_is_in_recovery()")
    assert checks.contents(cluster) == checks.contents(backed.cluster)
    cluster.destroy()


def test_delta_with_force_believes_size_and_time(backed: Backed) -> None:
    data = backed.workshop.path("r")
    backed.holdfast.restore(data)
    relation = data / str(backed.cluster.value("select pg_relation_filepath('thing')"))
    stamp = relation.stat().st_mtime_ns
    damage.flip_page(relation, 3)
    os.utime(relation, ns=(stamp, stamp))
    before = relation.read_bytes()
    backed.holdfast.run("restore", pg1_path=data, delta=True, force=True)
    assert relation.read_bytes() == before, "same size and time: nobody looked"
    backed.holdfast.run("restore", pg1_path=data, force=True)
    assert relation.read_bytes() != before, "force alone copies everything"


def test_an_unknown_set_is_refused(backed: Backed) -> None:
    for label in ("20200101-000000F", "latest"):
        result = backed.holdfast.attempt("restore", pg1_path=backed.workshop.path("r"), set=label)
        assert result.status == 75, label
        assert "HINT" in result.error


def test_a_named_set_is_restored(backed: Backed) -> None:
    data = backed.workshop.path("r")
    backed.holdfast.restore(data, set=backed.label, type="immediate", target_action="promote")
    cluster = backed.workshop.restored(data).start()
    cluster.wait_for("select not pg_is_in_recovery()")
    assert cluster.value("select count(*) from thing") == 20000
    cluster.destroy()


@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_damaged_repository_file_stops_the_restore_and_is_named(backed: Backed, how: str) -> None:
    path = max(
        backed.workshop.repository.glob(f"backup/main/{backed.label}/pg_data/base/*/*"), key=lambda p: p.stat().st_size
    )
    kept = path.read_bytes()
    if how == "remove":
        path.unlink()
    elif how == "cut":
        damage.cut(path, len(kept) // 2)
    else:
        damage.flip_bit(path)
    data = backed.workshop.path("r")
    try:
        account.make_directory(data)
        result = backed.holdfast.attempt("restore", pg1_path=data, job_retry_interval="0s")
    finally:
        account.write_file(path, kept, 0o640)
    assert result.status in ({"flip": (26, 29), "cut": (26, 29, 42), "remove": (55,)}[how])
    assert path.name.split(".")[0] in result.error
    assert not (data / "global" / "pg_control").exists(), "a server must not start on this"
    assert backed.holdfast.attempt("restore", pg1_path=data).status == 40
    backed.holdfast.run("restore", pg1_path=data, delta=True)
    assert (data / "global" / "pg_control").exists()


def test_without_backup_label_the_server_refuses_to_start(backed: Backed) -> None:
    data = backed.workshop.path("r")
    backed.holdfast.restore(data)
    (data / "backup_label").unlink()
    with pytest.raises(RuntimeError):
        backed.workshop.restored(data).start()


def test_a_dry_run_changes_nothing(backed: Backed) -> None:
    data = backed.workshop.path("r")
    backed.holdfast.restore(data)
    make_file(data / "stray")
    before = sorted(str(path) for path in data.rglob("*"))
    result = backed.holdfast.run("restore", pg1_path=data, delta=True, dry_run=True, log_level_console="info")
    assert f"would remove '{data / 'stray'}'" in result.error
    assert sorted(str(path) for path in data.rglob("*")) == before
