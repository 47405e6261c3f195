# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import pool as pool_module
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    ChecksumError,
    EngineError,
    FileMissingError,
    FileReadError,
    TermError,
    UnknownError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.pool import BEAT, Pool
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.worker import pulse

LONG = 60.0  # seconds that no test waits for


@dataclass(frozen=True)
class Job:
    name: str
    action: str = ""

    def __str__(self) -> str:
        return f"copy of {self.name}"


def double(number: int) -> int:
    return 2 * number


def children() -> set[int]:
    return {int(pid) for pid in pathlib.Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


def gone(pid: int) -> bool:
    """Whether the process has ended, a zombie included."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


@pytest.fixture(autouse=True)
def no_worker_survives() -> Iterator[None]:
    before = children()
    yield
    assert children() == before


# -- results


@pytest.mark.parametrize("processes", [1, 2, 5])
def test_every_job_has_its_result(processes: int) -> None:
    with Pool(double, processes, LONG) as pool:
        assert sorted(pool.run(range(50))) == [(number, 2 * number) for number in range(50)]
        assert list(pool.run([])) == []
        assert list(pool.run([7])) == [(7, 14)]  # the same workers once more


def test_jobs_and_results_may_be_large_or_nothing() -> None:
    with Pool(lambda job: job and job * 3, 2, LONG) as pool:
        for job in (os.urandom(5 << 20), None, b"", 0):
            assert list(pool.run([job, job])) == [(job, job and job * 3)] * 2


def test_the_work_may_be_a_closure_with_a_state_per_worker() -> None:
    seen: list[int] = []

    def work(job: int) -> tuple[int, int]:
        seen.append(job)
        return os.getpid(), len(seen)

    with Pool(work, 2, LONG) as pool:
        counts: dict[int, int] = {}
        for _other, (pid, count) in pool.run(range(20)):
            counts[pid] = counts.get(pid, 0) + 1
            assert count == counts[pid]
        assert os.getpid() not in counts
    assert seen == []


def test_a_job_is_taken_only_when_a_worker_is_idle() -> None:
    taken: list[int] = []

    def jobs() -> Iterator[int]:
        for number in range(10):
            taken.append(number)
            yield number

    with Pool(double, 2, LONG) as pool:
        running = pool.run(jobs())
        assert taken == []
        results = []
        for done, (job, _other) in enumerate(running, 1):
            results.append(job)
            assert len(taken) <= done + 4  # in two workers, and finished at the same time but not yet seen
        assert taken == sorted(results) == list(range(10))


def test_workers_work_at_the_same_time() -> None:
    left, right = os.pipe(), os.pipe()

    def meet(side: int) -> bytes:
        mine, theirs = (left, right) if side else (right, left)
        os.write(theirs[1], b"x")
        return os.read(mine[0], 1)  # only if the other one runs, too

    with Pool(meet, 2, LONG) as pool:
        assert [result for _other, result in pool.run([0, 1])] == [b"x", b"x"]
    for descriptor in left + right:
        os.close(descriptor)


def test_an_idle_worker_gets_the_next_job_while_the_other_is_busy(tmp_path: pathlib.Path) -> None:
    def work(job: str) -> int:
        if job == "long":
            wait_for((tmp_path / "9").exists)
        else:
            (tmp_path / job).touch()
        return os.getpid()

    with Pool(work, 2, LONG) as pool:
        results = list(pool.run(["long", *"0123456789"]))
    assert results[-1][0] == "long"
    assert len({pid for job, pid in results if job != "long"}) == 1


def test_beat_goes_on_while_jobs_run() -> None:
    beats: list[float] = []
    with Pool(time.sleep, 2, LONG) as pool:
        list(pool.run([2.2 * BEAT, 0.1], lambda: beats.append(time.monotonic())))
        assert 3 <= len(beats) <= 6
        beats.clear()
        list(pool.run([0.0] * 500, lambda: beats.append(time.monotonic())))
        assert len(beats) < 50  # by the clock, not by the job


# -- errors of a job


def test_an_error_arrives_as_it_was_raised() -> None:
    def work(job: Job) -> None:
        raise ChecksumError(f"{job.name} is damaged", "restore from another repository")

    with Pool(work, 2, LONG) as pool, pytest.raises(ChecksumError, match="a is damaged") as caught:
        list(pool.run([Job("a")]))
    assert caught.value.hint == "restore from another repository"


def test_a_bug_keeps_its_traceback() -> None:
    def innermost(job: int) -> None:
        raise ZeroDivisionError("a bug")

    with Pool(innermost, 1, LONG) as pool, pytest.raises(ZeroDivisionError, match="a bug") as caught:
        list(pool.run([1]))
    assert "in innermost" in str(caught.value.__cause__)


class Stubborn(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one}-{two}")


@pytest.mark.parametrize("result", [lambda: None, "stubborn", "exit"])
def test_what_cannot_travel_is_an_error_and_not_the_end(result: object) -> None:
    """A result that cannot be pickled, an exception that cannot be unpickled, an exit in the middle of a job."""

    def work(job: int) -> object:
        if result == "stubborn":
            raise Stubborn(1, 2)
        if result == "exit":
            sys.exit(3)
        return result

    with Pool(work, 1, LONG) as pool, pytest.raises((Exception, SystemExit)) as caught:
        list(pool.run([1]))
    if result == "stubborn":
        assert isinstance(caught.value, UnknownError) and "1-2" in str(caught.value) and "in work" in str(caught.value)


def test_the_first_failure_ends_the_run_and_the_pool() -> None:
    def work(job: int) -> int:
        if job == 3:
            raise FileMissingError("three")
        return job

    taken: list[int] = []
    with Pool(work, 1, LONG) as pool:
        with pytest.raises(FileMissingError):
            for job, _other in pool.run(range(100)):
                taken.append(job)
        assert taken == [0, 1, 2]
        with pytest.raises(AssertError):
            next(pool.run([1]))


def test_a_failing_source_of_jobs_ends_the_run() -> None:
    def jobs() -> Iterator[int]:
        yield 1
        raise KeyError("plan")

    with Pool(double, 2, LONG) as pool, pytest.raises(KeyError, match="plan"):
        list(pool.run(jobs()))


def test_an_abandoned_run_can_be_closed_at_once() -> None:
    begin = time.monotonic()
    with Pool(time.sleep, 2, LONG) as pool:
        next(pool.run([0.0, 50.0, 50.0]))
    assert time.monotonic() - begin < 2


# -- retries


def failing(*errors: EngineError | None) -> Callable[[int], int]:
    """Work whose first calls fail with these errors."""
    left = list(errors)

    def work(job: int) -> int:
        if left and (error := left.pop(0)):
            raise error
        return job

    return work


def test_a_retryable_error_is_tried_again_in_the_worker() -> None:
    with Pool(failing(FileReadError("one")), 1, LONG, job_retry=1) as pool:
        assert list(pool.run([5])) == [(5, 5)]
    with Pool(
        failing(FileReadError("one"), FileReadError("two")), 1, LONG, job_retry=2, job_retry_interval=0.2
    ) as pool:
        begin = time.monotonic()
        assert list(pool.run([5])) == [(5, 5)]
        assert time.monotonic() - begin > 0.2


def test_the_first_retry_is_immediate() -> None:
    with Pool(failing(FileReadError("one")), 1, LONG, job_retry=2, job_retry_interval=LONG) as pool:
        assert list(pool.run([5])) == [(5, 5)]


def test_the_error_after_retries_is_the_first_and_tells_of_them() -> None:
    errors = [FileReadError("bad sector", "replace the disk"), ChecksumError("differs"), FileReadError("bad sector")]
    with (
        Pool(failing(*errors, FileMissingError("one too many")), 1, LONG, job_retry=2, job_retry_interval=0.01) as pool,
        pytest.raises(FileReadError) as caught,
    ):
        list(pool.run([5]))
    assert caught.value.message == (
        "bad sector (worker 1 tried again: after 0.0 s ChecksumError: differs, after 0.0 s the same)"
    )
    assert caught.value.hint == "replace the disk"


@pytest.mark.parametrize("errors", [(FileMissingError("gone"),), (FileReadError("gone"), FileMissingError("gone 2"))])
def test_an_error_that_is_not_retryable_ends_the_tries(errors: tuple[EngineError, ...]) -> None:
    work = failing(*errors, UnknownError("one too many"), UnknownError("one too many"))
    with Pool(work, 1, LONG, job_retry=5, job_retry_interval=0) as pool, pytest.raises(type(errors[0]), match="gone"):
        list(pool.run([5]))


def test_a_bug_is_not_tried_again() -> None:
    calls: list[int] = []

    def work(job: int) -> None:
        calls.append(job)
        raise ValueError(f"call {len(calls)}")

    with Pool(work, 1, LONG, job_retry=5) as pool, pytest.raises(ValueError, match="call 1"):
        list(pool.run([5]))


# -- dead and hung workers


def act(job: Job) -> str:
    if job.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif job.action == "exit":
        os._exit(7)
    elif job.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif job.action == "hang":
        time.sleep(LONG)
    elif job.action == "term":
        os.kill(os.getpid(), signal.SIGTERM)
    return job.name


@pytest.mark.parametrize(("action", "how"), [("kill", "was killed by SIGKILL"), ("exit", "ended with status 7")])
def test_a_dead_worker_is_an_error_at_once_that_names_the_job(action: str, how: str) -> None:
    with Pool(act, 2, LONG) as pool, pytest.raises(UnknownError) as caught:
        begin = time.monotonic()
        list(pool.run([Job("fine"), Job("base/1/1259", action), Job("busy", "hang")]))
    assert time.monotonic() - begin < 3  # including the end of the other worker
    assert how in str(caught.value) and "copy of base/1/1259" in str(caught.value) and "worker" in str(caught.value)
    assert ("memory" in caught.value.hint) == (action == "kill")


def test_a_worker_that_died_idle_is_noticed() -> None:
    with Pool(act, 2, LONG) as pool:
        assert len(list(pool.run([Job("a"), Job("b")]))) == 2
        victim = min(children())
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: gone(victim))
        with pytest.raises(UnknownError, match=f"process {victim}.*SIGKILL"):
            list(pool.run([Job("c"), Job("d", "hang")]))


@pytest.mark.parametrize("action", ["hang", "stop"])
def test_a_hung_worker_is_an_error_within_the_limit(action: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "GRACE", 0.2)
    begin = time.monotonic()
    with Pool(act, 2, 0.3) as pool, pytest.raises(UnknownError, match="no sign of life for 0.3 s during copy of b$"):
        list(pool.run([Job("a"), Job("b", action)]))
    assert time.monotonic() - begin < 0.3 + 2 * BEAT + 0.2 + 1


def test_a_stopped_worker_that_reads_no_job_is_an_error_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "GRACE", 0.2)
    with Pool(act, 1, 0.3) as pool:
        list(pool.run([Job("a")]))
        (pid,) = children()
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(UnknownError, match="no sign of life"):
            list(pool.run([Job("b" * (8 << 20))]))  # more than the channel holds


def test_a_slow_worker_with_a_pulse_is_not_hung() -> None:
    def slowly(job: int) -> int:
        return sum(time.sleep(0.1) or len(chunk) for chunk in pulse(b"x" * 10 for _other in range(job)))

    with Pool(slowly, 2, 0.4) as pool:
        seen: list[int] = []
        assert sorted(pool.run([12, 1], lambda: seen.append(pool.passed))) == [(1, 10), (12, 120)]
        assert pool.passed == 130
        assert seen == sorted(seen) and 0 < seen[-1] < 130


def test_time_that_the_caller_takes_does_not_make_workers_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "BEAT", 0.05)
    with Pool(time.sleep, 2, 0.4) as pool:
        for _other in pool.run([0.0, 1.0]):
            time.sleep(0.8)  # twice the limit, in which nobody looks


def test_pulse_outside_a_worker_changes_nothing() -> None:
    assert list(pulse([b"a", b"b"])) == [b"a", b"b"]


def test_a_worker_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "GRACE", 0.2)

    def stubborn(job: int) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(LONG)

    begin = time.monotonic()
    with Pool(stubborn, 2, LONG) as pool, pytest.raises(KeyboardInterrupt):
        for _other in pool.run([1, 2], interrupt_after(0.3)):
            pass
    assert time.monotonic() - begin < 2.5


def interrupt_after(seconds: float) -> Callable[[], None]:
    until = time.monotonic() + seconds

    def beat() -> None:
        if time.monotonic() > until:
            raise KeyboardInterrupt

    return beat


# -- signals and descriptors


def open_files() -> set[str]:
    found = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the one that listdir used
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_a_worker_told_to_end_removes_what_it_has_half_written(tmp_path: pathlib.Path) -> None:
    def work(job: int) -> None:
        temp = tmp_path / str(job)
        try:
            temp.touch()
            time.sleep(LONG)
        finally:
            temp.unlink()

    with Pool(work, 2, LONG) as pool:
        running = pool.run([1, 2], lambda: len(list(tmp_path.iterdir())) == 2 and os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            list(running)
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_worker_ended_by_somebody_is_told_as_such() -> None:
    with Pool(act, 1, LONG, job_retry=3) as pool, pytest.raises(TermError, match="SIGTERM"):
        list(pool.run([Job("a", "term")]))


def test_workers_ignore_what_the_terminal_sends() -> None:
    def work(job: int) -> int:
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(os.getpid(), number)
        return job

    with Pool(work, 2, LONG) as pool:
        assert len(list(pool.run(range(4)))) == 4


def test_workers_inherit_neither_locks_nor_each_others_channels(tmp_path: pathlib.Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        mine = open_files()

        def names(job: int) -> set[str]:
            time.sleep(0.05)
            return open_files()

        with Pool(names, 3, LONG, close_fds=[lock.fileno()]) as pool:
            for _other, found in pool.run(range(6)):
                assert str(tmp_path / "lock") not in found
                assert len([name for name in found - mine if name.startswith("socket:")]) == 1
        assert not lock.closed and os.fstat(lock.fileno())


def test_the_pool_leaves_no_descriptor_open() -> None:
    before = os.listdir("/proc/self/fd")
    with Pool(double, 3, LONG) as pool:
        list(pool.run(range(3)))
    assert os.listdir("/proc/self/fd") == before


def test_two_pools_end_independently() -> None:
    with Pool(double, 2, LONG) as outer:
        with Pool(double, 2, LONG) as inner:
            begin = time.monotonic()
            outer.close()  # although the workers of the inner one have copies of its channels
            assert time.monotonic() - begin < 1
            assert list(inner.run([1])) == [(1, 2)]


PROGRAM = r"""
    import os, signal, sys, time
    sys.path[:0] = {path!r}
    from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import TermError
    from ansible_collections.holdfast.postgres.plugins.module_utils._engine.pool import Pool

    def work(job):
        os.write(1, b"%d\n" % os.getpid())
        time.sleep(60)

    def terminate(*_):
        raise TermError("terminated")

    signal.signal(signal.SIGTERM, terminate)
    try:
        with Pool(work, 2, 60) as pool:
            list(pool.run([1, 2]))
    except TermError as error:
        sys.exit(error.code)
"""


@pytest.fixture
def program() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A parent with two busy workers, and the workers' pids."""
    code = textwrap.dedent(PROGRAM).format(path=sys.path)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process, [int(process.stdout.readline()) for _other in range(2)]
        finally:
            process.kill()


def test_workers_are_gone_when_the_parent_was_killed(program: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, workers = program
    assert not any(gone(pid) for pid in workers)
    process.kill()
    wait_for(lambda: all(gone(pid) for pid in workers), 1.0)


def test_sigterm_on_the_parent_ends_all(program: tuple[subprocess.Popen[str], list[int]]) -> None:
    process, workers = program
    process.terminate()
    assert process.wait(5) == 63
    assert all(gone(pid) for pid in workers)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_for_one_worker(program: tuple[subprocess.Popen[str], list[int]], number: signal.Signals) -> None:
    process, workers = program
    os.kill(workers[0], number)
    if number == signal.SIGTERM:
        assert process.wait(5) == 63
    else:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        assert not gone(workers[0])
