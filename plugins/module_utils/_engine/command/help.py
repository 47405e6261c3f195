# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""help and version: all that is said here comes from the tables of commands and options.

Written for somebody who is in trouble: what to type comes first, nothing needs a wide screen, and the options of a
command come in the order in which they matter.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..command_line import closest, environment_name, find_option
from ..command_table import COMMANDS, Command
from ..errors import CommandInvalidError, OptionInvalidError, ParamInvalidError
from ..option_table import COMMAND_LINE, KEY_MAX, OPTIONS, SECTIONS, STANZA, Option, is_usable
from ..option_type import OptionType
from ..version import PRODUCT, VERSION
from .completion import completion
from .outcome import Outcome

if TYPE_CHECKING:
    from ..options import Config

WIDTH = 96
COLUMN = 30  # where the text beside a name starts
GENERAL = f"""\
{PRODUCT} {VERSION} - PostgreSQL backup and point-in-time recovery

Usage: holdfast [options] <command> [parameters]

In an emergency:
  Which backups are there?
      holdfast info
  Bring back the latest state, as PostgreSQL's user, with PostgreSQL stopped:
      holdfast --stanza=main --delta restore
  Go back to a moment:
      holdfast --stanza=main --delta --type=time --target="2026-01-01 12:00:00+00" restore

Commands:
{{commands}}

A command with its options:   holdfast help <command>
One option in full:           holdfast help <command> <option>
Completion in bash and zsh:   source <(holdfast help completion bash)
"""


def help(config: Config) -> Outcome:
    """Parameters: none, a command, a command and an option of it, or completion and a shell."""
    if len(config.params) > 2:
        raise ParamInvalidError("help takes a command and an option at most", f"usage: {_usage(COMMANDS['help'])}")
    if not config.params:
        names = "\n".join(_beside(f"  {name}", command.summary) for name, command in COMMANDS.items())
        return Outcome(output=GENERAL.format(commands=names))
    if config.params[0] == "completion":
        return Outcome(output=completion(config.params[1] if len(config.params) == 2 else None))
    command = _find_command(config.params[0])
    if len(config.params) == 1:
        return Outcome(output=_about_command(command))
    return Outcome(output=_about_option(command, _find_option(command, config.params[1])))


def version(config: Config) -> Outcome:
    """Facts: version. With --output=num a number that grows with every version: 1.2.3 is 1002003."""
    number = "".join(f"{int(part):03d}" for part in VERSION.split(".")).lstrip("0")
    return Outcome({"version": VERSION}, output=f"{number if config.output == 'num' else f'{PRODUCT} {VERSION}'}\n")


def _find_command(name: str) -> Command:
    if name not in COMMANDS:
        raise CommandInvalidError(f"command {name} does not exist", closest(name, COMMANDS) or "run: holdfast help")
    return COMMANDS[name]


def _find_option(command: Command, name: str) -> Option:
    """The name may be given with or without its key."""
    found = OPTIONS.get(name)
    if found is None:
        with_key = find_option(name)
        found = with_key[0] if with_key else None
    if found is None or command.name not in found.commands:
        known = [option.name for option in OPTIONS.values() if command.name in option.commands]
        raise OptionInvalidError(
            f"the command {command.name} has no option {name}",
            closest(name, known) or f"run: holdfast help {command.name}",
        )
    return found


def _about_command(command: Command) -> str:
    blocks = [
        f"{command.name} - {command.summary}",
        _paragraph(command.description),
        f"Usage:   {_usage(command)}\nExample: {command.example}",
    ]
    for section, options in SECTIONS:
        shown = [option for option in options if _is_listed(option, command.name)]
        if shown:
            title = f"{section[0].upper()}{section[1:]} options:"
            blocks.append("\n".join([title, *(_option_line(option, command.name) for option in shown)]))
    blocks.append(f"One option in full: holdfast help {command.name} <option>")
    return "\n\n".join(blocks) + "\n"


def _is_listed(option: Option, command: str) -> bool:
    return command in option.commands and not option.internal and is_usable(option)


def _usage(command: Command) -> str:
    needed = " --stanza=<stanza>" if command.name in OPTIONS["stanza"].required else ""
    parameters = f" {command.parameters}" if command.parameters else ""
    return f"holdfast{needed} [options] {command.name}{parameters}"


def _option_line(option: Option, command: str) -> str:
    notes = []
    if command in option.required:
        notes.append("required where it applies" if option.depends_for(command) else "required")
    elif option.by == "command":
        notes.extend(text for text in (option.default_for(command),) if text)
    note = f" [{', '.join(notes)}]" if notes else ""
    return _beside(f"  --{option.full_name(1)}", option.help_for(command) + note)


def _about_option(command: Command, option: Option) -> str:
    name = option.full_name(1)
    kind = option.type_for(command.name) if option.by == "command" else option.any_type
    rows = [
        ("Command", command.name),
        ("Type", _type_text(option, command.name)),
        ("Default", _default_text(option, command.name)),
        ("Needs", _needs_text(option, command.name)),
        ("Where", _where_text(option)),
        ("Key", f"{name} to {option.full_name(KEY_MAX)}" if option.group else ""),
        ("Note", option.deprecated or ("" if is_usable(option) else "not supported yet")),
        ("Example", _example_text(option, kind, command.name)),
    ]
    table = "\n".join(_beside(f"  {title}", text, 12) for title, text in rows if text)
    return f"--{name}\n\n{_paragraph(option.help_for(command.name))}\n\n{table}\n"


def _type_text(option: Option, command: str) -> str:
    if option.by == "command":
        return _kind_text(option.type_for(command))
    if isinstance(option.type, Mapping) and option.depends:
        return "; ".join(f"{_kind_text(option.type[value])} for {value}" for value in option.depends.values)
    return _kind_text(option.any_type)


def _kind_text(kind: OptionType) -> str:
    allowed = kind.allowed()
    return f"{kind.kind}: {allowed}" if allowed and allowed != kind.kind else kind.kind


def _default_text(option: Option, command: str) -> str:
    if command in option.required:
        return "none; the option is required" + (" where it applies" if option.depends_for(command) else "")
    if isinstance(option.default, Mapping) and option.by == "value":
        return ", ".join(f"{text} for {value}" for value, text in option.default.items())
    return option.default_for(command) or option.default_note or "none"


def _needs_text(option: Option, command: str) -> str:
    depends = option.depends_for(command)
    if depends is None:
        return ""
    other = OPTIONS[depends.option].full_name(1)
    text = f"{other}={' or '.join(depends.values)}" if depends.values else other
    return text + (f"; without it the value is {option.otherwise}" if option.otherwise else "")


def _where_text(option: Option) -> str:
    variable = environment_name(option.full_name(1))
    if option.where == COMMAND_LINE:
        return f"command line or environment ({variable})"
    section = "section of a stanza" if option.where == STANZA else "any section"
    if option.secret:
        return f"configuration file ({section}) or environment ({variable}); never the command line, it is a secret"
    return f"configuration file ({section}), environment ({variable}) or command line"


def _example_text(option: Option, kind: OptionType, command: str) -> str:
    name = option.full_name(1)
    if kind.kind == "boolean":
        turned_off = option.default == "y" and option.negate
        return f"--no-{name}" if turned_off else f"--{name}"
    value = option.example_for(command) or (option.default if isinstance(option.default, str) else "")
    if not value:
        return ""
    if option.secret:
        return f"{name}={value}"
    return f'--{name}="{value}"' if " " in value else f"--{name}={value}"


def _paragraph(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False)


def _beside(name: str, text: str, column: int = COLUMN) -> str:
    """The name at the left, the text in a column at its right; on its own lines when the name is too long."""
    lines = textwrap.wrap(text, WIDTH - column, break_on_hyphens=False, break_long_words=False)
    head = [name] if len(name) > column - 2 else [name.ljust(column) + lines.pop(0)]
    return "\n".join([*head, *(" " * column + line for line in lines)])
