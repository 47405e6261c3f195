# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What there is to verify in a repository, found step by step while workers are busy with what was found before."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ..errors import ArchiveDuplicateError, ConfigError, FormatError
from ..format.archive_info import ArchiveInfo
from ..format.backup_info import BackupInfo
from ..format.label import is_label
from ..format.manifest import Manifest
from ..log import DETAIL
from ..repo import Repo
from .verify_check import ANY, OTHER, CheckJob
from .verify_load import archive_ids, has_manifest, list_wal, load_manifest, load_segment_size
from .verify_plan import COPIED_WAL, Planner, Span, plan_wal, source_of, spans_of, wal_jobs
from .verify_report import IN_PROGRESS, INVALID, NO_MANIFEST, ArchiveResult, BackupResult, Report
from .verify_settle import USUAL_SEGMENT_SIZE, Failure, Need, Settlement

log = logging.getLogger("holdfast")


class Selection(NamedTuple):
    """labels: oldest first. wal: first and last segment that matter, by archive id; None for all there are."""

    labels: list[str]
    wal: Mapping[str, Span] | None = None


def select(repo: Repo, info: BackupInfo, label: str | None) -> Selection | str:
    """What to verify, all or what one backup needs; or what is wrong with its label."""
    existing = sorted({*repo.labels(), *info.backups})
    if label is None:
        return Selection(existing)
    if not is_label(label):
        return f"'{label}' is not a backup label"
    if label not in existing:
        return f"backup {label} is not in the repository"
    manifest = load_manifest(repo, label, info).manifest
    if manifest is None:
        return Selection([label], {})  # its turn will tell why
    wal = {}
    if manifest.archive_start is not None and manifest.archive_stop is not None:
        wal[manifest.pg.archive_id] = (manifest.archive_start, manifest.archive_stop)
    # A map leads to parts of files that only the manifests of the other backups tell about.
    has_maps = any(file.block_map_size for file in manifest.files)
    return Selection(list(manifest.reference) if has_maps else [label], wal)


class Survey:
    """Makes the jobs, and enters into the report what needs no job. expected: bytes to read, roughly."""

    def __init__(
        self, repo: Repo, archive: ArchiveInfo, backup: BackupInfo, report: Report, settlement: Settlement
    ) -> None:
        self._repo = repo
        self._archive = archive
        self._backup = backup
        self._report = report
        self._settlement = settlement
        self.expected = 0

    def jobs(self, selection: Selection, content: bool, version_force: str | None) -> Iterator[CheckJob]:
        """WAL first. content, version_force: the options check-content and pg-version-force."""
        listed = self._backup.backups
        self.expected = sum(listed[label].repo_size_delta for label in selection.labels if label in listed)
        found = [name for name in archive_ids(self._repo) if selection.wal is None or name in selection.wal]
        unknown = sorted(set(found) - {pg.archive_id for pg in self._archive.history})
        if unknown:
            text = f"archive.info does not know the archive ids {', '.join(unknown)}"
            self._report.tell(logging.ERROR, text, ConfigError.code)
            self._report.add_error("archive-id", text)
        for archive_id in found:
            yield from self._wal_jobs(archive_id, selection.wal[archive_id] if selection.wal else None, version_force)
        planner = Planner(self._repo.stanza, content)
        for label in selection.labels:
            yield from self._backup_jobs(planner, label, label == selection.labels[-1])

    # -- WAL

    def _wal_jobs(self, archive_id: str, limits: Span | None, version_force: str | None) -> Iterator[CheckJob]:
        stored, size = list_wal(self._repo, archive_id)
        self.expected += size
        plan = plan_wal(stored, limits)
        cipher_pass = self._archive.cipher_pass
        segment_size = load_segment_size(self._repo, archive_id, stored, cipher_pass, version_force)
        spans = spans_of((wal.name for wal in plan.segments), segment_size or USUAL_SEGMENT_SIZE)
        skipped = plan.listed - len(plan.segments)
        self._report.archives.append(
            ArchiveResult(archive_id, plan.listed, skipped, plan.duplicates, spans, segment_size)
        )
        self._settlement.add_wal(archive_id, frozenset(wal.name for wal in stored), segment_size)
        for name in plan.duplicates:
            text = f"archive id {archive_id} has WAL segment {name} more than once: none of these files is verified"
            self._report.tell(logging.ERROR, text, ArchiveDuplicateError.code)
            self._report.add_error("duplicate", text)
        if not stored:
            log.log(DETAIL, "archive id %s has no WAL", archive_id)
        elif segment_size is None:
            log.warning("no segment of archive id %s tells the segment size: sizes are not compared", archive_id)
        for first, last in spans:
            log.log(DETAIL, "archive id %s has WAL from %s to %s", archive_id, first, last)
        yield from wal_jobs(self._repo.stanza, archive_id, plan.segments, segment_size or ANY, cipher_pass)

    # -- backups

    def _backup_jobs(self, planner: Planner, label: str, newest: bool) -> Iterator[CheckJob]:
        result = BackupResult(label)
        self._report.backups.append(result)
        manifest = self._manifest(result, newest)
        if manifest is None:
            return
        result.checked = len(manifest.files)
        self._note_need(result, manifest)
        jobs = planner.jobs(manifest)
        for key, file in planner.unknown.items():
            text = f"the manifest of backup {label} has no checksum of {file.name}"
            source = source_of(self._repo.stanza, manifest, file)
            self._report.tell(logging.ERROR, text, FormatError.code)
            failure = Failure(source, file.name, file.bundle_offset, file.repo_size, OTHER, text)
            self._settlement.add_failure(label, key, failure)
        yield from jobs

    def _manifest(self, result: BackupResult, newest: bool) -> Manifest | None:
        """The manifest, or None and why in result.status."""
        repo, label = self._repo, result.label
        if label not in self._backup.backups and not repo.is_complete(label) and (newest or has_manifest(repo, label)):
            log.info("backup %s is in progress or was interrupted, it is left out", label)
            result.status = IN_PROGRESS
            return None
        loaded = load_manifest(repo, label, self._backup)
        if loaded.problem is not None:
            result.status = INVALID
            text = f"backup {label} has no usable manifest: {loaded.problem.message}"
            self._report.tell(logging.ERROR, text, loaded.problem.code)
            self._report.add_error("manifest", text)
        elif loaded.manifest is None:
            result.status = NO_MANIFEST
            log.log(DETAIL, "backup %s has no manifest, it may have expired", label)
        return loaded.manifest

    def _note_need(self, result: BackupResult, manifest: Manifest) -> None:
        """Remember which WAL the backup needs, if anybody has promised that it is in the archive."""
        start, stop = manifest.archive_start, manifest.archive_stop
        if start is None or stop is None or not manifest.options.get("option-archive-check"):
            return
        copied = frozenset[str]()
        if manifest.options.get("option-archive-copy"):
            names = (file.name for file in manifest.files)
            copied = frozenset(name[len(COPIED_WAL) :] for name in names if name.startswith(COPIED_WAL))
        self._settlement.add_need(Need(result, manifest.pg.archive_id, (start, stop), copied))
