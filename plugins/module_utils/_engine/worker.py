# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forked workers that pull jobs: the worker's side.

A worker ignores what the terminal sends to the whole process group, because the parent decides. SIGTERM ends it, but in
the ordinary way, so that it removes what it has half written.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

from .errors import EngineError, TermError, UnknownError
from .stream.through import Chunk

_LENGTH = 4  # bytes in front of an answer: how long it is
_PR_SET_PDEATHSIG = 1

_counters: list[memoryview] = []  # in a worker one, a number in memory that the parent sees


def pulse(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """A filter that counts what passes where the parent sees it: a worker with a long job is not a hung one."""
    for chunk in chunks:
        for counter in _counters:
            counter[0] += len(chunk)
        yield chunk


class Task:
    """What a worker does with a job, and how often it tries."""

    def __init__(self, work: Callable[[Any], Any], retries: int, interval: float) -> None:
        self._work, self._retries, self._interval = work, retries, interval

    def __call__(self, job: Any, number: int) -> Any:
        """The result. When all tries fail, the first error: it is the cause, the others may be its consequences."""
        try:
            return self._work(job)
        except EngineError as error:
            if not error.retryable or not self._retries:
                raise
            first, begin = error, time.monotonic()
        tries = []
        for again in range(self._retries):
            if again:
                time.sleep(self._interval)
            try:
                return self._work(job)
            except EngineError as later:
                same = "the same" if str(later) == str(first) else f"{later.label}: {later}"
                tries.append(f"after {time.monotonic() - begin:.1f} s {same}")
                if not later.retryable:
                    break
        raise type(first)(f"{first} (worker {number} tried again: {', '.join(tries)})", first.hint)


def find_prctl() -> Callable[[int, int], int] | None:
    """prctl(2); looked up before the fork, so that not every worker has to load what it takes."""
    try:
        import ctypes

        prctl: Callable[[int, int], int] = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return None
    return prctl


def live(
    task: Task,
    number: int,
    channel: Any,
    counter: memoryview,
    inherited: Iterable[int],
    parent: int,
    prctl: Callable[[int, int], int] | None,
) -> NoReturn:
    """The whole life of the forked process; nothing that the parent has on its stack runs here."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, _terminate)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        if prctl:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        for descriptor in inherited:
            with suppress(OSError):
                os.close(descriptor)
        _counters[:] = [counter]
        if os.getppid() == parent:  # else it died before we could ask to be told
            _serve(task, number, channel)
        status = 0
    except (TermError, ConnectionError):
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def is_whole(received: bytearray) -> bool:
    """Whether these bytes, the parent's side of the channel, are an answer."""
    return len(received) >= _LENGTH and len(received) == _LENGTH + int.from_bytes(received[:_LENGTH], "big")


def result_of(received: bytearray) -> Any:
    """The result in an answer; raises the error that is in it."""
    result, error, trace = pickle.loads(memoryview(received)[_LENGTH:])
    if error is None:
        return result
    if isinstance(error, EngineError):
        raise error
    raise error from _Traceback(trace)


class _Traceback(Exception):
    """Where in the worker something happened that nobody expected."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _serve(task: Task, number: int, channel: Any) -> None:
    jobs = channel.makefile("rb")
    while True:
        try:
            job = pickle.load(jobs)
        except EOFError:  # the parent has closed its end
            return
        try:
            answer = _pack(task(job, number), None, "")
        except BaseException as error:
            channel.sendall(_failure(error))
            if isinstance(error, TermError):
                return
        else:
            channel.sendall(answer)


def _pack(result: Any, error: BaseException | None, trace: str) -> bytes:
    data = pickle.dumps((result, error, trace), pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_LENGTH, "big") + data


def _failure(error: BaseException) -> bytes:
    import traceback

    if isinstance(error, EngineError):
        return _pack(None, error, "")
    trace = traceback.format_exc()
    try:
        packed = _pack(None, error, trace)
        pickle.loads(packed[_LENGTH:])
    except Exception:  # an exception that does not travel: its text does
        return _pack(None, UnknownError(f"unexpected error in a worker:\n{trace}"), "")
    return packed


def _terminate(*_other: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TermError("terminated on signal SIGTERM")
