# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    ClockError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import label
from ansible_collections.holdfast.postgres.tests.unit import strategies

BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
UTC = "UTC0"


@pytest.fixture
def timezone():
    """Set the time zone of this process, as POSIX rules, so that no zone files are needed."""
    before = os.environ.get("TZ")

    def change(rule):
        os.environ["TZ"] = rule
        time.tzset()

    yield change
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.parametrize(
    ("text", "full", "kind", "at"),
    [
        ("20261122-102955F", "20261122-102955F", "full", "20261122-102955"),
        ("20261122-102955F_20261122-103252D", "20261122-102955F", "diff", "20261122-103252"),
        ("20261122-102955F_20261122-103314I", "20261122-102955F", "incr", "20261122-103314"),
    ],
)
def test_a_label_tells_lineage_type_and_time(text, full, kind, at):
    assert label.parse_label(text) == (full, kind, at)
    assert label.is_label(text)
    assert label.is_full(text) == (kind == "full")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "20261122-102955",
        "20261122-102955f",
        "20261122-102955F\n",
        "20261122-102955D",
        "20261122-102955F_20261122-103252F",
        "20261122-102955F/../x",
        "20261122-102955F_20261122-103252D_20261122-103252I",
        "2026112\u0662-102955F",
        "latest",
    ],
)
def test_anything_else_is_no_label(text):
    assert not label.is_label(text)
    assert not label.is_full(text)
    with pytest.raises(FormatError):
        label.parse_label(text)


@given(strategies.labels())
def test_every_label_can_be_parsed(text):
    parsed = label.parse_label(text)
    assert text.startswith(parsed.full)
    assert text.endswith(parsed.time + label.LETTERS[parsed.type])


def test_labels_are_in_local_time(timezone):
    timezone(UTC)
    assert label.full_label(1795343395) == "20261122-102955F"
    timezone(BERLIN)
    assert label.full_label(1795343395) == "20261122-112955F"
    assert label.child_label("20261122-112955F", 1795343572, "D") == "20261122-112955F_20261122-113252D"


def test_a_label_in_summer_has_summer_time(timezone):
    timezone(BERLIN)
    assert label.full_label(1782036000) == "20260621-120000F"


def test_when_the_clocks_go_back_the_hour_that_comes_twice_gives_no_second_label(timezone):
    timezone(BERLIN)
    before = label.full_label(1792890000)  # 03:00:00 summer time, when it becomes 02:00:00
    first, used = label.next_label("full", None, 1792889999, [])
    assert (first, used) == ("20261025-025959F", 1792889999)
    assert before == "20261025-020000F"
    with pytest.raises(ClockError):
        label.next_label("full", None, 1792890000, [first])
    assert label.next_label("full", None, 1792893600, [first]) == ("20261025-030000F", 1792893600)


def test_another_time_zone_behind_ours_cannot_go_before_our_labels(timezone):
    timezone("JST-9")
    existing = [label.full_label(1795343395)]
    timezone(UTC)
    with pytest.raises(ClockError) as caught:
        label.next_label("full", None, 1795343395 + 60, existing)
    assert existing[0] in caught.value.message
    assert "time zone" in caught.value.hint


START = 1795343395
FULL = "20261122-102955F"


@pytest.fixture
def utc(timezone):
    timezone(UTC)


def test_the_first_label(utc):
    assert label.next_label("full", None, START, []) == (FULL, START)


def test_a_taken_second_gives_the_next_one(utc):
    assert label.next_label("full", None, START, [FULL]) == ("20261122-102956F", START + 1)
    assert label.next_label("incr", FULL, START, [FULL, f"{FULL}_20261122-102955I"]) == (
        f"{FULL}_20261122-102956I",
        START + 1,
    )


def test_two_taken_seconds_are_a_clock_that_was_set_back(utc):
    with pytest.raises(ClockError):
        label.next_label("full", None, START, [FULL, "20261122-102956F"])
    with pytest.raises(ClockError):
        label.next_label("diff", FULL, START, [FULL, f"{FULL}_20261122-102956I"])


def test_a_full_sorts_after_the_increments_of_an_older_set(utc):
    assert label.next_label("full", None, START, ["20261121-000000F_20261122-103000I"]) == (FULL, START)
    with pytest.raises(ClockError):
        label.next_label("full", None, START - 2, [f"{FULL}_20261122-102955I"])


def test_an_incr_belongs_to_the_set_of_the_full_below_its_prior(utc):
    prior = f"{FULL}_20261122-103000D"
    assert label.next_label("incr", prior, START + 60, [FULL, prior]) == (f"{FULL}_20261122-103055I", START + 60)


def test_diff_and_incr_of_one_second_do_not_pass_for_growth(utc):
    """D sorts before I, and the reference compares as text: both orders must give a label that sorts last."""
    incr, diff = f"{FULL}_20261122-102956I", f"{FULL}_20261122-102956D"
    assert label.next_label("diff", FULL, START + 1, [FULL, incr])[0] == f"{FULL}_20261122-102957D"
    assert label.next_label("incr", FULL, START + 1, [FULL, diff])[0] == incr


def test_a_future_label_of_another_set_does_not_block_an_incr(utc):
    existing = [FULL, "20300101-000000F", f"{FULL}_20261122-103000I"]
    assert label.next_label("incr", FULL, START + 60, existing)[0] == f"{FULL}_20261122-103055I"
    with pytest.raises(ClockError):
        label.next_label("full", None, START + 60, existing)


def test_a_full_has_no_prior_and_the_others_have(utc):
    with pytest.raises(AssertError):
        label.next_label("full", FULL, START, [])
    with pytest.raises(AssertError):
        label.next_label("incr", None, START, [])


@given(st.lists(st.integers(START, START + 30), max_size=8), st.integers(START, START + 30), st.data())
def test_a_new_label_is_new_and_later_than_those_of_its_set(starts, start, data):
    existing = [label.full_label(START - 1)]
    for second in starts:
        existing.append(label.child_label(existing[0], second, data.draw(st.sampled_from("DI"))))
    kind = data.draw(st.sampled_from(["full", "diff", "incr"]))
    try:
        new, used = label.next_label(kind, None if kind == "full" else existing[-1], start, existing)
    except ClockError:
        newest = max(existing)
        assert newest[-16:-1] >= time.strftime("%Y%m%d-%H%M%S", time.localtime(start + 1))
        return
    assert new > max(existing)
    assert used - start in (0, 1)
    assert label.parse_label(new).type == kind
