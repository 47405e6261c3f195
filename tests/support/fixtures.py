# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of the tests that need servers; the conftest.py of each directory names the ones it offers.

A server that the tests expect and that is not here fails them: a silent skip would look like a pass.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from . import account
from .cluster import Cluster
from .program import Holdfast, Oracle, Program
from .servers import Server, server

EVERY_RUN = (15, 17, 18)  # the distribution's and the two newest majors
SWEEP = (13, 14, 16)


def _scratch() -> Iterator[Path]:
    # Not pytest's tmp_path: its names are too long for a Unix socket, and its modes lock the account out.
    path = Path(tempfile.mkdtemp(prefix="hf-"))
    try:
        account.own(path)
        yield path
    finally:
        account.remove(path)


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory with a short name that belongs to the account; gone after the test."""
    yield from _scratch()


@pytest.fixture(scope="module")
def module_scratch() -> Iterator[Path]:
    """The same, for all tests of a module."""
    yield from _scratch()


class Workshop:
    """Makes clusters and programs below one directory, and stops them all at the end."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.repository = account.make_directory(scratch / "repo", 0o750)
        self._numbers = itertools.count(1)
        self._clusters: list[Cluster] = []

    def path(self, name: str) -> Path:
        """A path that nothing has used yet."""
        return self.scratch / f"{name}{next(self._numbers)}"

    def cluster(self, of: Server | None = None, **options: Any) -> Cluster:
        """A new cluster, initialised and not yet started. options: of Cluster and of its init()."""
        for_init = {name: options.pop(name) for name in ("checksums", "wal_segment_mb", "arguments") if name in options}
        cluster = Cluster(of or server(), self.path("c"), **options)
        self._clusters.append(cluster)
        return cluster.init(**for_init)

    def restored(self, data: Path, of: Server | None = None, **settings: Any) -> Cluster:
        """A cluster on a data directory that a restore wrote, not yet started.

        settings: PostgreSQL parameters in addition to the restored ones; archiving is off unless they say otherwise, so
        that the copy does not push into the stanza of the original.
        """
        settings = {"archive_mode": "off", **settings}
        cluster = Cluster(of or server(), self.path("c"), data=data, settings=settings)
        self._clusters.append(cluster)
        return cluster

    def standby(self, of: Cluster, **settings: Any) -> Cluster:
        """A running standby of a running cluster."""
        cluster = of.standby(self.path("c"), settings)
        self._clusters.append(cluster)
        return cluster

    def holdfast(self, cluster: Cluster | None = None, **options: Any) -> Holdfast:
        """The engine, on the workshop's repository unless repo1_path says otherwise. options: of Program."""
        return Holdfast(self.path("h"), cluster, **self._with_repository(options))

    def oracle(self, cluster: Cluster | None = None, **options: Any) -> Oracle:
        """pgBackRest, on the same repository."""
        if not Oracle.is_here():
            pytest.fail("pgBackRest is not installed")
        return Oracle(self.path("o"), cluster, **self._with_repository(options))

    def archive(self, cluster: Cluster, program: Program, **settings: Any) -> None:
        """Let a cluster that is not running archive through a program."""
        cluster.configure(archive_mode=True, archive_command=program.archive_command, **settings)

    def close(self) -> None:
        for cluster in self._clusters:
            cluster.destroy()

    def _with_repository(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"repo1_path": self.repository, **options}


def _workshop(path: Path) -> Iterator[Workshop]:
    made = Workshop(path)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def workshop(scratch: Path) -> Iterator[Workshop]:
    """Clusters and programs for one test."""
    yield from _workshop(scratch)


@pytest.fixture(scope="module")
def module_workshop(module_scratch: Path) -> Iterator[Workshop]:
    """Clusters and programs that the tests of a module share."""
    yield from _workshop(module_scratch)


@pytest.fixture(
    scope="module",
    params=[*EVERY_RUN, *(pytest.param(major, marks=pytest.mark.slow) for major in SWEEP)],
    ids=lambda major: f"pg{major}",
)
def each_server(request: pytest.FixtureRequest) -> Server:
    """Every major version in turn; the older ones only in the slow sweep."""
    return server(request.param)
