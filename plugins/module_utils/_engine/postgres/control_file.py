# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading pg_control from a cluster that may be writing it at this very moment.

The server overwrites the file in place, so a reader can see half of an old and half of a new one. Two bad reads in a
row with the same bytes are not torn but broken.
"""

from __future__ import annotations

import os
import time

from ..errors import EngineError, FileMissingError, FileOpenError
from .control import Control, parse_control
from .files import CONTROL_READ

TORN_PAUSE = 0.05  # seconds
TORN_READS = 100  # so often in a row no server can be in the middle of a write


def load_control(pg_path: str, version_force: str | None = None) -> Control:
    """The control file of the cluster at pg_path; FileMissingError, FileOpenError, or what parse_control raises."""
    return parse_control(read_control(pg_path, version_force), version_force)


def read_control(pg_path: str, version_force: str | None = None) -> bytes:
    """The first 512 bytes of a valid control file: all that PostgreSQL ever writes into it."""
    path = os.path.join(pg_path, "global", "pg_control")
    last, reads = b"", 0
    while True:
        data = _read(path)
        reads += 1
        try:
            parse_control(data, version_force)
            return data
        except EngineError:
            if data == last or reads == TORN_READS:
                raise
            last = data
            time.sleep(TORN_PAUSE)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(CONTROL_READ)
    except FileNotFoundError:
        raise FileMissingError(
            f"there is no control file {path}", "is the path of the cluster (pg1-path) the data directory of a cluster?"
        ) from None
    except OSError as error:
        raise FileOpenError(
            f"cannot read {path}: {error.strerror}", "is this the user who owns the cluster?"
        ) from error
