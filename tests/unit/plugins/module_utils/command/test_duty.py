# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import options
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import duty
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.lock import StanzaLock, create_stop


class Host:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.data = base / "data"
        self.program = base / "holdfast"
        for path in (self.data, base / "conf.d", base / "lock"):
            path.mkdir()
        self.program.touch()
        (self.data / "postmaster.pid").write_text(f"{os.getpid()}\n{self.data}\n")
        (base / "holdfast.conf").write_text(
            f"[global]\nlock-path={base}/lock\ncmd={self.program}\n[main]\npg1-path={self.data}\n"
        )
        self.config = options.load(["--stanza=main", f"--config-path={base}", "archive-push:async", "x"], {})


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def lock(host: Host) -> Iterator[StanzaLock]:
    with StanzaLock(f"{host.base}/lock", "main", ["archive-push"], [1], "1-0") as held:
        yield held


ENDS: dict[str, Callable[[Host], object]] = {
    "lock file": lambda host: (host.base / "lock" / "main-archive-push-1.lock").unlink(),
    "configuration": lambda host: (host.base / "holdfast.conf").write_text("[global]\n"),
    "configuration or": lambda host: (host.base / "conf.d" / "more.conf").touch(),
    "program has changed": lambda host: (host.program.unlink(), host.program.touch()),
    "main is stopped": lambda host: create_stop(f"{host.base}/lock", "main"),
    "stop file": lambda host: create_stop(f"{host.base}/lock", None),
    "no PostgreSQL runs": lambda host: (host.data / "postmaster.pid").unlink(),
    "no PostgreSQL": lambda host: (host.data / "postmaster.pid").write_text("4194304999\n"),
}


@pytest.mark.parametrize("reason", ENDS)
def test_it_is_over_when(host: Host, lock: StanzaLock, reason: str) -> None:
    watch = duty.Duty(host.config, lock, str(host.data), obeys_stop=True)
    assert watch.reason() == ""
    ENDS[reason](host)
    assert reason in watch.reason()


def test_a_file_of_the_same_age_and_size_in_its_place_is_another_configuration(host: Host, lock: StanzaLock) -> None:
    watch = duty.Duty(host.config, lock, str(host.data), obeys_stop=True)
    path = host.base / "holdfast.conf"
    status = path.stat()
    path.write_text(path.read_text().replace("main", "niam"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert "configuration" in watch.reason()


def test_getting_does_not_obey_stop_files(host: Host, lock: StanzaLock) -> None:
    watch = duty.Duty(host.config, lock, str(host.data), obeys_stop=False)
    create_stop(f"{host.base}/lock", "main")
    assert watch.reason() == ""


def test_it_looks_once_in_a_while_and_remembers(
    host: Host, lock: StanzaLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = duty.Duty(host.config, lock, str(host.data), obeys_stop=True)
    pid = (host.data / "postmaster.pid").read_text()
    (host.data / "postmaster.pid").unlink()
    assert watch.over() == ""
    monkeypatch.setattr(duty, "INTERVAL", 0.0)
    assert "PostgreSQL" in watch.over()
    (host.data / "postmaster.pid").write_text(pid)
    assert "PostgreSQL" in watch.over()


def test_a_server_that_died_is_told_from_one_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "postmaster.pid"
    assert not duty.server_runs(str(tmp_path))
    for text in ("", "x\n", "0\n"):
        path.write_text(text)
        assert not duty.server_runs(str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        for text in (f"{process.pid}\n", f"-{process.pid}\n"):  # a standalone backend
            path.write_text(text)
            assert duty.server_runs(str(tmp_path))
    path.write_text(f"{process.pid}\n")
    assert not duty.server_runs(str(tmp_path))


def test_a_long_run_leaves_the_archive_lock_free_for_a_moment(
    host: Host, lock: StanzaLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = duty.Duty(host.config, lock, str(host.data), obeys_stop=True)
    monkeypatch.setattr(duty, "GAP", 0.2)
    for limit, least in ((100.0, 0.0), (0.0, 0.2)):
        monkeypatch.setattr(duty, "ROUND", limit)
        begin = time.monotonic()
        with watch.share():
            assert (host.base / "lock" / "main-archive-1.lock").exists()
        assert time.monotonic() - begin >= least
        assert not (host.base / "lock" / "main-archive-1.lock").exists()
