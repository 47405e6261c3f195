# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may go from one repository: pure rules, from the backup list, the retention and the file names to a plan.

A backup goes with everything that depends on it. WAL goes when no backup that stays needs it: neither to become
consistent, which every backup does, nor to roll forward, which only the newest retention-archive backups may. WAL is
compared by name, so by timeline first.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..errors import BackupSetInvalidError, FormatError
from ..format.label import full_label, is_label

if TYPE_CHECKING:
    from ..format.archive_info import PgHistory
    from ..format.backup_info import BackupEntry

DAY = 86400  # seconds
COUNTED = {"full": ("full",), "diff": ("full", "diff"), "incr": ("full", "diff", "incr")}  # by retention-archive-type

Note = tuple[int, str]  # level of the logging module, text

_SEGMENT = re.compile(r"[0-9A-F]{24}")


@dataclass(frozen=True)
class Retention:
    """What one repository keeps; None is without limit.

    full: full backups, or days with full_in_days. diff: differential backups, fulls counted. archive: backups of
    archive_type that keep continuous WAL. history: days for history manifests.
    """

    full: int | None = None
    full_in_days: bool = False
    diff: int | None = None
    archive: int | None = None
    archive_type: str = "full"
    history: int | None = None


@dataclass(frozen=True)
class Request:
    """What is asked of this one run: a backup to expire (set), the oldest set, WAL before a segment."""

    label: str | None = None
    oldest: bool = False
    archive_before: str | None = None


@dataclass(frozen=True)
class WalTree:
    """What is below one archive id: WAL directories (16 hex digits), history files, file names by directory."""

    paths: Sequence[str] = ()
    histories: Sequence[str] = ()
    files: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """One repository as it is.

    backups: the list, reconciled, ascending by label. history: oldest first, as in backup.info, and archive_history as
    in archive.info. on_disk: labels of all directories. unfinished: the newest of them when it has only the copy of a
    manifest; unfinished_prior: the backup that it builds on. wal: by archive id, of those that exist. manifests: names
    of history manifests by year.
    """

    backups: Mapping[str, BackupEntry]
    history: Sequence[PgHistory]
    archive_history: Sequence[PgHistory]
    current_id: int
    on_disk: Sequence[str] = ()
    unfinished: str | None = None
    unfinished_prior: str | None = None
    wal: Mapping[str, WalTree] = field(default_factory=dict)
    manifests: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ExpiredSet:
    """A backup that goes and what goes with it. why: full, diff or ad hoc; labels: oldest first."""

    why: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class WalRemoval:
    """What goes below one archive id. whole: the archive id itself goes. files are '<path>/<name>'.

    spans: (first, last) of what is next to each other, for the log; whole paths by their 16 digits.
    """

    archive_id: str
    whole: bool = False
    paths: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    histories: tuple[str, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.whole or self.paths or self.files or self.histories)


@dataclass(frozen=True)
class ExpirePlan:
    """What goes from one repository.

    remove: labels that leave the list, newest first: a crash halfway strands no backup without its references.
    directories: label directories without a place in the list, newest first, so those of remove included.
    latest: the label that the latest link must lead to, None for no link; relink: it does not lead there now.
    manifests: '<year>/<name>' below the history; years: those that are empty afterwards.
    found: the backup asked for is in this repository.
    """

    sets: tuple[ExpiredSet, ...] = ()
    remove: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()
    latest: str | None = None
    relink: bool = False
    wal: tuple[WalRemoval, ...] = ()
    manifests: tuple[str, ...] = ()
    years: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    found: bool = True

    @property
    def changes(self) -> bool:
        """Whether anything goes."""
        return bool(self.remove or self.directories or self.wal or self.manifests)


def plan_expire(state: State, retention: Retention, request: Request, now: int) -> ExpirePlan:
    """Everything that goes from one repository. now: epoch seconds.

    BackupSetInvalidError when the backup asked for must stay; FormatError when the two info files disagree.
    """
    notes: list[Note] = []
    if request.oldest:
        retention = retention_without_oldest(state.backups, retention, notes)
    if request.label is None:
        sets, retention = plan_retention(state.backups, retention, now, notes)
    else:
        sets = plan_set(state.backups, request.label)
    gone = {label for group in sets for label in group.labels}
    kept = {label: entry for label, entry in state.backups.items() if label not in gone}
    newest, latest = (max(labels, default=None) for labels in (state.backups, kept))
    if request.label is not None and newest != latest:
        notes.append(
            (logging.WARNING, f"the newest backup {newest} is expired: point-in-time recovery may be impaired")
        )
    manifests, years = plan_history(state.manifests, retention.history, kept, now)
    return ExpirePlan(
        sets=tuple(sets),
        remove=tuple(sorted(gone, reverse=True)),
        directories=tuple(plan_directories(state, kept, request)),
        latest=latest,
        relink=newest != latest,
        wal=tuple(plan_wal(state, kept, retention, request, notes)),
        manifests=tuple(manifests),
        years=tuple(years),
        notes=tuple(notes),
        found=request.label is None or request.label in state.backups,
    )


# -- backups


def dependents(backups: Mapping[str, BackupEntry], label: str) -> tuple[str, ...]:
    """label and all backups that rest on it, directly or not, oldest first."""
    found = {label}
    for other in sorted(backups):  # a backup is younger than what it rests on
        entry = backups[other]
        if entry.prior in found or (other.partition("_")[0] == label):
            found.add(other)
    return tuple(sorted(found))


def retention_without_oldest(backups: Mapping[str, BackupEntry], retention: Retention, notes: list[Note]) -> Retention:
    """The retention under which the oldest full set goes, if a newer full remains."""
    fulls = len(_of_type(backups, ("full",)))
    if fulls <= 1:
        notes.append((logging.WARNING, "there is no newer full backup, so the oldest is not expired"))
        return retention
    if retention.full_in_days:
        notes.append((logging.INFO, "the retention of full backups by time is overridden for this run"))
    return replace(retention, full=fulls - 1, full_in_days=False, archive=fulls - 1, archive_type="full")


def plan_retention(
    backups: Mapping[str, BackupEntry], retention: Retention, now: int, notes: list[Note]
) -> tuple[list[ExpiredSet], Retention]:
    """The sets that the retention lets go, and the retention with what the number of full backups decides for WAL."""
    fulls = _of_type(backups, ("full",))
    surplus: list[str] = []
    if retention.full is not None and retention.full_in_days:
        keep_from = _newest_full_before(backups, now - retention.full * DAY)
        if keep_from is not None:
            surplus = fulls[: fulls.index(keep_from)]
            if retention.archive is None and retention.archive_type == "full":
                retention = replace(retention, archive=len(fulls) - len(surplus))
        elif retention.archive is None and retention.archive_type == "full":
            notes.append((logging.INFO, f"no full backup is older than {retention.full} days, so no WAL is expired"))
    elif retention.full is not None:
        surplus = fulls[: -retention.full]
    sets = [ExpiredSet("full", dependents(backups, label)) for label in surplus]
    if retention.diff is not None:
        gone = {label for group in sets for label in group.labels}
        counted = [label for label in _of_type(backups, ("full", "diff")) if label not in gone]
        for label in counted[: -retention.diff]:
            if backups[label].type == "diff":
                sets.append(ExpiredSet("diff", dependents(backups, label)))
    return sets, retention


def plan_set(backups: Mapping[str, BackupEntry], label: str) -> list[ExpiredSet]:
    """The one set that was asked for; BackupSetInvalidError when it is all that the current cluster has."""
    if label not in backups:
        return []
    fulls = _of_type(backups, ("full",))
    if label == fulls[-1] and (len(fulls) == 1 or backups[fulls[-2]].pg_id != backups[label].pg_id):
        raise BackupSetInvalidError(
            f"full backup {label} cannot be expired until another full backup has been made of this cluster",
            "make a full backup first, or remove the whole stanza with stanza-delete",
        )
    return [ExpiredSet("ad hoc", dependents(backups, label))]


def plan_directories(state: State, kept: Collection[str], request: Request) -> list[str]:
    """Label directories that are not in the list, newest first; a running or resumable backup stays."""
    directories = [label for label in sorted(state.on_disk, reverse=True) if label not in kept]
    unfinished = state.unfinished
    if unfinished in directories:
        same_set = request.label is not None and request.label.partition("_")[0] == unfinished.partition("_")[0]
        if not (same_set and state.unfinished_prior is not None and state.unfinished_prior not in kept):
            directories.remove(unfinished)
    return directories


def _of_type(backups: Mapping[str, BackupEntry], types: Collection[str]) -> list[str]:
    return sorted(label for label, entry in backups.items() if entry.type in types)


def _newest_full_before(backups: Mapping[str, BackupEntry], limit: int) -> str | None:
    """The newest full backup that ended before limit: it must stay, so that one of that age always exists."""
    for label in reversed(_of_type(backups, ("full",))):
        if backups[label].timestamp_stop < limit:
            return label
    return None


# -- history manifests


def plan_history(
    manifests: Mapping[str, Sequence[str]], days: int | None, kept: Collection[str], now: int
) -> tuple[list[str], list[str]]:
    """'<year>/<name>' of the manifests that are too old, and years without any left; listed backups keep theirs."""
    if days is None:
        return [], []
    limit = full_label(now - days * DAY)
    removed, years = [], []
    for year in sorted(manifests):
        labels = {name: name.partition(".")[0] for name in manifests[year]}
        old = [name for name, label in labels.items() if is_label(label) and label < limit and label not in kept]
        removed += [f"{year}/{name}" for name in sorted(old)]
        if old and len(old) == len(labels):
            years.append(year)
    return removed, years


# -- write-ahead log


class Keep:
    """The WAL to keep below one archive id: ranges of segment names, inclusive; a stop of None is without end.

    anchor: the segment from which on everything is kept.
    """

    def __init__(self, ranges: Iterable[tuple[str, str | None]], anchor: str) -> None:
        self.anchor = anchor
        self._ranges: list[tuple[str, str | None]] = []
        for start, stop in sorted(ranges, key=lambda item: item[0]):
            if self._ranges and (self._ranges[-1][1] is None or start <= self._ranges[-1][1]):
                last_start, last_stop = self._ranges[-1]
                self._ranges[-1] = (last_start, None if stop is None or last_stop is None else max(stop, last_stop))
            else:
                self._ranges.append((start, stop))
        self._starts = [start for start, _stop in self._ranges]
        self._start_paths = [start[:16] for start in self._starts]

    def covers(self, segment: str) -> bool:
        """segment: 24 digits."""
        index = bisect_right(self._starts, segment) - 1
        return index >= 0 and _reaches(self._ranges[index][1], segment)

    def touches(self, path: str) -> bool:
        """path: 16 digits; whether anything below it is kept."""
        index = bisect_right(self._start_paths, path) - 1
        return index >= 0 and _reaches(self._ranges[index][1], path)


def _reaches(stop: str | None, name: str) -> bool:
    return stop is None or name <= stop[: len(name)]


def plan_wal(
    state: State, kept: Mapping[str, BackupEntry], retention: Retention, request: Request, notes: list[Note]
) -> list[WalRemoval]:
    """What goes below each archive id, oldest first. kept: the list after the expiration of backups."""
    if retention.archive is None:
        notes.append((logging.INFO, "WAL is not expired: retention-archive is not set"))
        return []
    candidates = sorted((label for label in kept if kept[label].type in COUNTED[retention.archive_type]), reverse=True)
    if len(candidates) < max(retention.archive, 1) and request.archive_before is None:
        return []
    _check_history(state)
    retained = set(candidates[: retention.archive])
    removals = []
    for pg in state.history:
        tree = state.wal.get(pg.archive_id)
        if tree is None:
            continue
        local = [label for label in candidates if kept[label].pg_id == pg.id]
        if not local and pg.id != state.current_id:
            removals.append(WalRemoval(pg.archive_id, whole=True, spans=_whole_span(tree)))
            continue
        keep = _keep(kept, pg.id, local, retained, request.archive_before)
        removal = plan_tree(pg.archive_id, keep, tree) if keep is not None else WalRemoval(pg.archive_id)
        if removal.empty:
            notes.append((logging.INFO, f"no WAL to remove for archive id {pg.archive_id}"))
        else:
            removals.append(removal)
    return removals


def _keep(
    kept: Mapping[str, BackupEntry], pg_id: int, local: Sequence[str], retained: Collection[str], before: str | None
) -> Keep | None:
    """The WAL to keep for one history id, None for all of it. local: its candidates, newest first."""
    if not local:
        return Keep([(before, None)], before) if before is not None else None
    # Where no backup is retained, the newest still is to be rolled forward: it is the last of an older cluster.
    anchor = min((label for label in local if label in retained), default=local[0])
    start = kept[anchor].archive_start
    if start is None:
        return None
    ranges: list[tuple[str, str | None]] = [(start, None)]
    for label, entry in kept.items():
        if entry.pg_id == pg_id and label < anchor and entry.archive_start is not None:
            ranges.append((entry.archive_start, entry.archive_stop or entry.archive_start))
    if before is not None and before < start:
        ranges.append((before, start))
    return Keep(ranges, start)


def plan_tree(archive_id: str, keep: Keep, tree: WalTree) -> WalRemoval:
    """What keep does not cover; only directories that lie partly before the anchor are looked into."""
    paths: list[str] = []
    files: list[str] = []
    spans = _Spans()
    for path in sorted(tree.paths):
        if not keep.touches(path):
            paths.append(path)
            spans.gone(path)
        elif path <= keep.anchor[:16]:
            for name in sorted(tree.files[path]):
                if not _SEGMENT.match(name):
                    continue
                if keep.covers(name[:24]):
                    spans.stays()
                else:
                    files.append(f"{path}/{name}")
                    spans.gone(name[:24])
        else:
            spans.stays()
    histories = tuple(sorted(name for name in tree.histories if name[:8] < keep.anchor[:8]))
    return WalRemoval(archive_id, False, tuple(paths), tuple(files), histories, tuple(spans.found))


class _Spans:
    """First and last of what goes without anything between that stays."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._open = False

    def gone(self, name: str) -> None:
        first = self.found.pop()[0] if self._open else name
        self.found.append((first, name))
        self._open = True

    def stays(self) -> None:
        self._open = False


def _whole_span(tree: WalTree) -> tuple[tuple[str, str], ...]:
    paths = sorted(tree.paths)
    return ((paths[0], paths[-1]),) if paths else ()


def _check_history(state: State) -> None:
    """Every entry of archive.info must equal the one at the same place, newest first, in backup.info."""

    def identities(history: Sequence[PgHistory]) -> list[tuple[int, int, str]]:
        return [(pg.id, pg.system_id, pg.version) for pg in sorted(history, key=lambda pg: pg.id, reverse=True)]

    of_archive, of_backup = identities(state.archive_history), identities(state.history)
    if of_archive != of_backup[: len(of_archive)]:
        raise FormatError(
            "archive.info and backup.info do not have the same cluster history",
            "was one of them restored from elsewhere? stanza-upgrade brings a single missing entry up to date",
        )
