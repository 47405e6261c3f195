# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    FormatError,
    VersionNotSupportedError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.wal import parse_wal_header

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "postgres"
MIB = 1 << 20
REAL = [
    ("13", 7711620874998791563, 16 * MIB),
    ("14", 7711620878427020720, 16 * MIB),
    ("15", 7711620882440326648, MIB),
    ("16", 7711620889378954803, 16 * MIB),
    ("17", 7711620895739747943, 64 * MIB),
    ("18", 7711620901971668642, 16 * MIB),
]


def load(version: str) -> bytes:
    return (FIXTURES / f"{version}.wal.bin").read_bytes()


@pytest.mark.parametrize(("version", "system_id", "segment_size"), REAL)
def test_the_headers_of_real_segments(version, system_id, segment_size):
    assert parse_wal_header(load(version)) == (version, system_id, segment_size)
    assert parse_wal_header(load(version)[:36]) == (version, system_id, segment_size)


def test_an_unknown_magic():
    data = b"\x21\xd1" + load("15")[2:]
    with pytest.raises(VersionNotSupportedError, match="0xD121"):
        parse_wal_header(data)
    assert parse_wal_header(data, "15").version == "15"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        load("15")[:35],
        load("15")[:2] + b"\x05\x00" + load("15")[4:],  # the header of a later page
        load("15")[:32] + b"\0\0\0\0" + load("15")[36:],
        load("15")[:32] + b"\1\0\x10\0" + load("15")[36:],
    ],
)
def test_what_is_no_beginning_of_a_segment(data):
    with pytest.raises(FormatError):
        parse_wal_header(data)


def test_a_recycled_or_zeroed_segment():
    with pytest.raises(VersionNotSupportedError):
        parse_wal_header(bytes(512))
