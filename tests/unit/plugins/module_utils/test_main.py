# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program as a shell sees it: status, standard output, standard error; mostly in a process of its own."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import main as main_module
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import OptionInvalidError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load

ENGINE = str(pathlib.Path(main_module.__file__).parents[1])
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from _engine.main import main; raise SystemExit(main())"
LIMIT = 30  # seconds; a test that needs them has failed


def command(*argv):
    return [sys.executable, "-I", "-c", START, ENGINE, *argv]


def holdfast(*argv, **options):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    options = {"capture_output": True, "text": True, "timeout": LIMIT, "env": environ, **options}
    return subprocess.run(command(*argv), check=False, **options)


@pytest.fixture
def stopping(tmp_path):
    """Arguments of a harmless command that logs to a file and needs nothing but a lock path."""
    (tmp_path / "log").mkdir()
    return [
        "--no-config",
        "--allow-root",
        f"--lock-path={tmp_path}/lock",
        f"--log-path={tmp_path}/log",
        "--log-level-console=info",
        "--no-log-timestamp",
        "stop",
    ]


def test_the_result_goes_to_standard_output():
    done = holdfast("version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Holdfast ")


def test_nothing_is_a_call_for_help():
    done = holdfast()
    assert (done.returncode, done.stderr) == (0, "")
    assert "In an emergency" in done.stdout


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["--stanza=main"], 30),
        (["backup", "--nonsense"], 31),
        (["--no-config", "--stanza=main", "--pg1-path=/d", "--process-max=x", "backup"], 32),
        (["--no-config", "backup"], 37),
        (["bakup"], 48),
        (["--config=/nonexistent/holdfast.conf", "info"], 55),
        (["--no-config", "--config-include-path=/nonexistent", "info"], 73),
        (["--no-config", "info", "main"], 96),
        (["help", "bakup"], 48),
    ],
)
def test_a_slip_ends_with_its_status_a_message_and_a_hint(argv, status):
    done = holdfast(*argv)
    assert (done.returncode, done.stdout) == (status, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"ERROR: [{status:03d}]: ")
    assert lines[1].startswith("       HINT: ")
    assert "Traceback" not in done.stderr


def test_a_command_runs_between_its_begin_and_its_end(stopping, tmp_path):
    done = holdfast(*stopping)
    assert (done.returncode, done.stdout) == (0, "")
    lines = done.stderr.splitlines()
    assert re.fullmatch(
        r"P00   INFO: stop command begin [0-9.]+: --allow-root --no-config --exec-id=\d+-[0-9a-f]{8} "
        rf"--lock-path={tmp_path}/lock --log-level-console=info --log-path={tmp_path}/log --no-log-timestamp",
        lines[0],
    )
    assert lines[-1] == "P00   INFO: stop command end: completed successfully"
    written = (tmp_path / "log" / "all-stop.log").read_text().splitlines()
    assert written == ["-------------------PROCESS START-------------------", *lines]


def test_the_end_tells_how_long_it_took(stopping):
    done = holdfast(*(argument for argument in stopping if argument != "--no-log-timestamp"))
    assert re.search(r"command end: completed successfully \(\d+ms\)$", done.stderr)


def test_warnings_about_options_are_logged(stopping):
    done = holdfast(*stopping, env={**os.environ, "HOLDFAST_NONSENSE": "1"})
    assert done.returncode == 0
    assert "P00   WARN: environment variable HOLDFAST_NONSENSE is not an option" in done.stderr


def test_an_expected_failure_has_no_traceback(stopping, tmp_path):
    (tmp_path / "lock").write_text("not a directory")
    done = holdfast(*stopping)
    lines = done.stderr.splitlines()
    assert done.returncode == int(re.search(r"\[(\d{3})\]", done.stderr).group(1))
    assert lines[-1] == f"P00   INFO: stop command end: aborted with exception [{done.returncode:03d}]"
    assert "Traceback" not in done.stderr


def test_a_bug_is_logged_with_its_traceback(stopping):
    broken = "import os; os.umask = None; " + START
    done = subprocess.run(
        [sys.executable, "-I", "-c", broken, ENGINE, *stopping],
        check=False,
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    lines = done.stderr.splitlines()
    assert done.returncode == 125
    assert lines[0].startswith("P00  ERROR: [125]: unexpected error, which is a bug: ")
    assert lines[1].strip().startswith("Traceback")
    assert lines[-1].strip().startswith("TypeError: ")


@pytest.mark.root
def test_root_is_refused_before_it_leaves_a_file(stopping, tmp_path):
    stopping.remove("--allow-root")
    done = holdfast(*stopping)
    assert done.returncode == 31
    assert "must not run as root" in done.stderr
    assert os.listdir(tmp_path) == ["log"]
    assert os.listdir(tmp_path / "log") == []


@pytest.mark.root
def test_root_is_refused_in_a_module_too():
    config = load(["--no-config", "stop"], {})
    with pytest.raises(OptionInvalidError, match="root"):
        main_module.run(config)


def test_umask_and_priority_are_those_of_the_options(stopping, tmp_path):
    script = START.replace("raise SystemExit(main())", "main(); import os; print(os.umask(0), os.nice(0))")
    for argv, expected in ((["--priority=7"], "0 7"), (["--no-neutral-umask"], "63 0")):
        done = subprocess.run(
            [sys.executable, "-I", "-c", f"import os; os.umask(0o77); {script}", ENGINE, *argv, *stopping],
            check=False,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )
        assert done.stdout.split("\n")[-2] == expected


def test_a_reader_that_has_seen_enough_is_no_failure():
    read, write = os.pipe()
    os.close(read)
    try:
        done = holdfast("help", "backup", capture_output=False, stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_result_that_cannot_be_written_is_a_failure():
    with open("/dev/full", "w") as full:
        done = holdfast("help", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 64
    assert done.stderr.startswith("ERROR: [064]: cannot write to standard output: No space left")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_command_as_an_error_does(stopping, tmp_path, number):
    """The log file is a pipe that is full, so the command waits just after it has shown its begin."""
    path = tmp_path / "log" / "all-stop.log"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    with subprocess.Popen(command(*stopping), stderr=subprocess.PIPE, text=True) as process:
        try:
            with contextlib.suppress(BlockingIOError):
                while os.write(pipe, b"x" * 4096):
                    continue
            os.set_blocking(pipe, True)
            assert "stop command begin" in process.stderr.readline()
            process.send_signal(number)
            line = process.stderr.readline()
            os.read(pipe, 65536)  # the end is logged to the file, too
            _output, rest = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
            os.close(pipe)
    assert line + rest == f"P00   INFO: stop command end: terminated on signal {number.name}\n"
    assert process.returncode == 63


def test_a_signal_while_the_options_are_read(tmp_path):
    """The configuration file is a pipe that nobody writes to."""
    path = tmp_path / "holdfast.conf"
    os.mkfifo(path)
    with subprocess.Popen(command(f"--config={path}", "info"), stderr=subprocess.PIPE, text=True) as process:
        try:
            pipe = opened_by_a_reader(path)
            process.send_signal(signal.SIGTERM)
            _output, text = process.communicate(timeout=LIMIT)
            os.close(pipe)
        finally:
            process.kill()
    assert (process.returncode, text) == (63, "ERROR: [063]: terminated on signal SIGTERM\n")


def opened_by_a_reader(path):
    """The other end of a pipe, as soon as somebody waits to read from it."""
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_signal_that_is_ignored_stays_ignored():
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); " + START.replace(
        "raise SystemExit(main())", "main(['version']); raise SystemExit(signal.getsignal(signal.SIGHUP))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", script, ENGINE], check=False, capture_output=True, timeout=LIMIT)
    assert done.returncode == signal.SIG_IGN
