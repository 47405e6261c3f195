# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
import struct

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    EngineError,
    FormatError,
    VersionNotSupportedError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.control import (
    DISARMED,
    Control,
    crc32c,
    disarm_control,
    parse_control,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.lsn import parse_lsn

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "postgres"
MIB = 1 << 20

# What the servers said about themselves (pg_control_system, _checkpoint, _init) when the fixtures were copied.
REAL = [
    ("13", 7711620874998791563, 1300, 202007201, "0/1813E48", 1795501652, 16 * MIB, True),
    ("14", 7711620878427020720, 1300, 202107181, "0/16EFE20", 1795501653, 16 * MIB, False),
    ("15", 7711620882440326648, 1300, 202209061, "0/841540", 1795501654, MIB, True),
    ("16", 7711620889378954803, 1300, 202307071, "0/1720FA0", 1795501656, 16 * MIB, True),
    ("17", 7711620895739747943, 1700, 202406281, "0/46C37C0", 1795501657, 64 * MIB, True),
    ("18", 7711620901971668642, 1800, 202506291, "0/14A8030", 1795501658, 16 * MIB, False),
]
VERSIONS = [row[0] for row in REAL]


def load(version: str) -> bytes:
    return (FIXTURES / f"{version}.pg_control.bin").read_bytes()


def changed(data: bytes, offset: int, layout: str, value: int, crc_offset: int = 288) -> bytes:
    """The file with another value and the CRC that belongs to it."""
    result = bytearray(data)
    struct.pack_into(layout, result, offset, value)
    struct.pack_into("<I", result, crc_offset, crc32c(bytes(result[:crc_offset])))
    return bytes(result)


def test_the_crc_is_castagnoli():
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


@pytest.mark.parametrize(("version", "system_id", "control", "catalog", "lsn", "time", "segment", "checksum"), REAL)
def test_the_control_files_of_real_clusters(version, system_id, control, catalog, lsn, time, segment, checksum):
    expected = Control(
        system_id, version, control, catalog, "in production", parse_lsn(lsn), 1, 8192, segment, checksum, time
    )
    assert parse_control(load(version)) == expected
    assert parse_control(load(version) + bytes(8192 - 512)) == expected


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_bit_is_found(version):
    data = load(version)
    for position in range(296 if version == "18" else 292):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises((ChecksumError, VersionNotSupportedError)):
            parse_control(bytes(damaged))


def test_a_torn_read_is_found():
    new = changed(load("15"), 32, "<Q", 0x123456789)
    assert parse_control(new).checkpoint == 0x123456789
    with pytest.raises(ChecksumError):
        parse_control(new[:256] + load("15")[256:])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_disarmed_control_file_differs_only_in_its_checkpoint(version):
    data = load(version) + bytes(8192 - 512)
    disarmed = disarm_control(data)
    before, after = parse_control(data), parse_control(disarmed)
    assert after.checkpoint == DISARMED
    assert after == Control(**{**vars(before), "checkpoint": DISARMED})
    crc = 292 if version == "18" else 288
    differing = {position for position in range(8192) if data[position] != disarmed[position]}
    assert differing <= {*range(32, 40), *range(crc, crc + 4)}
    assert disarm_control(disarmed) == disarmed


def test_a_damaged_control_file_is_not_made_valid():
    damaged = bytearray(load("15"))
    damaged[100] ^= 1
    with pytest.raises(ChecksumError):
        disarm_control(bytes(damaged))


def test_an_unknown_version_names_both_numbers():
    data = changed(load("15"), 12, "<I", 202209062)
    with pytest.raises(VersionNotSupportedError) as caught:
        parse_control(data)
    assert "1300" in caught.value.message
    assert "202209062" in caught.value.message
    assert "pg-version-force" in caught.value.hint


def test_a_fork_is_read_with_the_layout_it_is_said_to_have():
    fork = changed(load("15"), 12, "<I", 999999999)
    forced = parse_control(fork, "15")
    assert (forced.version, forced.catalog_version, forced.page_size) == ("15", 999999999, 8192)
    longer = fork[:288] + struct.pack("<QI", 5, 6) + fork[300:]
    longer = changed(longer, 12, "<I", 999999999, crc_offset=300)
    assert parse_control(longer, "15").segment_size == MIB
    assert parse_control(disarm_control(longer, "15"), "15").checkpoint == DISARMED
    with pytest.raises(ChecksumError):
        parse_control(fork[:40] + b"x" + fork[41:], "15")
    with pytest.raises(VersionNotSupportedError, match=r"9\.1"):
        parse_control(fork, "9.1")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (228, 0),
        (228, 3 * MIB),
        (228, MIB // 2),
        (228, 2048 * MIB),
        (216, 0),
        (216, 512),
        (216, 12288),
        (216, 65536),
        (252, 2),
    ],
)
def test_values_that_cannot_be(offset, value):
    with pytest.raises(FormatError):
        parse_control(changed(load("15"), offset, "<I", value))


@pytest.mark.parametrize("size", [0, 100, 511])
def test_a_control_file_that_ends_early(size):
    with pytest.raises(FormatError, match=f"{size} bytes"):
        parse_control(load("15")[:size])


@pytest.mark.parametrize(("state", "text"), [(1, "shut down"), (6, "in production"), (77, "unknown (77)")])
def test_states(state, text):
    assert parse_control(changed(load("15"), 16, "<I", state)).state == text


def test_random_bytes_are_an_error():
    for seed in range(50):
        data = bytes((seed * 37 + position * position) & 0xFF for position in range(512))
        with pytest.raises(EngineError):
            parse_control(data)
        with pytest.raises(EngineError):
            parse_control(data, "18")
