# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backups suffer from what was found, once everything has been read.

A sound repository leaves nothing to do here. Otherwise the manifests of the sets concerned are read once more, because
nobody remembers which of thirty backups share a file; and what was missing is looked for again, because it may have
expired or arrived since.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..errors import FATAL, ConfigError, EngineError, FileMissingError
from ..format import layout
from ..format.backup_info import BackupInfo
from ..format.manifest import File, Manifest
from ..log import DETAIL
from ..repo import Repo
from ..stream.cipher import Cipher
from ..wait import passes
from .verify_blocks import check_super_block, load_map, super_blocks
from .verify_check import MISSING, OTHER
from .verify_load import has_manifest, list_wal, load_manifest
from .verify_plan import Span, block_file, compress_type_of, key_of, missing_spans, set_of, source_of
from .verify_report import INVALID, NO_MANIFEST, VALID, BackupResult, Report

log = logging.getLogger("holdfast")

USUAL_SEGMENT_SIZE = 16 << 20
PATIENCE = 5.0  # seconds for an expire that has removed a manifest and has not written the list yet


class Failure(NamedTuple):
    """Stored bytes that are not right: the size bytes at offset in source. name: of their file; text: in words."""

    source: str
    name: str
    offset: int
    size: int
    kind: str
    text: str


class Need(NamedTuple):
    """The WAL from the start to the stop of a backup. copied: segments that the backup itself holds."""

    result: BackupResult
    archive_id: str
    span: Span
    copied: frozenset[str]


class Settlement:
    """Collects what concerns whole backups, and settles it at the end."""

    def __init__(self, repo: Repo, info: BackupInfo, report: Report) -> None:
        self._repo = repo
        self._info = info
        self._report = report
        self._failures: dict[str, dict[int, Failure]] = {}  # by set, by key
        self._wal: dict[str, tuple[frozenset[str], int]] = {}
        self._needs: list[Need] = []

    def add_failure(self, label: str, key: int, failure: Failure) -> None:
        """label: a backup of the set."""
        self._failures.setdefault(set_of(label), {})[key] = failure

    def add_wal(self, archive_id: str, names: frozenset[str], segment_size: int | None) -> None:
        """names: of all segments of an archive id, valid or not."""
        self._wal[archive_id] = (names, segment_size or USUAL_SEGMENT_SIZE)

    def add_need(self, need: Need) -> None:
        self._needs.append(need)

    def settle(self) -> None:
        for full, failures in self._failures.items():
            self._settle_set([result for result in self._report.backups if set_of(result.label) == full], failures)
        for need in self._needs:
            self._settle_need(need)
        self._compare_list()

    # -- damaged files

    def _settle_set(self, results: Iterable[BackupResult], failures: dict[int, Failure]) -> None:
        by_name: dict[str, list[Failure]] = {}
        for failure in failures.values():
            by_name.setdefault(failure.name, []).append(failure)
        suffered: set[int] = set()
        for result in results:
            if result.status == VALID:
                manifest = load_manifest(self._repo, result.label, self._info).manifest
                if manifest is None:
                    log.log(DETAIL, "backup %s has expired meanwhile", result.label)
                    result.status, result.checked = NO_MANIFEST, 0
                else:
                    suffered |= self._count(result, manifest, failures, by_name)
        self._add_errors([failure for key, failure in failures.items() if key in suffered])

    def _count(
        self, result: BackupResult, manifest: Manifest, failures: dict[int, Failure], by_name: dict[str, list[Failure]]
    ) -> set[int]:
        """Count the files of a backup that are not right; the keys of the failures that it suffers from directly."""
        suffered = set()
        for file in manifest.files:
            key = key_of(manifest, file)
            kind = None
            if key in failures:
                suffered.add(key)
                kind = failures[key].kind
            elif file.block_map_size and file.name in by_name:
                kind = self._through_map(manifest, file, by_name[file.name])
            if kind is not None:
                result.wrong[kind] += 1
        if result.wrong:
            result.status = INVALID
        return suffered

    def _through_map(self, manifest: Manifest, file: File, failures: Sequence[Failure]) -> str | None:
        """What is wrong with the parts of a block incremental file that older backups hold.

        Not all that is wrong there matters: the blocks that this backup needs are read and decoded, as a restore would.
        """
        storage, stanza, blocks = self._repo.storage, self._repo.stanza, block_file(manifest, file)
        cipher = Cipher(manifest.cipher_pass, raw=True) if manifest.cipher_pass is not None else None
        try:
            end = file.bundle_offset + file.repo_size
            items = load_map(storage, source_of(stanza, manifest, file), end, blocks, cipher)
        except (*FATAL, ConfigError):
            raise
        except EngineError:
            return OTHER
        for members in super_blocks(items):
            place, bundle, offset, size = members[0][:4]
            label = manifest.reference[place]
            source = layout.bundle(stanza, label, bundle) if bundle else layout.block_file(stanza, label, file.name)
            for failure in failures:
                if failure.source == source and failure.offset <= offset < failure.offset + failure.size:
                    try:
                        stored = b"".join(map(bytes, storage.read(source, offset, size)))
                        check_super_block(members, stored, blocks, compress_type_of(manifest), cipher)
                    except (*FATAL, ConfigError):
                        raise
                    except EngineError:
                        return failure.kind
        return None

    def _add_errors(self, failures: Iterable[Failure]) -> None:
        lost: dict[str, list[Failure]] = {}
        for failure in failures:
            if failure.kind == MISSING:
                lost.setdefault(failure.source, []).append(failure)
            else:
                self._report.add_error(failure.kind, failure.text, source=failure.source, files=1)
        for source, missing in lost.items():
            self._report.add_error(MISSING, f"{source} is missing", len(missing), source=source, files=len(missing))

    # -- missing WAL

    def _settle_need(self, need: Need) -> None:
        if need.result.status not in (VALID, INVALID):
            return
        names, segment_size = self._wal.get(need.archive_id, (frozenset(), USUAL_SEGMENT_SIZE))
        if not missing_spans(need.span, names | need.copied, segment_size):
            return
        stored, _size = list_wal(self._repo, need.archive_id, need.span)  # a backup may have ended since
        spans = missing_spans(need.span, {wal.name for wal in stored} | need.copied, segment_size)
        if not spans or not has_manifest(self._repo, need.result.label):
            return
        need.result.missing_wal = spans
        text = f"backup {need.result.label} cannot be restored: WAL that it needs is not in the archive: "
        text += ", ".join(first if first == last else f"{first} to {last}" for first, last in spans)
        self._report.tell(logging.ERROR, text, FileMissingError.code)
        self._report.add_error("missing-wal", text, label=need.result.label)

    # -- the list of backups

    def _compare_list(self) -> None:
        """Warn of listed backups without a manifest and of complete ones that are not listed, unless that changes."""
        gone = [result.label for result in self._report.backups if result.status == NO_MANIFEST]
        lost = [label for label in gone if label in self._info.backups]
        for _number in passes(PATIENCE) if lost else ():
            listed = self._listed()
            lost = [label for label in lost if label in listed and not has_manifest(self._repo, label)]
            if not lost:
                break
        for label in lost:
            self._report.lost.append(label)
            log.warning(
                "backup %s is listed but has no manifest: it cannot be restored\n"
                "HINT: the next backup or expire takes it off the list",
                label,
            )
        complete = [result.label for result in self._report.backups if result.status in (VALID, INVALID)]
        unlisted = [label for label in complete if label not in self._info.backups]
        if unlisted:
            listed = self._listed()
            for label in unlisted:
                if label not in listed and has_manifest(self._repo, label):
                    log.warning("backup %s is complete but not listed: the next backup or expire adds it", label)

    def _listed(self) -> frozenset[str]:
        return frozenset(self._repo.load_backup_info().backups)
