# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis strategies for the values of the field, shared by all tests."""

from __future__ import annotations

import calendar
from random import Random

from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupEntry


def full_labels() -> st.SearchStrategy[str]:
    return st.from_regex(r"20[0-9]{6}-[0-9]{6}F", fullmatch=True)


def labels() -> st.SearchStrategy[str]:
    """Labels of all three types."""
    return st.from_regex(r"20[0-9]{6}-[0-9]{6}F(_20[0-9]{6}-[0-9]{6}[DI])?", fullmatch=True)


def lsns() -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 64) - 1)


def segment_sizes() -> st.SearchStrategy[int]:
    """Bytes; all sizes that PostgreSQL allows."""
    return st.sampled_from([1 << power for power in range(20, 31)])


# -- backup lists


@st.composite
def backup_chains(draw: st.DrawFn, min_size: int = 0) -> list[BackupEntry]:
    """A list of backups as a stanza collects them, oldest first: diffs on their full, incrs on any of the set."""
    chain: list[BackupEntry] = []
    position = 1
    kinds = st.lists(st.sampled_from(["full", "diff", "incr"]), min_size=min_size, max_size=9)
    for number, kind in enumerate(draw(kinds)):
        fulls = [entry for entry in chain if entry.type == "full"]
        if not fulls:
            kind = "full"
        stamp = f"202611{1 + number:02d}-000000"
        prior = None
        if kind != "full":
            of_set = [entry.label for entry in chain if entry.label.startswith(fulls[-1].label)]
            prior = fulls[-1].label if kind == "diff" else draw(st.sampled_from(of_set))
        label = f"{stamp}F" if kind == "full" else f"{fulls[-1].label}_{stamp}{kind[0].upper()}"
        start = position + draw(st.integers(0, 3))
        stop = start + draw(st.integers(0, 1))
        position = stop + 1
        online = draw(st.integers(0, 5)) > 0
        at = calendar.timegm((2026, 11, 1 + number, 0, 0, 0))
        chain.append(
            BackupEntry(
                label, kind, at, at + 60, 1, 1, 1, 1, 1, prior=prior,
                archive_start=f"{1:08X}{0:08X}{start:08X}" if online else None,
                archive_stop=f"{1:08X}{0:08X}{stop:08X}" if online else None,
            )
        )  # fmt: skip
    return chain


def size_texts() -> st.SearchStrategy[str]:
    """Sizes as people write them: 0, 20MiB, 8gb, 64K."""
    units = st.sampled_from(["", *"bkmgtp", "kb", "mb", "gb", "kib", "mib", "gib", "tib", "pib"])
    return st.builds(
        lambda number, unit, upper: f"{number}{unit.upper() if upper else unit}", st.integers(0, 4096), units, st.booleans()
    )


def time_texts() -> st.SearchStrategy[str]:
    """Times as people write them: 30, 500ms, 2H."""
    units = st.sampled_from(["", "ms", "s", "m", "h", "d", "w", "MS", "S", "M", "H", "D", "W"])
    return st.builds(lambda number, unit: f"{number}{unit}", st.integers(0, 10**6), units)


# -- bytes


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """What a file may hold: nothing, a few bytes, long runs, noise, and mixtures; up to 300 KB."""
    runs = st.builds(lambda byte, length: bytes([byte]) * length, st.integers(0, 255), st.integers(0, 100_000))
    noise = st.builds(lambda seed, length: Random(seed).randbytes(length), st.integers(0, 99), st.integers(0, 50_000))
    return b"".join(draw(st.lists(st.one_of(st.binary(max_size=300), runs, noise), max_size=3)))
