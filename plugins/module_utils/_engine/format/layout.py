# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every path in a repository; nothing else builds one.

Paths are relative to the root of the repository and '/'-separated on every kind of storage. Names that come from
outside (a stored WAL file, a directory that might be an archive id) are recognised here as well.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MANIFEST = "backup.manifest"
BLOCK_EXTENSION = ".pgbi"  # a block incremental file that lies outside of bundles

_EXTENSION = r"\.(?:gz|lz4|zst|bz2)"
_SEGMENT = re.compile(r"[0-9A-F]{24}")
_PARTIAL = re.compile(r"[0-9A-F]{24}\.partial")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")
_BACKUP_HISTORY = re.compile(r"[0-9A-F]{24}\.[0-9A-F]{8}\.backup")
_WAL_DIR = re.compile(r"[0-9A-F]{16}")
_ARCHIVE_ID = re.compile(r"([0-9]+(?:\.[0-9]+)?)-([1-9][0-9]*)")
_STORED_WAL = re.compile(rf"([0-9A-F]{{24}}(?:\.partial)?)-([0-9a-f]{{40}})({_EXTENSION})?")


class StoredWal(NamedTuple):
    """A WAL segment in the archive. name: PostgreSQL's file name, with .partial; sha1: of the plain segment, hex."""

    name: str
    sha1: str
    ext: str
    partial: bool

    @property
    def file_name(self) -> str:
        """The name under which it is stored."""
        return f"{self.name}-{self.sha1}{self.ext}"


# -- archive


def archive_dir(stanza: str) -> str:
    return f"archive/{stanza}"


def archive_info(stanza: str) -> str:
    return f"{archive_dir(stanza)}/archive.info"


def wal_dir(stanza: str, archive_id: str, file_name: str = "") -> str:
    """Directory of a WAL file: named after its first 16 digits, or the archive id's own when it is no segment."""
    root = f"{archive_dir(stanza)}/{archive_id}"
    return f"{root}/{file_name[:16]}" if _SEGMENT.match(file_name) else root


def wal_file(stanza: str, archive_id: str, file_name: str, sha1: str = "", ext: str = "") -> str:
    """Path of a WAL file. sha1: hex, of the plain content; given for segments and partial segments and for no other."""
    name = f"{file_name}-{sha1}" if sha1 else file_name
    return f"{wal_dir(stanza, archive_id, file_name)}/{name}{ext}"


def parse_wal_name(stored_name: str) -> StoredWal | None:
    """What the last component of a path in the archive says when it is a segment, whole or partial; else None."""
    match = _STORED_WAL.fullmatch(stored_name)
    if match is None:
        return None
    name, sha1, ext = match.groups()
    return StoredWal(name, sha1, ext or "", name.endswith(".partial"))


def parse_archive_id(name: str) -> tuple[str, int] | None:
    """PostgreSQL version and history id when a directory name is an archive id ("15-1", "9.6-2"); else None."""
    match = _ARCHIVE_ID.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def is_wal_dir(name: str) -> bool:
    """Whether a name directly below an archive id is that of a directory for segments."""
    return _WAL_DIR.fullmatch(name) is not None


def is_segment(name: str) -> bool:
    """Whether PostgreSQL calls a complete WAL segment so."""
    return _SEGMENT.fullmatch(name) is not None


def is_partial(name: str) -> bool:
    """Whether PostgreSQL calls the unfinished last segment of a former timeline so."""
    return _PARTIAL.fullmatch(name) is not None


def is_history(name: str) -> bool:
    """Whether PostgreSQL calls the history of a timeline so."""
    return _HISTORY.fullmatch(name) is not None


def is_backup_history(name: str) -> bool:
    """Whether PostgreSQL calls the record of a base backup so, which it archives like WAL."""
    return _BACKUP_HISTORY.fullmatch(name) is not None


# -- backups


def backup_dir(stanza: str, label: str = "") -> str:
    """Directory of a backup, or of all backups of the stanza."""
    return f"backup/{stanza}/{label}" if label else f"backup/{stanza}"


def backup_info(stanza: str) -> str:
    return f"{backup_dir(stanza)}/backup.info"


def manifest(stanza: str, label: str) -> str:
    return f"{backup_dir(stanza, label)}/{MANIFEST}"


def history_dir(stanza: str) -> str:
    """Directory with one directory a year, in which manifests outlive their backups."""
    return f"{backup_dir(stanza)}/backup.history"


def history_manifest(stanza: str, label: str) -> str:
    return f"{history_dir(stanza)}/{label[:4]}/{label}.manifest.gz"


def latest(stanza: str) -> str:
    """The symbolic link to the newest backup: for people, never read."""
    return f"{backup_dir(stanza)}/latest"


def restore_conf(stanza: str, label: str) -> str:
    """The recovery settings that bring this backup back by hand; a file that pgBackRest ignores."""
    return f"{backup_dir(stanza, label)}/restore.conf"


def stored_file(stanza: str, label: str, name: str, ext: str) -> str:
    """Path of a whole file. name: from the manifest; ext: of the compression, "" for none."""
    return f"{backup_dir(stanza, label)}/{name}{ext}"


def block_file(stanza: str, label: str, name: str) -> str:
    """Path of a block incremental file that is not in a bundle. name: from the manifest."""
    return f"{backup_dir(stanza, label)}/{name}{BLOCK_EXTENSION}"


def bundle(stanza: str, label: str, number: int) -> str:
    """Path of a bundle; number: 1 and up."""
    return f"{backup_dir(stanza, label)}/bundle/{number}"


# -- documents


def copy_of(name: str) -> str:
    """Path of the second copy of an info file or manifest."""
    return f"{name}.copy"
