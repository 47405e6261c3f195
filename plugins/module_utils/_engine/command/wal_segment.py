# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A WAL segment on its way into the repositories: read, hashed and compressed in one pass.

It can begin in the background, while the program is still being imported: on a small machine that is a tenth of the
time that PostgreSQL waits. So this module imports little.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from io import FileIO
from typing import TYPE_CHECKING

from ..errors import ChecksumError, FileMissingError, FileOpenError, FileReadError
from ..stream.codec import Codec, codec
from ..stream.measure import Measure
from ..stream.through import CHUNK, Chunk, through

if TYPE_CHECKING:
    from ..options import Config

HEADER_SIZE = 512  # bytes of a segment that tell whose it is
IN_MEMORY = 64 << 20  # bytes; what is compressed of a larger segment is not held
THREADS = 2  # that compress, while another one reads and hashes what comes next


class Segment:
    """One pass over the file makes its checksum and its stored form, which is held for all repositories.

    A large segment is read twice instead: once for its checksum, and again whenever it is stored. FileMissingError,
    FileOpenError, FileReadError; ChecksumError when the file changes meanwhile.
    """

    def __init__(self, path: str, compression: Codec) -> None:
        self.path = path
        with open_wal(path) as file:
            self.size = os.fstat(file.fileno()).st_size
            self.header = read_wal(file, HEADER_SIZE, path)
        self.sha1 = ""
        self._codec = compression
        self._stored: bytearray | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def begin(self) -> None:
        """Start in the background; what goes wrong there is raised by finish()."""
        if self.size <= IN_MEMORY:
            self._thread = threading.Thread(target=self._run, name="segment")
            self._thread.start()

    def finish(self) -> None:
        """Returns when sha1 is known and stored() can be called."""
        if self._thread is None:
            self._pass()
        else:
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def stored(self) -> Iterator[Chunk]:
        """The compressed content, as often as it is needed."""
        if self._stored is not None:
            yield self._stored
            return
        measure = Measure()
        yield from through(self._chunks(), measure, self._codec.compress)
        self._check(measure.hexdigest == self.sha1)  # in time: nothing has its final name yet

    def _run(self) -> None:
        try:
            self._pass()
        except BaseException as error:
            self._failure = error

    def _pass(self) -> None:
        measure = Measure()
        chunks = measure(self._chunks())
        if self.size <= IN_MEMORY:
            stored = bytearray()
            for chunk in self._codec.compress(chunks):
                stored += chunk
            self._stored = stored
        else:
            for _chunk in chunks:
                pass
        self.sha1 = measure.hexdigest
        self._check(measure.size == self.size)

    def _check(self, same: bool) -> None:
        if not same:
            raise ChecksumError(f"WAL file '{self.path}' changed while it was pushed")

    def _chunks(self) -> Iterator[Chunk]:
        buffer = memoryview(bytearray(CHUNK))
        with open_wal(self.path) as file:
            while size := _read_into(file, buffer, self.path):
                yield buffer[:size]


def make_segment(config: Config, path: str, threads: int = THREADS) -> Segment:
    """The segment as the options want it stored. threads: that compress it."""
    return Segment(path, codec(config.compress_type, config.compress_level, threads=threads))


def open_wal(path: str) -> FileIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise FileMissingError(
            f"WAL file '{path}' does not exist", "archive_command must pass %p, relative to the data directory"
        ) from None
    except OSError as error:
        raise FileOpenError(f"cannot open WAL file '{path}': {error.strerror}", "is this the right user?") from error


def read_wal(file: FileIO, size: int, path: str) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_into(file: FileIO, buffer: memoryview, path: str) -> int:
    try:
        return file.readinto(buffer)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> FileReadError:
    return FileReadError(f"cannot read WAL file '{path}': {error.strerror}", "is the disk all right?")
