# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One repository, two programs: what either writes, the other reads, continues and finds nothing wrong with.

pgBackRest is the judge: it lists, verifies and restores what we wrote, and takes an incremental on top of it.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import checks
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast, Oracle, Program

TYPES = ("none", "gz", "lz4", "zst", "bz2")
PASSPHRASE = "a passphrase of some length"


@dataclasses.dataclass
class Pair:
    """A cluster whose WAL both programs can read, and the two programs on one repository."""

    workshop: Workshop
    cluster: Cluster
    holdfast: Holdfast
    oracle: Oracle


def make_pair(workshop: Workshop, archiver: str, encrypted: bool = False) -> Pair:
    options: dict[str, Any] = {}
    if encrypted:
        options = {"repo1_cipher_type": "aes-256-cbc", "repo1_cipher_pass": PASSPHRASE}
    cluster = workshop.cluster(wal_segment_mb=1)
    holdfast = workshop.holdfast(cluster, repo1_retention_full=20, **options)
    oracle = workshop.oracle(cluster, repo1_retention_full=20, **options)
    # Each program looks for its own name in the command, whoever archives.
    command = f"{(holdfast if archiver == 'ours' else oracle).archive_command} # holdfast pgbackrest"
    cluster.configure(archive_mode=True, archive_command=command)
    cluster.start()
    (holdfast if archiver == "ours" else oracle).stanza_create()
    cluster.tablespace("space")
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 30000) id")
    # Enough for several frames of zst.
    cluster.sql("create table long as select id, repeat(md5(id::text), 60) filler from generate_series(1, 5000) id")
    cluster.sql("create table in_space tablespace space as select generate_series(1, 5000) id")
    cluster.sql("create table empty (id int)")
    return Pair(workshop, cluster, holdfast, oracle)


@pytest.fixture(scope="module", params=["clear", "encrypted"])
def ours(request: pytest.FixtureRequest) -> Any:
    yield from _with_workshop(request, "ours")


@pytest.fixture(scope="module", params=["clear", "encrypted"])
def theirs(request: pytest.FixtureRequest) -> Any:
    yield from _with_workshop(request, "theirs")


def _with_workshop(request: pytest.FixtureRequest, archiver: str) -> Any:
    from ansible_collections.holdfast.postgres.tests.support import fixtures

    for scratch in fixtures._scratch():
        for workshop in fixtures._workshop(scratch):
            yield make_pair(workshop, archiver, request.param == "encrypted")


def change(cluster: Cluster) -> None:
    cluster.sql("update thing set name = upper(name) where id % 1000 = 0")
    cluster.sql("insert into in_space select generate_series(1, 100)")


def restored(pair: Pair, program: Program, label: str, expected: Any) -> None:
    """Restore a set, start it, compare every row and let PostgreSQL's own checkers look at it."""
    data, spaces = pair.workshop.path("r"), pair.workshop.path("ts")
    program.restore(data, set=label, tablespace_map_all=spaces, type="immediate", target_action="promote")
    cluster = pair.workshop.restored(data).start()
    cluster.wait_for("select not pg_is_in_recovery()")
    assert checks.contents(cluster) == expected
    checks.check_relations(cluster)
    cluster.stop()
    checks.check_page_checksums(cluster)
    cluster.destroy()


def verified(oracle: Oracle) -> None:
    result = oracle.run("verify", output="text", verbose=True)
    assert "status: error" not in result.output, result.output
    assert "status: ok" in result.output, result.output


MATRIX = [
    pytest.param(kind, bundle, marks=() if (kind, bundle) in {("zst", True), ("gz", False), ("none", True)} else
                 pytest.mark.slow if kind in ("bz2",) and bundle else ())
    for kind, bundle in itertools.product(TYPES, (False, True))
]  # fmt: skip


@pytest.mark.parametrize(("kind", "bundle"), MATRIX)
def test_they_list_verify_restore_and_continue_what_we_wrote(ours: Pair, kind: str, bundle: bool) -> None:
    options = {"compress_type": kind, "repo1_bundle": bundle}
    expected = checks.contents(ours.cluster)
    full = ours.holdfast.backup("full", **options)
    assert ours.oracle.labels()[-1] == full
    verified(ours.oracle)
    restored(ours, ours.oracle, full, expected)
    change(ours.cluster)
    expected = checks.contents(ours.cluster)
    incr = ours.oracle.backup("incr", **options)
    assert incr.startswith(full + "_"), "their incremental rests on our full"
    verified(ours.oracle)
    restored(ours, ours.oracle, incr, expected)
    restored(ours, ours.holdfast, incr, expected)


@pytest.mark.parametrize(("kind", "bundle"), MATRIX)
def test_we_restore_and_continue_what_they_wrote(theirs: Pair, kind: str, bundle: bool) -> None:
    options = {"compress_type": kind, "repo1_bundle": bundle}
    expected = checks.contents(theirs.cluster)
    full = theirs.oracle.backup("full", **options)
    assert theirs.holdfast.labels()[-1] == full
    restored(theirs, theirs.holdfast, full, expected)
    change(theirs.cluster)
    expected = checks.contents(theirs.cluster)
    incr = theirs.holdfast.backup("incr", **options)
    assert incr.startswith(full + "_"), "our incremental rests on their full"
    verified(theirs.oracle)
    restored(theirs, theirs.oracle, incr, expected)
    restored(theirs, theirs.holdfast, incr, expected)
