# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's command line as a host would run it, and the reference implementation on the same repository.

Both read the same configuration, because the options have the same names; each keeps its locks, logs and spool to
itself. Both run as the account that owns the cluster, in a process of their own.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...plugins.module_utils._launcher import render_launcher  # type: ignore[import-not-found]
from . import account
from .cluster import Cluster

ENGINE = Path(__file__).resolve().parents[2] / "plugins" / "module_utils"  # the directory above the package _engine

# As on a host: isolated (-I) from the caller's Python variables and directory, and under the name that the engine
# writes into restore_command.
START = """\
import sys

sys.path.insert(0, {engine!r})
sys.argv[0] = {launcher!r}

from _engine.main import main

raise SystemExit(main())
"""

Value = Any  # str, number, bool, path, None, or a list or tuple of str


class CommandFailedError(AssertionError):
    """A command that the test needs ended with another status than 0."""


@dataclass(frozen=True)
class Result:
    """The end of a command: exit status, standard output and standard error."""

    status: int
    output: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.output)


def arguments(options: Mapping[str, Value]) -> Iterator[str]:
    """Options by name, with underscores for dashes, as a command line spells them.

    True is --name, False is --no-name, None leaves the option out, a list or tuple repeats it.
    """
    for name, value in options.items():
        option = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            yield f"--{option}" if value else f"--no-{option}"
        elif isinstance(value, (list, tuple)):
            for part in value:
                yield f"--{option}={part}"
        else:
            yield f"--{option}={value}"


def render_configuration(sections: Mapping[str, Mapping[str, Value]]) -> str:
    """A configuration file: section, option, value."""
    lines = []
    for section, options in sections.items():
        lines.append(f"[{section}]")
        for name, value in options.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            spelled = [{True: "y", False: "n"}[part] if isinstance(part, bool) else part for part in values]
            lines += [f"{name.replace('_', '-')}={part}" for part in spelled if part is not None]
        lines.append("")
    return "\n".join(lines)


class Program:
    """One backup program with its configuration file.

    base: a directory of its own. cluster: whose backups it makes, None when there is none (yet).
    options: of the section [global], by name with underscores, repo1_path among them; None takes a default away.
    stanza_options: of the stanza's section, in addition to pg1-path, -port, -socket-path and -user of the cluster.
    """

    def __init__(
        self,
        base: Path,
        cluster: Cluster | None = None,
        *,
        stanza: str = "main",
        stanza_options: Mapping[str, Value] | None = None,
        **options: Value,
    ) -> None:
        self.base = account.make_directory(base)
        self.stanza = stanza
        self.cluster = cluster
        self.environ: dict[str, str] = {}
        self.options: dict[str, Value] = {
            "log_path": account.make_directory(base / "log"),
            "lock_path": account.make_directory(base / "lock"),
            "spool_path": account.make_directory(base / "spool"),
            "log_level_file": "off",
            "start_fast": True,
            **options,
        }
        self.stanza_options: dict[str, Value] = dict(stanza_options or {})
        if cluster:
            of_cluster = {"pg1_path": cluster.data, "pg1_port": cluster.port, "pg1_socket_path": cluster.socket_path}
            self.stanza_options = {**of_cluster, "pg1_user": "postgres", **self.stanza_options}
        self.config = self.base / "program.conf"
        self.configure()

    def configure(self, **options: Value) -> None:
        """Change options of the section [global] and write the configuration file."""
        self.options.update(options)
        sections = {"global": self.options, self.stanza: self.stanza_options}
        account.write_file(self.config, render_configuration(sections), 0o640)

    @property
    def repository(self) -> Path:
        return Path(str(self.options["repo1_path"]))

    @property
    def start(self) -> list[str]:
        """The program."""
        raise NotImplementedError

    def argv(self, command: str, *parameters: str, **options: Value) -> list[str]:
        fixed = {"config": self.config, "stanza": self.stanza}
        return [*self.start, *arguments({**fixed, **options}), command, *parameters]

    def line(self, command: str, *parameters: str, **options: Value) -> str:
        """A shell command line, for archive_command and restore_command."""
        argv = self.argv(command, *parameters, **options)
        return " ".join(part if part in ("%p", "%f") else shlex.quote(part) for part in argv)

    @property
    def archive_command(self) -> str:
        return self.line("archive-push", "%p")

    def attempt(self, command: str, *parameters: str, timeout: float = 300, **options: Value) -> Result:
        """Run a command and hand back whatever came of it; options by name with underscores, stanza=None for none."""
        done = account.run(self.argv(command, *parameters, **options), environ=self.environ, timeout=timeout)
        return Result(done.returncode, done.stdout, done.stderr)

    def run(self, command: str, *parameters: str, timeout: float = 300, **options: Value) -> Result:
        """Run a command that has to succeed."""
        result = self.attempt(command, *parameters, timeout=timeout, **options)
        if result.status != 0:
            text = f"{command} ended with {result.status}\n{result.output}{result.error}"
            raise CommandFailedError(f"{' '.join(self.argv(command, *parameters, **options))}\n{text}")
        return result

    # The commands that most tests need

    def stanza_create(self, **options: Value) -> Result:
        return self.run("stanza-create", **options)

    def backup(self, type: str = "full", **options: Value) -> str:
        """Make a backup; returns its label."""
        self.run("backup", type=type, **options)
        return self.labels()[-1]

    def restore(self, data: Path, **options: Value) -> Result:
        """Restore into a data directory, by default the newest backup and all WAL."""
        account.make_directory(data)
        return self.run("restore", pg1_path=data, **options)

    def info(self, **options: Value) -> list[dict[str, Any]]:
        """What info prints as JSON: one entry a stanza."""
        stanzas: list[dict[str, Any]] = self.run("info", output="json", **options).json
        return stanzas

    def labels(self) -> list[str]:
        """The labels of the stanza's backups, oldest first."""
        return [backup["label"] for stanza in self.info() for backup in stanza["backup"]]


class Holdfast(Program):
    """The engine of this checkout, started through a launcher of its own.

    python: another interpreter than the one that runs the tests, with the libraries.
    """

    python = sys.executable

    @property
    def start(self) -> list[str]:
        launcher = self.base / "bin" / "holdfast"
        if not launcher.exists():
            start = account.make_directory(launcher.parent) / "start.py"
            account.write_file(start, START.format(engine=str(ENGINE), launcher=str(launcher)))
            text = render_launcher([self.python, "-I", "-X", "utf8", str(start)], str(self.base / "launcher"))
            account.write_file(launcher, text, 0o755)
        return [str(launcher)]


class Oracle(Program):
    """pgBackRest."""

    path = "/usr/bin/pgbackrest"

    @classmethod
    def is_here(cls) -> bool:
        return shutil.which(cls.path) is not None

    @property
    def start(self) -> list[str]:
        return [self.path]
