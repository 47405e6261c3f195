# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Chains that two programs build in turn: each backup rests on one that the other made, and both restore every one."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import checks
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop

from .test_both_ways import change, make_pair, restored, verified

FAST = {("zst", True, True), ("none", False, False)}
MATRIX = [
    pytest.param(*form, id=f"{form[0]}-{'bundle' if form[1] else 'plain'}-{'aes' if form[2] else 'clear'}",
                 marks=() if form in FAST else pytest.mark.slow)
    for form in itertools.product(("none", "zst", "gz", "lz4"), (False, True), (False, True))
]  # fmt: skip


@pytest.mark.parametrize("first", ["ours", "theirs"])
@pytest.mark.parametrize(("kind", "bundle", "encrypted"), MATRIX)
def test_diff_and_incr_on_top_of_each_other(
    workshop: Workshop, kind: str, bundle: bool, encrypted: bool, first: str
) -> None:
    pair = make_pair(workshop, first, encrypted)
    programs = [pair.holdfast, pair.oracle] if first == "ours" else [pair.oracle, pair.holdfast]
    options: dict[str, Any] = {"compress_type": kind, "repo1_bundle": bundle}
    labels, contents = [], []
    # full, incr on it, incr on incr, diff on the full, incr on the diff; the maker changes each time
    for number, type_ in enumerate(("full", "incr", "incr", "diff", "incr")):
        change(pair.cluster)
        pair.cluster.sql(f"create table of_{number} as select generate_series(1, {number + 5}) id")
        contents.append(checks.contents(pair.cluster))
        labels.append(programs[number % 2].backup(type_, **options))
        verified(pair.oracle)
    full = labels[0]
    assert [label[-1] for label in labels] == ["F", "I", "I", "D", "I"]
    for program in programs:
        listed = {entry["label"]: entry for entry in program.info()[0]["backup"]}
        assert [listed[label]["prior"] for label in labels] == [None, full, labels[1], full, labels[3]]
        assert listed[labels[2]]["reference"] == labels[:2]
    for number in (2, 4):
        for program in programs:
            restored(pair, program, labels[number], contents[number])
