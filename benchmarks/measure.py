# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Running a program to its end and saying what it cost; ratios between two programs.

Wall time is what a person waits for. CPU time, of the program and all its processes, is what a machine with other work
to do still measures well, so every figure comes with both.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..tests.support import account

LIMIT = 1800.0  # seconds that a program may take


class RunFailedError(RuntimeError):
    """A measured program ended with another status than 0; the text has its output."""


@dataclass(frozen=True)
class Sample:
    """One run. wall, cpu: seconds; memory: bytes, the peak of its largest process."""

    wall: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class Pair:
    """The same work done by both, one right after the other."""

    ours: Sample
    theirs: Sample


@dataclass(frozen=True)
class Spread:
    """The median of some figures, with the least and the greatest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: Sequence[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))


def ratios(pairs: Sequence[Pair], figure: Callable[[Sample], float]) -> Spread:
    """How much of a figure we need for each that they need, pair by pair."""
    return Spread.of([figure(pair.ours) / figure(pair.theirs) for pair in pairs])


# Starts a program from a small process: the kernel counts what was in memory before an exec to the peak of after it.
# Prints status, wall seconds, CPU seconds and peak KiB; what the program prints goes to standard error.
METER = """
import os, sys, time
begin = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, 2, 1)])
_process, status, usage = os.wait4(process, 0)
wall = time.perf_counter() - begin
print(os.waitstatus_to_exitcode(status), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def measure(argv: Sequence[str], environ: Mapping[str, str]) -> Sample:
    """Run a program as the account of the tests; RunFailedError unless it succeeds."""
    os.sync()  # what the run before has left to be written is not ours to wait for
    done = account.run([sys.executable, "-I", "-S", "-c", METER, *argv], environ=environ, timeout=LIMIT)
    status, wall, cpu, peak = done.stdout.split()
    if status != "0":
        raise RunFailedError(f"{' '.join(argv)} ended with {status}\n{done.stderr}")
    return Sample(float(wall), float(cpu), int(peak) * 1024)
