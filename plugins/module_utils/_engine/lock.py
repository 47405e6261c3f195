# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The stanza's locks, what they say about progress, and stop files.

Only the kernel's lock on a file counts, never that the file exists: it dies with its holder. The content is for people
and for info. Names and content are pgBackRest's: with the same lock path, the two keep out of each other's way.

Background archiving has two locks. Its process has archive-push or archive-get as long as it lives, which may be for
ever, so nobody else waits for these. While it moves WAL it shares the archive lock, so that pushing and getting do not
stop each other, but that whoever changes the stanza has it to himself; it lets go of that one every few seconds.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .errors import FileRemoveError, FileWriteError, KernelError, LockAcquireError, PathCreateError, StopError
from .storage.exclusive import is_at, open_exclusive
from .storage.local import LocalStorage, process_owner

Kind = Literal["archive", "archive-get", "archive-push", "backup", "restore"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_FILE_MODE, _PATH_MODE = 0o640, 0o770
_SHARED_PATIENCE = 15.0  # seconds that a lock may be shared by background archiving before it is a failure
_STEP = 10  # hundredths of a percent that progress must exceed to be written
_PATIENCE = 0.2  # seconds in which a lock without a living holder may be somebody's short look at it
_ALL = "all"  # the stop file for every stanza


@dataclass(frozen=True)
class LockState:
    """The content of a lock file; sizes in bytes, known while files are copied."""

    exec_id: str
    pid: int
    size: int | None = None
    size_complete: int | None = None

    @property
    def percent(self) -> int | None:
        """Progress in hundredths of a percent."""
        if self.size is None or self.size_complete is None:
            return None
        return min(10_000, self.size_complete * 10_000 // self.size) if self.size else 10_000


def parse_lock(content: bytes) -> LockState | None:
    """None for what is no content: a reader can meet a file in the middle of a change."""
    try:
        values = json.loads(content)
        state = LockState(values["execId"], values["pid"], values.get("sz"), values.get("szCplt"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    # What is no process could mean a whole group to kill().
    return state if isinstance(state.pid, int) and state.pid > 1 else None


def render_lock(state: LockState) -> bytes:
    values: dict[str, Any] = {
        "execId": state.exec_id,
        "pctCplt": state.percent,
        "pid": state.pid,
        "sz": state.size,
        "szCplt": state.size_complete,
    }
    return json.dumps(
        {key: value for key, value in values.items() if value is not None}, separators=(",", ":")
    ).encode()


class StanzaLock:
    """The locks of a command as a context manager; all of them or none.

    LockAcquireError, without waiting, when somebody else has one; a process with the same exec_id is not somebody else.
    """

    def __init__(
        self, lock_path: str, stanza: str, kinds: Iterable[Kind], repo_keys: Sequence[int], exec_id: str
    ) -> None:
        self._lock_path, self._stanza = lock_path, stanza
        self._wanted = [(kind, key) for kind in kinds for key in repo_keys]
        self._state = LockState(exec_id, os.getpid())
        self._held: dict[str, int] = {}  # path -> descriptor
        self._written = -1  # progress in the file, hundredths of a percent

    @property
    def intact(self) -> bool:
        """Whether all lock files are still in their places: who cannot see one could take a lock of the same name."""
        return all(is_at(descriptor, path) for path, descriptor in self._held.items())

    @property
    def fds(self) -> tuple[int, ...]:
        """The descriptors that hold the locks: no other process may inherit them."""
        return tuple(self._held.values())

    def __enter__(self) -> StanzaLock:
        try:
            for kind, key in self._wanted:
                self._acquire(lock_file(self._lock_path, self._stanza, kind, key), self._patience(kind, key))
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(self, *_other: object) -> None:
        self._release()

    def progress(self, total: int, done: int, repo_key: int | None = None) -> None:
        """Say in the lock file of the repository, by default the first, that done of total bytes are finished.

        Written at first, and whenever it grew by more than 0.1 %.
        """
        state = LockState(self._state.exec_id, self._state.pid, total, done)
        percent = state.percent or 0
        if self._written < 0 or percent - self._written > _STEP:
            self._rewrite(state, repo_key)
            self._written = percent

    def clear_progress(self, repo_key: int | None = None) -> None:
        """The copying is over, what follows under the same lock has no sizes."""
        self._rewrite(self._state, repo_key)
        self._written = -1

    def _rewrite(self, state: LockState, repo_key: int | None) -> None:
        kind, first = self._wanted[0]
        descriptor = self._held.get(lock_file(self._lock_path, self._stanza, kind, repo_key or first))
        # Where we share the lock of our own run there is no file of ours; and a full disk there must not end a backup.
        if descriptor is not None:
            with suppress(OSError):
                _write(descriptor, state)

    def _patience(self, kind: Kind, key: int) -> float:
        """Seconds: the archive lock comes free soon where background archiving is at work."""
        moving = kind == "archive" and (
            is_held(self._lock_path, self._stanza, "archive-push", key)
            or is_held(self._lock_path, self._stanza, "archive-get", key)
        )
        return _SHARED_PATIENCE if moving else 0.0

    def _acquire(self, path: str, patience: float) -> None:
        descriptor = _open(path, self._state.exec_id, patience)
        if descriptor is None:
            return
        self._held[path] = descriptor
        try:
            _write(descriptor, self._state)
        except OSError as error:
            raise LockAcquireError(f"cannot write lock file '{path}': {error.strerror}") from error

    def _release(self) -> None:
        for path, descriptor in self._held.items():
            with suppress(OSError):
                if is_at(descriptor, path):  # else stop --force has removed it, and this one is somebody else's
                    os.unlink(path)
            os.close(descriptor)
        self._held.clear()


class SharedLock:
    """The archive locks, shared with others that move WAL; a context manager that waits for up to timeout seconds.

    LockAcquireError when somebody has one of them to himself for longer. The content of the files names one of us.
    """

    def __init__(self, lock_path: str, stanza: str, repo_keys: Sequence[int], exec_id: str, timeout: float) -> None:
        self._paths = [lock_file(lock_path, stanza, "archive", key) for key in repo_keys]
        self._state = LockState(exec_id, os.getpid())
        self._timeout = timeout
        self._held: dict[str, int] = {}

    def __enter__(self) -> SharedLock:
        try:
            for path in self._paths:
                descriptor = _open(path, "", self._timeout, shared=True)
                if descriptor is not None:
                    self._held[path] = descriptor
                    with suppress(OSError):
                        _write(descriptor, self._state)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_other: object) -> None:
        import fcntl

        for path, descriptor in self._held.items():
            # Only who has a file to himself may remove it: the others would be left with one that nobody can see.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if is_at(descriptor, path):
                    os.unlink(path)
            os.close(descriptor)
        self._held.clear()


def is_held(lock_path: str, stanza: str, kind: Kind, repo_key: int) -> bool:
    """Whether a process has the lock; nothing is created or kept."""
    descriptor = _open_to_look(lock_file(lock_path, stanza, kind, repo_key))
    if descriptor is None:
        return False
    try:
        return not _try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def lock_file(lock_path: str, stanza: str, kind: Kind, repo_key: int) -> str:
    return f"{lock_path}/{stanza}-{kind}-{repo_key}.lock"


def read_locks(lock_path: str, stanza: str, kind: Kind, repo_key: int) -> LockState | None:
    """What the holder of a lock says; None when nobody holds it, or what is there cannot be read."""
    return _read(lock_file(lock_path, stanza, kind, repo_key))


# -- stop files


def stop_file(lock_path: str, stanza: str | None) -> str:
    """The file that forbids most commands of a stanza, or of all stanzas if None."""
    return f"{lock_path}/{stanza or _ALL}.stop"


def check_stop(lock_path: str, stanza: str) -> None:
    """StopError when a stop file forbids to go on."""
    for name in (stanza, _ALL):
        path = stop_file(lock_path, name)
        try:
            os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise StopError(f"cannot look for stop file '{path}': {error.strerror}") from error
        start = "start" if name == _ALL else f"--stanza={stanza} start"
        raise StopError(f"stop file '{path}' exists: stanza {stanza} is stopped", f"'holdfast {start}' removes it")


def create_stop(lock_path: str, stanza: str | None) -> bool:
    """False when it existed already."""
    path = stop_file(lock_path, stanza)
    _make_lock_path(lock_path)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
    except FileExistsError:
        return False
    except OSError as error:
        raise FileWriteError(f"cannot create stop file '{path}': {error.strerror}") from error
    os.fchmod(descriptor, _FILE_MODE)
    os.close(descriptor)
    return True


def remove_stop(lock_path: str, stanza: str | None) -> bool:
    """False when there was none."""
    return _unlink(stop_file(lock_path, stanza))


def terminate_holders(lock_path: str, stanza: str | None) -> list[tuple[str, int | None]]:
    """Remove the lock files of a stanza, or all, and send SIGTERM to their holders, without waiting for their end.

    Returns the name of each file, ascending, with the process that held it; None when nobody did, or nobody known.
    """
    whose = f"{re.escape(stanza)}-({'|'.join(KINDS)})-[0-9]+" if stanza else ".*"
    found: list[tuple[str, int | None]] = []
    for name in sorted(_names(lock_path)):
        if re.fullmatch(whose + r"\.lock", name):
            state = _read(f"{lock_path}/{name}", sharers=True)
            _unlink(f"{lock_path}/{name}")
            found.append((name, state.pid if state else None))
    for pid in {pid for _other, pid in found if pid}:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        except OSError as error:
            raise KernelError(f"cannot terminate process {pid}: {error.strerror}") from error
    return found


# -- files


def _open(path: str, exec_id: str, patience: float = 0.0, shared: bool = False) -> int | None:
    """A locked descriptor; None when our own run holds the lock. patience: seconds to wait for somebody else."""
    begin = time.monotonic()
    while True:
        try:
            descriptor = _open_or_make(path, shared)
        except PermissionError as error:
            raise LockAcquireError(f"cannot open lock file '{path}': {error.strerror}", _who_may(path)) from error
        except OSError as error:
            raise LockAcquireError(f"cannot open lock file '{path}': {error.strerror}") from error
        if descriptor is not None:
            return descriptor
        state = _load(path)
        if state and state.exec_id == exec_id:
            return None
        known = state is not None and _lives(state.pid)
        if time.monotonic() - begin >= (patience if known else max(patience, _PATIENCE)):
            who = f"process {state.pid}" if state else "another process"
            raise LockAcquireError(
                f"cannot acquire lock on file '{path}': {who} holds it", "is another holdfast process running?"
            )
        time.sleep(0.01)


def _open_or_make(path: str, shared: bool) -> int | None:
    try:
        return open_exclusive(path, _FILE_MODE, shared)
    except FileNotFoundError:
        _make_lock_path(os.path.dirname(path))
        return open_exclusive(path, _FILE_MODE, shared)


def _make_lock_path(lock_path: str) -> None:
    try:
        LocalStorage(lock_path, path_mode=_PATH_MODE).make_path("", durable=False)
    except PathCreateError as error:
        raise LockAcquireError(
            f"cannot create lock path: {error}",
            f"create it for {process_owner()}, or choose another with --lock-path",
        ) from error


def _write(descriptor: int, state: LockState) -> None:
    content = render_lock(state)
    if os.fstat(descriptor).st_mode & 0o7777 != _FILE_MODE:
        with suppress(PermissionError):
            os.fchmod(descriptor, _FILE_MODE)
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))


def _read(path: str, sharers: bool = False) -> LockState | None:
    """sharers: whoever shares the lock holds it, too; two that look at once could take each other for such a one."""
    descriptor = _open_to_look(path)
    if descriptor is None:
        return None
    try:
        for _attempt in range(10):
            if _try_lock(descriptor, shared=not sharers):
                return None
            state = parse_lock(os.pread(descriptor, 4096, 0))
            if state:
                return state
            time.sleep(0.01)  # caught in the middle of a change
        return None
    finally:
        os.close(descriptor)


def _open_to_look(path: str) -> int | None:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None


def _try_lock(descriptor: int, shared: bool) -> bool:
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _load(path: str) -> LockState | None:
    try:
        with open(path, "rb") as file:
            return parse_lock(file.read(4096))
    except OSError:
        return None


def _unlink(path: str) -> bool:
    """False when it was gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FileRemoveError(f"cannot remove '{path}': {error.strerror}") from error
    return True


def _names(lock_path: str) -> list[str]:
    try:
        return os.listdir(lock_path)
    except FileNotFoundError:
        return []


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _who_may(path: str) -> str:
    return f"the engine runs as {process_owner()}; --lock-path may be another user's: '{os.path.dirname(path)}'"
