# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import LinkDestinationError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.links import (
    LinkTarget,
    absolute_destination,
    check_link_targets,
)


@pytest.mark.parametrize(
    ("link", "text", "destination"),
    [
        ("/pg/wal", "/mnt/wal", "/mnt/wal"), ("/pg/wal", "/mnt/wal/", "/mnt/wal"), ("/pg/wal", "../wal", "/wal"),
        ("/pg/a/b", "c", "/pg/a/c"), ("/pg/a/b", "../../../x", "/x"), ("/pg/a/b", "./../x/./y", "/pg/x/y"),
        ("/pg/wal", "//mnt/wal", "/mnt/wal"), ("/pg/wal", "///mnt//wal", "/mnt/wal"), ("/pg/wal", "/", "/"),
    ],
)  # fmt: skip
def test_a_destination_is_told_by_text_alone(link, text, destination):
    assert absolute_destination(link, text) == destination


def accepted(*targets, pg_path="/pg/data"):
    """Whether the links are, in whatever order they are given: the answer must not depend on it."""
    named = [LinkTarget(f"pg_data/{number}", path, kind == "file") for number, (path, kind) in enumerate(targets)]
    answers = set()
    for order in itertools.permutations(named):
        try:
            check_link_targets(pg_path, order)
            answers.add(True)
        except LinkDestinationError as error:
            assert any(target.name in error.message and target.destination in error.message for target in named)
            answers.add(False)
    assert len(answers) == 1
    return answers.pop()


@pytest.mark.parametrize("path", ["/pg/data", "/pg/data/x", "/pg/data/x/y"])
@pytest.mark.parametrize("kind", ["file", "directory"])
@pytest.mark.parametrize("pg_path", ["/pg/data", "/pg/data/"])
def test_no_link_may_lead_into_the_data_directory(path, kind, pg_path):
    assert not accepted((path, kind), pg_path=pg_path)


@pytest.mark.parametrize("path", ["/pg", "/pg/data2", "/pg/dat", "/mnt/pg/data"])
def test_beside_the_data_directory_is_fine(path):
    assert accepted((path, "directory"))


def test_directories_must_not_overlap():
    assert not accepted(("/m/a", "directory"), ("/m/a", "directory"))
    assert not accepted(("/m/a", "directory"), ("/m/a/b/c", "directory"))
    assert not accepted(("/", "directory"), ("/m/a", "directory"))
    assert accepted(("/m/a", "directory"), ("/m/ab", "directory"), ("/m/b", "directory"))


def test_files_may_share_a_directory_but_not_be_one():
    assert accepted(("/m/a", "file"), ("/m/b", "file"))
    assert not accepted(("/m/a", "file"), ("/m/a", "file"))


def test_a_linked_file_must_not_lie_in_a_linked_directory():
    assert not accepted(("/m/a", "file"), ("/m", "directory"))
    assert not accepted(("/m/a/b", "file"), ("/m", "directory"))
    assert accepted(("/m/a", "file"), ("/m/b", "directory"))
