# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for a WAL segment to arrive in a repository: the proof that archiving works, for backup and check."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ArchiveTimeoutError
from ..wait import passes

if TYPE_CHECKING:
    from ..format.layout import StoredWal
    from ..repo import Repo


def wait_for_segment(repo: Repo, archive_id: str, segment: str, timeout: float) -> StoredWal:
    """The stored segment, as soon as it is there. timeout: seconds (archive-timeout).

    ArchiveTimeoutError when it does not come, ArchiveDuplicateError when it is there twice.
    """
    for _pass in passes(timeout):
        stored = repo.find_one_wal(archive_id, segment)
        if stored is not None:
            return stored
    raise ArchiveTimeoutError(
        f"{repo.name}: WAL segment {segment} was not archived within {timeout:g}s",
        "look for errors of archive_command in the PostgreSQL log, or for a slow repository: archive-timeout can be"
        " increased; does archive_command use this stanza and this repository?",
    )
