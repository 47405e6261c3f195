# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged pages of a live cluster are found by a backup, named to the page, and remembered by what rests on it."""

from __future__ import annotations

import json
from typing import Any

from ansible_collections.holdfast.postgres.tests.support import damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast


def prepared(workshop: Workshop, checksums: bool = True, **options: Any) -> tuple[Cluster, Holdfast]:
    cluster = workshop.cluster(checksums=checksums, wal_segment_mb=1)
    holdfast = workshop.holdfast(cluster, **options)
    workshop.archive(cluster, holdfast)
    cluster.start()
    holdfast.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 20000) id")
    return cluster, holdfast


def test_damaged_pages_are_warned_of_listed_and_inherited(workshop: Workshop) -> None:
    cluster, holdfast = prepared(workshop)
    name = str(cluster.value("select pg_relation_filepath('thing')"))
    path = damage.relation_path(cluster, "thing")
    for page in (1, 2, 3, 7):
        damage.flip_page(path, page)
    result = holdfast.run("backup", type="full")
    assert f"pg_data/{name} at pages 1-3, 7" in result.error
    label = holdfast.labels()[-1]
    manifest = (workshop.repository / "backup" / "main" / label / "backup.manifest").read_text()
    (line,) = [line for line in manifest.splitlines() if line.startswith(f"pg_data/{name}=")]
    entry = json.loads(line.partition("=")[2])
    assert (entry["checksum-page"], entry["checksum-page-error"]) == (False, [[1, 3], 7])
    assert holdfast.info()[0]["backup"][-1]["error"] is True
    assert f"pg_data/{name}" in str(holdfast.info(set=label)[0]["backup"][0]["error-list"])
    incr = holdfast.run("backup", type="incr")
    assert "at pages" not in incr.error, "an unchanged file is not checked again"
    assert holdfast.info()[0]["backup"][-1]["error"] is True, "but what was found stays known"


def test_a_file_that_is_no_whole_number_of_pages_is_misaligned(workshop: Workshop) -> None:
    cluster, holdfast = prepared(workshop)
    stray = cluster.data / "base" / "1" / "999999"
    stray.write_bytes(bytes(8192) + b"x" * 600)
    result = holdfast.run("backup", type="full")
    assert "page misalignment in file pg_data/base/1/999999" in result.error


def test_without_checksums_nothing_is_checked_and_asking_for_it_warns(workshop: Workshop) -> None:
    cluster, holdfast = prepared(workshop, checksums=False)
    damage.flip_page(damage.relation_path(cluster, "thing"), 1)
    result = holdfast.run("backup", type="full", checksum_page=True)
    assert "checksums are not enabled" in result.error
    assert "at pages" not in result.error
    assert holdfast.info()[0]["backup"][-1]["error"] is False
