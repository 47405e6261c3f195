# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asynchronous archiving under real load: nothing missing, nothing wrong, and no Python where none is needed."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast


def archived(program: Holdfast, key: int = 1) -> dict[str, str]:
    """Name and checksum of all segments in a repository, by their file names alone."""
    root = Path(str(program.options[f"repo{key}_path"])) / "archive" / program.stanza
    names = [path.name for path in root.glob("*/*/*") if len(path.name) > 64 and not path.name.endswith(".tmp")]
    return {name[:24]: name[25:65] for name in names}


def test_a_cluster_archives_asynchronously(workshop) -> None:
    cluster: Cluster = workshop.cluster(wal_segment_mb=1)
    program = workshop.holdfast(cluster, archive_async=True, process_max=2)
    workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    cluster.client("pgbench", "-i", "-s", "5", "-q")
    segment = cluster.switch_wal()
    cluster.wait_archived(segment)
    assert segment in archived(program)
