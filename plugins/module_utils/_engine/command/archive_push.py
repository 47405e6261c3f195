# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-push: one WAL file into every repository; PostgreSQL's archive_command.

Success means durable in all repositories. Anything else makes the command fail, and PostgreSQL then tries again: what
is there already is recognised by its checksum.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from ..errors import ParamRequiredError, PathOpenError
from ..format import layout
from .wal_path import absolute_wal_path, cluster_path
from .wal_queue import DROPPED, Queue

if TYPE_CHECKING:
    from ..options import Config
    from .outcome import Outcome
    from .wal_segment import Segment

log = logging.getLogger("holdfast")


def archive_push(config: Config) -> Outcome:
    """Push the file that the one parameter names.

    Facts: file, dropped (the queue was too long: reported as done, but not archived), and repos: objects with key and
    action (stored, present). CommandError when it is not in every repository, RepoInvalidError when in none.
    """
    if len(config.params) != 1:
        raise ParamRequiredError("archive-push takes one parameter, the WAL file", "archive_command passes it as %p")
    data_directory = cluster_path(config)
    path = absolute_wal_path(config.params[0], data_directory)
    name = os.path.basename(path)
    if config.archive_async and not config.dry_run:
        from .archive_push_wait import push_in_background

        outcome = push_in_background(config, data_directory, path)
        if outcome is not None:
            return outcome
    segment = _begin_segment(config, path) if layout.is_segment(name) else None
    from ..lock import check_stop
    from .outcome import Outcome
    from .wal_push import open_targets, push_file

    check_stop(config.lock_path, config.stanza)
    if config.archive_push_queue_max is not None and _queue_size(path) > config.archive_push_queue_max:
        log.warning("%s", DROPPED.format(name=name))
        return Outcome({"file": name, "dropped": True, "repos": []})
    pushed = push_file(config, open_targets(config, data_directory), path, segment)
    error = pushed.error(name)
    if error is not None:
        raise error
    for warning in pushed.warnings:
        log.warning("%s", warning)
    log.info("pushed WAL file '%s' to the archive", name)
    actions = {**dict.fromkeys(pushed.stored, "stored"), **dict.fromkeys(pushed.present, "present")}
    repos = [{"key": key, "action": actions[key]} for key in sorted(actions)]
    return Outcome({"file": name, "dropped": False, "repos": repos}, changed=bool(pushed.stored))


def _begin_segment(config: Config, path: str) -> Segment:
    """Set off reading and compressing: the rest of the program is imported meanwhile."""
    from .wal_segment import make_segment

    segment = make_segment(config, path)
    segment.begin()
    return segment


def _queue_size(path: str) -> int:
    """Bytes of WAL that wait to be archived; those that are archived but not yet acknowledged count, too."""
    queue = Queue(os.path.dirname(path))
    try:
        queue.read()
    except PathOpenError:
        return 0
    return queue.size
