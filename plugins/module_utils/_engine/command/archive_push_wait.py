# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-push with archive-async: wait for the background process, which is started if there is none.

The spool only ever says what is so, and this process does not depend on it: where the background cannot work or dies
without a word, the file is pushed as without archive-async.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from ..detach import is_alive
from ..errors import ArchiveTimeoutError, EngineError, OptionRequiredError
from ..lock import check_stop
from ..log import failure_text
from ..spool import PushSpool
from ..wait import passes
from .duty import is_on_duty, start
from .fast_path import leave_push_facts
from .outcome import Outcome
from .wal_queue import DROPPED, Queue

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.5  # seconds: a look costs four system calls, and PostgreSQL waits


def push_in_background(config: Config, data_directory: str | None, path: str) -> Outcome | None:
    """What the background process made of the file, as soon as it says so; None when it has to be pushed here.

    Raises what the background process failed with, ArchiveTimeoutError when it takes longer than archive-timeout.
    """
    if data_directory is None:
        raise OptionRequiredError("archive-async needs option pg1-path", "it is the data directory of the cluster")
    wal_directory, name = os.path.split(path)
    check_stop(config.lock_path, config.stanza)
    if not Queue(wal_directory).has(name):
        return None  # a person pushes something: the background takes what PostgreSQL has marked
    spool = PushSpool(config.spool_path, config.stanza)
    try:
        spool.create()
    except EngineError as error:
        log.warning("archive-async does not work: %s", failure_text(error))
        return None
    leave_push_facts(config, data_directory, spool)
    started: int | None = None
    for number in passes(config.archive_timeout, first=FIRST_PAUSE, longest=LONGEST_PAUSE):
        outcome = _acknowledged(spool, path)
        if outcome is not None:
            return outcome
        check_stop(config.lock_path, config.stanza)
        failure = spool.error(name) if number else None  # a new run may cure what an old one complained about
        if failure is not None:
            raise failure
        if started is None:
            if not is_on_duty(config, "archive-push"):
                started = _start(config, spool, path)
                if started is None:
                    return None
        elif not (is_alive(started) or is_on_duty(config, "archive-push")):
            return _unless_said(spool, path)
    raise ArchiveTimeoutError(
        f"WAL file '{name}' was not archived within {config.archive_timeout:g}s",
        f"look into {config.log_path}/{config.stanza}-archive-push-async.log, or increase archive-timeout",
    )


def _start(config: Config, spool: PushSpool, path: str) -> int | None:
    """The background process; None when there can be none."""
    wal_directory, name = os.path.split(path)
    try:
        spool.forget_errors(name)
        return start(config, wal_directory)
    except EngineError as error:
        log.warning("archive-async does not work: %s", failure_text(error))
        return None


def _acknowledged(spool: PushSpool, path: str) -> Outcome | None:
    name = os.path.basename(path)
    status = spool.acknowledgement(name, path)
    if status is None:
        return None
    if status.code:
        log.warning("WAL file '%s' is not in the archive but counts as archived: [%d] %s", name, *status)
    elif status.text:
        log.warning("%s", status.text)
    log.info("pushed WAL file '%s' to the archive asynchronously", name)
    return Outcome({"file": name, "dropped": status.text == DROPPED.format(name=name), "repos": []}, changed=True)


def _unless_said(spool: PushSpool, path: str) -> Outcome | None:
    """The background process is gone; its last word may have come after we looked."""
    outcome = _acknowledged(spool, path)
    error = None if outcome else spool.error(os.path.basename(path))
    if error is not None:
        raise error
    if outcome is None:
        log.warning("the background process ended without a word about '%s', which is now pushed here", path)
    return outcome
