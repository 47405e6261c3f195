# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stream of bytes is an iterator of chunks; a filter maps chunks to chunks.

The end of a stream is the code after the loop, and what a filter found is read from the object that the caller still
holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Union

# Any bytes-like object, VALID ONLY UNTIL THE NEXT ONE IS PULLED: storage reads into one buffer again and again.
# So never b"".join() or list() a stream: both hold on to every chunk. A bytearray that grows by += is right.
Chunk = Union[bytes, bytearray, memoryview]
Filter = Callable[[Iterable[Chunk]], Iterator[Chunk]]

CHUNK = 1 << 20  # bytes; page checksums and compressors are at their best speed from here on


class Buffers:
    """Buffers of CHUNK bytes, used again and again: the memory of a fresh one costs more than the copy into it.

    take() hands out a buffer to write to and a read-only view of it to pass on; give() takes both back. A stream gives
    back at its regular end only: who abandons it may still use its last chunk.
    """

    def __init__(self) -> None:
        self._free: list[tuple[bytearray, memoryview]] = []

    def take(self) -> tuple[bytearray, memoryview]:
        try:
            return self._free.pop()
        except IndexError:
            buffer = bytearray(CHUNK)
            return buffer, memoryview(buffer).toreadonly()

    def give(self, buffer: bytearray, view: memoryview) -> None:
        self._free.append((buffer, view))


BUFFERS = Buffers()


def through(chunks: Iterable[Chunk], *filters: Filter) -> Iterator[Chunk]:
    """The chunks after the first filter, the second, and so on."""
    for stage in filters:
        chunks = stage(chunks)
    return iter(chunks)
