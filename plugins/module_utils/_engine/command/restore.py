# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Restore a backup set and prepare the recovery to the target.

Everything that can be known to be wrong is found before the destination is touched. From then on pg_control is missing
until the very end, so that a server cannot be started on half a restore, and backup.manifest lies in the data
directory, so that a restore with --delta recognises what it may go on with.
"""

from __future__ import annotations

import logging
import os
import stat
import time
from typing import TYPE_CHECKING, Any

from .. import faults
from ..errors import FileMissingError, HostInvalidError
from ..format.manifest import render_manifest
from ..lock import StanzaLock
from ..log import DETAIL
from ..pool import Pool
from ..postgres.control import disarm_control
from ..postgres.files import CONTROL, CONTROL_SIZE
from ..size import readable_size
from ..storage.base import get
from ..storage.local import TEMP_SUFFIX, LocalStorage
from .outcome import Outcome
from .recovery import (
    AUTO_CONF,
    Recovery,
    check_recovery_options,
    render_auto_conf,
    restore_command,
    same_settings,
    signal_file,
)
from .restore_copy import RestoreJob, restore_job
from .restore_jobs import plan_jobs, restore_setup
from .restore_plan import Plan, plan_restore
from .restore_target import MANIFEST_FILE, sync_path

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")


def restore(config: Config) -> Outcome:
    """Restore the cluster of the stanza.

    facts: label, repo (key), path, type (of the target), files, size (bytes), files_restored, files_kept,
    files_removed, duration (seconds); of a dry run files and paths that would be removed.
    """
    check_recovery_options(config.recovery_option or {})
    pg_path = config.pgs[0].path
    if config.pgs[0].host is not None:
        raise HostInvalidError("restore must run on the host of the cluster", "run it where pg1-path is local")
    keys = [config.repo] if config.repo is not None else [item.key for item in config.repos]
    with StanzaLock(config.lock_path, config.stanza, ["restore"], keys, config.exec_id) as lock:
        pool: Pool[RestoreJob, list[bool]] = Pool(
            restore_job, config.process_max, timeout=config.protocol_timeout, close_fds=lock.fds,
            job_retry=config.job_retry, job_retry_interval=config.job_retry_interval,
        )  # fmt: skip
        with pool:
            plan = plan_restore(config, pg_path)
            if config.dry_run:
                return _dry_run(plan, pg_path)
            return _Restore(config, plan, pool, lock).run()


def _dry_run(plan: Plan, pg_path: str) -> Outcome:
    removed = plan.destination.unwanted() if plan.clean else []
    size = sum(file.size for file in plan.manifest.files)
    for path in removed:
        log.info("would remove '%s'", path)
    log.info(
        "would restore backup set %s: %s in %d files",
        plan.manifest.label,
        readable_size(size),
        len(plan.manifest.files),
    )
    facts = {
        "label": plan.manifest.label, "repo": plan.repo.key, "path": pg_path, "type": plan.kind,
        "files": len(plan.manifest.files), "size": size, "removed": removed,
    }  # fmt: skip
    return Outcome(facts, changed=True)


# -- doing


class _Restore:
    """One run: the steps that change the destination, in the order of run()."""

    def __init__(self, config: Config, plan: Plan, pool: Pool[RestoreJob, list[bool]], lock: StanzaLock) -> None:
        self._config = config
        self._plan = plan
        self._pool = pool
        self._lock = lock
        self._pg_path = config.pgs[0].path

    def run(self) -> Outcome:
        began = time.monotonic()
        plan, manifest, destination = self._plan, self._plan.manifest, self._plan.destination
        log.info("repo%d: restore backup set %s", plan.repo.key, manifest.label)
        if manifest.options.get("option-online"):
            moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.timestamp_start))
            log.info("recovery will start from %s", moment)
        before = self._end_state()
        self._clear_spool()
        destination.disarm()
        removed = destination.clean() if plan.clean else []
        for path in removed:
            log.log(DETAIL, "remove '%s'", path)
        destination.build()
        self._mark()
        faults.point("restore.built")
        restored = self._copy()
        self._write_recovery()
        self._publish()
        size = sum(file.size for file in manifest.files)
        log.info("restore size = %s, file total = %d", readable_size(size), len(manifest.files))
        transient = {f"{self._pg_path}/{name}" for name in ("recovery.signal", "standby.signal")}
        own = {CONTROL, f"pg_data/{AUTO_CONF}"}
        changed = bool(set(removed) - transient or restored - own) or not _same_state(before, self._end_state())
        facts: dict[str, Any] = {
            "label": manifest.label, "repo": plan.repo.key, "path": self._pg_path, "type": plan.kind,
            "files": len(manifest.files), "size": size, "files_restored": len(restored),
            "files_kept": len(manifest.files) - len(restored), "files_removed": len(removed),
            "duration": round(time.monotonic() - began, 3),
        }  # fmt: skip
        return Outcome(facts, changed)

    def _clear_spool(self) -> None:
        """Old acknowledgements and prefetched segments would mislead the restored cluster."""
        LocalStorage(self._config.spool_path).remove_tree(f"archive/{self._config.stanza}")

    def _mark(self) -> None:
        """Leave the manifest where a later restore finds it and knows that the directory may be worked on."""
        LocalStorage(self._pg_path, 0o600, 0o700).write(MANIFEST_FILE, render_manifest(self._plan.manifest))

    def _copy(self) -> set[str]:
        """Let the workers restore all files; returns the names of those that were not right already."""
        plan = self._plan
        setup = restore_setup(plan)
        total = sum(file.size for file in plan.manifest.files)
        done = 0
        restored: set[str] = set()
        self._lock.progress(total, done, plan.repo.key)

        def beat() -> None:
            self._lock.progress(total, max(done, min(total, self._pool.passed)), plan.repo.key)

        for job, kept in self._pool.run(plan_jobs(plan, setup), beat):
            files = [file for part in job.parts for file in part.files]
            for file, keep in zip(files, kept):
                done += file.size
                if not keep:
                    restored.add(file.name)
                if log.isEnabledFor(DETAIL):
                    what = "restore file" if not keep else "restore file exists and matches backup"
                    percent = done * 100 / total if total else 100.0
                    log.log(DETAIL, "%s %s (%dB, %.2f%%) checksum %s", what, file.path, file.size, percent,
                            file.checksum.hex())  # fmt: skip
            self._lock.progress(total, done, plan.repo.key)
        return restored

    def _write_recovery(self) -> None:
        config, plan = self._config, self._plan
        storage = self._data_storage()
        if plan.kind == "preserve":
            if not storage.exists(AUTO_CONF):
                log.warning("%s does not exist to preserve its recovery settings", AUTO_CONF)
            return
        existing = ""
        if storage.exists(AUTO_CONF):
            existing = get(storage, AUTO_CONF).decode("utf-8", "surrogateescape")
        else:
            log.warning("%s is not in the backup, it is created", AUTO_CONF)
        recovery = Recovery(
            plan.kind, restore_command(config), config.target, bool(config.target_exclusive),
            config.target_action or "pause",
            config.target_timeline, config.archive_mode == "off", config.recovery_option,
        )  # fmt: skip
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        text = render_auto_conf(existing, recovery, stamp)
        self._put(storage, AUTO_CONF, text.encode("utf-8", "surrogateescape"))
        log.info("write updated %s/%s", self._pg_path, AUTO_CONF)
        signal = signal_file(plan.kind)
        if signal is not None:
            self._put(storage, signal, b"")

    def _data_storage(self) -> LocalStorage:
        mode = stat.S_IMODE(os.stat(self._pg_path).st_mode)
        return LocalStorage(self._pg_path, mode & 0o640, mode)

    def _put(self, storage: LocalStorage, name: str, data: bytes) -> None:
        """Write a file of ours into the data directory, owned as the directory is."""
        storage.write(name, [data])
        if os.geteuid() == 0:
            info = os.stat(self._pg_path)
            os.chown(f"{self._pg_path}/{name}", info.st_uid, info.st_gid)

    def _publish(self) -> None:
        """Make everything durable, then put pg_control in its place: from here a server can start."""
        self._plan.destination.finish()
        for root in self._plan.destination.sync_roots():
            LocalStorage(root).sync()
        # Not earlier: while it is there, a restore with --delta --force does not trust the times of files.
        LocalStorage(self._pg_path).remove(MANIFEST_FILE)
        sync_path(self._pg_path)
        faults.point("restore.synced")
        path = self._plan.destination.path_of(CONTROL)
        temp = path + TEMP_SUFFIX
        if not os.path.lexists(temp):
            log.warning("the backup has no %s: the cluster will not start", CONTROL)
            return
        info = os.stat(temp)
        with open(temp, "r+b") as file:
            data = file.read(CONTROL_SIZE)
            if self._plan.manifest.options.get("option-online"):
                file.seek(0)
                file.write(disarm_control(data))
            file.flush()
            os.fsync(file.fileno())
        os.utime(temp, (info.st_atime, info.st_mtime))
        storage = LocalStorage(os.path.dirname(path))
        storage.rename(os.path.basename(temp), os.path.basename(path))

    def _end_state(self) -> tuple[bytes, str, frozenset[str]]:
        """What a restore writes anew each time: control file, recovery settings, and which signal files there are."""
        storage = LocalStorage(self._pg_path)
        contents = []
        for name in ("global/pg_control", AUTO_CONF):
            try:
                contents.append(get(storage, name))
            except FileMissingError:
                contents.append(b"")
        signals = frozenset(name for name in ("recovery.signal", "standby.signal") if storage.exists(name))
        return contents[0], contents[1].decode("utf-8", "surrogateescape"), signals


def _same_state(one: tuple[bytes, str, frozenset[str]], other: tuple[bytes, str, frozenset[str]]) -> bool:
    return one[0] == other[0] and same_settings(one[1], other[1]) and one[2] == other[2]
