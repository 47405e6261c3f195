# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-get: one WAL file out of the first repository that has a good copy; PostgreSQL's restore_command.

"Not found" ends a recovery, so it is only said when every repository was asked and none has the file: where one could
not be asked, it is an error. What is delivered is complete and has the checksum that it was archived with, or it is not
there at all.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
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
    FormatError,
    ParamInvalidError,
    ParamRequiredError,
    RepoInvalidError,
)
from ..format import layout
from ..postgres.control import DISARMED
from ..postgres.control_file import load_control
from ..repo import Repo, open_repos
from ..stream.measure import Measure
from ..stream.through import Chunk, through
from .failures import failure
from .outcome import Outcome
from .wal_path import absolute_wal_path, cluster_path

if TYPE_CHECKING:
    from ..options import Config
    from ..postgres.control import Control

log = logging.getLogger("holdfast")

NOT_FOUND = 1  # exit status: PostgreSQL takes it for the end of the archive
FILE_MODE = 0o640
TEMP_SUFFIX = ".holdfast.tmp"


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


def archive_get(config: Config) -> Outcome:
    """Fetch the file that the first parameter names to the place that the second one names.

    Facts: file, found, and if so repo (key) and archive_id. The status is 1 when no repository has the file;
    RepoInvalidError when that cannot be said because one of them failed, FileReadError when no copy is good.
    """
    name, destination = _parameters(config)
    data_directory = cluster_path(config)
    if data_directory is None:
        raise ParamRequiredError("archive-get needs option pg1-path", "it is the data directory of the cluster")
    destination = absolute_wal_path(destination, data_directory)
    control = load_control(data_directory, config.pg_version_force)
    check_recoverable(control, data_directory)
    sources, failures = open_sources(config, control)
    found = find_file(sources, name, failures)
    if not found.copies:
        if found.failures:
            raise RepoInvalidError(
                "\n".join([f"unable to tell whether {name} is in the archive:", *found.failures]),
                "saying that it is not there would end the recovery; repair the repository or leave it out with --repo",
            )
        log.info("unable to find %s in the archive", name)
        return Outcome({"file": name, "found": False}, status=NOT_FOUND)
    copy = fetch(found, name, destination)
    log.info("found %s in the %s: %s archive", name, copy.source.repo.name, copy.archive_id)
    return Outcome(
        {"file": name, "found": True, "repo": copy.source.repo.key, "archive_id": copy.archive_id}, changed=True
    )


def _parameters(config: Config) -> tuple[str, str]:
    if len(config.params) < 2:
        raise ParamRequiredError(
            "archive-get takes two parameters, the WAL file and where to put it", "restore_command passes %f and %p"
        )
    if len(config.params) > 2:
        raise ParamInvalidError("archive-get takes two parameters only", "is a blank in a path not quoted?")
    return os.path.basename(config.params[0]), config.params[1]


def check_recoverable(control: Control, data_directory: str) -> None:
    """FormatError when a restored cluster has lost its backup_label: it would recover from the wrong place."""
    if control.checkpoint == DISARMED and not os.path.exists(os.path.join(data_directory, "backup_label")):
        raise FormatError(
            f"backup_label is missing in {data_directory}, which was restored from a backup and not yet recovered",
            "the file must not be removed: recovery needs it to start at the right place. Restore again",
        )


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


def fetch(found: Found, name: str, destination: str) -> Copy:
    """Write the first good copy to destination and say which it was; FileReadError when none is good."""
    attempts = list(found.failures)
    for copy in found.copies:
        try:
            write_destination(destination, _verified(copy, name))
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


def write_destination(destination: str, chunks: Iterable[Chunk]) -> None:
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
