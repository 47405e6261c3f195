# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compression: gz, bz2, lz4 and zst in one table, both ways each.

What is written is what the format's own programs write: one gzip member, one bzip2 stream, linked 64 KiB blocks in an
lz4 frame; of zst one frame after the other, some megabytes each. What is read may be anything of the type: what follows
the end of gz and bz2 data is ignored, as by other readers of the format; lz4 and zst data may be several frames, and
anything else after them is an error.

The errors do not name what was read, because a filter does not know; the caller adds the name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ..errors import AssertError, ConfigError, FormatError
from .through import CHUNK, Chunk

_EXTENSIONS = {"none": "", "gz": ".gz", "bz2": ".bz2", "lz4": ".lz4", "zst": ".zst"}
_made: dict[tuple[str, int | None, bool, int], Codec] = {}


def codec(compress_type: str, level: int | None = None, raw: bool = False, threads: int = 1) -> Codec:
    """The codec of a type; the same object for the same question, so that compressors are used again.

    level: the type's default if None. raw: the frames of bundles and super blocks. threads: that compress one stream,
    where the library can do that. ConfigError when the library is not installed.
    """
    key = (compress_type, level, raw, threads)
    if key not in _made:
        _made[key] = _class_of(compress_type)(compress_type, level, raw)
        _made[key].threads = threads
    return _made[key]


def extension(compress_type: str) -> str:
    """What the names of stored files end with; empty for none."""
    return _EXTENSIONS[compress_type]


def type_of_name(name: str) -> str:
    """The type that the end of a stored file's name tells."""
    for compress_type, ending in _EXTENSIONS.items():
        if ending and name.endswith(ending):
            return compress_type
    return "none"


class Codec:
    """Compresses and decompresses streams, and small objects in one call. This one does neither: the type "none"."""

    default_level = 0
    threads = 1

    def __init__(self, compress_type: str, level: int | None, raw: bool) -> None:
        self.compress_type = compress_type
        self.level = self.default_level if level is None else level
        self.raw = raw

    def compress(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """A filter. Speed needs large chunks: with 64 KiB it is a quarter slower than with 1 MiB."""
        return iter(chunks)

    def decompress(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """A filter whose chunks are at most CHUNK long; FormatError for damaged data or data that ends early.

        The source is read to its end in any case, so that a measure before this filter has seen all of it.
        """
        return self._pieces(chunks, CHUNK)

    def compress_one(self, data: Chunk) -> bytes:
        return bytes(data)

    def decompress_one(self, data: Chunk, size: int) -> bytes:
        """The plain data, which must be size bytes long: FormatError if not, with little more in memory."""
        pieces, found = [], 0
        for piece in self._pieces((data,), min(size + 1, CHUNK)):
            pieces.append(bytes(piece))
            found += len(piece)
            if found > size:
                raise FormatError(f"{self.compress_type} data holds more than the {size} bytes expected")
        if found < size:
            raise FormatError(f"{self.compress_type} data holds {found} bytes, {size} were expected")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _pieces(self, chunks: Iterable[Chunk], limit: int) -> Iterator[Chunk]:
        """The plain data in pieces of at most limit bytes."""
        return iter(chunks)


class Encoder(Protocol):
    """One compressed object in the making."""

    def compress(self, data: Chunk, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Decoder(Protocol):
    """One compressed object being read, as bz2.BZ2Decompressor has it."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: Chunk, max_length: int) -> bytes: ...


class LibraryCodec(Codec):
    """By a library that has an encoder and a decoder object."""

    frames = False  # may there be more than one, one after the other?
    failures: tuple[type[Exception], ...]  # what the library raises for damaged data

    def encoder(self) -> Encoder:
        raise NotImplementedError

    def decoder(self) -> Decoder:
        raise NotImplementedError

    def compress(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        encoder = self.encoder()
        for chunk in chunks:
            done = encoder.compress(chunk)
            if done:
                yield done
        yield encoder.flush()

    def compress_one(self, data: Chunk) -> bytes:
        encoder = self.encoder()
        return encoder.compress(data) + encoder.flush()

    def _pieces(self, chunks: Iterable[Chunk], limit: int) -> Iterator[Chunk]:
        decoder, ended = self.decoder(), False
        for chunk in chunks:
            rest = chunk
            while len(rest) or not (decoder.needs_input or decoder.eof):
                if decoder.eof:
                    if not self.frames:
                        break
                    decoder = self.decoder()
                piece, rest = self._step(decoder, rest, limit)
                ended = decoder.eof
                if piece:
                    yield piece
        if not ended:
            raise FormatError(f"{self.compress_type} data ends early")

    def _step(self, decoder: Decoder, data: Chunk, limit: int) -> tuple[bytes, bytes]:
        """A piece of plain data, and what is left after the end of a frame.

        Bounded, because a few stored KiB can stand for a gigabyte of zeros.
        """
        try:
            piece = decoder.decompress(data, limit)
        except self.failures as error:
            raise FormatError(f"{self.compress_type} data is damaged: {error}") from error
        return piece, (decoder.eof and decoder.unused_data) or b""


class Bz2(LibraryCodec):
    default_level = 9
    failures = (OSError, ValueError)

    def encoder(self) -> Encoder:
        import bz2

        return bz2.BZ2Compressor(self.level)

    def decoder(self) -> Decoder:
        import bz2

        return bz2.BZ2Decompressor()


class Lz4(LibraryCodec):
    default_level = 1
    frames = True
    failures = (RuntimeError,)

    def __init__(self, compress_type: str, level: int | None, raw: bool) -> None:
        super().__init__(compress_type, level, raw)
        try:
            import lz4.frame
        except ImportError as error:
            raise missing_library(compress_type, "lz4") from error
        self._frame: Any = lz4.frame

    def encoder(self) -> Encoder:
        return _Lz4Frame(
            self._frame.LZ4FrameCompressor(
                block_size=self._frame.BLOCKSIZE_MAX64KB,
                block_linked=True,
                compression_level=self.level,
                content_checksum=not self.raw,
            )
        )

    def decoder(self) -> Decoder:
        decoder: Decoder = self._frame.LZ4FrameDecompressor()
        return decoder


class _Lz4Frame:
    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor
        self._head: bytes = compressor.begin()

    def compress(self, data: Chunk, /) -> bytes:
        done: bytes = self._compressor.compress(data)
        if done and self._head:
            done, self._head = self._head + done, b""
        return done

    def flush(self) -> bytes:
        end: bytes = self._compressor.flush()
        return self._head + end


def missing_library(compress_type: str, package: str) -> ConfigError:
    return ConfigError(
        f"compress-type={compress_type} needs the Python library '{package}', which is not installed",
        f"install {package}, or choose another compress-type for new backups",
    )


def _class_of(compress_type: str) -> type[Codec]:
    # Imported on demand, because starting up is most of what a small command costs.
    if compress_type == "gz":
        from .gz import Gz

        return Gz
    if compress_type == "zst":
        from .zst import zst_codec

        return zst_codec()
    known = {"none": Codec, "bz2": Bz2, "lz4": Lz4}
    if compress_type not in known:
        raise AssertError(f"'{compress_type}' is no compression type")
    return known[compress_type]
