# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checksummed envelope that archive.info, backup.info and backup.manifest share (repository format, section 2).

A document is lines: "[section]", "key=JSON value", or empty. Keys are raw bytes, so a key may contain '=' and quotes.
The checksum is the SHA-1 of the document as one compact JSON object, taken from the text of its lines. Text is bytes
decoded with surrogateescape, and order is byte order, so that names which are not UTF-8 come back as they were.

Reading and writing go line by line in batches: a manifest has as many lines as the cluster has files. What is read is
not trusted: depth, numbers and lines have limits, and messages show no values, since some are secret.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar, Union

from ..errors import AssertError, ChecksumError, FormatError
from ..version import FORMAT

Chunk = Union[bytes, bytearray, memoryview]
Handler = Callable[[list[str]], list[str]]  # value lines of a section -> their members (see Digest)

HEADER = "backrest"
HISTORY = "db:history"  # the only section whose keys are in numeric order

_CHECKSUM = "backrest-checksum"
_PIECE = 1 << 18  # bytes decoded at a time: bounds the memory for lines, and is large enough to be fast
_MAX_LINE = 16 << 20  # bytes; the longest real line lists every second page of a file as invalid
_MAX_SPLITS = 4096  # longest path in bytes: so many '=' a file name can have
_MAX_DIGITS = 20  # of a number of 64 bits
_INT_MIN, _UINT_MAX = -(1 << 63), (1 << 64) - 1
_MAX_OBJECT_KEY = 66  # bytes: the reference reads no longer one
_BATCH = 4096  # lines rendered at a time

_SECTION = re.compile(r"\n\[(.*)\](?=\n|\Z)")  # begins with fixed text, which makes the search several times faster
_SPACE = re.compile(r"[ \t\r]*")
_SPECIAL = re.compile(r'["\\\n\r\t\b\f]')
_ESCAPES = str.maketrans({'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"})
_BAD_OBJECT_KEY = re.compile(r'["\\\x00-\x1f]')
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"([ \t]*:)?', re.DOTALL)
_BAD_ESCAPE = re.compile(r'\\(?!["\\/bfnrt])')

T = TypeVar("T", int, str, bool, dict[str, Any])


class Document(NamedTuple):
    """What was read. repeated: (section, key) of lines that came twice; the last one counts."""

    sections: dict[str, dict[str, Any]]
    repeated: list[tuple[str, str]]

    @property
    def writer(self) -> str:
        """Name and version of the program that wrote the document; empty when it does not say."""
        return optional(self.sections.get(HEADER, {}), "backrest-version", str, f"[{HEADER}]") or ""


class Digest:
    """The checksum of a document, from its members: '"key":value' of each line, with the value's text unchanged."""

    def __init__(self) -> None:
        self._sha1 = hashlib.sha1(b"{", usedforsecurity=False)
        self._section: str | None = None

    def update(self, section: str, members: Sequence[str]) -> None:
        """Count the members of consecutive lines of a section."""
        if members:
            opening = "," if section == self._section else f'{"" if self._section is None else "},"}"{section}":{{'
            self._section = section
            self._sha1.update(encode(opening + ",".join(members)))

    def hexdigest(self) -> str:
        """The checksum when nothing more comes."""
        self._sha1.update(b"}}")
        return self._sha1.hexdigest()


# -- text


def encode(text: str) -> bytes:
    """The bytes that text was decoded from."""
    return text.encode("utf-8", "surrogateescape")


def in_byte_order(texts: Iterable[str]) -> list[str]:
    """Texts sorted as their bytes sort, which is what format 5 asks for everywhere."""
    return sorted(texts, key=encode)


def render_key(key: str) -> str:
    """A key as a JSON string, as the checksum counts it."""
    return f'"{key.translate(_ESCAPES)}"' if _SPECIAL.search(key) else f'"{key}"'


def render_value(value: Any) -> str:
    """Compact JSON of None, a bool, int, str, sequence or mapping; FormatError for a key that nobody can read."""
    if isinstance(value, str):
        return render_key(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        for key in value:
            if _BAD_OBJECT_KEY.search(key) or len(encode(key)) > _MAX_OBJECT_KEY:
                raise FormatError(
                    f"the key {ascii(key)} cannot be stored",
                    f"a key has no quotes, backslashes or control characters, and at most {_MAX_OBJECT_KEY} bytes",
                )
        return "{" + ",".join(f'"{key}":{render_value(value[key])}' for key in in_byte_order(value)) + "}"
    if isinstance(value, Sequence):
        return "[" + ",".join(render_value(item) for item in value) + "]"
    raise AssertError(f"a document cannot hold {type(value).__name__}")


# -- reading


def parse(data: Chunk) -> dict[str, dict[str, Any]]:
    """The sections of a document, without its checksum; ChecksumError or FormatError when it is not whole."""
    return parse_stream([data]).sections


def parse_stream(chunks: Iterable[Chunk], handlers: Mapping[str, Handler] | None = None) -> Document:
    """Read a document in one pass; ChecksumError or FormatError when it is not whole.

    chunks: each is used up before the next is pulled. handlers: by section, who takes its lines instead of the result,
    a batch at a time. What handlers were given is only known to be good when this function returns.
    """
    handlers = handlers or {}
    document = Document({}, [])
    digest = Digest()
    for section, lines in _batches(chunks):
        handler = handlers.get(section)
        if handler is None:
            members = _collect(document, section, lines)
        else:
            members = handler(lines)
        digest.update(section, members)
    header = document.sections.get(HEADER, {})
    stored, computed = header.pop(_CHECKSUM, None), digest.hexdigest()
    if header.get("backrest-format", FORMAT) != FORMAT:
        raise FormatError(f"the repository format is not {FORMAT}", "was it written by a newer program?")
    if stored != computed:
        raise ChecksumError(
            f"the stored checksum is {stored}, the computed one {computed}" if stored else "there is no checksum",
            "the file is damaged, truncated or was edited",
        )
    return document


def _collect(document: Document, section: str, lines: list[str]) -> list[str]:
    """Put the values of lines into the document; return their members."""
    values = document.sections.setdefault(section, {})
    members = []
    for line in lines:
        key, text, value = split_line(section, line)
        if section != HEADER or key != _CHECKSUM:
            members.append(f"{render_key(key)}:{text}")
        if key in values:
            document.repeated.append((section, key))
        values[key] = value
    return members


def split_line(section: str, line: str) -> tuple[str, str, Any]:
    """Key, text of the value, value. A key may contain '=', and ends at the first one that a JSON value follows."""
    end = line.find("=", 1)
    for _attempt in range(_MAX_SPLITS):
        if end < 0:
            break
        try:
            return line[:end], line[end + 1 :], _value(line, end + 1)
        except (ValueError, RecursionError):
            end = line.find("=", end + 1)
    key = line.partition("=")[0][:100]
    raise FormatError(f"section [{section}]: the line that begins with {ascii(key)} is not key=value")


def _value(line: str, start: int) -> Any:
    """The JSON value that fills line from start to its end; ValueError or RecursionError for none."""
    start = _SPACE.match(line, start).end()  # type: ignore[union-attr]  # matches everywhere
    value, end = _scan(line, start)
    if _SPACE.match(line, end).end() != len(line):  # type: ignore[union-attr]
        raise ValueError
    if "\\" in line:
        _check_escapes(line[start:end])
    return value


def _check_escapes(text: str) -> None:
    # The reference knows no \u, and no escape at all in the key of an object: a file that has one is not its own.
    for string, colon in _STRING.findall(text):
        if "\\" in string and (colon or _BAD_ESCAPE.search(string.replace("\\\\", ""))):
            raise ValueError


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The reference finds keys only in ascending order; two of one name could mean different things to two readers."""
    keys = [encode(key) for key, _value in pairs]
    if any(first >= second for first, second in zip(keys, keys[1:])):
        raise ValueError
    return dict(pairs)


def _integer(text: str) -> int:
    # Length first: turning a million digits into a number takes minutes.
    if len(text) > _MAX_DIGITS or not _INT_MIN <= (value := int(text)) <= _UINT_MAX:
        raise ValueError
    return value


def _refuse(text: str) -> Any:
    raise ValueError


# strict=False: control characters without an escape of one letter stand in strings as they are.
_scan = json.JSONDecoder(
    strict=False, object_pairs_hook=_object, parse_int=_integer, parse_float=_refuse, parse_constant=_refuse
).raw_decode


def _batches(chunks: Iterable[Chunk]) -> Iterator[tuple[str, list[str]]]:
    """(section, value lines), in the order of the document; a section may come in several batches."""
    section: str | None = None
    for lines in _whole_lines(chunks):
        text = "\n" + lines
        position = 0
        for match in _SECTION.finditer(text):
            yield from _batch(section, text[position : match.start()])
            section, position = match[1], match.end()
        yield from _batch(section, text[position:])


def _batch(section: str | None, text: str) -> Iterator[tuple[str, list[str]]]:
    lines = [line for line in text.split("\n") if line]
    if lines:
        if section is None:
            raise FormatError("the file does not begin with a section", "is it encrypted, or is the passphrase wrong?")
        yield section, lines


def _whole_lines(chunks: Iterable[Chunk]) -> Iterator[str]:
    """The text of the chunks in pieces that end with a line, about _PIECE bytes each."""
    rest = bytearray()
    for chunk in chunks:
        view = memoryview(chunk)
        for start in range(0, len(view), _PIECE):
            rest += view[start : start + _PIECE]
            cut = rest.rfind(b"\n") + 1
            if cut:
                yield rest[:cut].decode("utf-8", "surrogateescape")
                del rest[:cut]
            elif len(rest) > _MAX_LINE:
                raise FormatError(f"a line is longer than {_MAX_LINE} bytes")
    if rest:
        yield rest.decode("utf-8", "surrogateescape")


# -- writing


def render(sections: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A whole document. sections: among them HEADER with format and version, see header()."""
    return b"".join(
        render_stream(
            (section, ((key, render_value(sections[section][key])) for key in _key_order(section, sections[section])))
            for section in in_byte_order(sections)
        )
    )


def header(writer: str) -> dict[str, Any]:
    """The section HEADER of a document. writer: name and version of the program, free text."""
    return {"backrest-format": FORMAT, "backrest-version": writer}


def render_stream(sections: Iterable[tuple[str, Iterable[tuple[str, str]]]]) -> Iterator[bytes]:
    """A document in pieces of some thousand lines.

    sections: (name, lines as (key, text of the value)), all in byte order; what is empty is left out.
    FormatError for a key that contains a line feed: no reader could make sense of it.
    """
    digest = Digest()
    for section, lines in sections:
        remaining = iter(lines)
        opening = f"[{section}]\n"
        while batch := list(islice(remaining, _BATCH)):
            if _SPECIAL.search("".join([key for key, _text in batch])):
                members = [f"{render_key(key)}:{text}" for key, text in batch]
            else:
                members = [f'"{key}":{text}' for key, text in batch]
            digest.update(section, members)
            document = "".join([f"{key}={text}\n" for key, text in batch])
            if document.count("\n") != len(batch):
                raise FormatError(_line_feed(section, batch), "rename or exclude it")
            yield encode(opening + document)
            opening = ""
        if not opening:
            yield b"\n"
    yield f'[{HEADER}]\n{_CHECKSUM}="{digest.hexdigest()}"\n'.encode()


def _line_feed(section: str, batch: list[tuple[str, str]]) -> str:
    key = next(key for key, _text in batch if "\n" in key)
    return f"the name {ascii(key)} in section [{section}] contains a line feed, which a document cannot hold"


def _key_order(section: str, keys: Iterable[str]) -> list[str]:
    return sorted(keys, key=int) if section == HISTORY else in_byte_order(keys)


# -- typed access to what was read


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number; Python takes true and false for numbers, too."""
    return isinstance(value, int) and not isinstance(value, bool)


def required(values: Mapping[str, Any], key: str, kind: type[T], where: str) -> T:
    """values[key], of the given kind and not negative; FormatError, which begins with where, for anything else."""
    value = optional(values, key, kind, where)
    if value is None:
        raise FormatError(f"{where}: {key} is missing")
    return value


def optional(values: Mapping[str, Any], key: str, kind: type[T], where: str) -> T | None:
    """Like required, but None when it is missing or null."""
    value = values.get(key)
    if value is None:
        return None
    if not isinstance(value, kind) or (kind is int and (not is_number(value) or value < 0)):
        raise FormatError(f"{where}: {key} is not {_KINDS[kind]}")
    return value


_KINDS: dict[type, str] = {int: "a number from 0", str: "a string", bool: "true or false", dict: "an object"}
