# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""stanza-create, stanza-upgrade, stanza-delete: the two info files of a stanza in each repository.

archive.info and backup.info each keep the history of clusters (version, system id); the newest entry is the cluster
that WAL and backups are accepted from. Both must always tell the same story.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from .. import faults
from ..errors import AssertError, FileInvalidError, FileMissingError, PathNotEmptyError, PgRunningError
from ..format import layout
from ..format.archive_info import ArchiveInfo, PgHistory
from ..format.backup_info import BackupInfo
from ..lock import Kind, StanzaLock, check_stop, remove_stop, stop_file
from ..postgres.control_file import load_control
from ..repo import Repo, open_repos
from ..version import WRITER
from .outcome import Outcome

if TYPE_CHECKING:
    from ..options import Config
    from ..postgres.control import Control

log = logging.getLogger("holdfast")

PASSPHRASE_BYTES = 48  # of the random passphrases inside an encrypted repository; as text 64 characters
KINDS: tuple[Kind, ...] = ("archive", "backup", "restore")

Info = TypeVar("Info", ArchiveInfo, BackupInfo)


def stanza_create(config: Config) -> Outcome:
    """Create what is missing of the stanza in every repository; valid ones are left as they are.

    Facts: version, system_id, and repos: objects with key and action (created, completed, valid). A repository that
    fails stops the command, and what was created before stays.
    """
    check_stop(config.lock_path, config.stanza)
    if config.force:
        log.warning("force has no effect on stanza-create; delete the stanza first if it is to be made anew")
    repos = open_repos(config)
    with StanzaLock(config.lock_path, config.stanza, KINDS, [repo.key for repo in repos], config.exec_id):
        control = load_cluster(config)
        actions = [(repo, create_in(repo, control, config.dry_run)) for repo in repos]
    return _outcome(control, actions)


def stanza_upgrade(config: Config) -> Outcome:
    """Record the cluster in every repository where it is not the newest entry of the history yet.

    Facts: version, system_id, and repos: objects with key and action (upgraded, valid).
    """
    check_stop(config.lock_path, config.stanza)
    repos = open_repos(config)
    with StanzaLock(config.lock_path, config.stanza, KINDS, [repo.key for repo in repos], config.exec_id):
        control = load_cluster(config)
        actions = [(repo, upgrade_in(repo, control, config.dry_run)) for repo in repos]
    return _outcome(control, actions)


def stanza_delete(config: Config) -> Outcome:
    """Remove the stanza with all its backups and WAL from one repository.

    Facts: repos: objects with key and action (deleted, absent). FileMissingError unless the stanza was stopped,
    PgRunningError while the cluster runs unless force is given.
    """
    repos = open_repos(config)[:1]
    with StanzaLock(config.lock_path, config.stanza, KINDS, [repo.key for repo in repos], config.exec_id):
        actions = [(repo, delete_in(repo, config)) for repo in repos]
    return _outcome(None, actions)


def _outcome(control: Control | None, actions: Sequence[tuple[Repo, str]]) -> Outcome:
    facts: dict[str, Any] = {"repos": [{"key": repo.key, "action": action} for repo, action in actions]}
    if control is not None:
        facts.update(version=control.version, system_id=control.system_id)
    return Outcome(facts, changed=any(action not in ("valid", "absent") for _repo, action in actions))


def load_cluster(config: Config) -> Control:
    """Identity of the cluster: that of the running primary, or with --no-online of the files of the first pg."""
    if not config.online:
        return load_control(config.pgs[0].path, config.pg_version_force)
    from ..postgres.server import check_identity, connect_clusters

    clusters = connect_clusters(config)
    try:
        if clusters.primary is None:
            raise AssertError("connect_clusters() returned no primary")
        control = load_control(clusters.primary.pg.path, config.pg_version_force)
        check_identity(clusters.primary, control)
        return control
    finally:
        clusters.close()


# -- create


def create_in(repo: Repo, control: Control, dry_run: bool) -> str:
    """What was done: created, completed (a missing copy came back) or valid.

    PathNotEmptyError, FileMissingError (one of the two info files), FileInvalidError (another cluster).
    """
    archive, backup = layout.archive_info(repo.stanza), layout.backup_info(repo.stanza)
    existing = {
        name for info in (archive, backup) for name in (info, layout.copy_of(info)) if repo.storage.exists(name)
    }
    has_archive, has_backup = (bool(existing & {info, layout.copy_of(info)}) for info in (archive, backup))
    if not has_archive and not has_backup:
        _check_empty(repo)
        if not dry_run:
            _create(repo, control)
        log.info("%s: stanza %s created", repo.name, repo.stanza)
        return "created"
    if has_archive != has_backup:
        missing, present = (backup, archive) if has_archive else (archive, backup)
        raise FileMissingError(
            f"{repo.name}: {present} exists but {missing} is missing",
            "restore the missing file from a copy of the repository, or delete the stanza and create it anew",
        )
    archive_info, backup_info = repo.load_archive_info(), repo.load_backup_info()
    check_info(repo, archive_info, backup_info, control)
    if len(existing) == 4:
        log.info("%s: stanza %s exists already and is valid", repo.name, repo.stanza)
        return "valid"
    if not dry_run:
        _complete(repo, (archive, backup), existing)
    log.info("%s: stanza %s had a missing copy of an info file, which is back", repo.name, repo.stanza)
    return "completed"


def _check_empty(repo: Repo) -> None:
    for path in (layout.backup_dir(repo.stanza), layout.archive_dir(repo.stanza)):
        if next(iter(repo.storage.entries(path)), None) is not None:
            raise PathNotEmptyError(
                f"{repo.name}: {path} is not empty, but has no info file",
                "backups or WAL without their info files: restore those from a copy, or remove the directory",
            )


def _create(repo: Repo, control: Control) -> None:
    pg = _entry_of(control, 1)
    encrypted = repo.cipher_pass is not None
    archive_pass, backup_pass = (_passphrase() if encrypted else None for _name in ("archive", "backup"))
    repo.save_archive_info(ArchiveInfo(history=(pg,), current_id=pg.id, cipher_pass=archive_pass, writer=WRITER))
    repo.save_backup_info(
        BackupInfo(history=(pg,), current_id=pg.id, backups={}, cipher_pass=backup_pass, writer=WRITER)
    )


def _complete(repo: Repo, names: Sequence[str], existing: set[str]) -> None:
    """Copy the twin that is there, with its bytes: an encrypted file must not be encrypted anew for one of the two."""
    for name in names:
        twin = layout.copy_of(name)
        for source, target in ((name, twin), (twin, name)):
            if source in existing and target not in existing:
                repo.storage.write(target, repo.storage.read(source))


def check_info(repo: Repo, archive: ArchiveInfo, backup: BackupInfo, control: Control | None = None) -> None:
    """FileInvalidError when the info files disagree with each other, or with the cluster when it is given."""
    if _identities(archive) != _identities(backup) or archive.current_id != backup.current_id:
        raise FileInvalidError(
            f"{repo.name}: archive.info and backup.info of stanza {repo.stanza} do not belong together:"
            f" {_named(archive.current)} and {_named(backup.current)}",
            "was one of them restored from elsewhere? stanza-upgrade can bring one up to date with the cluster",
        )
    if control is not None and not _is(archive.current, control):
        raise FileInvalidError(
            f"{repo.name}: stanza {repo.stanza} belongs to a cluster of {_named(archive.current)},"
            f" not to {_named(_entry_of(control, archive.current_id))}",
            "after pg_upgrade or a new initdb run stanza-upgrade; otherwise check pg1-path and the stanza's name",
        )


def _identities(info: ArchiveInfo | BackupInfo) -> list[tuple[int, int, str]]:
    return [(pg.id, pg.system_id, pg.version) for pg in info.history]


def _is(pg: PgHistory, control: Control) -> bool:
    return (pg.version, pg.system_id) == (control.version, control.system_id)


def _named(pg: PgHistory) -> str:
    return f"version {pg.version}, system id {pg.system_id}, history id {pg.id}"


def _entry_of(control: Control, history_id: int) -> PgHistory:
    return PgHistory(history_id, control.system_id, control.version, control.control_version, control.catalog_version)


def _passphrase() -> str:
    import base64

    return base64.b64encode(os.urandom(PASSPHRASE_BYTES)).decode("ascii")


# -- upgrade


def upgrade_in(repo: Repo, control: Control, dry_run: bool) -> str:
    """upgraded or valid. Either info file may be up to date already, after a crash between the two."""
    archive, backup = repo.load_archive_info(), repo.load_backup_info()
    new_archive, new_backup = _upgraded(archive, control), _upgraded(backup, control)
    check_info(repo, new_archive, new_backup, control)
    if new_archive is archive and new_backup is backup:
        log.info("%s: stanza %s is up to date", repo.name, repo.stanza)
        return "valid"
    if not dry_run:
        if new_archive is not archive:
            repo.save_archive_info(new_archive)
        if new_backup is not backup:
            repo.save_backup_info(new_backup)
    log.info("%s: stanza %s upgraded to %s", repo.name, repo.stanza, _named(new_archive.current))
    return "upgraded"


def _upgraded(info: Info, control: Control) -> Info:
    if _is(info.current, control):
        return info
    pg = _entry_of(control, max(pg.id for pg in info.history) + 1)
    return replace(info, history=(*info.history, pg), current_id=pg.id, writer=WRITER)


# -- delete


def delete_in(repo: Repo, config: Config) -> str:
    """deleted or absent. The info files go first: an interrupted delete leaves nothing that could be used."""
    paths = [layout.archive_dir(repo.stanza), layout.backup_dir(repo.stanza)]
    if not any(repo.storage.exists(path) or next(iter(repo.storage.entries(path)), None) for path in paths):
        log.info("%s: there is no stanza %s to delete", repo.name, repo.stanza)
        return "absent"
    if any(next(iter(repo.storage.entries(path)), None) is not None for path in paths):
        _check_stopped(config)
        if config.dry_run:
            log.info("%s: stanza %s would be deleted", repo.name, repo.stanza)
            return "deleted"
        for info in (layout.archive_info(repo.stanza), layout.backup_info(repo.stanza)):
            repo.storage.remove(info)
            repo.storage.remove(layout.copy_of(info))
    if not config.dry_run:
        faults.point("stanza.delete")
        for path in paths:
            repo.storage.remove_tree(path)
        remove_stop(config.lock_path, repo.stanza)
    log.info("%s: stanza %s deleted", repo.name, repo.stanza)
    return "deleted"


def _check_stopped(config: Config) -> None:
    path = stop_file(config.lock_path, config.stanza)
    if not os.path.exists(path):
        raise FileMissingError(
            f"stop file {path} does not exist for stanza {config.stanza}",
            f"run 'holdfast --stanza={config.stanza} stop' first; a stop of all stanzas does not count",
        )
    pid_file = os.path.join(config.pgs[0].path, "postmaster.pid")
    if os.path.exists(pid_file) and not config.force:
        raise PgRunningError(
            f"{pid_file} exists: PostgreSQL seems to be running",
            "stop PostgreSQL, or give --force if this cluster is no longer to be backed up",
        )
