# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-get:async: the background process that fetches segments ahead of PostgreSQL's requests.

It keeps a queue of segments that follow each other in the spool, complete and verified, and refills it as PostgreSQL
takes them. When PostgreSQL asks for a segment outside of the queue, as after a timeline switch, the queue begins anew
behind that one. The first segment that no repository has ends the work: from there on the foreground asks.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import faults
from ..errors import (
    FATAL,
    EngineError,
    FileWriteError,
    LockAcquireError,
    ParamInvalidError,
    ParamRequiredError,
    RepoInvalidError,
)
from ..format.layout import StoredWal
from ..lock import StanzaLock
from ..log import failure_text
from ..pool import Pool
from ..postgres.control_file import load_control
from ..postgres.lsn import next_segment
from ..repo import open_repos
from ..spool import GLOBAL, GetSpool
from .duty import POLL, ROUND, Duty, is_on_duty
from .outcome import Outcome
from .wal_get import Copy, Found, Source, fetch, find_file, open_sources
from .wal_path import cluster_path

if TYPE_CHECKING:
    from ..options import Config
    from ..repo import Repo

log = logging.getLogger("holdfast")


@dataclass(frozen=True)
class Job:
    """A segment to fetch. copies: key of the repository, passphrase of the WAL in it, archive id, stored file."""

    segment: str
    copies: Sequence[tuple[int, str | None, str, StoredWal]]
    failures: Sequence[str]

    def __str__(self) -> str:
        return self.segment


def archive_get_async(config: Config) -> Outcome:
    """Fetch ahead from the segment that the first parameter names; the second one is the length of the queue.

    Facts: fetched (number of segments), reason (why it ended). Every failure is left in the spool.
    """
    if len(config.params) != 2:
        raise ParamRequiredError("archive-get:async takes two parameters, a WAL segment and the length of the queue")
    first, length = config.params
    if not (length.isascii() and length.isdigit() and int(length)):
        raise ParamInvalidError(f"'{length}' is no length of a queue")
    spool = GetSpool(config.spool_path, config.stanza)
    keys = [repo.key for repo in config.repos]
    try:
        with StanzaLock(config.lock_path, config.stanza, ["archive-get"], keys, config.exec_id) as lock:
            faults.point("archive.async.begin")
            work = _Work(config, spool, lock, first, int(length))
            reason = work.run()
    except LockAcquireError as error:
        if not is_on_duty(config, "archive-get"):  # else two were started at once, which is no failure
            spool.report(GLOBAL, error)
        raise
    except EngineError as error:
        spool.report(GLOBAL, error)
        raise
    log.info("fetched %d WAL segment(s); %s", work.fetched, reason)
    return Outcome({"fetched": work.fetched, "reason": reason}, changed=work.fetched > 0)


class Get:
    """What a worker does: one segment into the spool. Made before the fork, used after it. Returns the failure."""

    def __init__(self, config: Config, spool: GetSpool) -> None:
        self._config, self._spool = config, spool
        self._repos: dict[int, Repo] = {}

    def __call__(self, job: Job) -> EngineError | None:
        try:
            if not self._repos:
                self._repos = {repo.key: repo for repo in open_repos(self._config)}
            copies = [
                Copy(Source(self._repos[key], [archive_id], cipher_pass), archive_id, stored)
                for key, cipher_pass, archive_id, stored in job.copies
            ]
            found = Found(copies, job.failures)
            fetch(found, job.segment, self._spool.place(job.segment), lambda failures: self._warn(job, failures))
        except EngineError as error:
            if isinstance(error, FATAL):
                raise
            return error
        return None

    def _warn(self, job: Job, failures: Sequence[str]) -> None:
        if failures:
            self._spool.warn(job.segment, failures)


class _Work:
    """The background process: runs, and watching between them."""

    def __init__(self, config: Config, spool: GetSpool, lock: StanzaLock, first: str, length: int) -> None:
        data_directory = cluster_path(config)
        if data_directory is None:
            raise ParamRequiredError("archive-get:async needs option pg1-path", "it is the data directory")
        self._config, self._spool, self._lock = config, spool, lock
        self._control = load_control(data_directory, config.pg_version_force)
        self._duty = Duty(config, lock, data_directory, obeys_stop=False)
        self._length = length
        self._queue: deque[str] = deque()  # fetched, or being fetched, oldest first
        self._busy: set[str] = set()  # being fetched
        self._next = first
        self._end = ""  # why nothing more is to be fetched
        self._missing = ""  # the segment that no repository has
        self._taken = time.monotonic()  # when PostgreSQL took the last segment
        self.fetched = 0

    def run(self) -> str:
        """Work until it is over; why it is."""
        config = self._config
        self._spool.clean(self._segments_ahead())
        work = Get(config, self._spool)
        with Pool(work, config.process_max, config.protocol_timeout, close_fds=self._lock.fds) as pool:
            while True:
                self._run_once(pool)
                reason = self._end or self._duty.over() or self._watch()
                if reason:
                    break
        if self._missing:  # last of all: whoever reads it may start another process
            self._spool.mark_missing(self._missing)
        return reason

    def _segments_ahead(self) -> list[str]:
        """What the queue is to hold."""
        segments, segment = [], self._next
        for _number in range(self._length):
            segments.append(segment)
            segment = next_segment(segment, self._control.segment_size)
        return segments

    def _run_once(self, pool: Pool[Job, EngineError | None]) -> None:
        with self._duty.share():
            sources, failures = open_sources(self._config, self._control)
            for job, error in pool.run(self._jobs(sources, failures)):
                self._settle(job.segment, error)

    def _jobs(self, sources: Sequence[Source], failures: Sequence[str]) -> Iterator[Job]:
        """Handed out until the queue is full, a segment is not there, time is up or it is over."""
        end = time.monotonic() + ROUND
        while not (self._end or self._duty.over()) and time.monotonic() < end:
            self._follow()
            if len(self._queue) >= self._length:
                return
            job = self._job(sources, failures)
            if job is not None:
                self._busy.add(job.segment)
                yield job

    def _job(self, sources: Sequence[Source], failures: Sequence[str]) -> Job | None:
        """The next segment; None when it is in the spool already, or is not to be had, which is the end."""
        segment = self._next
        if self._spool.holds(segment):
            self._add(segment)
            return None
        try:
            found = find_file(sources, segment, failures)
            if not found.copies and found.failures:
                raise RepoInvalidError(
                    "\n".join([f"unable to tell whether {segment} is in the archive:", *found.failures])
                )
        except EngineError as error:
            self._spool.report(segment, error)
            self._end = f"looking for {segment} failed: {error}"
            return None
        if not found.copies:
            self._missing, self._end = segment, f"{segment} is in no repository"
            return None
        self._add(segment)
        copies = [
            (copy.source.repo.key, copy.source.cipher_pass, copy.archive_id, copy.stored)
            for copy in found.copies
            if copy.stored is not None
        ]
        return Job(segment, copies, found.failures)

    def _add(self, segment: str) -> None:
        self._queue.append(segment)
        self._next = next_segment(segment, self._control.segment_size)

    def _settle(self, segment: str, error: EngineError | None) -> None:
        faults.point("archive.async.fetched")
        self._busy.discard(segment)
        if error is not None:
            log.warning("could not fetch %s: [%d] %s", segment, error.code, failure_text(error))
            self._spool.report(segment, error)
            if isinstance(error, FileWriteError):
                self._end = "the spool cannot be written"
            return
        self.fetched += 1
        log.info("fetched %s from the archive", segment)
        if segment not in self._queue:  # PostgreSQL has gone elsewhere meanwhile
            self._spool.remove(segment)

    def _follow(self) -> None:
        """Let go of what PostgreSQL has taken, and go where it is."""
        requested = self._spool.take_request()
        if requested is not None:
            self._go_to(next_segment(requested, self._control.segment_size))
        while self._queue and self._queue[0] not in self._busy and not self._spool.holds(self._queue[0]):
            self._queue.popleft()
            self._taken = time.monotonic()

    def _go_to(self, segment: str) -> None:
        """PostgreSQL wants this segment next."""
        self._taken = time.monotonic()
        if segment in self._queue or segment == self._next:
            while self._queue and self._queue[0] != segment:
                self._spool.remove(self._queue.popleft())
        else:
            log.info("PostgreSQL goes on with %s", segment)
            self._queue.clear()
            self._next = segment
            self._spool.clean(self._segments_ahead())

    def _watch(self) -> str:
        """Wait for room in the queue: empty when there is some, else the reason to end."""
        linger = self._config.archive_async_linger
        if not linger:
            return "the queue is full"
        room = min(self._config.process_max, self._length // 2)  # a run for each worker
        while True:
            self._follow()
            if self._length - len(self._queue) >= room:
                return ""
            idle = time.monotonic() - self._taken
            if idle >= linger:
                return f"PostgreSQL took nothing in {idle:.0f} s"
            reason = self._duty.over()
            if reason:
                return reason
            time.sleep(min(POLL, linger))
            self._duty.rested()
