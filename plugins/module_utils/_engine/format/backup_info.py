# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.info: the usable backups of a stanza, and the passphrase of their manifests.

It repeats what the manifests say, so that a listing reads one file; it can be rebuilt from them (entry_of). Only
annotations are changed here alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import FormatError
from ..version import FORMAT, WRITER
from . import ini
from .archive_info import (
    PgHistory,
    entry_with_id,
    parse_cipher_pass,
    parse_pg_history,
    render_cipher_pass,
)
from .label import LETTERS, is_label, parse_label
from .layout import is_segment

if TYPE_CHECKING:
    from .manifest import Manifest

CURRENT = "backup:current"
OPTIONS = (
    "option-archive-check",
    "option-archive-copy",
    "option-backup-standby",
    "option-checksum-page",
    "option-compress",
    "option-hardlink",
    "option-online",
)


@dataclass(frozen=True)
class BackupEntry:
    """A backup as backup.info lists it. Sizes are bytes, times epoch seconds.

    size: of the cluster; repo_size: of what is stored for it; _delta: the part that this backup itself stored;
    repo_size_map: of the block maps, None unless block incremental was on. reference: labels of the backups that this
    one may need, sorted. archive_start, archive_stop, lsn_start, lsn_stop: None offline. error: some page is invalid;
    None when the writer was too old to say.
    """

    label: str
    type: str
    timestamp_start: int
    timestamp_stop: int
    size: int
    size_delta: int
    repo_size: int
    repo_size_delta: int
    pg_id: int
    repo_size_map: int | None = None
    repo_size_map_delta: int | None = None
    prior: str | None = None
    reference: tuple[str, ...] = ()
    archive_start: str | None = None
    archive_stop: str | None = None
    lsn_start: str | None = None
    lsn_stop: str | None = None
    error: bool | None = False
    annotation: Mapping[str, str] = field(default_factory=dict)
    option_archive_check: bool = False
    option_archive_copy: bool = False
    option_backup_standby: bool = False
    option_checksum_page: bool = False
    option_compress: bool = False
    option_hardlink: bool = False
    option_online: bool = False
    writer: str = WRITER
    format: int = FORMAT

    @property
    def full(self) -> str:
        """Label of the full backup of the set."""
        return parse_label(self.label).full


@dataclass(frozen=True)
class BackupInfo:
    """history: ascending by id. backups: ascending by label. cipher_pass: passphrase of the manifests, or None."""

    history: tuple[PgHistory, ...]
    current_id: int
    backups: Mapping[str, BackupEntry] = field(default_factory=dict)
    cipher_pass: str | None = field(default=None, repr=False)
    writer: str = WRITER

    @property
    def current(self) -> PgHistory:
        """The cluster of which backups are made."""
        return entry_with_id(self.history, self.current_id)

    def with_backup(self, entry: BackupEntry) -> BackupInfo:
        """The same with one more backup, or another entry for one that is listed."""
        backups = {**self.backups, entry.label: entry}
        return replace(self, backups={label: backups[label] for label in sorted(backups)})

    def without(self, labels: Iterable[str]) -> BackupInfo:
        """The same without some backups."""
        gone = set(labels)
        return replace(self, backups={label: self.backups[label] for label in self.backups if label not in gone})


def parse_backup_info(data: ini.Chunk) -> BackupInfo:
    """backup.info from its plain bytes; FormatError or ChecksumError."""
    document = ini.parse_stream([data])
    history, current_id = parse_pg_history(document.sections, "db-system-id")
    for pg in history:
        if not pg.control_version or not pg.catalog_version:
            raise FormatError(f"[{ini.HISTORY}] '{pg.id}': db-control-version or db-catalog-version is missing")
    listed = document.sections.get(CURRENT, {})
    backups = {label: _parse_entry(label, listed[label]) for label in ini.in_byte_order(listed)}
    return BackupInfo(history, current_id, backups, parse_cipher_pass(document.sections), document.writer)


def render_backup_info(info: BackupInfo) -> bytes:
    """The bytes of backup.info, checksum included."""
    current = info.current
    return ini.render(
        {
            ini.HEADER: ini.header(info.writer),
            CURRENT: {label: _render_entry(entry) for label, entry in info.backups.items()},
            "cipher": render_cipher_pass(info.cipher_pass),
            "db": {"db-id": current.id, **render_pg(current)},
            ini.HISTORY: {str(pg.id): render_pg(pg) for pg in info.history},
        }
    )


def entry_of(manifest: Manifest) -> BackupEntry:
    """The entry that a complete backup gets, from its manifest."""
    files = manifest.files
    # What is stored of a file can be nothing only when nothing needs to be: then the reference counts its plain size.
    stored = [file.repo_size or file.size for file in files]
    own = [file.reference is None for file in files]
    maps = [file.block_map_size for file in files]
    options = {key.replace("-", "_"): bool(manifest.options.get(key, False)) for key in OPTIONS}
    return BackupEntry(
        label=manifest.label,
        type=manifest.type,
        prior=manifest.prior,
        reference=tuple(sorted(label for label in manifest.reference if label != manifest.label)),
        timestamp_start=manifest.timestamp_start,
        timestamp_stop=manifest.timestamp_stop,
        archive_start=manifest.archive_start,
        archive_stop=manifest.archive_stop,
        lsn_start=manifest.lsn_start,
        lsn_stop=manifest.lsn_stop,
        size=sum(file.size for file in files),
        size_delta=sum(file.size for file in files if file.reference is None),
        repo_size=sum(stored),
        repo_size_delta=sum(size for size, mine in zip(stored, own) if mine),
        repo_size_map=sum(maps) if manifest.block_incr else None,
        repo_size_map_delta=sum(size for size, mine in zip(maps, own) if mine) if manifest.block_incr else None,
        error=any(file.checksum_page is False for file in files),
        annotation=dict(manifest.annotation),
        pg_id=manifest.pg.id,
        writer=manifest.writer,
        **options,
    )


def _parse_entry(label: str, values: Any) -> BackupEntry:
    where = f"[{CURRENT}] {ascii(label)}"
    if not is_label(label) or not isinstance(values, dict):
        raise FormatError(f"{where}: not an entry of a backup")
    entry = BackupEntry(
        label=label,
        type=ini.required(values, "backup-type", str, where),
        prior=ini.optional(values, "backup-prior", str, where),
        reference=_strings(values.get("backup-reference", []), where),
        timestamp_start=ini.required(values, "backup-timestamp-start", int, where),
        timestamp_stop=ini.required(values, "backup-timestamp-stop", int, where),
        archive_start=ini.optional(values, "backup-archive-start", str, where),
        archive_stop=ini.optional(values, "backup-archive-stop", str, where),
        lsn_start=ini.optional(values, "backup-lsn-start", str, where),
        lsn_stop=ini.optional(values, "backup-lsn-stop", str, where),
        size=ini.required(values, "backup-info-size", int, where),
        size_delta=ini.required(values, "backup-info-size-delta", int, where),
        repo_size=ini.required(values, "backup-info-repo-size", int, where),
        repo_size_delta=ini.required(values, "backup-info-repo-size-delta", int, where),
        repo_size_map=ini.optional(values, "backup-info-repo-size-map", int, where),
        repo_size_map_delta=ini.optional(values, "backup-info-repo-size-map-delta", int, where),
        error=ini.optional(values, "backup-error", bool, where),
        annotation=parse_annotation(ini.optional(values, "backup-annotation", dict, where), where),
        pg_id=ini.required(values, "db-id", int, where),
        writer=ini.required(values, "backrest-version", str, where),
        format=ini.required(values, "backrest-format", int, where),
        **{key.replace("-", "_"): ini.required(values, key, bool, where) for key in OPTIONS},
    )
    _check_entry(entry, where)
    return entry


def _check_entry(entry: BackupEntry, where: str) -> None:
    """Names become parts of paths and of comparisons, so each must be what it says."""
    if entry.type not in LETTERS:
        raise FormatError(f"{where}: {ascii(entry.type)} is not a type of backup")
    for label in (entry.prior, *entry.reference):
        if label is not None and not is_label(label):
            raise FormatError(f"{where}: {ascii(label)} is not a backup label")
    check_segments(where, entry.archive_start, entry.archive_stop)


def check_segments(where: str, *names: str | None) -> None:
    """FormatError unless each name that is given is that of a WAL segment."""
    for name in names:
        if name is not None and not is_segment(name):
            raise FormatError(f"{where}: {ascii(name)} is not the name of a WAL segment")


def parse_annotation(values: Mapping[str, Any] | None, where: str) -> dict[str, str]:
    """Annotations as an object has them; FormatError unless all values are strings."""
    annotation = dict(values or {})
    if not all(isinstance(value, str) for value in annotation.values()):
        raise FormatError(f"{where}: an annotation is not a string")
    return annotation


def _strings(values: Any, where: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise FormatError(f"{where}: backup-reference is not a list of labels")
    return tuple(values)


def _render_entry(entry: BackupEntry) -> dict[str, Any]:
    values: dict[str, Any] = {
        "backrest-format": entry.format,
        "backrest-version": entry.writer,
        "backup-archive-start": entry.archive_start,
        "backup-archive-stop": entry.archive_stop,
        "backup-info-repo-size": entry.repo_size,
        "backup-info-repo-size-delta": entry.repo_size_delta,
        "backup-info-size": entry.size,
        "backup-info-size-delta": entry.size_delta,
        "backup-timestamp-start": entry.timestamp_start,
        "backup-timestamp-stop": entry.timestamp_stop,
        "backup-type": entry.type,
        "db-id": entry.pg_id,
        **{key: getattr(entry, key.replace("-", "_")) for key in OPTIONS},
    }
    absent_when_empty = {
        "backup-annotation": dict(entry.annotation) or None,
        "backup-error": entry.error,
        "backup-info-repo-size-map": entry.repo_size_map,
        "backup-info-repo-size-map-delta": entry.repo_size_map_delta,
        "backup-lsn-start": entry.lsn_start,
        "backup-lsn-stop": entry.lsn_stop,
        "backup-prior": entry.prior,
        "backup-reference": list(entry.reference) or None,
    }
    values.update((key, value) for key, value in absent_when_empty.items() if value is not None)
    return values


def render_pg(pg: PgHistory) -> dict[str, Any]:
    """A cluster's identity but for the history id, as backup.info and manifests have it."""
    return {
        "db-catalog-version": pg.catalog_version,
        "db-control-version": pg.control_version,
        "db-system-id": pg.system_id,
        "db-version": pg.version,
    }
