# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-push: one WAL file into every repository; PostgreSQL's archive_command.

Success means durable in all repositories. A repository that fails does not keep the file from the others, but makes the
command fail, and PostgreSQL then tries again: what is there already is recognised by its checksum. A segment that is
there with other content is never overwritten, in no repository.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

from .. import faults
from ..errors import (
    ArchiveDuplicateError,
    ArchiveMismatchError,
    ChecksumError,
    CommandError,
    EngineError,
    FileMissingError,
    FileOpenError,
    FileReadError,
    FormatError,
    ParamRequiredError,
    RepoInvalidError,
)
from ..format import layout
from ..lock import check_stop
from ..postgres.control_file import load_control
from ..postgres.wal import HEADER_SIZE, parse_wal_header
from ..repo import Repo, open_repos
from ..stream.codec import Codec, codec, extension
from ..stream.measure import Measure
from ..stream.through import CHUNK, Chunk, through
from .failures import failure
from .outcome import Outcome
from .wal_path import absolute_wal_path, cluster_path

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")

IN_MEMORY = 64 << 20  # bytes; larger segments are read twice instead of being held: once to name, once to store them


class Identity(NamedTuple):
    """Whose WAL it is."""

    version: str
    system_id: int

    def __str__(self) -> str:
        return f"version {self.version}, system id {self.system_id}"


@dataclass(frozen=True)
class Target:
    """A repository that can take WAL of this cluster. cipher_pass: of the WAL in it."""

    repo: Repo
    archive_id: str
    cipher_pass: str | None


@dataclass(frozen=True)
class Targets:
    """The repositories that can be used, and what is wrong with the others (texts that begin with their name)."""

    usable: Sequence[Target]
    identity: Identity
    failures: Sequence[str] = ()


@dataclass(frozen=True)
class Pushed:
    """What became of a file: keys of the repositories that got it, of those that had it, and warnings for a person."""

    stored: Sequence[int]
    present: Sequence[int]
    warnings: Sequence[str]


def archive_push(config: Config) -> Outcome:
    """Push the file that the one parameter names.

    Facts: file, dropped (the queue was too long: reported as done, but not archived), and repos: objects with key and
    action (stored, present). CommandError when it is not in every repository, RepoInvalidError when in none.
    """
    if len(config.params) != 1:
        raise ParamRequiredError("archive-push takes one parameter, the WAL file", "archive_command passes it as %p")
    data_directory = cluster_path(config)
    path = absolute_wal_path(config.params[0], data_directory)
    check_stop(config.lock_path, config.stanza)
    name = os.path.basename(path)
    if config.archive_push_queue_max is not None and queue_size(os.path.dirname(path)) > config.archive_push_queue_max:
        log.warning("dropped WAL file '%s': the archive queue is longer than archive-push-queue-max", name)
        return Outcome({"file": name, "dropped": True, "repos": []})
    pushed = push_file(config, open_targets(config, data_directory), path)
    for warning in pushed.warnings:
        log.warning("%s", warning)
    log.info("pushed WAL file '%s' to the archive", name)
    actions = {**dict.fromkeys(pushed.stored, "stored"), **dict.fromkeys(pushed.present, "present")}
    repos = [{"key": key, "action": actions[key]} for key in sorted(actions)]
    return Outcome({"file": name, "dropped": False, "repos": repos}, changed=bool(pushed.stored))


def queue_size(wal_directory: str) -> int:
    """Bytes of WAL that wait to be archived; those that are archived but not yet acknowledged count, too."""
    try:
        ready = [name for name in os.listdir(f"{wal_directory}/archive_status") if name.endswith(".ready")]
    except FileNotFoundError:
        return 0
    for name in sorted(ready):
        try:
            return len(ready) * os.stat(f"{wal_directory}/{name[: -len('.ready')]}").st_size
        except FileNotFoundError:  # recycled since: the next one tells the size as well
            continue
    return 0


# -- whose WAL, and where to


def open_targets(config: Config, data_directory: str | None) -> Targets:
    """The repositories whose stanza is of this cluster (without data directory: of the same one as the first).

    RepoInvalidError, with all reasons, when there is none.
    """
    identity: Identity | None = None
    if data_directory is not None:
        control = load_control(data_directory, config.pg_version_force)
        identity = Identity(control.version, control.system_id)
    usable, failures = [], []
    for repo in open_repos(config, read_only=config.dry_run):
        try:
            info = repo.load_archive_info()
            current = Identity(info.current.version, info.current.system_id)
            identity = identity or current
            if current != identity:
                raise ArchiveMismatchError(
                    f"the cluster has {identity}, the stanza has {current}",
                    "has the cluster been upgraded? then run stanza-upgrade; otherwise it archives to a foreign stanza",
                )
            usable.append(Target(repo, info.current.archive_id, info.cipher_pass))
        except EngineError as error:
            failures.append(failure(repo, error))
    if not usable or identity is None:
        raise RepoInvalidError("\n".join(["unable to find a valid repository:", *failures]))
    return Targets(usable, identity, failures)


# -- one file


def push_file(config: Config, targets: Targets, path: str) -> Pushed:
    """Store the file in every target that does not have it; CommandError unless it is in all repositories then."""
    name = os.path.basename(path)
    failures = list(targets.failures)
    if layout.is_segment(name) or layout.is_partial(name):
        stored, present, warnings = _push_segment(config, targets, path, name, failures)
    else:
        stored, present, warnings = _push_other(config, targets, path, name, failures)
    if failures:
        raise CommandError("\n".join([f"WAL file {name} is not in every repository:", *failures]))
    return Pushed(stored, present, warnings)


def _push_segment(
    config: Config, targets: Targets, path: str, name: str, failures: list[str]
) -> tuple[list[int], list[int], list[str]]:
    segment = _read_segment(path)
    if config.archive_header_check:
        check_header(segment, targets.identity, config.pg_version_force)
    segment.prepare(codec(config.compress_type, config.compress_level))
    lacking, present = _find_present(targets, name, segment.sha1, failures)
    ext = extension(config.compress_type)
    stored = []
    for target in lacking:
        place = layout.wal_file(target.repo.stanza, target.archive_id, name, segment.sha1, ext)
        if _store(config, target, place, segment.stored(), failures):
            stored.append(target.repo.key)
    warnings = [
        f"repo{key}: WAL file '{name}' is there already with the same checksum\n"
        "HINT: this is normal when PostgreSQL could not note that it was archived, for example after a crash"
        for key in present
        if config.archive_mode_check
    ]
    return stored, present, warnings


def _push_other(
    config: Config, targets: Targets, path: str, name: str, failures: list[str]
) -> tuple[list[int], list[int], list[str]]:
    """History files and whatever else PostgreSQL archives: small, stored as they are, the last one wins."""
    with _open(path) as file:
        data = file.read()
    stored: list[int] = []
    warnings: list[str] = []
    for target in targets.usable:
        place = layout.wal_file(target.repo.stanza, target.archive_id, name)
        if layout.is_history(name) and _differs(target, place, data):
            warnings.append(
                f"{target.repo.name}: history file {name} replaces one with other content\n"
                "HINT: have two clusters been promoted to the same timeline?"
            )
        if _store(config, target, place, [data], failures):
            stored.append(target.repo.key)
    return stored, [], warnings


def check_header(segment: _Held | _Streamed, identity: Identity, version_force: str | None = None) -> None:
    """ArchiveMismatchError for WAL of another cluster, FormatError for what is no whole segment."""
    try:
        header = parse_wal_header(segment.header, version_force)
    except EngineError as error:
        raise type(error)(f"WAL file '{segment.path}': {error.message}", error.hint) from error
    found = Identity(header.version, header.system_id)
    if found != identity:
        raise ArchiveMismatchError(
            f"WAL file '{segment.path}' has {found}, the stanza has {identity}",
            "does archive_command use the right stanza?",
        )
    if segment.size != header.segment_size:
        raise FormatError(
            f"WAL file '{segment.path}' has {segment.size} bytes, its header says {header.segment_size}",
            "is the disk full, or was the file copied there while it was being pushed?",
        )


def _find_present(targets: Targets, name: str, sha1: str, failures: list[str]) -> tuple[list[Target], list[int]]:
    """The targets that lack the segment, and the keys of those that have it.

    ArchiveDuplicateError when one has it with other content: then nothing may be written anywhere.
    """
    lacking, present = [], []
    for target in targets.usable:
        try:
            stored = target.repo.find_one_wal(target.archive_id, name)
        except EngineError as error:
            failures.append(failure(target.repo, error))
            continue
        if stored is None:
            lacking.append(target)
        elif stored.sha1 == sha1:
            present.append(target.repo.key)
        else:
            raise ArchiveDuplicateError(
                f"{target.repo.name}: WAL file '{name}' is in the archive with other content",
                "do two clusters archive to this stanza? was a cluster copied with its archive_command?",
            )
    return lacking, present


def _store(config: Config, target: Target, place: str, chunks: Iterable[Chunk], failures: list[str]) -> bool:
    """Whether the file is durable in the repository now; if not, failures says why."""
    if config.dry_run:
        return True
    if target.cipher_pass is not None:
        from ..stream.cipher import Cipher

        chunks = Cipher(target.cipher_pass).encrypt(chunks)
    try:
        faults.point("archive_push.write")
        target.repo.storage.write(place, chunks)
    except EngineError as error:
        failures.append(failure(target.repo, error))
        return False
    return True


def _differs(target: Target, path: str, data: bytes) -> bool:
    """Whether the repository has the file with other content; what cannot be read is about to be replaced anyway."""
    try:
        content = bytearray()
        chunks: Iterable[Chunk] = target.repo.storage.read(path)
        if target.cipher_pass is not None:
            from ..stream.cipher import Cipher

            chunks = Cipher(target.cipher_pass).decrypt(chunks)
        for chunk in chunks:
            content += chunk
    except FileMissingError:
        return False
    except EngineError:
        return True
    return content != data


# -- the segment


class _Held:
    """A segment in memory, hashed and compressed at the same time."""

    def __init__(self, path: str, size: int, file: FileIO) -> None:
        self.path, self.size = path, size
        self._data = bytearray(size)
        read = file.readinto(self._data)
        if read != size:
            raise FileReadError(f"WAL file '{path}' changed while it was read: {read} bytes instead of {size}")
        self.header = bytes(self._data[:HEADER_SIZE])
        self.sha1 = ""
        self._stored: Chunk = b""

    def prepare(self, compress: Codec) -> None:
        digests: list[str] = []
        data = self._data
        hashing = threading.Thread(
            target=lambda: digests.append(hashlib.sha1(data, usedforsecurity=False).hexdigest()), name="sha1"
        )
        hashing.start()
        stored = bytearray()
        for chunk in compress.compress([data]):
            stored += chunk
        hashing.join()
        self._stored = stored
        (self.sha1,) = digests

    def stored(self) -> Iterable[Chunk]:
        return [self._stored]


class _Streamed:
    """A segment too large to hold: read once for its checksum, and again for each repository."""

    def __init__(self, path: str, size: int, file: FileIO) -> None:
        self.path, self.size = path, size
        self.header = file.read(HEADER_SIZE)
        self.sha1 = ""

    def prepare(self, compress: Codec) -> None:
        self._codec = compress
        measure = Measure()
        for _chunk in measure(self._chunks()):
            pass
        self.sha1 = measure.hexdigest

    def stored(self) -> Iterable[Chunk]:
        measure = Measure()
        yield from through(self._chunks(), measure, self._codec.compress)
        if measure.hexdigest != self.sha1:  # nothing has its final name yet
            raise ChecksumError(f"WAL file '{self.path}' changed while it was pushed")

    def _chunks(self) -> Iterator[Chunk]:
        buffer = memoryview(bytearray(CHUNK))
        with _open(self.path) as file:
            while size := file.readinto(buffer):
                yield buffer[:size]


def _read_segment(path: str) -> _Held | _Streamed:
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        return (_Held if size <= IN_MEMORY else _Streamed)(path, size, file)


def _open(path: str) -> FileIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise FileMissingError(
            f"WAL file '{path}' does not exist", "archive_command must pass %p, relative to the data directory"
        ) from None
    except OSError as error:
        raise FileOpenError(f"cannot open WAL file '{path}': {error.strerror}", "is this the right user?") from error
