# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""expire: remove backups, WAL and history manifests that the retention lets go of.

A repository is planned as a whole before anything of it is removed. Then manifests go first (a directory without one is
no backup), then the list, then the bulk, then WAL, oldest first: a crash at any point leaves a list of backups that can
all be restored, and the next run finishes the work.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import faults
from ..errors import CommandError, EngineError, OptionInvalidError, OptionInvalidValueError
from ..format import layout
from ..format.label import is_label
from ..lock import StanzaLock, check_stop
from ..repo import Repo, open_repos
from .expire_plan import ExpirePlan, Request, Retention, State, WalRemoval, WalTree, plan_expire
from .failures import failure
from .outcome import Outcome
from .reconcile import Reconciled, load_reconciled

if TYPE_CHECKING:
    from ..options import Config, Group

log = logging.getLogger("holdfast")


def expire(config: Config) -> Outcome:
    """Lock the stanza's backups and expire. Facts: as run_expire."""
    check_stop(config.lock_path, config.stanza)
    keys = [repo.key for repo in open_repos(config)]
    with StanzaLock(config.lock_path, config.stanza, ["backup"], keys, config.exec_id):
        return run_expire(config)


def run_expire(config: Config) -> Outcome:
    """Expire in every repository of config; for callers that hold the backup locks, as backup does.

    Facts: backups, all labels that left a list; repos, objects with key, backups (newest first), directories (removed
    label directories), wal (objects with archive_id, whole, and removed: [first, last] of each run of segments) and
    manifests (of the history). CommandError, after all repositories have had their turn, when one or more failed.
    """
    request = parse_request(config)
    done: list[dict[str, Any]] = []
    failures: list[str] = []
    found = changed = False
    for repo in open_repos(config, read_only=config.dry_run):
        try:
            plan, reconciled = expire_repo(repo, retention_of(repo.settings), request, config.dry_run)
        except EngineError as error:
            failures.append(failure(repo, error))
            log.error("%s", failures[-1], extra={"code": error.code})
            continue
        found = found or plan.found
        changed = changed or reconciled or plan.changes
        done.append(plan_facts(repo.key, plan))
    if not found and not failures:
        log.warning("backup %s is in no repository; only WAL and history were expired", request.label)
    if failures:
        raise CommandError("\n".join([f"{len(failures)} of the repositories failed:", *failures]))
    labels = sorted({label for facts in done for label in facts["backups"]})
    return Outcome({"backups": labels, "repos": done}, changed=changed)


def parse_request(config: Config) -> Request:
    """The options that are for this one run; OptionInvalid(Value)Error when they make no sense."""
    label, before = config.set, config.archive_expire_before
    if label is not None and not is_label(label):
        raise OptionInvalidValueError(
            f"'{label}' is not a backup label", "info shows the labels; 'latest' cannot be expired by name"
        )
    if label is not None and config.oldest:
        raise OptionInvalidError("set and oldest cannot be given together", "oldest chooses the backup itself")
    if before is not None and not layout.is_segment(before):
        raise OptionInvalidValueError(
            f"archive-expire-before: '{before}' is not the name of a WAL segment", "it has 24 hexadecimal digits"
        )
    return Request(label, config.oldest, before)


def retention_of(settings: Group) -> Retention:
    """What the options of a repository say."""
    return Retention(
        settings.retention_full,
        settings.retention_full_type == "time",
        settings.retention_diff,
        settings.retention_archive,
        settings.retention_archive_type,
        settings.retention_history,
    )


def expire_repo(repo: Repo, retention: Retention, request: Request, dry_run: bool) -> tuple[ExpirePlan, bool]:
    """Plan, log, and unless it is a dry run, apply; also, whether the list had to be brought up to date before."""
    reconciled = load_reconciled(repo)
    plan = plan_expire(load_state(repo, reconciled, request), retention, request, int(time.time()))
    log_plan(repo.name, plan)
    if not dry_run:
        apply_expire(repo, plan, reconciled)
    return plan, reconciled.changed


# -- loading


class _Listing(Mapping[str, Sequence[str]]):
    """File names by directory, read when they are asked for: most WAL directories stay or go as a whole."""

    def __init__(self, repo: Repo, path: str, names: Sequence[str]) -> None:
        self._repo, self._path, self._names = repo, path, names

    def __getitem__(self, name: str) -> Sequence[str]:
        return [entry.name for entry in self._repo.storage.entries(f"{self._path}/{name}") if entry.kind != "path"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_state(repo: Repo, reconciled: Reconciled, request: Request) -> State:
    """What the plan has to know of a repository; names only, no contents but the info files'."""
    info = reconciled.info
    unfinished = reconciled.labels[-1] if reconciled.labels else None
    prior = None
    if unfinished is not None and (
        unfinished in reconciled.complete
        or not repo.storage.exists(layout.copy_of(layout.manifest(repo.stanza, unfinished)))
    ):
        unfinished = None
    if unfinished is not None and request.label is not None and "_" in unfinished:
        prior = repo.load_manifest_copy(unfinished, info.cipher_pass).prior
    return State(
        backups=dict(info.backups),
        history=info.history,
        archive_history=repo.load_archive_info().history,
        current_id=info.current_id,
        on_disk=reconciled.labels,
        unfinished=unfinished,
        unfinished_prior=prior,
        wal=_wal_trees(repo, [pg.archive_id for pg in info.history]),
        manifests=_Listing(repo, layout.history_dir(repo.stanza), _paths(repo, layout.history_dir(repo.stanza))),
    )


def _wal_trees(repo: Repo, archive_ids: Sequence[str]) -> dict[str, WalTree]:
    existing = set(_paths(repo, layout.archive_dir(repo.stanza)))
    trees = {}
    for archive_id in archive_ids:
        if archive_id in existing:
            path = layout.wal_dir(repo.stanza, archive_id)
            entries = list(repo.storage.entries(path))
            paths = sorted(entry.name for entry in entries if entry.kind == "path" and layout.is_wal_dir(entry.name))
            histories = [entry.name for entry in entries if layout.is_history(entry.name)]
            trees[archive_id] = WalTree(paths, histories, _Listing(repo, path, paths))
    return trees


def _paths(repo: Repo, path: str) -> list[str]:
    return sorted(entry.name for entry in repo.storage.entries(path) if entry.kind == "path")


# -- applying


def apply_expire(repo: Repo, plan: ExpirePlan, reconciled: Reconciled) -> None:
    """Remove what the plan says, in the order that a crash may interrupt anywhere."""
    for label in plan.remove:
        _remove_manifests(repo, label)
    if plan.remove or reconciled.changed:
        faults.point("expire.list")
        repo.save_backup_info(reconciled.info.without(plan.remove))
    for label in plan.directories:
        # Also where the list never had it: half a directory with a manifest would look like a backup.
        _remove_manifests(repo, label)
        faults.point("expire.directory")
        repo.storage.remove_tree(layout.backup_dir(repo.stanza, label))
    if plan.relink:
        repo.link_latest(plan.latest)
    for removal in plan.wal:
        _remove_wal(repo, removal)
    for name in plan.manifests:
        repo.storage.remove(f"{layout.history_dir(repo.stanza)}/{name}")
    for year in plan.years:
        repo.storage.remove_tree(f"{layout.history_dir(repo.stanza)}/{year}")


def _remove_manifests(repo: Repo, label: str) -> None:
    manifest = layout.manifest(repo.stanza, label)
    faults.point("expire.manifest")
    repo.storage.remove(manifest)
    repo.storage.remove(layout.copy_of(manifest))


def _remove_wal(repo: Repo, removal: WalRemoval) -> None:
    root = layout.wal_dir(repo.stanza, removal.archive_id)
    faults.point("expire.wal")
    if removal.whole:
        repo.storage.remove_tree(root)
    for path in removal.paths:
        repo.storage.remove_tree(f"{root}/{path}")
    for name in (*removal.files, *removal.histories):
        repo.storage.remove(f"{root}/{name}")


# -- telling


def log_plan(repo: str, plan: ExpirePlan) -> None:
    """One line for each set, directory and run of WAL. repo: how messages call the repository."""
    for level, text in plan.notes:
        log.log(level, "%s: %s", repo, text)
    for group in plan.sets:
        what = f"set {', '.join(group.labels)}" if len(group.labels) > 1 else group.labels[0]
        log.info("%s: expire %s backup %s", repo, group.why, what)
    for label in plan.directories:
        log.info("%s: remove expired backup %s", repo, label)
    for removal in plan.wal:
        if removal.whole:
            log.info("%s: remove archive id %s", repo, removal.archive_id)
        for first, last in () if removal.whole else removal.spans:
            log.info("%s: %s remove archive, start = %s, stop = %s", repo, removal.archive_id, first, last)
        for name in removal.histories:
            log.info("%s: %s remove history file %s", repo, removal.archive_id, name)
    for name in plan.manifests:
        log.info("%s: remove history manifest %s", repo, name)


def plan_facts(key: int, plan: ExpirePlan) -> dict[str, Any]:
    """The plan of one repository as facts; see run_expire."""
    return {
        "key": key,
        "backups": list(plan.remove),
        "directories": list(plan.directories),
        "wal": [
            {
                "archive_id": removal.archive_id,
                "whole": removal.whole,
                "removed": [list(span) for span in removal.spans],
            }
            for removal in plan.wal
        ],
        "manifests": list(plan.manifests),
    }
