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


def through(chunks: Iterable[Chunk], *filters: Filter) -> Iterator[Chunk]:
    """The chunks after the first filter, the second, and so on."""
    for stage in filters:
        chunks = stage(chunks)
    return iter(chunks)
