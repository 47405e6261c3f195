# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify is going to look at: every stored byte once, and each piece of it as part of one job."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import verify_plan
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify_check import ANY
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify_plan import (
    JOB_REGIONS,
    JOB_SIZE,
    LARGE,
    WAL_FILES,
    Planner,
    compress_type_of,
    key_of,
    missing_spans,
    plan_wal,
    set_of,
    source_of,
    spans_of,
    wal_jobs,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.layout import StoredWal
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.lsn import next_segment, segment_name

from .builders import LABEL, Made

LATER = f"{LABEL}_20260201-110000I"
SIZE = 16 << 20
RCK = b"\1" * 20


def manifest_of(*files, kind="zst", bundle=False, label=LABEL, **values):
    """files: (name, size, values of the File)."""
    made = Made("/srv/pg", label, "full" if label == LABEL else "incr")
    made.files({f"pg_data/{name}": b"x" for name, _size, _values in files})
    for name, size, more in files:
        file = made.manifest.known_file(f"pg_data/{name}")
        file.size, file.repo_size, file.rck = size, size, RCK
        for attribute, value in more.items():
            setattr(file, attribute, value)
    made.manifest.options = {"option-compress-type": kind}
    made.manifest.reference = sorted({LABEL, label})
    return dataclasses.replace(made.manifest, bundle=bundle, **values)


def containers(jobs):
    return [container for job in jobs for container in job.containers]


# -- files


def test_the_regions_of_a_bundle_are_one_container_in_the_order_in_which_they_lie():
    places = [{"bundle_id": 1 + number % 2, "bundle_offset": 1000 - number} for number in range(9)]
    files = [(f"base/1/{number}", 10, place) for number, place in enumerate(places)]
    found = containers(Planner("main", False).jobs(manifest_of(*files, bundle=True, bundle_raw=True)))
    assert sorted(item.source for item in found) == [f"backup/main/{LABEL}/bundle/{number}" for number in (1, 2)]
    for container in found:
        offsets = [region.offset for region in container.regions]
        assert offsets == sorted(offsets) and not container.whole and container.form.raw


def test_what_was_looked_at_for_an_older_backup_is_left_out():
    planner = Planner("main", False)
    first = manifest_of(("a", 5, {}), ("b", 5, {}))
    assert len(containers(planner.jobs(first))) == 2
    again = manifest_of(("a", 5, {"reference": LABEL}), ("b", 6, {}), label=LATER)
    assert [item.source for item in containers(planner.jobs(again))] == [f"backup/main/{LATER}/pg_data/b.zst"]
    other = manifest_of(("a", 5, {"reference": LABEL, "rck": b"\2" * 20}), label=LATER)
    assert [item.source for item in containers(planner.jobs(other))] == [f"backup/main/{LABEL}/pg_data/a.zst"]


def test_keys_are_forgotten_with_the_set_they_belong_to():
    planner = Planner("main", False)
    for label in (LABEL, "20260301-110000F", LABEL):
        assert len(containers(planner.jobs(manifest_of(("a", 5, {}), label=label)))) == 1
    assert len(planner._known) == 1


@pytest.mark.parametrize(
    ("size", "values", "bundle", "looked_at"),
    [
        (0, {}, True, False),
        (0, {}, False, True),
        (0, {"reference": LABEL}, False, False),
        (1, {"reference": LABEL}, False, True),
    ],
)
def test_an_empty_file_needs_nothing_stored(size, values, bundle, looked_at):
    manifest = manifest_of(("a", size, values), bundle=bundle, label=LATER)
    assert bool(containers(Planner("main", False).jobs(manifest))) == looked_at


@pytest.mark.parametrize(
    ("kind", "cipher_pass", "rck", "content", "expected"),
    [
        ("zst", None, RCK, False, (RCK, None)),
        ("zst", None, RCK, True, (RCK, "checksum")),
        ("zst", None, None, False, (None, "checksum")),
        ("none", None, None, False, ("checksum", None)),
        ("none", None, None, True, ("checksum", None)),
        ("none", "secret", RCK, False, (RCK, None)),
        ("none", "secret", RCK, True, (RCK, "checksum")),
    ],
)
def test_what_is_compared(kind, cipher_pass, rck, content, expected):
    manifest = manifest_of(("a", 5, {"rck": rck}), kind=kind, cipher_pass=cipher_pass)
    file = manifest.known_file("pg_data/a")
    ((region,),) = [item.regions for item in containers(Planner("main", content).jobs(manifest))]
    wanted = tuple(file.checksum if value == "checksum" else value for value in expected)
    assert (region.stored, region.content) == wanted
    assert "secret" not in str(next(Planner("main", content).jobs(manifest)))


def test_a_file_without_any_checksum_is_unknown():
    for values in ({"rck": None, "checksum": None}, {"rck": None, "block_map_size": 9, "block_size": 8192}):
        manifest = manifest_of(("a", 5, values))
        planner = Planner("main", True)
        assert containers(planner.jobs(manifest)) == []
        assert [file.name for file in planner.unknown.values()] == ["pg_data/a"]


def test_where_files_are():
    block = {"block_map_size": 9, "block_size": 8192}
    manifest = manifest_of(
        ("a", 5, {}), ("b", 5, block), ("c", 5, {"bundle_id": 3}), ("d", 5, {**block, "bundle_id": 3}),
        ("e", 5, {"reference": LABEL}), label=LATER, kind="gz",
    )  # fmt: skip
    assert [source_of("main", manifest, file) for file in manifest.files] == [
        f"backup/main/{LATER}/pg_data/a.gz",
        f"backup/main/{LATER}/pg_data/b.pgbi",
        f"backup/main/{LATER}/bundle/3",
        f"backup/main/{LATER}/bundle/3",
        f"backup/main/{LABEL}/pg_data/e.gz",
    ]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"option-compress-type": "lz4", "option-compress": True}, "lz4"),
        ({"option-compress": True}, "gz"),
        ({"option-compress": False}, "none"),
        ({}, "none"),
    ],
)
def test_compression_of_old_manifests(options, kind):
    manifest = manifest_of(("a", 5, {}))
    manifest.options = options
    assert compress_type_of(manifest) == kind


@given(st.lists(st.integers(1, 3 * LARGE), min_size=1, max_size=60))
def test_jobs_share_the_work_evenly_and_begin_with_what_is_large(sizes):
    manifest = manifest_of(*((f"{number:03}", size, {}) for number, size in enumerate(sizes)))
    jobs = list(Planner("main", False).jobs(manifest))
    assert sorted(region.name for item in containers(jobs) for region in item.regions) == [
        file.name for file in manifest.files
    ]
    for job in jobs:
        total = sum(region.size for container in job.containers for region in container.regions)
        assert total <= JOB_SIZE or len(job.containers) == 1
    order = [region.size for container in containers(jobs) for region in container.regions]
    large = sorted((size for size in sizes if size >= LARGE), reverse=True)
    assert order[: len(large)] == large


def test_a_job_has_a_bounded_number_of_regions(monkeypatch):
    monkeypatch.setattr(verify_plan, "JOB_REGIONS", 3)
    manifest = manifest_of(*((f"{number:03}", 1, {}) for number in range(10)))
    assert [len(job.containers) for job in Planner("main", False).jobs(manifest)] == [3, 3, 3, 1]
    assert JOB_REGIONS > 3


def test_the_key_knows_place_and_expectation():
    base = manifest_of(("a", 5, {}))
    file = base.known_file("pg_data/a")
    keys = {key_of(base, file)}
    for attribute, value in (("rck", b"\2" * 20), ("checksum", b"\3" * 20), ("repo_size", 6), ("bundle_id", 1),
                             ("bundle_offset", 7), ("reference", LATER), ("name", "pg_data/b")):  # fmt: skip
        other = manifest_of(("a", 5, {}))
        changed = other.known_file("pg_data/a")
        setattr(changed, attribute, value)
        keys.add(key_of(other, changed))
    assert len(keys) == 8


def test_sets():
    assert set_of(LATER) == set_of(LABEL) == LABEL


# -- WAL


def stored(number, ext="", sha1="0" * 40, timeline=1, partial=False):
    name = segment_name(timeline, number * SIZE, SIZE)
    return StoredWal(name + (".partial" if partial else ""), sha1, ext, partial)


def test_duplicates_are_listed_and_left_out():
    plan = plan_wal([stored(3), stored(1), stored(3, ".gz"), stored(2), stored(3, sha1="1" * 40)], None)
    assert plan.listed == 5
    assert [wal.name for wal in plan.segments] == [stored(1).name, stored(2).name]
    assert plan.duplicates == (stored(3).name,)


def test_limits_are_inclusive_and_partial_segments_do_not_count():
    listed = [*map(stored, range(1, 9)), stored(4, partial=True)]
    plan = plan_wal(listed, (stored(3).name, stored(5).name))
    assert [wal.name for wal in plan.segments] == [stored(number).name for number in (3, 4, 5)] and plan.listed == 3


def test_every_segment_is_in_one_job_under_its_position():
    segments = [stored(number, ".zst") for number in range(2 * WAL_FILES + 1)]
    jobs = list(wal_jobs("main", "15-1", segments, ANY, "secret"))
    assert [len(job.containers) for job in jobs] == [WAL_FILES, WAL_FILES, 1]
    regions = [container.regions[0] for container in containers(jobs)]
    assert [region.key for region in regions] == list(range(len(segments)))
    assert [region.name for region in regions] == [wal.name for wal in segments]
    assert {container.form.compress_type for container in containers(jobs)} == {"zst"}
    assert all(job.owner == "15-1" and "secret" not in str(job) for job in jobs)


positions = st.sets(st.integers(0, 600), max_size=40)
timelines = st.integers(1, 3)


@given(st.dictionaries(timelines, positions))
def test_spans_hold_exactly_the_segments_and_no_two_of_them_touch(present):
    names = sorted(segment_name(line, number * SIZE, SIZE) for line, numbers in present.items() for number in numbers)
    spans = spans_of(names, SIZE)
    found = []
    for first, last in spans:
        found.append(first)
        while found[-1] != last:
            found.append(next_segment(found[-1], SIZE))
    assert found == names
    assert not {next_segment(last, SIZE) for _first, last in spans} & {first for first, _last in spans}


@given(positions, st.integers(0, 600), st.integers(0, 600))
def test_missing_spans_and_what_is_present_make_up_the_need(present, one, other):
    first, last = sorted((one, other))
    names = {segment_name(1, number * SIZE, SIZE) for number in present}
    need = segment_name(1, first * SIZE, SIZE), segment_name(1, last * SIZE, SIZE)
    missing = set()
    for start, stop in missing_spans(need, names, SIZE):
        missing.add(start)
        while start != stop:
            start = next_segment(start, SIZE)
            missing.add(start)
    wanted = {segment_name(1, number * SIZE, SIZE) for number in range(first, last + 1)}
    assert missing == wanted - names


def test_names_that_no_segment_can_have_are_no_part_of_a_span():
    odd = "0000000100000000FFFFFFFF"
    assert spans_of([stored(1).name, odd], SIZE) == [(stored(1).name,) * 2, (odd, odd)]
    need = (stored(1).name, "000000010000000100000000")
    assert missing_spans(need, {stored(1).name, odd}, SIZE) == [(stored(2).name, need[1])]


def test_a_need_over_two_timelines():
    need = (stored(4).name, stored(5, timeline=2).name)
    assert missing_spans(need, set(), SIZE) == [(name, name) for name in need]
    assert missing_spans(need, set(need), SIZE) == []
