# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._archiving import (
    Setting,
    archive_command,
    needs_restart,
    obstacle,
    plan_settings,
    read_settings,
)

COMMAND = '/usr/local/bin/holdfast --stanza=main archive-push "%p"'


def settings(mode: str = "on", command: str = COMMAND, level: str = "replica", **more: Setting) -> dict[str, Setting]:
    """A cluster that runs with what is configured, unless more says otherwise."""
    return {
        "archive_mode": Setting(mode, "configuration file", mode),
        "archive_command": Setting(command if mode != "off" else "(disabled)", "configuration file", command),
        "wal_level": Setting(level, "default", level),
        **more,
    }


class Answers:
    """Stands for a session: hands out the rows that a server would."""

    def __init__(self, *rows: tuple[str, str, str, str]) -> None:
        self.rows = list(rows)

    def query(self, _query: str, _params: list) -> list[tuple[str, str, str, str]]:
        return self.rows


def test_the_command_names_what_differs_from_the_default() -> None:
    assert archive_command("/usr/local/bin/holdfast", "main", {"config": None, "config-path": None}) == COMMAND
    assert (
        archive_command("/opt/x/bin/holdfast", "main", {"config": "/etc/x.conf"})
        == '/opt/x/bin/holdfast --config=/etc/x.conf --stanza=main archive-push "%p"'
    )


def test_a_shell_sees_odd_paths_as_one_word_and_postgresql_no_placeholder_in_them() -> None:
    path = "/srv/100%p 'of' $HOME/holdfast"
    line = archive_command(path, "main", {"config-path": "/etc/a b"})
    # What PostgreSQL does with the line: %% becomes %, %p the path of the segment.
    replaced = line.replace("%%", "\0").replace("%p", "pg_wal/000000010000000000000001").replace("\0", "%")
    echo = subprocess.run(["sh", "-c", f"printf '%s\\n' {replaced}"], check=True, stdout=subprocess.PIPE, text=True)
    assert echo.stdout.splitlines() == [
        path, "--config-path=/etc/a b", "--stanza=main", "archive-push", "pg_wal/000000010000000000000001",
    ]  # fmt: skip


def test_nothing_is_planned_when_all_is_well() -> None:
    assert plan_settings(settings(), COMMAND) == {}
    assert not needs_restart(settings(), {})


def test_a_cluster_as_initdb_makes_it_needs_a_restart() -> None:
    now = settings(mode="off", command="")
    changes = plan_settings(now, COMMAND)
    assert changes == {"archive_mode": "on", "archive_command": COMMAND}
    assert needs_restart(now, changes)


def test_a_new_command_alone_needs_no_restart() -> None:
    now = settings(command="cp %p /srv/wal/%f")
    changes = plan_settings(now, COMMAND)
    assert changes == {"archive_command": COMMAND}
    assert not needs_restart(now, changes)


@pytest.mark.parametrize("level", ["replica", "logical"])
def test_a_sufficient_wal_level_and_archive_mode_always_stay(level: str) -> None:
    assert plan_settings(settings(mode="always", level=level), COMMAND) == {}


def test_minimal_wal_is_not_enough() -> None:
    now = settings(level="minimal")
    assert plan_settings(now, COMMAND) == {"wal_level": "replica"}
    assert needs_restart(now, plan_settings(now, COMMAND))


def test_a_setting_that_waits_for_a_restart_is_not_changed_again() -> None:
    now = settings(archive_mode=Setting("off", "default", "on"))
    assert plan_settings(now, COMMAND) == {}
    assert needs_restart(now, {})


def test_what_is_set_on_the_command_line_cannot_be_changed_here() -> None:
    now = settings(archive_mode=Setting("off", "command line", "off"))
    message, hint = obstacle(now, plan_settings(now, COMMAND))
    assert "archive_mode" in message and "command line" in message and hint
    assert obstacle(settings(), {}) == ("", "")


def test_an_archive_library_would_win_over_the_command() -> None:
    now = settings(archive_library=Setting("basic_archive", "configuration file", "basic_archive"))
    message, _hint = obstacle(now, {})
    assert "basic_archive" in message
    assert obstacle(settings(archive_library=Setting("", "default", "")), {}) == ("", "")


def test_spellings_of_the_files_are_those_of_the_server() -> None:
    rows = Answers(
        ("archive_mode", "on", "configuration file", "TRUE"),
        ("wal_level", "replica", "configuration file", "Replica"),
        ("archive_command", "Cp %p", "configuration file", "Cp %p"),
    )
    now = read_settings(rows)
    assert now["archive_mode"].configured == "on"
    assert plan_settings(now, "Cp %p") == {}
