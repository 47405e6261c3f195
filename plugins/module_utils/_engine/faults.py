# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named points at which a test may make us crash or fail.

HOLDFAST_FAULTS holds instructions, separated by blanks, each `point=action` or `point@n=action`: act the n-th time that
this process passes the point (default 1). The name `*` counts every point. The actions:

    kill          SIGKILL to ourselves: what a power failure or the out-of-memory killer leaves behind
    exit:N        end at once with status N, nothing cleaned up
    stop          SIGSTOP to ourselves: a process that hangs
    raise[:NAME]  OSError with that errno (default EIO)

Unset, as ever outside tests, a point costs one function call and one comparison.
"""

from __future__ import annotations

import errno
import os
import signal

from .errors import ConfigError

_armed: dict[str, list[tuple[int, str]]] = {}  # point -> (which time, action)
_passed: dict[str, int] = {}


def point(name: str) -> None:
    """Do here what a test asked for; the name is <module path>.<what comes next>."""
    if _armed:
        for pattern in (name, "*"):
            if pattern in _armed:
                _pass(pattern, name)


def arm(instructions: str) -> None:
    """Replace all instructions, and count from zero; an empty string disarms."""
    _passed.clear()
    _armed.clear()
    for instruction in instructions.split():
        where, _other, action = instruction.partition("=")
        name, _other, nth = where.partition("@")
        verb, _other, argument = action.partition(":")
        acceptable = {
            "kill": not argument,
            "stop": not argument,
            "exit": argument.isdigit(),
            "raise": hasattr(errno, argument or "EIO"),
        }
        if not (acceptable.get(verb) and (nth or "1").isdigit()):
            raise ConfigError(f"HOLDFAST_FAULTS: '{instruction}' is no instruction")
        _armed.setdefault(name, []).append((int(nth or "1"), action))


def _pass(pattern: str, name: str) -> None:
    _passed[pattern] = _passed.get(pattern, 0) + 1
    for nth, action in _armed[pattern]:
        if nth == _passed[pattern]:
            _act(action, name)


def _act(action: str, name: str) -> None:
    verb, _other, argument = action.partition(":")
    if verb == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif verb == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif verb == "exit":
        os._exit(int(argument))
    else:
        number = getattr(errno, argument or "EIO")
        raise OSError(number, f"{os.strerror(number)} (injected at {name})")


arm(os.environ.get("HOLDFAST_FAULTS", ""))
