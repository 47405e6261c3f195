# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import logging
import os
import re
import stat

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import log as logs
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import ArchiveDuplicateError, AssertError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.log import DETAIL, TRACE, log
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load

START = "-------------------PROCESS START-------------------"


@pytest.fixture(autouse=True)
def undone():
    yield
    logs.shutdown()
    log.setLevel(logging.NOTSET)
    log.propagate = True


@pytest.fixture
def setup(tmp_path):
    """Set up logging for a command with these arguments; returns the Config."""

    def make(argv):
        config = load(["--no-config", f"--log-path={tmp_path}", *argv.split()], {})
        logs.setup(config)
        return config

    return make


def at_every_level():
    for level in (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, DETAIL, logging.DEBUG, TRACE):
        log.log(level, "level %d", level)


def test_the_form_of_a_line(setup, capsys):
    setup("--log-level-console=info --process-max=4 verify --stanza=main --log-level-file=off")
    log.info("pushed WAL file '%s'", "000000010000000000000008")
    log.warning("first line\nHINT: second line", extra={"worker": 2})
    log.error("duplicate", extra={"code": 45})
    time = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "
    captured = capsys.readouterr()
    assert captured.out == "", "standard output is for results"
    lines = captured.err.splitlines()
    assert re.fullmatch(time + "P00   INFO: pushed WAL file '000000010000000000000008'", lines[0])
    assert re.fullmatch(time + "P02   WARN: first line", lines[1])
    assert lines[2] == " " * 36 + "HINT: second line"
    assert re.fullmatch(time + r"P00  ERROR: \[045\]: duplicate", lines[3])


def test_without_time_stamps(setup, capsys):
    setup("--log-level-console=trace --log-level-file=off --no-log-timestamp info")
    at_every_level()
    log.info("a\nb")
    assert capsys.readouterr().err.splitlines() == [
        "P00 ASSERT: level 50",
        "P00  ERROR: level 40",
        "P00   WARN: level 30",
        "P00   INFO: level 20",
        "P00 DETAIL: level 15",
        "P00  DEBUG:     test_log::at_every_level: level 10",
        "P00  TRACE:         test_log::at_every_level: level 5",
        "P00   INFO: a",
        " " * 12 + "b",
    ]


@pytest.mark.parametrize(
    ("level", "numbers"),
    [
        ("off", []),
        ("error", [50, 40]),
        ("warn", [50, 40, 30]),
        ("info", [50, 40, 30, 20]),
        ("detail", [50, 40, 30, 20, 15]),
        ("debug", [50, 40, 30, 20, 15, 10]),
        ("trace", [50, 40, 30, 20, 15, 10, 5]),
    ],
)
def test_levels_of_console_and_file(setup, capsys, tmp_path, level, numbers):
    setup(f"--log-level-console={level} --log-level-file={level} --no-log-timestamp info")
    at_every_level()
    pattern = re.compile(r"level (\d+)$", re.M)
    assert [int(number) for number in pattern.findall(capsys.readouterr().err)] == numbers
    path = tmp_path / "all-info.log"
    assert [int(number) for number in pattern.findall(path.read_text() if path.exists() else "")] == numbers


def test_what_log_level_stderr_asks_for_is_short_and_comes_once(setup, capsys):
    setup("--log-level-console=info --log-level-stderr=warn --log-level-file=off --no-log-timestamp info")
    log.warning("a\nb", extra={"code": 7})
    log.info("c")
    assert capsys.readouterr().err == "WARN: [007]: a\n      b\nP00   INFO: c\n"
    setup("--log-level-console=off --log-level-stderr=error --log-level-file=off --no-log-timestamp info")
    log.warning("a")
    log.error("b")
    assert capsys.readouterr().err == "ERROR: b\n"


def test_a_dry_run_says_so_in_every_line(setup, capsys):
    setup("--stanza=main --dry-run --log-level-console=info --no-log-timestamp --log-level-file=off expire")
    log.info("remove all")
    log.error("no", extra={"code": 62})
    assert capsys.readouterr().err == "P00   INFO: [DRY-RUN] remove all\nP00  ERROR: [062]: [DRY-RUN] no\n"


def test_many_workers_need_three_digits(setup, capsys):
    setup("--stanza=main --process-max=100 --log-level-console=info --no-log-timestamp --log-level-file=off verify")
    log.info("x", extra={"worker": 42})
    assert capsys.readouterr().err == "P042   INFO: x\n"


def test_a_failure_is_logged_with_code_and_hints(setup, capsys):
    setup("--no-log-timestamp --log-level-file=off info")
    logs.log_failure(ArchiveDuplicateError("two of them", "remove one\nor both"))
    logs.log_failure(AssertError("impossible"))
    assert capsys.readouterr().err.splitlines() == [
        "P00  ERROR: [045]: two of them",
        "            HINT: remove one",
        "            HINT: or both",
        "P00 ASSERT: [025]: impossible",
    ]


def test_a_message_has_an_end(setup, capsys):
    setup("--no-log-timestamp --log-level-file=off info")
    log.warning("x" * 100_000)
    assert len(capsys.readouterr().err) == len("P00   WARN: \n") + 32 * 1024


def test_an_exception_comes_with_its_traceback(setup, capsys):
    setup("--no-log-timestamp --log-level-file=off info")
    try:
        raise ValueError("oops")
    except ValueError:
        log.error("unexpected", exc_info=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "P00  ERROR: unexpected"
    assert lines[-1] == "            ValueError: oops"
    assert all(line.startswith(" " * 12) for line in lines[1:])


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ("--stanza=main --pg1-path=/d backup", "main-backup.log"),
        ("--stanza=main expire", "main-expire.log"),
        ("stop", "all-stop.log"),
        ("--stanza=main archive-push:async /wal", "main-archive-push-async.log"),
        ("--stanza=main archive-push /wal/x", None),
        ("info", None),
        ("--stanza=main --pg1-path=/d check", None),
        ("--log-level-file=info info", "all-info.log"),
        ("--stanza=main --log-level-file=debug archive-push /wal/x", "main-archive-push.log"),
        ("--stanza=main --log-level-file=off expire", None),
    ],
)
def test_which_commands_write_which_file(setup, tmp_path, argv, name):
    setup(argv)
    log.error("x")
    assert os.listdir(tmp_path) == ([name] if name else [])


def test_a_level_from_elsewhere_makes_no_file_for_commands_that_write_none(tmp_path):
    config = load(["--no-config", f"--log-path={tmp_path}", "info"], {"HOLDFAST_LOG_LEVEL_FILE": "info"})
    logs.setup(config)
    log.error("x")
    assert os.listdir(tmp_path) == []


def test_each_process_starts_with_a_line_of_its_own(setup, tmp_path):
    for text in ("one", "two"):
        setup("--stanza=main --no-log-timestamp --log-level-console=off expire")
        log.info(text)
        log.debug("hidden")
        log.info("end")
    path = tmp_path / "main-expire.log"
    part = f"{START}\nP00   INFO: %s\nP00   INFO: end\n"
    assert path.read_text() == part % "one" + "\n" + part % "two"


def test_a_process_that_says_nothing_leaves_the_file_alone(setup, tmp_path):
    setup("--stanza=main expire")
    assert (tmp_path / "main-expire.log").read_text() == ""


def test_log_files_are_readable_for_the_group_only(setup, tmp_path):
    umask = os.umask(0)
    try:
        setup("--stanza=main expire")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "main-expire.log").stat().st_mode) == 0o640


def test_a_file_that_cannot_be_opened_is_a_warning_once(setup, tmp_path, capsys):
    (tmp_path / "main-expire.log").mkdir()
    setup("--stanza=main --no-log-timestamp expire")
    log.error("goes on")
    lines = capsys.readouterr().err.splitlines()
    assert len([line for line in lines if "cannot open log file" in line]) == 1
    assert "main-expire.log: Is a directory" in lines[0]
    assert lines[-1] == "P00  ERROR: goes on"


def test_names_that_are_not_utf_8_can_be_logged(setup, tmp_path, capsys):
    setup("--stanza=main expire")
    log.error("file %s", os.fsdecode(b"a\xff"))
    assert "file a\\udcff" in (tmp_path / "main-expire.log").read_text()


def test_setting_up_again_does_not_double_lines(setup, capsys):
    for _other in range(3):
        setup("--no-log-timestamp --log-level-file=off info")
    log.error("once")
    assert capsys.readouterr().err == "P00  ERROR: once\n"


def test_standard_error_that_is_gone_does_not_matter(setup, tmp_path, monkeypatch):
    setup("--stanza=main expire")
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", buffering=1) as stream:
        monkeypatch.setattr("sys.stderr", stream)
        log.error("in the file")
        monkeypatch.undo()
        # What is still in the stream's buffer fails again when it is closed; that is not what is tested.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    assert "in the file" in (tmp_path / "main-expire.log").read_text()
