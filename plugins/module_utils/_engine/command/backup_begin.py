# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backup up to the first byte that is copied: its base, its list of files, and which of them need copying."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import FileInvalidError, FileMissingError
from ..format import layout
from ..format.archive_info import PgHistory
from ..format.backup_info import BackupInfo
from ..format.manifest import File, Manifest, sort_files
from ..format.manifest_file import BLOCK_CHECKSUM_SIZE
from ..format.names import check_names
from ..postgres import files as rules
from ..postgres.lsn import render_lsn
from ..repo import Repo
from .backup_block import BlockPlan, Tables, keeps_map, parse_tables
from .backup_block import plan_block as block_of
from .backup_copy import CopyFile, CopyJob, CopySetup
from .backup_plan import Need, choose_prior, delta_reason, merge_prior, plan_portions
from .backup_prior import Base, Lineage, PackedPrior, Prior
from .backup_scan import ClusterScan
from .backup_source import Source, Start, next_second
from .restore_map import target_path

if TYPE_CHECKING:
    from ..options import Config, Group

log = logging.getLogger("holdfast")


@dataclass(frozen=True)
class Begun:
    """A backup that is ready to copy. start: where recovery starts, None offline or in a dry run."""

    manifest: Manifest
    prior: Lineage | None
    needs: list[Need]
    start: Start | None


def begin(config: Config, repo: Repo, info: BackupInfo, source: Source, start: Start | None, start_time: int) -> Begun:
    """Fill a manifest from the cluster and the prior backup. start_time: epoch seconds by the cluster's clock."""
    loaded = _load_prior(config, repo, info)
    manifest = _new_manifest(config, repo, info, source, loaded)
    prior = PackedPrior(loaded) if loaded is not None else None
    manifest.timestamp_start = start_time
    if start is not None:
        manifest.archive_start, manifest.lsn_start = start.segment, render_lsn(start.lsn)
    _check_databases(source)
    _scan(config, manifest, source)
    listed, manifest.timestamp_copy_start = next_second(source.clock, source.online)
    delta = _wants_delta(config, manifest, prior, start, listed)
    manifest.options["option-delta"] = delta
    if prior is not None:
        prior.begin_last_pass()
    needs = merge_prior(manifest, prior, delta)
    if source.online and not any(need.file.name == rules.CONTROL for need in needs):
        raise FileMissingError(
            f"{rules.CONTROL} is not among the files to copy", "is pg1-path the data directory of a running cluster?"
        )
    if not needs:
        raise FileMissingError("nothing has changed since the prior backup", "there is no need for another backup")
    return Begun(manifest, Base(prior.label, prior.reference) if prior is not None else None, needs, start)


def _check_databases(source: Source) -> None:
    """Before anything is copied: the manifest gets the names only at the end."""
    for name in source.databases():
        if "\n" in name:
            raise FileInvalidError(
                f"the name of database {name!r} contains a line feed, which a manifest cannot hold",
                "rename it with ALTER DATABASE ... RENAME TO",
            )


def _load_prior(config: Config, repo: Repo, info: BackupInfo) -> Manifest | None:
    label = choose_prior(info, config.type)
    if label is None:
        if config.type != "full":
            log.warning("no prior backup exists, %s backup has been changed to full", config.type)
        return None
    prior = repo.load_manifest(label, info.cipher_pass)
    check_names(prior)  # references become paths
    log.info("last backup label = %s, version = %s", label, prior.writer)
    return prior


def _new_manifest(config: Config, repo: Repo, info: BackupInfo, source: Source, prior: Manifest | None) -> Manifest:
    control = source.control
    current = info.current
    pg = PgHistory(current.id, control.system_id, control.version, control.control_version, control.catalog_version)
    manifest = Manifest(label="", type=config.type if prior is not None else "full", pg=pg)
    settings = repo.settings
    manifest.bundle = bool(settings.bundle)
    manifest.block_incr = bool(settings.block)
    manifest.annotation = {key: value for key, value in (config.annotation or {}).items() if value}
    manifest.options = _options(config, settings, source)
    if prior is None:
        manifest.bundle_raw = manifest.bundle and manifest.block_incr
        if repo.cipher_pass is not None:
            manifest.cipher_pass = new_passphrase()
        return manifest
    manifest.prior = prior.label
    manifest.reference = list(prior.reference)
    manifest.bundle_raw = prior.bundle_raw
    manifest.cipher_pass = prior.cipher_pass
    _keep_options(manifest, prior)
    return manifest


def new_passphrase() -> str:
    """A random inner passphrase: 48 bytes as base64, whose text is the passphrase (repository format, 9.2)."""
    return base64.b64encode(os.urandom(48)).decode()


def _options(config: Config, settings: Group, source: Source) -> dict[str, bool | int | str]:
    checksum_page = config.checksum_page
    if checksum_page is None:
        checksum_page = source.online and source.control.page_checksum
    elif checksum_page and not source.control.page_checksum:
        log.warning("checksum-page option set to true but checksums are not enabled on the cluster, resetting to false")
        checksum_page = False
    return {
        "option-archive-check": bool(config.archive_check),
        "option-archive-copy": bool(config.archive_copy),
        "option-backup-standby": source.standby_path is not None,
        "option-buffer-size": config.buffer_size,
        "option-checksum-page": checksum_page,
        "option-compress": config.compress_type != "none",
        "option-compress-level": config.compress_level or 0,
        "option-compress-level-network": config.compress_level_network or 0,
        "option-compress-type": config.compress_type,
        "option-delta": bool(config.delta),
        "option-hardlink": bool(settings.hardlink),
        "option-online": source.online,
        "option-process-max": config.process_max,
    }


def _keep_options(manifest: Manifest, prior: Manifest) -> None:
    """Options that must be the same in all backups of a set come from the prior backup."""
    options = manifest.options
    before_type = prior.options.get("option-compress-type", "none")
    if options["option-compress-type"] != before_type:
        log.warning(
            "%s backup cannot alter compress-type option to '%s', reset to value in %s",
            manifest.type, options["option-compress-type"], prior.label,
        )  # fmt: skip
        for key in ("option-compress", "option-compress-type", "option-compress-level"):
            options[key] = prior.options.get(key, options[key])
    before_pages = bool(prior.options.get("option-checksum-page", False))
    if options["option-checksum-page"] != before_pages:
        log.warning(
            "%s backup cannot alter checksum-page option to '%s', reset to '%s' from %s", manifest.type,
            str(options["option-checksum-page"]).lower(), str(before_pages).lower(), prior.label,
        )  # fmt: skip
        options["option-checksum-page"] = before_pages


def _scan(config: Config, manifest: Manifest, source: Source) -> None:
    control = source.control
    scan = ClusterScan(
        source.path,
        f"PG_{control.version}_{control.catalog_version}",
        source.tablespaces(),
        config.exclude or (),
    )
    scan.run()
    manifest.targets = scan.targets
    manifest.paths[:] = sorted(scan.paths, key=lambda path: path.name.encode("utf-8", "surrogateescape"))
    manifest.links[:] = sorted(scan.links, key=lambda link: link.name.encode("utf-8", "surrogateescape"))
    manifest.files = scan.files
    sort_files(manifest.files)


def _wants_delta(config: Config, manifest: Manifest, prior: Prior | None, start: Start | None, listed: int) -> bool:
    """Whether contents must be compared by checksum. listed: the second in which the files were listed."""
    if config.delta:
        return True
    for file in manifest.files:
        if file.timestamp > listed:
            log.warning(
                "file '%s' has timestamp (%d) in the future, enabling delta checksum", file.name, file.timestamp
            )
            return True
    if prior is None:
        return False
    reason = delta_reason(manifest, prior, start.segment if start else None, bool(manifest.options["option-online"]))
    if reason is not None:
        log.warning("%s", reason)
    return reason is not None


# -- what workers get


def copy_setup(config: Config, repo: Repo, manifest: Manifest, source: Source) -> CopySetup:
    options, settings = manifest.options, repo.settings
    level = options["option-compress-level"] if options["option-compress-type"] != "none" else None
    return CopySetup(
        source.path, repo.settings.path, repo.stanza, manifest.label, str(options["option-compress-type"]),
        level, manifest.bundle_raw, manifest.cipher_pass, bool(options["option-checksum-page"]),
        bool(config.page_header_check), source.control.page_size, config.pg_version_force,
        len(manifest.reference) - 1, (settings.block_size_super_full if manifest.type == "full"
                                      else settings.block_size_super) if manifest.block_incr else 0,
    )  # fmt: skip


Planned = tuple[CopyJob, list[File]]


class Turns:
    """Jobs of a backup from a standby: no two of the primary at a time, for as long as the standby has any.

    setup: of the jobs of the primary; primary, standby: their jobs. Holds the files of the jobs that are under way, so
    that nobody has to look them up: an index of a million names takes 84 MB.
    """

    def __init__(self, setup: CopySetup, primary: Iterator[Planned], standby: Iterator[Planned]) -> None:
        self._setup, self._primary, self._standby = setup, primary, standby
        self._busy = False
        self._files: dict[int, list[File]] = {}

    def __iter__(self) -> Iterator[CopyJob]:
        while True:
            planned = None if self._busy else next(self._primary, None)
            planned = planned or next(self._standby, None) or next(self._primary, None)
            if planned is None:
                return
            job, files = planned
            self._busy = self._busy or job.setup == self._setup
            self._files[id(job)] = files
            yield job

    def finished(self, job: CopyJob) -> list[File]:
        """The files of a job, in its order, which must be one that has been handed out."""
        if job.setup == self._setup:
            self._busy = False
        return self._files.pop(id(job))


def copy_turns(
    repo: Repo, begun: Begun, setup: CopySetup, needs: Sequence[Need], standby_path: str | None
) -> Turns:
    """All jobs. standby_path: where the files are copied from that a standby has as well, None: all from setup's."""
    manifest, prior = begun.manifest, begun.prior
    if standby_path is None:
        return Turns(setup, iter(()), copy_jobs(repo, manifest, prior, setup, needs))
    shared = [need for need in needs if need.file.name not in manifest.targets and rules.is_replayed(need.file.name)]
    of_standby = {need.file.name for need in shared}
    own = [need for need in needs if need.file.name not in of_standby]
    primary = list(copy_jobs(repo, manifest, prior, setup, own))
    there = replace(setup, pg_path=standby_path)
    first_bundle = 1 + max((job.bundle for job, _files in primary), default=0)
    return Turns(setup, iter(primary), copy_jobs(repo, manifest, prior, there, shared, first_bundle))


def copy_jobs(
    repo: Repo,
    manifest: Manifest,
    prior: Lineage | None,
    setup: CopySetup,
    needs: Sequence[Need],
    first_bundle: int = 1,
) -> Iterator[Planned]:
    """Jobs in the order in which workers should take them, each with the manifest's files.

    Block sizes are entered into the manifest on the way.
    """
    settings = repo.settings
    size, limit = (settings.bundle_size, settings.bundle_limit) if manifest.bundle else (0, 0)
    tables = None
    if manifest.block_incr:
        maps = (settings.block_size_map, settings.block_age_map, settings.block_checksum_size_map)
        tables = parse_tables(*(given or {} for given in maps))
    for portion in plan_portions(needs, manifest.bundle, size, limit, first_bundle):
        files = []
        for need in portion.needs:
            block = _plan_block(repo, manifest, prior, need, tables) if tables is not None else None
            files.append(_copy_file(manifest, need, block))
        yield CopyJob(setup, portion.bundle, tuple(files)), [need.file for need in portion.needs]


def _plan_block(repo: Repo, manifest: Manifest, prior: Lineage | None, need: Need, tables: Tables) -> BlockPlan | None:
    file, before = need.file, need.before
    if need.resume:  # as the interrupted backup stored it
        return BlockPlan(file.block_size, file.block_checksum_size) if file.block_map_size else None
    file.block_size, file.block_checksum_size = block_of(manifest, file, before, tables)
    if not file.block_size:
        file.block_checksum_size = BLOCK_CHECKSUM_SIZE
        return None
    if prior is None or before is None or not keeps_map(file, before):
        return BlockPlan(file.block_size, file.block_checksum_size)
    label = before.reference or prior.label
    name = layout.block_file(repo.stanza, label, before.name)
    if before.bundle_id:
        name = layout.bundle(repo.stanza, label, before.bundle_id)
    offset = before.bundle_offset + before.repo_size - before.block_map_size
    return BlockPlan(
        before.block_size, before.block_checksum_size, name, offset, before.block_map_size, before.size,
        len(prior.reference),
    )  # fmt: skip


def _copy_file(manifest: Manifest, need: Need, block: BlockPlan | None) -> CopyFile:
    file = need.file
    link = None
    if file.name in manifest.targets:
        link = target_path(manifest, file.name, manifest.targets["pg_data"].path)
    known = resume = None
    if file.checksum is not None and (file.reference is not None or need.resume):
        known = (file.size, file.checksum) if file.reference is not None or need.check else None
        resume = (file.repo_size, file.rck or file.checksum) if need.resume else None
    size = file.size if file.size_original is None else file.size_original
    return CopyFile(file.name, size, link, known, need.check, resume, block)
