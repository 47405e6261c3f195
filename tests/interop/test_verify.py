# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two programs verify one repository: after every kind of damage they report the same, word for word."""

from __future__ import annotations

import dataclasses
import gzip
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, damage, fixtures
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast, Oracle

PASSPHRASE = "a passphrase of some length"
MANIFESTS = ("backup.manifest", "backup.manifest.copy")
INFOS = ("archive/main/archive.info", "backup/main/backup.info")


@dataclasses.dataclass
class Verified:
    """A repository with two sets of backups by both programs: one without bundles, then one with."""

    root: Path
    kept: Path
    cluster: Cluster
    holdfast: Holdfast
    oracle: Oracle

    def renew(self) -> None:
        """Undo all damage; what is as it was is not copied again."""
        kept, found = states(self.kept), states(self.root)
        for name in sorted(set(found) - set(kept), reverse=True):
            path = self.root / name
            path.rmdir() if path.is_dir() else path.unlink()
        for name in sorted(kept):
            if kept[name] != found.get(name):
                (self.root / name).parent.mkdir(exist_ok=True)
                (self.root / name).unlink(missing_ok=True)  # whatever mode a test left it
                shutil.copy2(self.kept / name, self.root / name)
                account.own(self.root / name)

    @property
    def labels(self) -> list[str]:
        return sorted(path.name for path in (self.root / "backup/main").iterdir() if path.name.startswith("20"))

    def backup(self, number: int) -> Path:
        """Directory of a backup; 0: full, 1: incr on it, 2 and 3: the same with bundles."""
        return self.root / "backup/main" / self.labels[number]

    @property
    def segments(self) -> list[Path]:
        return sorted(self.root.glob("archive/main/15-1/*/*.gz"))

    def reports(self, **options: object) -> tuple[str, str]:
        """What both print: ours, theirs."""
        # Retries would wait for a damaged file to heal.
        ours = self.holdfast.run("verify", output="text", job_retry=0, process_max=2, **options).output
        fixed = {"output": "text", "job_retry": 0, "process_max": 2, "log_level_console": "off"}
        return ours, self.oracle.run("verify", **fixed, **options).output


def states(root: Path) -> dict[str, tuple[int, ...]]:
    """What tells whether a file has changed, of all below root; directories only are there."""
    found = {}
    for folder, folders, names in os.walk(root):
        for name in [*folders, *names]:
            status = os.lstat(os.path.join(folder, name))
            state = () if name in folders else (status.st_size, status.st_mtime_ns, status.st_mode)
            found[os.path.relpath(os.path.join(folder, name), root)] = state
    return found


def make(workshop: Workshop, encrypted: bool) -> Verified:
    options = {"compress_type": "gz"}
    if encrypted:
        options.update(repo1_cipher_type="aes-256-cbc", repo1_cipher_pass=PASSPHRASE)
    cluster = workshop.cluster(wal_segment_mb=1)
    holdfast = workshop.holdfast(cluster, repo1_retention_full=20, **options)
    oracle = workshop.oracle(cluster, repo1_retention_full=20, **options)
    workshop.archive(cluster, oracle)
    cluster.start()
    oracle.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 10000) id")
    for bundle, programs in ((False, (oracle, holdfast)), (True, (holdfast, oracle))):
        for kind, program in zip(("full", "incr"), programs):
            program.backup(kind, repo1_bundle=bundle)
            cluster.sql("update thing set name = upper(name) where id % 1000 = 0")
        for _number in range(3):  # WAL that no backup needs
            cluster.sql("insert into thing select generate_series(1, 10)")
            cluster.wait_archived(cluster.switch_wal())
    cluster.stop()
    kept = workshop.path("kept")
    shutil.copytree(workshop.repository, kept, symlinks=True)  # with times and modes
    return Verified(workshop.repository, kept, cluster, holdfast, oracle)


def _made(encrypted: bool) -> Iterator[Verified]:
    for scratch in fixtures._scratch():
        for workshop in fixtures._workshop(scratch):
            yield make(workshop, encrypted)


@pytest.fixture(scope="module")
def made_clear() -> Iterator[Verified]:
    yield from _made(encrypted=False)


@pytest.fixture(scope="module")
def made_encrypted() -> Iterator[Verified]:
    yield from _made(encrypted=True)


@pytest.fixture
def clear(made_clear: Verified) -> Verified:
    made_clear.renew()
    return made_clear


@pytest.fixture
def encrypted(made_encrypted: Verified) -> Verified:
    made_encrypted.renew()
    return made_encrypted


@pytest.fixture(params=["clear", "encrypted"])
def both(request: pytest.FixtureRequest) -> Verified:
    verified: Verified = request.getfixturevalue(request.param)
    return verified


def stored_files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "pg_data").rglob("*.gz") if path.stat().st_size > 300)


def append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


def set_aside(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


def make_folder(both: Verified, *names: str) -> None:
    for name in names:
        account.make_directory(both.root / name, 0o750)


DAMAGE: dict[str, Callable[[Verified], object]] = {
    "none at all": lambda both: None,
    "a bit of a file": lambda both: damage.flip_bit(stored_files(both.backup(0))[3]),
    "a bit of a file of the incremental": lambda both: damage.flip_bit(stored_files(both.backup(1))[0]),
    "a file is shorter": lambda both: damage.cut(stored_files(both.backup(0))[5], 100),
    "a file is longer": lambda both: append(stored_files(both.backup(0))[5], b"x"),
    "a file is gone": lambda both: stored_files(both.backup(0))[7].unlink(),
    "an empty file is gone": lambda both: next(
        path for path in sorted((both.backup(0) / "pg_data").rglob("*.gz")) if path.stat().st_size in (20, 48)
    ).unlink(),
    "a file cannot be read": lambda both: stored_files(both.backup(0))[9].chmod(0),
    "a bit of a bundle": lambda both: damage.flip_bit(both.backup(2) / "bundle/1"),
    "a bundle is shorter": lambda both: damage.cut(both.backup(2) / "bundle/1", 200_000),
    "a bundle is gone": lambda both: (both.backup(2) / "bundle/1").unlink(),
    "a bundle of the incremental is gone": lambda both: next((both.backup(3) / "bundle").iterdir()).unlink(),
    "a bit of a segment": lambda both: damage.flip_bit(both.segments[2]),
    "a segment is shorter": lambda both: damage.cut(both.segments[2], 500),
    "a segment is empty": lambda both: damage.cut(both.segments[2], 0),
    "a segment nobody needs is gone": lambda both: both.segments[-2].unlink(),
    "a segment is there twice": lambda both: account.own(
        Path(shutil.copy2(both.segments[3], both.segments[3].with_suffix("")))
    ),
    "an archive id that is not known": lambda both: make_folder(both, "archive/main/14-7"),
    "an archive directory is empty": lambda both: make_folder(both, "archive/main/15-1/00000009000000AA"),
    "a manifest": lambda both: damage.flip_bit(both.backup(0) / "backup.manifest"),
    "a manifest is gone": lambda both: set_aside(both.backup(1), "backup.manifest"),
    "a manifest and its copy": lambda both: [
        damage.flip_bit(both.backup(0) / name) for name in MANIFESTS
    ],
    "both manifests are gone": lambda both: set_aside(both.backup(1), *MANIFESTS),
    "a backup that runs": lambda both: make_folder(both, "backup/main/20371231-010000F"),
    "an info file": lambda both: damage.flip_bit(both.root / "backup/main/backup.info"),
    "a copy of an info file": lambda both: damage.flip_bit(both.root / "archive/main/archive.info.copy"),
    "a copy of an info file is gone": lambda both: set_aside(both.root / "backup/main", "backup.info.copy"),
}


OF_A_BUNDLE = ("a bit of a bundle", "a bundle is shorter", "a bundle is gone")


@pytest.mark.parametrize("kind", DAMAGE)
def test_both_report_the_same(clear: Verified, kind: str) -> None:
    both_report_the_same(clear, kind)


@pytest.mark.parametrize(
    "kind", ["none at all", "a bit of a file", "a bit of a bundle", "a bit of a segment", "a manifest", "an info file"]
)
def test_both_report_the_same_of_what_is_encrypted(encrypted: Verified, kind: str) -> None:
    both_report_the_same(encrypted, kind)


def both_report_the_same(both: Verified, kind: str) -> None:
    DAMAGE[kind](both)
    for verbose in (None, True):
        ours, theirs = (report.splitlines() for report in both.reports(verbose=verbose))
        assert not verbose or ours[0] == "stanza: main"
        if kind in OF_A_BUNDLE:
            # What depends on a bundle pgBackRest finds or does not find, as its workers happen to come along.
            depending, ours = without(ours, both.labels[3])
            assert "status: invalid" in depending[0]
            theirs = without(theirs, both.labels[3])[1]
        assert ours == theirs


def without(lines: list[str], label: str) -> tuple[list[str], list[str]]:
    """The lines about a backup, and the others."""
    start = next((number for number, line in enumerate(lines) if f"backup: {label}," in line), len(lines))
    return lines[start : start + 2], lines[:start] + lines[start + 2 :]


def test_both_report_a_segment_of_other_content(clear: Verified) -> None:
    clear.segments[2].write_bytes(gzip.compress(bytes(1000)))
    ours, theirs = clear.reports()
    assert ours == theirs and "checksum invalid: 1" in ours


@pytest.mark.parametrize("names", [INFOS[1:], INFOS], ids=["one", "both"])
def test_both_refuse_without_usable_info_files(both: Verified, names: tuple[str, ...]) -> None:
    for name in names:
        for path in (both.root / name, both.root / f"{name}.copy"):
            damage.flip_bit(path)
    ours, theirs = both.reports()
    assert len(ours.splitlines()) == len(theirs.splitlines()) == 2 + len(names)
    assert ours.splitlines()[:2] == theirs.splitlines()[:2] == ["stanza: main", "status: error"]


def test_we_tell_what_they_do_not(both: Verified) -> None:
    """WAL that a backup needs; pgBackRest is content without it."""
    label = both.labels[0]
    start = next(item["archive"]["start"] for item in both.holdfast.info()[0]["backup"] if item["label"] == label)
    (path,) = [path for path in both.segments if path.name.startswith(start)]
    path.unlink()
    ours, theirs = both.reports()
    assert theirs == ""
    assert ours.splitlines()[1:] == ["status: error", f"  missing WAL of backup: {label}", f"    {start}"]
    assert both.holdfast.attempt("verify", fail_on_error=True).status == 104


def test_content_is_what_it_should_be(both: Verified) -> None:
    facts = both.holdfast.run("verify", output="json", check_content=True).json
    assert facts["status"] == "ok" and [item["status"] for item in facts["backups"]] == ["valid"] * 4


def test_both_list_the_same_and_hand_out_the_same(both: Verified) -> None:
    label = both.labels[0]
    paths = ("backup/main", f"backup/main/{label}/pg_data/global", "archive/main", "nothing", "backup/main/latest")
    for options in ({}, {"output": "json"}, {"recurse": True, "output": "json"}, {"sort": "desc", "filter": "info"}):
        for path in paths:
            ours = both.holdfast.run("repo-ls", path, stanza=None, **options).output
            assert ours == both.oracle.run("repo-ls", path, stanza=None, **options).output
    segment = str(both.segments[0].relative_to(both.root))
    of_backup = [f"backup/main/{label}/{name}" for name in ("backup.manifest", "pg_data/PG_VERSION.gz")]
    for path in (*INFOS, f"{INFOS[0]}.copy", *of_backup, segment):
        for raw in (None, True):
            ours = both.holdfast.run("repo-get", path, stanza=None, raw=raw).output
            assert ours == both.oracle.run("repo-get", path, stanza=None, raw=raw).output
