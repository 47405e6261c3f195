# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The spool of asynchronous archiving: acknowledgements of WAL that was pushed, and segments that were fetched ahead.

    <spool-path>/archive/<stanza>/out/<file>.ok       it is in all repositories; has the warnings, if there are any
                                      <file>.error    it is not, and why
                                      global.error    nothing was pushed, and why
                                  in/<segment>        complete and verified
                                     <segment>.ok     beside it: warnings; alone: no repository has the segment
                                     <segment>.error  why it could not be fetched
                                     origin           the run of the machine and the cluster that the rest is of
                                     request          a segment that PostgreSQL asked for and did not find here

Names and contents but for the last two are pgBackRest's. Nothing here is synced, because nothing has to survive: after
a power failure PostgreSQL asks again. But what came back from before one must not be taken for what it says it is:

- An acknowledgement is as old as the WAL file was when it was read. One that is older than the file now is of other
  content with the same name: the cluster was set back or made anew.
- Segments count only in the run of the machine in which they were written, and for the cluster that they were for.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple

from . import faults
from .errors import AssertError, EngineError, FileOpenError, FileRemoveError, FileWriteError, FormatError, kind_of
from .format.layout import is_segment
from .storage.local import LocalStorage

OK, ERROR = ".ok", ".error"
GLOBAL = "global"
TEMP_SUFFIX = ".holdfast.tmp"
FILE_MODE = 0o640
ORIGIN, REQUEST = "origin", "request"
BOOT_ID = "/proc/sys/kernel/random/boot_id"
SECOND = 1_000_000_000  # nanoseconds


class Status(NamedTuple):
    """What a status file says. code: 0 for success, and then text has warnings or is empty."""

    code: int
    text: str


def parse_status(name: str, content: bytes) -> Status:
    """name: of the file, for messages. FormatError for what is neither empty nor a code, a line feed and a text."""
    if not content:
        return Status(0, "")
    code, _line_feed, text = content.decode("utf-8", "backslashreplace").partition("\n")
    if not (code.isascii() and code.isdigit() and text):
        raise FormatError(f"status file '{name}' has no code and text", "remove it, and the file is archived again")
    return Status(int(code), text)


def render_status(status: Status) -> bytes:
    return f"{status.code}\n{status.text}".encode("utf-8", "backslashreplace") if status.text else b""


class _Spool:
    """One direction of a stanza's spool."""

    def __init__(self, spool_path: str, stanza: str, direction: str) -> None:
        self.path = f"{spool_path}/archive/{stanza}/{direction}"

    def create(self) -> None:
        """Make the directory; what is wrong with the spool shows here."""
        LocalStorage(self.path).make_path("", durable=False)

    def names(self) -> list[str]:
        """What is there; nothing when there is no directory."""
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FileOpenError(f"cannot list '{self.path}': {error.strerror}") from error

    def error(self, name: str) -> EngineError | None:
        """The failure that was reported for a file, or else for all."""
        for stem in (name, GLOBAL):
            status = self._read(stem + ERROR)
            if status is not None:
                if status.code == 0:
                    raise AssertError(f"'{self.path}/{stem}{ERROR}' reports no error")
                return kind_of(status.code)(status.text)
        return None

    def report(self, name: str, error: EngineError) -> None:
        """Leave the failure of a file, or with the name GLOBAL of all, for whoever waits."""
        hints = "".join(f"\nHINT: {line}" for line in error.hint.split("\n") if line)
        self._write(name + ERROR, Status(error.code, error.message + hints))

    def forget_errors(self, name: str) -> None:
        """A new attempt begins."""
        for stem in (name, GLOBAL):
            self.remove(stem + ERROR)

    def remove(self, name: str) -> None:
        path = f"{self.path}/{name}"
        with _told(FileRemoveError, "remove", path), suppress(FileNotFoundError):
            os.unlink(path)

    def _read(self, name: str) -> Status | None:
        path = f"{self.path}/{name}"
        with _told(FileOpenError, "read", path):
            try:
                with open(path, "rb") as file:
                    return parse_status(path, file.read())
            except FileNotFoundError:
                return None

    def _write(self, name: str, status: Status, modified: int | None = None) -> None:
        """modified: time of the file, epoch ns; of now if None."""
        self._write_bytes(name, render_status(status), modified)

    def _write_bytes(self, name: str, content: bytes, modified: int | None = None) -> None:
        path = f"{self.path}/{name}"
        temp = path + TEMP_SUFFIX
        with _told(FileWriteError, "write", path):
            # Half a status file could be one of success.
            with open(os.open(temp, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE), "wb") as file:
                file.write(content)
            if modified is not None:
                os.utime(temp, ns=(modified, modified))
            faults.point("archive.async.status")
            os.rename(temp, path)


class PushSpool(_Spool):
    """What became of WAL files that were pushed."""

    def __init__(self, spool_path: str, stanza: str) -> None:
        super().__init__(spool_path, stanza, "out")

    def acknowledgement(self, name: str, path: str) -> Status | None:
        """That of a WAL file, whose path is given; None when there is none for the file as it is now."""
        if not self._covers(name, path):
            return None
        return self._read(name + OK)

    def acknowledge(self, name: str, modified: int, warnings: Sequence[str] = ()) -> None:
        """To be called when the file is durable in all repositories. modified: its time before it was read, ns."""
        # Full seconds, rounded up, because not every file system keeps more.
        self._write(name + OK, Status(0, "\n".join(warnings)), -(-modified // SECOND) * SECOND)

    def acknowledged(self, wal_directory: str, names: Collection[str]) -> set[str]:
        """Those of names, files in wal_directory, that have an acknowledgement."""
        present = set(self.names())
        return {name for name in names if name + OK in present and self._covers(name, f"{wal_directory}/{name}")}

    def failed(self) -> set[str]:
        """The files that have a report of a failure."""
        return {name[: -len(ERROR)] for name in self.names() if name.endswith(ERROR)} - {GLOBAL}

    def clean(self, wal_directory: str, ready: Collection[str]) -> None:
        """Remove all but what is said of the files that PostgreSQL still asks for, which are ready."""
        for name in self.names():
            stem, dot, ending = name.rpartition(".")
            known = stem in ready and dot + ending in (OK, ERROR)
            if not known or (dot + ending == OK and not self._covers(stem, f"{wal_directory}/{stem}")):
                self.remove(name)

    def _covers(self, name: str, path: str) -> bool:
        try:
            acknowledged = os.stat(f"{self.path}/{name}{OK}").st_mtime_ns
        except OSError:
            return False
        try:
            return os.stat(path).st_mtime_ns <= acknowledged
        except OSError:  # there is nothing that could be other than what was pushed
            return True


class GetSpool(_Spool):
    """Segments that were fetched ahead."""

    def __init__(self, spool_path: str, stanza: str) -> None:
        super().__init__(spool_path, stanza, "in")

    def segments(self) -> set[str]:
        """The segments that can be taken."""
        return {name for name in self.names() if is_segment(name)}

    def place(self, segment: str) -> str:
        """The path of a segment."""
        return f"{self.path}/{segment}"

    def holds(self, segment: str) -> bool:
        try:
            return stat.S_ISREG(os.lstat(self.place(segment)).st_mode)
        except OSError:
            return False

    def is_coming(self, segment: str) -> bool:
        """Whether a process fetches it, or was killed while it did."""
        return os.path.exists(self.place(segment) + TEMP_SUFFIX)

    def warnings(self, segment: str) -> str:
        """What was said when the segment was fetched."""
        status = self._read(segment + OK)
        return status.text if status else ""

    def warn(self, segment: str, warnings: Sequence[str]) -> None:
        """To be called before the segment gets its name."""
        self._write(segment + OK, Status(0, "\n".join(warnings)))

    def is_missing(self, segment: str) -> bool:
        """Whether an earlier run found the segment in no repository."""
        return os.path.exists(self.place(segment) + OK) and not self.holds(segment)

    def mark_missing(self, segment: str) -> None:
        self._write(segment + OK, Status(0, ""))

    def ask_for(self, segment: str) -> None:
        """Tell the background process where PostgreSQL is: it fetches what comes after that."""
        self._write_bytes(REQUEST, segment.encode("ascii"))

    def take_request(self) -> str | None:
        """The segment that was asked for since the last time."""
        try:
            with open(f"{self.path}/{REQUEST}", encoding="ascii", errors="replace") as file:
                segment = file.read()
        except OSError:
            return None
        self.remove(REQUEST)
        return segment if is_segment(segment) else None

    def clean(self, wanted: Collection[str]) -> None:
        """Remove all but the segments that are wanted, and what is said of those that are there."""
        present = self.segments()
        for name in self.names():
            kept = name in wanted or (name.endswith(OK) and name[: -len(OK)] in present & set(wanted))
            if not kept and name != ORIGIN:
                self.remove(name)

    def is_of(self, origin: str) -> bool:
        """Whether what is there can be trusted. origin: see origin()."""
        try:
            with open(f"{self.path}/{ORIGIN}", "rb") as file:
                return bool(origin) and file.read() == origin.encode()
        except OSError:
            return False

    def claim(self, origin: str) -> None:
        """Empty the directory and say what it will hold from now on."""
        self.create()
        self.remove(ORIGIN)
        self.clean(())
        self._write_bytes(ORIGIN, origin.encode())


def boot_id() -> str:
    """Names this run of the machine; empty where the system does not tell."""
    try:
        with open(BOOT_ID, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def origin(system_id: int) -> str:
    """What prefetched segments are of: this run of the machine and a cluster; empty when that cannot be told."""
    booted = boot_id()
    return f"{booted} {system_id}\n" if booted else ""


@contextmanager
def _told(kind: type[EngineError], action: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "the spool path has to be writable for the user that runs the command, with room for the queue"
        raise kind(f"cannot {action} '{path}': {error.strerror or error}", hint) from error
