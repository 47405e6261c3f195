# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""expire, annotate and info with two repositories of our own backups."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.lock import StanzaLock
from ansible_collections.holdfast.postgres.tests.support import account, damage
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast

PASSPHRASE = "a passphrase that nobody guesses"


@dataclass
class Pair:
    """A program with two repositories, the second one encrypted; one full and one incr in each, and one full more."""

    program: Holdfast
    first: Path
    second: Path

    def labels(self, key: int) -> list[str]:
        return [backup["label"] for stanza in self.program.info(repo=key) for backup in stanza["backup"]]


@pytest.fixture(scope="module")
def original(module_workshop) -> Pair:
    cluster = module_workshop.cluster()
    second = account.make_directory(module_workshop.path("repo"), 0o750)
    program = make(module_workshop, cluster, module_workshop.repository, second)
    module_workshop.archive(cluster, program)
    cluster.configure(archive_command=f"HOLDFAST_REPO2_CIPHER_PASS='{PASSPHRASE}' {program.archive_command}")
    cluster.start()
    program.stanza_create()
    for key, kind in ((1, "full"), (2, "full"), (1, "incr"), (2, "incr"), (1, "full")):
        cluster.wait_archived(cluster.switch_wal())
        program.backup(kind, repo=key, annotation=["made=by hand"], expire_auto=False)
    cluster.stop()
    return Pair(program, module_workshop.repository, second)


def make(workshop, cluster, first: Path, second: Path) -> Holdfast:
    program = workshop.holdfast(
        cluster, repo1_path=first, repo2_path=second, repo2_cipher_type="aes-256-cbc", repo1_bundle=True,
        repo2_bundle=True, repo1_retention_full=9, repo2_retention_full=9,
    )  # fmt: skip
    program.environ["HOLDFAST_REPO2_CIPHER_PASS"] = PASSPHRASE
    return program


@pytest.fixture
def pair(original: Pair, workshop) -> Iterator[Pair]:
    """A copy to work on."""
    paths = [workshop.path("copy") for _number in range(2)]
    for source, path in zip((original.first, original.second), paths):
        shutil.copytree(source, path, symlinks=True)
        account.own(path)
    return Pair(make(workshop, original.program.cluster, *paths), *paths)


def annotations(pair: Pair, key: int) -> list[dict[str, str] | None]:
    return [backup.get("annotation") for stanza in pair.program.info(repo=key) for backup in stanza["backup"]]


def test_each_repository_keeps_its_own_list(pair) -> None:
    before = (pair.labels(1), pair.labels(2))
    label = before[1][0]
    done = pair.program.run("annotate", set=label, annotation=["made=", "note=x"], log_level_console="info")
    assert "repo2: backup" in done.error and "repo1: backup" not in done.error
    assert (pair.labels(1), pair.labels(2)) == before
    assert annotations(pair, 2)[0] == {"note": "x"}
    assert annotations(pair, 1) == [{"made": "by hand"}] * 3


def test_annotate_wants_a_label_that_exists(pair) -> None:
    assert pair.program.attempt("annotate", set="20200101-000000F", annotation="a=b").status == 75
    assert pair.program.attempt("annotate", set="latest", annotation="a=b").status == 32
    assert pair.program.attempt("annotate", set=pair.labels(1)[0]).status == 37


def test_annotate_in_a_dry_run_changes_nothing(pair) -> None:
    pair.program.run("annotate", set=pair.labels(1)[0], annotation="a=b", dry_run=True)
    assert annotations(pair, 1)[0] == {"made": "by hand"}


def test_a_repository_that_fails_does_not_keep_the_other_from_expiring(pair) -> None:
    damage.flip_bit(pair.second / "backup/main/backup.info")
    damage.flip_bit(pair.second / "backup/main/backup.info.copy")
    failed = pair.program.attempt("expire", repo1_retention_full=1)
    assert failed.status == 104
    assert "repo2: [" in failed.error
    assert len(pair.labels(1)) == 1


def test_expire_reads_what_only_the_copy_has(pair) -> None:
    (pair.second / "backup/main/backup.info").unlink()
    pair.program.run("expire", set=pair.labels(2)[1])
    assert len(pair.labels(2)) == 1
    assert (pair.second / "backup/main/backup.info").exists()


def test_an_unknown_label_is_a_warning_and_wal_expires(pair) -> None:
    done = pair.program.run("expire", set="20200101-000000F", repo1_retention_archive=1, log_level_console="info")
    assert "is in no repository" in done.error
    assert "remove archive" in done.error
    assert len(pair.labels(1)) == 3


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"set": "latest"}, 32),
        ({"set": "20200101-000000F", "oldest": True}, 31),
        ({"archive_expire_before": "0000000100000001"}, 32),
        ({"archive_expire_before": "000000010000000000000001.partial"}, 32),
    ],
)
def test_options_that_make_no_sense(pair, options: dict[str, Any], status: int) -> None:
    assert pair.program.attempt("expire", **options).status == status


def test_the_oldest_set_goes_and_the_newest_stays(pair) -> None:
    before = pair.labels(1)
    done = pair.program.run("expire", oldest=True)
    assert pair.labels(1) == before[2:]
    assert len(pair.labels(2)) == 2
    assert "no newer full backup" in done.error
    assert (pair.first / "backup/main/latest").readlink() == Path(before[2])


def test_the_list_of_what_would_go_is_told_in_a_dry_run(pair) -> None:
    before = sorted(pair.first.rglob("*")), sorted(pair.second.rglob("*"))
    done = pair.program.run("expire", dry_run=True, repo1_retention_full=1, log_level_console="info")
    assert f"[DRY-RUN] repo1: expire full backup set {', '.join(pair.labels(1)[:2])}" in done.error
    assert (sorted(pair.first.rglob("*")), sorted(pair.second.rglob("*"))) == before


def test_an_unfinished_backup_is_kept(pair) -> None:
    newest = pair.first / "backup/main" / pair.labels(1)[2]
    (newest / "backup.manifest").unlink()
    abandoned = account.make_directory(pair.first / "backup/main/20200101-000000F")
    pair.program.run("expire")
    assert newest.exists() and not abandoned.exists()
    assert len(pair.labels(1)) == 2
    (newest / "backup.manifest.copy").unlink()
    pair.program.run("expire")
    assert not newest.exists()


def test_history_manifests_of_listed_backups_stay(pair) -> None:
    expired = pair.labels(1)[0]
    pair.program.run("expire", repo1_retention_full=1, repo1_retention_history=0)
    kept = {path.name for path in (pair.first / "backup/main/backup.history").rglob("*.gz")}
    assert kept == {f"{label}.manifest.gz" for label in pair.labels(1)}
    assert f"{expired}.manifest.gz" not in kept


def test_expire_and_annotate_wait_for_nobody(pair) -> None:
    lock = StanzaLock(str(pair.program.base / "lock"), "main", ["backup"], [2], "1-00000000")
    with lock:
        account.own(pair.program.base / "lock")
        assert pair.program.attempt("expire").status == 50
        assert pair.program.attempt("annotate", set=pair.labels(1)[0], annotation="a=b").status == 50
        pair.program.run("expire", repo=1)


def test_info_tells_how_far_a_backup_is(pair) -> None:
    with StanzaLock(str(pair.program.base / "lock"), "main", ["backup"], [1], "1-00000000") as lock:
        lock.progress(1000, 250)
        account.own(pair.program.base / "lock")
        assert "status: ok (backup/expire running - 25.00% complete)" in pair.program.run("info").output
        status = pair.program.info(detail_level="progress")[0]["status"]
    assert status["lock"]["backup"]["repo"] == [{"key": 1, "size": 1000, "size-cplt": 250}]
    assert "running" not in pair.program.run("info").output


def test_info_without_the_passphrase_says_why(pair) -> None:
    pair.program.environ["HOLDFAST_REPO2_CIPHER_PASS"] = "wrong"
    done = pair.program.run("info")
    assert "repo1: ok" in done.output
    assert "repo2: error (other)\n               [CryptoError]" in done.output
    assert PASSPHRASE not in done.output


def test_info_of_a_repository_that_is_not_there(workshop) -> None:
    program = workshop.holdfast(repo1_path=workshop.path("nowhere"))
    assert program.run("info", stanza=None).output == "No stanzas exist in the repository.\n"
    assert program.run("info", stanza=None, output="json").output == "[]"
    assert program.run("info").output == "stanza: main\n    status: error (missing stanza path)\n"
    assert program.attempt("info", set="20200101-000000F", detail_level="progress").status == 31
