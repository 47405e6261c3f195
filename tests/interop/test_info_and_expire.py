# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On a repository with a past, both programs see the same and let go of the same."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast, Oracle, Program


@dataclass
class Past:
    """Two repositories that pgBackRest filled: a set of an older cluster, then F1 D1 I1 F2 D2 in the first one."""

    workshop: Workshop
    ours: Holdfast
    theirs: Oracle
    labels: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def past(module_workshop) -> Past:
    workshop = module_workshop
    other = account.make_directory(workshop.path("repo"), 0o750)
    labels = {}
    old = workshop.cluster()
    options = {"repo2_path": other, "repo1_bundle": True, "repo2_bundle": True}
    theirs = workshop.oracle(old, **options)
    workshop.archive(old, theirs)
    old.start()
    theirs.stanza_create()
    labels["OLD"] = theirs.backup("full", repo=1)
    old.stop()

    cluster = workshop.cluster()
    cluster.start()
    cluster.tablespace("ts_here")
    cluster.sql("create database app")
    cluster.stop()
    theirs = workshop.oracle(cluster, **options)
    workshop.archive(cluster, theirs)
    cluster.start()
    theirs.run("stanza-upgrade")
    for name, kind, notes in (
        ("F1", "full", {}),
        ("D1", "diff", {"annotation": ["who=me", "note=long text"]}),
        ("I1", "incr", {}),
        ("F2", "full", {}),
        ("D2", "diff", {}),
    ):
        cluster.wait_archived(cluster.switch_wal())
        cluster.sql("create table if not exists t (a text)")
        cluster.sql("insert into t select repeat('x', 1000) from generate_series(1, 100)")
        labels[name] = theirs.backup(kind, repo=1, **notes)
    cluster.wait_archived(cluster.switch_wal())
    theirs.backup("full", repo=2)
    cluster.stop()
    ours = workshop.holdfast(cluster, repo2_path=other)
    return Past(workshop, ours, theirs, labels)


# -- info


def seen(program: Program, **options: Any) -> Any:
    """info as JSON, without what pgBackRest 2.45 does not know yet."""
    found = program.info(**options)
    for stanza in found:
        stanza["status"]["lock"].pop("restore", None)
    return found


def lines(program: Program, **options: Any) -> list[str]:
    """info as text, without what pgBackRest 2.45 shows differently: offsets, references, rounding of sizes."""
    shown = program.run("info", **options).output.splitlines()
    return [
        re.sub(r"[0-9.]+(KB|MB)", "...", line)
        for line in shown
        if "timestamp" not in line and "backup reference" not in line
    ]


@pytest.mark.parametrize("options", [{}, {"stanza": None}, {"repo": 1}, {"repo": 2}], ids=str)
def test_info_as_json_is_the_same(past: Past, options: dict[str, Any]) -> None:
    assert seen(past.ours, **options) == seen(past.theirs, **options)


def test_info_as_json_has_the_same_form(past: Past) -> None:
    ours, theirs = (program.run("info", output="json").output for program in (past.ours, past.theirs))
    assert ours.replace(',"restore":{"held":false}', "") == theirs


def test_info_as_text_says_the_same(past: Past) -> None:
    assert lines(past.ours) == lines(past.theirs)
    assert len(lines(past.ours)) > 30


@pytest.mark.parametrize("name", ["OLD", "F1", "D1"])
def test_one_backup_in_detail_says_the_same(past: Past, name: str) -> None:
    options = {"set": past.labels[name], "repo": 1}
    assert lines(past.ours, **options) == lines(past.theirs, **options)


def test_a_damaged_repository_is_part_of_the_report(past: Past) -> None:
    copy = Copy(past, past.ours)
    shutil.rmtree(copy.path / "archive")
    info = copy.program.run("info", output="json", repo=1).json
    assert [repo["status"]["code"] for stanza in info for repo in stanza["repo"]] == [99]
    shutil.rmtree(copy.path / "backup" / "main")
    assert copy.program.run("info", output="json", repo=1).json[0]["status"]["code"] == 1
    (copy.path / "backup" / "main").mkdir()
    assert copy.program.run("info", output="json", repo=1).json[0]["status"]["code"] == 3


# -- expire


class Copy:
    """A copy of the first repository, and a program that works on it."""

    def __init__(self, past: Past, of: Program) -> None:
        self.path = past.workshop.path("copy")
        shutil.copytree(past.ours.repository, self.path, symlinks=True)
        account.own(self.path)
        make = past.workshop.holdfast if isinstance(of, Holdfast) else past.workshop.oracle
        assert of.cluster is not None
        self.program: Program = make(of.cluster, repo1_path=self.path)

    def tree(self) -> list[str]:
        return sorted(_names(self.path))

    def listed(self) -> list[str]:
        return self.program.labels()


def _names(path: Path) -> Iterator[str]:
    for found in path.rglob("*"):
        yield f"{found.relative_to(path)}{'@' if found.is_symlink() else ''}"


CASES: list[dict[str, Any]] = [
    {},
    {"repo1_retention_full": 1},
    {"repo1_retention_full": 2},
    {"repo1_retention_full": 3},
    {"repo1_retention_full": 9},
    {"repo1_retention_full": 2, "repo1_retention_diff": 1},
    {"repo1_retention_full": 3, "repo1_retention_archive": 1},
    {"repo1_retention_full": 9, "repo1_retention_diff": 2, "repo1_retention_archive_type": "diff"},
    {"repo1_retention_full": 9, "repo1_retention_archive": 1, "repo1_retention_archive_type": "incr"},
    {"repo1_retention_full": 9, "set": "F2"},
    {"repo1_retention_full": 9, "set": "D1"},
    {"repo1_retention_full": 1, "repo1_retention_full_type": "time"},
    {"repo1_retention_full": 1, "repo1_retention_history": 0},
]


@pytest.mark.parametrize("options", CASES, ids=lambda options: " ".join(map(str, options.values())) or "nothing")
def test_expire_lets_go_of_the_same(past: Past, options: dict[str, Any]) -> None:
    options = {**options, "set": past.labels.get(options.get("set", ""))}
    ours, theirs = Copy(past, past.ours), Copy(past, past.theirs)
    before = theirs.tree()
    ours.program.run("expire", dry_run=True, **options)
    assert ours.tree() == before
    results = [copy.program.attempt("expire", **options) for copy in (ours, theirs)]
    assert [result.status for result in results] == [0, 0], results
    # A history directory that has become empty stays with them.
    years = {name for name in theirs.tree() if name.startswith("backup/main/backup.history/2") and name.count("/") == 3}
    assert set(ours.tree()) | years == set(theirs.tree()) | years
    assert ours.listed() == theirs.listed()
    latest = ours.path / "backup" / "main" / "latest"
    assert latest.readlink() == (theirs.path / "backup" / "main" / "latest").readlink()


def test_they_expire_and_continue_what_we_have_expired(past: Past) -> None:
    ours = Copy(past, past.ours)
    ours.program.run("expire", repo1_retention_full=2)
    theirs = past.workshop.oracle(past.theirs.cluster, repo1_path=ours.path)
    theirs.run("expire", repo1_retention_full=1)
    assert theirs.labels() == [past.labels["F2"], past.labels["D2"]]
    assert seen(ours.program) == seen(theirs)


def test_a_backup_that_nobody_has_a_newer_full_for_stays(past: Past) -> None:
    ours, theirs = Copy(past, past.ours), Copy(past, past.theirs)
    for copy in (ours, theirs):
        copy.program.run("expire", set=past.labels["F2"])
        assert copy.program.attempt("expire", set=past.labels["F1"]).status == 104
    assert ours.tree() == theirs.tree()


def test_annotations_of_one_are_seen_by_the_other(past: Past) -> None:
    ours = Copy(past, past.ours)
    theirs = past.workshop.oracle(past.theirs.cluster, repo1_path=ours.path)
    ours.program.run("annotate", set=past.labels["D1"], annotation=["who=", "ticket=4711"])
    theirs.run("annotate", set=past.labels["D1"], annotation=["note=short"])
    (backup,) = [item for item in ours.program.info()[0]["backup"] if item["label"] == past.labels["D1"]]
    assert backup["annotation"] == {"note": "short", "ticket": "4711"}
    assert seen(ours.program) == seen(theirs)


def test_a_lost_manifest_is_noticed_by_both(past: Past) -> None:
    ours, theirs = Copy(past, past.ours), Copy(past, past.theirs)
    for copy in (ours, theirs):
        (copy.path / "backup/main" / past.labels["D1"] / "backup.manifest").unlink()
        copy.program.run("expire", repo1_retention_full=9)
    assert past.labels["I1"] not in ours.listed()
    assert ours.listed() == theirs.listed()
    assert ours.tree() == theirs.tree()


def test_a_forgotten_backup_is_found_by_both(past: Past) -> None:
    """backup.info of before the last two backups: both are complete, so both come back."""
    ours, theirs = Copy(past, past.ours), Copy(past, past.theirs)
    expected = seen(ours.program)
    for copy in (ours, theirs):
        whole = {name: (copy.path / "backup/main" / name) for name in (past.labels["F2"], past.labels["D2"])}
        for name, path in whole.items():
            path.rename(copy.path / name)
        copy.program.run("expire", repo1_retention_full=9)
        for name, path in whole.items():
            (copy.path / name).rename(path)
        assert past.labels["F2"] not in copy.listed()
        copy.program.run("expire", repo1_retention_full=9)
    assert seen(ours.program) == seen(theirs.program) == expected
