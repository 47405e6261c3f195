# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Storage protocol, its values, and what is built on its primitives.

A driver knows one kind of storage; all drivers pass the same tests. They differ in features, asked for by name and
never by type. Names are relative and '/'-separated, "" is the root; the bytes of a name are its UTF-8 with
surrogateescape, whatever the locale. A driver translates what its medium raises, once; callers see EngineError only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, Protocol

from ..errors import AssertError
from ..stream.through import CHUNK, Chunk

__all__ = ["CHUNK", "Chunk", "Entry", "Feature", "Kind", "Storage", "check_name", "get", "join", "put", "walk"]

Kind = Literal["file", "path", "link", "special"]
Feature = Literal["path", "link", "hardlink", "rename"]  # "path": directories exist by themselves, also empty ones


class Entry(NamedTuple):  # a named tuple, because a scan makes a million of them
    """What a storage knows of a thing without reading it, links not followed."""

    name: str
    kind: Kind
    size: int = 0  # bytes; files only
    timestamp: int = 0  # of the last modification, epoch seconds, rounded down
    destination: str = ""  # links only
    mode: int = 0  # permission bits; 0 where the storage has none
    uid: int = -1  # -1 where the storage has no owners
    gid: int = -1


class Storage(Protocol):
    """Byte strings under relative, '/'-separated names; offset and limit in bytes."""

    @property
    def features(self) -> frozenset[Feature]: ...

    def read(self, name: str, offset: int = 0, limit: int | None = None) -> Iterator[Chunk]:
        """The bytes [offset, offset + limit), fewer where the file ends; to its end without a limit.

        Nothing happens before the first pull. FileMissingError when there is no such file.
        """

    def write(self, name: str, chunks: Iterable[Chunk], durable: bool = True) -> None:
        """Create or replace a file, and the directories above it where they are missing.

        durable: on return the file survives a power failure; if anything raises, what was there before still is.
        Not durable: many times cheaper. If anything raises the file is gone; until sync() a crash may leave any part.
        """

    def info(self, name: str) -> Entry | None:
        """None when nothing is there. Entry.name is the name asked for."""

    def exists(self, name: str) -> bool:
        """Whether anything is there."""

    def entries(self, path: str) -> Iterator[Entry]:
        """What is directly under path, unordered, names relative to path; nothing when path is missing."""

    def remove(self, name: str) -> None:
        """Remove a file or a link; already gone counts as done."""

    def remove_tree(self, path: str) -> None:
        """Remove path and all below it, following no link; already gone counts as done."""

    def make_path(self, path: str, durable: bool = True) -> None:
        """Make the directory and those above it; being there already counts as done. Without "path": nothing to do."""

    def sync(self, path: str = "") -> None:
        """Make durable what was written with durable=False at and below path, by any process, before the call."""

    def make_link(self, name: str, destination: str) -> None:
        """Create or replace a symbolic link. Feature "link"."""

    def hard_link(self, existing: str, new: str) -> None:
        """Give a file a second name, replacing what was there; durable after sync(). Feature "hardlink"."""

    def rename(self, name: str, new: str) -> None:
        """Move a file or directory, durably; a file replaces a file. Feature "rename"."""


def get(storage: Storage, name: str) -> bytes:
    """A whole file, for documents: what is large is streamed."""
    content = bytearray()
    for chunk in storage.read(name):
        content += chunk
    return bytes(content)


def put(storage: Storage, name: str, data: Chunk, durable: bool = True) -> None:
    storage.write(name, (data,), durable)


def walk(storage: Storage, path: str = "") -> Iterator[Entry]:
    """All below path, names relative to path; a directory comes before what is in it, links are not followed."""
    pending = [""]
    while pending:
        folder = pending.pop()
        for entry in storage.entries(join(path, folder)):
            named = entry._replace(name=join(folder, entry.name))
            if named.kind == "path":
                pending.append(named.name)
            yield named


def join(path: str, name: str) -> str:
    """path/name; either may be the root, ""."""
    return f"{path}/{name}" if path and name else path or name


def check_name(name: str) -> str:
    """The name, or AssertError when it could lead out of the storage: names from documents are checked before."""
    if name.startswith("/") or "\0" in name or (".." in name and ".." in name.split("/")):
        raise AssertError(f"{name!r} is not a name inside a storage")
    return name
