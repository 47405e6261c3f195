# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import faults
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import ConfigError


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    faults.arm("")


def status_of(work: Callable[[], None]) -> int:
    """The wait status of a forked child that does the work; a stopped one is ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    _other, status = os.waitpid(pid, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return status


def test_unarmed_points_do_nothing() -> None:
    faults.point("here")


def test_raise() -> None:
    faults.arm("here=raise there=raise:ENOSPC")
    with pytest.raises(OSError, match="injected at here") as caught:
        faults.point("here")
    assert caught.value.errno == errno.EIO
    with pytest.raises(OSError, match="No space left") as caught:
        faults.point("there")
    assert caught.value.errno == errno.ENOSPC
    faults.point("elsewhere")
    faults.point("here")  # once only


def test_nth_time() -> None:
    faults.arm("here@3=raise here@5=raise")
    failed = []
    for time in range(1, 8):
        try:
            faults.point("here")
        except OSError:
            failed.append(time)
    assert failed == [3, 5]


def test_star_counts_every_point() -> None:
    faults.arm("*@2=raise")
    faults.point("one")
    with pytest.raises(OSError, match="injected at two"):
        faults.point("two")


def test_deaths() -> None:
    faults.arm("killed=kill ended=exit:7 stopped=stop")
    assert os.WTERMSIG(status_of(lambda: faults.point("killed"))) == signal.SIGKILL
    assert os.WEXITSTATUS(status_of(lambda: faults.point("ended"))) == 7
    assert os.WIFSTOPPED(status_of(lambda: faults.point("stopped")))


def test_the_environment_arms_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    monkeypatch.setenv("HOLDFAST_FAULTS", "here=raise")
    importlib.reload(faults)
    with pytest.raises(OSError, match="here"):
        faults.point("here")


@pytest.mark.parametrize(
    "text", ["here", "here=", "here=explode", "here=exit", "here=exit:x", "here@x=kill", "here=raise:NOPE"]
)
def test_a_bad_instruction_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="HOLDFAST_FAULTS"):
        faults.arm(text)
