# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository with backups and WAL, and verify to judge it."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path as HostPath
from typing import Any

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.outcome import Outcome
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify import verify
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import layout
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    ArchiveInfo,
    PgHistory,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupInfo, entry_of
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import Manifest
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import put
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec, extension

from .trip import Trip

HISTORY = (PgHistory(1, 1, "15", 1300, 202209061),)
SEGMENT_SIZE = 1 << 20
WAL = "archive/main/15-1"


def segment_name(number: int) -> str:
    return f"{1:08X}{0:08X}{number:08X}"


def segment_content(number: int) -> bytes:
    """A segment with the header that PostgreSQL 15 gives it."""
    header = struct.pack("<HH20xQI", 0xD110, 2, 1, SEGMENT_SIZE)
    return header + hashlib.sha256(b"%d" % number).digest() * ((SEGMENT_SIZE - len(header)) // 32 + 1)


class Repository:
    """The repository of a Trip with its info files."""

    def __init__(self, path: HostPath, *args: Any, **options: Any) -> None:
        self.trip = Trip(path, *args, **options)
        self.repo = self.trip.repo
        self.root = path / "repo"
        self.config = path / "holdfast.conf"
        self.repo.save_archive_info(ArchiveInfo(HISTORY, 1))
        self.repo.save_backup_info(BackupInfo(HISTORY, 1))

    def keep(self, manifest: Manifest, wal: tuple[int, int] | None = None, listed: bool = True) -> Manifest:
        """Publish a backup. wal: first and last segment that it needs."""
        manifest.options.update(
            {f"option-{name}": False for name in ("archive-copy", "backup-standby", "checksum-page", "hardlink")}
        )
        manifest.options.update({"option-archive-check": wal is not None, "option-online": wal is not None})
        manifest.options["option-compress"] = manifest.options["option-compress-type"] != "none"
        if wal is not None:
            manifest.archive_start, manifest.archive_stop = map(segment_name, wal)
            manifest.lsn_start = manifest.lsn_stop = "0/0"
        self.repo.publish_manifest(manifest, None)
        if listed:
            self.repo.save_backup_info(self.repo.load_backup_info().with_backup(entry_of(manifest)))
        return manifest

    def archive(self, *numbers: int, compress_type: str = "zst") -> None:
        """Push segments."""
        for number in numbers:
            content = segment_content(number)[:SEGMENT_SIZE]
            sha1 = hashlib.sha1(content).hexdigest()
            name = layout.wal_file("main", "15-1", segment_name(number), sha1, extension(compress_type))
            put(self.repo.storage, name, codec(compress_type).compress_one(content), durable=False)

    def wal(self, number: int) -> HostPath:
        """Where a segment is stored."""
        (path,) = self.root.glob(f"{WAL}/*/{segment_name(number)}-*")
        return path

    def stored(self, label: str) -> list[HostPath]:
        """The files that hold what a backup stored, by name."""
        folder = self.root / "backup/main" / label
        return sorted(path for place in ("bundle", "pg_data", "pg_tblspc") for path in (folder / place).rglob("*")
                      if path.is_file())  # fmt: skip

    def verify(self, *options: str) -> Outcome:
        # Retries need no pause here: no storage comes back.
        argv = [f"--config={self.config}", "--stanza=main", "--job-retry-interval=0", *options, "verify"]
        return verify(load(argv, {}))

    def status(self, *options: str) -> dict[str, str]:
        """The status of each backup."""
        return {backup["label"]: backup["status"] for backup in self.verify(*options).facts["backups"]}
