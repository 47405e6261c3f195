# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One WAL file into every repository that is of its cluster: what the foreground and the background of archiving share.

A repository that fails does not keep the file from the others. A segment that is there with other content is never
overwritten, in no repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .. import faults
from ..errors import (
    ArchiveDuplicateError,
    ArchiveMismatchError,
    CommandError,
    EngineError,
    FileMissingError,
    FormatError,
    RepoInvalidError,
)
from ..format import layout
from ..postgres.control_file import load_control
from ..postgres.wal import parse_wal_header
from ..repo import Repo, open_repos
from ..stream.codec import extension
from ..stream.through import Chunk
from .failures import failure
from .wal_segment import Segment, make_segment, open_wal, read_wal

if TYPE_CHECKING:
    from ..options import Config


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
    """What became of a file: keys of the repositories that got it and of those that had it, and texts for a person.

    failures: what went wrong in the others, which do not have it.
    """

    stored: Sequence[int]
    present: Sequence[int]
    warnings: Sequence[str]
    failures: Sequence[str]

    def error(self, name: str) -> CommandError | None:
        """None when the file is in all repositories."""
        if not self.failures:
            return None
        return CommandError("\n".join([f"WAL file {name} is not in every repository:", *self.failures]))


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


def push_file(config: Config, targets: Targets, path: str, segment: Segment | None = None) -> Pushed:
    """Store the file in every target that does not have it.

    segment: of this path, when reading it has begun already.
    """
    name = os.path.basename(path)
    failures = list(targets.failures)
    if layout.is_segment(name) or layout.is_partial(name):
        segment = segment or make_segment(config, path)
        stored, present, warnings = _push_segment(config, targets, segment, name, failures)
    else:
        stored, present, warnings = _push_other(config, targets, path, name, failures)
    return Pushed(stored, present, warnings, failures)


def _push_segment(
    config: Config, targets: Targets, segment: Segment, name: str, failures: list[str]
) -> tuple[list[int], list[int], list[str]]:
    if config.archive_header_check:
        check_header(segment, targets.identity, config.pg_version_force)
    segment.finish()
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
    with open_wal(path) as file:
        data = read_wal(file, -1, path)
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


def check_header(segment: Segment, identity: Identity, version_force: str | None = None) -> None:
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
