# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The launcher answers by itself only what the engine would answer in the same way, in every shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import options, spool
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import fast_path
from ansible_collections.holdfast.postgres.plugins.module_utils._launcher import render_launcher

SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"]]
SEGMENT = "00000001000000000000000A"
ENGINE = 77  # exit status of what stands in for the engine
OLD = 1_000_000_000  # s; long before the tests

PUSH = ("archive-push", f"pg_wal/{SEGMENT}")
GET = ("archive-get", SEGMENT, "pg_wal/RECOVERYXLOG")


class Host:
    """A data directory, a configuration, and a launcher that has a script in place of the engine."""

    def __init__(self, base: Path, shell: list[str]) -> None:
        self.base = base
        self.data = base / "data"
        self.lock = base / "lock"
        self.spool = base / "spool"
        for path in (self.data / "pg_wal", self.lock, self.spool, base / "etc" / "conf.d"):
            path.mkdir(parents=True)
            os.utime(path, (OLD, OLD))
        for name in ("PG_VERSION", "postmaster.pid", f"pg_wal/{SEGMENT}"):
            self.write(self.data / name, "x")
        self.configure()
        self.options = [f"--config-path={base}/etc", "--stanza=main"]
        engine = base / "the engine"
        self.write(engine, f"#!/bin/sh\necho \"$HOLDFAST_FAST_PATH|$*\"\nexit {ENGINE}\n")
        engine.chmod(0o755)
        launcher = base / "holdfast"
        self.write(launcher, render_launcher([str(engine)], str(self.spool)))
        self.argv = [str(shutil.which(shell[0])), *shell[1:], str(launcher)]
        self.environ = {"PATH": os.environ["PATH"]}

    def write(self, path: Path, text: str, seconds: float = OLD) -> None:
        """A file, as old as everything here unless it is told otherwise."""
        path.write_text(text)
        os.utime(path, (seconds, seconds))
        os.utime(path.parent, (OLD, OLD))

    def configure(self, more: str = "") -> None:
        text = f"[global]\narchive-async=y\nspool-path={self.spool}\nlock-path={self.lock}\n{more}"
        self.write(self.base / "etc" / "holdfast.conf", f"{text}\n[main]\npg1-path={self.data}\n")

    def leave(self, *command: str, environ: dict[str, str] | None = None) -> Path:
        """What the engine leaves when it has run for a command; the path of the file of facts."""
        variables = {"HOLDFAST_FAST_PATH": f"{self.spool}/fast", **(environ or {})}
        config = options.load([*self.options, *command], variables)
        if command[0] == "archive-push":
            fast_path.leave_push_facts(config, str(self.data), self.push)
        else:
            fast_path.leave_get_facts(config, str(self.data), self.get)
        return self.spool / "fast" / f"main-{command[0]}"

    @property
    def push(self) -> spool.PushSpool:
        return spool.PushSpool(str(self.spool), "main")

    @property
    def get(self) -> spool.GetSpool:
        return spool.GetSpool(str(self.spool), "main")

    def acknowledge(self, *warnings: str) -> None:
        self.push.create()
        self.push.acknowledge(SEGMENT, OLD * 10**9, warnings)

    def prefetch(self) -> None:
        self.get.create()
        Path(self.get.place(SEGMENT)).write_text("fetched")

    def run(self, *command: str, cwd: Path | None = None) -> int:
        self.done = subprocess.run(
            [*self.argv, *self.options, *command], check=False, cwd=cwd or self.data, env=self.environ,
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return self.done.returncode


@pytest.fixture(params=SHELLS, ids=lambda words: words[0])
def shell(request: pytest.FixtureRequest) -> list[str]:
    assert shutil.which(request.param[0]), f"{request.param[0]} is not installed"
    return request.param


@pytest.fixture
def host(tmp_path: Path, shell: list[str]) -> Host:
    made = Host(tmp_path / "it's a \"host\" äö", shell) if shell[0] == "dash" else Host(tmp_path / "a host", shell)
    made.acknowledge()
    made.prefetch()
    for command in (PUSH, GET):
        made.leave(*command)
    return made


# -- what it answers


def test_an_acknowledged_segment_needs_no_engine(host: Host) -> None:
    for _time in range(2):  # PostgreSQL asks again after a crash
        assert host.run(*PUSH) == 0
        assert (host.done.stdout, host.done.stderr) == ("", "")


def test_a_prefetched_segment_needs_no_engine(host: Host) -> None:
    assert host.run(*GET) == 0
    assert (host.done.stdout, host.done.stderr) == ("", "")
    assert (host.data / "pg_wal" / "RECOVERYXLOG").read_text() == "fetched"
    assert not host.get.holds(SEGMENT)
    assert host.run(*GET) == ENGINE
    assert (host.data / "pg_wal" / "RECOVERYXLOG").read_text() == "fetched"


def test_what_is_in_the_way_is_replaced(host: Host) -> None:
    (host.data / "pg_wal" / "RECOVERYXLOG").write_text("left by a crash")
    assert host.run(*GET) == 0
    assert (host.data / "pg_wal" / "RECOVERYXLOG").read_text() == "fetched"


def test_the_spool_may_be_on_another_file_system(host: Host) -> None:
    other = Path("/dev/shm") / f"holdfast-test-{os.getpid()}"
    if not other.parent.is_dir() or other.parent.stat().st_dev == host.data.stat().st_dev:
        pytest.skip("/dev/shm is not another file system")
    other.mkdir()
    try:
        elsewhere = spool.GetSpool(str(other), "main")
        elsewhere.create()
        Path(elsewhere.place(SEGMENT)).write_text("from afar")
        config = options.load([*host.options, *GET], {"HOLDFAST_FAST_PATH": f"{host.spool}/fast"})
        fast_path.leave_get_facts(config, str(host.data), elsewhere)
        assert host.run(*GET) == 0
        assert (host.data / "pg_wal" / "RECOVERYXLOG").read_text() == "from afar"
    finally:
        shutil.rmtree(other)


def test_the_working_directory_may_be_a_link_to_the_data_directory(host: Host) -> None:
    link = host.base / "link"
    link.symlink_to(host.data)
    assert host.run(*PUSH, cwd=link) == 0


def test_a_segment_on_its_way_is_waited_for(host: Host) -> None:
    Path(host.push.path, f"{SEGMENT}.ok").unlink()
    (host.lock / "main-archive-push-1.lock").touch()
    process = subprocess.Popen([*host.argv, *host.options, *PUSH], cwd=host.data, env=host.environ)
    time.sleep(0.1)
    host.acknowledge()
    assert process.wait(10) == 0
    assert host.run(*PUSH) == 0


def test_without_a_background_process_nothing_is_waited_for(host: Host) -> None:
    Path(host.push.path, f"{SEGMENT}.ok").unlink()
    begin = time.monotonic()
    assert host.run(*PUSH) == ENGINE
    assert time.monotonic() - begin < 0.3


def test_a_failure_is_not_waited_for(host: Host) -> None:
    Path(host.push.path, f"{SEGMENT}.ok").unlink()
    Path(host.push.path, f"{SEGMENT}.error").write_text("45\nx")
    (host.lock / "main-archive-push-1.lock").touch()
    begin = time.monotonic()
    assert host.run(*PUSH) == ENGINE
    assert time.monotonic() - begin < 0.3


def test_a_background_process_that_was_killed_costs_a_moment(host: Host) -> None:
    Path(host.push.path, f"{SEGMENT}.ok").unlink()
    (host.lock / "main-archive-push-1.lock").touch()
    assert host.run(*PUSH) == ENGINE


# -- what it leaves to the engine


def unlink(*parts: str) -> Callable[[Host], object]:
    return lambda host: host.base.joinpath(*parts).unlink()


def touch(*parts: str, seconds: float | None = None) -> Callable[[Host], object]:
    """Write something anew, now unless seconds say when."""

    def change(host: Host) -> None:
        path = host.base.joinpath(*parts)
        path.touch()
        os.utime(path, None if seconds is None else (seconds, seconds))

    return change


def set_variable(name: str) -> Callable[[Host], object]:
    return lambda host: host.environ.update({name: ""})


def use_options(*words: str) -> Callable[[Host], object]:
    return lambda host: setattr(host, "options", [word.format(base=host.base) for word in words])


FACTS = ("spool", "fast")
CHANGES: dict[str, Callable[[Host], Any]] = {
    "no facts": lambda host: [path.unlink() for path in (host.spool / "fast").iterdir()],
    "facts of another form": lambda host: [
        host.write(path, path.read_text().replace("1\n", "2\n", 1), path.stat().st_mtime)
        for path in (host.spool / "fast").iterdir()
    ],
    "half of the facts": lambda host: [
        host.write(path, "\n".join(path.read_text().splitlines()[:3]), path.stat().st_mtime)
        for path in (host.spool / "fast").iterdir()
    ],
    "the configuration has changed": touch("etc", "holdfast.conf"),
    "it has changed a second after it was read": lambda host: touch(
        "etc", "holdfast.conf", seconds=min(path.stat().st_mtime for path in (host.spool / "fast").iterdir()) + 1
    )(host),
    "a part of the configuration has been added": touch("etc", "conf.d", "more.conf"),
    "the configuration has been replaced by an older file": lambda host: (
        host.base.joinpath("old").write_text(""),
        os.utime(host.base / "old", (OLD, OLD)),
        os.rename(host.base / "old", host.base / "etc" / "holdfast.conf"),
    ),
    "the configuration is gone": unlink("etc", "holdfast.conf"),
    "the server was started": touch("data", "postmaster.pid"),
    "the cluster was made anew": touch("data", "PG_VERSION"),
    "another stanza": use_options("--config-path={base}/etc", "--stanza=other"),
    "another configuration": use_options("--config-path={base}/other", "--stanza=main"),
    "another option": use_options("--config-path={base}/etc", "--stanza=main", "--log-level-console=info"),
    "an option less": use_options("--stanza=main"),
    "another order": use_options("--stanza=main", "--config-path={base}/etc"),
    "no option": use_options(),
    "an unknown option": use_options("--config-path={base}/etc", "--stanza=main", "--no-such-option"),
    "a stanza that is a path": use_options("--config-path={base}/etc", "--stanza=../fast/main"),
    "an option of the environment": set_variable("HOLDFAST_ARCHIVE_ASYNC"),
    "a stanza of the environment": set_variable("HOLDFAST_STANZA"),
    "a data directory of the environment": set_variable("HOLDFAST_PG1_PATH"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=[name.replace(" ", "_") for name in CHANGES])
def test_whatever_is_unusual_starts_the_engine(host: Host, change: Callable[[Host], object]) -> None:
    change(host)
    for command in (PUSH, GET):
        assert host.run(*command) == ENGINE
        assert host.done.stdout.strip() == f"{host.spool}/fast|{' '.join([*host.options, *command])}"
        assert host.done.stderr == ""
    assert host.get.holds(SEGMENT)


def test_another_working_directory_starts_the_engine(host: Host, tmp_path: Path) -> None:
    for command in (PUSH, GET):
        assert host.run(*command, cwd=tmp_path) == ENGINE


@pytest.mark.parametrize("name", ["main.stop", "all.stop"])
def test_a_stop_file_is_for_push_only(host: Host, name: str) -> None:
    host.write(host.lock / name, "")
    assert host.run(*PUSH) == ENGINE
    assert host.run(*GET) == 0


def test_warnings_are_told_by_the_engine(host: Host) -> None:
    host.acknowledge("a warning")
    assert host.run(*PUSH) == ENGINE
    host.get.warn(SEGMENT, ["a warning"])
    assert host.run(*GET) == ENGINE


def test_an_acknowledgement_of_other_content_is_none(host: Host) -> None:
    host.write(host.data / "pg_wal" / SEGMENT, "other", OLD + 5)
    assert host.run(*PUSH) == ENGINE


def test_what_was_fetched_before_a_crash_of_the_machine_is_not_delivered(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    earlier = tmp_path / "boot_id"
    earlier.write_text("another-run\n")
    monkeypatch.setattr(spool, "BOOT_ID", str(earlier))
    (host.spool / "fast" / "main-archive-get").unlink()
    host.leave(*GET)
    assert host.run(*GET) == ENGINE


def test_a_move_that_fails_is_left_to_the_engine(host: Host) -> None:
    (host.data / "pg_wal" / "RECOVERYXLOG").mkdir()
    assert host.run(*GET) == ENGINE
    (host.data / "pg_wal" / "RECOVERYXLOG").rmdir()
    host.environ["PATH"] = "/nonexistent"
    if "busybox" not in host.argv[0]:  # has mv built in
        assert host.run(*GET) == ENGINE
    assert host.get.holds(SEGMENT)
    assert host.done.stderr == ""


OTHERS = [
    (),
    ("version",),
    ("archive-push",),
    ("archive-get", SEGMENT),
    ("archive-push:async", "pg_wal"),
    ("archive-push", f"pg_wal/{SEGMENT}", "more"),
    ("archive-push", SEGMENT),
    ("archive-push", f"other/{SEGMENT}"),
    ("archive-push", f"pg_wal/../pg_wal/{SEGMENT}"),
    ("archive-push", f"pg_wal/{SEGMENT}.partial"),
    ("archive-push", "pg_wal/00000002.history"),
    ("archive-push", f"pg_wal/{SEGMENT.lower()}"),
    ("archive-push", "--dry-run", f"pg_wal/{SEGMENT}"),
    ("archive-push", f"pg_wal/{SEGMENT}", "--dry-run"),
    ("archive-get", "00000002.history", "pg_wal/RECOVERYHISTORY"),
    ("archive-get", "--repo=1", SEGMENT, "pg_wal/RECOVERYXLOG"),
    ("archive-get", SEGMENT, "RECOVERYXLOG"),
    ("archive-get", SEGMENT, "-f"),
    ("archive-get", f"{SEGMENT}*", "pg_wal/RECOVERYXLOG"),
    ("archive-get", "????????????????????????", "pg_wal/RECOVERYXLOG"),
]


@pytest.mark.parametrize("command", OTHERS, ids="_".join)
def test_other_commands_and_parameters_start_the_engine(host: Host, command: tuple[str, ...]) -> None:
    assert host.run(*command) == ENGINE
    assert host.done.stdout.rstrip("\n") == f"{host.spool}/fast|{' '.join([*host.options, *command])}"


# -- when the engine leaves facts


@pytest.fixture
def plain(tmp_path: Path) -> Host:
    made = Host(tmp_path, ["dash"])
    made.push.create()
    made.get.create()
    return made


def test_facts_are_replaced_only_when_they_must_be(plain: Host) -> None:
    path = plain.leave(*PUSH)
    first = path.stat()
    time.sleep(0.01)
    assert plain.leave(*PUSH).stat().st_ino == first.st_ino
    plain.configure("# changed\n")
    now = time.time() + 2
    os.utime(plain.base / "etc" / "holdfast.conf", (now, now))
    assert plain.leave(*PUSH).stat().st_ino != first.st_ino
    assert sorted(os.listdir(path.parent)) == ["main-archive-push"]


def test_facts_are_older_than_the_reading_of_the_configuration(plain: Host) -> None:
    begin = time.time()
    assert plain.leave(*PUSH).stat().st_mtime < begin - 0.999


@pytest.mark.parametrize(
    "words",
    [["--log-level-console=info"], ["--log-level-stderr=detail"], ["--log-level-file=info"], ["--pg1-path=/a\tb"],
     ["--pg1-path=/a\nb"]],
    ids=["console", "stderr", "file", "tab", "line"],
)  # fmt: skip
def test_unusual_options_leave_no_facts(plain: Host, words: list[str]) -> None:
    plain.options += words
    assert not plain.leave(*PUSH).exists()


def test_the_stanza_has_to_be_where_the_launcher_looks(plain: Host) -> None:
    plain.options[1:] = ["--stanza", "main"]
    assert not plain.leave(*PUSH).exists()


def test_a_process_that_does_not_stay_leaves_no_facts_for_get(plain: Host) -> None:
    plain.configure("archive-async-linger=0\n")
    assert not plain.leave(*GET).exists()
    assert plain.leave(*PUSH).exists()


@pytest.mark.parametrize("name", ["LOCK_PATH", "SPOOL_PATH", "PG1_PATH", "CONFIG_PATH"])
def test_options_of_the_environment_leave_no_facts(plain: Host, name: str) -> None:
    value = {"PG1_PATH": plain.data, "CONFIG_PATH": plain.base / "etc"}.get(name, plain.base)
    plain.options = [word for word in plain.options if name != "CONFIG_PATH" or "config" not in word]
    assert not plain.leave(*PUSH, environ={f"HOLDFAST_{name}": str(value)}).exists()


def test_a_place_that_cannot_be_written_is_no_failure(plain: Host) -> None:
    (plain.spool / "fast").write_text("in the way")
    assert not plain.leave(*PUSH).exists()


def test_an_engine_without_launcher_leaves_no_facts(plain: Host) -> None:
    config = options.load([*plain.options, *PUSH], {})
    fast_path.leave_push_facts(config, str(plain.data), plain.push)
    assert not (plain.spool / "fast").exists()
