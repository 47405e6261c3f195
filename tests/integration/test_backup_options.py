# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of backup that need a real server to show what they are worth."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, checks, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast


@pytest.fixture
def cluster(workshop: Workshop) -> Cluster:
    return workshop.cluster(wal_segment_mb=1)


@pytest.fixture
def holdfast(workshop: Workshop, cluster: Cluster) -> Holdfast:
    program = workshop.holdfast(cluster, process_max=2, repo1_retention_full=9)
    workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 20000) id")
    return program


def backup_path(holdfast: Holdfast, label: str) -> Path:
    return holdfast.repository / "backup/main" / label


def started(workshop: Workshop, data: Path, original: Cluster) -> Cluster:
    copy = workshop.restored(data).start()
    copy.wait_for("select not pg_is_in_recovery()")
    assert checks.contents(copy) == checks.contents(original)
    return copy


# -- a backup directory that is a data directory


def test_a_copy_of_a_hard_linked_backup_starts_as_it_is(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    cluster.tablespace("space")
    cluster.sql("create table in_space tablespace space as select generate_series(1, 5000) id")
    options = {"compress_type": "none", "repo1_hardlink": True, "archive_copy": True}
    full = holdfast.backup("full", **options)
    cluster.sql("update thing set name = 'new' where id % 100 = 0")
    cluster.sql("insert into in_space select 7")
    with cluster.busy():
        incr = holdfast.backup("incr", **options)
    cluster.sql("drop table busy")  # what was written after the backup is not in its WAL
    node = cluster.value("select pg_relation_filepath('pg_language')")
    same = [backup_path(holdfast, label) / "pg_data" / node for label in (full, incr)]
    assert same[0].stat().st_ino == same[1].stat().st_ino
    for label in (full, incr):
        copy = workshop.path("copy")
        shutil.copytree(backup_path(holdfast, label), copy, symlinks=True)
        data = copy / "pg_data"
        (data / "tablespace_map").unlink()
        account.own(copy)
        for folder, _folders, _files in os.walk(copy):
            os.chmod(folder, 0o700)
        server = workshop.restored(data, restore_command="false").start()
        server.wait_for("select not pg_is_in_recovery()")
        things = server.value("select count(*) from thing where name = 'new'")
        assert things == (200 if label == incr else 0)
        assert server.value("select count(*) from thing") == 20000
        assert server.value("select count(*) from in_space") == (5001 if label == incr else 5000)
        checks.check_relations(server)
        server.stop()
        checks.check_page_checksums(server)
    assert not list(backup_path(holdfast, full).rglob("postmaster.pid")), "the repository itself was not touched"


def test_without_links_a_repository_has_none(cluster: Cluster, holdfast: Holdfast) -> None:
    cluster.tablespace("space")
    label = holdfast.backup("full", repo1_symlink=False)
    links = [path for path in holdfast.repository.rglob("*") if path.is_symlink()]
    assert links == []
    label = holdfast.backup("full")
    links = [path for path in holdfast.repository.rglob("*") if path.is_symlink()]
    assert sorted(path.name for path in links) == sorted(["latest", next(iter(tablespaces(holdfast, label)))])


def tablespaces(holdfast: Holdfast, label: str) -> list[str]:
    return [path.name for path in (backup_path(holdfast, label) / "pg_tblspc").iterdir()]


# -- offline


def test_a_stopped_cluster_is_backed_up_and_starts_without_recovery(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    cluster.tablespace("space")
    cluster.sql("create table in_space tablespace space as select 1 id")
    expected = checks.contents(cluster)
    refused = holdfast.attempt("backup", type="full", online=False)
    assert refused.status == 38
    assert "postmaster.pid" in refused.error and "HINT" in refused.error
    cluster.stop()
    label = holdfast.backup("full", online=False)
    manifest = (backup_path(holdfast, label) / "backup.manifest").read_text()
    assert "option-online=false" in manifest and "option-archive-check=false" in manifest
    assert "backup-lsn-start" not in manifest and "backup-archive-start" not in manifest
    assert '"tablespace-name":"ts' in manifest
    assert "pg_data/pg_wal/0000" in manifest
    again = holdfast.attempt("backup", type="incr", online=False)
    assert again.status == 55
    assert holdfast.labels() == [label]
    data = workshop.path("r")
    holdfast.restore(data, type="none", tablespace_map_all=workshop.path("ts"))
    assert not (data / "recovery.signal").exists() and not (data / "backup_label").exists()
    copy = workshop.restored(data).start()
    assert checks.contents(copy) == expected
    copy.stop()
    checks.check_page_checksums(copy)


def test_offline_and_online_backups_follow_each_other_with_delta(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    full = holdfast.backup("full")
    forced = holdfast.run("backup", type="incr", online=False, force=True)
    assert "probably inconsistent" in forced.error
    assert "online option has changed" in forced.error
    cluster.sql("insert into thing select 1, 'later'")
    online = holdfast.run("backup", type="incr")
    assert "online option has changed" in online.error
    labels = holdfast.labels()
    assert len(labels) == 3 and all(label.startswith(full) for label in labels)
    cluster.wait_archived(cluster.switch_wal())
    data = workshop.path("r")
    holdfast.restore(data)
    started(workshop, data, cluster)


# -- WAL inside the backup, exclusions, annotations


def test_copied_wal_makes_a_backup_restorable_without_the_archive(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    label = holdfast.backup("full", archive_copy=True, repo1_bundle=True)
    shutil.rmtree(holdfast.repository / "archive/main/15-1")
    data = workshop.path("r")
    holdfast.restore(data, set=label, type="none")
    assert list((data / "pg_wal").glob("0*"))
    started(workshop, data, cluster)


def test_what_is_excluded_is_left_out_and_comes_back_later(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    for name in ("junk", "junk/deep", "kept"):
        account.make_directory(cluster.data / name)
    for name in ("junk/deep/file", "kept/file", "one_file"):
        account.write_file(cluster.data / name, "text")
    result = holdfast.run("backup", type="full", exclude=["junk/", "one_file"], log_level_console="info")
    assert "exclude contents of" in result.error and "one_file" in result.error
    data = workshop.path("r")
    holdfast.restore(data)
    assert (data / "junk").is_dir() and not list((data / "junk").iterdir())
    assert not (data / "one_file").exists()
    assert (data / "kept/file").read_text() == "text"
    started(workshop, data, cluster)
    holdfast.backup("incr")
    later = workshop.path("r")
    holdfast.restore(later)
    assert (later / "junk/deep/file").read_text() == "text" and (later / "one_file").read_text() == "text"


def test_annotations_stay_with_the_backup_and_empty_ones_do_not(holdfast: Holdfast) -> None:
    label = holdfast.backup("full", annotation=["why=before the upgrade", "ticket=", "equals=a=b"])
    expected = {"why": "before the upgrade", "equals": "a=b"}
    assert holdfast.info()[0]["backup"][0]["annotation"] == expected
    text = (backup_path(holdfast, label) / "backup.manifest").read_text()
    assert 'annotation={"equals":"a=b","why":"before the upgrade"}' in text


# -- damaged pages


def test_damaged_pages_are_reported_everywhere_and_fail_the_backup_on_request(
    cluster: Cluster, holdfast: Holdfast
) -> None:
    good = holdfast.backup("full", repo1_retention_full=1)
    path = damage.relation_path(cluster, "thing")
    name = f"pg_data/{path.relative_to(cluster.data)}"
    cluster.stop()
    for block in (1, 2, 3, 7):
        damage.flip_page(path, block)
    cluster.start()
    warned = holdfast.run("backup", type="incr", delta=True)
    assert f"invalid page checksums found in file {name} at pages 1-3, 7" in warned.error
    label = holdfast.labels()[-1]
    (entry,) = holdfast.info(set=label)[0]["backup"]
    assert entry["error"] is True
    assert entry["error-list"] == [name]
    assert entry["error-page"] == {name: [[1, 3], 7]}
    assert f"{name}: pages 1-3, 7" in holdfast.run("info", set=label).output
    failed = holdfast.attempt("backup", type="full", checksum_page_fail=True, repo1_retention_full=1)
    assert failed.status == 26
    assert name in failed.error and "HINT" in failed.error
    labels = holdfast.labels()
    assert good in labels, "the last good backup was not expired"
    assert labels[-1] in failed.error and labels[-1] != label, "and the damaged one is there"
    inherited = holdfast.attempt("backup", type="incr", checksum_page_fail=True)
    assert inherited.status == 26, "a file that only refers to damaged pages has them, too"
    assert "invalid page checksums found" not in inherited.error
