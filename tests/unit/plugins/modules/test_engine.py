# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ansible.module_utils.basic")
patch_module_args = pytest.importorskip("ansible.module_utils.testing").patch_module_args  # from ansible-core 2.19 on

from ansible_collections.holdfast.postgres.plugins.module_utils import _install  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.version import VERSION  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.modules import engine  # noqa: E402

SOURCES = {"__init__.py": b"", "main.py": b"def main():\n    return 0\n"}
Engine = Callable[..., dict[str, Any]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Engine:
    """Runs the module below tmp_path, with a small engine: whether the whole one comes along, test_payload.py tells."""
    monkeypatch.setattr(_install, "payload", lambda: dict(SOURCES))

    def call(check_mode: bool = False, **arguments: Any) -> dict[str, Any]:
        given = {"prefix": str(tmp_path), "libraries": "interpreter", "interpreter": sys.executable, **arguments}
        modes = {"_ansible_check_mode": check_mode, "_ansible_diff": True}
        with patch_module_args({**given, **modes}), pytest.raises(SystemExit):
            engine.main()
        result: dict[str, Any] = json.loads(capsys.readouterr().out)
        return result

    return call


def listing(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


def starts(tmp_path: Path) -> bool:
    return subprocess.run([tmp_path / "bin" / "holdfast"], check=False).returncode == 0


def test_the_second_run_changes_nothing(run: Engine, tmp_path: Path) -> None:
    first = run()
    assert (first["changed"], first["version"], first["previous_version"]) == (True, VERSION, "")
    assert starts(tmp_path)
    before = listing(tmp_path)
    second = run()
    assert (second["changed"], second["changes"], second["previous_version"]) == (False, [], VERSION)
    assert listing(tmp_path) == before
    assert (second["diff"]["before"], second["diff"]["after"]) == (f"{VERSION}\n", f"{VERSION}\n")


def test_check_mode_tells_the_same_changes_and_makes_none(run: Engine, tmp_path: Path) -> None:
    predicted = run(check_mode=True)
    assert listing(tmp_path) == []
    assert run()["changes"] == predicted["changes"]
    assert run(check_mode=True)["changed"] is False
    assert run(check_mode=True, state="absent")["changed"] is True
    assert starts(tmp_path)


@pytest.mark.parametrize("name", ["engine/holdfast_engine/main.py", "start.py", "bin/holdfast"])
def test_what_was_damaged_is_repaired(run: Engine, tmp_path: Path, name: str) -> None:
    home = Path(run()["directory"])
    (home / name).write_text("#!/bin/sh\nexit 1\n" if name == "bin/holdfast" else "raise SystemExit(1)\n")
    assert not starts(tmp_path)
    assert run()["changed"] is True
    assert starts(tmp_path) and run()["changed"] is False


def test_a_new_version_takes_over_and_old_ones_go(run: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = _install.Places
    for number, version in enumerate(("1.0.0", "1.1.0", "1.2.0")):
        monkeypatch.setattr(_install, "Places", lambda prefix, version=version: places(prefix, version))
        result = run(keep=1)
        assert result["version"] == version and starts(tmp_path)
        os.utime(result["directory"], (number, number))
    root = tmp_path / "lib" / "holdfast"
    assert sorted(path.name for path in root.iterdir()) == ["1.1.0", "1.2.0", "current"]
    assert os.readlink(root / "current") == "1.2.0"
    assert result["previous_version"] == "1.1.0"


def test_absent_leaves_nothing_of_ours_and_everything_else(run: Engine, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "other").touch()
    run()
    assert run(state="absent")["changed"] is True
    assert listing(tmp_path) == ["bin", "bin/other", "lib"]
    assert run(state="absent")["changed"] is False


def test_a_virtual_environment_is_made_once_and_again_when_it_is_not_whole(run: Engine, tmp_path: Path) -> None:
    # pip is what takes long in a virtual environment, and nothing is installed here.
    venv = {"libraries": "venv", "requirements": []}
    assert "virtual environment" in run(check_mode=True, **venv)["changes"]
    result = run(**venv)
    assert result["python"].startswith(str(tmp_path)) and starts(tmp_path)
    assert "psycopg2" in result["missing_libraries"]
    assert run(**venv)["changed"] is False
    (Path(result["directory"]) / "venv" / _install.STAMP).unlink()
    assert run(check_mode=True, **venv)["changes"] == ["virtual environment"]


def test_failures_say_what_to_do(run: Engine, tmp_path: Path) -> None:
    result = run(interpreter="/nonexistent/python")
    assert result["failed"] and "set interpreter" in result["msg"]
    result = run(prefix="relative")
    assert result["failed"] and "absolute" in result["msg"]
    assert listing(tmp_path) == []
