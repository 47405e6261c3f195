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

FRAME = 4 << 20  # bytes; see Zst._compress_frames
_FRAME_WINDOW = 21  # bits: the largest window, 2 MiB, that frames of this size make up for
# Bits of the tables in which the default level looks for matches: 256 KiB together, a third of what the library takes,
# so that they stay in the processor's own cache. A quarter to a half faster and 0.5 % larger, measured on tables and
# indexes.
_TABLES = {3: {"hash_log": 15, "chain_log": 15}}
# As streams have them, and a byte or two shorter: neither content size nor checksum.
_FORM = {"write_content_size": False, "write_checksum": False}


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
        self._streamers: list[Any] = []
        self._decompressors: list[Any] = []
        self._frames: list[bytearray] = []  # buffers, which are used again like the compressors

    def compress(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        work = self._compress_stream if self.threads > 1 or self._window > _FRAME_WINDOW else self._compress_frames
        compressor = self._streamers.pop() if self._streamers else self._make_streamer()
        try:
            yield from work(compressor, chunks)
        finally:
            self._streamers.append(compressor)

    def _compress_stream(self, compressor: Any, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """In one frame."""
        encoder = compressor.compressobj()
        for chunk in chunks:
            done = encoder.compress(chunk)
            if done:
                yield done
        yield encoder.flush()

    def _compress_frames(self, compressor: Any, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        """In frames of FRAME bytes, each out of one piece of memory.

        A stream's data goes through the library's ring of buffers, and to find matches across its seam costs a sixth
        more. Measured on tables and indexes at level 3: from 2 MiB on, the size is that of a single frame.
        """
        buffer = self._frames.pop() if self._frames else bytearray(FRAME)
        held, begun = 0, False
        for chunk in chunks:
            view = memoryview(chunk)
            while len(view):
                step = min(FRAME - held, len(view))
                buffer[held : held + step] = view[:step]
                held, view = held + step, view[step:]
                if held == FRAME:
                    yield compressor.compress(buffer)
                    held, begun = 0, True
        if held or not begun:
            yield compressor.compress(memoryview(buffer)[:held])
        self._frames.append(buffer)

    def compress_one(self, data: Chunk) -> bytes:
        # By level alone: then the library chooses its parameters by the size of the data.
        if self._compressors:
            compressor = self._compressors.pop()
        else:
            compressor = self._library.ZstdCompressor(level=self.level, **_FORM)
        done: bytes = compressor.compress(data)
        self._compressors.append(compressor)
        return done

    @property
    def _window(self) -> int:
        window: int = self._library.ZstdCompressionParameters.from_level(self.level).window_log
        return window

    def _make_streamer(self) -> Any:
        options: dict[str, Any] = {**_FORM, **_TABLES.get(self.level, {})}
        if self.threads > 1:
            # A job is four windows unless told otherwise: half of a WAL segment, too much to keep two threads busy.
            options.update(threads=self.threads, job_size=1 << self._window)
        parameters = self._library.ZstdCompressionParameters.from_level(self.level, **options)
        return self._library.ZstdCompressor(compression_params=parameters)

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

    def read(self, _other: int) -> Chunk:
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
