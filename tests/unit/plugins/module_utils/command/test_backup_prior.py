# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A packed prior backup answers as its manifest does, and takes the memory that it shall take."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_prior import PackedPrior
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    File,
    Manifest,
    sort_files,
)
from ansible_collections.holdfast.postgres.tests.unit.plugins.module_utils.command import memory_of_a_million

LABELS = ["20260131-110000F", "20260131-110000F_20260201-110000I"]
KEPT = [slot for slot in File.__slots__ if slot not in ("mode", "user", "group")]
sums = st.none() | st.binary(min_size=20, max_size=20).filter(any)
sizes = st.integers(0, 1 << 40)


@st.composite
def files(draw: st.DrawFn) -> File:
    name = draw(st.text(st.characters(codec="utf-8") | st.sampled_from("\udc80\udcffé😀"), min_size=1, max_size=8))
    valid = draw(st.sampled_from([None, True, False]))
    return File(
        f"pg_data/{name}", draw(sizes), draw(sizes), checksum=draw(sums), rck=draw(sums), repo_size=draw(sizes),
        reference=draw(st.sampled_from([None, LABELS[0]])), bundle_id=draw(st.integers(0, 9)),
        bundle_offset=draw(sizes),
        checksum_page=valid, checksum_page_error=(1, (3, 4)) if valid is False else None,
        size_original=draw(st.none() | sizes), block_size=draw(st.sampled_from([0, 8192])),
        block_map_size=draw(st.integers(0, 99)), block_checksum_size=draw(st.integers(6, 9)),
    )  # fmt: skip


@given(st.lists(files(), unique_by=lambda file: file.name), st.randoms())
def test_every_file_is_found_in_any_order_and_no_other(made: list[File], random: st.RandomNumberGenerator) -> None:
    sort_files(made)
    manifest = Manifest(LABELS[1], "incr", PgHistory(1, 1, "15"), reference=list(LABELS), files=copy.deepcopy(made))
    prior = PackedPrior(manifest)
    asked = [file.name for file in made]
    random.shuffle(asked)
    for name in [*asked, *(file.name for file in made)]:
        expected = next(file for file in made if file.name == name)
        found = prior.file(name)
        assert found is not None
        assert {slot: getattr(found, slot) for slot in KEPT} == {slot: getattr(expected, slot) for slot in KEPT}
        assert prior.file(name + "\0") is None
    assert prior.file("") is None
    prior.begin_last_pass()
    assert [prior.file(file.name) is not None for file in made] == [True] * len(made)
    assert (prior.label, prior.reference) == (LABELS[1], LABELS)


def test_what_the_last_pass_has_passed_is_let_go_of() -> None:
    made = [File(f"pg_data/{number:06}", number, 1, checksum=b"x" * 20) for number in range(20000)]
    prior = PackedPrior(Manifest(LABELS[0], "full", PgHistory(1, 1, "15"), reference=LABELS[:1], files=list(made)))
    prior.begin_last_pass()
    assert [found.size for file in made if (found := prior.file(file.name))] == list(range(20000))
    with pytest.raises(ValueError):
        prior.file("pg_data/000000")


@pytest.mark.slow
def test_an_incremental_of_a_million_files_stays_within_700_mb() -> None:
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    argv = [sys.executable, "-m", memory_of_a_million.__name__]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, check=True, env=environ)
    assert int(done.stdout) <= 700 << 20
