# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils import _install
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.version import PRODUCT, VERSION

ENGINE = Path(__file__).resolve().parents[4] / "plugins" / "module_utils" / "_engine"
# Whatever /bin/sh may be on a host. A missing one is told by its name: it would be a hole in what we promise.
SHELLS = [["dash"], ["bash", "--posix"], ["busybox", "sh"]]
ODD = "it's a \"prefix\" of $HOME äö"


@pytest.fixture(scope="module")
def python() -> _install.Interpreter:
    return probe(sys.executable)


def probe(path: str) -> _install.Interpreter:
    done = subprocess.run(
        [path, "-I", "-c", _install.PROBE, "json", "no_such_library"], check=True, stdout=subprocess.PIPE, text=True
    )
    return _install.Interpreter.of_answer(path, done.stdout)


@pytest.fixture
def installed(tmp_path: Path, python: _install.Interpreter) -> _install.Places:
    """A version that is in use, below a prefix that needs quoting everywhere."""
    places = _install.Places(str(tmp_path / ODD))
    _install.write_sources(os.path.join(places.engine, _install.PACKAGE), _install.payload())
    for path, (data, mode) in _install.texts(places, python).items():
        _install.write_file(path, data, mode)
    _install.write_link(places.current, places.version)
    _install.write_link(places.command, os.path.join("..", "lib", "holdfast", "current", "bin", "holdfast"))
    return places


def test_an_interpreter_tells_what_it_lacks_and_what_s_leaves_out(python: _install.Interpreter) -> None:
    assert python.missing == ("no_such_library",)
    assert python.version == ".".join(map(str, sys.version_info[:3]))
    assert any(path.endswith(("site-packages", "dist-packages")) for path in python.site_paths)


def test_the_payload_is_every_source_and_nothing_else() -> None:
    payload = _install.payload()
    assert payload == {str(path.relative_to(ENGINE)): path.read_bytes() for path in ENGINE.rglob("*.py")}
    assert "main.py" in payload and "command/__init__.py" in payload


@pytest.mark.parametrize("shell", SHELLS, ids=lambda words: words[0])
def test_the_launcher_starts_the_engine_under_any_shell(installed: _install.Places, shell: list[str]) -> None:
    program = shutil.which(shell[0])
    assert program, f"{shell[0]} is not installed"
    # The working directory is PostgreSQL's data directory, and a module there must never be imported.
    trap = Path(installed.prefix, "trap")
    trap.mkdir()
    (trap / "json.py").write_text("raise SystemExit('imported from the working directory')\n")
    done = subprocess.run(
        [program, *shell[1:], installed.command, "version"],
        check=False, cwd=trap, env={"PYTHONPATH": str(trap), "PATH": "/nonexistent"}, capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"{PRODUCT} {VERSION}", "")


def test_the_launcher_hands_over_arguments_and_status(installed: _install.Places) -> None:
    # It is an unknown option whose name comes back in the message, blanks, quotes and all.
    argument = "--no such 'option' $HOME `id` \\ \""
    done = subprocess.run([installed.command, argument], check=False, capture_output=True, text=True)
    assert done.returncode == 31
    assert argument.lstrip("-") in done.stderr


def test_the_engine_finds_the_libraries_of_its_interpreter(installed: _install.Places) -> None:
    """-S leaves out site-packages, so that start.py has to name them."""
    start = Path(installed.start)
    code = "import psycopg2, zstandard, numpy\nsys.stdout.write(sys.argv[0])\n"
    head = start.read_text(encoding="utf-8").split("from holdfast_engine")[0]
    start.write_text(head + code, encoding="utf-8")
    done = subprocess.run([installed.command], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, installed.command, "")


def test_the_launcher_is_clean_posix_shell(python: _install.Interpreter) -> None:
    assert shutil.which("shellcheck"), "shellcheck is not installed"
    places = _install.Places("/usr/local of mine")
    text = _install.texts(places, python)[places.launcher][0]
    done = subprocess.run(["shellcheck", "--severity=style", "-"], check=False, input=text, stdout=subprocess.PIPE)
    assert done.stdout.decode() == ""


def test_a_run_never_mixes_two_versions(installed: _install.Places) -> None:
    """The link is followed once, when the shell opens the launcher: what it starts names the version itself."""
    text = Path(installed.launcher).read_text(encoding="utf-8") + Path(installed.start).read_text(encoding="utf-8")
    assert "current" not in text
    assert os.path.realpath(installed.command) == os.path.realpath(installed.launcher)


def test_write_sources_replaces_what_differs_and_removes_what_is_gone(tmp_path: Path) -> None:
    package = tmp_path / "package"
    _install.write_sources(str(package), {"a.py": b"1", "sub/b.py": b"2", "sub/c.py": b"3"})
    untouched = os.stat(package / "a.py").st_ino
    (package / "note.txt").write_text("not ours")
    _install.write_sources(str(package), {"a.py": b"1", "sub/b.py": b"changed"})
    assert _install.read_sources(str(package)) == {"a.py": b"1", "sub/b.py": b"changed"}
    assert os.stat(package / "a.py").st_ino == untouched
    assert (package / "note.txt").exists()


def test_files_can_be_read_by_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        _install.write_file(str(tmp_path / "a" / "b" / "file"), b"x", 0o644)
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("a", "a/b", "a/b/file")]
    assert modes == [0o755, 0o755, 0o644]


def test_bytecode_counts_only_when_it_is_that_of_the_source(tmp_path: Path, python: _install.Interpreter) -> None:
    source = tmp_path / "module.py"
    source.write_text("x = 1\n")
    assert not _install.is_compiled(str(tmp_path), python)
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    assert _install.is_compiled(str(tmp_path), python)
    os.utime(source, (1, 1))
    assert not _install.is_compiled(str(tmp_path), python)


def test_bytecode_of_another_python_does_not_count(tmp_path: Path, python: _install.Interpreter) -> None:
    (tmp_path / "module.py").write_text("x = 1\n")
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    other = _install.Interpreter(python.path, "3.99.0", "cpython-399", "00000000", (), ())
    assert not _install.is_compiled(str(tmp_path), other)


def test_a_link_is_turned_even_after_a_crash_in_between(tmp_path: Path) -> None:
    link = str(tmp_path / "lib" / "current")
    _install.write_link(link, "1.0.0")
    os.symlink("1.0.1", link + ".new")
    _install.write_link(link, "1.1.0")
    assert _install.points_to(link, "1.1.0")
    assert os.listdir(tmp_path / "lib") == ["current"]


def test_versions_are_told_apart_from_the_link_and_from_strangers(tmp_path: Path) -> None:
    places = _install.Places(str(tmp_path))
    assert places.versions() == [] and places.installed_version() == ""
    for number, version in enumerate(("1.0.0", "1.1.0")):
        engine = Path(places.root, version, "engine")
        engine.mkdir(parents=True)
        os.utime(engine.parent, (number, number))
    Path(places.root, "backup of mine").mkdir()
    _install.write_link(places.current, "1.0.0")
    assert places.versions() == ["1.1.0", "1.0.0"]
    assert places.installed_version() == "1.0.0"
