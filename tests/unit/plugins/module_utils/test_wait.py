# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.wait import LONGEST_SLEEP, passes


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds


def wait(timeout: float) -> tuple[Time, int]:
    time = Time()
    return time, len(list(passes(timeout, time.sleep, time.clock)))


def test_the_pauses_grow_like_rabbits() -> None:
    time = wait(60)[0]
    assert [round(pause, 1) for pause in time.sleeps[:6]] == [0.1, 0.2, 0.3, 0.5, 0.8, 1.3]


def test_where_looking_is_cheap_it_is_done_more_often() -> None:
    time = Time()
    list(passes(60, time.sleep, time.clock, first=0.01, longest=0.5))
    assert [round(pause, 2) for pause in time.sleeps[:5]] == [0.01, 0.02, 0.03, 0.05, 0.08]
    assert max(time.sleeps) == 0.5


@given(st.floats(0.1, 3600))
def test_no_more_than_the_timeout_is_slept(timeout: float) -> None:
    time, count = wait(timeout)
    assert sum(time.sleeps) == pytest.approx(timeout)
    assert max(time.sleeps) <= LONGEST_SLEEP
    assert count >= 3


def test_a_short_timeout_begins_with_a_tenth() -> None:
    time = wait(0.5)[0]
    assert time.sleeps[0] == pytest.approx(0.05)


def test_a_process_that_was_stopped_meanwhile_looks_again() -> None:
    time = Time()
    seen = []
    for number in passes(10, time.sleep, time.clock):
        seen.append(number)
        time.now += 1000
    assert seen == [0, 1, 2]
