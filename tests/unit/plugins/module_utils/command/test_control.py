# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import lock
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.control import start, stop
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import StopError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load

HOLD = """\
import fcntl, json, os, sys, time
for path in sys.argv[1:]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.write(descriptor, json.dumps({"execId": "1-00000000", "pid": os.getpid()}).encode())
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def configured(tmp_path):
    def make(argv):
        return load(["--no-config", f"--lock-path={tmp_path}/lock", *argv.split()], {})

    return make


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds locks of these names."""
    processes = []

    def make(*names):
        os.makedirs(tmp_path / "lock", exist_ok=True)
        argv = [sys.executable, "-c", HOLD, *(f"{tmp_path}/lock/{name}" for name in names)]
        processes.append(subprocess.Popen(argv, stdout=subprocess.PIPE))
        assert processes[-1].stdout.readline() == b"ready\n"
        return processes[-1]

    yield make
    for process in processes:
        process.kill()
        process.communicate(timeout=30)


def files(tmp_path):
    return sorted(os.listdir(tmp_path / "lock"))


def test_stop_forbids_and_start_allows_again(configured, tmp_path):
    outcome = stop(configured("--stanza=main stop"))
    assert outcome.changed
    assert outcome.facts == {"stop_file": f"{tmp_path}/lock/main.stop", "terminated": []}
    with pytest.raises(StopError):
        lock.check_stop(f"{tmp_path}/lock", "main")
    assert start(configured("--stanza=main start")).changed
    lock.check_stop(f"{tmp_path}/lock", "main")


def test_one_stanza_and_all_stanzas_know_nothing_of_each_other(configured, tmp_path, caplog):
    stop(configured("--stanza=main stop"))
    stop(configured("stop"))
    assert files(tmp_path) == ["all.stop", "main.stop"]
    assert start(configured("start")).changed
    assert files(tmp_path) == ["main.stop"]
    assert not start(configured("start")).changed
    assert "all.stop' does not exist" in caplog.text


def test_to_stop_twice_is_a_warning_even_with_force(configured, tmp_path, holder, caplog):
    stop(configured("--stanza=main stop"))
    process = holder("main-backup-1.lock")
    outcome = stop(configured("--stanza=main --force stop"))
    assert not outcome.changed
    assert "exists already" in caplog.text
    assert process.poll() is None
    assert files(tmp_path) == ["main-backup-1.lock", "main.stop"]


def test_force_ends_each_holder_of_the_stanza_once(configured, tmp_path, holder):
    victim = holder("main-archive-1.lock", "main-backup-1.lock")
    other = holder("main-two-backup-1.lock")
    outcome = stop(configured("--stanza=main --force stop"))
    assert outcome.facts["terminated"] == [victim.pid]
    assert victim.wait(timeout=30) == -signal.SIGTERM
    assert other.poll() is None, "main-two is another stanza"
    assert files(tmp_path) == ["main-two-backup-1.lock", "main.stop"]


def test_force_without_a_stanza_ends_all(configured, tmp_path, holder):
    victims = [holder("main-restore-1.lock"), holder("shop-backup-2.lock")]
    outcome = stop(configured("--force stop"))
    assert outcome.facts["terminated"] == sorted(victim.pid for victim in victims)
    assert [victim.wait(timeout=30) for victim in victims] == [-signal.SIGTERM] * 2
    assert files(tmp_path) == ["all.stop"]


def test_without_force_nobody_is_ended(configured, holder):
    process = holder("main-backup-1.lock")
    assert stop(configured("--stanza=main stop")).facts["terminated"] == []
    assert process.poll() is None


def test_a_lock_file_that_nobody_holds_is_removed_with_a_warning(configured, tmp_path, caplog):
    os.mkdir(tmp_path / "lock")
    (tmp_path / "lock" / "main-backup-1.lock").write_text(f'{{"execId":"1-0","pid":{os.getpid()}}}')
    outcome = stop(configured("--stanza=main --force stop"))
    assert outcome.facts["terminated"] == []
    assert "main-backup-1.lock" in caplog.text
    assert files(tmp_path) == ["main.stop"]
