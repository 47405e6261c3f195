# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""zst: Zstandard frames, by the zstandard library or, from Python 3.14, the standard one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..errors import FormatError
from .codec import Codec, Decoder, Encoder, LibraryCodec, missing_library
from .through import BUFFERS, Chunk
from .zst_frames import ZstFrames


def zst_codec() -> type[Codec]:
    """The class that the installed library allows; ConfigError when there is none."""
    try:
        import zstandard  # noqa: F401
    except ImportError:
        try:
            from compression import zstd  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
        except ImportError as error:
            raise missing_library("zst", "zstandard") from error
        return StandardZst
    return Zst


class Zst(Codec):
    """By zstandard: its reader decompresses into our buffer, at twice the speed of its decompression object.

    A new compressor costs a third of the time at 8 KiB, so they are kept; each has one state, so a stream has its own.
    """

    default_level = 3

    def __init__(self, compress_type: str, level: int | None, raw: bool) -> None:
        import zstandard

        super().__init__(compress_type, level, raw)
        self._library: Any = zstandard
        self._compressors: list[Any] = []
        self._decompressors: list[Any] = []

    def compress(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        compressor = self._take_compressor()
        try:
            encoder = compressor.compressobj()
            for chunk in chunks:
                done = encoder.compress(chunk)
                if done:
                    yield done
            yield encoder.flush()
        finally:
            self._compressors.append(compressor)

    def compress_one(self, data: Chunk) -> bytes:
        compressor = self._take_compressor()
        done: bytes = compressor.compress(data)
        self._compressors.append(compressor)
        return done

    def _take_compressor(self) -> Any:
        if self._compressors:
            return self._compressors.pop()
        # As streams have them, and a byte or two shorter: neither content size nor checksum.
        if self.threads == 1:
            return self._library.ZstdCompressor(level=self.level, write_content_size=False, write_checksum=False)
        parameters = self._library.ZstdCompressionParameters
        window = parameters.from_level(self.level).window_log
        # A job is four windows unless told otherwise: half of a WAL segment, too much to keep two threads busy.
        return self._library.ZstdCompressor(
            compression_params=parameters.from_level(
                self.level, threads=self.threads, job_size=1 << window, write_content_size=False, write_checksum=False
            )
        )

    def _pieces(self, chunks: Iterable[Chunk], limit: int) -> Iterator[Chunk]:
        decompressor = self._decompressors.pop() if self._decompressors else self._library.ZstdDecompressor()
        buffer, view = BUFFERS.take()
        try:
            source = _Source(chunks)
            reader = decompressor.stream_reader(source, read_across_frames=True)
            target = memoryview(buffer)[:limit]
            while True:
                try:
                    size = reader.readinto(target)
                except self._library.ZstdError as error:
                    raise FormatError(f"{self.compress_type} data is damaged: {error}") from error
                if not size:
                    break
                yield view[:size]
        finally:
            self._decompressors.append(decompressor)
        if not source.frames.complete:
            raise FormatError(f"{self.compress_type} data ends early")
        BUFFERS.give(buffer, view)


class _Source:
    """The chunks, as the file that zstandard reads from."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = iter(chunks)
        self.frames = ZstFrames()

    def read(self, _: int) -> Chunk:
        for chunk in self._chunks:
            if len(chunk):  # an empty one would be taken for the end
                self.frames.update(chunk)
                return chunk
        return b""


class StandardZst(LibraryCodec):
    default_level = 3
    frames = True

    def __init__(self, compress_type: str, level: int | None, raw: bool) -> None:
        from compression import zstd

        super().__init__(compress_type, level, raw)
        self._library: Any = zstd
        self.failures = (self._library.ZstdError,)

    def encoder(self) -> Encoder:
        encoder: Encoder = self._library.ZstdCompressor(self.level)
        return encoder

    def decoder(self) -> Decoder:
        decoder: Decoder = self._library.ZstdDecompressor()
        return decoder
