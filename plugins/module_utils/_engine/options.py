# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The frozen Config that every command gets, made from command line, environment, files and defaults.

    option_type.py     kinds of values                  command_line.py   command line and environment
    option_table.py    all commands and options         config_file.py    files
    option_resolve.py  sources to values                option_check.py   rules between options

Below a command nothing looks up or changes an option. Times are seconds, sizes bytes. An attribute that the command
does not have is a bug of the caller, so an AttributeError and no default.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .command_line import FROM_DEFAULT, FROM_LINE, NEGATE, RESET, Given, parse_command_line, parse_environment
from .config_file import load_sections
from .errors import OptionInvalidValueError
from .option_check import check
from .option_resolve import Draft, Sources, resolve
from .option_table import OPTIONS, Option

__all__ = ["OPTIONS", "Config", "Group", "Option", "load", "render_options"]


class Group:
    """The options of one repository or cluster, as attributes without their group: repo.path, pg.socket_path."""

    def __init__(self, key: int, values: Mapping[str, Any]) -> None:
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        # Only called for what is not in __dict__; the underscore ends the recursion of an object that is being copied.
        if name[0] == "_" or name not in self._values:
            raise AttributeError(f"the command has no such option: {name}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("options do not change")


class Config:
    """A command and the values of all options that it knows.

    command, role ("" or "async"), params; repos and pgs ascending by key; warnings to be logged once. stanzas: the
    names that have a section in the files. Everything else is an option: config.process_max.
    """

    def __init__(
        self, sources: Sources, role: str, params: tuple[str, ...], draft: Draft, overrides: Mapping[str, Any]
    ) -> None:
        groups = {name: tuple(Group(*item) for item in group.items()) for name, group in draft.groups.items()}
        self.__dict__.update(
            command=draft.command,
            role=role,
            params=params,
            repos=groups["repo"],
            pgs=groups["pg"],
            warnings=tuple(draft.warnings),
            _values=draft.values,
            _given=draft.given,
            _sources=sources,
            _overrides=overrides,
        )

    def __getattr__(self, name: str) -> Any:
        if name[0] == "_":
            raise AttributeError(name)  # ends the recursion of an object that is being copied
        if name not in self._values:
            raise AttributeError(f"the command {self.command} has no option {name}")
        return self._values[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("options do not change; replace() makes another Config")

    @property
    def files(self) -> tuple[str, ...]:
        """Absolute paths of the configuration files and directories that were read or looked for."""
        return tuple(os.path.abspath(path) for path in self._sources.files)

    @property
    def read_at(self) -> int:
        """When the first of files was read, epoch nanoseconds."""
        return int(self._sources.read_at)

    @property
    def words(self) -> tuple[str, ...]:
        """The command line as it was given, without the program."""
        return self._sources.words  # type: ignore[no-any-return]

    @property
    def stanzas(self) -> tuple[str, ...]:
        """All stanzas that have a section, ascending."""
        names = {section.partition(":")[0] for section in self._sources.sections}
        return tuple(sorted(names - {"global"}))

    def source(self, name: str, key: int = 0) -> str:
        """Where the value comes from: "command-line", "environment", "file" or "default"."""
        given: Given | None = self._given.get((name, key))
        return FROM_DEFAULT if given is None or given.mode == RESET else given.source

    def replace(self, **values: Any) -> Config:
        """The same with other values for options without a key, as if they were on the command line; None unsets."""
        return _make(self._sources, self.command, self.role, self.params, {**self._overrides, **values})

    def for_command(self, command: str, **values: Any) -> Config:
        """The same sources for another command; options of the command line that it does not know are left out."""
        return _make(self._sources, command, "", (), {**self._overrides, **values})

    def arguments(self) -> list[str]:
        """The options that came from the command line, ready for the command line of a process of ours."""
        return [
            f"--{text}"
            for option, key, given in _in_order(self)
            if given.source == FROM_LINE
            for text in _texts(option, key, given)
        ]


def load(argv: Sequence[str], environ: Mapping[str, str]) -> Config:
    """argv: without the program's name. Raises errors with a hint for whatever a person can get wrong."""
    line = parse_command_line(argv)
    exec_id = f"{os.getpid()}-{os.urandom(4).hex()}"
    if line.command in ("help", "version"):  # have to work with a broken configuration
        return _make(Sources(line.options, {}, {}, exec_id), line.command, line.role, line.params, {})
    warnings: list[str] = []
    environment = parse_environment(environ, warnings)
    given = {name: line.options.get((name, 0)) or environment.get((name, 0)) for name in _CONFIG_OPTIONS}
    config, include, base = (_text(name, given[name]) for name in _CONFIG_OPTIONS)
    no_config = given["config"] is not None and given["config"].mode == NEGATE
    files: list[str] = []
    read_at = time.time_ns()
    sections = load_sections(config, no_config, include, base, files)
    if config is not None:  # a background process works in another directory
        line.options["config", 0] = Given(FROM_LINE, [os.path.abspath(config)])
    sources = Sources(line.options, environment, sections, exec_id, files, read_at, argv)
    return _make(sources, line.command, line.role, line.params, {}, warnings)


_CONFIG_OPTIONS = ("config", "config-include-path", "config-path")


def _text(name: str, given: Given | None) -> str | None:
    """The value of an option that is needed before the files are read."""
    if given is None or given.mode:
        return None
    try:
        return str(OPTIONS[name].any_type.parse(given.texts[0]))
    except ValueError as error:
        raise OptionInvalidValueError(f"option {name} cannot be {given.texts[0]!r}: {error}") from None


def _make(
    sources: Sources,
    command: str,
    role: str,
    params: tuple[str, ...],
    overrides: Mapping[str, Any],
    warnings: Sequence[str] = (),
) -> Config:
    draft = resolve(sources, command, overrides)
    check(draft)
    draft.warnings[:0] = warnings
    return Config(sources, role, params, draft, overrides)


def render_options(config: Config) -> list[str]:
    """All options that are not left to their default, as a command line for the log, without secrets.

    Ordered by name without key, so that what belongs together stands together.
    """
    shown: list[str] = []
    for option, key, given in _in_order(config):
        for text in _texts(option, key, given):
            name, equals, value = text.partition("=")
            value = "<redacted>" if option.secret and equals else f'"{value}"' if " " in value else value
            shown.append(f"--{name}{equals}{value}")
    return shown


def _in_order(config: Config) -> list[tuple[Option, int, Given]]:
    given: Mapping[tuple[str, int], Given] = config._given
    return [(OPTIONS[name], key, given[name, key]) for name, key in sorted(given)]


def _texts(option: Option, key: int, given: Given) -> list[str]:
    name = option.full_name(key)
    if given.mode:
        return [f"{given.mode}-{name}"]
    if option.any_type.kind == "boolean":
        yes = given.texts == ["y"]
        return [name if yes else f"no-{name}" if option.negate else f"{name}=n"]
    return [f"{name}={text}" for text in given.texts]
