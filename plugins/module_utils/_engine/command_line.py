# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line and the environment: names resolved to options and keys, values still text.

Both sources end in the same shape, Given by (option name, key); the files join them in options.py. A name is resolved
by find_option(), the only place that knows of keys, old names and how to tell a wrong key from an unknown name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from .command_table import COMMANDS
from .errors import CommandInvalidError, CommandRequiredError, EngineError, OptionInvalidError, ParamInvalidError
from .option_table import COMMAND_LINE, KEY_MAX, OLD_NAMES, OPTIONS, Option
from .option_type import Boolean

ENVIRONMENT = "HOLDFAST_"
NOT_OPTIONS = frozenset({"HOLDFAST_FAULTS", "HOLDFAST_PROGRESS_DIR"})  # ours, but not options

FROM_LINE = "command-line"
FROM_ENVIRONMENT = "environment"
FROM_FILE = "file"
FROM_DEFAULT = "default"

NEGATE = "no"
RESET = "reset"


class Given:
    """What one source says of one option: some texts, or a mode: NEGATE (--no-x) or RESET (--reset-x)."""

    __slots__ = ("mode", "source", "texts")

    def __init__(self, source: str, texts: Sequence[str], mode: str = "") -> None:
        self.source = source
        self.texts = list(texts)
        self.mode = mode


Name = tuple[str, int]  # option name without key, and the key; 0 when it has none
Givens = dict[Name, Given]


class Line:
    """A command line, taken apart."""

    def __init__(self, command: str, role: str, params: tuple[str, ...], options: Givens) -> None:
        self.command = command
        self.role = role
        self.params = params
        self.options = options


def find_option(name: str, where: str = "") -> tuple[Option, int] | None:
    """The option and key of a full name, current or old; None for an unknown one.

    OptionInvalidError when the option is known but its key is missing, out of range, or one that it cannot have; where
    is the start of its message.
    """
    base, key = _split_key(name)
    option = OPTIONS.get(base)
    if option is not None and bool(option.group) == (key is not None):
        return option, _valid_key(name, key, where) if option.group else 0
    old = OLD_NAMES.get(base)
    if old is not None and (old.bare if key is None else old.keyed):
        option = OPTIONS[old.option]
        return option, _valid_key(name, key or "1", where) if option.group else 0
    if option is None and old is None:
        return None
    if key is None:
        current = option or OPTIONS[old.option]  # type: ignore[union-attr]
        raise OptionInvalidError(f"{where}option {name} needs a key", f"write {current.full_name(1)}")
    raise OptionInvalidError(f"{where}option {name} cannot have a key", f"write {base}")


def _split_key(name: str) -> tuple[str, str | None]:
    """repo12-path -> repo-path and 12; names without digits in their first word come back as they are."""
    word, dash, rest = name.partition("-")
    letters = word.rstrip("0123456789")
    if len(letters) == len(word) or not dash:
        return name, None
    return f"{letters}-{rest}", word[len(letters) :]


def _valid_key(name: str, key: str | None, where: str = "") -> int:
    if key is None or key[0] == "0" or len(key) > 3 or int(key) > KEY_MAX:
        raise OptionInvalidError(f"{where}the key of option {name} is not valid", f"keys are 1 to {KEY_MAX}")
    return int(key)


def parse_command_line(argv: Sequence[str]) -> Line:
    """argv: without the program. Options may stand anywhere; the first other word is the command."""
    words: list[str] = []
    options: Givens = {}
    names: dict[Name, str] = {}  # as they were written, for messages
    rest = iter(argv)
    for argument in rest:
        if argument.startswith("-"):
            _parse_option(argument, rest, options, names)
        else:
            words.append(argument)
    command, role = _parse_command(words, options)
    line = Line(command, role, tuple(words[1:]), options)
    if ("help", 0) in options:
        return Line("help", "", (command, *line.params) if words else (), {})
    if ("version", 0) in options:
        return Line("version", "", (), {})
    _check_for_command(line, names)
    return line


def _parse_option(argument: str, rest: Iterable[str], options: Givens, names: dict[Name, str]) -> None:
    """Take one option, and its value from rest when it is the next word; adds to options and names."""
    if not argument.startswith("--") or argument[2:3] in ("", "="):
        raise OptionInvalidError(f"{argument} is not an option", "options are long: --name=value or --name value")
    written, equals, text = argument[2:].partition("=")
    option, key, mode = _resolve(written)
    _check_mode(option, written, mode, equals)
    if option.secret and not mode:
        raise OptionInvalidError(
            f"option --{written} is not allowed on the command line",
            "other users can see a command line; put the value into the configuration file or into the environment"
            f" variable {environment_name(option.full_name(key))}",
        )
    if not equals and not mode:
        text = _next_value(option, written, rest)
    name = (option.name, key)
    names.setdefault(name, written)
    known = options.get(name)
    if known is None:
        options[name] = Given(FROM_LINE, [] if mode else [text], mode)
    elif mode or known.mode or not option.any_type.many:
        raise OptionInvalidError(f"option --{written} is given more than once", f"first as --{names[name]}")
    else:
        known.texts.append(text)


def _next_value(option: Option, written: str, rest: Iterable[str]) -> str:
    # A switch never takes the next word, which may be the command. backup-standby was a switch once.
    if isinstance(option.any_type, Boolean) or option.name == "backup-standby":
        return "y"
    for value in rest:
        return value
    raise OptionInvalidError(f"option --{written} needs a value", f"write --{written}=<value>")


def _check_mode(option: Option, written: str, mode: str, equals: str) -> None:
    if mode and equals:
        raise OptionInvalidError(f"option --{written} takes no value", f"write --{written}")
    if mode == NEGATE and not option.negate:
        raise OptionInvalidError(f"option --{written} does not exist", f"--{option.name} cannot be negated")
    if mode == RESET and option.where == COMMAND_LINE:
        raise OptionInvalidError(
            f"option --{written} does not exist", f"--{option.name} is never in a file, so there is nothing to reset"
        )


def _resolve(written: str) -> tuple[Option, int, str]:
    """Option, key and mode of what stands between -- and =: the exact name first, then an unambiguous start of one."""
    mode, name = "", written
    found = find_option(written)
    for prefix in (NEGATE, RESET):
        if found is None and written.startswith(prefix + "-"):
            mode, name = prefix, written[len(prefix) + 1 :]
            found = find_option(name)
    if found is not None:
        return found[0], found[1], mode
    candidates = _starting_with(name)
    if len(candidates) == 1:
        return (*candidates[0], mode)
    if candidates:
        full = sorted({option.full_name(key) for option, key in candidates})
        raise OptionInvalidError(f"option --{written} is ambiguous", "it may be: " + ", ".join(full))
    hint = closest(name, _all_names(), "--") or "holdfast help <command> shows the options of a command"
    raise OptionInvalidError(f"option --{written} does not exist", hint)


def _starting_with(start: str) -> list[tuple[Option, int]]:
    """The options whose names start so; old names only when no current one does."""
    base, key = _split_key(start)
    found = [option for name, option in OPTIONS.items() if name.startswith(base) and bool(option.group) == bool(key)]
    if found:
        return [(option, _valid_key(start, key) if option.group else 0) for option in found]
    old = [old for name, old in OLD_NAMES.items() if name.startswith(base) and (old.keyed if key else old.bare)]
    options = {name.option: OPTIONS[name.option] for name in old}
    return [(option, _valid_key(start, key or "1") if option.group else 0) for option in options.values()]


def _parse_command(words: Sequence[str], options: Givens) -> tuple[str, str]:
    if not words:
        if ("help", 0) in options or ("version", 0) in options or not options:
            return "help", ""
        raise CommandRequiredError("no command given", "run: holdfast help")
    command, _other, role = words[0].partition(":")
    if command not in COMMANDS:
        raise CommandInvalidError(
            f"command {command} does not exist", closest(command, COMMANDS) or "run: holdfast help"
        )
    if words[0] != command and role not in COMMANDS[command].roles:
        raise CommandInvalidError(f"command {command} has no role {role!r}", f"write {command}")
    return command, role


def _check_for_command(line: Line, names: Mapping[Name, str]) -> None:
    for name in line.options:
        option = OPTIONS[name[0]]
        if line.command not in option.commands:
            hint = f"it is for: {', '.join(sorted(option.commands)) or 'no command that we have'}"
            raise OptionInvalidError(f"option --{names[name]} is not for the command {line.command}", hint)
    if line.params and not COMMANDS[line.command].parameters:
        raise ParamInvalidError(
            f"command {line.command} takes no parameters, but got: {' '.join(line.params)}",
            "write the value of an option as --name=value; put a value with blanks in quotes",
        )


def parse_environment(environ: Mapping[str, str], warnings: list[str]) -> Givens:
    """The options in the environment; what is not one becomes a warning, because it is surely a slip."""
    options: Givens = {}
    for variable in sorted(name for name in environ if name.startswith(ENVIRONMENT)):
        if variable in NOT_OPTIONS:
            continue
        name = variable[len(ENVIRONMENT) :].lower().replace("_", "-")
        found = find_option(name, f"environment variable {variable}: ") if environment_name(name) == variable else None
        if found is None:
            warnings.append(f"environment variable {variable} is not an option and is ignored{_also(name)}")
            continue
        option, key = found
        if (option.name, key) in options:
            raise OptionInvalidError(
                f"environment variable {variable} sets an option that another one sets, too",
                f"keep {environment_name(option.full_name(key))}",
            )
        text = environ[variable]
        options[option.name, key] = Given(FROM_ENVIRONMENT, text.split(":") if option.any_type.many else [text])
    return options


def environment_name(name: str) -> str:
    """repo1-path -> HOLDFAST_REPO1_PATH"""
    return ENVIRONMENT + name.upper().replace("-", "_")


def _also(name: str) -> str:
    """Why a name that starts with no- or reset- is none, outside the command line."""
    if not name.startswith((NEGATE + "-", RESET + "-")):
        return ""
    return ": no- and reset- are only for the command line, write name=n"


def unknown_in_file(name: str) -> str:
    """The reason why a name in a file is not an option, as the end of a sentence."""
    if name.startswith((NEGATE + "-", RESET + "-")):
        return f"has an invalid option {name}, which is ignored{_also(name)}"
    hint = closest(name, _all_names())
    return f"has an unknown option {name}, which is ignored" + (f" ({hint})" if hint else "")


def _all_names() -> Iterable[str]:
    return (option.full_name(1) for option in OPTIONS.values())


def closest(word: str, words: Iterable[str], prefix: str = "") -> str:
    """A hint for a name that does not exist; empty when nothing is like it. prefix: put before each name."""
    import difflib  # only in the way of an error

    close = difflib.get_close_matches(word, list(words), n=3)
    return f"did you mean {' or '.join(prefix + name for name in close)}?" if close else ""


def already_given(name: str) -> EngineError:
    return OptionInvalidError(
        f"option {name} stands twice in one section, under its current and a former name", "remove the former name"
    )
