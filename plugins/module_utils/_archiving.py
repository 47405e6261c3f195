# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The settings that make a cluster hand its WAL to the engine. Private to this collection.

What counts is what the configuration files say, not what the server shows: a setting that waits for a restart shows its
old value, and archive_command shows "(disabled)" while archive_mode is off.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NAMES = ("archive_mode", "archive_command", "archive_library", "wal_level")
AT_START = ("archive_mode", "wal_level")  # these need a restart
OVERRIDES = ("command line", "environment variable")  # sources that win over ALTER SYSTEM
RELOAD_TIMEOUT = 10.0  # seconds for the server to read its files again

_SETTINGS = """
select s.name, s.setting, s.source, coalesce(f.setting, case s.source when 'default' then s.boot_val else s.setting end)
from pg_catalog.pg_settings as s
left join lateral (
    select setting from pg_catalog.pg_file_settings where name = s.name order by seqno desc limit 1
) as f on true
where s.name = any(%s)
"""


@dataclass(frozen=True)
class Setting:
    """active: what the server shows; source: where that comes from; configured: what the next start would take."""

    active: str
    source: str
    configured: str


def archive_command(command: str, stanza: str, options: Mapping[str, str | None]) -> str:
    """What PostgreSQL runs for each segment. command: path of the launcher; options: those with a value are given."""
    words = [command, *(f"--{name}={value}" for name, value in options.items() if value), f"--stanza={stanza}"]
    # PostgreSQL replaces %p and the like everywhere, also in a path.
    return " ".join(shlex.quote(word) for word in words).replace("%", "%%") + ' archive-push "%p"'


def plan_settings(now: Mapping[str, Setting], command: str) -> dict[str, str]:
    """What has to be set, in the order of NAMES. archive_mode=always and any sufficient wal_level stay as they are."""
    wanted = {
        "archive_mode": now["archive_mode"].configured if now["archive_mode"].configured == "always" else "on",
        "archive_command": command,
        "wal_level": "replica" if now["wal_level"].configured == "minimal" else now["wal_level"].configured,
    }
    return {name: wanted[name] for name in NAMES if name in wanted and wanted[name] != now[name].configured}


def obstacle(now: Mapping[str, Setting], changes: Mapping[str, str]) -> tuple[str, str]:
    """Why the settings would have no effect, and what to do about it; two empty texts when they will."""
    fixed = [name for name in changes if now[name].source in OVERRIDES]
    if fixed:
        where = now[fixed[0]].source
        return (
            f"{fixed[0]} is set on the {where} of the server, which wins over its configuration",
            "remove it there and start the server again",
        )
    if "archive_library" in now and now["archive_library"].configured:
        library = now["archive_library"].configured
        return (
            f"archive_library is {library}, so PostgreSQL would not run archive_command",
            "empty archive_library when the WAL shall go to this repository",
        )
    return "", ""


def needs_restart(now: Mapping[str, Setting], changes: Mapping[str, str]) -> bool:
    """Whether the server has yet to start with what is configured, once the changes are made."""
    return any(changes.get(name, now[name].configured) != now[name].active for name in AT_START)


def read_settings(session: Any) -> dict[str, Setting]:
    """The settings of NAMES that this version of PostgreSQL has."""
    rows = session.query(_SETTINGS, [list(NAMES)])
    return {name: Setting(active or "", source, _spelled(name, value)) for name, active, source, value in rows}


def _spelled(name: str, value: str | None) -> str:
    """A configured value as the server would show it: files may spell archive_mode and wal_level otherwise."""
    if name not in AT_START or value is None:
        return value or ""
    return {"true": "on", "yes": "on", "1": "on"}.get(value.lower(), value.lower())


def apply_settings(session: Any, changes: Mapping[str, str]) -> None:
    """Write the changes to postgresql.auto.conf and have the server read it; it has done so when this returns."""
    for name, value in changes.items():
        session.query(f"alter system set {name} = %s", [value])
    session.query("select pg_catalog.pg_reload_conf()")
    _wait_for_reload(session, [name for name in changes if name not in AT_START], changes)


def _wait_for_reload(session: Any, names: Sequence[str], changes: Mapping[str, str]) -> None:
    deadline = time.monotonic() + RELOAD_TIMEOUT
    while time.monotonic() < deadline:
        now = read_settings(session)
        if all(now[name].active in (changes[name], "(disabled)") for name in names):
            return
        time.sleep(0.05)
