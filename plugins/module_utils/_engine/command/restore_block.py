# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restoring a block incremental file: its map tells where each block is, in this backup or an earlier one of the set.

Blocks that are right in the destination already stay where they are; the others are fetched by super block, each read
once. The checksum of the whole file decides at the end, so a block checksum that lies costs only a second pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from ..errors import ChecksumError, EngineError, FileOpenError, FileReadError, FileWriteError
from ..format import layout
from ..format.block_map import BlockItem
from ..storage.base import Storage
from ..stream.block import block_hash
from ..stream.cipher import Cipher
from ..stream.measure import Measure
from .backup_block import read_block_map

if TYPE_CHECKING:
    from .restore_copy import BlockForm, RestoreFile, RestoreSetup

CHUNK = 1 << 20


class Form(Protocol):
    """From stored to plain bytes."""

    cipher: Cipher | None

    def plain(self, stored: bytes, size: int) -> bytes: ...


class BlockRestorer:
    """Restores block incremental files under one setup. form: the raw form."""

    def __init__(self, repo: Storage, setup: RestoreSetup, form: Form) -> None:
        self._repo = repo
        self._setup = setup
        self._form = form
        self._hash = block_hash()

    def restore(self, source: str, file: RestoreFile, block: BlockForm, keep: bool) -> None:
        """Write the file. keep: what is at its path may be updated in place. ChecksumError when the result is wrong."""
        items = self._items(source, file, block)
        descriptor, kept = _open(file, keep)
        try:
            wanted = self._differing(descriptor, file, block, items) if kept else list(range(len(items)))
            self._write(descriptor, file, block, items, wanted)
            if _digest(descriptor, file) != file.checksum and kept:
                self._write(descriptor, file, block, items, list(range(len(items))))
            if _digest(descriptor, file) != file.checksum:
                raise ChecksumError(
                    f"error restoring '{file.path}': the blocks of {source} do not make the file in the manifest",
                    "the repository is damaged here: run verify, and restore another backup set with --set",
                )
        except OSError as error:
            raise FileReadError(f"cannot work on {file.path}: {error.strerror}", "is the disk all right?") from error
        finally:
            os.close(descriptor)

    def _items(self, source: str, file: RestoreFile, block: BlockForm) -> list[BlockItem]:
        start = file.offset + file.repo_size - block.map_size
        try:
            return read_block_map(
                self._repo, source, start, block.map_size, self._form.cipher, block.block_size, block.checksum_size,
                file.size, len(self._setup.references),
            )  # fmt: skip
        except EngineError as error:
            raise type(error)(
                f"error restoring '{file.path}': block map of {source} at {start} with {block.map_size} bytes: "
                f"{error.message}",
                error.hint,
            ) from error

    def _differing(self, descriptor: int, file: RestoreFile, block: BlockForm, items: Sequence[BlockItem]) -> list[int]:
        """Indexes of the blocks that are not in the destination as they should be."""
        size, checksum_size = block.block_size, block.checksum_size
        found: list[int] = []
        for index, item in enumerate(items):
            data = os.pread(descriptor, min(size, file.size - index * size), index * size)
            if self._hash(data)[:checksum_size] != item.checksum:
                found.append(index)
        return found

    def _write(
        self, descriptor: int, file: RestoreFile, block: BlockForm, items: Sequence[BlockItem], wanted: Sequence[int]
    ) -> None:
        size = block.block_size
        os.ftruncate(descriptor, file.size)
        for where, indexes in _super_blocks(items, wanted):
            name = self._container(file, where)
            plain = self._plain(name, file, where)
            for index in indexes:
                item = items[index]
                length = min(size, file.size - index * size)
                data = plain[item.number * size : item.number * size + length]
                if len(data) != length or self._hash(data)[: block.checksum_size] != item.checksum:
                    raise ChecksumError(
                        f"error restoring '{file.path}': block {index} of {name} at {where.offset} is damaged",
                        "the repository is damaged here: run verify, and restore another backup set with --set",
                    )
                _pwrite(descriptor, file, data, index * size)

    def _container(self, file: RestoreFile, item: BlockItem) -> str:
        label = self._setup.references[item.reference]
        if item.bundle:
            return layout.bundle(self._setup.stanza, label, item.bundle)
        return layout.block_file(self._setup.stanza, label, file.name)

    def _plain(self, name: str, file: RestoreFile, item: BlockItem) -> memoryview:
        stored = bytearray()
        for chunk in self._repo.read(name, item.offset, item.size):
            stored += chunk
        try:
            return memoryview(self._form.plain(bytes(stored), item.super_size))
        except EngineError as error:
            raise type(error)(
                f"error restoring '{file.path}': super block of {name} at {item.offset}: {error.message}", error.hint
            ) from error


def _super_blocks(items: Sequence[BlockItem], wanted: Sequence[int]) -> Iterator[tuple[BlockItem, list[int]]]:
    """Each super block that holds wanted blocks, once, in the order in which they lie in the repository."""
    groups: dict[tuple[int, int, int], list[int]] = {}
    for index in wanted:
        item = items[index]
        groups.setdefault((item.reference, item.bundle, item.offset), []).append(index)
    for key in sorted(groups):
        yield items[groups[key][0]], groups[key]


def _open(file: RestoreFile, keep: bool) -> tuple[int, bool]:
    """A descriptor, and whether there is content in it to be kept; never of a link, nor of a file with another name."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        if keep and os.lstat(file.path).st_nlink == 1:
            with suppress(PermissionError):  # it is read-only: it is made anew
                return os.open(file.path, flags), True
        if os.path.lexists(file.path):
            os.unlink(file.path)
        return os.open(file.path, flags | os.O_CREAT | os.O_EXCL, file.mode), False
    except OSError as error:
        raise FileOpenError(f"cannot open {file.path} for writing: {error.strerror}") from error


def _pwrite(descriptor: int, file: RestoreFile, data: memoryview, offset: int) -> None:
    try:
        while data:
            count = os.pwrite(descriptor, data, offset)
            data, offset = data[count:], offset + count
    except OSError as error:
        raise FileWriteError(
            f"cannot write {file.path}: {error.strerror}",
            "is the file system full? A restore that stopped here goes on with --delta",
        ) from error


def _digest(descriptor: int, file: RestoreFile) -> bytes:
    measure = Measure()
    while measure.size < file.size:
        data = os.pread(descriptor, CHUNK, measure.size)
        if not data:
            raise FileReadError(f"{file.path} became shorter while it was restored", "is something else writing there?")
        measure.update(data)
    return measure.digest
