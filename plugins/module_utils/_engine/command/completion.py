# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`help completion <shell>`: what a shell has to know to complete a command line, made from the tables.

Only what a person may write on a command line is offered: no secret, nothing internal, and of an option with a key the
one with key 1, which follows when somebody has typed another key.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..command_table import ALL, COMMANDS
from ..errors import ParamInvalidError
from ..option_table import OPTIONS, Option, is_usable
from ..option_type import Choice

FILES = "files"  # the value is the name of a file or directory
FILE_OPTIONS = ("config",)  # texts, because they may be relative
FILE_COMMANDS = ("archive-get", "archive-push")
WITH_OPTIONS = [command for command in COMMANDS if command in ALL]  # not help, not version


def completion(shell: str | None) -> str:
    """The script for a shell; ParamInvalidError for one that there is none for."""
    scripts = {"bash": bash, "zsh": zsh}
    if shell not in scripts:
        raise ParamInvalidError(
            f"no completion for the shell {shell}" if shell else "completion needs the name of a shell",
            "there is: holdfast help completion bash, and: holdfast help completion zsh",
        )
    return scripts[shell]()


def options_of(command: str) -> list[Option]:
    """What a person may write for a command, in the order of the names."""
    return [
        option
        for name, option in sorted(OPTIONS.items())
        if command in option.commands and is_usable(option) and not option.internal and not option.secret
    ]


def values_of(option: Option, command: str) -> str:
    """The values of a choice, FILES for a path, else nothing."""
    kind = option.type_for(command) if option.by == "command" else option.any_type
    if kind.kind == "path" or option.name in FILE_OPTIONS:
        return FILES
    if isinstance(kind, Choice):
        return " ".join(value for value in kind.values if value not in kind.later)
    return ""


def is_switch(option: Option) -> bool:
    return option.any_type.kind == "boolean"


def shared(lists: Mapping[str, Iterable[str]]) -> list[str]:
    """What is in all of the lists, in order."""
    first, *others = (list(one) for one in lists.values())
    return [item for item in first if all(item in other for other in others)]


# -- bash

_BASH = """\
# Completion of holdfast for bash, made by: holdfast help completion bash
_holdfast() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    local option='' command='' names='{common}' values='' index key
    # To bash, --type=full is three words.
    if [[ $word == = ]]; then
        option=$before word=
    elif [[ $before == = ]]; then
        option=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    for ((index = 1; index < COMP_CWORD; index++)); do
        if [[ ${{COMP_WORDS[index]}} != -* && ${{COMP_WORDS[index]}} != = && ${{COMP_WORDS[index - 1]}} != = ]]; then
            command=${{COMP_WORDS[index]}}
            break
        fi
    done
    COMPREPLY=()
    if [[ $option == -* ]]; then
        case $command:$option in
{values}
        esac
    elif [[ $word == -* ]]; then
        case $command in
{options}
        esac
        if [[ $word =~ ^--((no|reset)-)?(pg|repo)([0-9]+)- ]]; then
            key=${{BASH_REMATCH[4]}}
            names=${{names//--pg1-/--pg$key-}} names=${{names//--no-pg1-/--no-pg$key-}}
            names=${{names//--repo1-/--repo$key-}} names=${{names//--no-repo1-/--no-repo$key-}}
        fi
        values=$names
        compopt -o nospace
    elif [[ -z $command ]]; then
        values='{commands}'
    else
        case $command in
            help)
                values='{commands} completion'
                [[ $before == completion ]] && values='bash zsh'
                ;;
            {file_commands}) values={files} ;;
        esac
    fi
    if [[ $values == {files} ]]; then
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "$values" -- "$word")
        # What takes no value is complete, and a blank may follow.
        [[ $word == -* && ${{#COMPREPLY[@]}} == 1 && ${{COMPREPLY[0]}} != *= ]] && compopt +o nospace
    fi
    return 0
}}
complete -F _holdfast holdfast
"""


def bash() -> str:
    names = {command: list(_names(command)) for command in WITH_OPTIONS}
    common = shared(names)
    options = []
    for command, own in names.items():
        rest = [name for name in own if name not in common]
        options.append(f"            {command}) names+=' {' '.join(rest)}' ;;")
    return _BASH.format(
        values="\n".join(_bash_values()),
        options="\n".join(options),
        common=" ".join(common),
        commands=" ".join(COMMANDS),
        file_commands=" | ".join(FILE_COMMANDS),
        files=FILES,
    )


def _names(command: str) -> Iterator[str]:
    """The options as they are begun; a = tells that a value has to follow."""
    for option in options_of(command):
        name = option.full_name(1)
        yield f"--{name}" if is_switch(option) else f"--{name}="
        if is_switch(option) and option.negate:
            yield f"--no-{name}"


def _bash_values() -> Iterator[str]:
    """Lines of a case; where all commands have the same values, one line for all."""
    for option in OPTIONS.values():
        by_command = {command: values_of(option, command) for command in WITH_OPTIONS if option in options_of(command)}
        name = f"--{option.full_name(1).replace('1', '[0-9]*', 1)}" if option.group else f"--{option.name}"
        shared = set(by_command.values())
        if len(shared) == 1 and any(shared):
            yield f"            *:{name}) values='{shared.pop()}' ;;"
        else:
            for command, values in by_command.items():
                if values:
                    yield f"            {command}:{name}) values='{values}' ;;"


# -- zsh

_ZSH = """\
#compdef holdfast
# Completion of holdfast for zsh, made by: holdfast help completion zsh
_holdfast() {{
    local -a commands shells options
    local context state state_descr line word command
    local -A opt_args
    commands=(
{commands}
    )
    shells=(bash zsh)
    for word in ${{words[2,CURRENT-1]}}; do
        if (( ${{commands[(I)${{(b)word}}:*]}} )); then
            command=$word
            break
        fi
    done
    options=(
{common}
    )
    case $command in
{options}
    esac
    _arguments -S : $options '1: :->command' '*: :->parameter'
    case $state in
        command) _describe -t commands command commands ;;
        parameter)
            case $command in
                help)
                    if [[ ${{words[CURRENT-1]}} == completion ]]; then
                        _describe -t shells shell shells
                    else
                        _describe -t commands command commands
                    fi
                    ;;
                {file_commands}) _files ;;
            esac
            ;;
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _holdfast "$@"
else
    compdef _holdfast holdfast
fi
"""


def zsh() -> str:
    specs = {command: list(_specs(command)) for command in WITH_OPTIONS}
    common = shared(specs)
    options = []
    for command, own in specs.items():
        rest = [spec for spec in own if spec not in common]
        options += [f"        {command})", "            options+=(", *(f"                {spec}" for spec in rest)]
        options += ["            )", "            ;;"]
    return _ZSH.format(
        commands="\n".join(f"        {_quoted(f'{name}:{command.summary}')}" for name, command in COMMANDS.items()),
        common="\n".join(f"        {spec}" for spec in common),
        options="\n".join(options),
        file_commands=" | ".join(FILE_COMMANDS),
    )


def _specs(command: str) -> Iterator[str]:
    """The options of a command as arguments of zsh's _arguments."""
    for option in options_of(command):
        name, help = option.full_name(1), _escaped(_first_sentence(option.help_for(command)))
        if is_switch(option):
            yield _quoted(f"--{name}[{help}]")
            if option.negate:
                yield _quoted(f"--no-{name}[not: {help}]")
        else:
            values = values_of(option, command)
            action = "_files" if values == FILES else f"({values})" if values else " "
            star = "*" if option.any_type.many else ""
            yield _quoted(f"{star}--{name}=[{help}]:{option.any_type.kind}:{action}")


def _first_sentence(text: str) -> str:
    return text.partition(". ")[0].rstrip(".")


def _escaped(text: str) -> str:
    for character in "\\[]:":
        text = text.replace(character, f"\\{character}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
