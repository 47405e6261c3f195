# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""stop and start: forbid the commands that change a repository, and allow them again.

The stop file of one stanza and the one of all stanzas know nothing of each other: start removes what its stop made.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..errors import KernelError
from ..lock import create_stop, remove_stop, stop_file, terminate_holders
from .outcome import Outcome

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")


def stop(config: Config) -> Outcome:
    """Make the stop file; with --force and if it is a new one, end what holds a lock of the stanza, too.

    Facts: stop_file (its path), terminated (the processes that got SIGTERM, ascending).
    """
    path = stop_file(config.lock_path, config.stanza)
    if not create_stop(config.lock_path, config.stanza):
        log.warning(
            "stop file '%s' exists already\nHINT: to end commands that still run, start and then stop --force", path
        )
        return Outcome({"stop_file": path, "terminated": []})
    log.info("%s stopped", _whom(config))
    terminated = _terminate(config) if config.force else []
    return Outcome({"stop_file": path, "terminated": terminated}, changed=True)


def start(config: Config) -> Outcome:
    """Remove the stop file. Facts: stop_file (its path)."""
    path = stop_file(config.lock_path, config.stanza)
    removed = remove_stop(config.lock_path, config.stanza)
    if removed:
        log.info("%s started", _whom(config))
    else:
        log.warning("stop file '%s' does not exist: %s is not stopped", path, _whom(config))
    return Outcome({"stop_file": path}, changed=removed)


def _terminate(config: Config) -> list[int]:
    try:
        holders = terminate_holders(config.lock_path, config.stanza)
    except PermissionError as error:
        raise KernelError(
            f"cannot end what holds a lock in {config.lock_path}: {error.strerror}",
            "run the command as the user that runs the others",
        ) from error
    for name, pid in holders:
        if pid is None:
            log.warning("removed lock file %s, which no process that could be found held", name)
        else:
            log.info("sent SIGTERM to process %d, which held %s", pid, name)
    return sorted({pid for _name, pid in holders if pid is not None})


def _whom(config: Config) -> str:
    return f"stanza {config.stanza}" if config.stanza else "everything"
