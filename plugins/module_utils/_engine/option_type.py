# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of value that an option can have: text in, value out, and a sentence that says what would be allowed.

Sizes are bytes, times are seconds (float), both unsigned whole numbers with a unit; there are no fractions, so that
what a person reads in the file is what is meant. parse() raises ValueError with the reason, and knows nothing of the
option: who calls it adds the name. No regular expressions here: compiling them would cost more than a whole start-up
spends on options.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB
PIB = 1024 * TIB
MINUTE = 60
HOUR = 3600
DAY = 86400
WEEK = 604800

LARGEST = 2**63 - 1  # what the format's own implementation can hold
SIZE_UNITS = {"b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB, "p": PIB}
SIZE_SUFFIXES = {unit + rest: factor for unit, factor in SIZE_UNITS.items() for rest in ("", "b", "ib") if unit != "b"}
SIZE_SUFFIXES["b"] = SIZE_SUFFIXES[""] = 1
TIME_UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000, "w": 604800000}  # in milliseconds
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class OptionType:
    """Any text that is not empty; the other kinds narrow it."""

    kind = "string"
    many = ""  # "list" or "map" for options that may be given more than once

    def parse(self, text: str) -> Any:
        if not text:
            raise ValueError("the value is empty")
        return text

    def render(self, value: Any) -> str:
        """The text that parse() turns into this very value."""
        return str(value)

    def allowed(self) -> str:
        """What a person may write, as the end of a sentence; empty when anything goes."""
        return ""


class Boolean(OptionType):
    kind = "boolean"

    def parse(self, text: str) -> bool:
        if text not in ("y", "n"):
            raise ValueError("a switch is y or n")
        return text == "y"

    def render(self, value: Any) -> str:
        return "y" if value else "n"

    def allowed(self) -> str:
        return "y or n"


class Choice(OptionType):
    """One of some words; `later` are those that pgBackRest knows and this engine does not do yet."""

    kind = "choice"

    def __init__(self, *values: str, later: Sequence[str] = ()) -> None:
        self.values = values
        self.later = later

    def parse(self, text: str) -> str:
        if text not in self.values:
            raise ValueError("it is not one of the allowed values")
        return text

    def allowed(self) -> str:
        return ", ".join(self.values[:-1]) + " or " + self.values[-1]


class Integer(OptionType):
    kind = "integer"

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def parse(self, text: str) -> int:
        digits = text[1:] if text[:1] in ("+", "-") else text
        # isdigit() alone is true for digits of other scripts and for superscripts.
        if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
            raise ValueError("it is not a whole number")
        return self._within(int(text))

    def _within(self, value: int) -> int:
        if not self.least <= value <= self.most:
            raise ValueError("it is out of range")
        return value

    def allowed(self) -> str:
        return f"{self.least} to {self.most}"


class Size(Integer):
    """Bytes; every unit is a power of 1024, whichever of the three ways it is spelled."""

    kind = "size"

    def __init__(self, least: int, most: int = 4 * PIB) -> None:
        super().__init__(least, most)

    def parse(self, text: str) -> int:
        digits = text.rstrip(LETTERS)
        factor = SIZE_SUFFIXES.get(text[len(digits) :].lower())
        if factor is None or not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
            raise ValueError("it is not a size such as 512KiB or 20MiB")
        if int(digits) * factor > LARGEST:
            raise ValueError("it is out of range")
        return self._within(int(digits) * factor)

    def render(self, value: Any) -> str:
        for unit in "ptgmk":
            if value and value % SIZE_UNITS[unit] == 0:
                return f"{value // SIZE_UNITS[unit]}{unit.upper()}iB"
        return f"{value}B"

    def allowed(self) -> str:
        return f"{self.render(self.least)} to {self.render(self.most)}"


class SizeChoice(Size):
    """One of some sizes."""

    def __init__(self, *values: int) -> None:
        super().__init__(values[0], values[-1])
        self.values = values

    def parse(self, text: str) -> int:
        value = super().parse(text)
        if value not in self.values:
            raise ValueError("it is not one of the allowed sizes")
        return value

    def allowed(self) -> str:
        return ", ".join(self.render(value) for value in self.values)


class Time(OptionType):
    """Seconds as a float, exact to the millisecond; least and most are seconds, too."""

    kind = "time"

    def __init__(self, least: float, most: float) -> None:
        self.least = least
        self.most = most

    def parse(self, text: str) -> float:
        digits = text.rstrip(LETTERS)
        factor = TIME_UNITS.get(text[len(digits) :].lower() or "s")
        if factor is None or not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
            raise ValueError("it is not a time such as 500ms, 30s, 10m, 2h or 1d")
        value = int(digits) * factor / 1000
        if not self.least <= value <= self.most:
            raise ValueError("it is out of range")
        return value

    def render(self, value: Any) -> str:
        milliseconds = round(value * 1000)
        for unit in ("w", "d", "h", "m", "s"):
            if milliseconds and milliseconds % TIME_UNITS[unit] == 0:
                return f"{milliseconds // TIME_UNITS[unit]}{unit}"
        return f"{milliseconds}ms" if milliseconds else "0s"

    def allowed(self) -> str:
        return f"{self.render(self.least)} to {self.render(self.most)}"


class Path(OptionType):
    """An absolute path without its trailing slash."""

    kind = "path"

    def parse(self, text: str) -> str:
        super().parse(text)
        if not text.startswith("/"):
            raise ValueError("a path starts with /")
        if "//" in text:
            raise ValueError("a path has no //")
        return text[:-1] if len(text) > 1 and text.endswith("/") else text

    def allowed(self) -> str:
        return "an absolute path"


class Name(OptionType):
    """The name of a stanza: it becomes part of paths and of section names, so it has to be harmless in both."""

    kind = "name"

    def parse(self, text: str) -> str:
        super().parse(text)
        if text == "global":
            raise ValueError("global is the name of a section")
        if text.startswith((".", "-")) or any(char in "/:[]=" or char.isspace() or char < " " for char in text):
            raise ValueError("it would not be safe as a part of a path and of a section")
        return text

    def allowed(self) -> str:
        return "a name without blanks and without / : [ ] =, not starting with . or -"


class List(OptionType):
    """Several texts in the order in which they are given; parse() sees one of them."""

    kind = "list"
    many = "list"


class Map(OptionType):
    """Several key=value; parse() sees one of them and returns the pair. The value may be empty."""

    kind = "map"
    many = "map"

    def parse(self, text: str) -> tuple[str, str]:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError("it has to be key=value")
        return key, value

    def allowed(self) -> str:
        return "key=value"


STRING = OptionType()
BOOLEAN = Boolean()
PATH = Path()
LIST = List()
MAP = Map()
