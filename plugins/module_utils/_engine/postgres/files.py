# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a cluster belong in a backup, and how each is read: rules on manifest names, no file is touched.

The rules are those of PostgreSQL's own base backup (basebackup.c, "excludeFiles" and "excludeDirContents") as
pgBackRest applies them. A manifest name begins with pg_data/ or pg_tblspc/<oid>/.
"""

from __future__ import annotations

import re

CONTROL = "pg_data/global/pg_control"
CONTROL_READ = 512  # bytes of pg_control that PostgreSQL writes atomically; the rest of the file is zeros
CONTROL_SIZE = 8192
WAL_DIR = "pg_data/pg_wal"

# Not worth keeping or wrong in another place; the directory itself must exist when the server starts.
EMPTIED = frozenset(
    f"pg_data/{name}"
    for name in ("pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans")
)
# A copy of the first three would mislead recovery, the others a starting server; tablespace_map comes from the server.
EXCLUDED = frozenset(
    f"pg_data/{name}"
    for name in (
        "backup_label", "backup_label.old", "backup_manifest", "backup_manifest.tmp", "postmaster.opts",
        "postmaster.pid", "postgresql.auto.conf.tmp", "recovery.signal", "standby.signal",
    )
)  # fmt: skip
ONLINE_EXCLUDED = frozenset(["pg_data/tablespace_map"])
TEMPORARY_PREFIX = "pgsql_tmp"

_RELATION_DIR = re.compile(r"pg_data/(?:global|base/[0-9]+)|pg_tblspc/[0-9]+/[^/]+/[0-9]+")
_RELATION = re.compile(r"([0-9]+)(?:_(?:fsm|vm))?(?:\.[0-9]+)?")
_TEMPORARY = re.compile(r"t[0-9]+_[0-9]+(?:_(?:fsm|vm))?(?:\.[0-9]+)?")
_INTERNAL_INIT = re.compile(r"pg_internal\.init(?:\.[0-9]+)?")
# Changes to these are in the WAL: bytes past the size seen at the start of the backup will be replayed.
_REPLAYED = ("pg_data/base/", "pg_data/global/", "pg_data/pg_xact/", "pg_data/pg_multixact/", "pg_tblspc/")
_NO_PAGES = ("/PG_VERSION", "/pg_filenode.map")
_SEGMENT = re.compile(r".*\.([0-9]{1,5})", re.DOTALL)
_SEGMENTS = 1 << 15  # of 1 GiB, more than a relation of 2^32 pages can have


def is_relation_dir(path: str) -> bool:
    """Whether a directory holds the files of relations: global, base/<oid>, and the like in tablespaces."""
    return _RELATION_DIR.fullmatch(path) is not None


def relation_number(base_name: str) -> str | None:
    """The file node of a main, fsm or vm fork or a segment of one, None for any other name."""
    match = _RELATION.fullmatch(base_name)
    return match.group(1) if match else None


def skips_contents(path: str, online: bool) -> bool:
    """Whether a directory is recorded but what is in it is left out."""
    return path in EMPTIED or (online and path == WAL_DIR + "/archive_status")


def skips_file(directory: str, base_name: str, online: bool, in_relation_dir: bool) -> bool:
    """Whether a regular file is left out. directory: its manifest path; in_relation_dir: is_relation_dir(directory)."""
    if in_relation_dir:
        return _INTERNAL_INIT.fullmatch(base_name) is not None or _TEMPORARY.fullmatch(base_name) is not None
    if directory == "pg_data":
        name = f"pg_data/{base_name}"
        return name in EXCLUDED or (online and name in ONLINE_EXCLUDED)
    return online and directory == WAL_DIR


def unlogged(names: set[str]) -> set[str]:
    """Those files of a relation directory whose relation has an init fork: recovery makes them anew from it.

    names: base names in one relation directory. The init forks themselves are not in the result.
    """
    nodes = {name[: -len("_init")] for name in names if name.endswith("_init") and name[: -len("_init")].isdigit()}
    return {name for name in names if relation_number(name) in nodes} if nodes else set()


def has_pages(name: str) -> bool:
    """Whether a file consists of pages with checksums (as far as rules on names can tell)."""
    directory, _other, _other = name.rpartition("/")
    return is_relation_dir(directory) and not name.endswith(_NO_PAGES) and name != CONTROL


def is_replayed(name: str) -> bool:
    """Whether a file is read only to the size it had when the manifest was built; all others are read to their end."""
    return name.startswith(_REPLAYED) and name != CONTROL


def segment_number(base_name: str) -> int:
    """Number of a 1 GiB segment of a relation: 2 for 16384.2, 0 for 16384 and for names that only look alike."""
    match = _SEGMENT.fullmatch(base_name)
    number = int(match.group(1)) if match else 0
    return number if number < _SEGMENTS else 0
