# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring some databases only: the files of the others become holes of the right length.

Recovery replays WAL for all databases, so their files must be there; a hole takes no space and no time. The server
comes up, refuses connections to such a database (its pg_filenode.map is zeros) and can drop it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import DbInvalidError, DbMissingError, FormatError
from ..format.manifest import Manifest

SYSTEM_NAMES = frozenset(("postgres", "template0", "template1"))
FIRST_NORMAL_OID = 16384  # what initdb creates has a smaller one (FirstNormalObjectId)

_VERSION_FILE = re.compile(r"(?:pg_data/base|pg_tblspc/[0-9]+/[^/]+)/([0-9]+)/PG_VERSION")
_DATABASE_FILE = re.compile(r"(?:pg_data/base|pg_tblspc/[0-9]+/[^/]+)/([0-9]+)/(.+)")


def zeroed_databases(manifest: Manifest, include: Sequence[str], exclude: Sequence[str]) -> frozenset[int]:
    """Oids of the databases whose files become holes. include, exclude: names or oids.

    With include all but these and the system's databases; with exclude alone exactly those. DbMissingError for one
    that is not in the backup, DbInvalidError for one that is in both lists, or a system database to be included.
    """
    if not include and not exclude:
        return frozenset()
    oids = {name: oid for name, (oid, _other) in manifest.databases.items()}
    found = {int(match[1]) for file in manifest.files if (match := _VERSION_FILE.fullmatch(file.name))}
    system = {oid for name, oid in oids.items() if name in SYSTEM_NAMES or oid < FIRST_NORMAL_OID}
    system |= {oid for oid in found if oid < FIRST_NORMAL_OID}
    known = found | system
    if not known:
        raise FormatError(
            "no databases found for selective include or exclude", "is this the backup of a whole cluster?"
        )
    included = {_oid(item, oids, known, "include") for item in include}
    excluded = {_oid(item, oids, known, "exclude") for item in exclude}
    for item, oid in ((item, _oid(item, oids, known, "include")) for item in include):
        if oid in system:
            raise DbInvalidError(
                f"system database '{item}' cannot be included: system databases always are",
                "leave it out of db-include",
            )
        if oid in excluded:
            raise DbInvalidError(f"database '{item}' is to be included and excluded", "name it in one option only")
    if not include:
        return frozenset(excluded)
    return frozenset(known - included - system | excluded)


def _oid(item: str, oids: dict[str, int], known: set[int], option: str) -> int:
    oid = oids.get(item)
    if oid is None and item.isdecimal():
        oid = int(item)
    if oid is None or oid not in known:
        raise DbMissingError(
            f"database '{item}' to {option} is not in the backup", "info --set=<label> shows the databases of a backup"
        )
    return oid


def is_zeroed(name: str, databases: frozenset[int]) -> bool:
    """Whether a file belongs to one of the databases; PG_VERSION is kept, so that they can be dropped."""
    if not databases:
        return False
    match = _DATABASE_FILE.fullmatch(name)
    return match is not None and int(match[1]) in databases and match[2] != "PG_VERSION"
