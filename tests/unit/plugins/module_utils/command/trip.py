# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A made-up cluster whose files make the trip into a repository and back, with the workers in this process."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path as HostPath

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_begin import copy_jobs
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_copy import (
    Copied,
    Copier,
    CopyFile,
    CopyJob,
    CopySetup,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_manifest import (
    check_complete,
    store_result,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_plan import Need, merge_prior
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_scan import ClusterScan
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_copy import Restorer
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_jobs import (
    plan_jobs,
    restore_setup,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_map import map_manifest
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_plan import Plan
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_target import (
    Destination,
    Owners,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    Manifest,
    parse_manifest,
    render_manifest,
    sort_files,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.page import page_checksums
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.repo import open_repo

FIXTURES = HostPath(__file__).parents[3] / "fixtures" / "postgres"
CONTROL = (FIXTURES / "15.pg_control.bin").read_bytes()[:512].ljust(8192, b"\0")
VERSION_DIR = "PG_15_202209061"
LABEL, LATER = "20260131-110000F", "20260131-110000F_20260201-110000I"
COPY_START = 4_000_000_000  # after every file of these clusters
STAMP = 1_700_000_000
PAGE = 8192


def pages(count: int, first: int = 0, seed: int = 1) -> bytes:
    """Valid pages, as if their numbers in the relation began with first."""
    content = bytearray()
    for number in range(count):
        page = bytearray(hashlib.sha256(b"%d %d" % (seed, number)).digest() * (PAGE // 32))
        struct.pack_into("<H", page, 14, 8000)
        content += page
    for number, checksum in enumerate(page_checksums(content, first) if count else ()):
        struct.pack_into("<H", content, number * PAGE + 8, int(checksum))
    return bytes(content)


def flip(content: bytes, *blocks: int) -> bytes:
    """The same with a bit changed in the middle of these pages."""
    damaged = bytearray(content)
    for block in blocks:
        damaged[block * PAGE + PAGE // 2] ^= 1
    return bytes(damaged)


class Trip:
    """A cluster in path/data, a repository in path/repo, and the way there and back."""

    def __init__(self, path: HostPath, compress_type: str = "none", passphrase: str | None = None, *,
                 bundle: bool = False, raw: bool = False, block: bool = False, check_pages: bool = False,
                 page_size: int = PAGE, header_check: bool = True) -> None:  # fmt: skip
        self.path, self.data = path, path / "data"
        self.compress_type, self.passphrase, self.bundle, self.raw = compress_type, passphrase, bundle, raw
        self.block = block
        path.mkdir(exist_ok=True)
        config = path / "holdfast.conf"
        options = "repo1-bundle=y\nrepo1-bundle-limit=300KiB\n" if bundle else ""
        options += "repo1-block=y\nrepo1-block-size-super=32KiB\nrepo1-block-size-super-full=64KiB\n" if block else ""
        config.write_text(f"[main]\npg1-path={self.data}\nrepo1-path={path}/repo\n{options}")
        loaded = load([f"--config={config}", "--stanza=main", "backup"], {})
        self.repo = open_repo(loaded, loaded.repos[0])
        self.root = path / "repo/backup/main"
        self.setup = CopySetup(
            str(self.data), f"{path}/repo", "main", LABEL, compress_type, None, raw, passphrase, check_pages,
            header_check, page_size, None,
        )  # fmt: skip
        self.write("global/pg_control", CONTROL)
        (self.data / "pg_tblspc").mkdir()
        self.data.chmod(0o700)

    def write(self, name: str, content: bytes, stamp: int | None = None, mode: int = 0o600) -> HostPath:
        """Put a file into the cluster. name: relative to the data directory."""
        file = self.data / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(mode)
        if stamp is not None:
            os.utime(file, (stamp, stamp))
        return file

    # -- into the repository

    def listed(self, label: str = LABEL) -> Manifest:
        """The manifest of the cluster as it is now, nothing copied yet."""
        scan = ClusterScan(str(self.data), VERSION_DIR, None)
        scan.run()
        manifest = Manifest(label, "full" if label == LABEL else "incr", PgHistory(1, 1, "15", 1300, 202209061))
        manifest.reference, manifest.timestamp_copy_start = [label], COPY_START
        manifest.targets, manifest.files = scan.targets, scan.files
        manifest.paths = sorted(scan.paths, key=lambda path: path.name.encode("utf-8", "surrogateescape"))
        manifest.links = scan.links
        manifest.bundle, manifest.bundle_raw, manifest.cipher_pass = self.bundle, self.raw, self.passphrase
        manifest.block_incr, manifest.timestamp_start = self.block, STAMP
        manifest.options = {"option-compress-type": self.compress_type, "option-online": False}
        manifest.options["option-checksum-page"] = self.setup.check_pages
        sort_files(manifest.files)
        return manifest

    def copy(self, *files: CopyFile, bundle: int = 0) -> list[Copied]:
        """What a worker makes of one job."""
        return Copier(self.setup).run(CopyJob(self.setup, bundle, files))

    def copy_one(self, name: str, size: int | None = None, **values: object) -> Copied:
        """The same for one file that goes alone. size: as listed, that of now if None."""
        listed = os.lstat(self.data / name).st_size if size is None else size
        (result,) = self.copy(CopyFile(f"pg_data/{name}", listed, **values))  # type: ignore[arg-type]
        return result

    def back_up(self, prior: Manifest | None = None, delta: bool = False, label: str = LATER) -> Manifest:
        """A backup of all that there is, as a manifest that went through its file. label: not of a full."""
        manifest = self.listed(LABEL if prior is None else label)
        if prior is not None:
            manifest.prior, manifest.reference = prior.label, [*prior.reference, label]
        return self.finish(manifest, merge_prior(manifest, prior, delta), prior)

    def finish(self, manifest: Manifest, needs: Sequence[Need], prior: Manifest | None = None) -> Manifest:
        """Let the workers do what is needed."""
        settings = self.repo.settings
        super_size = (settings.block_size_super_full if prior is None else settings.block_size_super) or 0
        setup = replace(self.setup, label=manifest.label, reference=len(manifest.reference) - 1, super_size=super_size)
        copier = Copier(setup)
        gone = set()
        for job, planned in copy_jobs(self.repo, manifest, prior, setup, needs):
            for item, file, result in zip(job.files, planned, copier.run(job)):
                if result.kind in ("copied", "truncated"):
                    store_result(file, job.bundle, result)
                elif result.kind == "skip":
                    gone.add(item.name)
        manifest.remove_files(gone)
        check_complete(manifest)
        return parse_manifest(b"".join(render_manifest(manifest)))

    # -- and back

    def restore(self, manifest: Manifest, to: HostPath, delta: bool = False, by_time: bool = False,
                zeroed: Sequence[int] = (), link_all: bool = False) -> set[str]:  # fmt: skip
        """Restore to a directory; returns the names of the files that were kept."""
        manifest = parse_manifest(b"".join(render_manifest(manifest)))  # what follows changes it
        map_manifest(manifest, str(to), {}, str(to) + "-ts", {}, link_all)
        destination = Destination(manifest, str(to), delta, False, Owners())
        destination.check()
        if delta:
            destination.clean()
        destination.build()
        plan = Plan(self.repo, manifest, destination, "none", delta, delta, by_time, frozenset(zeroed))
        setup = restore_setup(plan)
        restorer = Restorer(setup)
        kept = set()
        for job in plan_jobs(plan, setup):
            for part in job.parts:
                kept.update(file.name for file, right in zip(part.files, restorer.run(part)) if right)
        temporary = to / "global/pg_control.pgbackrest.tmp"
        temporary.replace(to / "global/pg_control")
        destination.finish()
        return kept


def tree(path: HostPath) -> dict[str, tuple[bytes, int, int]]:
    """Content, mode and time of every file below path, and the mode of every directory."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            item = HostPath(folder, name)
            info = item.lstat()
            content = item.read_bytes() if item.is_file() and not item.is_symlink() else b""
            stamp = int(info.st_mtime) if item.is_file() else 0
            found[os.fsdecode(os.path.relpath(item, path))] = (content, info.st_mode & 0o777, stamp)
    return found
