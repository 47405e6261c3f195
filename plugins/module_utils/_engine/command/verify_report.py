# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify found, as facts for programs and as pgBackRest's text for people.

The text adds one section to pgBackRest's: WAL that a backup cannot be restored without and that is not there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..log import DETAIL
from .verify_check import CHECKSUM, MISSING, OTHER, SIZE
from .verify_plan import Span

log = logging.getLogger("holdfast")

ROOM = 1000  # findings that are logged, and errors that become facts: a lost disk can make a million
VALID, INVALID, NO_MANIFEST, IN_PROGRESS = "valid", "invalid", "manifest missing", "in-progress"
_KINDS = {MISSING: "missing", CHECKSUM: "checksum invalid", SIZE: "size invalid", OTHER: "other"}


@dataclass
class ArchiveResult:
    """One archive id. checked: files of segments; skipped: those among them of duplicates, segments with several files.

    spans: runs of consecutive segments. segment_size: bytes, None when no segment tells. wrong: segments by kind.
    """

    archive_id: str
    checked: int
    skipped: int
    duplicates: tuple[str, ...]
    spans: Sequence[Span]
    segment_size: int | None
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def valid(self) -> int:
        return self.checked - self.skipped - sum(self.wrong.values())


@dataclass
class BackupResult:
    """One backup. missing_wal: runs of segments without which it cannot be restored."""

    label: str
    status: str = VALID
    checked: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    missing_wal: Sequence[Span] = ()

    @property
    def valid(self) -> int:
        return self.checked - sum(self.wrong.values())


@dataclass
class Report:
    """lines: why nothing could be looked at. archives, backups: in the order in which they are looked at.

    errors: what is wrong, as facts, as far as there is room; error_total: all of it. lost: backups that are listed and
    have no manifest, which pgBackRest does not call an error. bytes: that were read; duration: seconds.
    """

    stanza: str
    repo: int
    lines: list[str] = field(default_factory=list)
    archives: list[ArchiveResult] = field(default_factory=list)
    backups: list[BackupResult] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    error_total: int = 0
    lost: list[str] = field(default_factory=list)
    bytes: int = 0
    duration: float = 0.0
    _told: int = 0

    def archive(self, archive_id: str) -> ArchiveResult | None:
        """None for what is the label of a backup."""
        return next((archive for archive in self.archives if archive.archive_id == archive_id), None)

    def tell(self, level: int, message: str, code: int = 0) -> None:
        """Log a finding while it is fresh. code: of the error, 0 for none."""
        self._told += 1
        if self._told == ROOM:
            log.warning("there are %d findings so far; further ones are logged at level detail", ROOM)
        level = level if self._told <= ROOM else DETAIL
        log.log(level, "%s", message, extra={"code": code} if code else None)

    def add_error(self, kind: str, message: str, count: int = 1, **details: Any) -> None:
        self.error_total += count
        if len(self.errors) < ROOM:
            self.errors.append({"kind": kind, "message": message, **details})

    @property
    def is_error(self) -> bool:
        return self.error_total > 0

    def facts(self) -> dict[str, Any]:
        return {
            "stanza": self.stanza,
            "repo": self.repo,
            "status": "error" if self.is_error else "ok",
            "archives": [_archive_facts(archive) for archive in self.archives],
            "backups": [_backup_facts(backup) for backup in self.backups],
            "errors": self.errors,
            "totals": {
                "errors": self.error_total,
                "wal": sum(archive.checked for archive in self.archives),
                "wal_valid": sum(archive.valid for archive in self.archives),
                "files": sum(backup.checked for backup in self.backups),
                "files_valid": sum(backup.valid for backup in self.backups),
                "bytes": self.bytes,
                "duration": round(self.duration, 3),
            },
            "lost": self.lost,
        }


def _archive_facts(archive: ArchiveResult) -> dict[str, Any]:
    return {
        "archive_id": archive.archive_id,
        "checked": archive.checked,
        "valid": archive.valid,
        **_count_facts(archive.wrong),
        "duplicates": list(archive.duplicates),
        "ranges": [list(span) for span in archive.spans],
        "segment_size": archive.segment_size,
    }


def _backup_facts(backup: BackupResult) -> dict[str, Any]:
    return {
        "label": backup.label,
        "status": backup.status,
        "checked": backup.checked,
        "valid": backup.valid,
        **_count_facts(backup.wrong),
        "missing_wal": [list(span) for span in backup.missing_wal],
    }


def _count_facts(wrong: Counter[str]) -> dict[str, int]:
    return {text.replace(" ", "_"): wrong[kind] for kind, text in _KINDS.items()}


def render_text(report: Report, verbose: bool) -> str:
    """The report as pgBackRest prints it; not verbose: only of what something is wrong with."""
    return "".join(f"{line}\n" for line in _lines(report, verbose))


def _lines(report: Report, verbose: bool) -> Iterator[str]:
    yield f"stanza: {report.stanza}"
    yield f"status: {'error' if report.is_error else 'ok'}"
    for line in report.lines:
        yield f"  {line}"
    if report.lines and not (report.archives or report.backups):
        return  # nothing was looked at, which is not the same as nothing found
    if verbose and not report.archives:
        yield "  archiveId: none found"
    for archive in report.archives:
        if verbose or archive.checked != archive.valid:
            yield (
                f"  archiveId: {archive.archive_id}, total WAL checked: {archive.checked},"
                f" total valid WAL: {archive.valid}"
            )
            yield from _counters(archive.checked, archive.wrong, verbose)
    if verbose and not report.backups:
        yield "  backup: none found"
    for backup in report.backups:
        if verbose or backup.status not in (VALID, IN_PROGRESS):
            yield (
                f"  backup: {backup.label}, status: {backup.status}, total files checked: {backup.checked},"
                f" total valid files: {backup.valid}"
            )
            yield from _counters(backup.checked, backup.wrong, verbose)
    for backup in report.backups:
        if backup.missing_wal:
            yield f"  missing WAL of backup: {backup.label}"
            for first, last in backup.missing_wal:
                yield f"    {first}" if first == last else f"    {first} to {last}"


def _counters(checked: int, wrong: Counter[str], verbose: bool) -> Iterator[str]:
    shown = [f"{text}: {wrong[kind]}" for kind, text in _KINDS.items() if verbose or wrong[kind]]
    if checked and shown:
        yield f"    {', '.join(shown)}"
