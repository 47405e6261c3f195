# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a background process of archiving stays on duty, and how the foreground starts one.

It may live as long as the server, so it has to notice by itself what a process that is started for each segment cannot
miss: another configuration, another version of the program, a stop file, the end of the server. It looks once a second,
and then ends; the next segment that PostgreSQL asks for starts another one.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..detach import is_alive, start_detached
from ..errors import StopError
from ..lock import SharedLock, check_stop, is_held
from ..program import program

if TYPE_CHECKING:
    from ..lock import Kind, StanzaLock
    from ..options import Config

INTERVAL = 1.0  # seconds between two looks
# A look at a directory is a stat() of 2 microseconds, so fifty a second cost next to nothing. inotify
# would need ctypes, tells nothing on a network file system, and would need this loop beside it; the watched directory
# changes once a second at most times, and PostgreSQL itself waits longer for its next request.
POLL = 0.02  # seconds
SHARED_TIMEOUT = 60.0  # seconds to wait for whoever changes the stanza
ROUND = 5.0  # seconds after which a run lets go of the archive lock
GAP = 0.05  # seconds in which others can get it: they try every 10 ms


class Duty:
    """Tells when it is over.

    lock: that of this process; data_directory: of the server that is served; obeys_stop: whether a stop file ends it.
    """

    def __init__(self, config: Config, lock: StanzaLock, data_directory: str, obeys_stop: bool) -> None:
        self._config, self._lock, self._data_directory, self._obeys_stop = config, lock, data_directory, obeys_stop
        self._paths = [*config.files, program(config)]
        self._state = _state(self._paths)
        self._looked = self._rested = time.monotonic()
        self._reason = ""

    def over(self) -> str:
        """Why it is over; empty while it is not."""
        now = time.monotonic()
        if not self._reason and now - self._looked >= INTERVAL:
            self._looked = now
            self._reason = self.reason()
        return self._reason

    def reason(self) -> str:
        """The same, looked up now."""
        if not self._lock.intact:
            return "its lock file was removed"
        if _state(self._paths) != self._state:
            return "the configuration or the program has changed"
        if self._obeys_stop:
            try:
                check_stop(self._config.lock_path, self._config.stanza)
            except StopError as error:
                return str(error)
        if not server_runs(self._data_directory):
            return f"no PostgreSQL runs in {self._data_directory}"
        return ""

    @contextmanager
    def share(self) -> Iterator[None]:
        """Share the archive locks for a run; afterwards they are free for a moment if that was long ago."""
        config = self._config
        keys = [repo.key for repo in config.repos]
        with SharedLock(config.lock_path, config.stanza, keys, config.exec_id, SHARED_TIMEOUT):
            yield
        if time.monotonic() - self._rested > ROUND:
            time.sleep(GAP)
            self.rested()

    def rested(self) -> None:
        """To be called when nothing was locked for a moment."""
        self._rested = time.monotonic()


def _state(paths: Iterable[str]) -> list[tuple[int, ...]]:
    states: list[tuple[int, ...]] = []
    for path in paths:
        try:
            status = os.stat(path)
            states.append(
                (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_mode)
            )
        except OSError as error:
            states.append((error.errno or 0,))
    return states


def server_runs(data_directory: str) -> bool:
    """Whether the server of a data directory lives."""
    try:
        with open(os.path.join(data_directory, "postmaster.pid"), encoding="ascii", errors="replace") as file:
            # Negative: a standalone backend.
            pid = abs(int(file.readline()))
    except (OSError, ValueError):
        return False
    return pid > 0 and is_alive(pid)


def is_on_duty(config: Config, kind: Kind) -> bool:
    """Whether a background process of this kind serves the stanza."""
    return any(is_held(config.lock_path, config.stanza, kind, repo.key) for repo in config.repos)


def start(config: Config, *parameters: str) -> int:
    """Start the background process of this command; its process id. It logs to its file only."""
    quiet = config.replace(log_level_console="off", log_level_stderr="off")
    return start_detached([program(config), *quiet.arguments(), f"{config.command}:async", *parameters])
