# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import AssertError, FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.block_map import (
    BlockItem,
    parse_block_map,
    render_block_map,
)
from ansible_collections.holdfast.postgres.tests.unit import strategies

# The worked example of the specification (8.9): a file of 8 KiB blocks in three backups.
A, B, C, D, E, F100 = (
    bytes.fromhex(text)
    for text in ("753fce3c113b", "7fac9165aae0", "d1f48ddba741", "8fd99eb3b024", "ed13f6567c14", "cd8625fdd772")
)
Z, F8192, G10 = (bytes.fromhex(text) for text in ("5959752d68fd", "3150877119fd", "071c573416c3"))  # fmt: skip
FULL = "000301db040b64753fce3c113b7fac9165aae0d1f48ddba7418fd99eb3b024ed13f6567c14cd8625fdd772"
INCR_1 = "000201df040b6402753fce3c113b7fac9165aae00a01a9055959752d68fd0705018fd99eb3b024ed13f6567c14cd8625fdd772"
INCR_2 = (
    "000201df040b6402753fce3c113b7fac9165aae00a01a9055959752d68fd0603018fd99eb3b024ed13f6567c141301fb04030a"
    "3150877119fd071c573416c3"
)
ENCRYPTED = "000301c3050b64753fce3c113b7fac9165aae0d1f48ddba7418fd99eb3b024ed13f6567c14cd8625fdd772"
# Blocks of 256 KiB; later backups changed block 3, then 4 to 7, then 9 (all further branches of the grammar).
BRANCHES = (
    "0000ff8e020804d124cb2c10ea261841fba3b664c9d5e0d0a9d4da2346455b08a995032a8d38defdc46f7010006fe82937659a171a00fbd9"
    "8ca665d827660084c4a1284281427e01dac032746295f8b404ef21b5950300f8dc1c8b7b0e66f518a995036fc173e4b79ac0f30303010245"
    "898294d3fde1139032842ad1941c012956e0d5e46760863776dba3753684edb3f9ed0b37f135dd7e369d2017a9c626"
)
KIB_256 = 256 << 10


def in_full(number: int, checksum: bytes) -> BlockItem:
    return BlockItem(0, 1, 0, 75, 41060, number, checksum)


WORKED = {
    "full": (FULL, 41060, [in_full(*item) for item in enumerate([A, B, C, D, E, F100])]),
    "incr 1": (
        INCR_1,
        41060,
        [in_full(0, A), in_full(1, B), BlockItem(1, 1, 0, 32, 8192, 0, Z), in_full(3, D), in_full(4, E),
         in_full(5, F100)],
    ),
    "incr 2": (
        INCR_2,
        49162,
        [in_full(0, A), in_full(1, B), BlockItem(1, 1, 0, 32, 8192, 0, Z), in_full(3, D), in_full(4, E),
         BlockItem(2, 1, 0, 35, 8202, 0, F8192), BlockItem(2, 1, 0, 35, 8202, 1, G10)],
    ),
    "encrypted": (
        ENCRYPTED,
        41060,
        [in_full(*item)._replace(size=88) for item in enumerate([A, B, C, D, E, F100])],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WORKED)
def test_the_worked_example(name):
    text, size, items = WORKED[name]
    data = bytes.fromhex(text)
    assert parse_block_map(data, 8192, 6, size, 3) == items
    assert render_block_map(items, 8192, 6) == data


def test_the_map_with_all_further_branches():
    data = bytes.fromhex(BRANCHES)
    items = parse_block_map(data, KIB_256, 8, 16 * KIB_256, 4)
    places = [(item.reference, item.bundle, item.offset, item.size, item.super_size // KIB_256, item.number)
              for item in items]  # fmt: skip
    assert places == [
        *((0, 0, 0, 4335, 4, number) for number in (0, 1, 2)),
        (1, 0, 0, 1092, 1, 0),
        *((2, 0, offset, 1092, 1, 0) for offset in (0, 1092, 2184, 3276)),
        (0, 0, 8670, 4335, 4, 0),
        (3, 0, 0, 1092, 1, 0),
        *((0, 0, 8670, 4335, 4, number) for number in (2, 3)),
        *((0, 0, 13005, 4335, 4, number) for number in (0, 1, 2, 3)),
    ]
    assert [item.checksum.hex() for item in items[:2]] == ["d124cb2c10ea2618", "41fba3b664c9d5e0"]
    assert render_block_map(items, KIB_256, 8) == data


@settings(max_examples=100)
@given(strategies.block_files())
def test_round_trip(file):
    data = render_block_map(file.items, file.block_size, file.checksum_size)
    parsed = parse_block_map(data, file.block_size, file.checksum_size, file.size, file.references)
    assert tuple(parsed) == file.items


@settings(max_examples=50)
@given(strategies.block_files(), st.data())
def test_a_map_that_ends_early_or_late(file, data):
    rendered = render_block_map(file.items, file.block_size, file.checksum_size)
    arguments = (file.block_size, file.checksum_size, file.size, file.references)
    with pytest.raises(FormatError):
        parse_block_map(rendered[: data.draw(st.integers(0, len(rendered) - 1))], *arguments)
    with pytest.raises(FormatError, match="too many"):
        parse_block_map(rendered + b"\0", *arguments)
    with pytest.raises(FormatError, match="blocks, the file"):
        parse_block_map(rendered, file.block_size, file.checksum_size, file.size + file.block_size, file.references)
    with pytest.raises(FormatError, match="refers to backup"):
        parse_block_map(rendered, *arguments[:3], max(item.reference for item in file.items))


@settings(max_examples=200)
@given(st.binary(max_size=60))
def test_random_bytes_are_an_error_or_a_map(data):
    try:
        items = parse_block_map(data, 8192, 6, 3 * 8192, 2)
    except FormatError:
        return
    assert len(items) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends early"),
        ("01", "newer version"),
        ("0001", "ends early"),
        ("0001" + "80" * 10, "more than 64 bits"),
        ("0001" + "80" * 9 + "00" + "00" * 6, "without content"),
        ("000101", "without content"),
        ("00010b00", "without content"),  # a super block of nothing
        ("00010b" + "ff" * 8 + "7f", "ends early"),  # more blocks than there are checksums
        ("00010d" + "ff" * 8 + "7e", "ends early"),
        ("00010d02" + "00" * 12, "blocks, the file"),
        ("00010d0101" + "00" * 6, "beyond the end"),  # the second block of a super block of one
        ("000009" + "00" * 6 + "01" + "19" + "00" * 6, "without content"),  # 1 stored byte, then 2 less
    ],
)
def test_damaged_maps(text, message):
    with pytest.raises(FormatError, match=message):
        parse_block_map(bytes.fromhex(text), 8192, 6, 8192, 1)


ITEM = BlockItem(0, 1, 100, 50, 16384, 0, bytes(6))


@pytest.mark.parametrize(
    "items",
    [
        [],
        [ITEM._replace(checksum=bytes(7))],
        [ITEM._replace(size=0)],
        [ITEM, ITEM],
        [ITEM, ITEM._replace(number=1, bundle=2)],
        [ITEM, ITEM._replace(number=1, size=51)],
        [ITEM, ITEM._replace(number=1, super_size=24576)],
        [ITEM, ITEM._replace(offset=149)],
        [ITEM, ITEM._replace(offset=151)],
        [ITEM, ITEM._replace(reference=1), ITEM._replace(offset=99)],
        [ITEM._replace(number=1), ITEM._replace(reference=1), ITEM],
        [ITEM, ITEM._replace(reference=1), ITEM._replace(offset=151, bundle=2)],
    ],
)
def test_items_that_no_map_can_hold_are_a_bug(items):
    with pytest.raises(AssertError):
        render_block_map(items, 8192, 6)


def test_the_map_is_the_end_of_the_stored_region():
    super_block = (
        "789cedc1810900200c03b0db3675ff9fe4178342922a00000000000000205d0300000000000000f10e0000000000000010ef02000000000000"
        "00f11e00000000000000106f167c6997fdc0"
    )
    region = bytes.fromhex(super_block + FULL)
    assert len(region) == 118
    assert hashlib.sha1(region).hexdigest() == "3a8ebe493fad8de70eb79a590a9b08da42af531f"
    assert parse_block_map(region[-43:], 8192, 6, 41060, 1)[0].size == len(region) - 43
