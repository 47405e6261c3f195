# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""gz: gzip members, and zlib streams where the format says raw.

By the isal library where it is installed. Levels up to 6, the default, become igzip's fast levels, at several times
zlib's speed for a few percent of size; 0 and 7 to 9 are explicit wishes, and zlib's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

from .codec import Decoder, Encoder, LibraryCodec
from .through import Chunk

_HEADER = bytes.fromhex("1f8b0800000000000003")  # no name, no time
# Measured on tables and indexes: igzip's level 3 takes six times as long as level 2, and its output is not smaller.
_IGZIP = {1: 1, 2: 1, 3: 2, 4: 2, 5: 2, 6: 2}


class Gz(LibraryCodec):
    default_level = 6

    def __init__(self, compress_type: str, level: int | None, raw: bool) -> None:
        super().__init__(compress_type, self.default_level if level == -1 else level, raw)
        self._igzip: Any = None
        self._isal: Any = None
        self.failures = (zlib.error,)
        try:
            from isal import igzip_lib, isal_zlib
        except ImportError:
            return
        self._igzip, self._isal = igzip_lib, isal_zlib
        self.failures = (self._igzip.IsalError,)

    def encoder(self) -> Encoder:
        wbits = 15 if self.raw else -15
        deflate: Encoder
        if self._isal and self.level in _IGZIP:
            deflate, crc32 = self._isal.compressobj(_IGZIP[self.level], wbits=wbits), self._isal.crc32
        else:
            deflate, crc32 = zlib.compressobj(self.level, zlib.DEFLATED, wbits, 9), zlib.crc32
        return deflate if self.raw else _Member(deflate, crc32)

    def decoder(self) -> Decoder:
        if not self._igzip:
            return _Inflate(15 if self.raw else 31)
        flag = self._igzip.DECOMP_ZLIB if self.raw else self._igzip.DECOMP_GZIP
        decoder: Decoder = self._igzip.IgzipDecompressor(flag=flag)
        return decoder


class _Member:
    """The envelope of RFC 1952 around raw deflate data; made here, because the libraries' headers differ."""

    def __init__(self, deflate: Encoder, crc32: Callable[[Chunk, int], int]) -> None:
        self._deflate, self._crc32 = deflate, crc32
        self._head, self._crc, self._size = _HEADER, 0, 0

    def compress(self, data: Chunk, /) -> bytes:
        self._crc = self._crc32(data, self._crc)
        self._size += len(data)
        done = self._deflate.compress(data)
        if done and self._head:
            done, self._head = self._head + done, b""
        return done

    def flush(self) -> bytes:
        trailer = self._crc.to_bytes(4, "little") + (self._size & 0xFFFFFFFF).to_bytes(4, "little")
        return self._head + self._deflate.flush() + trailer


class _Inflate:
    """zlib's decompressor with the interface of the others."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib.decompressobj(wbits)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: Chunk, max_length: int) -> bytes:
        tail = self._inflate.unconsumed_tail
        piece = self._inflate.decompress(tail + data if tail else data, max_length)
        # A full piece may leave output behind inside zlib even when it has consumed all its input.
        self.needs_input = len(piece) < max_length
        return piece
