# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block incremental files: which they are, what is stored of them, and that every backup of a chain comes back."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from pathlib import Path as HostPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_block import (
    Tables,
    choose_block_size,
    choose_checksum_size,
    keeps_map,
    parse_tables,
    plan_block,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_plan import merge_prior
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    CryptoError,
    FileReadError,
    FormatError,
    OptionInvalidValueError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import File

from .builders import Made
from .trip import LABEL, LATER, STAMP, Trip, tree

KIB, MIB, DAY = 1 << 10, 1 << 20, 86400
BLOCK = 8192
NAME = "pg_data/base/5/1"
THIRD = LATER.replace("0201", "0202")


# -- which files, and in blocks of which size


@pytest.mark.parametrize(
    ("size", "block"),
    [
        (0, 0), (16 * KIB - 1, 0), (16 * KIB, 8), (11 * MIB - 1, 8), (11 * MIB, 16), (43 * MIB, 24), (96 * MIB, 32),
        (146 * MIB, 40), (228 * MIB, 48), (329 * MIB, 56), (448 * MIB, 64), (585 * MIB, 72), (740 * MIB, 80),
        (914 * MIB - 1, 80), (914 * MIB, 88), (1 << 40, 88),
    ],
)  # fmt: skip
def test_the_block_size_depends_on_the_size_of_the_file(size, block):
    assert choose_block_size(size, 0, Tables()) == block * KIB
    assert choose_block_size(size, -5, Tables()) == block * KIB


@pytest.mark.parametrize(
    ("age", "block"),
    [(7 * DAY - 1, 8), (7 * DAY, 16), (14 * DAY - 1, 16), (14 * DAY, 32), (28 * DAY - 1, 32), (28 * DAY, 0)],
)
def test_blocks_of_files_that_have_not_changed_for_long_are_larger(age, block):
    assert choose_block_size(16 * KIB, age, Tables()) == block * KIB


@pytest.mark.parametrize(
    ("block", "size"),
    [
        (8 * KIB, 6),
        (32 * KIB - 1, 6),
        (32 * KIB, 7),
        (128 * KIB, 8),
        (512 * KIB, 9),
        (MIB, 10),
        (2 * MIB, 11),
        (4 * MIB, 12),
    ],
)
def test_larger_blocks_have_longer_checksums(block, size):
    assert choose_checksum_size(block, Tables()) == size


def test_the_tables_can_be_replaced():
    tables = parse_tables({"1MiB": "64KiB", "8KiB": "8KiB"}, {"3": "2"}, {"8KiB": "16"})
    assert choose_block_size(MIB, 0, tables) == 64 * KIB
    assert choose_block_size(MIB, 3 * DAY, tables) == 128 * KIB
    assert choose_checksum_size(8 * KIB, tables) == 16
    assert parse_tables({}, {}, {}) == Tables()
    with pytest.raises(OptionInvalidValueError, match="repo-block-size-map"):
        parse_tables({"x": "8KiB"}, {}, {})


BEFORE = File(NAME, 40 * KIB, STAMP, block_size=16 * KIB, block_checksum_size=7, block_map_size=50)


@pytest.mark.parametrize(
    ("size", "before", "expected", "keeps"),
    [
        (40 * KIB, None, (8 * KIB, 6), False),
        (40 * KIB, BEFORE, (16 * KIB, 7), True),
        (100 * MIB, BEFORE, (16 * KIB, 7), True),
        (16 * KIB, BEFORE, (16 * KIB, 7), True),  # the last block that is whole
        (16 * KIB - 1, BEFORE, (0, 0), False),
        (40 * KIB, File(NAME, 40 * KIB, STAMP), (0, 0), False),  # whole, and whole it stays
        (41 * KIB, File(NAME, 40 * KIB, STAMP), (8 * KIB, 6), False),
        (40 * KIB, File(NAME, 40 * KIB, STAMP, block_size=16 * KIB), (0, 0), False),
        (0, BEFORE, (0, 0), False),
    ],
)
def test_a_file_keeps_its_blocks_within_a_set(size, before, expected, keeps):
    manifest = Made("/data").manifest
    manifest.block_incr, manifest.timestamp_start = True, STAMP
    file = File(NAME, size, STAMP)
    assert plan_block(manifest, file, before, Tables()) == expected
    assert keeps_map(file, before) == keeps
    manifest.block_incr = False
    assert plan_block(manifest, file, before, Tables()) == (0, 0)


# -- what is stored


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


def changed(content, *blocks, seed=7):
    """The same with other bytes in these blocks."""
    result = bytearray(content)
    for block in blocks:
        length = len(result[block * BLOCK : (block + 1) * BLOCK])
        result[block * BLOCK : block * BLOCK + length] = noise(length, seed + block)
    return bytes(result)


@pytest.fixture(params=["bundle", "pgbi"])
def content(request):
    """Of a file that fits into a bundle, and of one that does not."""
    return noise((20 if request.param == "bundle" else 45) * BLOCK + 100)


@pytest.fixture(params=[("none", None), ("zst", "of the backup"), ("gz", None)], ids=["none", "zst+cipher", "gz"])
def trip(request, tmp_path, content):
    trip = Trip(tmp_path, *request.param, bundle=True, raw=True, block=True)
    trip.write("base/5/1", content, STAMP)
    return trip


@pytest.fixture
def full(trip):
    return trip.back_up()


def record(manifest):
    return manifest.known_file(NAME)


def stored_files(trip, label):
    root = trip.root / label
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def comes_back(trip, manifest, there, content, **options):
    kept = trip.restore(manifest, there, **options)
    assert (there / "base/5/1").read_bytes() == content
    assert int((there / "base/5/1").stat().st_mtime) == record(manifest).timestamp
    return NAME in kept


def test_a_full_backup_stores_all_blocks_and_a_map(trip, full, content, tmp_path):
    file = record(full)
    assert (file.block_size, file.block_checksum_size) == (BLOCK, 6)
    assert file.block_map_size > 6 * (len(content) // BLOCK + 1)
    assert file.checksum == hashlib.sha1(content).digest()
    assert (f"{NAME}.pgbi" in stored_files(trip, LABEL)) == (len(content) > 300 * KIB) == (file.bundle_id == 0)
    comes_back(trip, full, tmp_path / "there", content)


def test_only_changed_blocks_are_stored_again(trip, full, content, tmp_path):
    new = changed(content, 3, 4, 11)
    trip.write("base/5/1", new, STAMP + 10)
    incr = trip.back_up(full)
    file = record(incr)
    assert file.reference is None and file.block_map_size
    assert 3 * BLOCK <= file.repo_size < 4 * BLOCK + 1000
    comes_back(trip, incr, tmp_path / "there", new)
    comes_back(trip, full, tmp_path / "other", content)


@pytest.mark.parametrize("delta", [False, True])
def test_a_file_with_a_new_time_only_matches(trip, full, content, delta, tmp_path):
    trip.write("base/5/1", content, STAMP + 10)
    incr = trip.back_up(full, delta)
    file = record(incr)
    assert (file.reference, file.timestamp, file.block_map_size) == (LABEL, STAMP + 10, record(full).block_map_size)
    assert not any(name.startswith(NAME) for name in stored_files(trip, LATER))
    comes_back(trip, incr, tmp_path / "there", content)


@pytest.mark.parametrize("blocks", [1, 3])
def test_a_file_that_only_became_shorter_has_a_new_map_and_no_blocks(trip, full, content, blocks, tmp_path):
    new = content[: blocks * BLOCK]
    trip.write("base/5/1", new, STAMP + 10)
    incr = trip.back_up(full)
    file = record(incr)
    assert file.reference is None and file.repo_size == file.block_map_size > 0
    comes_back(trip, incr, tmp_path / "there", new)


@pytest.mark.parametrize("size", [0, 10, BLOCK - 1])
def test_a_file_that_became_shorter_than_a_block_is_stored_whole(trip, full, content, size, tmp_path):
    new = content[:size]
    trip.write("base/5/1", new, STAMP + 10)
    incr = trip.back_up(full)
    assert (record(incr).block_size, record(incr).block_map_size) == (0, 0)
    comes_back(trip, incr, tmp_path / "there", new)


@pytest.mark.parametrize("more", [1, BLOCK, 40 * BLOCK])
def test_a_file_that_grew(trip, full, content, more, tmp_path):
    new = content + noise(more, 3)
    trip.write("base/5/1", new, STAMP + 10)
    incr = trip.back_up(full)
    assert record(incr).repo_size < more + 2 * BLOCK + 6 * 90 + 100 + (more // (4 * BLOCK) + 2) * 100
    comes_back(trip, incr, tmp_path / "there", new)


def test_a_file_that_is_back_at_its_old_size_when_it_is_read_still_has_a_record_of_its_own(
    trip, full, content, tmp_path
):
    """It had grown when it was listed, so nothing of the prior record was taken over; then the server cut it again."""
    path = trip.write("base/5/1", content + noise(BLOCK, 3), STAMP + 10)
    manifest = trip.listed(LATER)
    manifest.prior, manifest.reference = LABEL, [LABEL, LATER]
    os.truncate(path, len(content))
    incr = trip.finish(manifest, merge_prior(manifest, full, False), full)
    file = record(incr)
    assert (file.size, file.size_original, file.reference) == (len(content), len(content) + BLOCK, None)
    assert file.repo_size == file.block_map_size > 0
    comes_back(trip, incr, tmp_path / "there", content)


@pytest.mark.parametrize("size", [0, 5, BLOCK, 3 * BLOCK, 3 * BLOCK + 5])
def test_a_file_that_becomes_shorter_after_it_was_listed_is_no_match(trip, full, content, size, tmp_path):
    path = trip.write("base/5/1", content, STAMP + 10)
    manifest = trip.listed(LATER)
    manifest.prior, manifest.reference = LABEL, [LABEL, LATER]
    needs = merge_prior(manifest, full, False)
    os.truncate(path, size)
    incr = trip.finish(manifest, needs, full)
    file = record(incr)
    assert (file.size, file.size_original, file.reference) == (size, len(content), None)
    comes_back(trip, incr, tmp_path / "there", content[:size])


def test_blocks_switched_off_and_on_again_in_a_set(trip, full, content, tmp_path):
    second, third = changed(content, 1), changed(content, 2)
    trip.block = False
    trip.write("base/5/1", second, STAMP + 10)
    incr = trip.back_up(full)
    assert record(incr).block_map_size == 0
    trip.block = True
    trip.write("base/5/1", third + b"x", STAMP + 20)
    last = trip.back_up(incr, label=THIRD)
    assert record(last).block_map_size > 0 and record(last).repo_size > len(third)
    for number, (manifest, expected) in enumerate([(full, content), (incr, second), (last, third + b"x")]):
        comes_back(trip, manifest, tmp_path / str(number), expected)


# -- delta restores


def test_a_delta_restore_writes_only_the_blocks_that_differ(trip, full, content, tmp_path):
    there = tmp_path / "there"
    comes_back(trip, full, there, content)
    path = there / "base/5/1"
    inode = path.stat().st_ino
    for damaged in (
        changed(content, 5),
        content[: 4 * BLOCK + 5],
        content + b"tail",
        b"",
        changed(content, *range(20)),
    ):
        path.write_bytes(damaged)
        comes_back(trip, full, there, content, delta=True)
        assert path.stat().st_ino == inode
    assert comes_back(trip, full, there, content, delta=True)


def test_a_delta_restore_does_not_write_into_what_has_another_name(trip, full, content, tmp_path):
    there = tmp_path / "there"
    comes_back(trip, full, there, content)
    other = tmp_path / "other"
    path = there / "base/5/1"
    path.write_bytes(changed(content, 5))
    os.link(path, other)
    comes_back(trip, full, there, content, delta=True)
    assert other.read_bytes() == changed(content, 5)
    path.write_bytes(changed(content, 6))
    path.chmod(0o400)
    comes_back(trip, full, there, content, delta=True)


def test_from_one_backup_to_another_and_back(trip, full, content, tmp_path):
    new = changed(content, 0, 7, 19)
    trip.write("base/5/1", new, STAMP + 10)
    incr = trip.back_up(full)
    there = tmp_path / "there"
    comes_back(trip, full, there, content)
    comes_back(trip, incr, there, new, delta=True)
    comes_back(trip, full, there, content, delta=True)


def test_the_checksum_of_the_whole_file_decides(tmp_path):
    trip = Trip(tmp_path, bundle=True, raw=True, block=True)
    content = noise(10 * BLOCK)
    trip.write("base/5/1", content, STAMP)
    full = trip.back_up()
    record(full).checksum = hashlib.sha1(b"something else").digest()
    with pytest.raises(ChecksumError, match="base/5/1"):
        trip.restore(full, tmp_path / "there")


# -- damage


def region(trip, manifest):
    file = record(manifest)
    name = f"bundle/{file.bundle_id}" if file.bundle_id else f"{file.name}.pgbi"
    return trip.root / manifest.label / name, file.bundle_offset, file.repo_size, file.block_map_size


@pytest.mark.parametrize("where", ["map", "block"])
def test_damage_in_the_repository_is_found(trip, full, content, where, tmp_path):
    path, offset, size, map_size = region(trip, full)
    data = bytearray(path.read_bytes())
    data[offset + size - map_size // 2 if where == "map" else offset + BLOCK // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((ChecksumError, FormatError, CryptoError), match="base/5/1"):
        trip.restore(full, tmp_path / "there")


@pytest.mark.parametrize("damage", ["cut", "missing", "emptied"])
def test_an_incremental_backup_does_without_no_prior_map(trip, full, content, damage):
    path, offset, size, map_size = region(trip, full)
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: offset + size - map_size + (5 if damage == "cut" else 0)])
    trip.write("base/5/1", changed(content, 3), STAMP + 10)
    with pytest.raises(FileReadError) as caught:
        trip.back_up(full)
    text = caught.value.message
    assert NAME in text and path.name in text and str(offset + size - map_size) in text and str(map_size) in text
    assert caught.value.hint


# -- any history


@st.composite
def histories(draw):
    """Contents of one file over time: blocks of one letter, the last one shorter."""
    state = []
    for _backup in range(draw(st.integers(2, 4))):
        blocks = draw(st.text("ABC", min_size=0, max_size=14))
        state.append(b"".join(letter.encode() * BLOCK for letter in blocks) + b"x" * draw(st.integers(0, 300)))
    return state


@settings(max_examples=25, deadline=None)
@given(histories(), st.sampled_from(["none", "lz4"]), st.booleans(), st.booleans(), st.booleans())
def test_every_state_of_a_history_comes_back(states, compress_type, encrypted, delta, in_place):
    path = HostPath(tempfile.mkdtemp())
    try:
        trip = Trip(path, compress_type, "pass" if encrypted else None, bundle=True, raw=True, block=True)
        manifests, trees = [], []
        for number, state in enumerate(states):
            trip.write("base/5/1", state, STAMP + number)
            trip.write("base/5/2", b"always the same" * 3000, STAMP)
            label = f"{LABEL}_202602{number + 1:02}-000000I"
            manifests.append(trip.back_up(manifests[-1] if manifests else None, delta, label))
            trees.append(tree(trip.data))
        order = list(range(len(states)))
        for turn, number in enumerate([*order, *reversed(order)]):
            there = path / ("there" if in_place else f"there{turn}")
            trip.restore(manifests[number], there, delta=in_place and turn > 0)
            assert tree(there) == trees[number]
    finally:
        shutil.rmtree(path)
