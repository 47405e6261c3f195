# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The PostgreSQL servers at hand: the distribution's, and what the development set-up unpacked (tests/utils/dev.py)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST, NEWEST = 13, 18
USUAL = 15  # the distribution's: with every client program, and what the installed pgBackRest knows


class ServerMissingError(LookupError):
    """No server of that major version is here."""


@dataclass(frozen=True)
class Server:
    """One installation of PostgreSQL; bin is its directory of programs."""

    major: int
    bin: Path

    def __str__(self) -> str:
        return f"pg{self.major}"

    def program(self, name: str) -> Path:
        """The path of a program; ServerMissingError when this build comes without it."""
        path = self.bin / name
        if not path.exists():
            raise ServerMissingError(f"{self.bin} has no {name}")
        return path

    def has(self, name: str) -> bool:
        return (self.bin / name).exists()


def folders() -> Iterator[Path]:
    """Where installations lie, each in a directory named by its major version, best first."""
    yield Path("/usr/lib/postgresql")
    for name in ("HF_DEV_DIR", "XDG_CACHE_HOME"):
        if os.environ.get(name):
            yield Path(os.environ[name], "" if name == "HF_DEV_DIR" else "holdfast-dev", "servers")
    yield Path("~/.cache/holdfast-dev/servers").expanduser()
    yield Path("/var/cache/holdfast-dev/servers")


def find_servers() -> dict[int, Server]:
    """Every supported major version that is here, ascending."""
    found: dict[int, Server] = {}
    for folder in folders():
        try:
            paths = list(folder.iterdir())
        except OSError:
            continue  # not there, or not ours to see
        for path in paths:
            if re.fullmatch("[0-9]+", path.name) and OLDEST <= int(path.name) <= NEWEST:
                if (path / "bin" / "postgres").exists():
                    found.setdefault(int(path.name), Server(int(path.name), path / "bin"))
    return dict(sorted(found.items()))


def server(major: int = USUAL) -> Server:
    """The server of a major version, or ServerMissingError that says what to do."""
    found = find_servers()
    if major not in found:
        here = ", ".join(map(str, found)) or "none"
        raise ServerMissingError(f"PostgreSQL {major} is not here (found: {here}); 'make setup-all' brings it")
    return found[major]
