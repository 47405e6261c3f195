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

from ..errors import ParamRequiredError
from ..format import layout
from .wal_path import absolute_wal_path, cluster_path

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
    segment = _begin_segment(config, path) if layout.is_segment(name) else None
    from ..lock import check_stop
    from .outcome import Outcome
    from .wal_push import open_targets, push_file

    check_stop(config.lock_path, config.stanza)
    if config.archive_push_queue_max is not None and queue_size(os.path.dirname(path)) > config.archive_push_queue_max:
        log.warning("dropped WAL file '%s': the archive queue is longer than archive-push-queue-max", name)
        return Outcome({"file": name, "dropped": True, "repos": []})
    pushed = push_file(config, open_targets(config, data_directory), path, segment)
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


def queue_size(wal_directory: str) -> int:
    """Bytes of WAL that wait to be archived; those that are archived but not yet acknowledged count, too."""
    try:
        ready = [name for name in os.listdir(f"{wal_directory}/archive_status") if name.endswith(".ready")]
    except FileNotFoundError:
        return 0
    for name in sorted(ready):
        try:
            return len(ready) * os.stat(f"{wal_directory}/{name[: -len('.ready')]}").st_size
        except FileNotFoundError:  # recycled since: the next one tells the size as well
            continue
    return 0
