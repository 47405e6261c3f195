# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a stanza, merged over its repositories into the one object that info prints as JSON.

Pure: documents in, dictionaries out. The keys are pgBackRest's, whatever reads its info reads ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .page_errors import page_errors

if TYPE_CHECKING:
    from ..format.archive_info import PgHistory
    from ..format.backup_info import BackupEntry
    from ..format.manifest import Manifest

OK, NO_PATH, NO_BACKUP, NO_DATA, DIFFERENT, MISMATCH, NOT_FOUND, OTHER = 0, 1, 2, 3, 4, 5, 6, 99
MESSAGES = {
    OK: "ok",
    NO_PATH: "missing stanza path",
    NO_BACKUP: "no valid backups",
    NO_DATA: "missing stanza data",
    DIFFERENT: "different across repos",
    MISMATCH: "database mismatch across repos",
    NOT_FOUND: "requested backup not found",
    OTHER: "other",
}

Facts = dict[str, Any]


@dataclass(frozen=True)
class RepoView:
    """What one repository says of a stanza.

    code, message: its status. history: oldest first; current: the id in use. wal: first and last segment by history
    id, None where there is none. manifest: that of the backup asked for, when it is here.
    """

    key: int
    cipher: str
    code: int = OK
    message: str = MESSAGES[OK]
    history: Sequence[PgHistory] = ()
    current: int = 0
    backups: Mapping[str, BackupEntry] = field(default_factory=dict)
    wal: Mapping[int, tuple[str, str] | None] = field(default_factory=dict)
    manifest: Manifest | None = None


@dataclass(frozen=True)
class LockView:
    """Whether a lock is held, and how far its holder is; sizes in bytes, None when it has not said."""

    key: int
    held: bool
    size: int | None = None
    size_complete: int | None = None


def stanza_facts(
    name: str,
    repos: Sequence[RepoView],
    backup_locks: Sequence[LockView],
    restore_locks: Sequence[LockView],
    label: str | None = None,
    kind: str | None = None,
) -> Facts:
    """The object of one stanza. repos: ascending by key. label, kind: list only that backup, only that type."""
    backups = [
        (entry, repo)
        for repo in repos
        for entry in repo.backups.values()
        if label in (None, entry.label) and kind in (None, entry.type)
    ]
    backups.sort(key=lambda item: item[0].timestamp_stop)
    missing = label is not None and not any(label in repo.backups for repo in repos)
    views = [_requested(repo) if missing and repo.code == OK else repo for repo in repos]
    return {
        "archive": [entry for repo in views for entry in _archive(repo)],
        "backup": [_backup(entry, repo, label is not None) for entry, repo in backups],
        "cipher": _common([repo.cipher for repo in views], "mixed"),
        "db": [
            {"id": pg.id, "repo-key": repo.key, "system-id": pg.system_id, "version": pg.version}
            for repo in views
            for pg in repo.history
        ],
        "name": name,
        "repo": [
            {"cipher": repo.cipher, "key": repo.key, "status": {"code": repo.code, "message": repo.message}}
            for repo in views
        ],
        "status": {**_status(views), "lock": lock_facts(backup_locks, restore_locks)},
    }


def progress_facts(name: str, backup_locks: Sequence[LockView], restore_locks: Sequence[LockView]) -> Facts:
    """The object of one stanza when only the progress is asked for: nothing of the repository is read."""
    lock = lock_facts(backup_locks, restore_locks)
    return {"name": name, "status": {"code": OK, "lock": lock, "message": MESSAGES[OK]}}


def lock_facts(backup: Sequence[LockView], restore: Sequence[LockView]) -> Facts:
    """Who is at work; for backups, of which several can run, also by repository."""
    facts = {"backup": _lock(backup), "restore": _lock(restore)}
    known = [lock for lock in backup if lock.held and lock.size is not None]
    if known:
        facts["backup"]["repo"] = [
            {"key": lock.key, "size": lock.size, "size-cplt": lock.size_complete} for lock in known
        ]
    return facts


def _lock(locks: Sequence[LockView]) -> Facts:
    facts: Facts = {"held": any(lock.held for lock in locks)}
    known = [lock for lock in locks if lock.held and lock.size is not None]
    if known:
        facts["size"] = sum(lock.size or 0 for lock in known)
        facts["size-cplt"] = sum(lock.size_complete or 0 for lock in known)
    return facts


def _requested(repo: RepoView) -> RepoView:
    return RepoView(
        repo.key, repo.cipher, NOT_FOUND, MESSAGES[NOT_FOUND], repo.history, repo.current, repo.backups, repo.wal
    )


def _status(repos: Sequence[RepoView]) -> Facts:
    code = _common([repo.code for repo in repos], DIFFERENT)
    currents = {(pg.version, pg.system_id) for repo in repos for pg in repo.history if pg.id == repo.current}
    if len(currents) > 1:
        code = MISMATCH
    return {"code": code, "message": MESSAGES[code]}


def _common(values: Sequence[Any], otherwise: Any) -> Any:
    return values[0] if len(set(values)) == 1 else otherwise


def _archive(repo: RepoView) -> list[Facts]:
    found = []
    for pg in repo.history:
        limits = repo.wal.get(pg.id)
        if limits is not None or pg.id == repo.current:
            first, last = limits or (None, None)
            database = {"id": pg.id, "repo-key": repo.key}
            found.append({"database": database, "id": pg.archive_id, "max": last, "min": first})
    return found


def _backup(entry: BackupEntry, repo: RepoView, detailed: bool) -> Facts:
    facts: Facts = {
        "archive": {"start": entry.archive_start, "stop": entry.archive_stop},
        "backrest": {"format": entry.format, "version": entry.writer},
        "database": {"id": entry.pg_id, "repo-key": repo.key},
        "info": {"delta": entry.size_delta, "repository": _stored(entry), "size": entry.size},
        "label": entry.label,
        "prior": entry.prior,
        "reference": list(entry.reference) or None,
        "timestamp": {"start": entry.timestamp_start, "stop": entry.timestamp_stop},
        "type": entry.type,
    }
    if entry.annotation:
        facts["annotation"] = dict(entry.annotation)
    if entry.error is not None:
        facts["error"] = entry.error
    if entry.lsn_start is not None and entry.lsn_stop is not None:
        facts["lsn"] = {"start": entry.lsn_start, "stop": entry.lsn_stop}
    if detailed and repo.manifest is not None:
        facts.update(_contents(repo.manifest))
    return facts


def _stored(entry: BackupEntry) -> Facts:
    """Bytes in the repository. With block incremental the size of the whole set cannot be told from the list."""
    if entry.repo_size_map is None:
        return {"delta": entry.repo_size_delta, "size": entry.repo_size}
    return {
        "delta": entry.repo_size_delta, "delta-map": entry.repo_size_map_delta, "size-map": entry.repo_size_map
    }  # fmt: skip


def _contents(manifest: Manifest) -> Facts:
    """Databases, links, tablespaces and damaged files of one backup."""
    links = [target for target in manifest.targets.values() if target.type == "link"]
    facts: Facts = {
        "database-ref": [
            {"name": name, "oid": oid} for name, (oid, last_system) in sorted(manifest.databases.items())
            if oid > last_system  # template databases and, before them, nothing else
        ],
        "link": [
            {"destination": "/".join(filter(None, (link.path, link.file))), "name": link.name.partition("/")[2]}
            for link in links
            if link.tablespace_id is None
        ] or None,
        "tablespace": [
            {"destination": link.path, "name": link.tablespace_name, "oid": int(link.tablespace_id)}
            for link in links
            if link.tablespace_id is not None
        ] or None,
    }  # fmt: skip
    damaged = [file.name for file in manifest.files if file.checksum_page is False]
    if damaged:
        facts["error-list"] = damaged
        facts["error-page"] = page_errors(manifest)
    return facts


def snake_case(value: Any) -> Any:
    """The same with underscores for dashes in keys; annotations keep theirs, which are not ours."""
    if isinstance(value, list):
        return [snake_case(item) for item in value]
    if isinstance(value, dict):
        return {key.replace("-", "_"): item if key == "annotation" else snake_case(item) for key, item in value.items()}
    return value
