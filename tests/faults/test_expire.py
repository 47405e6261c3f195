# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A crash anywhere in expire or annotate: what is listed can still be restored, and the next run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import (
    BackupInfo,
    parse_backup_info,
)
from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast

TIMES = 50  # more often than anything here passes a point; the loops end long before


@pytest.fixture(scope="module")
def grown(module_workshop) -> tuple[Workshop, Holdfast]:
    """A repository with two full sets and WAL around them, which is only copied from."""
    cluster = module_workshop.cluster()
    program = module_workshop.holdfast(cluster, repo1_bundle=True)
    module_workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    for kind in ("full", "incr", "full", "diff"):
        cluster.wait_archived(cluster.switch_wal())
        program.backup(kind)
    cluster.stop()
    return module_workshop, program


def copy_of(grown: tuple[Workshop, Holdfast]) -> Holdfast:
    workshop, program = grown
    path = workshop.path("copy")
    shutil.copytree(program.repository, path, symlinks=True)
    account.own(path)
    return workshop.holdfast(program.cluster, repo1_path=path)


def tree(program: Holdfast) -> list[str]:
    return sorted(str(path.relative_to(program.repository)) for path in program.repository.rglob("*"))


def listed(path: Path) -> BackupInfo:
    """The list, of which at least one of the two files is whole."""
    whole = []
    for name in ("backup.info", "backup.info.copy"):
        if (path / name).exists():
            whole.append(parse_backup_info((path / name).read_bytes()))
    return whole[0]


def check_valid(program: Holdfast) -> None:
    """What is listed and still has its manifest has everything: its files and what it is based on.

    A listed backup without a manifest is no backup any more: every reader that matters takes it off the list.
    """
    path = program.repository / "backup" / "main"
    info = listed(path)
    alive = {label for label in info.backups if (path / label / "backup.manifest").exists()}
    for label in alive:
        entry = info.backups[label]
        assert entry.prior is None or entry.prior in alive
        for other in (label, *entry.reference):
            assert list((path / other / "bundle").iterdir()), f"{label} has lost {other}"
        segments = (program.repository / "archive/main/15-1").rglob(f"{entry.archive_start}-*")
        assert len(list(segments)) == 1, f"{label} has lost its WAL"


@pytest.mark.parametrize("point", ["expire.manifest", "expire.list", "expire.directory", "expire.wal",
                                   "storage.local.rename", "storage.local.sync_path"])  # fmt: skip
def test_a_crash_anywhere_in_expire_strands_no_backup(grown, point: str) -> None:
    options = {"repo1_retention_full": 1, "repo1_retention_history": 0}
    finished = copy_of(grown)
    finished.run("expire", **options)
    expected = tree(finished)
    assert len(finished.labels()) == 2
    for time in range(1, TIMES):
        program = copy_of(grown)
        program.environ["HOLDFAST_FAULTS"] = f"{point}@{time}=kill"
        result = program.attempt("expire", **options)
        if result.status == 0:
            break
        assert result.status < 0, result
        check_valid(program)
        program.environ.clear()
        program.run("expire", **options)
        assert [name for name in tree(program) if not name.endswith(".tmp")] == expected
    else:
        pytest.fail("expire never came to its end")
    assert time > 1, f"expire never passes {point}"


def test_a_crash_anywhere_in_annotate_keeps_the_list(grown) -> None:
    program = copy_of(grown)
    label = program.labels()[0]
    for moment in range(1, TIMES):
        program.environ["HOLDFAST_FAULTS"] = f"*@{moment}=kill"
        if program.attempt("annotate", set=label, annotation=f"moment={moment}").status == 0:
            break
        assert len(listed(program.repository / "backup" / "main").backups) == 4
    else:
        pytest.fail("annotate never came to its end")
    program.environ.clear()
    assert program.info()[0]["backup"][0]["annotation"] == {"moment": str(moment)}


@pytest.mark.parametrize("failure", ["storage.local.sync@1=raise:ENOSPC", "storage.local.rename@2=raise:EIO"])
def test_a_disk_that_fails_leaves_the_list_readable(grown, failure: str) -> None:
    program = copy_of(grown)
    program.environ["HOLDFAST_FAULTS"] = failure
    failed = program.attempt("expire", repo1_retention_full=1)
    assert failed.status == 104
    assert "repo1: [File" in failed.error
    check_valid(program)
    program.environ.clear()
    program.run("expire", repo1_retention_full=1)
    assert len(program.labels()) == 2
