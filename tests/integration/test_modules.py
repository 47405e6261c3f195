# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The modules, run by ansible-playbook on a real cluster, in the order in which somebody would use them."""

from __future__ import annotations

import fcntl
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.playbook import Playbook, Task, module
from ansible_collections.holdfast.postgres.tests.support.program import render_configuration

SECRET = "correct horse battery staple"
SEGMENT_MB = 1


class Site:
    """One host: a cluster that archives, the engine below a prefix, and a playbook to run tasks with."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        base = workshop.path("site")
        self.prefix = base / "pre fix"
        self.playbook = Playbook(base / "play")
        self.repository = account.make_directory(base / "repository", 0o750)
        self.cluster = workshop.cluster(wal_segment_mb=SEGMENT_MB)
        self.config = base / "holdfast.conf"
        self.lock = account.make_directory(base / "lock")
        self.options: dict[str, Any] = {
            "repo1_path": self.repository,
            "cmd": self.prefix / "bin" / "holdfast",  # what restore writes into restore_command
            "lock_path": self.lock,
            "log_path": account.make_directory(base / "log"),
            "spool_path": account.make_directory(base / "spool"),
            "start_fast": True,
        }
        cluster = self.cluster
        stanza = {
            "pg1_path": cluster.data, "pg1_port": cluster.port, "pg1_socket_path": cluster.socket_path,
            "pg1_user": "postgres",
        }  # fmt: skip
        account.write_file(self.config, render_configuration({"global": self.options, "main": stanza}), 0o640)

    def task(self, name: str, **arguments: Any) -> Task:
        return module(name, stanza="main", config=self.config, **arguments)

    def run(self, name: str, check: bool = False, **arguments: Any) -> dict[str, Any]:
        """One module that has to succeed; its result."""
        return self.playbook.run(self.task(name, **arguments), check=check)[0]

    def fail(self, name: str, **arguments: Any) -> dict[str, Any]:
        """One module that has to fail; its result."""
        (result,) = self.playbook.attempt(self.task(name, **arguments))
        assert result["failed"], result
        return result

    def files(self) -> dict[str, bytes]:
        return {str(path): path.read_bytes() for path in self.repository.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def site(module_workshop: Workshop) -> Iterator[Site]:
    """A site where the engine is installed and the cluster archives."""
    made = Site(module_workshop)
    made.cluster.start()
    yield made


@pytest.fixture(scope="module")
def archiving(site: Site) -> Site:
    """The same, set up by the modules themselves; the first test looks at how."""
    install = {"prefix": site.prefix, "libraries": "interpreter", "interpreter": sys.executable}
    command = site.prefix / "bin" / "holdfast"
    results = site.playbook.run(
        module("engine", **install),
        site.task("stanza"),
        site.task("archiving", command=command),
        site.task("archiving", command=command),
    )
    site.cluster.restart()
    assert [result["changed"] for result in results] == [True, True, True, False]
    assert [result["restart_required"] for result in results[2:]] == [True, True]
    return site


@pytest.fixture(scope="module")
def backed_up(archiving: Site) -> Site:
    """A table with rows, and a full backup."""
    archiving.cluster.sql("create table rows as select generate_series(1, 1000) as id")
    result = archiving.run("backup", type="full", annotation={"why": "a test"})
    assert result["changed"] and result["type"] == "full" and result["size"] > 0
    return archiving


def test_check_mode_of_the_set_up_changes_nothing(site: Site) -> None:
    tasks = [site.task("stanza"), site.task("archiving", command="/x/holdfast")]
    before = site.files()
    stanza, archiving = site.playbook.run(*tasks, check=True)
    assert stanza["changed"] and stanza["repos"] == [{"key": 1, "action": "created"}]
    assert archiving["changed"] and archiving["restart_required"]
    assert "archive_mode = on" in archiving["diff"]["after"]
    assert site.files() == before
    assert site.cluster.value("select count(*) from pg_file_settings where name = 'archive_command'") == 0


def test_archiving_is_proven(archiving: Site) -> None:
    stanza, archived, check = archiving.playbook.run(
        archiving.task("stanza"),
        archiving.task("archiving", command=archiving.prefix / "bin" / "holdfast"),
        archiving.task("check"),
    )
    assert not stanza["changed"] and not archived["changed"] and not archived["restart_required"]
    assert not check["changed"]
    segment = check["stanzas"][0]["segment"]
    assert any(segment in name for name in archiving.files())


def test_a_foreign_archive_command_is_replaced_with_a_warning(archiving: Site) -> None:
    ours = archiving.cluster.value("show archive_command")
    archiving.cluster.sql("alter system set archive_command = 'cp %p /srv/wal/%f'")
    result = archiving.run("archiving", command=archiving.prefix / "bin" / "holdfast")
    assert result["changed"] and not result["restart_required"]
    assert any("cp %p /srv/wal/%f" in warning for warning in result["warnings"])
    assert archiving.cluster.value("show archive_command") == ours


def test_a_backup_is_in_the_info(backed_up: Site) -> None:
    info, one = backed_up.playbook.run(backed_up.task("backup_info"), backed_up.task("backup_info", type="full"))
    assert not info["changed"]
    (stanza,) = info["stanzas"]
    backup = stanza["backup"][-1]
    assert stanza["status"]["code"] == 0 and backup["annotation"] == {"why": "a test"}
    assert one["stanzas"][0]["backup"][-1]["label"] == backup["label"]
    (detailed,) = backed_up.run("backup_info", set=backup["label"])["stanzas"]
    assert "postgres" in [database["name"] for database in detailed["backup"][0]["database_ref"]]


def test_check_mode_of_a_backup_copies_nothing(backed_up: Site) -> None:
    before = {name for name in backed_up.files() if "/backup/" in name}
    result = backed_up.run("backup", check=True, type="full")
    assert result["changed"] and result["files_copied"] > 0 and "label" not in result
    assert {name for name in backed_up.files() if "/backup/" in name} == before


def test_a_checkpoint_has_a_redo_position(backed_up: Site) -> None:
    before = backed_up.cluster.value("select redo_lsn::text from pg_control_checkpoint()")
    assert backed_up.run("checkpoint", check=True)["changed"]
    assert backed_up.cluster.value("select redo_lsn::text from pg_control_checkpoint()") == before
    result = backed_up.run("checkpoint")
    assert backed_up.cluster.value("select redo_lsn::text from pg_control_checkpoint()") == result["redo_lsn"] != before


def test_wal_is_pushed_once_and_fetched(backed_up: Site) -> None:
    cluster = backed_up.cluster
    segment = cluster.value("select pg_walfile_name(pg_switch_wal())")
    source, copy = cluster.data / "pg_wal" / segment, backed_up.playbook.scratch / "fetched"
    backed_up.run("check")  # the segment before the one that this archives is archived as well
    push = backed_up.run("archive_push", wal=source)
    assert not push["changed"] and push["repos"] == [{"key": 1, "action": "present"}]
    get = backed_up.run("archive_get", wal=segment, dest=copy)
    assert get["changed"] and get["found"] and copy.read_bytes() == source.read_bytes()


def test_wal_that_is_nowhere_is_a_failure_unless_that_is_fine(backed_up: Site) -> None:
    nowhere = {"wal": "0000000100000001000000FE", "dest": backed_up.playbook.scratch / "nowhere"}
    failed = backed_up.fail("archive_get", **nowhere)
    assert failed["rc"] == 1 and failed["hint"]
    assert backed_up.run("archive_get", missing_ok=True, **nowhere)["found"] is False
    assert not nowhere["dest"].exists()


def test_a_held_lock_is_a_failure_that_says_so(backed_up: Site) -> None:
    path = backed_up.lock / "main-backup-1.lock"
    account.write_file(path, "{}", 0o640)
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        failed = backed_up.fail("backup", type="full")
    assert (failed["rc"], failed["error"]) == (50, "lock-acquire")
    assert str(path) in failed["msg"] and failed["hint"][1:] in failed["msg"]


def test_restore_refuses_a_running_cluster_and_a_full_directory(backed_up: Site) -> None:
    assert backed_up.fail("restore", delta=True)["error"] == "pg-running"
    full = account.make_directory(backed_up.workshop.path("full"))
    account.write_file(full / "file", "mine")
    failed = backed_up.fail("restore", options={"pg1-path": full})
    assert (failed["rc"], failed["error"]) == (40, "path-not-empty")
    assert (full / "file").read_text() == "mine"


def test_a_secret_never_shows(backed_up: Site) -> None:
    secrets = [{"option": "repo1-cipher-pass", "value": SECRET}]
    options = {"repo1-cipher-type": "aes-256-cbc", "repo1-path": account.make_directory(backed_up.workshop.path("r"))}
    results = backed_up.playbook.attempt(
        backed_up.task("stanza", options=options, secrets=secrets),
        backed_up.task("stanza", options=options, secrets=[{"option": "repo1-cipher-pass", "value": SECRET[::-1]}]),
        backed_up.task("stanza", options={**options, "repo1-cipher-pass": SECRET}),
    )
    assert [bool(result.get("failed")) for result in results] == [False, True, True]
    assert results[1]["error"] == "crypto"
    # Ansible itself shows the third, which is why options are not the place for a secret.
    shown = backed_up.playbook.output.split("TASK [Task 2]")[0] + json.dumps(results[:2])
    assert SECRET not in shown and SECRET[::-1] not in shown


def test_a_stanza_is_deleted_only_when_it_is_stopped(archiving: Site) -> None:
    """In a repository of its own: archiving goes on in the other."""
    path = account.make_directory(archiving.workshop.path("gone"))
    options = {"repo1-path": path}
    absent = archiving.task("stanza", state="absent", force=True, options=options)
    archiving.run("stanza", options=options)
    assert (path / "backup" / "main" / "backup.info").exists()
    (refused,) = archiving.playbook.attempt(absent)
    assert (refused["rc"], refused["error"]) == (55, "file-missing") and "stop" in refused["msg"]
    stop = [archiving.prefix / "bin" / "holdfast", f"--config={archiving.config}", "--stanza=main", "stop"]
    assert account.run(stop).returncode == 0
    (predicted,) = archiving.playbook.run(absent, check=True)
    assert predicted["changed"] and (path / "backup" / "main" / "backup.info").exists()
    deleted, again = archiving.playbook.run(absent, absent)
    assert deleted["changed"] and not again["changed"]
    assert not (path / "backup" / "main").exists() and not (archiving.lock / "main.stop").exists()


def test_expire_removes_what_the_retention_lets_go_of(backed_up: Site) -> None:
    (before,) = backed_up.run("backup_info")["stanzas"]
    second = backed_up.run("backup", type="full", expire_auto=False)["label"]
    retention = {"repo1-retention-full": 1}
    predicted = backed_up.run("expire", check=True, options=retention)
    labels = [backup["label"] for backup in before["backup"]]
    assert predicted["changed"] and sorted(predicted["repos"][0]["backups"]) == sorted(labels)
    assert len(backed_up.run("backup_info")["stanzas"][0]["backup"]) == len(labels) + 1
    expired, again = backed_up.playbook.run(
        backed_up.task("expire", options=retention), backed_up.task("expire", options=retention)
    )
    assert expired["changed"] and not again["changed"]
    assert [backup["label"] for backup in backed_up.run("backup_info")["stanzas"][0]["backup"]] == [second]


def test_restore_brings_back_the_rows_and_then_has_nothing_to_do(backed_up: Site) -> None:
    """The last test of this module: it leaves a restored cluster."""
    cluster = backed_up.cluster
    rows = cluster.sql("select * from rows order by id")
    backed_up.run("check")
    cluster.sql("select pg_create_restore_point('here')")
    cluster.sql("drop table rows")
    cluster.stop()
    (cluster.data / "global" / "pg_control").unlink()
    moment = {"type": "name", "target": "here", "target_action": "promote", "delta": True}
    predicted = backed_up.run("restore", check=True, **moment)
    assert predicted["changed"] and not (cluster.data / "global" / "pg_control").exists()
    first, second = backed_up.playbook.run(backed_up.task("restore", **moment), backed_up.task("restore", **moment))
    assert first["changed"] and first["data_directory"] == str(cluster.data)
    assert not second["changed"], "nothing was to be done"
    cluster.start()
    cluster.wait_for("select not pg_is_in_recovery()")
    assert cluster.sql("select * from rows order by id") == rows


def test_the_launcher_is_the_engine_of_the_modules(archiving: Site) -> None:
    """What PostgreSQL runs and what Ansible runs are one program."""
    launcher = archiving.prefix / "bin" / "holdfast"
    done = account.run([launcher, f"--config={archiving.config}", "--stanza=main", "--output=json", "info"])
    assert done.returncode == 0
    assert json.loads(done.stdout)[0]["name"] == "main"
