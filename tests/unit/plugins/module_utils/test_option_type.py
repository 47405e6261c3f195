# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_type import (
    BOOLEAN,
    DAY,
    GIB,
    KIB,
    LARGEST,
    MAP,
    MIB,
    PATH,
    STRING,
    WEEK,
    Choice,
    Integer,
    Name,
    Size,
    SizeChoice,
    Time,
)
from ansible_collections.holdfast.postgres.tests.unit.strategies import size_texts, time_texts

ANY_SIZE = Size(0, LARGEST)
ANY_TIME = Time(0, 10**12)


@given(st.integers(0, LARGEST))
def test_a_size_is_read_as_it_was_rendered(size):
    assert ANY_SIZE.parse(ANY_SIZE.render(size)) == size


@given(st.integers(0, 10**14))
def test_a_time_is_read_as_it_was_rendered(milliseconds):
    text = ANY_TIME.render(milliseconds / 1000)
    assert round(ANY_TIME.parse(text) * 1000) == milliseconds


@given(size_texts())
def test_rendering_a_size_keeps_what_people_wrote(text):
    size = ANY_SIZE.parse(text)
    assert ANY_SIZE.parse(ANY_SIZE.render(size)) == size


@given(time_texts())
def test_rendering_a_time_keeps_what_people_wrote(text):
    seconds = ANY_TIME.parse(text)
    assert ANY_TIME.parse(ANY_TIME.render(seconds)) == seconds


@given(st.text(max_size=8))
def test_no_text_does_anything_but_parse_or_raise_a_value_error(text):
    for kind in (ANY_SIZE, ANY_TIME, Integer(-9, 9), PATH, Name(), BOOLEAN, MAP, STRING, Choice("a", "b")):
        try:
            kind.parse(text)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("7", 7),
        ("7b", 7),
        ("3k", 3 * KIB),
        ("3KB", 3 * KIB),
        ("3kib", 3 * KIB),
        ("20MiB", 20 * MIB),
        ("1g", GIB),
    ],
)
def test_units_of_sizes_are_powers_of_1024(text, size):
    assert ANY_SIZE.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "k", "-1", "+1", "1.5m", "1 k", "1kk", "1bib", "0x10", "1_000", "٣", "²", "9" * 30]
)
def test_what_is_not_a_size(text):
    with pytest.raises(ValueError, match="size|range"):
        ANY_SIZE.parse(text)


def test_a_size_that_no_program_could_hold_is_out_of_range():
    with pytest.raises(ValueError, match="range"):
        ANY_SIZE.parse("8192P")


def test_a_size_has_to_be_one_of_those_that_are_possible():
    kind = SizeChoice(16 * KIB, 32 * KIB, MIB)
    assert kind.parse("1024k") == MIB
    with pytest.raises(ValueError, match="allowed sizes"):
        kind.parse("17KiB")
    assert kind.allowed() == "16KiB, 32KiB, 1MiB"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30), ("500ms", 0.5), ("2s", 2), ("10m", 600), ("2h", 7200), ("1d", DAY), ("1W", WEEK), ("0", 0)],
)
def test_times_are_seconds_unless_a_unit_says_otherwise(text, seconds):
    assert ANY_TIME.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "1.5h", "1 h", "1y", "1min"])
def test_what_is_not_a_time(text):
    with pytest.raises(ValueError, match="time"):
        ANY_TIME.parse(text)


@pytest.mark.parametrize(("kind", "text"), [(Time(0.1, 60), "99ms"), (Time(0.1, 60), "61"), (Integer(1, 9), "10")])
def test_a_value_out_of_range(kind, text):
    with pytest.raises(ValueError, match="range"):
        kind.parse(text)


def test_ranges_are_shown_with_units():
    assert Time(0.1, 7 * DAY).allowed() == "100ms to 1w"
    assert Size(8 * KIB, GIB).allowed() == "8KiB to 1GiB"
    assert Integer(-5, 12).allowed() == "-5 to 12"


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("+5", 5), ("-5", -5), ("007", 7)])
def test_whole_numbers(text, value):
    assert Integer(-9, 9).parse(text) == value


@pytest.mark.parametrize("text", ["", "-", "+-5", " 5", "5 ", "5.0", "0x5", "1_0", "٥", "five"])
def test_what_is_not_a_whole_number(text):
    with pytest.raises(ValueError, match="whole number"):
        Integer(-9, 9).parse(text)


@pytest.mark.parametrize("text", ["yes", "Y", "true", "1", "", "on"])
def test_a_switch_is_exactly_y_or_n(text):
    with pytest.raises(ValueError, match="y or n"):
        BOOLEAN.parse(text)


@pytest.mark.parametrize(("text", "path"), [("/a/b/", "/a/b"), ("/a", "/a"), ("/", "/")])
def test_a_path_loses_its_last_slash(text, path):
    assert PATH.parse(text) == path


@pytest.mark.parametrize("text", ["", "a/b", "./a", "/a//b", "//"])
def test_what_is_not_a_path(text):
    with pytest.raises(ValueError, match="path|empty"):
        PATH.parse(text)


@pytest.mark.parametrize("text", ["main", "Main-15_b", "ünïcode", "a.b", "0"])
def test_names_of_stanzas(text):
    assert Name().parse(text) == text


@pytest.mark.parametrize(
    "text", ["", "global", "../etc", "a/b", "a:b", "[a]", "a b", ".hidden", "-x", "a\nb", "a=b", "\x00"]
)
def test_names_that_no_stanza_may_have(text):
    with pytest.raises(ValueError, match=r"."):
        Name().parse(text)


def test_a_map_entry_may_have_an_empty_value_but_no_empty_key():
    assert MAP.parse("a=b=c") == ("a", "b=c")
    assert MAP.parse("a=") == ("a", "")
    for text in ("a", "=b", ""):
        with pytest.raises(ValueError, match="key=value"):
            MAP.parse(text)


def test_a_choice_is_taken_literally():
    kind = Choice("full", "diff", "incr")
    assert kind.parse("diff") == "diff"
    assert kind.allowed() == "full, diff or incr"
    for text in ("Full", "fu", ""):
        with pytest.raises(ValueError, match="allowed"):
            kind.parse(text)
