# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The header of a WAL segment: from which cluster it is."""

from __future__ import annotations

import struct
from typing import NamedTuple

from ..errors import FormatError, VersionNotSupportedError
from .lsn import is_segment_size

HEADER_SIZE = 512  # bytes to read: more than the header has, and never half a sector

_MAGICS = {0xD106: "13", 0xD10D: "14", 0xD110: "15", 0xD113: "16", 0xD116: "17", 0xD118: "18"}
_LONG_HEADER = 0x0002  # XLP_LONG_HEADER, set in the first page of every segment
_HEADER = struct.Struct("<HH20xQI")  # magic, flags, ..., system id, segment size


class WalHeader(NamedTuple):
    """version: "15"; segment_size: bytes."""

    version: str
    system_id: int
    segment_size: int


def parse_wal_header(data: bytes, version_force: str | None = None) -> WalHeader:
    """The first bytes of a segment, 512 or so.

    version_force: the version to take for granted, for forks of PostgreSQL with numbers of their own.
    VersionNotSupportedError for WAL of an unknown version, FormatError for what is no beginning of a segment.
    """
    if len(data) < _HEADER.size:
        raise FormatError(f"{len(data)} bytes are too few for the header of a WAL segment")
    magic, flags, system_id, segment_size = _HEADER.unpack_from(data)
    version = version_force or _MAGICS.get(magic)
    if version is None:
        raise VersionNotSupportedError(
            f"the WAL has the unknown magic 0x{magic:04X}", f"supported are PostgreSQL {', '.join(_MAGICS.values())}"
        )
    if not flags & _LONG_HEADER:
        raise FormatError("the WAL does not begin with the first page of a segment")
    if not is_segment_size(segment_size):
        raise FormatError(f"the WAL has a segment size of {segment_size} bytes")
    return WalHeader(version, system_id, segment_size)
