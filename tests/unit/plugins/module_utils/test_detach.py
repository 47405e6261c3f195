# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.detach import is_alive, start_detached
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import ExecuteError

# What a background process finds; written whole, since the test waits for the file.
LOOK = """
import json, os, signal, sys
fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
found = {
    "pid": os.getpid(), "parent": os.getppid(), "session": os.getsid(0), "cwd": os.getcwd(), "argv": sys.argv[1:],
    "standard": [os.readlink(f"/proc/self/fd/{fd}") for fd in range(3)], "files": len(fds),
    "pipe": signal.getsignal(signal.SIGPIPE) == signal.SIG_IGN,
}
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(found, file)
os.rename(sys.argv[1] + ".new", sys.argv[1])
"""


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_program_has_left_us(tmp_path: Path) -> None:
    path = tmp_path / "found"
    with open(tmp_path / "open", "w") as inherited:
        os.set_inheritable(inherited.fileno(), True)
        pid = start_detached([sys.executable, "-I", "-c", LOOK, str(path), "an argument"])
        wait_for(path)
    found = json.loads(path.read_text())
    assert found["pid"] == pid
    assert found["session"] not in (pid, os.getsid(0))
    assert found["parent"] != os.getpid()
    assert found["cwd"] == "/"
    assert found["standard"] == [os.devnull] * 3
    assert found["files"] == 3
    assert found["argv"] == [str(path), "an argument"]
    deadline = time.monotonic() + 20
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_name_is_looked_up_in_the_path() -> None:
    pid = start_detached(["sleep", "60"])
    assert is_alive(pid)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("program", ["/nonexistent/holdfast", "/", "no-such-program-anywhere"])
def test_a_program_that_cannot_be_started_is_named(program: str) -> None:
    with pytest.raises(ExecuteError, match=f"'{program}'"):
        start_detached([program])


def test_no_child_is_left_behind() -> None:
    os.kill(start_detached(["sleep", "60"]), signal.SIGKILL)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
