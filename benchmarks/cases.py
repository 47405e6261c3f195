# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases. Each function prepares its case on the workbench and returns the site and what is measured once a program.

Everything is done as PostgreSQL's and a person's own runs do it: a new process each, its start and its fixed waits (for
the next second of the clock, for WAL to arrive in the archive) included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..tests.support.program import Program
from .measure import Sample
from .workbench import Once, Site, Workbench

QUICK_FACTOR = 4  # so many times the pairs for what takes a second or less


@dataclass(frozen=True)
class Case:
    """budget: the ratio of wall times that the design allows, None without one. factor: of the number of pairs."""

    name: str
    what: str
    prepare: Callable[[Workbench], tuple[Site, Once]]
    budget: float | None = None
    factor: int = 1


def full_backup(site_name: str, compress: str, level: int | None, bundle: bool, bench: Workbench) -> tuple[Site, Once]:
    """A full backup into an empty repository."""
    site: Site = getattr(bench, site_name)
    site.configure(compress_type=compress, compress_level=level, repo1_bundle=bundle)

    def once(program: Program) -> Sample:
        site.begin(program)
        return site.measured(program, "backup", type="full")

    return site, once


def incremental(bench: Workbench) -> tuple[Site, Once]:
    """An incremental backup when nothing has changed since the one before."""
    site = bench.files
    prepare_backups(site)

    def once(program: Program) -> Sample:
        site.turn_to(program)
        return site.measured(program, "backup", type="incr")

    return site, once


def restore(site_name: str, bundle: bool, bench: Workbench) -> tuple[Site, Once]:
    """A restore into an empty directory."""
    site: Site = getattr(bench, site_name)
    prepare_backups(site, bundle)
    return site, lambda program: site.measured(program, "restore", pg1_path=site.empty("restored"))


def restore_delta(bench: Workbench) -> tuple[Site, Once]:
    """A restore over what the same program has just restored."""
    site = bench.large
    prepare_backups(site)
    for program in site.programs:
        program.restore(site.empty(f"restored-{program.base.name}"))

    def once(program: Program) -> Sample:
        data = site.base / f"restored-{program.base.name}"
        return site.measured(program, "restore", pg1_path=data, delta=True)

    return site, once


def archive_push(bench: Workbench) -> tuple[Site, Once]:
    """One segment into the repository; both get the same ones in the same order."""
    site = bench.large
    queues = prepare_archives(site, bench.wal)
    return site, lambda program: site.measured(program, "archive-push", str(next(queues[program])))


def archive_get(bench: Workbench) -> tuple[Site, Once]:
    """One segment out of the repository."""
    site = bench.large
    queues = prepare_archives(site, bench.wal)
    for program in site.programs:
        for segment in bench.wal:
            program.run("archive-push", str(segment))

    def once(program: Program) -> Sample:
        destination = site.empty("fetched") / "segment"
        return site.measured(program, "archive-get", next(queues[program]).name, str(destination))

    return site, once


def version(bench: Workbench) -> tuple[Site, Once]:
    """The start of the program, and its end."""
    site = bench.large
    return site, lambda program: site.measured(program, "version", stanza=None, config=None)


# What cases have in common


def prepare_backups(site: Site, bundle: bool = False) -> None:
    """A full backup by each program into its own repository."""
    site.configure(compress_type="zst", compress_level=3, repo1_bundle=bundle)
    for program in site.programs:
        site.begin(program)
        program.run("backup", type="full", timeout=1800)


def prepare_archives(site: Site, segments: list[Path]) -> dict[Program, Iterator[Path]]:
    """Empty archives that nothing else writes to, and for each program the segments, again and again."""
    site.configure(compress_type="zst", compress_level=3)
    for program in site.programs:
        site.begin(program)
    site.archive_to("true")
    return {program: itertools.cycle(segments) for program in site.programs}


def _full(site: str, compress: str, level: int | None, bundle: bool, budget: float | None) -> Case:
    setting = compress if level is None else f"{compress} {level}"
    form = "bundled" if bundle else "one file each"
    name = "-".join(part for part in (site if site == "files" else "", "full", compress, "bundled" * bundle) if part)
    data = ", 100,000 files" if site == "files" else ""
    return Case(
        name, f"full backup, {setting}, {form}{data}", partial(full_backup, site, compress, level, bundle), budget
    )


CASES = [
    _full("large", "zst", 3, True, 0.85),
    _full("large", "zst", 3, False, 0.85),
    _full("large", "gz", 6, True, 0.25),
    _full("large", "gz", 6, False, 0.25),
    _full("large", "lz4", 1, True, 0.85),
    _full("large", "lz4", 1, False, 0.85),
    _full("large", "none", None, True, 0.85),
    _full("large", "none", None, False, 0.85),
    Case("restore-zst", "restore, zst", partial(restore, "large", False), 0.65),
    Case("restore-zst-delta", "restore --delta, nothing changed, zst", restore_delta, 0.85),
    Case("archive-push-zst", "archive-push of a segment, sync, zst 3", archive_push, 1.0, QUICK_FACTOR),
    Case("archive-get-zst", "archive-get of a segment, sync, zst", archive_get, None, QUICK_FACTOR),
    Case("version", "start-up: version", version, None, QUICK_FACTOR),
    _full("files", "zst", 3, True, 0.85),
    _full("files", "zst", 3, False, 0.40),
    Case("files-restore-zst-bundled", "restore, zst, bundled, 100,000 files", partial(restore, "files", True), 0.45),
    Case("files-restore-zst", "restore, zst, one file each, 100,000 files", partial(restore, "files", False), 0.45),
    Case("files-incr-zst", "incremental, nothing changed, zst, 100,000 files", incremental, 0.85),
]
