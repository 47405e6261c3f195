# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""pg_control, of every supported version: who a cluster is, and where its recovery would start.

The layout follows from ControlFileData in PostgreSQL's catalog/pg_control.h on a 64-bit little-endian machine; what is
read here lies at the same place from 13 to 18. The server writes 512 bytes at a time, so these are all that matters.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

from ..errors import ChecksumError, FormatError, VersionNotSupportedError
from .files import CONTROL_READ
from .lsn import is_segment_size

DISARMED = 0xDEAD  # a checkpoint location at which no server starts: it must find a backup_label instead

# (control version, catalog version): 13 to 16 share the former.
VERSIONS = {
    (1300, 202007201): "13",
    (1300, 202107181): "14",
    (1300, 202209061): "15",
    (1300, 202307071): "16",
    (1700, 202406281): "17",
    (1800, 202506291): "18",
}
_CRC_OFFSETS = {"13": 288, "14": 288, "15": 288, "16": 288, "17": 288, "18": 292}

_IDENTITY = struct.Struct("<QIII")  # system id, control version, catalog version, state
_CHECKPOINT = struct.Struct("<Q")
_CHECKPOINT_AT = 32
_TIMELINE_AT = 48
_CHECKPOINT_TIME_AT = 104
_PAGE_SIZE_AT = 216
_SEGMENT_SIZE_AT = 228
_PAGE_CHECKSUM_AT = 252
_UINT = struct.Struct("<I")
_STATES = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)


@dataclass(frozen=True)
class Control:
    """What pg_control says. version: "15"; state: in pg_controldata's words; checkpoint: LSN of the latest checkpoint.

    timeline, checkpoint_time (epoch seconds): of that checkpoint. page_size, segment_size: bytes.
    """

    system_id: int
    version: str
    control_version: int
    catalog_version: int
    state: str
    checkpoint: int
    timeline: int
    page_size: int
    segment_size: int
    page_checksum: bool
    checkpoint_time: int


def parse_control(data: bytes, version_force: str | None = None) -> Control:
    """The control file from its first 512 bytes or more.

    version_force: version whose layout a fork of PostgreSQL uses, whatever its version numbers say.
    VersionNotSupportedError for an unknown version, ChecksumError for a damaged or torn file, FormatError for values
    that cannot be.
    """
    version = _version(data, version_force)
    _crc_offset(data, version, version_force is not None)
    system_id, control_version, catalog_version, state = _IDENTITY.unpack_from(data)
    page_checksum = _uint(data, _PAGE_CHECKSUM_AT)
    control = Control(
        system_id,
        version,
        control_version,
        catalog_version,
        _STATES[state] if state < len(_STATES) else f"unknown ({state})",
        _CHECKPOINT.unpack_from(data, _CHECKPOINT_AT)[0],
        _uint(data, _TIMELINE_AT),
        _uint(data, _PAGE_SIZE_AT),
        _uint(data, _SEGMENT_SIZE_AT),
        page_checksum == 1,
        struct.unpack_from("<q", data, _CHECKPOINT_TIME_AT)[0],
    )
    if not is_segment_size(control.segment_size):
        raise FormatError(f"pg_control has a WAL segment size of {control.segment_size} bytes")
    if not 1024 <= control.page_size <= 32768 or control.page_size & (control.page_size - 1):
        raise FormatError(f"pg_control has a page size of {control.page_size} bytes")
    if page_checksum > 1:
        raise FormatError(f"pg_control has version {page_checksum} of page checksums, 0 and 1 are known")
    return control


def disarm_control(data: bytes, version_force: str | None = None) -> bytes:
    """The same control file without a checkpoint to start from; errors as for parse_control.

    Without this, a restored cluster that has lost its backup_label would start, at the wrong place.
    """
    offset = _crc_offset(data, _version(data, version_force), version_force is not None)
    disarmed = bytearray(data)
    _CHECKPOINT.pack_into(disarmed, _CHECKPOINT_AT, DISARMED)
    _UINT.pack_into(disarmed, offset, crc32c(bytes(disarmed[:offset])))
    return bytes(disarmed)


def crc32c(data: bytes) -> int:
    """CRC-32C (Castagnoli) of a few hundred bytes."""
    table = _crc_table()
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@lru_cache(maxsize=1)
def _crc_table() -> tuple[int, ...]:
    table = []
    for crc in range(256):
        for _bit in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def _version(data: bytes, version_force: str | None) -> str:
    if len(data) < CONTROL_READ:
        raise FormatError(f"pg_control has {len(data)} bytes, {CONTROL_READ} are needed")
    known = f"PostgreSQL {', '.join(_CRC_OFFSETS)}"
    if version_force is not None:
        if version_force not in _CRC_OFFSETS:
            raise VersionNotSupportedError(f"PostgreSQL {version_force} is not supported", f"supported are {known}")
        return version_force
    control_version, catalog_version = _uint(data, 8), _uint(data, 12)
    version = VERSIONS.get((control_version, catalog_version))
    if version is None:
        raise VersionNotSupportedError(
            f"pg_control has control version {control_version} and catalog version {catalog_version}, which is unknown",
            f"supported are {known}; for a fork of one of them see the option pg-version-force",
        )
    return version


def _crc_offset(data: bytes, version: str, search: bool) -> int:
    """Where the CRC is, which must match. search: forks add fields, so it may also be further on."""
    first = _CRC_OFFSETS[version]
    for offset in range(first, CONTROL_READ - 3, 4) if search else (first,):
        if _uint(data, offset) == crc32c(data[:offset]):
            return offset
    raise ChecksumError(
        f"the CRC of pg_control does not match (PostgreSQL {version})",
        "is it the control file of a cluster of this version, on undamaged storage?",
    )


def _uint(data: bytes, offset: int) -> int:
    value: int = _UINT.unpack_from(data, offset)[0]
    return value
