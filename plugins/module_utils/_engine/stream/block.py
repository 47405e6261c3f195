# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block incremental: what of a file changed since the prior backup, in super blocks, and the map of the whole file.

The file is cut into blocks of one size. A block whose checksum is that of the block at the same place in the prior map
is not stored again: the new map points to where it is. Changed blocks are gathered into super blocks, each compressed
and encrypted as a unit (repository format, 8.3 and 8.6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ..errors import ConfigError
from ..format.block_map import BlockItem, render_block_map
from .through import Chunk

Seal = Callable[[bytes], bytes]


def block_hash() -> Callable[[Chunk], bytes]:
    """XXH3 of 128 bits, of which a block checksum is the first bytes; ConfigError when the library is not installed."""
    try:
        import xxhash
    except ImportError as error:
        raise ConfigError(
            "the Python package xxhash is missing; it is needed for block incremental backups (repo-block)",
            "install xxhash for this Python, or set repo1-block=n",
        ) from error
    digest: Callable[[Any], bytes] = xxhash.xxh3_128_digest
    return digest


class BlockWriter:
    """A filter: the plain file in, the stored region out; nothing at all when no block changed and none was lost.

    block_size, checksum_size, super_size: bytes; a super block is full when it has super_size or more. store, seal:
    make of plain bytes the stored form of a super block, and of the map. reference: own position in the list of
    references; bundle, offset: where in the repository the region begins, 0 and 0 in a file of its own. prior: blocks
    of the prior map, empty without. always: store the map even when nothing changed, for a file that nothing else
    refers to the prior one. After the last chunk, map_size is the stored size of the map, 0 without.
    """

    def __init__(
        self,
        block_size: int,
        checksum_size: int,
        super_size: int,
        store: Seal,
        seal: Seal,
        reference: int,
        bundle: int,
        offset: int,
        prior: Sequence[BlockItem] = (),
        always: bool = False,
    ) -> None:
        self.map_size = 0
        self._block_size = block_size
        self._checksum_size = checksum_size
        self._super_size = super_size
        self._store, self._seal = store, seal
        self._reference, self._bundle, self._offset = reference, bundle, offset
        self._prior = prior
        self._always = always
        self._hash = block_hash()
        self._items: list[BlockItem] = []
        self._super = bytearray()
        self._pending: list[tuple[int, bytes]] = []  # of the super block in the making: index in the file, checksum

    def __call__(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        size = self._block_size
        rest = bytearray()
        stored_any = False
        for chunk in chunks:
            data = memoryview(rest + chunk if rest else chunk)
            whole = len(data) - len(data) % size
            for start in range(0, whole, size):
                if self._take(data[start : start + size]):
                    stored_any = True
                    yield self._close()
            rest = bytearray(data[whole:])
        if rest:
            self._take(memoryview(rest))
        if self._pending:
            stored_any = True
            yield self._close()
        if stored_any or self._always or len(self._items) < len(self._prior):
            stored = self._seal(render_block_map(self._items, size, self._checksum_size))
            self.map_size = len(stored)
            yield stored

    def _take(self, block: memoryview) -> bool:
        """Enter the next block of the file; True when that filled the super block."""
        index = len(self._items)
        checksum = self._hash(block)[: self._checksum_size]
        if index < len(self._prior) and self._prior[index].checksum == checksum:
            self._items.append(self._prior[index])
            return False
        self._items.append(BlockItem(self._reference, self._bundle, 0, 0, 0, len(self._pending), checksum))
        self._pending.append((index, checksum))
        self._super += block
        return len(self._super) >= self._super_size

    def _close(self) -> bytes:
        """Store the super block, and enter where it is into the blocks that are in it."""
        stored = self._store(bytes(self._super))
        for number, (index, checksum) in enumerate(self._pending):
            self._items[index] = BlockItem(
                self._reference, self._bundle, self._offset, len(stored), len(self._super), number, checksum
            )
        self._offset += len(stored)
        self._super.clear()
        self._pending.clear()
        return stored
