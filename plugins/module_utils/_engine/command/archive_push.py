# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-push: one WAL file into every repository; PostgreSQL's archive_command.

Success means durable in all repositories. A repository that fails does not keep the file from the others, but makes the
command fail, and PostgreSQL then tries again: what is there already is recognised by its checksum. A segment that is
there with other content is never overwritten, in no repository.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
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

IN_MEMORY = 64 << 20  # bytes; what is compressed of a larger segment is not held
THREADS = 2  # that compress one segment, while the main thread reads and hashes what comes next


class Identity(NamedTuple):
    """Whose WAL it is."""

    version: str
    system_id: int

    def __str__(self) -> str:
        return f"version {self.version}, system id {self.system_id}"


class Target(NamedTuple):
    """A repository that can take WAL of this cluster. cipher_pass: of the WAL in it."""

    repo: Repo
    archive_id: str
    cipher_pass: str | None


class Targets(NamedTuple):
    """The repositories that can be used, and what is wrong with the others (texts that begin with their name)."""

    usable: Sequence[Target]
    identity: Identity
    failures: Sequence[str] = ()


class Pushed(NamedTuple):
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
    segment = _Segment(path)
    if config.archive_header_check:
        check_header(segment, targets.identity, config.pg_version_force)
    segment.prepare(codec(config.compress_type, config.compress_level, threads=THREADS))
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
        data = _read(file, -1, path)
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


def check_header(segment: _Segment, identity: Identity, version_force: str | None = None) -> None:
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


class _Segment:
    """A segment on its way: read once, hashed and compressed as it passes, and held compressed for all repositories.

    A large one is read twice instead: once for its checksum, and again whenever it is stored.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        with _open(path) as file:
            self.size = os.fstat(file.fileno()).st_size
            self.header = _read(file, HEADER_SIZE, path)
        self.sha1 = ""
        self._stored: bytearray | None = None

    def prepare(self, compress: Codec) -> None:
        """Find out the checksum, which is part of the name."""
        self._compress = compress
        measure = Measure()
        chunks = measure(self._chunks())
        if self.size <= IN_MEMORY:
            self._stored = bytearray()
            for chunk in compress.compress(chunks):
                self._stored += chunk
        else:
            for _chunk in chunks:
                pass
        self.sha1 = measure.hexdigest
        self._check(measure.size == self.size)

    def stored(self) -> Iterator[Chunk]:
        """The compressed content."""
        if self._stored is not None:
            yield self._stored
            return
        measure = Measure()
        yield from through(self._chunks(), measure, self._compress.compress)
        self._check(measure.hexdigest == self.sha1)  # in time: nothing has its final name yet

    def _check(self, same: bool) -> None:
        if not same:
            raise ChecksumError(f"WAL file '{self.path}' changed while it was pushed")

    def _chunks(self) -> Iterator[Chunk]:
        buffer = memoryview(bytearray(CHUNK))
        with _open(self.path) as file:
            while size := _read_into(file, buffer, self.path):
                yield buffer[:size]


def _open(path: str) -> FileIO:
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise FileMissingError(
            f"WAL file '{path}' does not exist", "archive_command must pass %p, relative to the data directory"
        ) from None
    except OSError as error:
        raise FileOpenError(f"cannot open WAL file '{path}': {error.strerror}", "is this the right user?") from error


def _read(file: FileIO, size: int, path: str) -> bytes:
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
