# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the launcher has to know to answer PostgreSQL without us: a small file for each stanza and command.

    1                              the form of this file
    --config=/x --stanza=s         the command line in front of the command, a tab after each word
    /data                          pg1-path: the launcher has to be started there
    /spool/archive/s/out           where acknowledgements, or segments, are
    /lock/s-archive-push-1.lock    archive-push: is there while a background process is on duty, and after it was
                                   killed; stop files are beside it. archive-get: the run of the machine
    /x ...                         what must not be newer than this file: configuration, cluster, start of its server

The launcher only ever says what is in the spool, so the worst that wrong facts could do is that options which have
changed since are not heeded. Whatever is unusual leaves no file, and whatever has changed makes it useless: then the
engine runs, and decides anew.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

from ..lock import lock_file
from ..log import LEVELS, writes_file
from ..spool import FILE_MODE, SECOND, GetSpool, PushSpool, boot_id

if TYPE_CHECKING:
    from ..options import Config

FORM = "1"
# What would lead the launcher astray if it came from the environment: it only sees that it does.
ENVIRONMENT = (
    "archive-async", "config", "config-include-path", "config-path", "dry-run", "lock-path", "log-level-console",
    "log-level-file", "log-level-stderr", "spool-path", "stanza",
)  # fmt: skip


def leave_push_facts(config: Config, data_directory: str, spool: PushSpool) -> None:
    lock = lock_file(config.lock_path, config.stanza, "archive-push", config.repos[0].key)
    _leave(config, 1, [data_directory, spool.path, lock])


def leave_get_facts(config: Config, data_directory: str, spool: GetSpool) -> None:
    """To be called when all that is in the spool is of this run of the machine and of this cluster."""
    booted = boot_id()
    # Without a process that stays, the queue has to be looked at with each segment.
    if booted and config.archive_async_linger:
        _leave(config, 2, [data_directory, spool.path, booted])


def _leave(config: Config, parameters: int, facts: list[str]) -> None:
    """parameters: how many the command has. What goes wrong here costs time and nothing else."""
    words = config.words[: -parameters - 1]
    if config.fast_path is None or config.words[len(words)] != config.command or not _is_usual(config, words):
        return
    watched = _watched(config, facts[0])
    lines = [FORM, "".join(word + "\t" for word in words), *facts, *watched]
    text = "".join(line + "\n" for line in lines)
    if text.count("\n") != len(lines) or lines[1].count("\t") != len(words):
        return
    path = f"{config.fast_path}/{config.stanza}-{config.command}"
    # Older than the reading of the configuration by more than a second: some shells compare full seconds only.
    modified = (config.read_at // SECOND - 1) * SECOND
    content = text.encode("utf-8", "surrogateescape")
    with suppress(OSError):
        if not _is_there(path, content, watched):
            os.makedirs(config.fast_path, 0o750, exist_ok=True)
            temp = f"{path}.{os.getpid()}"
            with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE), "wb") as file:
                file.write(content)
            os.utime(temp, ns=(modified, modified))
            os.rename(temp, path)


def _is_usual(config: Config, words: Iterable[str]) -> bool:
    """Whether a success needs nothing but the exit status, and the launcher can see whose it is."""
    return (
        LEVELS[config.log_level_console] > logging.INFO
        and LEVELS[config.log_level_stderr] > logging.INFO
        and not writes_file(config)
        and f"--stanza={config.stanza}" in words
        and config.source("pg-path", config.pgs[0].key) != "environment"
        and all(config.source(name) != "environment" for name in ENVIRONMENT)
    )


def _watched(config: Config, data_directory: str) -> list[str]:
    """Files, and the directories in which they would be replaced."""
    files = [*config.files]
    paths = {*files, *map(os.path.dirname, files), *(os.path.dirname(os.path.realpath(path)) for path in files)}
    # The server rewrites postmaster.pid when it starts: each run begins with a look by the engine.
    return sorted(paths) + [f"{data_directory}/PG_VERSION", f"{data_directory}/postmaster.pid"]


def _is_there(path: str, content: bytes, watched: Iterable[str]) -> bool:
    """Whether the file needs no change."""
    try:
        modified = os.stat(path).st_mtime_ns
        with open(path, "rb") as file:
            if file.read() != content:
                return False
    except OSError:
        return False
    for other in watched:
        with suppress(OSError):
            if os.stat(other).st_mtime_ns > modified:
                return False
    return True
