# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""annotate: change the notes on a backup. They live in backup.info; the manifest keeps those made with the backup."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import BackupSetInvalidError, CommandError, EngineError, OptionInvalidValueError
from ..format.label import is_label
from ..lock import StanzaLock
from ..repo import Repo, open_repos
from .failures import failure
from .outcome import Outcome
from .reconcile import load_reconciled

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")


def annotate(config: Config) -> Outcome:
    """Merge the annotations into those of one backup, in every repository that has it, each in its own list.

    Facts: label, and repos: objects with key, annotation (as it is now) and changed. BackupSetInvalidError when no
    repository has the backup; CommandError, after all of them have had their turn, when one or more failed.
    """
    label = config.set
    if not is_label(label):
        raise OptionInvalidValueError(f"'{label}' is not a backup label", "info shows the labels; 'latest' is not one")
    repos = open_repos(config, read_only=config.dry_run)
    done: list[dict[str, Any]] = []
    failures: list[str] = []
    with StanzaLock(config.lock_path, config.stanza, ["backup"], [repo.key for repo in repos], config.exec_id):
        for repo in repos:
            try:
                facts = annotate_repo(repo, label, config.annotation, config.dry_run)
            except EngineError as error:
                failures.append(failure(repo, error))
                continue
            if facts is not None:
                done.append(facts)
    if failures:
        raise CommandError("\n".join([f"unable to annotate backup {label} everywhere:", *failures]))
    if not done:
        raise BackupSetInvalidError(f"no repository has backup {label}", "info shows the labels")
    return Outcome({"label": label, "repos": done}, changed=any(facts["changed"] for facts in done))


def annotate_repo(repo: Repo, label: str, changes: Mapping[str, str], dry_run: bool) -> dict[str, Any] | None:
    """The facts of one repository; None when it does not have the backup."""
    reconciled = load_reconciled(repo)
    entry = reconciled.info.backups.get(label)
    if entry is None:
        return None
    merged = merge_annotations(entry.annotation, changes)
    changed = merged != dict(entry.annotation)
    if changed:
        log.info("%s: backup %s has the annotations %s", repo.name, label, ", ".join(sorted(merged)) or "(none)")
    if (changed or reconciled.changed) and not dry_run:
        repo.save_backup_info(reconciled.info.with_backup(replace(entry, annotation=merged)))
    return {"key": repo.key, "annotation": merged, "changed": changed}


def merge_annotations(existing: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """existing with changes; an empty value removes its key."""
    merged = {**existing, **changes}
    return {key: merged[key] for key in sorted(merged) if merged[key]}
