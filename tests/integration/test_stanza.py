# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""stanza-create, stanza-upgrade and stanza-delete on a running cluster and without one."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster

FILES = ["archive/main/archive.info", "backup/main/backup.info"]
EVERY = [*FILES, *(f"{name}.copy" for name in FILES)]


@pytest.fixture(scope="module")
def running(module_workshop) -> Cluster:
    return module_workshop.cluster().start()


@pytest.fixture(scope="module")
def stopped(module_workshop) -> Cluster:
    return module_workshop.cluster()


def test_a_stanza_is_created_once_in_all_repositories(running, workshop) -> None:
    other = account.make_directory(workshop.path("repo"), 0o750)
    program = workshop.holdfast(running, repo2_path=other)
    program.stanza_create()
    for repository in (program.repository, other):
        assert all((repository / name).stat().st_mode & 0o777 == 0o640 for name in EVERY)
    before = [(program.repository / name).read_bytes() for name in EVERY]
    assert before[0] == before[2] and before[1] == before[3]
    again = program.run("stanza-create", log_level_console="info")
    assert "exists already and is valid" in again.error
    assert [(program.repository / name).read_bytes() for name in EVERY] == before


def test_it_is_created_from_files_alone(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    assert program.attempt("stanza-create").status == 56
    program.run("stanza-create", online=False)
    assert (program.repository / FILES[0]).exists()


def test_a_dry_run_creates_nothing(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    program.run("stanza-create", online=False, dry_run=True)
    assert not any(program.repository.iterdir())


def test_a_missing_copy_comes_back_with_the_same_bytes(stopped, workshop) -> None:
    program = workshop.holdfast(stopped, repo1_cipher_type="aes-256-cbc")
    program.environ["HOLDFAST_REPO1_CIPHER_PASS"] = "a long passphrase"
    program.run("stanza-create", online=False)
    expected = {name: (program.repository / name).read_bytes() for name in EVERY}
    assert all(data.startswith(b"Salted__") for data in expected.values())
    for name in (EVERY[0], EVERY[3]):
        (program.repository / name).unlink()
    program.run("stanza-create", online=False)
    assert {name: (program.repository / name).read_bytes() for name in EVERY} == expected


def test_one_info_file_without_the_other_is_refused(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    program.run("stanza-create", online=False)
    for name in (FILES[1], f"{FILES[1]}.copy"):
        (program.repository / name).unlink()
    failed = program.attempt("stanza-create", online=False)
    assert failed.status == 55
    assert "backup.info is missing" in failed.error


def test_what_lies_there_already_is_not_taken_over(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    account.make_directory(program.repository / "backup/main/20260101-000000F")
    failed = program.attempt("stanza-create", online=False)
    assert failed.status == 40
    assert "backup/main" in failed.error


def test_another_cluster_needs_an_upgrade_of_the_stanza(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    program.run("stanza-create", online=False)
    newer = workshop.holdfast(workshop.cluster())
    failed = newer.attempt("stanza-create", online=False)
    assert failed.status == 28
    assert "stanza-upgrade" in failed.error
    newer.run("stanza-upgrade", online=False, dry_run=True)
    assert newer.attempt("stanza-create", online=False).status == 28
    newer.run("stanza-upgrade", online=False)
    assert "[db]\ndb-id=2\n" in (program.repository / FILES[0]).read_text()
    assert "is up to date" in newer.run("stanza-upgrade", online=False, log_level_console="info").error
    newer.run("stanza-create", online=False)
    # Back to the first cluster: a new entry all the same.
    program.run("stanza-upgrade", online=False)
    assert "[db]\ndb-id=3\n" in (program.repository / FILES[0]).read_text()


def test_an_upgrade_that_was_interrupted_between_the_files_is_finished(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    program.run("stanza-create", online=False)
    newer = workshop.holdfast(workshop.cluster())
    newer.environ["HOLDFAST_FAULTS"] = "storage.local.rename@3=kill"  # the third file is backup.info
    assert newer.attempt("stanza-upgrade", online=False).status < 0
    newer.environ.clear()
    newer.run("stanza-upgrade", online=False)
    newer.run("stanza-create", online=False)


def test_a_stop_file_forbids_it(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    account.write_file(program.base / "lock" / "all.stop", "")
    assert program.attempt("stanza-create", online=False).status == 62
    assert program.attempt("stanza-upgrade", online=False).status == 62


def test_the_wrong_path_of_a_running_cluster_is_noticed(running, workshop) -> None:
    program = workshop.holdfast(running, stanza_options={"pg1_path": f"{running.base}/../{running.base.name}/data"})
    failed = program.attempt("stanza-create")
    assert failed.status == 58


def test_delete_wants_a_stop_and_a_cluster_at_rest(running, workshop) -> None:
    program = workshop.holdfast(running)
    program.stanza_create()
    assert program.attempt("stanza-delete", repo=1).status == 55
    stop = account.write_file(program.base / "lock" / "main.stop", "")
    assert program.attempt("stanza-delete", repo=1).status == 38
    assert all((program.repository / name).exists() for name in EVERY)
    program.run("stanza-delete", repo=1, force=True, dry_run=True)
    assert all((program.repository / name).exists() for name in EVERY)
    program.run("stanza-delete", repo=1, force=True)
    assert not (program.repository / "archive/main").exists()
    assert not (program.repository / "backup/main").exists()
    assert not stop.exists()
    program.run("stanza-delete", repo=1)


def test_an_interrupted_delete_leaves_no_usable_stanza(stopped, workshop) -> None:
    program = workshop.holdfast(stopped)
    program.run("stanza-create", online=False)
    account.write_file(account.make_directory(program.repository / "backup/main/20260101-000000F") / "x", "")
    account.write_file(program.base / "lock" / "main.stop", "")
    program.environ["HOLDFAST_FAULTS"] = "stanza.delete=kill"
    assert program.attempt("stanza-delete", repo=1).status < 0
    assert not any((program.repository / name).exists() for name in EVERY)
    program.environ.clear()
    program.run("stanza-delete", repo=1)
    assert not (program.repository / "backup/main").exists()
