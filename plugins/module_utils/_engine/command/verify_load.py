# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents that verify goes by. What is wrong with one of two copies is told, and the other one used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from ..errors import FATAL, BackupMismatchError, ConfigError, EngineError, FileMissingError, FormatError
from ..format import layout
from ..format.archive_info import ArchiveInfo, parse_archive_info
from ..format.backup_info import BackupInfo, parse_backup_info
from ..format.layout import StoredWal
from ..format.manifest import Manifest, parse_manifest
from ..format.names import check_names
from ..log import DETAIL, failure_text, log_failure
from ..postgres.wal import HEADER_SIZE, parse_wal_header
from ..repo import Repo
from .verify_plan import Span

log = logging.getLogger("holdfast")

Info = TypeVar("Info", ArchiveInfo, BackupInfo)
HEADERS = 16  # segments that are asked for their size before that is given up


# -- info files


def load_infos(repo: Repo) -> tuple[ArchiveInfo | None, BackupInfo | None, list[str]]:
    """archive.info and backup.info, and one line for each reason why nothing can be verified with them."""
    lines = []
    backup = _load_info(repo, layout.backup_info(repo.stanza), parse_backup_info)
    archive = _load_info(repo, layout.archive_info(repo.stanza), parse_archive_info)
    if backup is None:
        lines.append("no usable backup.info, nor a copy of it")
    if archive is None:
        lines.append("no usable archive.info, nor a copy of it")
    if archive is not None and backup is not None:
        lines += _disagreements(archive, backup)
    return archive, backup, lines


def _load_info(repo: Repo, name: str, parse: Callable[[bytes], Info]) -> Info | None:
    """The main file, else the copy; None, with an error for each of them, when neither is usable."""
    found: list[tuple[bytes, Info]] = []
    failures: list[EngineError] = []
    for candidate in (name, layout.copy_of(name)):
        try:
            data = repo.read_info(candidate)
            found.append((data, parse(data)))
        except (*FATAL, ConfigError):
            raise
        except EngineError as error:
            failures.append(type(error)(f"{candidate} is not usable: {error.message}", error.hint))
    for failure in failures:
        if found:
            log.log(DETAIL, "%s", failure_text(failure))
        else:
            log_failure(failure)
    if len(found) > 1 and found[0][0] != found[1][0]:
        log.log(DETAIL, "%s and its copy differ", name)
    return found[0][1] if found else None


def _disagreements(archive: ArchiveInfo, backup: BackupInfo) -> list[str]:
    ours, theirs = ([(pg.id, pg.system_id, pg.version) for pg in info.history] for info in (archive, backup))
    lines = []
    if archive.current_id != backup.current_id:
        lines.append(
            f"archive.info and backup.info disagree on the current cluster: {archive.current.archive_id}"
            f" and {backup.current.archive_id}"
        )
    if ours != theirs:
        lines.append("archive.info and backup.info disagree on the history of the stanza")
    return lines


# -- backups


def has_manifest(repo: Repo, label: str) -> bool:
    """Whether there is a manifest or its copy. Whoever lets a backup expire removes these first."""
    name = layout.manifest(repo.stanza, label)
    return repo.storage.exists(name) or repo.storage.exists(layout.copy_of(name))


class Loaded(NamedTuple):
    """manifest: None when there is none that can be used; then problem says why, unless there is none at all."""

    manifest: Manifest | None
    problem: EngineError | None = None


def load_manifest(repo: Repo, label: str, info: BackupInfo) -> Loaded:
    """The manifest of a backup, or its copy."""
    name = layout.manifest(repo.stanza, label)
    problems: list[EngineError] = []
    for candidate in (name, layout.copy_of(name)):
        try:
            manifest = parse_manifest(repo.read_plain(candidate, info.cipher_pass))
            _check_manifest(manifest, label, info)
        except (*FATAL, ConfigError):
            raise
        except EngineError as error:
            problems.append(error)
            continue
        for problem in problems:
            log.log(DETAIL, "%s is not usable, using its copy: %s", name, problem.message)
        return Loaded(manifest)
    return Loaded(None, next((error for error in problems if not isinstance(error, FileMissingError)), None))


def _check_manifest(manifest: Manifest, label: str, info: BackupInfo) -> None:
    check_names(manifest)
    if manifest.label != label:
        raise FormatError(f"the manifest in {label} is that of backup {manifest.label}")
    pg = manifest.pg
    if (pg.id, pg.system_id, pg.version) not in {(item.id, item.system_id, item.version) for item in info.history}:
        raise BackupMismatchError(
            f"backup {label} is of a cluster that the stanza does not know (version {pg.version}, system id"
            f" {pg.system_id}, history id {pg.id})"
        )


# -- WAL


def archive_ids(repo: Repo) -> list[str]:
    """The archive ids that have a directory, in the order of their history ids."""
    found = []
    for entry in repo.storage.entries(layout.archive_dir(repo.stanza)):
        parsed = layout.parse_archive_id(entry.name)
        if parsed is not None and entry.kind == "path":
            found.append((parsed[1], entry.name))
    return [name for _number, name in sorted(found)]


def list_wal(repo: Repo, archive_id: str, limits: Span | None = None) -> tuple[list[StoredWal], int]:
    """The segments of an archive id, and their stored size in bytes. limits: only directories between these two."""
    root = layout.wal_dir(repo.stanza, archive_id)
    found, size = [], 0
    for path in sorted(entry.name for entry in repo.storage.entries(root) if layout.is_wal_dir(entry.name)):
        if limits is None or limits[0][:16] <= path <= limits[1][:16]:
            for entry in repo.storage.entries(f"{root}/{path}"):
                stored = layout.parse_wal_name(entry.name)
                if stored is not None and entry.kind == "file" and stored.name[:16] == path:
                    found.append(stored)
                    size += entry.size
    return found, size


def load_segment_size(
    repo: Repo, archive_id: str, segments: list[StoredWal], cipher_pass: str | None, version_force: str | None
) -> int | None:
    """Size in bytes that the first segment with a sound header tells; None when none does."""
    for stored in segments[:HEADERS]:
        try:
            head = bytearray()
            for chunk in repo.read_wal(archive_id, stored, cipher_pass):
                head += chunk[:HEADER_SIZE]
                if len(head) >= HEADER_SIZE:
                    break
            return parse_wal_header(bytes(head), version_force).segment_size
        except (*FATAL, ConfigError):
            raise
        except EngineError as error:
            log.log(DETAIL, "%s: WAL segment %s does not tell its size: %s", archive_id, stored.name, error.message)
    return None
