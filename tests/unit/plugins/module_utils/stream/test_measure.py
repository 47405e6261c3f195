# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.measure import Measure
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.through import through


def upper(chunks):
    for chunk in chunks:
        yield bytes(chunk).upper()


def twice(chunks):
    for chunk in chunks:
        yield bytes(chunk) * 2


def test_filters_run_in_order() -> None:
    before, after = Measure(), Measure()
    assert list(through([b"ab", b"c"], before, upper, twice, after)) == [b"ABAB", b"CC"]
    assert (before.size, after.size) == (3, 6)
    assert before.hexdigest == hashlib.sha1(b"abc").hexdigest()
    assert after.digest == hashlib.sha1(b"ABABCC").digest()


def test_nothing_is_pulled_before_it_is_asked_for() -> None:
    def source():
        yield b"first"
        raise AssertionError("pulled too far")

    assert next(through(source(), Measure(), upper)) == b"FIRST"


def test_without_filters() -> None:
    assert list(through([b"a"])) == [b"a"]


def test_measure_of_nothing() -> None:
    nothing = Measure()
    assert list(nothing([])) == []
    assert (nothing.size, nothing.hexdigest) == (0, "da39a3ee5e6b4b0d3255bfef95601890afd80709")


def test_measure_takes_buffers_that_are_used_again() -> None:
    buffer = bytearray(b"one")

    def source():
        yield memoryview(buffer)
        buffer[:] = b"two"
        yield memoryview(buffer)

    measure = Measure()
    for _other in measure(source()):
        pass
    assert measure.hexdigest == hashlib.sha1(b"onetwo").hexdigest()
