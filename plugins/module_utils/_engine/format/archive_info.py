# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive.info: which clusters have archived WAL into a stanza, and the passphrase of that WAL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import FormatError
from ..version import WRITER
from . import ini

_VERSION = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_ID = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class PgHistory:
    """One cluster in the life of a stanza: a stanza-upgrade adds the next.

    id: 1 and up. version: major version, "15" or "9.6". The last two are known only where backups are concerned.
    """

    id: int
    system_id: int
    version: str
    control_version: int = 0
    catalog_version: int = 0

    @property
    def archive_id(self) -> str:
        """Name of the directory with this cluster's WAL."""
        return f"{self.version}-{self.id}"


@dataclass(frozen=True)
class ArchiveInfo:
    """history: ascending by id. cipher_pass: passphrase of the WAL, None in a clear repository."""

    history: tuple[PgHistory, ...]
    current_id: int
    cipher_pass: str | None = field(default=None, repr=False)
    writer: str = WRITER

    @property
    def current(self) -> PgHistory:
        """The cluster whose WAL is accepted."""
        return entry_with_id(self.history, self.current_id)


def parse_archive_info(data: ini.Chunk) -> ArchiveInfo:
    """archive.info from its plain bytes; FormatError or ChecksumError."""
    document = ini.parse_stream([data])
    # The format calls the system id db-id here, and db-system-id in backup.info.
    history, current_id = parse_pg_history(document.sections, "db-id")
    return ArchiveInfo(history, current_id, parse_cipher_pass(document.sections), document.writer)


def render_archive_info(info: ArchiveInfo) -> bytes:
    """The bytes of archive.info, checksum included."""
    current = info.current
    return ini.render(
        {
            ini.HEADER: ini.header(info.writer),
            "cipher": render_cipher_pass(info.cipher_pass),
            "db": {"db-id": current.id, "db-system-id": current.system_id, "db-version": current.version},
            ini.HISTORY: {str(pg.id): {"db-id": pg.system_id, "db-version": pg.version} for pg in info.history},
        }
    )


# -- what archive.info and backup.info share


def entry_with_id(history: tuple[PgHistory, ...], history_id: int) -> PgHistory:
    """The entry of a history with this id; FormatError when there is none."""
    for pg in history:
        if pg.id == history_id:
            return pg
    raise FormatError(f"the history id {history_id} is not in [{ini.HISTORY}]")


def parse_pg_history(
    sections: Mapping[str, Mapping[str, Any]], system_id_key: str
) -> tuple[tuple[PgHistory, ...], int]:
    """The history, ascending by id, and the current id."""
    current_id = ini.required(sections.get("db", {}), "db-id", int, "[db]")
    history = []
    for key, entry in sections.get(ini.HISTORY, {}).items():
        where = f"[{ini.HISTORY}] {ascii(key)}"
        if not _ID.fullmatch(key) or not isinstance(entry, dict):
            raise FormatError(f"{where}: not an entry of the history")
        history.append(parse_pg(int(key), entry, system_id_key, where))
    history.sort(key=lambda pg: pg.id)
    entry_with_id(tuple(history), current_id)
    return tuple(history), current_id


def parse_pg(history_id: int, values: Mapping[str, Any], system_id_key: str, where: str) -> PgHistory:
    """A cluster's identity from values; the version becomes part of paths, so it must look like one."""
    version = ini.required(values, "db-version", str, where)
    if not _VERSION.fullmatch(version):
        raise FormatError(f"{where}: {ascii(version)} is not a PostgreSQL version")
    return PgHistory(
        history_id,
        ini.required(values, system_id_key, int, where),
        version,
        ini.optional(values, "db-control-version", int, where) or 0,
        ini.optional(values, "db-catalog-version", int, where) or 0,
    )


def parse_cipher_pass(sections: Mapping[str, Mapping[str, Any]]) -> str | None:
    return ini.optional(sections.get("cipher", {}), "cipher-pass", str, "[cipher]")


def render_cipher_pass(cipher_pass: str | None) -> dict[str, Any]:
    return {} if cipher_pass is None else {"cipher-pass": cipher_pass}
