# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file in a manifest, and its line in [target:file].

There are as many of these as the cluster has files, which decides what a backup costs in memory and in time before the
first byte is copied. So a File has slots, raw checksums, and shares equal strings and numbers with others; and a line
in the usual form is taken apart by one regular expression, which at the same time proves that it is in this form.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, Union

from ..errors import FormatError
from . import ini

PageError = Union[int, tuple[int, int]]

EMPTY_SHA1 = bytes.fromhex("da39a3ee5e6b4b0d3255bfef95601890afd80709")
BLOCK_UNIT = 8192  # block sizes are written as multiples of it
BLOCK_CHECKSUM_SIZE = 6  # bytes, when a line does not say


class Attributes(NamedTuple):
    """What an entry has unless it says otherwise. user, group: None when the id has no name."""

    mode: int
    user: str | None
    group: str | None


class File:
    """A file as it was copied. Sizes and offsets are bytes.

    name: manifest name; a byte that is not UTF-8 stands there as surrogateescape has it
    size, size_original: as copied, and as seen when the manifest was built (None: the same)
    timestamp: last change, epoch seconds
    mode, user, group: as in the cluster; None for the owner of an id without a name
    checksum, rck: SHA-1 of the plain file and of the stored bytes, 20 bytes each; None: not known, not needed
    repo_size: of what is stored
    reference: label of the backup that holds it, None for the manifest's own
    bundle_id, bundle_offset: where in which bundle; 0: not in a bundle
    block_size, block_checksum_size: of block incremental; 0, 6 without
    block_map_size: of the stored map; the file is block incremental if and only if this is not 0
    checksum_page: whether all pages are valid, None when they were not checked
    checksum_page_error: the invalid ones, as numbers and (first, last); None when there is no list
    """

    __slots__ = (
        "block_checksum_size",
        "block_map_size",
        "block_size",
        "bundle_id",
        "bundle_offset",
        "checksum",
        "checksum_page",
        "checksum_page_error",
        "group",
        "mode",
        "name",
        "rck",
        "reference",
        "repo_size",
        "size",
        "size_original",
        "timestamp",
        "user",
    )

    def __init__(
        self,
        name: str,
        size: int,
        timestamp: int,
        mode: int = 0o600,
        user: str | None = None,
        group: str | None = None,
        checksum: bytes | None = None,
        rck: bytes | None = None,
        repo_size: int | None = None,
        reference: str | None = None,
        bundle_id: int = 0,
        bundle_offset: int = 0,
        checksum_page: bool | None = None,
        checksum_page_error: tuple[PageError, ...] | None = None,
        block_size: int = 0,
        block_checksum_size: int = BLOCK_CHECKSUM_SIZE,
        block_map_size: int = 0,
        size_original: int | None = None,
    ) -> None:
        self.name = name
        self.size = size
        self.timestamp = timestamp
        self.mode = mode
        self.user = user
        self.group = group
        self.checksum = checksum
        self.rck = rck
        self.repo_size = size if repo_size is None else repo_size
        self.reference = reference
        self.bundle_id = bundle_id
        self.bundle_offset = bundle_offset
        self.checksum_page = checksum_page
        self.checksum_page_error = checksum_page_error
        self.block_size = block_size
        self.block_checksum_size = block_checksum_size
        self.block_map_size = block_map_size
        self.size_original = size_original

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, File):
            return NotImplemented
        return all(getattr(self, slot) == getattr(other, slot) for slot in self.__slots__)

    def __repr__(self) -> str:
        return f"File({', '.join(f'{slot}={getattr(self, slot)!r}' for slot in self.__slots__)})"


# -- reading


def _maybe(pattern: str) -> str:
    return f"(?:{pattern}|)"  # means what (?:...)? means, and takes a third less time


_NUMBER = r"(0|[1-9][0-9]{0,18})"
_COUNT = r"([1-9][0-9]{0,18})"
_OWNER = r'("[^"\\]+"|false)'
_USUAL = re.compile(
    # A name that needs no escape in the checksum, and no second thought about where it ends.
    r'([^="\\\n\r\t\x08\f]+)=(\{'
    + _maybe(r'"bi":([1-9][0-9]{0,8}),' + _maybe(r'"bic":([6-9]|1[0-6]),'))
    + _maybe(rf'"bim":{_NUMBER},')
    + _maybe(rf'"bni":{_COUNT},' + _maybe(rf'"bno":{_NUMBER},'))
    + _maybe(r'"checksum":"([0-9a-f]{40})",')
    + _maybe(r'"checksum-page":(true|false),')
    + _maybe(rf'"group":{_OWNER},')
    + _maybe(r'"mode":"([0-7]{4})",')
    + _maybe(r'"rck":"([0-9a-f]{40})",')
    + _maybe(r'"reference":"([0-9DFI_-]+)",')
    + _maybe(rf'"repo-size":{_NUMBER},')
    + rf'"size":{_NUMBER}'
    + _maybe(rf',"szo":{_NUMBER}')
    + r',"timestamp":(-?(?:0|[1-9][0-9]{0,18}))'
    + _maybe(rf',"user":{_OWNER}')
    + r"\})"
).fullmatch
_HEX = re.compile(r"[0-9a-f]{40}")
_MODE = re.compile(r"[0-7]{4}")
_SHARED = 1 << 16  # numbers remembered at a time

_DEFAULT: Any = object()  # stands for an attribute that a line leaves to the default, which comes later in the file


class FileReader:
    """Makes Files of the lines of [target:file], as a handler for ini.parse_stream."""

    def __init__(self) -> None:
        self.files: list[File] = []
        self._texts: dict[str, str] = {}
        self._numbers = _Numbers()

    def __call__(self, lines: list[str]) -> list[str]:
        members, files = [], self.files
        numbers, texts, fromhex = self._numbers, self._texts, bytes.fromhex
        for line in lines:
            match = _USUAL(line)
            if match is None:
                members.append(self._unusual(line))
                continue
            (
                name, text, bi, bic, bim, bni, bno, checksum, page, group, mode, rck, reference, repo_size, size, szo,
                timestamp, user,
            ) = match.groups()  # fmt: skip
            plain = numbers[size]
            file = File(
                name,
                plain,
                numbers[timestamp],
                _DEFAULT if mode is None else int(mode, 8),
                _DEFAULT if user is None else self._owner(user),
                _DEFAULT if group is None else self._owner(group),
                fromhex(checksum) if checksum else None if plain else EMPTY_SHA1,
                fromhex(rck) if rck else None,
                numbers[repo_size] if repo_size else plain,
                texts.setdefault(reference, reference) if reference else None,
                numbers[bni] if bni else 0,
                int(bno) if bno else 0,
                _FLAGS[page],
            )
            if bi or bim or szo:
                file.block_size = int(bi) * BLOCK_UNIT if bi else 0
                file.block_checksum_size = int(bic) if bic else BLOCK_CHECKSUM_SIZE
                file.block_map_size = int(bim) if bim else 0
                file.size_original = int(szo) if szo else None
            files.append(file)
            members.append(f'"{name}":{text}')
        return members

    def finish(self, default: Attributes) -> list[File]:
        """All files, once the defaults are known."""
        mode, user, group = default
        for file in self.files:
            if file.mode is _DEFAULT:
                file.mode = mode
            if file.user is _DEFAULT:
                file.user = user
            if file.group is _DEFAULT:
                file.group = group
        return self.files

    def _unusual(self, line: str) -> str:
        """A line in any other form that is allowed: an odd name, white space, unknown keys, page errors."""
        name, text, values = ini.split_line("target:file", line)
        if not isinstance(values, dict):
            raise FormatError(f"file {ascii(name)}: not an object")
        file = _parse_file(name, values)
        self.files.append(file)
        return f"{ini.render_key(name)}:{text}"

    def _owner(self, text: str) -> str | None:
        return None if text == "false" else self._texts.setdefault(text, text[1:-1])


class _Numbers(dict[str, int]):
    """Numbers by their text, so that equal ones are one object: sizes, times and bundles mostly repeat."""

    def __missing__(self, text: str) -> int:
        if len(self) >= _SHARED:
            self.clear()
        value = self[text] = int(text)
        return value


_FLAGS = {"true": True, "false": False, None: None}


def _parse_file(name: str, values: dict[str, Any]) -> File:
    where = f"file {ascii(name)}"
    size = ini.required(values, "size", int, where)
    timestamp: Any = values.get("timestamp")
    if not ini.is_number(timestamp):
        raise FormatError(f"{where}: timestamp is missing or not a number")
    block_size = (ini.optional(values, "bi", int, where) or 0) * BLOCK_UNIT
    checksum_size = (ini.optional(values, "bic", int, where) if block_size else None) or BLOCK_CHECKSUM_SIZE
    if not BLOCK_CHECKSUM_SIZE <= checksum_size <= 16:
        raise FormatError(f"{where}: a block checksum cannot have {checksum_size} bytes")
    bundle_id = ini.optional(values, "bni", int, where) or 0
    return File(
        name,
        size,
        timestamp,
        parse_mode(values, where, _DEFAULT),
        parse_owner(values, "user", where, _DEFAULT),
        parse_owner(values, "group", where, _DEFAULT),
        _parse_sha1(values, "checksum", where) or (None if size else EMPTY_SHA1),
        _parse_sha1(values, "rck", where),
        ini.optional(values, "repo-size", int, where),
        ini.optional(values, "reference", str, where),
        bundle_id,
        (ini.optional(values, "bno", int, where) or 0) if bundle_id else 0,
        ini.optional(values, "checksum-page", bool, where),
        _parse_page_error(values.get("checksum-page-error"), where),
        block_size,
        checksum_size,
        ini.optional(values, "bim", int, where) or 0,
        ini.optional(values, "szo", int, where),
    )


def parse_mode(values: dict[str, Any], where: str, default: int) -> int:
    """values["mode"], four octal digits in a string."""
    text = ini.optional(values, "mode", str, where)
    if text is None:
        return default
    if not _MODE.fullmatch(text):
        raise FormatError(f"{where}: mode is not four octal digits")
    return int(text, 8)


def parse_owner(values: dict[str, Any], key: str, where: str, default: str | None) -> str | None:
    """values["user"] or values["group"]: a name, or false for an id without a name."""
    if values.get(key) is False:
        return None
    text = ini.optional(values, key, str, where)
    return default if text is None else text


def _parse_sha1(values: dict[str, Any], key: str, where: str) -> bytes | None:
    text = ini.optional(values, key, str, where)
    if text is None:
        return None
    if not _HEX.fullmatch(text):
        raise FormatError(f"{where}: {key} is not a SHA-1")
    return bytes.fromhex(text)


def _parse_page_error(values: Any, where: str) -> tuple[PageError, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list) or not all(_is_page_error(item) for item in values):
        raise FormatError(f"{where}: checksum-page-error is not a list of pages")
    return tuple(tuple(item) if isinstance(item, list) else item for item in values)


def _is_page_error(item: Any) -> bool:
    first, last = item if isinstance(item, list) and len(item) == 2 else (item, item)
    return ini.is_number(first) and ini.is_number(last) and 0 <= first <= last


# -- writing


def render_file(file: File, default: Attributes) -> str:
    """The value of a file's line; what equals the default is left out."""
    text = "{"
    if file.block_size:
        text += f'"bi":{file.block_size // BLOCK_UNIT},'
        if file.block_checksum_size != BLOCK_CHECKSUM_SIZE:
            text += f'"bic":{file.block_checksum_size},'
    if file.block_map_size:
        text += f'"bim":{file.block_map_size},'
    if file.bundle_id:
        text += f'"bni":{file.bundle_id},'
        if file.bundle_offset:
            text += f'"bno":{file.bundle_offset},'
    if file.checksum is not None and file.size:
        text += f'"checksum":"{file.checksum.hex()}",'
    if file.checksum_page is not None:
        text += '"checksum-page":true,' if file.checksum_page else '"checksum-page":false,'
        if file.checksum_page_error:
            text += f'"checksum-page-error":{ini.render_value(file.checksum_page_error)},'
    if file.group != default.group:
        text += f'"group":{ini.render_value(owner_value(file.group))},'
    if file.mode != default.mode:
        text += f'"mode":"{file.mode:04o}",'
    if file.rck is not None:
        text += f'"rck":"{file.rck.hex()}",'
    if file.reference is not None:
        text += f'"reference":"{file.reference}",'
    if file.repo_size != file.size:
        text += f'"repo-size":{file.repo_size},'
    text += f'"size":{file.size},'
    if file.size_original is not None and file.size_original != file.size:
        text += f'"szo":{file.size_original},'
    text += f'"timestamp":{file.timestamp}'
    if file.user != default.user:
        text += f',"user":{ini.render_value(owner_value(file.user))}'
    return text + "}"


def owner_value(name: str | None) -> str | bool:
    """A user or group as JSON has it: false for an id without a name."""
    return False if name is None else name
