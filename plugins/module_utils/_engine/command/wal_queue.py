# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The WAL files that PostgreSQL has marked as ready for the archive, in archive_status of its WAL directory."""

from __future__ import annotations

import os
import time

from ..errors import PathOpenError
from ..format.layout import is_history

RELIST = 1.0  # seconds after which the directory is read although its time is the same
SETTLED = 100_000_000  # ns; clocks of file systems tick every few milliseconds, so a younger time may hide a change
READY = ".ready"
DROPPED = "dropped WAL file '{name}': the archive queue is longer than archive-push-queue-max"


class Queue:
    """wal_directory: absolute path. Reads the directory when told to."""

    def __init__(self, wal_directory: str) -> None:
        self.wal_directory = wal_directory
        self._status = f"{wal_directory}/archive_status"
        self._ready: frozenset[str] = frozenset()
        self._modified = 0  # of the directory before it was read, epoch ns
        self._read_at = 0.0

    def read(self) -> frozenset[str]:
        """The names of the files; PathOpenError when there is no such directory."""
        try:
            self._modified = os.stat(self._status).st_mtime_ns
            names = os.listdir(self._status)
        except OSError as error:
            raise PathOpenError(
                f"cannot list '{self._status}': {error.strerror}", "is it the WAL directory of a cluster?"
            ) from error
        self._read_at = time.monotonic()
        self._ready = frozenset(name[: -len(READY)] for name in names if name.endswith(READY))
        return self._ready

    def read_changes(self) -> frozenset[str] | None:
        """The same when something may have changed since the last time, else None."""
        try:
            modified = os.stat(self._status).st_mtime_ns
        except OSError:
            return self.read()
        same = modified == self._modified and time.time_ns() - modified > SETTLED
        if same and time.monotonic() - self._read_at < RELIST:
            return None
        return self.read()

    def has(self, name: str) -> bool:
        """Whether PostgreSQL waits for a file; looked up now."""
        return os.path.exists(f"{self._status}/{name}{READY}")

    @property
    def size(self) -> int:
        """Bytes of what was read: the number of files times the size of the first one that is still there."""
        for name in sorted(self._ready):
            try:
                return len(self._ready) * os.stat(f"{self.wal_directory}/{name}").st_size
            except FileNotFoundError:
                continue
        return 0


def in_order(names: frozenset[str]) -> list[str]:
    """As PostgreSQL asks for them: histories first."""
    return sorted(names, key=lambda name: (not is_history(name), name))
