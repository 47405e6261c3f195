# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""check: prove that the cluster, its stanza and its archiving belong together, by archiving a segment for real."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, PathMissingError, PathOpenError
from ..format import layout
from ..postgres.control_file import load_control
from ..postgres.server import Clusters, Session, check_cluster, check_identity, find_clusters
from ..repo import Repo, open_repos
from .outcome import Outcome
from .stanza import check_info
from .wal_wait import wait_for_segment

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")


def check_stanza(config: Config) -> dict[str, Any]:
    """Facts of one stanza: stanza, primary and standby (pg1, or None), segment (None when there is no primary), repos.

    repos: objects with key, archive_id and wal, the path of the segment in the repository.
    """
    clusters = find_clusters(config)
    try:
        _check_clusters(config, clusters)
        for pg in config.pgs:
            _check_directory(pg.path)
        repos = open_repos(config)
        if clusters.standby is not None:
            _check_standby(config, clusters.standby, repos)
        facts: dict[str, Any] = {
            "stanza": config.stanza,
            "primary": clusters.primary.name if clusters.primary else None,
            "standby": clusters.standby.name if clusters.standby else None,
            "segment": None,
            "repos": [{"key": repo.key} for repo in repos],
        }
        if clusters.primary is not None:
            facts.update(_check_primary(config, clusters.primary, repos))
        return facts
    finally:
        clusters.close()


def _check_clusters(config: Config, clusters: Clusters) -> None:
    if clusters.primary is None and clusters.standby is None:
        raise ConfigError(
            f"no cluster of stanza {config.stanza} can be used", "see the warnings above; is PostgreSQL running?"
        )
    if clusters.primary is None and len(config.pgs) > 1:
        raise ConfigError(
            f"several clusters are configured for stanza {config.stanza}, but none of those that answer is a primary",
            "see the warnings above; configure the standby alone on a host that cannot reach the primary",
        )
    if clusters.standby is None and config.backup_standby != "n":
        log.warning("backup-standby is %s, but no standby was found", config.backup_standby)


def _check_directory(path: str) -> None:
    try:
        os.listdir(path)
    except FileNotFoundError:
        raise PathMissingError(f"data directory {path} does not exist", "check the pg-path options") from None
    except OSError as error:
        raise PathOpenError(
            f"cannot list data directory {path}: {error.strerror}", "is this the right user?"
        ) from error


def _check_standby(config: Config, session: Session, repos: Sequence[Repo]) -> None:
    control = load_control(session.pg.path, config.pg_version_force)
    check_identity(session, control)
    for repo in repos:
        check_info(repo, repo.load_archive_info(), repo.load_backup_info(), control)
    log.info("%s is a standby: it cannot switch WAL, so only the primary can show that archiving works", session.name)


def _check_primary(config: Config, session: Session, repos: Sequence[Repo]) -> dict[str, Any]:
    control = load_control(session.pg.path, config.pg_version_force)
    check_cluster(session, control, config.archive_check, config.archive_mode_check)
    archive_ids = []
    for repo in repos:
        archive = repo.load_archive_info()
        check_info(repo, archive, repo.load_backup_info(), control)
        archive_ids.append(archive.current.archive_id)
    # Without a record of its own an idle cluster would have nothing to switch.
    session.restore_point("holdfast check")
    segment = session.switch_wal()
    found = []
    for repo, archive_id in zip(repos, archive_ids):
        start = time.monotonic()
        stored = wait_for_segment(repo, archive_id, segment, config.archive_timeout)
        path = layout.wal_file(repo.stanza, archive_id, stored.name, stored.sha1, stored.ext)
        log.info("%s: WAL segment %s arrived at %s", repo.name, segment, path)
        waited = round(time.monotonic() - start, 3)
        found.append({"key": repo.key, "archive_id": archive_id, "wal": path, "waited": waited})
    return {"segment": segment, "repos": found}


def check(config: Config) -> Outcome:
    """Check the stanza, or without one all stanzas of the configuration, up to the first that fails.

    Facts: stanzas, a list of what check_stanza says.
    """
    if config.stanza is not None:
        return Outcome({"stanzas": [check_stanza(config)]}, changed=True)
    if not config.stanzas:
        log.warning("no stanza is configured, so there is nothing to check")
    checked = [check_stanza(config.replace(stanza=name)) for name in config.stanzas]
    return Outcome({"stanzas": checked}, changed=bool(checked))
