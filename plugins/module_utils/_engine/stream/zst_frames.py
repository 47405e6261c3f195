# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where zstd frames end (RFC 8878), found without decompressing.

The streaming reader of the zstandard library takes an early end of its input for the end of the data, so something else
must know whether the last frame was whole. This reads three bytes a block.
"""

from __future__ import annotations

from ..errors import FormatError
from .through import Chunk

MAGIC = 0xFD2FB528
_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_RLE = 1  # a block type: one byte stands for the whole block


class ZstFrames:
    """Follows the frames in the chunks given to update(); FormatError for what cannot be one."""

    def __init__(self) -> None:
        self._head = bytearray()  # what has been seen of a header
        self._wanted = 5  # bytes of that header: magic and descriptor, or a block's three
        self._skip = 0  # bytes to pass over before the next header
        self._checksum = 0  # bytes after the last block
        self._inside = False
        self._frames = 0

    @property
    def complete(self) -> bool:
        """Whether what was seen so far is one or more whole frames."""
        return self._frames > 0 and not (self._inside or self._head or self._skip)

    def update(self, chunk: Chunk) -> None:
        position, end = 0, len(chunk)
        while position < end:
            if self._skip:
                step = min(self._skip, end - position)
                self._skip -= step
            else:
                step = min(self._wanted - len(self._head), end - position)
                self._head += chunk[position : position + step]
                if len(self._head) == self._wanted:
                    self._parse()
            position += step

    def _parse(self) -> None:
        if self._inside:
            self._parse_block()
        else:
            self._parse_frame()

    def _parse_frame(self) -> None:
        magic = int.from_bytes(self._head[:4], "little")
        if magic in _SKIPPABLE:
            if self._wanted == 5:
                self._wanted = 8
                return
            self._skip = int.from_bytes(self._head[4:8], "little")
            self._frames += 1
        elif magic == MAGIC:
            descriptor = self._head[4]
            single_segment = descriptor >> 5 & 1
            content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
            dictionary = (0, 1, 2, 4)[descriptor & 3]
            self._skip = content_size + dictionary + 1 - single_segment  # without single segment, one byte of window
            self._checksum = 4 if descriptor & 4 else 0
            self._inside = True
        else:
            raise FormatError("there is something that is not zst data")
        self._expect(3 if self._inside else 5)

    def _parse_block(self) -> None:
        header = int.from_bytes(self._head, "little")
        self._skip = 1 if header >> 1 & 3 == _RLE else header >> 3
        if header & 1:  # the last block
            self._skip += self._checksum
            self._frames += 1
            self._inside = False
        self._expect(3 if self._inside else 5)

    def _expect(self, wanted: int) -> None:
        self._head.clear()
        self._wanted = wanted
