# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""info: what is in the repositories, and what is going on, as text or as JSON.

Only reads, takes no lock, and does not fail because of what it finds: a repository that cannot be read is part of what
it reports, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..errors import FATAL, EngineError, FileMissingError, OptionInvalidError
from ..format import layout
from ..lock import Kind, read_locks
from ..repo import Repo, open_repos
from .failures import reason
from .info_facts import (
    MESSAGES,
    NO_BACKUP,
    NO_DATA,
    NO_PATH,
    OK,
    OTHER,
    Facts,
    LockView,
    RepoView,
    progress_facts,
    snake_case,
    stanza_facts,
)
from .info_text import render_text
from .outcome import Outcome

if TYPE_CHECKING:
    from ..format.backup_info import BackupInfo
    from ..format.manifest import Manifest
    from ..options import Config

INVALID = "[invalid]"  # the stanza that failures of a whole repository belong to when no stanza is known


def info(config: Config) -> Outcome:
    """Facts: stanzas, the objects of the JSON form with underscores for dashes in keys. The status is always 0."""
    if config.set is not None and config.detail_level == "progress":
        raise OptionInvalidError("set cannot be given with detail-level=progress", "leave one of the two out")
    repos = open_repos(config, read_only=True)
    names, broken = stanza_names(config, repos)
    stanzas = [_stanza(config, name, repos, broken) for name in names]
    return Outcome({"stanzas": [snake_case(stanza) for stanza in stanzas]}, output=_render(config, stanzas))


def _render(config: Config, stanzas: Sequence[Facts]) -> str:
    if config.output == "text":
        return render_text(stanzas, config.set)
    import json

    return json.dumps(stanzas, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def stanza_names(config: Config, repos: Iterable[Repo]) -> tuple[list[str], dict[int, EngineError]]:
    """The stanzas to report on, ascending, and the repositories that could not even be listed, by key."""
    names: set[str] = set()
    broken: dict[int, EngineError] = {}
    for repo in repos:
        try:
            names |= {entry.name for entry in repo.storage.entries("backup") if entry.kind == "path"}
        except FATAL:
            raise
        except EngineError as error:
            broken[repo.key] = error
    if config.stanza is not None:
        return [config.stanza], broken
    return sorted(names) or ([INVALID] if broken else []), broken


def _stanza(config: Config, name: str, repos: Sequence[Repo], broken: dict[int, EngineError]) -> Facts:
    backup_locks = load_locks(config.lock_path, name, "backup", repos)
    restore_locks = load_locks(config.lock_path, name, "restore", repos)
    if config.detail_level == "progress":
        return progress_facts(name, backup_locks, restore_locks)
    views = [load_view(Repo(repo.settings, name, repo.storage), config.set, broken.get(repo.key)) for repo in repos]
    return stanza_facts(name, views, backup_locks, restore_locks, label=config.set, kind=config.type)


def load_locks(lock_path: str, stanza: str, kind: Kind, repos: Iterable[Repo]) -> list[LockView]:
    """Who holds the locks of one kind, by repository."""
    found = []
    for repo in repos:
        state = read_locks(lock_path, stanza, kind, repo.key)
        if state is None:
            found.append(LockView(repo.key, held=False))
        else:
            found.append(LockView(repo.key, True, state.size, state.size_complete))
    return found


# -- one repository


def load_view(repo: Repo, label: str | None, broken: EngineError | None = None) -> RepoView:
    """What a repository says of its stanza. label: the backup whose manifest is wanted, too."""
    cipher = repo.settings.cipher_type
    try:
        if broken is not None:
            raise broken
        path = layout.backup_dir(repo.stanza)
        if next(iter(repo.storage.entries(path)), None) is None and not repo.storage.exists(path):
            return RepoView(repo.key, cipher, NO_PATH, MESSAGES[NO_PATH])
        try:
            backup = repo.load_backup_info()
        except FileMissingError:
            return RepoView(repo.key, cipher, NO_DATA, MESSAGES[NO_DATA])
        return _valid_view(repo, cipher, backup, label)
    except FATAL:
        raise
    except EngineError as error:
        return RepoView(repo.key, cipher, OTHER, reason(error))


def _valid_view(repo: Repo, cipher: str, backup: BackupInfo, label: str | None) -> RepoView:
    archive = repo.load_archive_info()
    code = OK if backup.backups else NO_BACKUP
    manifest: Manifest | None = None
    if label is not None and label in backup.backups:
        manifest = repo.load_manifest(label, backup.cipher_pass)
    wal = {pg.id: wal_limits(repo, pg.archive_id) for pg in archive.history}
    return RepoView(
        repo.key, cipher, code, MESSAGES[code], backup.history, backup.current_id, backup.backups, wal, manifest
    )


def wal_limits(repo: Repo, archive_id: str) -> tuple[str, str] | None:
    """First and last whole segment in an archive id by name, so timelines count before positions; None for none."""
    path = layout.wal_dir(repo.stanza, archive_id)
    paths = sorted(entry.name for entry in repo.storage.entries(path) if layout.is_wal_dir(entry.name))
    first = next(filter(None, (_segments(repo, f"{path}/{name}") for name in paths)), None)
    last = next(filter(None, (_segments(repo, f"{path}/{name}") for name in reversed(paths))), None)
    return (min(first), max(last)) if first and last else None


def _segments(repo: Repo, path: str) -> list[str]:
    stored = (layout.parse_wal_name(entry.name) for entry in repo.storage.entries(path))
    return [wal.name for wal in stored if wal is not None and not wal.partial]
