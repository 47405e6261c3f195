# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backup list as the directories say it is: a crash can leave backup.info behind what is really there.

A backup is complete from the moment its main manifest exists, and is none once that is gone. So a listed backup without
a manifest leaves the list with all that rests on it, and one that is complete but not listed is added. Nothing is
written here; restore never does this, and reads the list as it stands.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..format.backup_info import BackupEntry, BackupInfo, entry_of
from .expire_plan import dependents

if TYPE_CHECKING:
    from ..format.manifest import Manifest
    from ..repo import Repo

log = logging.getLogger("holdfast")


@dataclass(frozen=True)
class Reconciled:
    """info: what the list should say; changed: it does not say so yet. labels: of all directories, ascending.

    complete: the labels that have a main manifest.
    """

    info: BackupInfo
    changed: bool
    labels: Sequence[str]
    complete: frozenset[str]


def load_reconciled(repo: Repo) -> Reconciled:
    """backup.info of a repository, brought up to date in memory; each difference is a warning."""
    listed = repo.load_backup_info()
    labels = repo.labels()
    complete = frozenset(label for label in labels if repo.is_complete(label))
    lost = lost_labels(listed, complete)
    for label in lost:
        log.warning("%s: backup %s has no manifest any more, removing it from the list", repo.name, label)
    info = listed.without(lost)
    added = False
    for label in sorted(complete - set(listed.backups)):
        full = label.partition("_")[0]
        if label != full and not any(other.partition("_")[0] == full for other in info.backups):
            continue  # without its full backup it is only bytes: expire removes it
        manifest = repo.load_manifest(label, info.cipher_pass)
        reason = mismatch(manifest, info)
        if reason:
            log.warning("%s: backup %s is complete but not added to the list: %s", repo.name, label, reason)
            continue
        log.warning("%s: backup %s is complete but was not listed, adding it to the list", repo.name, label)
        info = info.with_backup(entry_of(manifest))
        added = True
    return Reconciled(info, bool(lost) or added, labels, complete)


def lost_labels(info: BackupInfo, complete: Collection[str]) -> list[str]:
    """Listed labels without a manifest, and what rests on them, newest first."""
    backups: dict[str, BackupEntry] = dict(info.backups)
    lost = {found for label in backups if label not in complete for found in dependents(backups, label)}
    return sorted(lost, reverse=True)


def mismatch(manifest: Manifest, info: BackupInfo) -> str:
    """Why a backup cannot be in this list; empty when it can."""
    pg = manifest.pg
    known = {(entry.id, entry.system_id, entry.version) for entry in info.history}
    if (pg.id, pg.system_id, pg.version) not in known:
        return f"the stanza does not know its cluster (version {pg.version}, system id {pg.system_id}, id {pg.id})"
    if manifest.prior is not None and manifest.prior not in info.backups:
        return f"{manifest.prior}, which it is based on, is not listed"
    return ""
