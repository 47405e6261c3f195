# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore decides before it changes anything: which set, mapped how, into a destination that is looked at."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EngineError, FormatError, PgRunningError
from ..format import layout
from ..format.archive_info import entry_with_id
from ..format.manifest import Manifest
from ..format.names import check_names
from ..postgres.history import parse_history
from ..repo import Repo, open_repos
from .recovery import AUTO_CONF
from .restore_map import map_manifest
from .restore_owner import survey_owners
from .restore_select import zeroed_databases
from .restore_set import Chosen, Listing, check_timeline, choose_set, parse_timeline
from .restore_target import MANIFEST_FILE, Destination

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")


@dataclass(frozen=True)
class Plan:
    """What a restore will do. kind: of the recovery target.

    clean: the destination may hold files, and those of no use are removed; delta: what is right is kept; by_time: and
    that is judged by size and time, without reading. zeroed: oids of the databases whose files become holes.
    """

    repo: Repo
    manifest: Manifest
    destination: Destination
    kind: str
    clean: bool
    delta: bool
    by_time: bool
    zeroed: frozenset[int]


def plan_restore(config: Config, pg_path: str) -> Plan:
    """Choose the set, map it to this host and check the destination; nothing is changed."""
    _check_stopped(pg_path)
    clean = _may_clean(config, pg_path)
    repos = open_repos(config, read_only=True)
    listings, usable = _listings(repos)
    kind = config.type
    label = config.set if config.source("set") != "default" else None
    chosen = choose_set(listings, label, kind, config.target)
    for warning in chosen.warnings:
        log.warning("%s", warning)
    repo, info = usable[chosen.position], listings[chosen.position].info
    manifest = repo.load_manifest(chosen.entry.label, info.cipher_pass)
    check_names(manifest)
    _check_checksums(manifest)
    if manifest.label != chosen.entry.label:
        raise FormatError(
            f"the manifest of backup {chosen.entry.label} says that it belongs to {manifest.label}",
            "was a backup directory renamed or copied by hand? Restore another set",
        )
    online = bool(manifest.options.get("option-online"))
    if online:
        _check_timeline(config, repo, chosen, kind)
    elif config.source("type") == "default":
        kind = "none"
    mapped = map_manifest(
        manifest,
        pg_path,
        config.tablespace_map or {},
        config.tablespace_map_all,
        config.link_map or {},
        config.link_all,
    )
    for note in mapped.notes:
        log.info("%s", note)
    for warning in mapped.warnings:
        log.warning("%s", warning)
    manifest.remove_files(_left_out(kind))
    destination = Destination(manifest, pg_path, clean, kind == "preserve", survey_owners(manifest, pg_path))
    destination.check()
    delta = clean and bool(config.delta)  # force alone cleans, but copies every file
    # An interrupted restore may have set the time of a file whose content never reached the disk.
    by_time = delta and bool(config.force) and not os.path.lexists(os.path.join(pg_path, MANIFEST_FILE))
    zeroed = zeroed_databases(manifest, config.db_include or (), config.db_exclude or ())
    return Plan(repo, manifest, destination, kind, clean, delta, by_time, zeroed)


def _left_out(kind: str) -> set[str]:
    """Files of the backup that stay out: links come from the mapping, and preserve keeps the settings it finds."""
    return {"pg_data/tablespace_map", *([f"pg_data/{AUTO_CONF}"] if kind == "preserve" else [])}


def _check_checksums(manifest: Manifest) -> None:
    for file in manifest.files:
        if file.checksum is None:
            raise FormatError(
                f"the manifest of backup {manifest.label} has no checksum for {file.name}",
                "this backup was never complete; restore another set",
            )


def _check_stopped(pg_path: str) -> None:
    pid_file = os.path.join(pg_path, "postmaster.pid")
    if os.path.lexists(pid_file):
        raise PgRunningError(
            f"unable to restore while PostgreSQL is running: {pid_file} exists",
            "stop the server; remove the file only if you are sure that no server uses the directory",
        )


def _may_clean(config: Config, pg_path: str) -> bool:
    """Whether delta or force is given for a directory that is a cluster, or was left by an interrupted restore."""
    if not (config.delta or config.force):
        return False
    if any(os.path.lexists(os.path.join(pg_path, name)) for name in ("PG_VERSION", MANIFEST_FILE)):
        return True
    log.warning(
        "--delta or --force specified but unable to find 'PG_VERSION' or '%s' in '%s' to confirm that this is a valid "
        "data directory. --delta and --force have been disabled: if any files exist there the restore is refused.",
        MANIFEST_FILE, pg_path,
    )  # fmt: skip
    return False


def _listings(repos: Sequence[Repo]) -> tuple[list[Listing], list[Repo]]:
    """The repositories whose backup.info can be read; an unreadable one is a warning as long as another is left."""
    listings: list[Listing] = []
    usable: list[Repo] = []
    failure = None
    for repo in repos:
        try:
            listings.append(Listing(repo.name, repo.load_backup_info()))
            usable.append(repo)
        except EngineError as error:
            if len(repos) > 1:
                log.warning("%s: [%s] %s", repo.name, error.label, error.message)
            failure = failure or error
    if failure is not None and not usable:
        raise failure
    return listings, usable


def _check_timeline(config: Config, repo: Repo, chosen: Chosen, kind: str) -> None:
    """The target timeline must have passed through the backup; 'latest' is the newest one that has a history."""
    wanted = config.target_timeline or ("current" if kind == "immediate" else "latest")
    if wanted == "current":
        return
    entry = chosen.entry
    own = int((entry.archive_start or "0" * 24)[:8], 16)
    archive = repo.load_archive_info()
    pg = entry_with_id(archive.history, entry.pg_id)
    root = layout.wal_dir(repo.stanza, pg.archive_id)
    known = [int(item.name[:8], 16) for item in repo.storage.entries(root) if layout.is_history(item.name)]
    timeline = max([own, *known]) if wanted == "latest" else parse_timeline(wanted)
    if timeline != own:
        text = repo.read_archived(pg.archive_id, f"{timeline:08X}.history", archive.cipher_pass)
        check_timeline(entry, timeline, parse_history(text))
