# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block maps: where each block of a block incremental file is (repository format, 8.4 to 8.6).

    map   := FLAGS run run ...                                 one run: consecutive blocks from one backup
    run   := HEAD [BUNDLE] [OFFSET | GAP] piece piece ...      one piece: those of them in one super block
    piece := [SIZE [SUPER [REST]]] [COUNT [SKIP]] checksum checksum ...

What is in upper case is a varint; flags in its lowest bits tell which others follow. Most of it is left out when it
follows from what came before, so both directions carry the same state along, for each backup that occurs (_State).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from ..errors import AssertError, FormatError

# HEAD, SIZE and COUNT carry flags below their value.
_LAST = 1
_HAS_BUNDLE = _CONTINUE = 2  # of a backup that occurs for the first time; of one that occurred before
_HAS_OFFSET = _HAS_GAP = _ONLY_PIECE = 4  # first time; before, new super block; before, continue
_HAS_SUPER = 2
_HAS_COUNT = 4
_HAS_REST = _HAS_SKIP = 1


class BlockItem(NamedTuple):
    """One block of the file. Sizes and offsets are bytes.

    reference: position in the reference list of the manifest. bundle: number of the bundle there, 0 for a file of its
    own. offset, size: of the stored super block. super_size: of its plain content. number: of the block in it, from 0.
    checksum: the first bytes of the block's XXH3.
    """

    reference: int
    bundle: int
    offset: int
    size: int
    super_size: int
    number: int
    checksum: bytes


class _State:
    """What is known of a backup: its bundle, the super block last used, and the block that would follow in it."""

    __slots__ = ("bundle", "next", "offset", "size", "super_size")

    def __init__(self, bundle: int, offset: int, block_size: int) -> None:
        self.bundle = bundle
        self.offset = offset
        self.size = 0
        self.super_size = block_size
        self.next = 0


# -- reading


def parse_block_map(data: bytes, block_size: int, checksum_size: int, size: int, references: int) -> list[BlockItem]:
    """The blocks of a file in order, from its map, decrypted.

    block_size, checksum_size, size (plain, of the file): bytes, from the manifest that the map belongs to; references:
    length of its reference list. FormatError unless the map describes exactly this file.
    """
    reader = _Reader(data, block_size, checksum_size)
    items = list(reader.items())
    blocks = -(-size // block_size)
    if len(items) != blocks:
        raise FormatError(f"the block map has {len(items)} blocks, the file {blocks}")
    for index, item in enumerate(items):
        if item.reference >= references:
            raise FormatError(f"the block map refers to backup {item.reference} of {references}")
        end = item.number * block_size + min(block_size, size - index * block_size)
        if end > item.super_size:
            raise FormatError(f"block {index} of the block map is beyond the end of its super block")
    return items


class _Reader:
    def __init__(self, data: bytes, block_size: int, checksum_size: int) -> None:
        self._data = data
        self._at = 0
        self._block_size = block_size
        self._checksum_size = checksum_size
        self._states: dict[int, _State] = {}
        self._previous = 0  # stored size of the piece before, whichever run it was in

    def items(self) -> Iterator[BlockItem]:
        if self._varint():
            raise FormatError("the block map is of a newer version")
        head = 0
        while not head & _LAST:
            head = self._varint()
            yield from self._run(head >> 3, head)
        if self._at != len(self._data):
            raise FormatError(f"the block map has {len(self._data) - self._at} bytes too many")

    def _run(self, reference: int, head: int) -> Iterator[BlockItem]:
        state = self._states.get(reference)
        last = 0
        if state is None:
            bundle = self._varint() if head & _HAS_BUNDLE else 0
            start = self._varint() if head & _HAS_OFFSET else 0
            state = self._states[reference] = _State(bundle, start, self._block_size)
        elif head & _CONTINUE:
            last = head & _ONLY_PIECE
            yield from self._blocks(reference, state, counted=True)
            start = state.offset + state.size
        else:
            start = state.offset + state.size + (self._varint() if head & _HAS_GAP else 0)
        while not last:
            flags = self._varint()
            last = flags & _LAST
            self._open_super_block(state, start, flags)
            yield from self._blocks(reference, state, counted=bool(flags & _HAS_COUNT))
            start = state.offset + state.size

    def _open_super_block(self, state: _State, offset: int, flags: int) -> None:
        value = flags >> 3
        state.offset = offset
        state.size = self._previous + _unzigzag(value) if self._previous else value
        state.next = 0
        if flags & _HAS_SUPER:
            super_block = self._varint()
            rest = self._varint() if super_block & _HAS_REST else 0
            state.super_size = (super_block >> 1) * self._block_size + rest
        if state.size <= 0 or state.super_size <= 0:
            raise FormatError("the block map has a super block without content")

    def _blocks(self, reference: int, state: _State, counted: bool) -> Iterator[BlockItem]:
        if counted:
            value = self._varint()
            count = (value >> 1) + 1
            state.next += self._varint() if value & _HAS_SKIP else 0
        else:
            count = -(-state.super_size // self._block_size)
        if count * self._checksum_size > len(self._data) - self._at:
            raise FormatError("the block map ends early")
        for number in range(state.next, state.next + count):
            checksum = self._data[self._at : self._at + self._checksum_size]
            self._at += self._checksum_size
            yield BlockItem(reference, state.bundle, state.offset, state.size, state.super_size, number, checksum)
        state.next += count
        self._previous = state.size

    def _varint(self) -> int:
        """Little-endian base 128, at most 64 bits."""
        value = shift = 0
        while shift < 64:
            if self._at >= len(self._data):
                raise FormatError("the block map ends early")
            byte = self._data[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7
        raise FormatError("the block map has a number of more than 64 bits")


def _unzigzag(value: int) -> int:
    return value >> 1 if not value & 1 else -(value >> 1) - 1


# -- writing


def render_block_map(items: Sequence[BlockItem], block_size: int, checksum_size: int) -> bytes:
    """The map of a file's blocks, in the only form the reference writes; it is not compressed, but may get encrypted.

    The items must be possible: super blocks of one backup in ascending order, those used by consecutive blocks of one
    run without a gap, and one bundle for a backup. Anything else is a bug (AssertError).
    """
    if not items:
        raise AssertError("a block map has at least one block")
    writer = _Writer(block_size, checksum_size)
    runs = [list(run) for _reference, run in groupby(items, lambda item: item.reference)]
    for run in runs:
        writer.run(run, _LAST if run is runs[-1] else 0)
    return bytes(writer.data)


class _Writer:
    def __init__(self, block_size: int, checksum_size: int) -> None:
        self.data = bytearray(1)  # FLAGS
        self._block_size = block_size
        self._checksum_size = checksum_size
        self._states: dict[int, _State] = {}
        self._previous = 0

    def run(self, run: Sequence[BlockItem], flags: int) -> None:
        pieces = [list(piece) for _offset, piece in groupby(run, lambda item: item.offset)]
        first = run[0]
        head = first.reference << 3 | flags
        state = self._states.get(first.reference)
        if state is None:
            state = self._states[first.reference] = _State(first.bundle, first.offset, self._block_size)
            self._numbers(head, (_HAS_BUNDLE, first.bundle), (_HAS_OFFSET, first.offset))
        elif first.offset == state.offset:
            self._numbers(head | _CONTINUE | (_ONLY_PIECE if len(pieces) == 1 else 0))
            self._continued_piece(state, pieces.pop(0))
        else:
            self._numbers(head, (_HAS_GAP, first.offset - state.offset - state.size))
            state.offset, state.size = first.offset, 0
        for piece in pieces:
            self._new_piece(state, piece, _LAST if piece is pieces[-1] else 0)

    def _continued_piece(self, state: _State, piece: Sequence[BlockItem]) -> None:
        self._count(len(piece), piece[0].number - state.next)
        self._blocks(state, piece)

    def _new_piece(self, state: _State, piece: Sequence[BlockItem], flags: int) -> None:
        first = piece[0]
        if first.offset != state.offset + state.size:
            raise AssertError(f"super block at {first.offset} does not follow the one before it in the block map")
        whole, rest = divmod(first.super_size, self._block_size)
        is_partial = first.number > 0 or len(piece) < whole + bool(rest)
        value = _zigzag(first.size - self._previous) if self._previous else first.size
        flags |= _HAS_SUPER if first.super_size != state.super_size else 0
        self._numbers(value << 3 | flags | (_HAS_COUNT if is_partial else 0))
        if flags & _HAS_SUPER:
            self._numbers(whole << 1, (_HAS_REST, rest))
        if is_partial:
            self._count(len(piece), first.number)
        state.offset, state.size, state.super_size = first.offset, first.size, first.super_size
        self._blocks(state, piece)

    def _count(self, blocks: int, skip: int) -> None:
        self._numbers((blocks - 1) << 1, (_HAS_SKIP, skip))

    def _blocks(self, state: _State, piece: Sequence[BlockItem]) -> None:
        for number, item in enumerate(piece, piece[0].number):
            place = (state.bundle, state.offset, state.size, state.super_size, number)
            if item[1:-1] != place or len(item.checksum) != self._checksum_size or item.size <= 0:
                raise AssertError(f"the block map cannot hold {item}")
            self.data += item.checksum
        state.next = piece[-1].number + 1
        self._previous = state.size

    def _numbers(self, value: int, *following: tuple[int, int]) -> None:
        """Write a number with the flag of each following one that is not 0, then those."""
        present = [(flag, number) for flag, number in following if number]
        for flag, _number in present:
            value |= flag
        self.data += _varints([value, *(number for _flag, number in present)])


def _varints(values: Iterable[int]) -> bytes:
    """Little-endian base 128: seven bits a byte, the highest bit set while more follow."""
    data = bytearray()
    for value in values:
        if value < 0:
            raise AssertError("super blocks are not in ascending order in the block map")
        while value > 0x7F:
            data.append(value & 0x7F | 0x80)
            value >>= 7
        data.append(value)
    return bytes(data)


def _zigzag(value: int) -> int:
    return value << 1 if value >= 0 else (-value << 1) - 1
