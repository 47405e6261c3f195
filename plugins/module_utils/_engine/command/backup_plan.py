# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup decides before it copies: base, references, and who copies what. Values in, values out.

Three questions, in order: on which backup does this one rest (choose_prior), which files need not be stored again
(merge_prior), and in which portions do workers copy the others (plan_jobs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..format.backup_info import BackupInfo
from ..format.manifest import File, Manifest
from ..format.manifest_file import EMPTY_SHA1
from ..postgres.files import has_pages
from .backup_prior import Prior

# Files of a job without a bundle: so many that handing it out costs nothing beside copying it.
GROUP_BYTES = 8 << 20
GROUP_FILES = 512


def choose_prior(info: BackupInfo, kind: str) -> str | None:
    """Label of the backup that a diff (newest full) or incr (newest of all) rests on; None: it must be a full.

    Backups of an earlier history id, from before a stanza-upgrade, belong to another cluster.
    """
    if kind == "full":
        return None
    for label in sorted(info.backups, reverse=True):
        entry = info.backups[label]
        if entry.pg_id == info.current_id and (kind == "incr" or entry.type == "full"):
            return label
    return None


def delta_reason(manifest: Manifest, prior: Prior, start_segment: str | None, online: bool) -> str | None:
    """Why times and sizes cannot be trusted to tell what changed since the prior backup; None when they can.

    start_segment: the WAL segment in which this backup starts, None offline.
    """
    if start_segment and prior.archive_stop and start_segment[:8] != prior.archive_stop[:8]:
        return (
            f"a timeline switch has occurred since the {prior.label} backup, enabling delta checksum\n"
            "HINT: this is normal after restoring from backup or promoting a standby."
        )
    if prior.options.get("option-online", online) != online:
        return f"the online option has changed since the {prior.label} backup, enabling delta checksum"
    for file in manifest.files:
        before = prior.file(file.name)
        if before is None:
            continue
        if file.timestamp < before.timestamp:
            return (
                f"file '{file.name}' has timestamp earlier than prior backup (prior {before.timestamp}, "
                f"current {file.timestamp}), enabling delta checksum"
            )
        before_size = before.size if before.size_original is None else before.size_original
        if file.timestamp == before.timestamp and file.size != before_size:
            return (
                f"file '{file.name}' has same timestamp ({file.timestamp}) as prior but different size (prior "
                f"{before_size}, current {file.size}), enabling delta checksum"
            )
    return None


class Need(NamedTuple):
    """A file that has to be looked at. check: hash it first, since only then is it known whether it changed.

    resume: an interrupted backup stored it; what it recorded is in the file already. before: the file in the prior
    backup, None when that has none of this name; kept for block incremental only, since it costs memory.
    """

    file: File
    check: bool
    resume: bool = False
    before: File | None = None


def merge_prior(manifest: Manifest, prior: Prior | None, delta: bool) -> list[Need]:
    """Take over from the prior backup what it already holds; return the files that must be read.

    A file that is taken over refers to the backup that really holds it, never to one that itself only refers.
    With bundling, files of size zero are complete at once: nothing of them is stored.
    """
    needs: list[Need] = []
    for file in manifest.files:
        if manifest.bundle and file.size == 0:
            file.checksum = EMPTY_SHA1
            if manifest.options.get("option-checksum-page") and has_pages(file.name):
                file.checksum_page = True
            continue
        before = prior.file(file.name) if prior is not None else None
        if prior is None or before is None:
            needs.append(Need(file, False))
            continue
        file.name = before.name  # one string for both: a million of them are 90 MB
        same_size = file.size == before.size
        check = delta and same_size and file.size > 0
        if same_size:
            _take_over(file, before, prior.label)
        unchanged = same_size and (file.size == 0 or file.timestamp == before.timestamp)
        if not unchanged or check:
            needs.append(Need(file, check, before=before if manifest.block_incr else None))
    return needs


def _take_over(file: File, before: File, prior_label: str) -> None:
    file.reference = before.reference or prior_label
    file.checksum, file.rck, file.repo_size = before.checksum, before.rck, before.repo_size
    file.checksum_page, file.checksum_page_error = before.checksum_page, before.checksum_page_error
    file.bundle_id, file.bundle_offset = before.bundle_id, before.bundle_offset
    file.block_size, file.block_checksum_size = before.block_size, before.block_checksum_size
    file.block_map_size = before.block_map_size


@dataclass(frozen=True)
class Portion:
    """What one worker copies at a time. bundle: number of the bundle it writes, 0 for files of their own."""

    bundle: int
    needs: tuple[Need, ...]

    @property
    def size(self) -> int:
        return sum(need.file.size for need in self.needs)


def plan_portions(
    needs: Iterable[Need], bundle: bool, bundle_size: int, bundle_limit: int, first_bundle: int = 1
) -> Iterator[Portion]:
    """Portions in the order in which workers should take them: the largest files first, so that all end together.

    bundle_size, bundle_limit: bytes. A bundle holds files of one target only, smallest first.
    """
    alone: list[Need] = []
    targets: dict[str, list[Need]] = {}
    for need in needs:
        if bundle and need.file.size <= bundle_limit:
            targets.setdefault(_target(need.file.name), []).append(need)
        else:
            alone.append(need)
    alone.sort(key=lambda need: (-need.file.size, need.file.name))
    for group in _grouped(alone, GROUP_BYTES, GROUP_FILES):
        yield Portion(0, group)
    number = first_bundle
    for target in sorted(targets):
        # Old files together: they will be referenced together, and read together at a restore.
        targets[target].sort(key=lambda need: (need.file.timestamp, need.file.name))
        for group in _grouped(targets[target], bundle_size, None):
            yield Portion(number, tuple(sorted(group, key=lambda need: (need.file.size, need.file.name))))
            number += 1


def _target(name: str) -> str:
    return "pg_data" if name.startswith("pg_data/") else "/".join(name.split("/", 2)[:2])


def _grouped(needs: Sequence[Need], size: int, count: int | None) -> Iterator[tuple[Need, ...]]:
    """Consecutive needs until their sizes reach size bytes, or there are count of them."""
    group: list[Need] = []
    total = 0
    for need in needs:
        group.append(need)
        total += need.file.size
        if total >= size or len(group) == count:
            yield tuple(group)
            group, total = [], 0
    if group:
        yield tuple(group)
