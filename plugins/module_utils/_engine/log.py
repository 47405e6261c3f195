# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command tells while it runs: lines on standard error and in the log file.

    2026-11-22 10:26:01.304 P00   INFO: pushed WAL file '000000010000000000000008'
    2026-11-22 10:26:31.045 P02  ERROR: [045]: the first line of a message
                                        HINT: and the following ones

Standard output is left to results, so that they can be piped. P00 is the process itself; a line about the job of a
worker carries its number (extra={"worker": 2}). An error carries its code (extra={"code": 45}). Everybody logs to
logging.getLogger("holdfast"); only main calls setup().
"""

from __future__ import annotations

import logging
import os
import sys
import time
from typing import TYPE_CHECKING

from .command_table import COMMANDS
from .errors import AssertError, EngineError

if TYPE_CHECKING:
    from .options import Config

DETAIL = 15
TRACE = 5
OFF = logging.CRITICAL + 1
LEVELS = {
    "off": OFF,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "detail": DETAIL,
    "debug": logging.DEBUG,
    "trace": TRACE,
}
LABELS = {
    logging.CRITICAL: "ASSERT",  # an internal contradiction
    logging.ERROR: "ERROR",
    logging.WARNING: "WARN",
    logging.INFO: "INFO",
    DETAIL: "DETAIL",
    logging.DEBUG: "DEBUG",
    TRACE: "TRACE",
}
LABEL_WIDTH = 6
LINE_MAX = 32 * 1024  # characters of a message
FILE_MODE = 0o640
PROCESS_START = "-------------------PROCESS START-------------------\n"

log = logging.getLogger("holdfast")


class LineFormatter(logging.Formatter):
    """The lines above; short: without time, process and alignment, as log-level-stderr wants them."""

    def __init__(self, timestamp: bool = True, digits: int = 2, dry_run: bool = False, short: bool = False) -> None:
        super().__init__()
        self.timestamp = timestamp
        self.digits = digits
        self.dry_run = dry_run
        self.short = short

    def format(self, record: logging.LogRecord) -> str:
        label = LABELS.get(record.levelno, record.levelname)
        if self.short:
            head = f"{label}: "
        else:
            worker = getattr(record, "worker", 0)
            head = f"{self._time(record)}P{worker:0{self.digits}d} {label:>{LABEL_WIDTH}}: "
        lines = (self._marks(record) + self._message(record))[:LINE_MAX].split("\n")
        return head + ("\n" + " " * len(head)).join(lines)

    def _time(self, record: logging.LogRecord) -> str:
        if not self.timestamp:
            return ""
        # From one number, so that seconds and milliseconds agree; LogRecord.msecs is rounded differently by version.
        milliseconds = int(record.created * 1000)
        seconds = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(milliseconds // 1000))
        return f"{seconds}.{milliseconds % 1000:03d} "

    def _marks(self, record: logging.LogRecord) -> str:
        marks = f"[{record.code:03d}]: " if hasattr(record, "code") else ""
        if self.dry_run:
            marks += "[DRY-RUN] "
        if record.levelno <= logging.DEBUG:
            indent = " " * (4 if record.levelno > TRACE else 8)
            marks += f"{indent}{record.module}::{record.funcName}: "
        return marks

    def _message(self, record: logging.LogRecord) -> str:
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        return message


class ConsoleHandler(logging.Handler):
    """Standard error; each line in the form of the setting that asked for it."""

    def __init__(self, level: int, short_level: int, formatter: LineFormatter) -> None:
        super().__init__(min(level, short_level))
        self.short_level = short_level
        self.setFormatter(formatter)
        self.short = LineFormatter(dry_run=formatter.dry_run, short=True)

    def format(self, record: logging.LogRecord) -> str:
        return self.short.format(record) if record.levelno >= self.short_level else super().format(record)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            # Looked up each time: who runs us may have put another stream in its place.
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except OSError:
            return  # a terminal that went away must not end a backup
        except Exception:
            self.handleError(record)


class LogFileHandler(logging.Handler):
    """Appends to the log file, whole lines at a time, so that lines of several processes do not mix."""

    def __init__(self, path: str, level: int, formatter: LineFormatter) -> None:
        """Raises OSError when the file cannot be opened."""
        super().__init__(level)
        self.setFormatter(formatter)
        self.file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self.started = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record) + "\n"
            if not self.started:
                self.started = True
                text = ("\n" if os.fstat(self.file).st_size else "") + PROCESS_START + text
            os.write(self.file, text.encode("utf-8", "backslashreplace"))
        except OSError:
            return  # a full disk must not end a backup that goes to another one
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        if self.file >= 0:
            os.close(self.file)
            self.file = -1
        super().close()


def setup_console(config: Config) -> None:
    """Log to standard error as the options say; ends what was set up before."""
    shutdown()
    logging.addLevelName(DETAIL, "DETAIL")
    logging.addLevelName(TRACE, "TRACE")
    log.propagate = False
    console = LEVELS[config.log_level_console]
    stderr = LEVELS[config.log_level_stderr]
    _add(ConsoleHandler(console, stderr, _formatter(config)))


def setup_file(config: Config) -> None:
    """Log to the file of this command, too, if there is to be one; that it cannot be opened is a warning only."""
    level = LEVELS[config.log_level_file]
    if level == OFF or not writes_file(config):
        return
    path = log_path(config)
    try:
        handler = LogFileHandler(path, level, _formatter(config))
    except OSError as error:
        log.warning(
            "cannot open log file %s: %s\nHINT: create %s for the user that runs the command, or set --log-path;"
            " --log-level-file=off ends this warning",
            path,
            error.strerror,
            config.log_path,
        )
        return
    _add(handler)


def setup(config: Config) -> None:
    """Console and file."""
    setup_console(config)
    setup_file(config)


def shutdown() -> None:
    """Close what setup() opened."""
    for handler in list(log.handlers):
        if isinstance(handler, (ConsoleHandler, LogFileHandler)):
            log.removeHandler(handler)
            handler.close()


def _add(handler: logging.Handler) -> None:
    log.addHandler(handler)
    log.setLevel(min(one.level for one in log.handlers))


def _formatter(config: Config) -> LineFormatter:
    process_max = getattr(config, "process_max", 1)
    return LineFormatter(
        timestamp=config.log_timestamp,
        digits=3 if process_max > 99 else 2,
        dry_run=getattr(config, "dry_run", False),
    )


def writes_file(config: Config) -> bool:
    """Commands that are run by PostgreSQL for every segment, or that only show something, write none unasked."""
    if config.role or COMMANDS[config.command].log_file:
        return True
    return config.source("log-level-file") == "command-line"


def log_path(config: Config) -> str:
    role = f"-{config.role}" if config.role else ""
    return f"{config.log_path}/{config.stanza or 'all'}-{config.command}{role}.log"


def default_level(command: str) -> int:
    """The level of a command's begin and end."""
    return logging.DEBUG if COMMANDS[command].quiet else logging.INFO


def log_failure(error: EngineError) -> None:
    """An expected failure as one message: code, text and hints."""
    level = logging.CRITICAL if isinstance(error, AssertError) else logging.ERROR
    log.log(level, "%s", failure_text(error), extra={"code": error.code})


def failure_text(error: EngineError) -> str:
    return error.message + "".join(f"\nHINT: {line}" for line in error.hint.split("\n") if line)
