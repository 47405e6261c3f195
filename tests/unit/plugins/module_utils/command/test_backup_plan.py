# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup decides before it copies: its base, what is unchanged, and who copies what."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_plan import (
    GROUP_BYTES,
    GROUP_FILES,
    Need,
    choose_prior,
    delta_reason,
    merge_prior,
    plan_portions,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupInfo
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import File
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest_file import EMPTY_SHA1
from ansible_collections.holdfast.postgres.tests.unit import strategies

from .builders import LABEL, STAMP, Made

PRIOR = LABEL
NEW = f"{PRIOR}_20260201-110000I"
SEGMENT = "000000020000000000000007"
NAME = "pg_data/base/5/16384"


# -- the base


def info_of(entries, current_id=1):
    history = tuple(PgHistory(number, 7_000_000_000 + number, "15", 1300, 202209061) for number in (1, 2))
    return BackupInfo(history, current_id, {entry.label: entry for entry in entries})


@given(strategies.backup_chains(), st.integers(0, 9))
def test_the_newest_backup_that_fits_is_the_base(chain, upgraded_after):
    """The first of the backups are from before an upgrade."""
    entries = [replace(entry, pg_id=1 if number < upgraded_after else 2) for number, entry in enumerate(chain)]
    info = info_of(entries, current_id=2)
    mine = [entry for entry in entries if entry.pg_id == 2]
    fulls = [entry for entry in mine if entry.type == "full"]
    assert choose_prior(info, "full") is None
    assert choose_prior(info, "incr") == (mine[-1].label if mine else None)
    assert choose_prior(info, "diff") == (fulls[-1].label if fulls else None)


# -- delta


def pair(before=None, now=None, **prior_values):
    """Manifests of the prior backup and of this one, with a file each."""
    prior, made = Made("/data", PRIOR), Made("/data", NEW, "incr")
    prior.manifest.archive_stop = SEGMENT
    for name, value in prior_values.items():
        setattr(prior.manifest, name, value)
    for manifest, file in ((prior.manifest, before), (made.manifest, now)):
        if file is not None:
            manifest.add_file(file)
    return made.manifest, prior.manifest


def reason(manifest, prior, segment=SEGMENT, online=True):
    return delta_reason(manifest, prior, segment, online) or ""


def test_without_a_reason_times_and_sizes_are_trusted():
    assert reason(*pair(File(NAME, 10, STAMP), File(NAME, 10, STAMP))) == ""
    assert reason(*pair(File(NAME, 10, STAMP), File(NAME, 20, STAMP + 1))) == ""
    assert reason(*pair(File("pg_data/a", 10, STAMP), File("pg_data/b", 20, STAMP - 1))) == ""
    assert reason(*pair(), segment="000000020000000900000001") == ""


def test_another_timeline_is_a_reason():
    assert "timeline" in reason(*pair(), segment="000000030000000000000007")
    assert reason(*pair(), segment=None) == ""
    assert reason(*pair(archive_stop=None)) == ""


def test_from_online_to_offline_and_back_is_a_reason():
    assert "online" in reason(*pair(), online=False)
    manifest, prior = pair()
    prior.options["option-online"] = False
    assert "online" in reason(manifest, prior)
    del prior.options["option-online"]
    assert reason(manifest, prior) == ""


def test_an_older_file_is_a_reason():
    text = reason(*pair(File(NAME, 10, STAMP), File(NAME, 10, STAMP - 1)))
    assert NAME in text and str(STAMP) in text and str(STAMP - 1) in text


@pytest.mark.parametrize(
    ("size", "original", "now", "expected"),
    [
        (10, None, 11, True), (10, None, 10, False),
        (10, 20, 20, False), (10, 20, 10, True),  # it shrank while it was copied
        (10, 0, 10, True), (10, 0, 0, False),  # it grew from nothing while it was copied
        (0, 10, 10, False), (0, None, 1, True),
    ],
)  # fmt: skip
def test_another_size_at_the_same_time_is_a_reason(size, original, now, expected):
    before = File(NAME, size, STAMP, size_original=original)
    assert (NAME in reason(*pair(before, File(NAME, now, STAMP)))) == expected


# -- the merge

SUM, OTHER_SUM, RCK = b"s" * 20, b"o" * 20, b"r" * 20
OLDER = "20260130-110000F"


def before(size=100, stamp=STAMP, **values):
    return File(NAME, size, stamp, 0o600, "old", "old", SUM if size else EMPTY_SHA1, RCK, 50, **values)


def merged(prior_file, now, delta=False, bundle=False):
    manifest, prior = pair(prior_file, now)
    manifest.bundle = bundle
    return merge_prior(manifest, prior, delta), manifest.files[0]


@pytest.mark.parametrize(
    ("size", "stamp", "delta", "needed", "checked", "refers"),
    [
        (100, STAMP, False, False, False, True),
        (100, STAMP + 9, False, True, False, True),
        (100, STAMP, True, True, True, True),
        (100, STAMP + 9, True, True, True, True),
        (99, STAMP, False, True, False, False),
        (99, STAMP, True, True, False, False),
        (0, STAMP, False, True, False, False),
    ],
)
@pytest.mark.parametrize("bundled_before", [False, True])
def test_what_becomes_of_a_file_that_the_prior_backup_has(size, stamp, delta, needed, checked, refers, bundled_before):
    place = {"bundle_id": 3, "bundle_offset": 77} if bundled_before else {}
    needs, file = merged(before(**place), File(NAME, size, stamp, 0o640, "new", "new"), delta)
    assert [(need.file, need.check, need.resume) for need in needs] == ([(file, checked, False)] if needed else [])
    assert (file.size, file.timestamp, file.mode, file.user, file.group) == (size, stamp, 0o640, "new", "new")
    if refers:
        taken = (PRIOR, SUM, RCK, 50, file.bundle_id, file.bundle_offset)
        assert (file.reference, file.checksum, file.rck, file.repo_size, *place.values()) == (
            taken if bundled_before else taken[:4]
        )
    else:
        assert (file.reference, file.checksum, file.rck, file.bundle_id) == (None, None, None, 0)


def test_a_reference_leads_to_the_backup_that_holds_the_file():
    _needs, file = merged(before(reference=OLDER), File(NAME, 100, STAMP))
    assert file.reference == OLDER


def test_findings_on_pages_stay_with_an_unchanged_file():
    _needs, file = merged(before(checksum_page=False, checksum_page_error=(7, (9, 11))), File(NAME, 100, STAMP))
    assert (file.checksum_page, file.checksum_page_error) == (False, (7, (9, 11)))


def test_a_block_map_stays_with_an_unchanged_file():
    _needs, file = merged(before(block_size=8192, block_checksum_size=7, block_map_size=30), File(NAME, 100, STAMP))
    assert (file.block_size, file.block_checksum_size, file.block_map_size) == (8192, 7, 30)


@pytest.mark.parametrize("delta", [False, True])
def test_empty_files_are_unchanged_whatever_their_time(delta):
    needs, file = merged(before(0), File(NAME, 0, STAMP + 5), delta)
    assert needs == [] and (file.reference, file.checksum) == (PRIOR, EMPTY_SHA1)


@pytest.mark.parametrize("prior_file", [before(0), before(100), None])
@pytest.mark.parametrize("delta", [False, True])
def test_with_bundles_empty_files_are_complete_at_once_and_refer_to_nothing(prior_file, delta):
    needs, file = merged(prior_file, File(NAME, 0, STAMP), delta, bundle=True)
    assert needs == []
    assert (file.reference, file.checksum, file.repo_size, file.checksum_page) == (None, EMPTY_SHA1, 0, None)


def test_with_bundles_the_pages_of_empty_files_are_valid_when_pages_are_checked():
    manifest = Made("/data").files({NAME: b"", "pg_data/empty": b""}).manifest
    manifest.bundle, manifest.options["option-checksum-page"] = True, True
    assert merge_prior(manifest, None, False) == []
    assert [file.checksum_page for file in manifest.files] == [True, None]


def test_a_full_backup_needs_everything():
    manifest = Made("/data").files({"pg_data/a": b"", "pg_data/b": b"1"}).manifest
    assert [(need.file.name, need.check) for need in merge_prior(manifest, None, True)] == [
        ("pg_data/a", False), ("pg_data/b", False),
    ]  # fmt: skip


# -- portions

SIZES = st.one_of(st.integers(0, 100), st.integers(0, 40 << 20))
TARGETS = st.sampled_from(["pg_data", "pg_tblspc/16400", "pg_tblspc/1640"])


@st.composite
def needs_of_a_backup(draw):
    items = draw(st.lists(st.tuples(TARGETS, SIZES, st.integers(0, 3)), max_size=60))
    return [
        Need(File(f"{target}/x/{number}", size, stamp), False) for number, (target, size, stamp) in enumerate(items)
    ]


@given(needs_of_a_backup(), st.booleans(), st.integers(1, 60 << 20), st.integers(1, 30 << 20))
def test_every_file_is_in_exactly_one_portion(needs, bundle, size, limit):
    portions = list(plan_portions(needs, bundle, size, limit))
    copied = [need.file.name for portion in portions for need in portion.needs]
    assert sorted(copied) == sorted(need.file.name for need in needs)
    numbers = [portion.bundle for portion in portions if portion.bundle]
    assert numbers == list(range(1, len(numbers) + 1))
    alone = [portion for portion in portions if not portion.bundle]
    assert portions[: len(alone)] == alone  # the large ones first
    for portion in portions:
        assert portion.needs and portion.size == sum(need.file.size for need in portion.needs)
        sizes = [need.file.size for need in portion.needs]
        if portion.bundle:
            assert bundle and max(sizes) <= limit and sizes == sorted(sizes)
            assert len({need.file.name.rpartition("/x/")[0] for need in portion.needs}) == 1
            # Full as soon as its size is reached; in which order they came in is told by time, then name.
            last = max(portion.needs, key=lambda need: (need.file.timestamp, need.file.name))
            assert portion.size - last.file.size < size
        else:
            assert not bundle or min(sizes) > limit
            assert sizes == sorted(sizes, reverse=True)
            assert len(portion.needs) <= GROUP_FILES and portion.size - sizes[-1] < GROUP_BYTES
    order = [need.file.size for portion in alone for need in portion.needs]
    assert order == sorted(order, reverse=True)


def test_only_the_last_bundle_of_a_target_is_not_full():
    needs = [Need(File(f"pg_data/{number:03}", 10, STAMP), False) for number in range(25)]
    assert [len(portion.needs) for portion in plan_portions(needs, True, 100, 10)] == [10, 10, 5]
    assert [portion.bundle for portion in plan_portions(needs, True, 100, 10, first_bundle=4)] == [4, 5, 6]


def test_many_small_files_of_their_own_are_handed_out_together():
    needs = [Need(File(f"pg_data/{number:05}", 1, STAMP), False) for number in range(GROUP_FILES * 2 + 1)]
    assert [len(portion.needs) for portion in plan_portions(needs, False, 0, 0)] == [GROUP_FILES, GROUP_FILES, 1]
