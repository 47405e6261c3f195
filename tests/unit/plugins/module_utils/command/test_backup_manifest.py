# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_copy import Copied, CopyFile
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_manifest import (
    check_complete,
    describe,
    page_ranges,
    store_result,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.page_errors import page_text
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import File
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest_file import EMPTY_SHA1

from .builders import STAMP, Made

NAME = "pg_data/base/5/16384"
SUM, RCK = b"s" * 20, b"r" * 20


@pytest.mark.parametrize(
    ("blocks", "ranges", "text"),
    [
        ([], (), ""), ([0], (0,), "0"), ([0, 1], ((0, 1),), "0-1"), ([1, 2, 3, 7], ((1, 3), 7), "1-3, 7"),
        ([131072, 131074, 131075], (131072, (131074, 131075)), "131072, 131074-131075"),
    ],
)  # fmt: skip
def test_pages_as_ranges(blocks, ranges, text):
    assert page_ranges(blocks) == ranges
    assert page_text(ranges) == text


@given(st.sets(st.integers(0, 60)))
def test_ranges_say_the_same_as_the_pages_and_never_touch(blocks):
    ranges = page_ranges(sorted(blocks))
    spans = [item if isinstance(item, tuple) else (item, item) for item in ranges]
    assert [block for first, last in spans for block in range(first, last + 1)] == sorted(blocks)
    assert all(one[1] + 1 < other[0] for one, other in zip(spans, spans[1:]))
    assert all(item[0] < item[1] for item in ranges if isinstance(item, tuple))


def stored(result, bundle=0, **values):
    file = File(NAME, 100, STAMP, checksum=b"x" * 20, reference="20260101-000000F", **values)
    store_result(file, bundle, result)
    assert (file.name, file.timestamp, file.reference) == (NAME, STAMP, None)
    return file


def test_a_copied_file_is_the_backups_own():
    file = stored(Copied("copied", 100, SUM, 40, RCK, 7, True), bundle_id=9, bundle_offset=5, block_map_size=3)
    assert (file.size, file.size_original, file.checksum, file.rck, file.repo_size) == (100, None, SUM, RCK, 40)
    assert (file.bundle_id, file.bundle_offset, file.block_size, file.block_map_size) == (0, 0, 0, 0)
    assert (file.checksum_page, file.checksum_page_error) == (True, None)
    file = stored(Copied("copied", 100, SUM, 40, RCK, 7), bundle=4)
    assert (file.bundle_id, file.bundle_offset, file.checksum_page) == (4, 7, None)


def test_findings_on_pages_are_entered():
    file = stored(Copied("copied", 100, SUM, 40, RCK, 0, False, (1, 2, 9)), checksum_page=True)
    assert (file.checksum_page, file.checksum_page_error) == (False, ((1, 2), 9))
    file = stored(Copied("copied", 100, SUM, 40, RCK, 0, False, None), checksum_page_error=(3,))
    assert (file.checksum_page, file.checksum_page_error) == (False, None)


def test_the_size_before_the_copy_is_kept_when_it_was_another():
    file = stored(Copied("copied", 130, SUM, 40, RCK))
    assert (file.size, file.size_original) == (130, 100)
    # An interrupted backup had found 130 bytes, now it is 100 again, as when the manifest was built.
    file = stored(Copied("copied", 100, SUM, 40, RCK), size_original=100)
    assert (file.size, file.size_original) == (100, None)
    file = stored(Copied("copied", 90, SUM, 40, RCK), size_original=80)
    assert (file.size, file.size_original) == (90, 80)


def test_a_file_that_was_emptied_is_in_no_bundle():
    file = stored(Copied("truncated", 0, EMPTY_SHA1), bundle=4)
    assert (file.size, file.size_original, file.repo_size, file.bundle_id, file.checksum) == (0, 100, 0, 0, EMPTY_SHA1)


@pytest.mark.parametrize(
    ("bundle", "result", "text"),
    [
        (0, Copied("copied", 100, SUM, 40), f"backup file {NAME} (100B, 50.00%) checksum {SUM.hex()}"),
        (
            3,
            Copied("copied", 130, SUM, 40, None, 7),
            f"backup file {NAME} (bundle 3/7, 100->130B, 50.00%) checksum {SUM.hex()}",
        ),
        (3, Copied("match"), f"match file from prior backup {NAME} (100B, 50.00%)"),
        (0, Copied("skip"), f"skip file removed by database {NAME} (100B, 50.00%)"),
        (0, Copied("resumed"), f"checksum resumed file {NAME} (100B, 50.00%)"),
        (
            3,
            Copied("truncated", 0, EMPTY_SHA1),
            f"store truncated file {NAME} (100B, 50.00%) checksum {EMPTY_SHA1.hex()}",
        ),
    ],
)
def test_the_line_of_a_file_in_the_log(bundle, result, text):
    assert describe(CopyFile(NAME, 100), bundle, result, 50, 100) == text
    assert "100.00%" in describe(CopyFile(NAME, 0), bundle, result, 0, 0)


def test_a_complete_manifest():
    made = Made("/data").files({"pg_data/a": b"1", "pg_data/empty": b""})
    check_complete(made.manifest)


@pytest.mark.parametrize(
    ("size", "attribute", "value"), [(1, "checksum", None), (0, "checksum", SUM), (1, "repo_size", 0)]
)
def test_what_a_complete_manifest_must_not_have(size, attribute, value):
    manifest = Made("/data").files({"pg_data/a": b"x" * size}).manifest
    setattr(manifest.files[0], attribute, value)
    with pytest.raises(FormatError, match="pg_data/a"):
        check_complete(manifest)
