# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup a restore starts from, and whether its timeline can lead to the target. Values in, values out.

A backup is usable for a target only if it had ended before it: recovery has to replay to its stop point in any case.
"""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import BackupSetInvalidError, DbMismatchError, FormatError
from ..format.backup_info import BackupEntry, BackupInfo
from ..postgres.lsn import parse_lsn, render_lsn

_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:[.,]\d+)?(?:(Z)|([+-])(\d\d)(?::?(\d\d))?)?", re.ASCII
)


_TIMELINE = re.compile(r"0[xX]([0-9a-fA-F]+)|([0-9]+)")


class Listing(NamedTuple):
    """The backups of one repository. name: how messages call it (repo1)."""

    name: str
    info: BackupInfo


class Chosen(NamedTuple):
    """position: of the repository in the listings; warnings: why others were passed over."""

    position: int
    entry: BackupEntry
    warnings: tuple[str, ...] = ()


def choose_set(listings: Sequence[Listing], label: str | None, kind: str, target: str | None) -> Chosen:
    """The backup to restore, from the first repository that has a fitting one; BackupSetInvalidError when none has.

    label: asked for by name. kind, target: the recovery target, which chooses for time and lsn.
    """
    if label is not None:
        for position, listing in enumerate(listings):
            if label in listing.info.backups:
                return Chosen(position, listing.info.backups[label])
        raise BackupSetInvalidError(
            f"backup set {label} is not valid: no repository lists it", "use the info command to see the labels"
        )
    warnings: list[str] = []
    for position, listing in enumerate(listings):
        entries = [listing.info.backups[name] for name in sorted(listing.info.backups, reverse=True)]
        if not entries:
            warnings.append(f"{listing.name}: no backup sets to restore")
            continue
        if kind == "time" and target is not None:
            found = _before_time(entries, parse_target_time(target))
        elif kind == "lsn" and target is not None:
            found = _before_lsn(entries, parse_lsn(target), listing.name, warnings)
        else:
            found = _newest(entries[0], listing)
        if found is not None:
            return Chosen(position, found, tuple(warnings))
        warnings.append(f"{listing.name}: no backup set ends before {kind} target {target}")
    raise BackupSetInvalidError(
        "no backup set found to restore" + "".join(f"\n{warning}" for warning in warnings),
        "use the info command to see when each backup ended; give --set to choose one yourself",
    )


def _newest(entry: BackupEntry, listing: Listing) -> BackupEntry:
    if entry.pg_id != listing.info.current_id:
        raise BackupSetInvalidError(
            f"the newest backup, {entry.label}, was made before the last stanza-upgrade",
            "give --set=<label> to restore it all the same, or make a backup of the upgraded cluster first",
        )
    return entry


def _before_time(entries: Sequence[BackupEntry], moment: int) -> BackupEntry | None:
    return next((entry for entry in entries if entry.timestamp_stop < moment), None)


def _before_lsn(entries: Sequence[BackupEntry], lsn: int, name: str, warnings: list[str]) -> BackupEntry | None:
    for entry in entries:
        if entry.lsn_stop is None:
            warnings.append(f"{name}: backup {entry.label} has no LSNs (it was made offline), cannot look further back")
            return None
        if parse_lsn(entry.lsn_stop) <= lsn:
            return entry
    return None


def parse_target_time(text: str) -> int:
    """Epoch seconds of YYYY-MM-DD HH:MM:SS[.fraction][offset]; without an offset it is local time. FormatError else."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise FormatError(
            f"cannot choose a backup set for the time target '{text}'",
            "write it as YYYY-MM-DD HH:MM:SS with an optional offset such as +02, or choose the backup with --set",
        )
    year, month, day, hour, minute, second = (int(match.group(index)) for index in range(1, 7))
    valid_date = year and 1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]
    if not (valid_date and hour < 24 and minute < 60 and second < 61):
        raise FormatError(
            f"'{text}' is not a valid time", "write it as YYYY-MM-DD HH:MM:SS, for example 2026-01-31 23:59:00"
        )
    if match.group(7):
        return calendar.timegm((year, month, day, hour, minute, second))
    if match.group(8):
        offset = int(match.group(9)) * 3600 + int(match.group(10) or 0) * 60
        return calendar.timegm((year, month, day, hour, minute, second)) - (
            offset if match.group(8) == "+" else -offset
        )
    return int(time.mktime((year, month, day, hour, minute, second, 0, 0, -1)))


def parse_timeline(text: str) -> int:
    """A target timeline given as a decimal, or hexadecimal after 0x; DbMismatchError for anything else."""
    match = _TIMELINE.fullmatch(text)
    number = 0 if match is None else int(match[1] or match[2], 16 if match[1] else 10)
    if not 0 < number < 1 << 32:
        raise DbMismatchError(
            f"target timeline '{text}' is not a timeline", "use current, latest or the number of a timeline"
        )
    return number


def check_timeline(entry: BackupEntry, target: int, history: Sequence[tuple[int, int]]) -> None:
    """DbMismatchError unless the target timeline passed through the backup.

    history: (timeline, LSN at which it ended) of the target timeline's ancestors, oldest first.
    """
    start = parse_lsn(entry.lsn_start or "0/0")
    timeline = int((entry.archive_start or "0" * 24)[:8], 16)
    for ancestor, end in history:
        if ancestor == timeline:
            if end > start:
                return
            raise DbMismatchError(
                f"timeline {target} forked from timeline {timeline} at {render_lsn(end)}, before backup {entry.label} "
                f"started at {render_lsn(start)}",
                f"restore an earlier backup with --set, or stay on the backup's timeline with "
                f"--target-timeline=current or --target-timeline={timeline}",
            )
    raise DbMismatchError(
        f"timeline {timeline} of backup {entry.label} is not in the history of target timeline {target}",
        "choose a backup made on the target timeline or one of its ancestors, or use --target-timeline=current",
    )
