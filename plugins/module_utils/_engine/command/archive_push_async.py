# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-push:async: the background process that pushes WAL ahead of PostgreSQL's requests, several files at a time.

It works in runs: what is ready and not acknowledged is pushed, and each file acknowledged when it is durable in all
repositories. Between runs it watches archive_status. A crash between any two steps loses nothing: what was not
acknowledged is pushed again and recognised by its checksum.

A file that fails ends the work, and the next request of PostgreSQL begins anew. But where it failed in some
repositories only, the others still get what follows: once, since a report of an earlier failure says that they have it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import faults
from ..errors import FATAL, CommandError, EngineError, FormatError, LockAcquireError, ParamRequiredError
from ..format.layout import is_segment
from ..lock import StanzaLock, check_stop
from ..log import failure_text
from ..pool import Pool
from ..repo import open_repos
from ..spool import ERROR, GLOBAL, PushSpool
from .duty import POLL, ROUND, Duty, is_on_duty
from .outcome import Outcome
from .wal_path import cluster_path
from .wal_push import Identity, Pushed, Target, Targets, open_targets, push_file
from .wal_queue import DROPPED, Queue, in_order
from .wal_segment import THREADS, make_segment

if TYPE_CHECKING:
    from ..options import Config
    from ..repo import Repo

log = logging.getLogger("holdfast")

# Seconds in which PostgreSQL has to take an acknowledgement while there is more to push. If it only makes WAL, and
# nobody asks for it to be archived any more, archive_command has been changed.
UNASKED = 60.0


@dataclass(frozen=True)
class Plan:
    """Where files go in one run. targets: key of the repository, archive id, passphrase of the WAL in it."""

    targets: Sequence[tuple[int, str, str | None]]
    identity: Identity
    failures: Sequence[str]


@dataclass(frozen=True)
class Job:
    """A WAL file to push."""

    path: str
    plan: Plan

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Result:
    """What became of it. modified: time of the file before it was read, epoch ns; error: None when it is everywhere.

    partly: at least one repository has it; failures: number of those that do not.
    """

    modified: int
    warnings: Sequence[str] = ()
    error: EngineError | None = None
    partly: bool = False
    failures: int = 0


def archive_push_async(config: Config) -> Outcome:
    """Push what is ready in the WAL directory that the one parameter names, until there is nothing to do for a while.

    Facts: pushed (number of files), reason (why it ended). Every failure is left in the spool for the foreground.
    """
    if len(config.params) != 1:
        raise ParamRequiredError("archive-push:async takes one parameter, the directory of the WAL files")
    spool = PushSpool(config.spool_path, config.stanza)
    keys = [repo.key for repo in config.repos]
    try:
        with StanzaLock(config.lock_path, config.stanza, ["archive-push"], keys, config.exec_id) as lock:
            spool.create()
            faults.point("archive.async.begin")
            work = _Work(config, spool, config.params[0], lock)
            reason = work.run()
    except LockAcquireError as error:
        if not is_on_duty(config, "archive-push"):  # else two were started at once, which is no failure
            spool.report(GLOBAL, error)
        raise
    except EngineError as error:
        spool.report(GLOBAL, error)
        raise
    log.info("pushed %d WAL file(s); %s", work.pushed, reason)
    return Outcome({"pushed": work.pushed, "reason": reason}, changed=work.pushed > 0)


class Push:
    """What a worker does: one file into all repositories. Made before the fork, used after it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._repos: dict[int, Repo] = {}
        # Several workers keep the machine busy as they are; a single one compresses with threads.
        self._threads = THREADS if config.process_max == 1 else 1

    def __call__(self, job: Job) -> Result:
        """The result of the last try; its error tells of the other ones, too."""
        result = self._try(job)
        complaints = [] if result.error is None else [result.error.message]
        for again in range(self._config.job_retry):
            if result.error is None or not self._is_worth_it(job, result):
                return result
            if again:
                time.sleep(self._config.job_retry_interval)
            result = self._try(job)
            if result.error is not None and result.error.message not in complaints:
                complaints.append(result.error.message)
                result.error.message = "\nand when tried again: ".join(complaints)
        return result

    def _try(self, job: Job) -> Result:
        try:
            modified = os.stat(job.path).st_mtime_ns
        except OSError:
            modified = 0  # reading it fails as well, with the right words
        try:
            pushed = self._push(job)
        except EngineError as error:
            if isinstance(error, FATAL):
                raise
            return Result(modified, error=error)
        name = os.path.basename(job.path)
        return Result(modified, pushed.warnings, pushed.error(name), bool(pushed.stored or pushed.present),
                      len(pushed.failures))

    def _is_worth_it(self, job: Job, result: Result) -> bool:
        """Not when the file is bad, or when nothing failed but what had failed before."""
        if isinstance(result.error, CommandError):
            return result.failures > len(job.plan.failures)
        return result.error is not None and result.error.retryable

    def _push(self, job: Job) -> Pushed:
        if not self._repos:
            self._repos = {repo.key: repo for repo in open_repos(self._config)}
        plan = job.plan
        usable = [Target(self._repos[key], archive_id, cipher_pass) for key, archive_id, cipher_pass in plan.targets]
        targets = Targets(usable, plan.identity, plan.failures)
        segment = None
        if is_segment(os.path.basename(job.path)):
            segment = make_segment(self._config, job.path, self._threads)
        return push_file(self._config, targets, job.path, segment)


class _Work:
    """The background process: runs, and watching between them."""

    def __init__(self, config: Config, spool: PushSpool, wal_directory: str, lock: StanzaLock) -> None:
        self._config, self._spool, self._lock = config, spool, lock
        self._data_directory = cluster_path(config) or os.path.dirname(wal_directory)
        self._duty = Duty(config, lock, self._data_directory, obeys_stop=True)
        self._queue = Queue(wal_directory)
        self._waiting: set[str] = set()  # acknowledgements that PostgreSQL has not taken yet
        self._taken = time.monotonic()  # when it took the last one, or had to wait for us
        self._failed = self._lost = False  # in this run a file: in some repository, in all
        self.pushed = 0

    def run(self) -> str:
        """Work until it is over; why it is."""
        config = self._config
        check_stop(config.lock_path, config.stanza)
        with Pool(Push(config), config.process_max, config.protocol_timeout, close_fds=self._lock.fds) as pool:
            while True:
                self._run_once(pool)
                if self._failed:
                    log.warning("some WAL files were not pushed: see the messages above")
                    return "a file failed"
                reason = self._duty.over() or self._watch()
                if reason:
                    return reason

    def _run_once(self, pool: Pool[Job, Result]) -> None:
        wal_directory, ready = self._queue.wal_directory, self._queue.read()
        self._spool.clean(wal_directory, ready)
        todo = in_order(ready - self._spool.acknowledged(wal_directory, ready))
        if not todo or self._drop(todo):
            return
        with self._duty.share():
            plan = _plan(open_targets(self._config, self._data_directory))
            for job, result in pool.run(self._jobs(todo[: self._batch(todo[0])], plan)):
                self._settle(os.path.basename(job.path), result)

    def _jobs(self, names: Sequence[str], plan: Plan) -> Iterator[Job]:
        """Handed out until time is up, it is over, or a file failed in all repositories."""
        end = time.monotonic() + ROUND
        earlier = self._spool.failed()
        self._failed = self._lost = False
        for name in names:
            if self._lost or time.monotonic() > end or self._duty.over():
                return
            # Once one has failed, all will that failed before: only what is new shall reach the good repositories.
            if not (self._failed and name in earlier):
                yield Job(f"{self._queue.wal_directory}/{name}", plan)

    def _settle(self, name: str, result: Result) -> None:
        faults.point("archive.async.acknowledge")
        if result.error is None:
            self._spool.acknowledge(name, result.modified, result.warnings)
            self._spool.remove(name + ERROR)
            self._waiting.add(name)
            self.pushed += 1
            log.info("pushed WAL file '%s' to the archive", name)
            for warning in result.warnings:
                log.warning("%s", warning)
        else:
            self._spool.report(name, result.error)
            self._failed = True
            self._lost = self._lost or not result.partly
            log.warning("could not push WAL file '%s': [%d] %s", name, result.error.code, failure_text(result.error))
        faults.point("archive.async.acknowledged")

    def _drop(self, todo: Sequence[str]) -> bool:
        """Whether the queue is too long; then all that it holds is acknowledged without being in any repository."""
        limit = self._config.archive_push_queue_max
        if limit is None or self._queue.size <= limit:
            return False
        for name in todo:
            warning = DROPPED.format(name=name)
            log.warning("%s", warning)
            self._spool.acknowledge(name, time.time_ns(), [warning])
        return True

    def _batch(self, first: str) -> int:
        """How many files one run takes."""
        path = f"{self._queue.wal_directory}/{first}"
        try:
            size = os.stat(path).st_size
        except FileNotFoundError:
            return 1  # its own failure will say so
        if size == 0:
            raise FormatError(f"WAL file '{path}' is empty", "is the disk of the cluster full?")
        return max(1, int(self._config.archive_push_batch_size) // size)

    def _watch(self) -> str:
        """Wait for work: empty when there is some, else the reason to end."""
        linger = self._config.archive_async_linger
        ready: frozenset[str] | None = self._queue.read()
        while True:
            if ready is not None:
                lacking = self._look(ready)
            idle = time.monotonic() - self._taken
            if idle >= (max(linger, UNASKED) if lacking else linger):
                return f"PostgreSQL asked for nothing in {idle:.0f} s" if linger or lacking else "all is pushed"
            if lacking:
                return ""
            reason = self._duty.over()
            if reason:
                return reason
            time.sleep(min(POLL, linger))
            self._duty.rested()
            ready = self._queue.read_changes()

    def _look(self, ready: frozenset[str]) -> bool:
        """Whether something is to be pushed; notes, too, whether PostgreSQL has taken an acknowledgement."""
        acknowledged = self._spool.acknowledged(self._queue.wal_directory, ready)
        lacking = bool(ready - acknowledged)
        if self._waiting - ready or (lacking and not acknowledged):
            self._taken = time.monotonic()
        self._waiting = acknowledged
        return lacking


def _plan(targets: Targets) -> Plan:
    usable = [(target.repo.key, target.archive_id, target.cipher_pass) for target in targets.usable]
    return Plan(usable, targets.identity, targets.failures)
