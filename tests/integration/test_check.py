# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""check and checkpoint against a cluster that archives for real."""

from __future__ import annotations

import re

import pytest

from ansible_collections.holdfast.postgres.tests.support import account


@pytest.fixture(scope="module")
def archiving(module_workshop):
    """A running cluster that archives into two repositories, and its program."""
    cluster = module_workshop.cluster()
    other = account.make_directory(module_workshop.path("repo"), 0o750)
    program = module_workshop.holdfast(cluster, repo2_path=other, archive_timeout=20)
    module_workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    return cluster, program


def test_a_segment_arrives_in_every_repository(archiving) -> None:
    program = archiving[1]
    done = program.run("check", log_level_console="info")
    (first, second) = (re.search(rf"repo{key}: WAL segment (\w+) arrived at (\S+)", done.error) for key in (1, 2))
    assert first[1] == second[1]
    for found, repository in ((first, "repo1_path"), (second, "repo2_path")):
        assert f"{program.options[repository]}/{found[2]}" and found[2].startswith(f"archive/main/15-1/{found[1][:16]}")


def test_all_stanzas_are_checked_without_a_name(archiving) -> None:
    program = archiving[1]
    assert "repo2: WAL segment" in program.run("check", stanza=None, log_level_console="info").error


def test_nothing_to_check_is_a_warning(workshop) -> None:
    program = workshop.holdfast(stanza="empty")
    program.stanza_options.clear()
    account.write_file(program.config, "[global]\n")
    done = program.run("check", stanza=None, repo1_path=program.repository)
    assert "no stanza" in done.error


def test_a_repository_without_the_stanza_fails_the_check(archiving, workshop) -> None:
    cluster = archiving[0]
    assert workshop.holdfast(cluster).attempt("check").status == 55


def test_a_segment_that_does_not_arrive_is_a_timeout(archiving, workshop) -> None:
    cluster = archiving[0]
    program = workshop.holdfast(cluster)
    program.stanza_create()  # here, but archive_command pushes elsewhere
    failed = program.attempt("check", archive_timeout="500ms")
    assert failed.status == 82
    assert "archive_command" in failed.error


def test_a_standby_switches_no_wal(archiving, workshop) -> None:
    cluster, program = archiving
    standby = workshop.standby(cluster)
    alone = workshop.holdfast(standby, repo1_path=program.repository)
    segment = cluster.value("select pg_walfile_name(pg_current_wal_lsn())")
    assert "only the primary" in alone.run("check", log_level_console="info").error
    assert cluster.value("select pg_walfile_name(pg_current_wal_lsn())") == segment
    missing = {"pg2_path": "/nowhere", "pg2_port": 1}
    both = workshop.holdfast(standby, repo1_path=program.repository, stanza_options=missing)
    assert both.attempt("check").status == 27


def test_no_cluster_at_all(workshop) -> None:
    program = workshop.holdfast(workshop.cluster())
    failed = program.attempt("check")
    assert failed.status == 27
    assert "unable to use pg1" in failed.error


def test_a_checkpoint_moves_the_redo_position(archiving) -> None:
    cluster, program = archiving
    before = cluster.value("select redo_lsn::text from pg_control_checkpoint()")
    cluster.sql("select pg_logical_emit_message(true, 'test', 'x')")
    done = program.run("checkpoint", log_level_console="info")
    now = cluster.value("select redo_lsn::text from pg_control_checkpoint()")
    assert now != before
    assert done.output == f"{now}\n"
    assert "checkpoint complete after" in done.error
