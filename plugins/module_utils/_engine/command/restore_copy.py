# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore worker does: keep what is right already, bring the rest from the repository, check every byte.

A job has parts, each a run of files out of one place in the repository. Small files that lie side by side in a bundle
are fetched with one read and taken apart in memory; a large one is a stream: read, decrypt, decompress, measure, write.
Nothing is forced to disk here: the parent buys durability once, before it publishes pg_control.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ..errors import ChecksumError, EngineError, FileOpenError, FileOwnerError, FileWriteError
from ..storage.base import Chunk, Storage
from ..storage.local import LocalStorage
from ..stream.cipher import Cipher
from ..stream.codec import codec
from ..stream.measure import Measure
from ..stream.through import Filter, through
from ..worker import pulse
from .restore_block import BlockRestorer

SMALL = 256 << 10  # bytes; a file up to this size is handled in memory
RUN = 4 << 20  # stored bytes of small files that are fetched with one read


@dataclass(frozen=True)
class RestoreSetup:
    """What is the same for every file. raw: bundled files use the raw stream formats; cipher_pass: of the files.

    stanza, references: where the blocks of block incremental files are; references as the manifest lists them.
    delta: keep files of the right content; by_time: trust size and time instead of reading them, when the time is
    before copy_start (delta together with force).
    """

    repo_path: str
    compress_type: str
    raw: bool
    cipher_pass: str | None = field(repr=False)  # errors name the job
    delta: bool
    by_time: bool
    copy_start: int
    stanza: str = ""
    references: tuple[str, ...] = ()


class BlockForm(NamedTuple):
    """Of a block incremental file: bytes of a block, of its checksum, and of the map at the end of its region."""

    block_size: int
    checksum_size: int
    map_size: int


class RestoreFile(NamedTuple):
    """name: of the manifest, for messages; path: where it goes; offset: in the source, of a region of repo_size bytes.

    owner: (uid, gid) to give it, None to leave what the system gives; zero: only its length, as a hole; block: how it
    is stored block incrementally, None for a whole file.
    """

    name: str
    path: str
    size: int
    timestamp: int
    mode: int
    checksum: bytes
    offset: int
    repo_size: int
    owner: tuple[int, int] | None = None
    zero: bool = False
    block: BlockForm | None = None


class RestorePart(NamedTuple):
    """source: name in the repository, a bundle or a file of its own; files: in ascending order of their offsets."""

    source: str
    bundled: bool
    files: tuple[RestoreFile, ...]


@dataclass(frozen=True)
class RestoreJob:
    setup: RestoreSetup
    parts: tuple[RestorePart, ...]


def restore_job(job: RestoreJob) -> list[bool]:
    """The work of a pool worker: for each file of each part in order, whether it was kept as it was found."""
    os.umask(0)  # modes are those of the manifest
    restorer = _restorer(job.setup)
    return [kept for part in job.parts for kept in restorer.run(part)]


@lru_cache(maxsize=1)
def _restorer(setup: RestoreSetup) -> Restorer:
    return Restorer(setup)


class Restorer:
    """Restores files under one setup; keeps its decompressor and its storage between jobs."""

    def __init__(self, setup: RestoreSetup) -> None:
        self._setup = setup
        self._repo: Storage = LocalStorage(setup.repo_path)
        self._host: Storage = LocalStorage("/", follow=False)
        self._forms = {False: _Form(setup, raw=False), True: _Form(setup, raw=setup.raw)}
        self._blocks: BlockRestorer | None = None

    def run(self, part: RestorePart) -> list[bool]:
        form = self._forms[part.bundled]
        states = [self._state(file) for file in part.files]
        wanted = [file for file, state in zip(part.files, states) if state == "wanted"]
        for file in wanted:
            if file.block is not None:
                self._restore_blocks(part.source, file, file.block)
        for run in _runs(file for file in wanted if file.block is None):
            if run[0].size > SMALL:
                self._stream(form, part.source, run[0])
            else:
                self._slab(form, part.source, run)
        return [state == "kept" for state in states]

    def _restore_blocks(self, source: str, file: RestoreFile, block: BlockForm) -> None:
        if self._blocks is None:
            self._blocks = BlockRestorer(self._repo, self._setup, _Form(self._setup, raw=True))
        found = _status(file.path)
        keep = self._setup.delta and found is not None and stat.S_ISREG(found.st_mode)
        self._blocks.restore(source, file, block, keep)
        _stamp(file.path, file, os.lstat(file.path))

    # -- keeping what is there

    def _state(self, file: RestoreFile) -> str:
        """kept: the content is there. made: nothing had to be fetched for it. wanted: it must be fetched."""
        if self._setup.delta and not file.zero:
            found = _status(file.path)
            if found is not None and self._is_right(file, found):
                _stamp(file.path, file, found)
                return "kept"
        if file.size and not file.zero:
            return "wanted"
        with _Destination(file) as destination:
            destination.truncate(file.size)
        return "made"

    def _is_right(self, file: RestoreFile, found: os.stat_result) -> bool:
        """Whether what is there needs no more than its attributes set; what was only appended is cut off."""
        if not stat.S_ISREG(found.st_mode):
            return False
        if self._setup.by_time:
            same = found.st_size == file.size and int(found.st_mtime) == file.timestamp
            return same and file.timestamp < self._setup.copy_start
        if file.size == 0 or found.st_size < file.size:
            return found.st_size == file.size
        try:
            if self._digest(file) != file.checksum:
                return False
            if found.st_size > file.size:
                os.truncate(file.path, file.size)
        except (EngineError, OSError):
            return False  # it cannot be read or cut: it is made anew
        return True

    def _digest(self, file: RestoreFile) -> bytes:
        """SHA-1 of the first file.size bytes of what is there."""
        measure = Measure()
        for _other in measure(pulse(self._host.read(file.path[1:], 0, file.size))):
            pass
        return measure.digest

    # -- fetching

    def _slab(self, form: _Form, source: str, files: Sequence[RestoreFile]) -> None:
        start = files[0].offset
        end = files[-1].offset + files[-1].repo_size
        region = bytearray()
        for chunk in self._repo.read(source, start, end - start):
            region += chunk
        for file in files:
            stored = bytes(region[file.offset - start : file.offset - start + file.repo_size])
            try:
                data = form.plain(stored, file.size)
            except EngineError as error:
                raise _damaged(source, file, error) from error
            checksum = hashlib.sha1(data, usedforsecurity=False)
            if len(data) != file.size or checksum.digest() != file.checksum:
                raise _differs(source, file, checksum.hexdigest())
            with _Destination(file) as destination:
                destination.write(data)

    def _stream(self, form: _Form, source: str, file: RestoreFile) -> None:
        measure = Measure()
        chunks = through(self._repo.read(source, file.offset, file.repo_size), *form.filters(), measure, pulse)
        with _Destination(file) as destination:
            while True:
                try:
                    chunk = next(chunks, None)
                except EngineError as error:
                    raise _damaged(source, file, error) from error
                if chunk is None:
                    break
                if measure.size > file.size:
                    raise _differs(source, file, "of more bytes")
                destination.write(chunk)
            # Here, because with the right time it would look right to a later restore.
            if measure.size != file.size or measure.digest != file.checksum:
                raise _differs(source, file, measure.hexdigest)


class _Form:
    """The transformation from stored to plain bytes."""

    def __init__(self, setup: RestoreSetup, raw: bool) -> None:
        self._codec = codec(setup.compress_type, None, raw) if setup.compress_type != "none" else None
        self.cipher = Cipher(setup.cipher_pass, raw) if setup.cipher_pass is not None else None

    def plain(self, stored: bytes, size: int) -> bytes:
        """size: bytes that are expected; more is an error of the codec."""
        if self.cipher is not None:
            stored = self.cipher.decrypt_one(stored)
        return self._codec.decompress_one(stored, size) if self._codec is not None else stored

    def filters(self) -> list[Filter]:
        filters: list[Filter] = [self.cipher.decrypt] if self.cipher is not None else []
        if self._codec is not None:
            filters.append(self._codec.decompress)
        return filters


class _Destination:
    """The file a restore writes: always a new one, stamped with owner and time when it is whole.

    Never what is there: that may be read-only, or share its bytes with another name outside the data directory.
    """

    def __init__(self, file: RestoreFile) -> None:
        self._file = file

    def __enter__(self) -> _Destination:
        path = self._file.path
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            try:
                self._descriptor = os.open(path, flags, self._file.mode)
            except FileExistsError:
                os.unlink(path)
                self._descriptor = os.open(path, flags, self._file.mode)
        except OSError as error:
            raise FileOpenError(f"cannot create {path}: {error.strerror}") from error
        return self

    def write(self, data: Chunk) -> None:
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view) :]
        except OSError as error:
            raise FileWriteError(
                f"cannot write {self._file.path}: {error.strerror}",
                "is the file system full? A restore that stopped here goes on with --delta",
            ) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self._descriptor, size)
        except OSError as error:
            raise FileWriteError(f"cannot set the length of {self._file.path}: {error.strerror}") from error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                _stamp(self._descriptor, self._file, os.fstat(self._descriptor))
        finally:
            try:
                os.close(self._descriptor)
            except OSError as problem:  # a network file system may tell only now that there is no room
                raise FileWriteError(f"cannot close {self._file.path}: {problem.strerror}") from problem


def _status(path: str) -> os.stat_result | None:
    try:
        return os.lstat(path)
    except OSError:
        return None


def _stamp(path: str | int, file: RestoreFile, found: os.stat_result) -> None:
    """Set what differs of owner, mode and time."""
    try:
        if file.owner is not None and file.owner != (found.st_uid, found.st_gid):
            os.chown(path, *file.owner)
        if stat.S_IMODE(found.st_mode) != file.mode:
            os.chmod(path, file.mode)
        if found.st_mtime_ns != file.timestamp * 1_000_000_000:
            os.utime(path, (file.timestamp, file.timestamp))
    except OSError as error:
        raise FileOwnerError(
            f"cannot set owner, mode and time of {file.path}: {error.strerror}",
            "run restore as the owner of the cluster's files",
        ) from error


def _runs(files: Iterable[RestoreFile]) -> Iterator[list[RestoreFile]]:
    """Files side by side in their source that are fetched together; a large file is a run of its own."""
    run: list[RestoreFile] = []
    for file in files:
        gap = run and run[-1].offset + run[-1].repo_size != file.offset
        full = run and file.offset + file.repo_size - run[0].offset > RUN
        if run and (gap or full or file.size > SMALL or run[-1].size > SMALL):
            yield run
            run = []
        run.append(file)
    if run:
        yield run


def _differs(source: str, file: RestoreFile, found: str) -> ChecksumError:
    return ChecksumError(
        f"error restoring '{file.path}': content of {source} has checksum {found}, "
        f"the manifest says {file.checksum.hex()}",
        "the repository is damaged here: run verify, and restore another backup set with --set",
    )


def _damaged(source: str, file: RestoreFile, error: EngineError) -> EngineError:
    return type(error)(
        f"error restoring '{file.path}' from {source}: {error.message}",
        error.hint or "the repository is damaged here: run verify, and restore another backup set with --set",
    )
