# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Take a backup: from the lock to the published manifest, then expire.

A backup is written straight into its final directory. What makes it one is the appearance of backup.manifest, and that
is written last, when every byte before it is on disk and all the WAL it needs is in the archive. A crash at any line
leaves a directory without a manifest, which the next backup resumes or removes.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .. import faults
from ..errors import ChecksumError, FileMissingError
from ..format import layout
from ..format.backup_info import BackupInfo, entry_of
from ..format.label import next_label
from ..format.manifest import File, Manifest
from ..lock import StanzaLock, check_stop
from ..log import DETAIL
from ..pool import Pool
from ..postgres import files as rules
from ..postgres.lsn import next_segment, render_lsn
from ..repo import Repo, open_repo
from ..size import readable_size
from ..stream.codec import extension
from .backup_begin import Begun, begin, copy_setup, copy_turns
from .backup_copy import Copied, CopyJob, CopySetup, Form, copy_job, sha1
from .backup_manifest import check_complete, describe, store_result
from .backup_plan import Need
from .backup_resume import clean_interrupted, find_interrupted, resume_needs
from .backup_source import Source, Start, Stop, check_identity, open_source
from .outcome import Outcome
from .page_errors import page_errors, page_text
from .reconcile import load_reconciled
from .recovery import render_restore_conf, restore_command

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")

SHOWN = 5  # damaged files that an error names


def backup(config: Config) -> Outcome:
    """Back up the stanza's cluster into one repository, the given one or the first.

    facts: label, type, prior, repo (key), size, size_delta, repo_size, repo_size_delta (bytes), files,
    files_copied, start_time, stop_time (epoch seconds), duration (seconds), archive_start, archive_stop,
    lsn_start, lsn_stop, page_errors (list of pages or ranges by file, also of files that the prior backup holds; None
    for a misaligned file), expired (labels); of a dry run only what is planned.
    ChecksumError, when the backup is complete: with checksum-page-fail, when there are page errors.
    """
    settings = next((item for item in config.repos if config.repo in (None, item.key)), config.repos[0])
    if config.repo is None and len(config.repos) > 1:
        log.info("repo option not specified, defaulting to repo%d", settings.key)
    keys = [settings.key] if config.repo is not None else [item.key for item in config.repos]
    with StanzaLock(config.lock_path, config.stanza, ["backup"], keys, config.exec_id) as lock:
        check_stop(config.lock_path, config.stanza)
        if config.dry_run:
            return _dry_run(config, open_repo(config, settings, read_only=True))
        pool: Pool[CopyJob, list[Copied]] = Pool(
            copy_job, _workers(config), timeout=config.protocol_timeout, close_fds=lock.fds,
            job_retry=config.job_retry, job_retry_interval=config.job_retry_interval,
        )  # fmt: skip
        with pool:  # forked here, where no connection, client library or thread exists yet
            facts = _Backup(config, open_repo(config, settings), pool, lock).run()
        if config.checksum_page_fail and facts["page_errors"]:
            raise _damaged(facts)
        if config.expire_auto:
            from .expire import run_expire

            facts["expired"] = run_expire(config.for_command("expire")).facts.get("backups", [])
    return Outcome(facts, changed=True)


def _workers(config: Config) -> int:
    """The workers that process-max allows; what one of them reads from the primary of a standby does not count."""
    return int(config.process_max) + int(config.online and config.backup_standby != "n")


def _damaged(facts: Mapping[str, Any]) -> ChecksumError:
    """Of checksum-page-fail. Nothing was expired: the backups before may be the last ones without the damage."""
    names = sorted(facts["page_errors"])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ChecksumError(
        f"backup {facts['label']} is complete, but pages are invalid in {', '.join(names[:SHOWN])}{more}",
        "the backup is kept and nothing was expired; info --set lists the pages; find the cause before old backups go",
    )


class _Backup:
    """One run. Its methods are the steps, in the order of run(); each leaves the repository valid."""

    def __init__(self, config: Config, repo: Repo, pool: Pool[CopyJob, list[Copied]], lock: StanzaLock) -> None:
        self._config = config
        self._repo = repo
        self._pool = pool
        self._lock = lock
        self._copied = 0

    def run(self) -> dict[str, Any]:
        config, repo = self._config, self._repo
        began = time.monotonic()
        info = load_reconciled(repo).info
        with closing_source(config) as source:
            check_identity(source.control, info.current, source.path)
            archive_id = self._archive_id()
            start_time = int(source.clock())
            start = source.start()
            if start is not None:
                self._wait_for(archive_id, [start.checked_segment])
                source.wait_for_standby(start)
            begun = begin(config, repo, info, source, start, start_time)
            manifest = begun.manifest
            needs = self._name(begun, info, start_time)
            setup = copy_setup(config, repo, manifest, source)
            repo.storage.make_path(layout.backup_dir(repo.stanza, manifest.label), durable=False)
            if config.resume:
                repo.save_manifest_copy(manifest, info.cipher_pass)
            self._make_paths(manifest)
            self._copy(begun, info, setup, needs, source)
            source.check_roles()
            self._link_references(manifest)
            stop = source.stop()
            faults.point("backup.stopped")
            manifest.timestamp_stop = int(source.clock())
            manifest.databases = source.databases()
        self._store_labels(manifest, setup, stop)
        self._store_restore_conf(manifest)
        repo.storage.sync(layout.backup_dir(repo.stanza, manifest.label))
        if config.resume:
            repo.save_manifest_copy(manifest, info.cipher_pass)
        if start is not None and stop is not None:
            self._finish_wal(manifest, setup, archive_id, start, stop, source.control.segment_size)
        self._publish(manifest, info)
        return self._facts(manifest, time.monotonic() - began)

    def _archive_id(self) -> str:
        return self._repo.load_archive_info().current.archive_id if self._config.archive_check else ""

    def _wait_for(self, archive_id: str, wanted: Sequence[str]) -> None:
        if not self._config.archive_check:
            return
        from .wal_wait import wait_for_segment

        for segment in wanted:
            wait_for_segment(self._repo, archive_id, segment, self._config.archive_timeout)
            log.info("WAL segment %s successfully archived", segment)

    def _name(self, begun: Begun, info: BackupInfo, start_time: int) -> list[Need]:
        """Give the backup its label: that of an interrupted one that it goes on with, or one later than all others.

        Returns what has to be copied, which is less when there is something to go on with.
        """
        repo, manifest = self._repo, begun.manifest
        old = find_interrupted(repo, repo.labels(), manifest, self._config.resume, info.cipher_pass)
        if old is not None:
            manifest.label, manifest.cipher_pass = old.label, old.cipher_pass
            manifest.reference.append(manifest.label)
            kept = clean_interrupted(repo, manifest, old)
            return resume_needs(begun.needs, kept, bool(manifest.options["option-delta"]))
        taken = [*repo.labels(), *info.backups, *repo.history_labels()]
        manifest.label, seconds = next_label(manifest.type, manifest.prior, start_time, taken)
        if seconds > start_time:
            time.sleep(max(0.0, seconds - time.time()))
        manifest.reference.append(manifest.label)
        log.info("new backup label = %s", manifest.label)
        return begun.needs

    # -- copying

    def _make_paths(self, manifest: Manifest) -> None:
        """All directories and tablespace links, when a copy of the backup directory shall be a data directory."""
        settings, storage = self._repo.settings, self._repo.storage
        if manifest.bundle or (manifest.type != "full" and not settings.hardlink):
            return
        root = layout.backup_dir(self._repo.stanza, manifest.label)
        for path in manifest.paths:
            storage.make_path(f"{root}/{path.name}", durable=False)
        if settings.symlink and "link" in storage.features:
            for name, target in manifest.targets.items():
                if target.tablespace_id is not None:
                    storage.make_link(f"{root}/pg_data/{name}", f"../../{name}")

    def _copy(self, begun: Begun, info: BackupInfo, setup: CopySetup, needs: Sequence[Need], source: Source) -> None:
        config, manifest = self._config, begun.manifest
        total = sum(need.file.size for need in needs)
        saved = done = 0
        self._lock.progress(total, done, self._repo.key)
        threshold = max(total // 100, config.manifest_save_threshold)
        gone: set[str] = set()

        def beat() -> None:
            source.beat()
            self._lock.progress(total, max(done, min(total, self._pool.passed)), self._repo.key)

        turns = copy_turns(self._repo, begun, setup, needs, source.standby_path)
        most = config.process_max + (source.standby_path is not None)
        for job, results in self._pool.run(turns, beat, most):
            for item, file, result in zip(job.files, turns.finished(job), results):
                done += item.size
                if result.kind == "skip":
                    gone.add(item.name)
                self._record(file, job.bundle, result)
                if log.isEnabledFor(DETAIL):
                    log.log(DETAIL, "%s", describe(item, job.bundle, result, done, total))
            self._lock.progress(total, done, self._repo.key)
            if config.resume and done - saved >= threshold:
                self._repo.save_manifest_copy(manifest, info.cipher_pass)
                saved = done
        if rules.CONTROL in gone:
            raise FileMissingError(
                f"{rules.CONTROL} vanished while it was copied", "is the data directory still there?"
            )
        if gone:
            manifest.remove_files(gone)

    def _record(self, file: File, bundle: int, result: Copied) -> None:
        if result.repaired:
            log.warning("resumed file '%s' does not have the expected checksum: it was copied anew", file.name)
        if result.kind not in ("copied", "truncated"):
            return
        self._copied += 1
        store_result(file, bundle, result)
        if result.pages is not False:
            return
        ranges = file.checksum_page_error
        if ranges is None:
            log.warning(
                "page misalignment in file %s: file size %d is not divisible by page size", file.name, file.size
            )
        else:
            log.warning("invalid page checksums found in file %s at pages %s", file.name, page_text(ranges))

    def _link_references(self, manifest: Manifest) -> None:
        if not self._repo.settings.hardlink:
            return
        storage, stanza = self._repo.storage, self._repo.stanza
        suffix = extension(manifest.options["option-compress-type"])
        for file in manifest.files:
            if file.reference is None or file.bundle_id or file.block_map_size:
                continue
            source = layout.stored_file(stanza, file.reference, file.name, suffix)
            if file.size or storage.exists(source):  # of an empty file a prior backup with bundles stored nothing
                storage.hard_link(source, layout.stored_file(stanza, manifest.label, file.name, suffix))

    # -- finishing

    def _store_labels(self, manifest: Manifest, setup: CopySetup, stop: Stop | None) -> None:
        """The two files that recovery starts from. They are never bundled, so that they can be found by hand."""
        if stop is None:
            return
        for name, text in (("backup_label", stop.label), ("tablespace_map", stop.tablespace_map)):
            if text is not None:
                data = text.encode("utf-8", "surrogateescape")
                self._store_extra(manifest, setup, f"pg_data/{name}", data)

    def _store_extra(self, manifest: Manifest, setup: CopySetup, name: str, data: bytes) -> None:
        root = manifest.root
        form = Form(setup, raw=False)
        stored = form.whole(data)
        suffix = extension(setup.compress_type)
        self._repo.storage.write(layout.stored_file(self._repo.stanza, manifest.label, name, suffix), [stored])
        file = File(name, len(data), manifest.timestamp_stop, root.mode & 0o644, root.user, root.group)
        file.checksum, file.repo_size = sha1(data), len(stored)
        file.rck = None if form.plain else sha1(stored)
        manifest.add_file(file)
        log.log(DETAIL, "wrote '%s' file returned from the backup stop function", name.partition("/")[2])

    def _store_restore_conf(self, manifest: Manifest) -> None:
        """The recovery settings of this very backup, for somebody who has a file manager and no Holdfast at hand."""
        command = restore_command(self._config)
        text = render_restore_conf(manifest.label, self._repo.stanza, command, self._repo.name)
        self._repo.storage.write(layout.restore_conf(self._repo.stanza, manifest.label), [text.encode()])

    def _finish_wal(
        self, manifest: Manifest, setup: CopySetup, archive_id: str, start: Start, stop: Stop, segment_size: int
    ) -> None:
        """Wait for all WAL from start to stop; with archive-copy, store it in the backup as well."""
        manifest.archive_stop, manifest.lsn_stop = stop.segment, render_lsn(stop.lsn)
        needed = [start.segment]
        while needed[-1] < stop.segment:
            needed.append(next_segment(needed[-1], segment_size))
        log.info("check archive for segment(s) %s:%s", needed[0], needed[-1])
        self._wait_for(archive_id, needed)
        if not self._config.archive_copy:
            return
        passphrase = self._repo.load_archive_info().cipher_pass
        for segment in needed:
            stored = self._repo.find_one_wal(archive_id, segment)
            if stored is None:
                raise FileMissingError(f"WAL segment {segment} vanished from the archive", "does something expire it?")
            data = bytearray()
            for chunk in self._repo.read_wal(archive_id, stored, passphrase):
                data += chunk
            self._store_extra(manifest, setup, f"{rules.WAL_DIR}/{segment}", bytes(data))

    def _publish(self, manifest: Manifest, info: BackupInfo) -> None:
        """From the main manifest on, the backup exists; backup.info can be rebuilt from it."""
        repo = self._repo
        check_complete(manifest)
        repo.publish_manifest(manifest, info.cipher_pass)
        faults.point("backup.published")
        repo.link_latest(manifest.label)
        repo.save_backup_info(info.with_backup(entry_of(manifest)))
        repo.save_archive_info(repo.load_archive_info())  # renews its age on storage that expires objects

    def _facts(self, manifest: Manifest, duration: float) -> dict[str, Any]:
        entry = entry_of(manifest)
        log.info(
            "%s backup size = %s, file total = %d", manifest.type, readable_size(entry.size_delta), len(manifest.files)
        )
        return {
            "label": manifest.label,
            "type": manifest.type,
            "prior": manifest.prior,
            "repo": self._repo.key,
            "size": entry.size,
            "size_delta": entry.size_delta,
            "repo_size": entry.repo_size,
            "repo_size_delta": entry.repo_size_delta,
            "files": len(manifest.files),
            "files_copied": self._copied,
            "start_time": manifest.timestamp_start,
            "stop_time": manifest.timestamp_stop,
            "duration": round(duration, 3),
            "archive_start": manifest.archive_start,
            "archive_stop": manifest.archive_stop,
            "lsn_start": manifest.lsn_start,
            "lsn_stop": manifest.lsn_stop,
            "page_errors": page_errors(manifest),
        }


# -- before copying


@contextmanager
def closing_source(config: Config) -> Iterator[Source]:
    """The cluster, let go of at the end in any case: that also ends a backup which did not get to its own end."""
    source = open_source(config)
    try:
        yield source
    finally:
        source.close()


def _dry_run(config: Config, repo: Repo) -> Outcome:
    """What a backup would copy now. The server is asked, but no backup is started in it."""
    info = load_reconciled(repo).info
    with closing_source(config) as source:
        check_identity(source.control, info.current, source.path)
        begun = begin(config, repo, info, source, None, int(source.clock()))
    manifest = begun.manifest
    size = sum(file.size for file in manifest.files)
    wanted = sum(need.file.size for need in begun.needs)
    log.info("would back up %s in %d files (%s), based on %s", readable_size(wanted), len(begun.needs), manifest.type,
             manifest.prior or "no other backup")  # fmt: skip
    facts = {
        "type": manifest.type, "prior": manifest.prior, "repo": repo.key, "size": size, "size_delta": wanted,
        "files": len(manifest.files), "files_copied": len(begun.needs),
    }  # fmt: skip
    return Outcome(facts, changed=True)
