# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forked workers that pull jobs: the parent's side.

The parent plans, hands out and alone changes documents; workers copy and report. Nothing waits for ever: a dead worker
is an end of file on its channel, a hung one is silent for too long, and when the parent dies the kernel kills the
workers.
"""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from . import worker
from .errors import AssertError, KernelError, UnknownError

Job = TypeVar("Job")
Result = TypeVar("Result")

BEAT = 0.5  # seconds
GRACE = 2.0  # seconds that a worker has to end by itself
KILL_LIMIT = 5.0  # seconds until a killed worker is given up: one that waits for a dead disk cannot even be killed


class Pool(Generic[Job, Result]):
    """Forked workers calling work(job). Made before any thread, socket or database connection exists.

    timeout: seconds without an answer, or a worker.pulse(), after which a worker counts as hung. job_retry: how often a
    job that failed with a retryable error runs again, at once, then after job_retry_interval seconds each. close_fds:
    descriptors that workers must not inherit; a lock's would keep it held after the parent's death.
    """

    def __init__(
        self,
        work: Callable[[Job], Result],
        processes: int,
        timeout: float,
        job_retry: int = 0,
        job_retry_interval: float = 15.0,
        close_fds: Iterable[int] = (),
    ) -> None:
        import mmap
        import select

        self._timeout = timeout
        self._counters = memoryview(mmap.mmap(-1, 8 * processes)).cast("Q")
        self._poll = select.poll()
        self._workers: dict[int, _Worker] = {}  # by the descriptor of their channel
        self._usable = True
        task = worker.Task(work, job_retry, job_retry_interval)
        try:
            for index in range(processes):
                # A fork copies our ends of the other channels. Left open, they would hide our death from the others.
                inherited = [*close_fds, *self._workers]
                started = _start(task, index + 1, self._counters[index : index + 1], inherited)
                self._workers[started.channel.fileno()] = started
                self._poll.register(started.channel, select.POLLIN)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Pool[Job, Result]:
        return self

    def __exit__(self, *_other: object) -> None:
        self.close()

    @property
    def passed(self) -> int:
        """Bytes that went through worker.pulse() so far in all workers, including those of unfinished jobs."""
        return sum(self._counters)

    def run(
        self, jobs: Iterable[Job], beat: Callable[[], None] = lambda: None, most: int | None = None
    ) -> Iterator[tuple[Job, Result]]:
        """Yield (job, result) as workers finish; raise the first failure, UnknownError if a worker dies or hangs.

        A job is taken from jobs only when a worker is idle. beat is called every BEAT seconds. most: workers that are
        used, all when None. A run that was not
        carried to its end leaves a pool that can only be closed.
        """
        if not self._usable:
            raise AssertError("a pool cannot go on after a run that did not end")
        self._usable = False
        todo, more = iter(jobs), True
        idle = list(self._workers.values())[:most]
        used = len(idle)
        finished: list[tuple[Job, Result]] = []
        looked = next_beat = time.monotonic()
        while True:
            # New work before finished work: no worker waits for what the caller does with a result.
            while more and idle:
                for job in todo:
                    idle.pop().give(job, self._timeout)
                    break
                else:
                    more = False
            yield from finished
            if len(idle) == used:
                break
            if time.monotonic() >= next_beat:
                beat()
                next_beat = time.monotonic() + BEAT
            finished = []
            for answered in self._wait(next_beat - time.monotonic()):
                idle.append(answered)
                finished.append(answered.take())
            self._check_pulses(time.monotonic() - looked)
            looked = time.monotonic()
        self._usable = True

    def close(self) -> None:
        """End all workers, in the middle of a job if they have one, and wait until they are gone; bounded."""
        self._usable = False
        for one in self._workers.values():
            one.dismiss()
        if not self._gone_within(GRACE):
            for one in self._workers.values():
                one.kill(signal.SIGKILL)
            self._gone_within(KILL_LIMIT)
        self._workers.clear()

    def _wait(self, seconds: float) -> list[_Worker]:
        """The workers whose answers have arrived by then."""
        ready = self._poll.poll(max(0.0, seconds) * 1000)
        return [self._workers[descriptor] for descriptor, _other in ready if self._workers[descriptor].receive()]

    def _check_pulses(self, elapsed: float) -> None:
        """Raise UnknownError for a worker that is hung; elapsed: seconds since the last call."""
        for one, count in zip(self._workers.values(), self._counters):
            if one.busy and count == one.count:
                # Bounded, because a time in which we were stopped or the caller was busy proves nothing.
                one.silent += min(elapsed, 2 * BEAT)
                if one.silent > self._timeout:
                    raise one.hung(self._timeout)
            else:
                one.count, one.silent = count, 0.0

    def _gone_within(self, seconds: float) -> bool:
        deadline, nap = time.monotonic() + seconds, 0.001
        while True:
            self._workers = {key: one for key, one in self._workers.items() if one.status() is None}
            if not self._workers or time.monotonic() > deadline:
                return not self._workers
            time.sleep(nap)
            nap = min(2 * nap, 0.05)


class _Worker:
    """A worker as the parent knows it."""

    def __init__(self, number: int, pid: int, channel: Any) -> None:
        self.number, self.pid, self.channel = number, pid, channel
        self.busy = False
        self.job: Any = None
        self.count = 0  # its counter when we last looked
        self.silent = 0.0  # seconds since that changed, or the job began
        self._received = bytearray()
        self._status: int | None = None

    def give(self, job: Any, timeout: float) -> None:
        import socket

        self.job, self.busy, self.silent = job, True, 0.0
        self.channel.settimeout(timeout)
        try:
            self.channel.sendall(pickle.dumps(job, pickle.HIGHEST_PROTOCOL))
        except socket.timeout as error:
            raise self.hung(timeout) from error
        except OSError as error:
            raise self.died() from error

    def receive(self) -> bool:
        """Take in what has arrived, without waiting; true when the answer is complete."""
        try:
            data = self.channel.recv(1 << 15)  # results are small, and so should be what is allocated for each
        except ConnectionError:
            data = b""
        if not data:
            raise self.died()
        self._received += data
        return worker.is_whole(self._received)

    def take(self) -> Any:
        """The job and its result; raises what the job raised."""
        result = worker.result_of(self._received)
        self._received.clear()
        job, self.job, self.busy = self.job, None, False
        return job, result

    def dismiss(self) -> None:
        """An idle worker ends at the end of its channel, a busy one must be told."""
        import socket
        from contextlib import suppress

        with suppress(OSError):
            self.channel.shutdown(socket.SHUT_RDWR)  # closing is not enough while another process has a copy
        self.channel.close()
        if self.busy:
            self.kill(signal.SIGTERM)

    def kill(self, number: int) -> None:
        if self.status() is None:  # not yet waited for, so the pid is still ours
            os.kill(self.pid, number)

    def status(self) -> int | None:
        """The wait status, None while the process lives."""
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else has waited for it
                pid, status = self.pid, 0
            if pid:
                self._status = status
        return self._status

    def died(self) -> UnknownError:
        deadline = time.monotonic() + GRACE
        while self.status() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        status, hint = self.status(), ""
        if status is None:
            how = "closed its channel"
        elif os.WIFSIGNALED(status):
            how = f"was killed by {signal.Signals(os.WTERMSIG(status)).name}"
            if os.WTERMSIG(status) == signal.SIGKILL:
                hint = "if the system log says that memory ran out, a smaller process-max needs less"
        else:
            how = f"ended with status {os.WEXITSTATUS(status)}"
        return UnknownError(f"{self} {how} {self._during()}", hint)

    def hung(self, timeout: float) -> UnknownError:
        return UnknownError(
            f"{self} gave no sign of life for {timeout:g} s {self._during()}",
            "look whether the storage answers; protocol-timeout is the limit",
        )

    def __str__(self) -> str:
        return f"worker {self.number} (process {self.pid})"

    def _during(self) -> str:
        return f"during {str(self.job)[:200]}" if self.busy else "while it had nothing to do"


def _start(task: worker.Task, number: int, counter: memoryview, inherited: Iterable[int]) -> _Worker:
    import socket

    ours, theirs = socket.socketpair()
    prctl, parent = worker.find_prctl(), os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        raise KernelError(f"cannot start worker {number}: {error.strerror}") from error
    if pid == 0:
        worker.live(task, number, theirs, counter, [*inherited, ours.fileno()], parent, prctl)
    theirs.close()
    return _Worker(number, pid, ours)
