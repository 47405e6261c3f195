# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres import lsn
from ansible_collections.holdfast.postgres.tests.unit import strategies

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "value"),
    [("0/0", 0), ("0/5000050", 0x5000050), ("16/B374D848", 0x16B374D848), ("FFFFFFFF/FFFFFFFF", (1 << 64) - 1)],
)
def test_an_lsn_reads_as_postgresql_prints_it(text, value):
    assert lsn.parse_lsn(text) == value
    assert lsn.render_lsn(value) == text


def test_small_letters_and_zeros_in_front_are_read():
    assert lsn.parse_lsn("00000016/b374d848") == 0x16B374D848


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/0/0", "0x1/0", "-1/0", " 0/0", "0/0\n", "123456789/0", "G/0"])
def test_what_is_no_lsn(text):
    with pytest.raises(FormatError):
        lsn.parse_lsn(text)


@given(strategies.lsns())
def test_lsn_round_trip(value):
    assert lsn.parse_lsn(lsn.render_lsn(value)) == value


@pytest.mark.parametrize(
    ("position", "size", "name"),
    [
        ("0/3400028", MIB, "000000010000000000000034"),
        ("0/5000000", 16 * MIB, "000000010000000000000005"),
        ("0/4FFFFFF", 16 * MIB, "000000010000000000000004"),
        ("1/FF000000", 16 * MIB, "0000000100000001000000FF"),
        ("1/FFFFFFFF", MIB, "000000010000000100000FFF"),
        ("2/C0000000", 1024 * MIB, "000000010000000200000003"),
    ],
)
def test_the_segment_of_an_lsn(position, size, name):
    assert lsn.segment_name(1, lsn.parse_lsn(position), size) == name


def test_the_segments_of_a_range_end_before_its_stop():
    parse = lsn.parse_lsn
    size = 16 * MIB
    assert lsn.segments(parse("0/5000028"), parse("0/6000000"), 3, size) == ["000000030000000000000005"]
    assert lsn.segments(parse("0/5000028"), parse("0/6000001"), 3, size) == [
        "000000030000000000000005",
        "000000030000000000000006",
    ]
    assert lsn.segments(parse("0/FF000000"), parse("1/1000000"), 3, size) == [
        "0000000300000000000000FF",
        "000000030000000100000000",
    ]
    for stop in ("0/5000028", "0/5000027"):
        with pytest.raises(FormatError):
            lsn.segments(parse("0/5000028"), parse(stop), 3, size)


@given(strategies.lsns(), st.integers(1, 200), strategies.segment_sizes(), st.integers(1, 0xFFFFFFFF))
def test_segments_of_a_range_are_each_the_next_of_the_one_before(start, count, size, timeline):
    start = min(start, (1 << 64) - count * size)
    names = lsn.segments(start, start + count * size, timeline, size)
    assert names[0] == lsn.segment_name(timeline, start, size)
    assert names[-1] == lsn.segment_name(timeline, start + count * size - 1, size)
    assert [lsn.next_segment(name, size) for name in names[:-1]] == names[1:]
    assert names == sorted(names)


def test_the_parts_of_a_segment_name():
    assert lsn.parse_segment("0000000200000001000000AB") == (2, 1, 0xAB)
    for name in ("", "0000000200000001000000ab", "0000000200000001000000AB.partial", "00000002.history"):
        with pytest.raises(FormatError):
            lsn.parse_segment(name)


def test_the_next_segment_carries_into_the_high_half():
    assert lsn.next_segment("0000000200000001000000FE", 16 * MIB) == "0000000200000001000000FF"
    assert lsn.next_segment("0000000200000001000000FF", 16 * MIB) == "000000020000000200000000"
    assert lsn.next_segment("0000000200000001000000FF", MIB) == "000000020000000100000100"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("000000020000000100000100", 16 * MIB),  # there are 256 segments of 16 MiB in each 4 GiB
        ("00000002FFFFFFFF000000FF", 16 * MIB),
        ("000000020000000100000000", 3 * MIB),
        ("000000020000000100000000", MIB // 2),
        ("000000020000000100000000", 2048 * MIB),
    ],
)
def test_a_segment_that_cannot_be(name, size):
    with pytest.raises(FormatError):
        lsn.next_segment(name, size)
