# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A directory of a local (or mounted) file system.

Paths are bytes inside, so that names survive any locale. Every directory and file gets its mode whatever the umask.

What if the power fails here? A durable write goes through a temporary name, fsync, rename and an fsync of the
directory, and once per process also of the directories above it: whoever made them may have died before it synced them.
A write that is not durable goes straight to its name, and sync() makes up for all of them.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

from .. import faults
from ..errors import (
    AssertError,
    EngineError,
    FileInfoError,
    FileMissingError,
    FileMoveError,
    FileOpenError,
    FileReadError,
    FileRemoveError,
    FileSyncError,
    FileWriteError,
    PathCreateError,
    PathMissingError,
    PathOpenError,
    PathRemoveError,
    PathSyncError,
)
from ..stream.through import BUFFERS, CHUNK, Chunk
from .base import Entry, Feature, Kind, check_name, join, walk
from .exclusive import open_exclusive
from .file_system import sync_file_system

TEMP_SUFFIX = ".pgbackrest.tmp"  # readers of the format ignore names that end so
FILE_MODE = 0o640
PATH_MODE = 0o750

T = TypeVar("T")

_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "path", stat.S_IFLNK: "link"}
_MISSING = (FileNotFoundError, NotADirectoryError)  # the latter: something above it is a file
_HINTS = {
    errno.ENOSPC: "free space on that file system",
    errno.EDQUOT: "raise the quota of the user that the engine runs as",
    errno.EROFS: "that file system is mounted read-only",
}


class LocalStorage:
    """The Storage below the directory root, an absolute path.

    file_mode, path_mode: of what is created. follow: whether a file's name may be a symbolic link; where that would be
    a trap, as in a live cluster, reading through one is a FileOpenError.
    """

    features: frozenset[Feature] = frozenset(("path", "link", "hardlink", "rename"))

    def __init__(self, root: str, file_mode: int = FILE_MODE, path_mode: int = PATH_MODE, follow: bool = True) -> None:
        if not root.startswith("/"):
            raise AssertError(f"the root of a storage, {root!r}, must be an absolute path")
        self._root = _encode(root.rstrip("/") or "/")
        self._prefix = self._root.rstrip(b"/") + b"/"
        self._file_mode, self._path_mode = file_mode, path_mode
        # Not blocking, because to open a pipe that nobody feeds would wait for ever; preadv() then refuses it.
        self._read_flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | (0 if follow else os.O_NOFOLLOW)
        self._umask = os.umask(0o077)
        os.umask(self._umask)
        self._settled: set[bytes] = set()  # directories whose names, up to the root, are known to be durable
        self._witness = -1  # the root, open since before the first write: see sync_file_system()

    def __del__(self) -> None:
        if getattr(self, "_witness", -1) >= 0:
            os.close(self._witness)

    # -- reading

    def read(self, name: str, offset: int = 0, limit: int | None = None) -> Iterator[Chunk]:
        path = self._path(name)
        with _told(FileOpenError, "open", path, FileMissingError):
            fd = os.open(path, self._read_flags)
        try:
            buffer, view = BUFFERS.take()
            left = CHUNK if limit is None else limit
            while left > 0:
                with _told(FileReadError, "read", path):
                    faults.point("storage.local.read")
                    size = os.preadv(fd, (buffer if left >= CHUNK else memoryview(buffer)[:left],), offset)
                # Less than asked for is no proof of the end: that is also how a bad sector further on looks.
                if not size:
                    break
                offset += size
                if limit is not None:
                    left -= size
                yield view[:size]
        finally:
            os.close(fd)
        BUFFERS.give(buffer, view)

    def info(self, name: str) -> Entry | None:
        path = self._path(name)
        with _told(FileInfoError, "stat", path):
            try:
                return _entry(name, os.lstat(path), path)
            except _MISSING:
                return None

    def exists(self, name: str) -> bool:
        return self.info(name) is not None

    def entries(self, path: str) -> Iterator[Entry]:
        with _told(PathOpenError, "list", self._path(path)):
            try:
                scan = os.scandir(self._path(path))
            except _MISSING:
                return
        with scan:
            for item in scan:
                with _told(FileInfoError, "stat", item.path):
                    try:
                        entry = _entry(_decode(item.name), item.stat(follow_symlinks=False), item.path)
                    except FileNotFoundError:  # removed since the directory was read
                        continue
                yield entry

    # -- writing

    def write(self, name: str, chunks: Iterable[Chunk], durable: bool = True) -> None:
        self._watch()
        if durable:
            self._write_durably(self._path(name), chunks)
        else:
            self._write_in_place(self._path(name), chunks)

    def make_path(self, path: str, durable: bool = True) -> None:
        self._watch()
        self._make(self._path(path), durable)

    def make_link(self, name: str, destination: str) -> None:
        path = self._path(name)
        temp = path + _encode(TEMP_SUFFIX)
        with _told(FileWriteError, "create link", path):
            with suppress(FileNotFoundError):
                os.unlink(temp)
            self._with_parent(temp, False, lambda: os.symlink(_encode(destination), temp))
            os.replace(temp, path)

    def hard_link(self, existing: str, new: str) -> None:
        self._watch()
        source, path = self._path(existing), self._path(new)
        with _told(FileInfoError, "link", source, FileMissingError):
            os.lstat(source)
        with _told(FileWriteError, "create hard link", path):
            self._anew(path, lambda: os.link(source, path, follow_symlinks=False))

    def rename(self, name: str, new: str) -> None:
        source, path = self._path(name), self._path(new)
        with _told(FileMoveError, "rename", source, FileMissingError):
            self._with_parent(path, True, lambda: os.rename(source, path))
        _sync_path(os.path.dirname(path))
        _sync_path(os.path.dirname(source))

    def sync(self, path: str = "") -> None:
        top = self._path(path)
        with _told(PathOpenError, "sync", top, PathMissingError):
            fd = os.open(top, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with _told(FileSyncError, "sync all below", top):
                faults.point("storage.local.sync_all")
                watched = self._witness >= 0 and os.fstat(self._witness).st_dev == os.fstat(fd).st_dev
                if sync_file_system(self._witness if watched else fd):
                    return
        finally:
            os.close(fd)
        for entry in walk(self, path):
            if entry.kind in ("file", "path"):
                _sync_path(self._path(join(path, entry.name)))
        _sync_path(top)
        self._settle(top)

    # -- removing

    def remove(self, name: str) -> None:
        path = self._path(name)
        with _told(FileRemoveError, "remove", path), suppress(*_MISSING):
            os.unlink(path)

    def remove_tree(self, path: str) -> None:
        top = self._path(path)
        with _told(PathRemoveError, "remove all below", top):
            _remove_tree(top, None)

    # -- inside

    def _path(self, name: str) -> bytes:
        return self._prefix + _encode(check_name(name)) if name else self._root

    def _watch(self) -> None:
        if self._witness < 0:
            with suppress(OSError):  # the root is not there yet: the next write tries again
                self._witness = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def _write_in_place(self, path: bytes, chunks: Iterable[Chunk]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with _told(FileWriteError, "create", path):
            fd = self._anew(path, lambda: os.open(path, flags, self._file_mode))
        try:
            try:
                self._fill(fd, path, chunks)
            finally:
                with _told(FileWriteError, "close", path):  # a network file system may tell only now: no room
                    os.close(fd)
        except BaseException:
            with suppress(OSError):
                os.unlink(path)
            raise

    def _write_durably(self, path: bytes, chunks: Iterable[Chunk]) -> None:
        temp = path + _encode(TEMP_SUFFIX)
        with _told(FileWriteError, "create", temp):
            fd = self._with_parent(temp, True, lambda: open_exclusive(temp, self._file_mode))
        if fd is None:
            raise FileWriteError(f"cannot write '{_decode(path)}': another process is writing it")
        try:
            with _told(FileWriteError, "write", path):
                os.ftruncate(fd, 0)  # what a crash left behind
            self._fill(fd, path, chunks)
            with _told(FileSyncError, "sync", path):
                faults.point("storage.local.sync")
                os.fsync(fd)
            with _told(FileMoveError, "rename into place", path):
                faults.point("storage.local.rename")
                os.replace(temp, path)
        except BaseException:  # a signal, too, must not leave half a file behind
            with suppress(OSError):
                os.unlink(temp)
            raise
        finally:
            os.close(fd)  # not earlier: under its temporary name the file must stay locked
        _sync_path(os.path.dirname(path))
        self._settle(os.path.dirname(path))

    def _fill(self, fd: int, path: bytes, chunks: Iterable[Chunk]) -> None:
        if self._umask & self._file_mode:
            with _told(FileWriteError, "set the mode of", path):
                os.fchmod(fd, self._file_mode)
        for chunk in chunks:
            with _told(FileWriteError, "write", path):
                faults.point("storage.local.write")
                written = os.write(fd, chunk)
                while written < len(chunk):  # the disk is nearly full, or the chunk is beyond 2 GiB
                    written += os.write(fd, memoryview(chunk)[written:])
        with _told(FileWriteError, "write", path):
            faults.point("storage.local.written")

    def _anew(self, path: bytes, create: Callable[[], T]) -> T:
        """What create() returns, in place of what was at path.

        Never into an existing file: it may be a link, or share its bytes with an older backup.
        """
        try:
            return self._with_parent(path, False, create)
        except FileExistsError:
            os.unlink(path)
            return create()

    def _with_parent(self, path: bytes, durable: bool, create: Callable[[], T]) -> T:
        """What create() returns; where the directory is missing, it is made and create() called again."""
        try:
            return create()
        except FileNotFoundError:
            self._make(os.path.dirname(path), durable)
            return create()

    def _make(self, path: bytes, durable: bool) -> None:
        with _told(PathCreateError, "create directory", path):
            try:
                self._with_parent(path, durable, lambda: os.mkdir(path, self._path_mode))
            except FileExistsError:
                if not os.path.isdir(path):
                    raise
            else:
                self._settled.discard(path)
                if self._umask & self._path_mode:
                    os.chmod(path, self._path_mode)
                if durable and len(path) <= len(self._root):
                    _sync_path(os.path.dirname(path))
        if durable:
            self._settle(path)

    def _settle(self, path: bytes) -> None:
        """Make durable the name of a directory below the root, and of all between; each once per process."""
        if len(path) > len(self._root) and path not in self._settled:
            parent = os.path.dirname(path)
            self._settle(parent)
            _sync_path(parent)
            self._settled.add(path)


def process_owner() -> str:
    """Who is denied what is denied to us."""
    import grp
    import pwd

    with suppress(KeyError):
        return f"user {pwd.getpwuid(os.geteuid()).pw_name}, group {grp.getgrgid(os.getegid()).gr_name}"
    return f"user {os.geteuid()}, group {os.getegid()}"


class _told:
    """Translates what the operating system says, for all of this driver."""

    __slots__ = ("action", "kind", "missing", "path")

    def __init__(
        self, kind: type[EngineError], action: str, path: bytes, missing: type[EngineError] | None = None
    ) -> None:
        self.kind, self.action, self.path, self.missing = kind, action, path, missing

    def __enter__(self) -> None:
        pass

    def __exit__(self, _other: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, OSError):
            kind = self.missing if self.missing and isinstance(error, _MISSING) else self.kind
            hint = _HINTS.get(error.errno or 0, "")
            if error.errno in (errno.EACCES, errno.EPERM):
                hint = f"the engine runs as {process_owner()}, which must be allowed to"
            raise kind(f"cannot {self.action} '{_decode(self.path)}': {error.strerror or error}", hint) from error


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _entry(name: str, status: os.stat_result, path: bytes) -> Entry:
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "special")
    return Entry(
        name,
        kind,
        status.st_size if kind == "file" else 0,
        status.st_mtime_ns // 1_000_000_000,
        _decode(os.readlink(path)) if kind == "link" else "",
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
    )


def _sync_path(path: bytes) -> None:
    """fsync a file or directory."""
    with _told(PathSyncError, "sync", path):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            faults.point("storage.local.sync_path")
            os.fsync(fd)
        finally:
            os.close(fd)


def _remove_tree(name: str | bytes, above: int | None) -> None:
    # By descriptors, because a restore may run as root in a directory of somebody who could swap in a link meanwhile.
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        with suppress(*_MISSING):
            os.unlink(name, dir_fd=above)
        return
    try:
        for inner in os.listdir(fd):
            _remove_tree(inner, fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=above)
