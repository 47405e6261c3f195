# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which backup a restore starts from: by label, by time, by LSN; and whether its timeline leads to the target."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_set import (
    Listing,
    check_timeline,
    choose_set,
    parse_target_time,
    parse_timeline,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    BackupSetInvalidError,
    DbMismatchError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import (
    BackupEntry,
    BackupInfo,
)

NOON = 1_769_860_800  # 2026-01-31 12:00:00 UTC
FULL = "20260131-110000F"
DIFF = f"{FULL}_20260131-113000D"
INCR = f"{FULL}_20260131-120000I"


@pytest.fixture
def zone(monkeypatch):
    """Call it with the name of a time zone: local time is that of this zone."""

    def use(name):
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


def entry(label, stop, lsn, pg_id=1, start_lsn="0/1000000", archive_start="000000010000000000000001"):
    return BackupEntry(
        label, "full", stop - 60, stop, 1, 1, 1, 1, pg_id, archive_start=archive_start, archive_stop=archive_start,
        lsn_start=start_lsn, lsn_stop=lsn,
    )  # fmt: skip


def listing(*entries, name="repo1", current_id=1):
    history = tuple(PgHistory(number, 7_000_000_000 + number, "15", 1300, 202209061) for number in (1, 2))
    return Listing(name, BackupInfo(history, current_id, {item.label: item for item in entries}))


THREE = (entry(FULL, NOON - 3600, "0/2000100"), entry(DIFF, NOON - 1800, "0/3000100"), entry(INCR, NOON, "0/4000100"))


def chosen(listings, label=None, kind="default", target=None):
    return choose_set(listings, label, kind, target).entry.label


def refused(*args):
    with pytest.raises(BackupSetInvalidError) as caught:
        choose_set(*args)
    assert caught.value.hint
    return caught.value.message


# -- by label and by default


def test_a_label_is_taken_from_the_first_repository_that_lists_it():
    listings = [listing(THREE[0]), listing(*THREE, name="repo2")]
    assert choose_set(listings, DIFF, "default", None).position == 1
    assert choose_set(listings, FULL, "time", "no time at all").position == 0  # PostgreSQL will judge the target


@pytest.mark.parametrize("label", ["latest", "20200101-000000F", ""])
def test_an_unknown_label(label):
    assert label in refused([listing(*THREE)], label, "default", None)


@pytest.mark.parametrize("kind", ["default", "immediate", "name", "xid", "standby", "preserve", "none"])
def test_other_types_take_the_newest_backup(kind):
    assert chosen([listing(*THREE)], None, kind, "x") == INCR


def test_an_empty_repository_is_passed_over_with_a_warning():
    result = choose_set([listing(), listing(*THREE, name="repo2")], None, "default", None)
    assert (result.position, result.entry.label) == (1, INCR)
    assert len(result.warnings) == 1 and "repo1" in result.warnings[0]


def test_nothing_anywhere():
    message = refused([listing(), listing(name="repo2")], None, "default", None)
    assert "repo1" in message and "repo2" in message


def test_the_newest_backup_from_before_an_upgrade_has_to_be_asked_for():
    old = [listing(*THREE, current_id=2)]
    assert INCR in refused(old, None, "default", None)
    assert chosen(old, INCR) == INCR
    assert chosen(old, None, "time", "2026-01-31 12:30:00+00") == INCR  # before the upgrade, so on purpose


# -- by time


@pytest.mark.parametrize(
    ("target", "label"),
    [
        ("2026-01-31 12:00:01+00", INCR), ("2026-01-31 12:00:00+00", DIFF), ("2026-01-31 11:59:59+00", DIFF),
        ("2026-01-31 12:00:00.999999+00", DIFF), ("2026-01-31 12:00:01,5Z", INCR),
        ("2026-01-31 14:00:01+02", INCR), ("2026-01-31 14:00:00+02:00", DIFF), ("2026-01-31 06:30:01-0530", INCR),
        ("2026-01-31 11:30:00+00", FULL), ("2026-01-31 11:00:01+00", FULL), ("2027-01-01 00:00:00+00", INCR),
    ],
)  # fmt: skip
def test_the_newest_backup_that_ended_before_the_time(target, label):
    assert chosen([listing(*THREE)], None, "time", target) == label


def test_no_backup_ended_before_the_time():
    message = refused([listing(*THREE), listing(name="repo2")], None, "time", "2026-01-31 11:00:00+00")
    assert "2026-01-31 11:00:00+00" in message
    early = listing(entry("20260130-110000F", NOON - 86400, "0/1000100"), name="repo2")
    result = choose_set([listing(*THREE), early], None, "time", "2026-01-31 11:00:00+00")
    assert result.position == 1 and len(result.warnings) == 1


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-01-31", "2026-01-31 12:00", "2026-01-31T12:00:00", "2026-01-31 12:00:00 Europe/Berlin",
     "2026-01-31 12:00:00 CET", "2026-01-31 12:00:00+2", "2026-01-31 12:00:00+02:0", "2026-1-31 12:00:00",
     "2026-01-31 12:00:00\n", " 2026-01-31 12:00:00", "2026-13-01 00:00:00", "2026-02-29 00:00:00",
     "2026-04-31 00:00:00", "2026-01-00 00:00:00", "0000-01-01 00:00:00", "2026-01-31 24:00:00",
     "2026-01-31 12:60:00", "2026-01-31 12:00:61", "2026-01-31 12:00:00.", "\u0662\u0660\u0662\u0666-01-31 12:00:00"],
)  # fmt: skip
def test_what_is_no_time_to_choose_a_set_by(text):
    with pytest.raises(FormatError) as caught:
        parse_target_time(text)
    assert "YYYY" in caught.value.hint


def test_a_time_without_an_offset_is_local(zone):
    zone("Asia/Kolkata")
    assert parse_target_time("2026-01-31 17:30:00") == NOON
    zone("UTC")
    assert parse_target_time("2026-01-31 12:00:00") == NOON


def test_local_times_around_the_change_to_summer_time_and_back(zone):
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
    before, after = parse_target_time("2026-03-29 01:59:59"), parse_target_time("2026-03-29 03:00:00")
    assert after - before == 1
    assert before < parse_target_time("2026-03-29 02:30:00") < after + 3600  # does not exist, means a moment near
    assert parse_target_time("2026-10-25 03:00:00") - parse_target_time("2026-10-25 01:59:59") == 7201
    assert parse_target_time("2026-07-01 12:00:00") == parse_target_time("2026-07-01 12:00:00+02")


@given(
    st.datetimes(min_value=datetime.datetime(1971, 1, 1), max_value=datetime.datetime(2500, 1, 1)),
    st.integers(-15 * 60, 15 * 60),
    st.sampled_from(["{:02d}{:02d}", "{:02d}:{:02d}"]),
)
def test_offsets_are_those_of_the_calendar(moment, minutes, form):
    offset = datetime.timezone(datetime.timedelta(minutes=minutes))
    text = f"{moment:%Y-%m-%d %H:%M:%S}{'-' if minutes < 0 else '+'}{form.format(*divmod(abs(minutes), 60))}"
    assert parse_target_time(text) == int(moment.replace(microsecond=0, tzinfo=offset).timestamp())


# -- by LSN


@pytest.mark.parametrize(
    ("target", "label"),
    [("0/4000100", INCR), ("0/40000FF", DIFF), ("0/3000100", DIFF), ("0/2000100", FULL), ("1/0", INCR)],
)
def test_the_newest_backup_that_ended_at_or_before_the_lsn(target, label):
    assert chosen([listing(*THREE)], None, "lsn", target) == label


def test_no_backup_ended_before_the_lsn():
    assert "0/20000FF" in refused([listing(*THREE)], None, "lsn", "0/20000FF")


@pytest.mark.parametrize("target", ["4000100", "", "0/", "x/y"])
def test_what_is_no_lsn(target):
    with pytest.raises(FormatError):
        choose_set([listing(*THREE)], None, "lsn", target)


def test_a_backup_without_lsns_ends_the_search_in_its_repository():
    offline = replace(THREE[1], archive_start=None, archive_stop=None, lsn_start=None, lsn_stop=None)
    middle = listing(THREE[0], offline, THREE[2])
    assert chosen([middle], None, "lsn", "0/4000100") == INCR
    assert DIFF in refused([middle], None, "lsn", "0/3000100")
    result = choose_set([middle, listing(*THREE, name="repo2")], None, "lsn", "0/2000100")
    assert (result.position, result.entry.label) == (1, FULL)
    assert any(DIFF in warning for warning in result.warnings)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=8), st.integers(0, 60), st.booleans())
def test_a_chosen_backup_ended_before_the_target_and_no_newer_one_did(stops, target, by_time):
    entries = [entry(f"202601{number + 10}-000000F", NOON + at, f"0/{lsn:X}") for number, (at, lsn) in enumerate(stops)]
    listings = [listing(*entries)]
    kind, text = "lsn", f"0/{target:X}"
    fits = [int((item.lsn_stop or "").partition("/")[2], 16) <= target for item in entries]
    if by_time:
        kind, text = "time", f"{datetime.datetime.fromtimestamp(NOON + target, datetime.timezone.utc):%F %T}+00"
        fits = [item.timestamp_stop < NOON + target for item in entries]
    expected = [item.label for item, fit in zip(entries, fits) if fit]
    if not expected:
        refused(listings, None, kind, text)
    else:
        assert chosen(listings, None, kind, text) == expected[-1]


# -- timelines


@pytest.mark.parametrize(
    ("text", "number"), [("1", 1), ("17", 17), ("0x11", 17), ("0XfF", 255), ("4294967295", (1 << 32) - 1)]
)
def test_a_timeline_is_a_decimal_or_after_0x_a_hexadecimal(text, number):
    assert parse_timeline(text) == number


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "A", "0x", "0x0", "1.0", " 1", "1_0", "4294967296", "\u0663", "newest"]
)
def test_what_is_no_timeline(text):
    with pytest.raises(DbMismatchError) as caught:
        parse_timeline(text)
    assert caught.value.hint


ON_TWO = entry(FULL, NOON, "0/5000100", start_lsn="0/5000028", archive_start="000000020000000000000005")


@pytest.mark.parametrize("history", [[(1, 0x3000000), (2, 0x5000029)], [(2, 0x6000000), (3, 0x7000000)]])
def test_a_timeline_that_forked_after_the_start_of_the_backup_is_fine(history):
    check_timeline(ON_TWO, 4, history)


@pytest.mark.parametrize("end", [0x5000028, 0x5000027, 0])
def test_a_timeline_that_forked_before_the_start_of_the_backup(end):
    with pytest.raises(DbMismatchError, match=r"0/5000028") as caught:
        check_timeline(ON_TWO, 4, [(1, 0x1000), (2, end)])
    assert FULL in caught.value.message and "--target-timeline=2" in caught.value.hint


@pytest.mark.parametrize("history", [[], [(1, 0x9000000)], [(3, 0x9000000)]])
def test_a_timeline_that_never_was_the_one_of_the_backup(history):
    with pytest.raises(DbMismatchError, match="not in the history") as caught:
        check_timeline(ON_TWO, 4, history)
    assert caught.value.hint
