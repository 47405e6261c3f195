# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.history import parse_history
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.lsn import render_lsn
from ansible_collections.holdfast.postgres.tests.unit import strategies


def test_a_history_as_the_server_writes_it():
    text = (
        b"1\t0/A000198\tno recovery target specified\n\n"
        b"2\t0/B0000A0\tbefore 2026-11-22 10:30:02.123456+00\n\n"
        b'5\t12/FF000000\tat restore point "\xff\xe9"\n'
    )
    assert parse_history(text) == [(1, 0xA000198), (2, 0xB0000A0), (5, 0x12FF000000)]


@given(st.dictionaries(st.integers(1, 0xFFFFFFFF), strategies.lsns(), max_size=5))
def test_any_history(switches):
    expected = sorted(switches.items())
    text = "".join(f"{timeline}\t{render_lsn(lsn)}\treason\n" for timeline, lsn in expected)
    assert parse_history(text.encode()) == expected


def test_comments_and_blank_lines():
    assert parse_history(b"") == []
    assert parse_history(b"# a comment\n\n   \n  # another\n 3 \t0/5\n") == [(3, 5)]


@pytest.mark.parametrize(
    "text", [b"1", b"1\t", b"x\t0/5", b"1\t05", b"1\t0/5x", b"-1\t0/5", b"0/5\t1", b"1\t0/123456789"]
)
def test_an_unreadable_line(text):
    with pytest.raises(FormatError, match="line 2"):
        parse_history(b"# first\n" + text + b"\n")


def test_timelines_grow():
    with pytest.raises(FormatError, match="timeline 2"):
        parse_history(b"3\t0/5\tx\n2\t0/6\tx\n")
