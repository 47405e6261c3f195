# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One configured repository of one stanza: storage, passphrases and layout together.

Everything that several commands read or write in a repository goes through here, so that the rules of format 5 on
documents (main file and copy, one encryption for both, the order in which they appear) are written once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from .errors import (
    ArchiveDuplicateError,
    CryptoError,
    EngineError,
    FeatureNotSupportedError,
    FileMissingError,
    FileOpenError,
)
from .format import layout
from .format.archive_info import ArchiveInfo, parse_archive_info, render_archive_info
from .format.label import is_label
from .storage.base import Chunk, Storage, get
from .storage.local import LocalStorage
from .storage.wrap import ReadOnlyStorage
from .stream.codec import codec, type_of_name
from .stream.through import Filter, through
from .version import WRITER

if TYPE_CHECKING:
    from .format.backup_info import BackupInfo
    from .format.manifest import Manifest
    from .options import Config, Group

log = logging.getLogger("holdfast")

Document = TypeVar("Document")
SALTED = b"Salted__"  # the first bytes of every encrypted document (repository format, 9.1)


class Repo:
    """A repository as one stanza sees it. storage: rooted at the repository's path."""

    def __init__(self, settings: Group, stanza: str, storage: Storage) -> None:
        self.settings = settings
        self.key: int = settings.key
        self.stanza = stanza
        self.storage = storage

    @property
    def name(self) -> str:
        """How messages call it: repo1, repo2, ..."""
        return f"repo{self.key}"

    @property
    def cipher_pass(self) -> str | None:
        """The user's passphrase, which protects the info files only; None in a clear repository."""
        return self.settings.cipher_pass if self.settings.cipher_type != "none" else None

    # -- info files

    def load_archive_info(self) -> ArchiveInfo:
        """archive.info, or its copy when the main file is unusable; FileMissingError when neither is there."""
        return self._load(layout.archive_info(self.stanza), parse_archive_info)

    def save_archive_info(self, info: ArchiveInfo) -> None:
        self._save(layout.archive_info(self.stanza), render_archive_info(replace(info, writer=WRITER)))

    def load_backup_info(self) -> BackupInfo:
        """backup.info, or its copy when the main file is unusable; FileMissingError when neither is there."""
        from .format.backup_info import parse_backup_info

        return self._load(layout.backup_info(self.stanza), parse_backup_info)

    def save_backup_info(self, info: BackupInfo) -> None:
        from .format.backup_info import render_backup_info

        self._save(layout.backup_info(self.stanza), render_backup_info(replace(info, writer=WRITER)))

    def read_info(self, name: str) -> bytes:
        """The plain bytes of an info file or of its copy, of this very one."""
        return self._clear(name, get(self.storage, name), self.cipher_pass)

    def _load(self, name: str, parse: Callable[[bytes], Document]) -> Document:
        failures: list[EngineError] = []
        for candidate in (name, layout.copy_of(name)):
            try:
                return parse(self.read_info(candidate))
            except EngineError as error:
                failures.append(error)
        raise _both_failed(self.name, name, *failures)

    def _save(self, name: str, data: bytes) -> None:
        """Main file first, then the copy, with the same bytes: a crash between the two leaves one of them whole."""
        stored = self._sealed(data, self.cipher_pass)
        for target in (name, layout.copy_of(name)):
            self.storage.write(target, [stored])

    def _clear(self, name: str, data: bytes, passphrase: str | None) -> bytes:
        salted = data.startswith(SALTED)
        if passphrase is None:
            if salted:
                raise CryptoError(
                    f"{self.name}: {name} is encrypted, but no cipher type is configured",
                    f"set {self.name}-cipher-type and {self.name}-cipher-pass",
                )
            return data
        if not salted:
            raise CryptoError(
                f"{self.name}: {name} is not encrypted, but {self.name}-cipher-type is set",
                "a repository is encrypted as a whole from its stanza-create on, or not at all",
            )
        from .stream.cipher import Cipher

        return Cipher(passphrase).decrypt_one(data)

    def _sealed(self, data: bytes, passphrase: str | None) -> bytes:
        if passphrase is None:
            return data
        from .stream.cipher import Cipher

        return Cipher(passphrase).encrypt_one(data)

    # -- backups

    def labels(self) -> list[str]:
        """Labels of all backup directories, complete or not, in ascending order."""
        found = self.storage.entries(layout.backup_dir(self.stanza))
        return sorted(entry.name for entry in found if entry.kind == "path" and is_label(entry.name))

    def history_labels(self) -> list[str]:
        """Labels of the history manifests of the newest year: they count for new labels though the backups expired."""
        root = layout.history_dir(self.stanza)
        years = sorted(entry.name for entry in self.storage.entries(root) if entry.kind == "path")
        if not years:
            return []
        found = self.storage.entries(f"{root}/{years[-1]}")
        return sorted(entry.name.partition(".")[0] for entry in found if is_label(entry.name.partition(".")[0]))

    def is_complete(self, label: str) -> bool:
        """A backup counts from the moment its main manifest exists."""
        return self.storage.info(layout.manifest(self.stanza, label)) is not None

    def load_manifest(self, label: str, passphrase: str | None) -> Manifest:
        """The manifest of a backup, or its copy. passphrase: cipher_pass of backup.info."""
        from .format.manifest import parse_manifest

        failures: list[EngineError] = []
        name = layout.manifest(self.stanza, label)
        for candidate in (name, layout.copy_of(name)):
            try:
                return parse_manifest(self.read_plain(candidate, passphrase))
            except EngineError as error:
                failures.append(error)
        raise _both_failed(self.name, name, *failures)

    def load_manifest_copy(self, label: str, passphrase: str | None) -> Manifest:
        """Only the copy: what an interrupted backup left."""
        from .format.manifest import parse_manifest

        return parse_manifest(self.read_plain(layout.copy_of(layout.manifest(self.stanza, label)), passphrase))

    def read_plain(self, name: str, passphrase: str | None) -> Iterator[Chunk]:
        """The bytes of a file that may be encrypted; compressed, if it is, they remain."""
        chunks = self.storage.read(name)
        if passphrase is None:
            return chunks
        from .stream.cipher import Cipher

        return through(chunks, Cipher(passphrase).decrypt)

    def save_manifest_copy(self, manifest: Manifest, passphrase: str | None) -> None:
        """Write backup.manifest.copy: the state of a backup that is running, from which it can be resumed."""
        from .format.manifest import render_manifest

        name = layout.copy_of(layout.manifest(self.stanza, manifest.label))
        self.storage.write(name, self._sealing(render_manifest(manifest), passphrase))

    def publish_manifest(self, manifest: Manifest, passphrase: str | None) -> None:
        """Copy, then the main file with the very same bytes, then the history: from the main file on it is a backup."""
        self.save_manifest_copy(manifest, passphrase)
        name = layout.manifest(self.stanza, manifest.label)
        self.storage.write(name, self.storage.read(layout.copy_of(name)))
        self.save_history(manifest, passphrase)

    def save_history(self, manifest: Manifest, passphrase: str | None) -> None:
        """The gzip copy of the manifest that outlives the backup, at level 9 whatever the compression type (6.3)."""
        from .format.manifest import render_manifest

        compressed = codec("gz", 9).compress(render_manifest(manifest))
        self.storage.write(layout.history_manifest(self.stanza, manifest.label), self._sealing(compressed, passphrase))

    def _sealing(self, chunks: Iterable[Chunk], passphrase: str | None) -> Iterable[Chunk]:
        if passphrase is None:
            return chunks
        from .stream.cipher import Cipher

        return Cipher(passphrase).encrypt(chunks)

    def link_latest(self, label: str | None) -> None:
        """Point the latest link, which is for people only, at label; None removes it."""
        name = layout.latest(self.stanza)
        if "link" not in self.storage.features:
            return
        entry = self.storage.info(name)
        if entry is not None and entry.kind == "path":
            log.warning("%s: %s is a directory, not a link, and stays as it is", self.name, name)
            return
        self.storage.remove(name)
        if label is not None and self.settings.symlink:
            self.storage.make_link(name, label)

    # -- write-ahead log

    def find_wal(self, archive_ids: Sequence[str], name: str) -> list[tuple[str, layout.StoredWal]]:
        """Stored copies of a segment or partial segment, as (archive id, stored), in the order of archive_ids."""
        found = []
        for archive_id in archive_ids:
            for entry in self.storage.entries(layout.wal_dir(self.stanza, archive_id, name)):
                if entry.name.startswith(name):
                    stored = layout.parse_wal_name(entry.name)
                    if stored is not None and stored.name == name:
                        found.append((archive_id, stored))
        return found

    def find_one_wal(self, archive_id: str, name: str) -> layout.StoredWal | None:
        """The one stored copy of a segment, None when it is not there; ArchiveDuplicateError when there are several."""
        found = self.find_wal([archive_id], name)
        if len(found) > 1:
            raise ArchiveDuplicateError(
                f"{self.name}: WAL segment {name} is in the archive {len(found)} times: "
                + ", ".join(sorted(stored.file_name for _other, stored in found)),
                "remove the copy that is not wanted; is another cluster archiving to this stanza?",
            )
        return found[0][1] if found else None

    def read_wal(self, archive_id: str, stored: layout.StoredWal, passphrase: str | None) -> Iterator[Chunk]:
        """The plain content of a stored segment. passphrase: cipher_pass of archive.info."""
        chunks = self.storage.read(layout.wal_file(self.stanza, archive_id, stored.name, stored.sha1, stored.ext))
        filters: list[Filter] = []
        if passphrase is not None:
            from .stream.cipher import Cipher

            filters.append(Cipher(passphrase).decrypt)
        filters.append(codec(type_of_name(stored.file_name)).decompress)
        return through(chunks, *filters)

    def read_archived(self, archive_id: str, file_name: str, passphrase: str | None) -> bytes:
        """A file of the archive that is no segment: a timeline history or a backup history. FileMissingError."""
        name = layout.wal_file(self.stanza, archive_id, file_name)
        content = bytearray()
        for chunk in self.read_plain(name, passphrase):
            content += chunk
        return bytes(content)


def _both_failed(repo: str, name: str, first: EngineError, second: EngineError) -> EngineError:
    """One error for a document whose main file and copy are both unusable; its kind tells what to look at."""
    missing_first, missing_second = isinstance(first, FileMissingError), isinstance(second, FileMissingError)
    kind: type[EngineError] = type(first)
    if type(first) is not type(second):
        kind = type(second) if missing_first else type(first) if missing_second else FileOpenError
    hint = first.hint or second.hint
    if missing_first and missing_second:
        hint = "has stanza-create been run for this stanza, and is the repository path right?"
    attempts = f"{name}: {first.message}\n{layout.copy_of(name)}: {second.message}"
    return kind(f"{repo}: unable to load {name} or its copy:\n{attempts}", hint)


def open_repo(config: Config, settings: Group, read_only: bool = False) -> Repo:
    """The repository of settings for config.stanza. read_only: every attempt to change it is a bug that raises."""
    if settings.type not in ("posix", "cifs"):
        raise FeatureNotSupportedError(
            f"repo{settings.key}-type={settings.type} is not supported yet",
            "use a repository of type posix, for example on a mounted network file system",
        )
    storage: Storage = LocalStorage(settings.path)
    if read_only:
        storage = ReadOnlyStorage(storage)
    return Repo(settings, config.stanza or "", storage)


def open_repos(config: Config, read_only: bool = False) -> list[Repo]:
    """All repositories the command may use (only that of --repo when given), in ascending order of their keys."""
    chosen = config.repo if hasattr(config, "repo") else None
    return [open_repo(config, settings, read_only) for settings in config.repos if chosen in (None, settings.key)]
