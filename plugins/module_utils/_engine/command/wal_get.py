# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One WAL file out of the first repository that has a good copy: what foreground and background of archive-get share.

What is delivered is complete and has the checksum that it was archived with, or it is not there at all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING

from .. import faults
from ..errors import (
    ArchiveDuplicateError,
    ArchiveMismatchError,
    ChecksumError,
    EngineError,
    FileReadError,
    FileWriteError,
    RepoInvalidError,
)
from ..format import layout
from ..repo import Repo, open_repos
from ..spool import FILE_MODE, TEMP_SUFFIX
from ..stream.measure import Measure
from ..stream.through import Chunk, through
from .failures import failure

if TYPE_CHECKING:
    from ..options import Config
    from ..postgres.control import Control

log = logging.getLogger("holdfast")


@dataclass(frozen=True)
class Source:
    """A repository that has WAL of this cluster. archive_ids: newest first; cipher_pass: of the WAL in it."""

    repo: Repo
    archive_ids: Sequence[str]
    cipher_pass: str | None


@dataclass(frozen=True)
class Copy:
    """One stored copy of the file asked for; stored: None for what carries no checksum (history files)."""

    source: Source
    archive_id: str
    stored: layout.StoredWal | None


@dataclass(frozen=True)
class Found:
    """The copies of a file, best first, and what went wrong while they were looked for."""

    copies: Sequence[Copy]
    failures: Sequence[str]


# -- finding


def open_sources(config: Config, control: Control) -> tuple[list[Source], list[str]]:
    """The repositories with WAL of this cluster, and what is wrong with the others, which is also logged.

    RepoInvalidError when there is none.
    """
    sources: list[Source] = []
    failures: list[str] = []
    for repo in open_repos(config):
        try:
            sources.append(_source(repo, control))
        except EngineError as error:
            failures.append(failure(repo, error))
            log.warning("%s", failures[-1])
    if not sources:
        raise RepoInvalidError("\n".join(["unable to find a valid repository:", *failures]))
    return sources, failures


def _source(repo: Repo, control: Control) -> Source:
    info = repo.load_archive_info()
    fitting = [
        pg for pg in reversed(info.history) if pg.version == control.version and pg.system_id == control.system_id
    ]
    ids = [pg.archive_id for pg in fitting if pg is fitting[0] or _has_archive(repo, pg.archive_id)]
    if not ids:
        raise ArchiveMismatchError(
            f"no archive of a cluster with version {control.version} and system id {control.system_id}",
            "is this the right stanza, and does pg1-path lead to the cluster that archives to it?",
        )
    return Source(repo, ids, info.cipher_pass)


def _has_archive(repo: Repo, archive_id: str) -> bool:
    return next(iter(repo.storage.entries(layout.wal_dir(repo.stanza, archive_id))), None) is not None


def find_file(sources: Sequence[Source], name: str, failures: Sequence[str]) -> Found:
    """All copies of a WAL file, in the order of repositories and then archive ids. failures: those so far.

    ArchiveDuplicateError when two copies of a segment have different content; RepoInvalidError when every source fails.
    """
    copies: list[Copy] = []
    failed = list(failures)
    answered = 0
    for source in sources:
        try:
            copies += _copies(source, name)
            answered += 1
        except EngineError as error:
            failed.append(failure(source.repo, error))
            log.warning("%s", failed[-1])
    if not answered:
        raise RepoInvalidError("\n".join([f"unable to look for {name}:", *failed]))
    if len({copy.stored.sha1 for copy in copies if copy.stored is not None}) > 1:
        places = [
            f"{copy.source.repo.name}: {copy.archive_id}/{copy.stored.file_name}" for copy in copies if copy.stored
        ]
        raise ArchiveDuplicateError(
            "\n".join([f"WAL segment {name} is in the archive with different contents:", *places]),
            "remove the wrong ones; do two clusters archive to this stanza?",
        )
    return Found(copies, failed)


def _copies(source: Source, name: str) -> Iterator[Copy]:
    repo = source.repo
    if layout.is_segment(name) or layout.is_partial(name):
        for archive_id, stored in repo.find_wal(source.archive_ids, name):
            yield Copy(source, archive_id, stored)
        return
    for archive_id in source.archive_ids:
        if repo.storage.exists(layout.wal_file(repo.stanza, archive_id, name)):
            yield Copy(source, archive_id, None)


# -- fetching


def fetch(
    found: Found, name: str, destination: str, ready: Callable[[Sequence[str]], None] = lambda failures: None
) -> Copy:
    """Write the first good copy to destination and say which it was; FileReadError when none is good.

    ready: called with all that went wrong, when the file is complete but has not got its name yet.
    """
    attempts = list(found.failures)
    for copy in found.copies:
        try:
            write_destination(destination, _verified(copy, name), lambda: ready(attempts))
            return copy
        except FileWriteError:
            raise  # it is the destination that fails: another copy would not help
        except EngineError as error:
            attempts.append(failure(copy.source.repo, error))
            log.warning("%s", attempts[-1])
    raise FileReadError("\n".join([f"unable to read {name} from any repository:", *attempts]))


def _verified(copy: Copy, name: str) -> Iterator[Chunk]:
    """The plain content; ChecksumError at its end when it is not what was archived."""
    measure = Measure()
    yield from through(_plain(copy, name), measure)
    if copy.stored is not None and measure.hexdigest != copy.stored.sha1:
        raise ChecksumError(
            f"{copy.archive_id}/{copy.stored.file_name} is damaged: its content has the checksum {measure.hexdigest}",
            "verify shows what else is damaged",
        )


def _plain(copy: Copy, name: str) -> Iterable[Chunk]:
    source = copy.source
    if copy.stored is not None:
        return source.repo.read_wal(copy.archive_id, copy.stored, source.cipher_pass)
    chunks: Iterator[Chunk] = source.repo.storage.read(layout.wal_file(source.repo.stanza, copy.archive_id, name))
    if source.cipher_pass is not None:
        from ..stream.cipher import Cipher

        chunks = Cipher(source.cipher_pass).decrypt(chunks)
    return chunks


def write_destination(destination: str, chunks: Iterable[Chunk], ready: Callable[[], None] = lambda: None) -> None:
    """Write a file for PostgreSQL: under a temporary name, then renamed, so that it is never there by half.

    Not synced: after a crash PostgreSQL asks again. What exists and is no regular file (a pipe) is written to directly.
    FileWriteError when that fails, and whatever the chunks raise.
    """
    direct = os.path.exists(destination) and not os.path.isfile(destination)
    path = destination if direct else destination + TEMP_SUFFIX
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(fd, "wb", buffering=0) as file:
            _fill(file, chunks)
        if not direct:
            ready()
            faults.point("archive_get.rename")
            os.rename(path, destination)
    except OSError as error:
        _discard(path, direct)
        raise FileWriteError(
            f"cannot write '{path}': {error.strerror}",
            "does the directory exist, may this user write to it, and is there room?",
        ) from error
    except BaseException:
        _discard(path, direct)
        raise


def _fill(file: FileIO, chunks: Iterable[Chunk]) -> None:
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            view = view[file.write(view) :]


def _discard(path: str, direct: bool) -> None:
    if not direct:
        with suppress(OSError):
            os.unlink(path)
