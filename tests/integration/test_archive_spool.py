# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asynchronous archiving step by step: what is in the spool, what is said about it, and what ends the background.

The test plays PostgreSQL, so that it can ask when and for what it likes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast
from ansible_collections.holdfast.postgres.tests.support.wal import Desk, archived, write_segments

LIMIT = 30  # seconds for what the background does
COUNT = 6  # segments at hand
OLD = (1_600_000_000, 1_600_000_000)  # access and modification, s


@pytest.fixture(scope="module")
def stopped(module_workshop: Workshop) -> tuple[Cluster, list[Path]]:
    """A cluster at rest, and segments that it wrote."""
    cluster = module_workshop.cluster(wal_segment_mb=1, settings={"archive_mode": "on", "archive_command": ""}).start()
    return cluster, write_segments(cluster, COUNT)


@pytest.fixture
def desk(stopped: tuple[Cluster, list[Path]], workshop: Workshop) -> Desk:
    return Desk(workshop.path("d"), *stopped)


@pytest.fixture
def make(stopped: tuple[Cluster, list[Path]], desk: Desk, workshop: Workshop) -> Iterator[Callable[..., Holdfast]]:
    """Makes programs that archive the desk's WAL asynchronously, with the stanza in their repositories."""
    made: list[Holdfast] = []

    def make_program(**options: Any) -> Holdfast:
        usual = {"archive_async": True, "process_max": 2, "log_level_file": "info", "archive_timeout": "10s"}
        program = workshop.holdfast(stopped[0], stanza_options={"pg1_path": desk.data}, **{**usual, **options})
        os.utime(program.config, OLD)  # the launcher does not trust what has just changed
        program.run("stanza-create", online=False)
        made.append(program)
        return program

    yield make_program
    (desk.data / "postmaster.pid").unlink(missing_ok=True)
    for program in made:
        wait(lambda program=program: not on_duty(program))


@pytest.fixture
def program(make: Callable[..., Holdfast]) -> Holdfast:
    return make()


@contextlib.contextmanager
def without_engine(desk: Desk, program: Holdfast) -> Iterator[None]:
    """Whatever needs Python fails inside."""
    os.utime(program.base, OLD)  # the directory of the configuration, where the test has just made others
    desk.run(program, "archive-push", "pg_wal/none")  # leaves facts, and fails
    desk.run(program, "archive-get", "0000000100000000000000FF", "pg_wal/none")
    start = program.base / "bin" / "start.py"
    start.rename(start.with_suffix(".away"))
    try:
        yield
    finally:
        start.with_suffix(".away").rename(start)


def out(program: Holdfast) -> Path:
    return program.base / "spool" / "archive" / "main" / "out"


def into(program: Holdfast) -> Path:
    return program.base / "spool" / "archive" / "main" / "in"


def names(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.iterdir()) if path.exists() else []


def on_duty(program: Holdfast) -> list[int]:
    """The background processes of a program, workers not among them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            if any(word.endswith(b":async") for word in words) and f"--config={program.config}".encode() in words:
                found.append((int(entry.name), parent))
    pids = {pid for pid, _parent in found}
    return [pid for pid, parent in found if parent not in pids]


def wait(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.02)


def log(program: Holdfast, command: str = "archive-push") -> str:
    path = program.base / "log" / f"main-{command}-async.log"
    return path.read_text() if path.exists() else ""


def same(desk: Desk, name: str) -> bool:
    return desk.fetched.read_bytes() == (desk.wal / name).read_bytes()


# -- push


def test_one_request_pushes_all_that_is_ready(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    done = desk.push(program, desk.segments[0])
    assert (done.status, done.error) == (0, "")
    wait(lambda: len(names(out(program))) == COUNT)
    assert names(out(program)) == [f"{name}.ok" for name in desk.segments]
    assert all((out(program) / name).stat().st_size == 0 for name in names(out(program)))
    assert sorted(archived(program)) == desk.segments
    with without_engine(desk, program):
        for name in desk.segments[1:]:
            assert desk.push(program, name).status == 0
    (last,) = on_duty(program)
    # The next one is pushed before anybody asks for it, and what PostgreSQL has taken is cleaned away.
    desk.mark_ready("00000002.history")
    account.write_file(desk.wal / "00000002.history", "1\t0/1000000\tx\n")
    wait(lambda: names(out(program)) == ["00000002.history.ok"])
    assert on_duty(program) == [last]
    assert desk.push(program, "00000002.history").status == 0


def test_it_may_end_when_all_is_pushed(desk: Desk, make: Callable[..., Holdfast]) -> None:
    program = make(archive_async_linger=0)
    desk.mark_ready(*desk.segments[:3])
    assert desk.push(program, desk.segments[0]).status == 0
    wait(lambda: not on_duty(program))
    assert "all is pushed" in log(program)
    assert sorted(archived(program)) == desk.segments[:3]
    assert names(program.base / "lock") == []


def test_it_ends_when_nobody_asks(desk: Desk, make: Callable[..., Holdfast]) -> None:
    program = make(archive_async_linger="300ms")
    desk.mark_ready(desk.segments[0])
    assert desk.push(program, desk.segments[0]).status == 0
    wait(lambda: not on_duty(program))
    assert "PostgreSQL asked for nothing" in log(program)


ENDS: dict[str, Callable[[Desk, Holdfast], object]] = {
    "no PostgreSQL runs": lambda desk, program: (desk.data / "postmaster.pid").unlink(),
    "the configuration": lambda desk, program: program.configure(process_max=1),
    "is stopped": lambda desk, program: program.run("stop"),
    "terminated on signal SIGTERM": lambda desk, program: program.run("stop", force=True),
    "cannot list": lambda desk, program: shutil.rmtree(desk.data),
    "its lock file was removed": lambda desk, program: (program.base / "lock/main-archive-push-1.lock").unlink(),
}


@pytest.mark.parametrize("reason", ENDS)
def test_its_duty_ends(desk: Desk, program: Holdfast, reason: str) -> None:
    desk.mark_ready(desk.segments[0])
    desk.push(program, desk.segments[0])
    (process,) = on_duty(program)
    ENDS[reason](desk, program)
    wait(lambda: process not in on_duty(program))
    assert reason in log(program)


def test_another_configuration_counts_at_once(desk: Desk, program: Holdfast, workshop: Workshop) -> None:
    desk.mark_ready(*desk.segments[:2])
    desk.push(program, desk.segments[0])
    program.configure(archive_async=False)
    desk.mark_ready(desk.segments[2])
    done = desk.push(program, desk.segments[2], log_level_console="info")
    assert "to the archive\n" in done.error and "asynchronously" not in done.error


def test_a_stopped_stanza_refuses(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    desk.push(program, desk.segments[0])
    wait(lambda: len(names(out(program))) >= COUNT)
    program.run("stop")
    assert desk.push(program, desk.segments[1]).status == 62  # although it is acknowledged
    wait(lambda: not on_duty(program))
    assert desk.push(program, desk.segments[1]).status == 62
    assert desk.get(program, desk.segments[0]).status == 0
    program.run("start")
    assert desk.push(program, desk.segments[1]).status == 0


def test_warnings_of_the_background_are_told(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready(desk.segments[0])
    desk.push(program, desk.segments[0])
    desk.mark_ready(desk.segments[0])  # PostgreSQL could not note it
    for name in names(out(program)):
        (out(program) / name).unlink()
    done = desk.push(program, desk.segments[0])
    assert done.status == 0
    assert "repo1: WAL file" in done.error and "same checksum" in done.error


def test_a_failure_of_the_background_is_told(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    damage.flip_bit(desk.wal / desk.segments[1], 24)  # the system identifier
    assert desk.push(program, desk.segments[0]).status == 0
    failed = desk.push(program, desk.segments[1])
    assert failed.status == 44
    assert "system id" in failed.error and "HINT" in failed.error
    wait(lambda: not on_duty(program))
    damage.flip_bit(desk.wal / desk.segments[1], 24)
    for name in desk.segments[1:]:
        assert desk.push(program, name).status == 0
    assert sorted(archived(program)) == desk.segments


def test_a_segment_with_other_content_is_never_stored(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    for name in desk.segments:
        assert desk.push(program, name).status == 0
    before = archived(program)
    wait(lambda: on_duty(program))
    damage.flip_bit(desk.wal / desk.segments[2], -1)
    desk.mark_ready(desk.segments[2])
    failed = desk.push(program, desk.segments[2])
    assert failed.status == 45
    assert "other content" in failed.error
    assert archived(program) == before


def test_an_acknowledgement_of_an_earlier_cluster_is_not_believed(desk: Desk, program: Holdfast) -> None:
    """The same name with other content, written after what was acknowledged: the cluster was set back or made anew."""
    desk.mark_ready(desk.segments[0])
    desk.push(program, desk.segments[0])
    assert names(out(program)) == [f"{desk.segments[0]}.ok"]
    damage.flip_bit(desk.wal / desk.segments[0], -1)  # and it is younger now
    desk.mark_ready(desk.segments[0])
    assert desk.push(program, desk.segments[0]).status == 45
    assert (desk.status / f"{desk.segments[0]}.ready").exists()


def test_a_failure_that_an_operator_forgives(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready(desk.segments[0])
    damage.flip_bit(desk.wal / desk.segments[0], 24)
    assert desk.push(program, desk.segments[0]).status == 44
    wait(lambda: not on_duty(program))
    (out(program) / f"{desk.segments[0]}.error").rename(out(program) / f"{desk.segments[0]}.ok")
    done = desk.push(program, desk.segments[0])
    assert done.status == 0
    assert "not in the archive but counts as archived: [44]" in done.error
    assert archived(program) == {}


def test_a_failure_of_everything_is_told(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    shutil.move(program.repository / "archive", program.repository / "away")
    failed = desk.push(program, desk.segments[0])
    assert failed.status == 103
    assert "repo1: [FileMissingError]" in failed.error
    assert names(out(program)) == ["global.error"]
    shutil.move(program.repository / "away", program.repository / "archive")
    assert desk.push(program, desk.segments[0]).status == 0


def test_one_repository_that_fails_does_not_keep_wal_from_the_other(
    desk: Desk, make: Callable[..., Holdfast], workshop: Workshop
) -> None:
    """Although PostgreSQL stays with the first segment, the good one gets all: and each once."""
    program = make(repo2_path=account.make_directory(workshop.path("repo"), 0o750), repo2_cipher_type="none")
    info = program.repository / "archive" / "main"
    shutil.move(info, info.with_name("away"))
    desk.mark_ready()
    failed = desk.push(program, desk.segments[0])
    assert failed.status == 104
    assert "repo1: [FileMissingError]" in failed.error and "repo2" not in failed.error
    wait(lambda: not on_duty(program))
    assert sorted(archived(program, 2)) == desk.segments
    assert names(out(program)) == [f"{name}.error" for name in desk.segments]
    text = log(program)
    assert desk.push(program, desk.segments[0]).status == 104
    wait(lambda: not on_duty(program))
    assert 1 <= log(program)[len(text) :].count("could not push") < COUNT  # what was handed out before one failed
    shutil.move(info.with_name("away"), info)
    for name in desk.segments:
        done = desk.push(program, name)
        assert done.status == 0, done.error
        assert "repo2: WAL file" in done.error  # it was there already
    assert sorted(archived(program, 1)) == sorted(archived(program, 2)) == desk.segments


def test_a_queue_that_is_too_long_is_dropped_loudly(desk: Desk, make: Callable[..., Holdfast]) -> None:
    program = make(archive_push_queue_max="2MiB")
    for name in desk.segments[:3]:
        desk.mark_ready(name)
    for name in desk.segments[:3]:
        done = desk.push(program, name)
        assert done.status == 0
        assert f"dropped WAL file '{name}'" in done.error
    assert archived(program) == {}
    # As soon as the queue is short enough, archiving goes on.
    desk.mark_ready(*desk.segments[3:5])
    assert desk.push(program, desk.segments[3]).error == ""
    assert sorted(archived(program))[0] == desk.segments[3]


def test_a_file_that_postgresql_has_not_marked_is_pushed_at_once(desk: Desk, program: Holdfast) -> None:
    done = desk.push(program, desk.segments[3], log_level_console="info")
    assert done.status == 0 and "asynchronously" not in done.error
    assert list(archived(program)) == [desk.segments[3]]
    assert not on_duty(program)


@pytest.mark.parametrize("fault", ["begin=exit:1", "exec=exit:1", "acknowledge=kill"])
def test_where_the_background_dies_without_a_word_the_foreground_works(
    desk: Desk, program: Holdfast, fault: str
) -> None:
    program.environ["HOLDFAST_FAULTS"] = f"archive.async.{fault}"
    desk.mark_ready()
    done = desk.push(program, desk.segments[0])
    assert done.status == 0
    assert "is now pushed here" in done.error
    assert desk.segments[0] in archived(program)


def test_where_there_can_be_no_background_the_foreground_works(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    program.configure(cmd="/nonexistent/holdfast")
    done = desk.push(program, desk.segments[0])
    assert done.status == 0
    assert "/nonexistent/holdfast" in done.error
    program.configure(cmd=None)
    shutil.rmtree(program.base / "spool")
    account.write_file(program.base / "spool", "")
    done = desk.push(program, desk.segments[1])
    assert done.status == 0
    assert "archive-async does not work" in done.error and "spool" in done.error
    assert sorted(archived(program)) == desk.segments[:2]


def test_a_background_that_hangs_is_not_waited_for_longer_than_archive_timeout(
    desk: Desk, make: Callable[..., Holdfast]
) -> None:
    program = make(archive_timeout="1s")
    program.environ["HOLDFAST_FAULTS"] = "archive.async.begin=stop"
    desk.mark_ready()
    failed = desk.push(program, desk.segments[0])
    assert failed.status == 82
    assert "main-archive-push-async.log" in failed.error
    program.environ.clear()
    (hung,) = on_duty(program)
    assert desk.push(program, desk.segments[0]).status == 82
    os.kill(hung, signal.SIGKILL)
    assert desk.push(program, desk.segments[0]).status == 0


def test_the_stanza_can_be_worked_on_while_the_background_watches(desk: Desk, program: Holdfast) -> None:
    desk.mark_ready()
    desk.push(program, desk.segments[0])
    (process,) = on_duty(program)
    program.run("stanza-create", online=False)
    program.run("stanza-upgrade", online=False)
    assert on_duty(program) == [process]


def test_without_header_check_other_wal_is_archived(desk: Desk, make: Callable[..., Holdfast]) -> None:
    program = make(archive_header_check=False, compress_type="lz4")
    damage.flip_bit(desk.wal / desk.segments[0], 24)
    desk.mark_ready()
    assert desk.push(program, desk.segments[0]).status == 0
    assert archived(program)[desk.segments[0]].suffix == ".lz4"


def test_partial_segments_and_labels_of_backups_go_along(desk: Desk, program: Holdfast) -> None:
    partial, label = f"{desk.segments[0]}.partial", f"{desk.segments[0]}.00000028.backup"
    account.write_file(desk.wal / partial, (desk.wal / desk.segments[0]).read_bytes())
    account.write_file(desk.wal / label, "START WAL LOCATION\n")
    desk.mark_ready(partial, label)
    for name in (label, partial):
        assert desk.push(program, name).status == 0
    assert sorted(archived(program)) == sorted([partial, label])
    for name in (partial, label):
        assert desk.get(program, name).status == 0
        assert same(desk, name)


# -- get


@pytest.fixture
def full(desk: Desk, program: Holdfast) -> Holdfast:
    """A program with all segments in the archive, and nothing running."""
    for name in desk.segments:
        assert desk.push(program, name).status == 0
    return program


def prefetched(program: Holdfast) -> list[str]:
    return [name for name in names(into(program)) if len(name) == 24]


def test_one_request_fetches_what_follows(desk: Desk, full: Holdfast) -> None:
    assert desk.get(full, desk.segments[0]).status == 0
    assert same(desk, desk.segments[0])
    wait(lambda: not on_duty(full))  # at the end of the archive
    assert prefetched(full) == desk.segments[1:]
    with without_engine(desk, full):
        for name in desk.segments[1:]:
            assert desk.get(full, name).status == 0
            assert same(desk, name)
    assert prefetched(full) == []


def test_the_queue_is_as_long_as_it_may_be_and_refilled(desk: Desk, full: Holdfast) -> None:
    full.configure(archive_get_queue_max="2MiB")
    assert desk.get(full, desk.segments[0]).status == 0
    wait(lambda: prefetched(full) == desk.segments[1:3])
    assert on_duty(full)
    assert desk.get(full, desk.segments[1]).status == 0
    wait(lambda: prefetched(full) == desk.segments[2:4])


def test_it_may_end_when_the_queue_is_full(desk: Desk, full: Holdfast) -> None:
    full.configure(archive_get_queue_max="2MiB", archive_async_linger=0)
    assert desk.get(full, desk.segments[0]).status == 0
    wait(lambda: not on_duty(full))
    assert prefetched(full) == desk.segments[1:3]
    # The foreground has it refilled when half is gone.
    assert desk.get(full, desk.segments[1]).status == 0
    wait(lambda: prefetched(full) == desk.segments[2:4] and not on_duty(full))


def test_what_is_not_there_is_said_quickly(desk: Desk, full: Holdfast) -> None:
    begin = time.monotonic()
    assert desk.get(full, "0000000100000000000000FF").status == 1
    assert desk.get(full, "00000007.history").status == 1
    assert time.monotonic() - begin < 5
    assert not desk.fetched.exists()
    assert not on_duty(full)


def test_a_segment_that_was_missing_is_looked_for_again(desk: Desk, full: Holdfast) -> None:
    (path,) = [path for name, path in archived(full).items() if name == desk.segments[3]]
    path.rename(path.with_name("away"))
    assert desk.get(full, desk.segments[0]).status == 0
    wait(lambda: not on_duty(full))
    assert prefetched(full) == desk.segments[1:3]  # what comes after a gap is of no use
    assert (into(full) / f"{desk.segments[3]}.ok").exists()
    path.with_name("away").rename(path)
    assert desk.get(full, desk.segments[3], archive_missing_retry=False).status == 1
    assert desk.get(full, desk.segments[3]).status == 0


def test_a_request_from_elsewhere_moves_the_queue(desk: Desk, full: Holdfast) -> None:
    """As after a switch to another timeline: what was fetched ahead is thrown away."""
    full.configure(archive_get_queue_max="2MiB")
    assert desk.get(full, desk.segments[3]).status == 0
    wait(lambda: prefetched(full) == desk.segments[4:6])
    (process,) = on_duty(full)
    assert desk.get(full, desk.segments[0]).status == 0
    wait(lambda: prefetched(full) == desk.segments[1:3])
    assert on_duty(full) == [process]
    assert desk.get(full, desk.segments[1]).status == 0 and same(desk, desk.segments[1])


def test_a_damaged_copy_is_fetched_from_the_other_repository(
    desk: Desk, make: Callable[..., Holdfast], workshop: Workshop
) -> None:
    program = make(repo2_path=account.make_directory(workshop.path("repo"), 0o750), compress_type="gz")
    for name in desk.segments:
        desk.push(program, name)
    stored = archived(program)
    for name in desk.segments[:2]:
        damage.flip_bit(stored[name])
    done = desk.get(program, desk.segments[0])
    assert done.status == 0 and same(desk, desk.segments[0])
    assert "repo1: [" in done.error
    wait(lambda: not on_duty(program))
    done = desk.get(program, desk.segments[1])  # from the spool, with the warning
    assert done.status == 0 and same(desk, desk.segments[1])
    assert "repo1: [" in done.error


def test_what_cannot_be_fetched_ahead_fails_only_when_it_is_asked_for(desk: Desk, full: Holdfast) -> None:
    damage.flip_bit(archived(full)[desk.segments[2]])
    assert desk.get(full, desk.segments[0]).status == 0
    wait(lambda: not on_duty(full))
    assert f"{desk.segments[2]}.error" in names(into(full))
    assert prefetched(full) == [desk.segments[1], *desk.segments[3:]]
    failed = desk.get(full, desk.segments[2])
    assert failed.status == 42
    assert "repo1: [" in failed.error


def test_segments_of_another_cluster_or_another_boot_are_not_delivered(desk: Desk, full: Holdfast) -> None:
    full.configure(archive_async_linger=0, archive_get_queue_max="3MiB")
    desk.get(full, desk.segments[0])
    wait(lambda: not on_duty(full))
    assert len(prefetched(full)) == 3
    for change in ("another-boot 1\n", ""):
        account.write_file(into(full) / "origin", change)
        damage.flip_bit(into(full) / desk.segments[1])
        assert desk.get(full, desk.segments[1]).status == 0
        assert same(desk, desk.segments[1])
        wait(lambda: not on_duty(full))
        account.write_file(into(full) / desk.segments[1], b"stale")


def test_a_spool_that_cannot_be_used_stops_no_recovery(desk: Desk, full: Holdfast) -> None:
    shutil.rmtree(full.base / "spool")
    account.write_file(full.base / "spool", "")
    done = desk.get(full, desk.segments[0])
    assert done.status == 0 and same(desk, desk.segments[0])
    assert "archive-async does not work" in done.error


def test_a_background_that_dies_stops_no_recovery(desk: Desk, full: Holdfast) -> None:
    full.environ["HOLDFAST_FAULTS"] = "archive.async.fetched=kill"
    for name in desk.segments:
        assert desk.get(full, name).status == 0
        assert same(desk, name)


def test_pushing_and_getting_do_not_wait_for_each_other(desk: Desk, program: Holdfast) -> None:
    """A standby with archive_mode=always."""
    desk.mark_ready()
    assert desk.push(program, desk.segments[0]).status == 0
    wait(lambda: len(names(out(program))) >= COUNT)
    assert desk.get(program, desk.segments[0]).status == 0
    wait(lambda: prefetched(program) == desk.segments[1:])
    for name in desk.segments[1:]:
        assert desk.get(program, name).status == 0
        assert desk.push(program, name).status == 0
