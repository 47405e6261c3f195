# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the sources say to one value for each option that the command knows.

The command line goes before the environment, that before the files, and the default comes last; in the files,
[stanza:command] goes before [stanza], [global:command] and [global]. An option is taken whole from the first that has
it. Only what the command uses is looked at: a bad value in the file must not stop a command that does not need it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .command_line import (
    FROM_LINE,
    NEGATE,
    RESET,
    Given,
    Givens,
    Name,
    already_given,
    environment_name,
    find_option,
    unknown_in_file,
)
from .config_file import Sections
from .errors import OptionInvalidError, OptionInvalidValueError, OptionRequiredError
from .option_table import COMMAND_LINE, OPTIONS, STANZA, Option
from .option_type import Boolean, OptionType

SOURCE_PLACES = {FROM_LINE: "the command line", "environment": "the environment", "file": "the configuration file"}


class Sources:
    """All that was said, before it is known for which command and stanza it is needed.

    files: paths of the files and directories that were read or looked for; read_at: epoch ns before the first of them.
    words: the command line as it was given.
    """

    def __init__(
        self,
        line: Givens,
        environment: Givens,
        sections: Sections,
        exec_id: str,
        files: Sequence[str] = (),
        read_at: int = 0,
        words: Sequence[str] = (),
    ) -> None:
        self.line = line
        self.environment = environment
        self.sections = sections
        self.exec_id = exec_id
        self.files = tuple(files)
        self.read_at = read_at
        self.words = tuple(words)


class Draft:
    """The values of all options of a command while they are put together; the Config is made from it.

    values: attribute -> value; groups: "pg" and "repo" -> key -> attribute without group -> value, ascending by key.
    given: what counts of the sources; an option that is not in it has its default.
    """

    def __init__(self, command: str) -> None:
        self.command = command
        self.values: dict[str, Any] = {}
        self.groups: dict[str, dict[int, dict[str, Any]]] = {"pg": {}, "repo": {}}
        self.given: Givens = {}
        self.warnings: list[str] = []

    def is_given(self, name: str, key: int = 0) -> bool:
        return (name, key) in self.given and self.given[name, key].mode != RESET


def resolve(sources: Sources, command: str, overrides: Mapping[str, Any]) -> Draft:
    """overrides: attribute -> value, set by the program itself; they count as if from the command line."""
    draft = Draft(command)
    merged = _merge(sources, command, overrides, draft.warnings)
    _take_old_compress(merged, draft)

    resolver = Resolver(draft, merged)
    for option in OPTIONS.values():
        if command in option.commands and not option.group:
            draft.values[option.attribute] = resolver.final_value(option, 0)
    for group in draft.groups:
        _resolve_group(resolver, group, draft)
    return draft


def _merge(sources: Sources, command: str, overrides: Mapping[str, Any], warnings: list[str]) -> Givens:
    """For each option that the command knows, the first source that has it."""
    first: Givens = {("exec-id", 0): Given(FROM_LINE, [sources.exec_id]), **sources.environment, **sources.line}
    unset = set()
    for attribute, value in overrides.items():
        option = OPTIONS[attribute.replace("_", "-")]
        if value is None:
            unset.add(option.name)
        else:
            first[option.name, 0] = Given(FROM_LINE, _as_texts(option, command, value))
    stanza = None if "stanza" in unset else first.get(("stanza", 0))
    merged = parse_file(sources.sections, command, _stanza_name(stanza), warnings)
    merged.update((name, given) for name, given in first.items() if command in OPTIONS[name[0]].commands)
    return {name: given for name, given in merged.items() if name[0] not in unset}


def _stanza_name(given: Given | None) -> str | None:
    """Needed before everything else, because it decides which sections are read; it is checked with the rest."""
    return given.texts[0] if given and given.texts else None


def _as_texts(option: Option, command: str, value: Any) -> list[str]:
    """A value of the program as text, so that it takes the same way as everything else."""
    if option.any_type.many == "map":
        return [f"{key}={text}" for key, text in value.items()]
    if option.any_type.many == "list":
        return list(value)
    return [option.type_for(command).render(value)]


def parse_file(sections: Sections, command: str, stanza: str | None, warnings: list[str]) -> Givens:
    """What the files say for a command and a stanza; what cannot count there becomes a warning."""
    givens: Givens = {}
    searched = [f"{stanza}:{command}", stanza] if stanza else []
    for section in (*searched, f"global:{command}", "global"):
        seen: set[Name] = set()
        for written, texts in sections.get(section, {}).items():
            where = f"configuration section [{section}]"
            found = find_option(written, where + ": ")
            if found is None:
                warnings.append(f"{where} {unknown_in_file(written)}")
                continue
            option, key = found
            if (option.name, key) in seen:
                raise already_given(option.full_name(key))
            seen.add((option.name, key))
            misplaced = _misplaced(option, command, section)
            if misplaced:
                warnings.append(f"{where} has option {written}, which {misplaced} and is ignored")
            elif misplaced is None:
                if len(texts) > 1 and not option.any_type.many:
                    raise OptionInvalidError(f"{where} has option {written} more than once", "remove all but one")
                givens.setdefault((option.name, key), Given("file", texts))
    return givens


def _misplaced(option: Option, command: str, section: str) -> str | None:
    """Why an option does not count in this section: None when it does, empty when nobody needs to know."""
    if option.where == COMMAND_LINE:
        return "is only for the command line"
    if command not in option.commands:
        return f"is not for the command {command}" if ":" in section else ""
    if option.where == STANZA and section.partition(":")[0] == "global":
        return "belongs into the section of a stanza"
    return None


def _take_old_compress(merged: Givens, draft: Draft) -> None:
    old = merged.get(("compress", 0))
    if old is None or old.mode == RESET:
        return
    if ("compress-type", 0) in merged:
        draft.warnings.append("option compress is ignored, because compress-type is given, too")
    elif old.mode == NEGATE or old.texts == ["n"]:
        merged["compress-type", 0] = Given(old.source, ["none"])


def _resolve_group(resolver: Resolver, group: str, draft: Draft) -> None:
    options = [option for option in OPTIONS.values() if option.group == group and draft.command in option.commands]
    if not options:
        return
    keys = resolver.used_keys(group)
    if not keys or group == "pg":
        keys.add(1)  # the first cluster is never left out: to configure only pg2-path is a slip
    for key in sorted(keys):
        draft.groups[group][key] = {
            option.attribute[len(group) + 1 :]: resolver.final_value(option, key) for option in options
        }


class Resolver:
    """Values by name, each worked out once: what an option depends on comes first."""

    def __init__(self, draft: Draft, merged: Givens) -> None:
        self.draft = draft
        self.command = draft.command
        self.merged = merged
        self.values: dict[Name, Any] = {}

    def used_keys(self, group: str) -> set[int]:
        """Keys of which at least one option was given and counts."""
        return {
            key
            for (name, key), given in self.merged.items()
            if OPTIONS[name].group == group and given.mode != RESET and self._unmet(OPTIONS[name], key) is None
        }

    def final_value(self, option: Option, key: int) -> Any:
        """The value; OptionRequiredError when the command cannot do without one."""
        value = self.value(option, key)
        if value in (None, (), {}) and self.command in option.required and self._unmet(option, key) is None:
            raise self._required(option, key)
        return value

    def value(self, option: Option, key: int) -> Any:
        name = (option.name, key)
        if name not in self.values:
            self.values[name] = self._work_out(option, key, self.merged.get(name))
        return self.values[name]

    def _work_out(self, option: Option, key: int, given: Given | None) -> Any:
        selector = self._selector(option, key)
        kind = option.type_for(selector)
        unmet = self._unmet(option, key)
        if unmet is not None:
            if given is not None and given.source == FROM_LINE and given.mode != RESET:
                raise OptionInvalidError(f"option --{option.full_name(key)} does not count here", f"it needs {unmet}")
            return None if option.otherwise is None else kind.parse(option.otherwise)
        if given is not None:
            self.draft.given[option.name, key] = given
        if given is not None and given.mode != RESET:
            return self._parse(option, key, kind, given)
        default = option.default_for(selector)
        if default is not None:
            return kind.parse(default)
        return {"list": (), "map": {}}.get(kind.many)

    def _unmet(self, option: Option, key: int) -> str | None:
        """What is missing for the option to count, in words; None when nothing is."""
        depends = option.depends_for(self.command)
        if depends is None:
            return None
        other = OPTIONS[depends.option]
        other_key = key if other.group else 0
        text = self._text(other, other_key)
        if depends.values and text not in depends.values:
            return f"--{other.full_name(other_key)} to be {' or '.join(depends.values)}"
        return f"--{other.full_name(other_key)}" if text is None else None

    def _text(self, option: Option, key: int) -> str | None:
        value = self.value(option, key)
        return None if value is None else option.any_type.render(value)

    def _selector(self, option: Option, key: int) -> str:
        if option.by != "value" or option.depends is None:
            return self.command
        return self._text(OPTIONS[option.depends.option], key if option.group else 0) or ""

    def _parse(self, option: Option, key: int, kind: OptionType, given: Given) -> Any:
        if given.mode == NEGATE:
            return False if isinstance(kind, Boolean) else "n" if option.name == "backup-standby" else None
        try:
            if not kind.many:
                return kind.parse(given.texts[0])
            values = [kind.parse(text) for text in given.texts]
        except ValueError as error:
            raise self._invalid(option, key, kind, given, error) from None
        return tuple(values) if kind.many == "list" else self._map(option, key, values)

    def _map(self, option: Option, key: int, pairs: list[tuple[str, str]]) -> dict[str, str]:
        result = dict(pairs)
        if len(result) < len(pairs):
            twice = sorted({name for name, _other in pairs if [other for other, _other in pairs].count(name) > 1})
            self.draft.warnings.append(
                f"option {option.full_name(key)} has {', '.join(twice)} more than once; the last value counts"
            )
        return result

    def _invalid(self, option: Option, key: int, kind: OptionType, given: Given, error: ValueError) -> Exception:
        shown = "<redacted>" if option.secret else repr(", ".join(given.texts))
        allowed = kind.allowed()
        message = f"option {option.full_name(key)} cannot be {shown}: {error}"
        hint = f"allowed: {allowed}" if allowed else ""
        place = f"it is set by {SOURCE_PLACES[given.source]}"
        # A map entry without "=" is a wrong use of the option; everything else is a wrong value.
        kind_of_error = OptionInvalidError if kind.many == "map" else OptionInvalidValueError
        return kind_of_error(message, f"{hint}\n{place}" if hint else place)

    def _required(self, option: Option, key: int) -> OptionRequiredError:
        name = option.full_name(key)
        if option.where == STANZA:
            stanza = self.merged.get(("stanza", 0))
            text = stanza.texts[0] if stanza and stanza.texts else ""
            hint = f"does the configuration file have a section [{text}] with {name}? Is --stanza right?"
        elif option.where == COMMAND_LINE:
            hint = f"add --{name}=<value>" + (f", for example --{name}={option.example}" if option.example else "")
        else:
            hint = f"set {name} in the configuration file, or {environment_name(name)} in the environment"
        return OptionRequiredError(f"the command {self.command} needs option {name}", hint)
