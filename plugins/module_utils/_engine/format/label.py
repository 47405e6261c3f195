# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backup labels: time, type and lineage in one name that sorts by age.

    20261122-102955F                      full
    20261122-102955F_20261122-103252D     diff, of the set of that full
    20261122-102955F_20261122-103314I     incr, of the set of that full

Times are local, because format 5 has it so: programs that share a repository must share a time zone.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import AssertError, ClockError, FormatError

LETTERS = {"full": "F", "diff": "D", "incr": "I"}

_LABEL = re.compile(r"([0-9]{8}-[0-9]{6}F)(?:_([0-9]{8}-[0-9]{6})([DI]))?")
_TYPES = {letter: type for type, letter in LETTERS.items()}
_FULL_LENGTH = len("YYYYMMDD-HHMMSSF")


class Label(NamedTuple):
    """What a label says. full: label of the full backup of the set; type: full, diff, incr; time: YYYYMMDD-HHMMSS."""

    full: str
    type: str
    time: str


def parse_label(label: str) -> Label:
    """The parts of a label; FormatError when it is none."""
    match = _LABEL.fullmatch(label)
    if match is None:
        raise FormatError(f"'{label}' is not a backup label", "a label looks like 20261122-102955F")
    full, child_time, letter = match.groups()
    return Label(full, _TYPES[letter], child_time) if letter else Label(full, "full", full[:-1])


def is_label(text: str) -> bool:
    """Whether text is a label of any type."""
    return _LABEL.fullmatch(text) is not None


def is_full(text: str) -> bool:
    """Whether text is the label of a full backup."""
    return len(text) == _FULL_LENGTH and is_label(text)


def full_label(seconds: int) -> str:
    """Label of a full backup that starts at seconds (epoch), in local time."""
    return f"{_local(seconds)}F"


def child_label(full: str, seconds: int, letter: str) -> str:
    """Label of a diff (letter D) or incr (letter I) in the set of the full backup, in local time."""
    return f"{full}_{_local(seconds)}{letter}"


def next_label(type: str, prior: str | None, start: int, existing: Iterable[str]) -> tuple[str, int]:
    """Label of a new backup, and the second (epoch) that must have begun before the backup starts.

    type: full, diff or incr. prior: label the backup is based on, None for a full. start: seconds, epoch.
    existing: labels of all backup directories, complete or not, and of the history manifests of the newest year.

    Labels must grow, so the new one sorts after all others. When that takes another second, the following one is used.
    A label from the future in another set cannot be passed by a diff or incr, and would block this set until the
    next full: then it is enough to sort after the diffs and incrs of this set. ClockError when nothing helps.
    """
    if (type == "full") != (prior is None):
        raise AssertError(f"a {type} backup cannot be based on {prior}")
    labels = list(existing)
    full = parse_label(prior).full if prior is not None else None
    siblings = [label for label in labels if full is not None and label.startswith(f"{full}_")]
    for others in (labels, siblings) if full is not None else (labels,):
        newest = max(others, default="")
        for seconds in (start, start + 1):
            label = full_label(seconds) if full is None else child_label(full, seconds, LETTERS[type])
            if label > newest:
                return label, seconds
    raise ClockError(
        f"new backup label {label} is not later than the newest backup label {newest}",
        "has the clock been set back, or do programs that share the repository run in different time zones?",
    )


def _local(seconds: int) -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(seconds))
