# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the measuring happens: clusters with data, and both programs beside each of them.

A site is made when a case first asks for it. With --keep its cluster stays for the next time.
"""

from __future__ import annotations

import compileall
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..plugins.module_utils import _install
from ..tests.support import account
from ..tests.support.cluster import Cluster
from ..tests.support.program import Holdfast, Oracle, Program
from ..tests.support.servers import server
from . import data
from .measure import Pair, Sample, measure

SETTINGS: dict[str, Any] = {
    "archive_mode": True,
    "autovacuum": False,  # it would change the data between two runs
    "checkpoint_timeout": "1h",
    "max_locks_per_transaction": 1024,
    "max_wal_size": "4GB",
    "shared_buffers": "256MB",
}
WORKERS = 2
COMPLETE = "complete"  # the file that says that a cluster has its data
ARCHIVE = "holdfast-or-pgbackrest"  # what archive_command runs; both programs want to be named there

Once = Callable[[Program], Sample]


class Installed(Holdfast):
    """The engine as the role installs it on a host: with bytecode, behind the launcher."""

    places: _install.Places

    @property
    def start(self) -> list[str]:
        return [self.places.command]


class Site:
    """A running cluster, and the two programs, each with a repository of its own.

    The cluster archives through a script, which starts the program that is being measured.
    """

    def __init__(self, base: Path, cluster: Cluster, places: _install.Places) -> None:
        self.base, self.cluster = base, cluster
        self.ours = Installed(base / "h", cluster, **self._options("h"))
        self.ours.places = places
        self.theirs = Oracle(base / "o", cluster, **self._options("o"))

    @property
    def programs(self) -> tuple[Program, Program]:
        return self.ours, self.theirs

    def _options(self, name: str) -> dict[str, Any]:
        fixed = {"process_max": WORKERS, "log_level_console": "warn", "repo1_retention_full": 99}
        return {**fixed, "repo1_path": self.base / name / "repo"}

    def configure(self, **options: Any) -> None:
        """Give both programs the same options."""
        for program in self.programs:
            program.configure(**options)

    def begin(self, program: Program) -> None:
        """An empty repository, which the cluster archives to."""
        self.archive_to("true")
        account.remove(program.repository)
        account.make_directory(program.repository, 0o750)
        program.stanza_create()
        self.turn_to(program)

    def turn_to(self, program: Program) -> None:
        """Let the cluster archive to a program's repository from now on, with nothing left over that it has to do."""
        self.archive_to("true")
        self.cluster.wait_archived(self.cluster.switch_wal())
        self.archive_to(f'exec {program.line("archive-push")} "$1"')
        self.cluster.sql("checkpoint")

    def archive_to(self, command: str) -> None:
        """Let the cluster run a command of the shell for each WAL file, which is $1."""
        point_archive(self.base, command)

    def empty(self, name: str) -> Path:
        """An empty directory."""
        account.remove(self.base / name)
        return account.make_directory(self.base / name)

    def measured(self, program: Program, command: str, *parameters: str, **options: Any) -> Sample:
        return measure(program.argv(command, *parameters, **options), program.environ)


class Workbench:
    """All that a case needs. work: the directory for everything; warm: whether the first run of each is thrown away."""

    def __init__(self, work: Path, scale: data.Scale, warm: bool) -> None:
        self.work = account.make_directory(work, 0o755)
        self.scale, self.warm = scale, warm
        self.wal: list[Path] = []
        self._sites: dict[str, Site] = {}
        self._places = install_engine(work / "engine")

    @property
    def large(self) -> Site:
        """The cluster with gigabytes in a few hundred files."""
        site = self._site("large", lambda cluster: data.fill_with_rows(cluster, self.scale.size))
        if not self.wal:
            archive = account.make_directory(self.work / "large" / "wal")
            site.archive_to(f'exec cp "$1" {archive}/')
            self.wal = data.write_wal(site.cluster, archive, self.scale.segments, 20 if self.warm else 2)
        return site

    @property
    def files(self) -> Site:
        """The cluster with very many small files."""
        return self._site("files", lambda cluster: data.fill_with_files(cluster, self.scale.files))

    def _site(self, name: str, fill: Callable[[Cluster], None]) -> Site:
        if name not in self._sites:
            for other in self._sites.values():  # only what is measured shall run
                other.cluster.stop()
            self._sites.clear()
            cluster = self._cluster(self.work / name, fill)
            self._sites[name] = Site(self.work / name, cluster, self._places)
        return self._sites[name]

    def _cluster(self, base: Path, fill: Callable[[Cluster], None]) -> Cluster:
        settings = {**SETTINGS, "archive_command": f"{base}/{ARCHIVE} %p"}
        size = f"{self.scale}\n"
        complete = base / COMPLETE
        if complete.exists() and complete.read_text() == size:
            return Cluster(server(), base).start()
        account.remove(base)
        cluster = Cluster(server(), base, settings=settings).init()
        point_archive(base, "true")
        try:
            cluster.start()
            fill(cluster)
        except BaseException:
            cluster.destroy()
            raise
        account.write_file(complete, size)
        return cluster

    def alternate(self, once: Once, site: Site, pairs: int) -> Iterator[Pair]:
        """Ours, theirs, ours, theirs..."""
        for number in range(-1 if self.warm else 0, pairs):
            pair = Pair(once(site.ours), once(site.theirs))
            if number >= 0:
                yield pair

    def close(self, keep: bool) -> None:
        """Stop what runs; remove everything, unless it is kept: then only what can be made again quickly."""
        for site in self._sites.values():
            site.cluster.stop()
        for path in sorted(self.work.iterdir()):
            kept = [part for part in ("data", "s", "wal", "log", ARCHIVE, COMPLETE) if keep and path.name != "engine"]
            for inner in path.iterdir():
                if inner.name not in kept:
                    account.remove(inner) if inner.is_dir() else inner.unlink()
        if not keep:
            account.remove(self.work)


def point_archive(base: Path, command: str) -> None:
    new = account.write_file(base / f"{ARCHIVE}.new", f"#!/bin/sh\n{command}\n", 0o755)
    os.replace(new, base / ARCHIVE)


def install_engine(prefix: Path) -> _install.Places:
    """Install the checkout's engine below a prefix, run by this interpreter and its libraries."""
    shutil.rmtree(prefix, ignore_errors=True)
    places = _install.Places(os.fspath(prefix))
    argv = [sys.executable, "-I", "-c", _install.PROBE]
    done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True)
    python = _install.Interpreter.of_answer(sys.executable, done.stdout)
    _install.write_sources(os.path.join(places.engine, _install.PACKAGE), _install.payload())
    compileall.compile_dir(places.engine, quiet=1)
    for path, (content, mode) in _install.texts(places, python).items():
        _install.write_file(path, content, mode)
    _install.write_link(places.current, places.version)
    _install.write_link(places.command, os.path.join("..", "lib", "holdfast", "current", "bin", "holdfast"))
    return places
