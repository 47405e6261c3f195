# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the command line to the exit status. No other module prints, exits or handles signals.

run() is the part that the Ansible modules share: it takes a Config and hands back an Outcome or raises. An expected
failure is logged with its code and hints and never with a traceback; everything else is a bug and keeps it.
"""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from . import log as logs
from .errors import EngineError, FileWriteError, OptionInvalidError, TermError
from .log import log
from .options import Config, load, render_options
from .version import VERSION

if TYPE_CHECKING:
    # Never executed: Ansible packs into a module what it finds in import statements, and COMMAND_FUNCTIONS are names.
    from .command import (  # noqa: F401
        annotate,
        archive_get,
        archive_get_async,
        archive_push,
        archive_push_async,
        backup,
        check,
        checkpoint,
        control,
        expire,
        help,
        info,
        repo_files,
        restore,
        stanza,
        verify,
    )
    from .command.outcome import Outcome

UNEXPECTED = 125  # exit status after a bug
STOPS_RECOVERY = 128  # added to the status of an archive-get that failed: see _recovery_would_end()
ROOT = 0

COMMAND_FUNCTIONS = {
    "annotate": ("annotate", "annotate"),
    "archive-get": ("archive_get", "archive_get"),
    "archive-get:async": ("archive_get_async", "archive_get_async"),
    "archive-push": ("archive_push", "archive_push"),
    "archive-push:async": ("archive_push_async", "archive_push_async"),
    "backup": ("backup", "backup"),
    "check": ("check", "check"),
    "checkpoint": ("checkpoint", "checkpoint"),
    "expire": ("expire", "expire"),
    "help": ("help", "help"),
    "info": ("info", "info"),
    "repo-get": ("repo_files", "repo_get"),
    "repo-ls": ("repo_files", "repo_ls"),
    "restore": ("restore", "restore"),
    "stanza-create": ("stanza", "stanza_create"),
    "stanza-delete": ("stanza", "stanza_delete"),
    "stanza-upgrade": ("stanza", "stanza_upgrade"),
    "start": ("control", "start"),
    "stop": ("control", "stop"),
    "verify": ("verify", "verify"),
    "version": ("help", "version"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """argv: without the program; by default that of this process. Returns the exit status."""
    words = sys.argv[1:] if argv is None else argv
    status = _main(words)
    return status + STOPS_RECOVERY if status > 1 and "archive-get" in words and _recovery_would_end() else status


def _recovery_would_end() -> bool:
    """Whether PostgreSQL, in whose directory restore_command runs, is recovering and is no standby.

    It takes every status up to 125, also that of a repository it could not reach, for the end of the archive, and
    opens for business without the rest of the WAL. A standby asks again instead, and must not be stopped.
    """
    return os.path.exists("recovery.signal") and not os.path.exists("standby.signal")


def _main(words: Sequence[str]) -> int:
    try:
        catch_signals()
        config = load(words, os.environ)
        if config.command in ("help", "version"):  # no log: a broken configuration must not stand in their way
            outcome = _function(config)(config)
            _write_output(outcome)
            return outcome.status
        logs.setup_console(config)
        try:
            return _logged(config)
        finally:
            logs.shutdown()
    except TermError as error:
        _complain(f"[{error.code:03d}]: {error.message}")
        return error.code
    except EngineError as error:
        _complain(f"[{error.code:03d}]: {logs.failure_text(error)}")
        return error.code
    except Exception:
        import traceback

        _complain(f"[{UNEXPECTED:03d}]: unexpected error, which is a bug:\n{traceback.format_exc()}")
        return UNEXPECTED


def run(config: Config) -> Outcome:
    """Run the command of a Config. Raises EngineError; neither sets up logging nor exits."""
    prepare(config)
    return _function(config)(config)


def prepare(config: Config) -> None:
    """What has to be right with the process before a command may start: its user, umask and priority."""
    if os.geteuid() == ROOT and not config.allow_root:
        raise OptionInvalidError(
            f"the command {config.command} must not run as root",
            "run it as the user that owns the cluster, for example: sudo -u postgres holdfast ...\n"
            "--allow-root allows it, but then files of the repository belong to root",
        )
    if getattr(config, "neutral_umask", False):
        os.umask(0)
    if config.priority is not None:
        _set_priority(config.priority)


def _name(config: Config) -> str:
    return f"{config.command}:{config.role}" if config.role else config.command


def _set_priority(priority: int) -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, priority)
    except OSError as error:
        log.warning("cannot set priority to %d: %s", priority, error.strerror)


def _function(config: Config) -> Callable[[Config], Outcome]:
    """Imported only now: a command shall not pay for the imports of the others."""
    module, name = COMMAND_FUNCTIONS[_name(config)]
    function: Callable[[Config], Outcome] = getattr(importlib.import_module(f".command.{module}", __package__), name)
    return function


def _logged(config: Config) -> int:
    """Run a command between its begin and its end line; the status that the process exits with."""
    started = time.monotonic()
    level = logs.default_level(config.command)
    name = _name(config)
    begun = False
    try:
        prepare(config)  # before the log file is opened: root would leave one that the right user cannot write
        logs.setup_file(config)
        begun = True
        log.log(level, "%s command begin %s: %s", name, VERSION, _invocation(config))
        for warning in config.warnings:
            log.warning("%s", warning)
        outcome = _function(config)(config)
        _write_output(outcome)
    except TermError as error:
        log.log(level, "%s command end: %s", name, error.message)
        return error.code
    except EngineError as error:
        logs.log_failure(error)
        ending, status = f"aborted with exception [{error.code:03d}]", error.code
    except Exception as error:
        log.error("unexpected error, which is a bug: %s", error, exc_info=True, extra={"code": UNEXPECTED})
        ending, status = f"aborted with exception [{UNEXPECTED:03d}]", UNEXPECTED
    else:
        duration = f" ({round((time.monotonic() - started) * 1000)}ms)" if config.log_timestamp else ""
        status = outcome.status
        ending = f"completed {'successfully' if status <= 1 else f'with status [{status:03d}]'}{duration}"
    if begun:
        log.log(level, "%s command end: %s", name, ending)
    return status


def _invocation(config: Config) -> str:
    params = f"[{', '.join(config.params)}] " if config.params else ""
    return params + " ".join(render_options(config))


def _complain(text: str) -> None:
    """An error before logging is set up, in the short form of a log line."""
    try:
        sys.stderr.write(f"ERROR: {text.rstrip()}".replace("\n", "\n" + " " * len("ERROR: ")) + "\n")
        sys.stderr.flush()
    except OSError:
        return  # nobody listens; the exit status says it all


def _write_output(outcome: Outcome) -> None:
    """The result, to standard output. Names of files are bytes, so they go out as they are."""
    pieces = itertools.chain([outcome.output.encode("utf-8", "surrogateescape")], outcome.content)
    try:
        for piece in pieces:
            if piece:
                sys.stdout.flush()
                sys.stdout.buffer.write(piece)
                sys.stdout.flush()
    except OSError as error:
        _give_up_output()
        if not isinstance(error, BrokenPipeError):  # that reader has seen enough, as head does
            raise FileWriteError(f"cannot write to standard output: {error.strerror}") from error


def _give_up_output() -> None:
    """What is left in the buffer goes nowhere; otherwise the interpreter fails at its very end, when it tries again."""
    null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def catch_signals() -> None:
    """Let HUP, INT and TERM end the command as an error does, so that what it holds is released on the way."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _terminate)


def _terminate(number: int, frame: object) -> None:
    # The second one ends the process at once: a clean-up that hangs must not make it immortal, and all that we do is
    # made to survive a crash.
    for other in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(other, _die)
    raise TermError(f"terminated on signal {signal.Signals(number).name}")


def _die(number: int, frame: object) -> None:
    os._exit(TermError.code)


if __name__ == "__main__":
    raise SystemExit(main())
