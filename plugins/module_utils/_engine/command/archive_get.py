# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-get: one WAL file out of the repositories; PostgreSQL's restore_command.

"Not found" ends a recovery, so it is only said when every repository was asked and none has the file: where one could
not be asked, it is an error. With archive-async, segments come from the spool, and from the repositories as without it
where the spool does not have them: the background process only makes it faster.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from ..errors import FormatError, ParamInvalidError, ParamRequiredError, RepoInvalidError
from ..format.layout import is_segment
from ..postgres.control import DISARMED
from ..postgres.control_file import load_control
from .outcome import Outcome
from .wal_get import fetch, find_file, open_sources
from .wal_path import absolute_wal_path, cluster_path

if TYPE_CHECKING:
    from ..options import Config
    from ..postgres.control import Control
    from .archive_get_ahead import Ahead

log = logging.getLogger("holdfast")

NOT_FOUND = 1  # exit status: PostgreSQL takes it for the end of the archive


def archive_get(config: Config) -> Outcome:
    """Fetch the file that the first parameter names to the place that the second one names.

    Facts: file, found, and if so repo (key) and archive_id. The status is 1 when no repository has the file;
    RepoInvalidError when that cannot be said because one of them failed, FileReadError when no copy is good.
    """
    name, destination = _parameters(config)
    data_directory = cluster_path(config)
    if data_directory is None:
        raise ParamRequiredError("archive-get needs option pg1-path", "it is the data directory of the cluster")
    destination = absolute_wal_path(destination, data_directory)
    control = load_control(data_directory, config.pg_version_force)
    check_recoverable(control, data_directory)
    ahead = _open_ahead(config, control, data_directory, name)
    outcome = ahead.take(name, destination) if ahead else None
    if outcome is not None:
        return outcome
    sources, failures = open_sources(config, control)
    found = find_file(sources, name, failures)
    if not found.copies:
        if found.failures:
            raise RepoInvalidError(
                "\n".join([f"unable to tell whether {name} is in the archive:", *found.failures]),
                "saying that it is not there would end the recovery; repair the repository or leave it out with --repo",
            )
        return not_found(name)
    if ahead:
        ahead.go_on(name, sources)
    copy = fetch(found, name, destination)
    log.info("found %s in the %s: %s archive", name, copy.source.repo.name, copy.archive_id)
    return Outcome(
        {"file": name, "found": True, "repo": copy.source.repo.key, "archive_id": copy.archive_id}, changed=True
    )


def not_found(name: str) -> Outcome:
    log.info("unable to find %s in the archive", name)
    return Outcome({"file": name, "found": False}, status=NOT_FOUND)


def _open_ahead(config: Config, control: Control, data_directory: str, name: str) -> Ahead | None:
    """What the background fetches ahead; None when it cannot have the file. Other files than segments are few."""
    if not (config.archive_async and is_segment(name)):
        return None
    from .archive_get_ahead import open_spool

    return open_spool(config, control, data_directory)


def _parameters(config: Config) -> tuple[str, str]:
    if len(config.params) < 2:
        raise ParamRequiredError(
            "archive-get takes two parameters, the WAL file and where to put it", "restore_command passes %f and %p"
        )
    if len(config.params) > 2:
        raise ParamInvalidError("archive-get takes two parameters only", "is a blank in a path not quoted?")
    return os.path.basename(config.params[0]), config.params[1]


def check_recoverable(control: Control, data_directory: str) -> None:
    """FormatError when a restored cluster has lost its backup_label: it would recover from the wrong place."""
    if control.checkpoint == DISARMED and not os.path.exists(os.path.join(data_directory, "backup_label")):
        raise FormatError(
            f"backup_label is missing in {data_directory}, which was restored from a backup and not yet recovered",
            "the file must not be removed: recovery needs it to start at the right place. Restore again",
        )
