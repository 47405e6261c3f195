# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a program that goes on after us: own session, no terminal, none of our files, working directory /.

The program tells us through a pipe that it has been started, or why not; the pipe closes by itself at that moment.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from contextlib import suppress

from . import faults
from .errors import ExecuteError

_DESCRIPTORS = 1024  # are closed; we open few, and what PostgreSQL opens does not pass an exec


def start_detached(argv: Sequence[str]) -> int:
    """Start argv[0], a path or a name in PATH; returns its process id. ExecuteError when that cannot be done."""
    reader, writer = os.pipe()
    try:
        child = os.fork()
        if child == 0:
            _leave(argv, writer)
        os.close(writer)
        writer = -1
        os.waitpid(child, 0)
        answer = _read_all(reader)
    except OSError as error:
        raise ExecuteError(f"cannot start a background process: {error.strerror}") from error
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    pid, _blank, failure = answer.partition(" ")
    if not pid or failure:
        reason = os.strerror(int(failure)) if failure else "it ended at once"
        raise ExecuteError(
            f"cannot start '{argv[0]}' in the background: {reason}", "option cmd names the program to start"
        )
    return int(pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True


def _leave(argv: Sequence[str], writer: int) -> None:
    """In the child: become the program, or end."""
    try:
        os.setsid()
        if os.fork() > 0:  # the grandchild leads no session, so it can never get a terminal
            os._exit(0)
        os.write(writer, b"%d" % os.getpid())
        null = os.open(os.devnull, os.O_RDWR)
        for standard in range(3):
            os.dup2(null, standard)
        os.closerange(3, writer)
        os.closerange(writer + 1, _DESCRIPTORS)
        os.chdir("/")
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        faults.point("archive.async.exec")
        os.execvp(argv[0], list(argv))
    except OSError as error:
        with suppress(OSError):
            os.write(writer, b" %d" % (error.errno or 0))
    finally:
        os._exit(127)


def _read_all(reader: int) -> str:
    answer = b""
    while piece := os.read(reader, 64):
        answer += piece
    return answer.decode("ascii")
