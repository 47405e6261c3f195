# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the file is that PostgreSQL names with %p: relative to the data directory, which is its working directory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import HostInvalidError, OptionInvalidValueError, OptionRequiredError

if TYPE_CHECKING:
    from ..options import Config


def cluster_path(config: Config) -> str | None:
    """The data directory, None when it is not configured; HostInvalidError when it is on another host."""
    if not config.pgs:
        return None
    pg = config.pgs[0]
    if pg.host is not None:
        raise HostInvalidError(
            f"{config.command} must run on the host of the cluster, but pg{pg.key}-host is set",
            f"on the host of the cluster leave pg{pg.key}-host out",
        )
    path: str | None = pg.path
    return path


def absolute_wal_path(name: str, data_directory: str | None) -> str:
    """The absolute path of a WAL file as PostgreSQL names it.

    OptionRequiredError for a relative name without data directory; OptionInvalidValueError when the working directory
    is another one, since then the name would mean another file.
    """
    if os.path.isabs(name):
        return name
    if data_directory is None:
        raise OptionRequiredError(
            f"'{name}' is a relative path, which needs option pg1-path", "or give an absolute path"
        )
    if not _is_working_directory(data_directory):
        raise OptionInvalidValueError(
            f"'{name}' is relative to the working directory {os.getcwd()}, which is not pg1-path, {data_directory}",
            "is pg1-path the data directory of the cluster that runs this command?",
        )
    return os.path.join(data_directory, name)


def _is_working_directory(path: str) -> bool:
    """By identity and not by name: PostgreSQL may have been started through a symbolic link."""
    try:
        return os.path.samefile(os.curdir, path)
    except OSError:
        return False
