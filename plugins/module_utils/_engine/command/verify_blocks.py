# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block incremental files: what a backup stored of one, and where the rest of it is."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, Protocol

from ..errors import FormatError
from ..format.block_map import BlockItem
from ..storage.base import Chunk, Storage
from ..stream.block import block_hash
from ..stream.cipher import Cipher
from ..stream.codec import codec
from .backup_block import read_block_map


class BlockFile(NamedTuple):
    """A block incremental file. size: plain; sizes are bytes.

    references: length of the manifest's reference list; own: position there of the backup that stores the map.
    """

    size: int
    map_size: int
    block_size: int
    checksum_size: int
    references: int
    own: int


class Source(Protocol):
    """A stream that is read in pieces; see verify_check.Window."""

    def skip_to(self, position: int) -> None: ...

    def take(self, size: int) -> Iterator[Chunk]: ...


def load_map(storage: Storage, source: str, end: int, blocks: BlockFile, cipher: Cipher | None) -> list[BlockItem]:
    """The map that ends at a position in its container. cipher: of the files, raw form."""
    return read_block_map(
        storage, source, end - blocks.map_size, blocks.map_size, cipher, blocks.block_size, blocks.checksum_size,
        blocks.size, blocks.references,
    )  # fmt: skip


def super_blocks(items: Iterable[BlockItem]) -> Iterator[list[BlockItem]]:
    """The items by super block, in the order in which these lie in each backup."""
    place = operator.itemgetter(0, 1, 2)  # reference, bundle, offset
    for _place, members in groupby(sorted(items, key=operator.itemgetter(0, 1, 2, 5)), place):
        yield list(members)


def check_own_blocks(
    items: Iterable[BlockItem], blocks: BlockFile, compress_type: str, cipher: Cipher | None, source: Source, end: int
) -> None:
    """Check all super blocks that the map has in its own backup, up to end; FormatError or CryptoError for bad ones."""
    for members in super_blocks(item for item in items if item.reference == blocks.own):
        first = members[0]
        if first.offset + first.size > end:
            raise FormatError(f"the super block at {first.offset} is not in the place of its file")
        source.skip_to(first.offset)
        check_super_block(members, b"".join(map(bytes, source.take(first.size))), blocks, compress_type, cipher)


def check_super_block(
    members: Sequence[BlockItem], stored: bytes, blocks: BlockFile, compress_type: str, cipher: Cipher | None
) -> None:
    """Decode a super block and compare the blocks that are wanted of it; FormatError or CryptoError when one is bad."""
    offset, super_size = members[0].offset, members[0].super_size
    clear = cipher.decrypt_one(stored) if cipher is not None else stored
    plain = memoryview(codec(compress_type, None, raw=True).decompress_one(clear, super_size))
    block_checksum = block_hash()
    for item in members:
        block = plain[item.number * blocks.block_size : (item.number + 1) * blocks.block_size]
        if block_checksum(block)[: blocks.checksum_size] != item.checksum:
            raise FormatError(f"block {item.number} of the super block at {offset} has another checksum")
