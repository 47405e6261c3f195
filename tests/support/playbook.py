# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tasks of the collection, run by ansible-playbook on this machine as the account that owns the clusters."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import account

PROGRAM = Path(sys.executable).parent / "ansible-playbook"
NAMESPACE = "holdfast.postgres"

Task = Mapping[str, Any]
PLAY = {"name": "Run", "hosts": "localhost", "connection": "local", "gather_facts": False}
PYTHON = {"ansible_python_interpreter": sys.executable}  # of the play, so that tasks can override it


class PlaybookFailedError(AssertionError):
    """A playbook that the test needs ended with another status than 0."""


class Playbook:
    """Runs tasks, with the modules on the interpreter of the tests. as_root: as ourselves, who have to be root."""

    def __init__(self, scratch: Path, as_root: bool = False) -> None:
        self.scratch = account.make_directory(scratch)
        self.as_root = as_root
        self.output = ""  # what the last run printed

    def run_file(self, path: Path, *arguments: str, **variables: Any) -> str:
        """Run a playbook that has to succeed; what it printed. variables: extra variables, as -e gives them."""
        if self.attempt_file(path, *arguments, **variables) != 0:
            raise PlaybookFailedError(self.output)
        return self.output

    def attempt_file(self, path: Path, *arguments: str, **variables: Any) -> int:
        """Run a playbook; its exit status."""
        environ = {
            "ANSIBLE_LOCALHOST_WARNING": "0",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0",
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOME": str(account.make_directory(self.scratch / "ansible")),
            "ANSIBLE_LOCAL_TEMP": str(account.make_directory(self.scratch / "local")),
            "ANSIBLE_REMOTE_TEMP": str(account.make_directory(self.scratch / "remote")),
        }
        argv = [os.fspath(PROGRAM), os.fspath(path), "-e", json.dumps(variables, default=os.fspath), *arguments]
        if self.as_root:
            done = subprocess.run(
                argv, check=False, cwd="/", env={**os.environ, **environ}, stdin=subprocess.DEVNULL, timeout=280,
                capture_output=True, text=True,
            )  # fmt: skip
        else:
            done = account.run(argv, environ=environ, timeout=280)
        self.output = done.stdout + done.stderr
        return done.returncode

    def run(self, *tasks: Task, check: bool = False, **variables: Any) -> list[dict[str, Any]]:
        """Run tasks in one play, all of which have to succeed; their results in the same order."""
        results = self.attempt(*tasks, check=check, **variables)
        failed = [result for result in results if result.get("failed")]
        if failed or len(results) < len(tasks):
            raise PlaybookFailedError(f"{json.dumps(failed, indent=1)}\n{self.output}")
        return results

    def attempt(self, *tasks: Task, check: bool = False, **variables: Any) -> list[dict[str, Any]]:
        """Run tasks in one play, each whatever became of those before; their results in the same order."""
        answer = self.scratch / "results.json"
        answer.unlink(missing_ok=True)
        kept = [
            {**task, "name": f"Task {number}", "register": f"result{number}", "ignore_errors": True, "diff": True}
            for number, task in enumerate(tasks)
        ]
        names = ", ".join(f"result{number}" for number in range(len(tasks)))
        keep = {"content": "{{ [" + names + "] | to_json }}", "dest": str(answer), "mode": "0600"}
        last = {"name": "Keep the results", "ansible.builtin.copy": keep, "check_mode": False}
        play = {**PLAY, "vars": PYTHON, "tasks": [*kept, last]}
        path = account.write_file(self.scratch / "play.yml", json.dumps([play], default=os.fspath))
        # Most verbose: what must stay secret has to stay secret there as well.
        self.run_file(path, "-vvv", *(["--check"] if check else []), **variables)
        results: list[dict[str, Any]] = json.loads(answer.read_text(encoding="utf-8"))
        return results

    def changed_tasks(self) -> int:
        """How many tasks of the last run reported a change."""
        (count,) = re.findall(r"localhost +: ok=\d+ +changed=(\d+)", self.output)
        return int(count)


def module(name: str, **arguments: Any) -> Task:
    """A task that runs a module of the collection."""
    return {f"{NAMESPACE}.{name}": arguments}


def write_play(path: Path, roles: Sequence[str], variables: Mapping[str, Any]) -> Path:
    """A playbook that runs roles of the collection on this machine; JSON is YAML, too."""
    play = {
        **PLAY,
        "vars": {**PYTHON, **variables},
        "roles": [f"{NAMESPACE}.{role}" for role in roles],
    }
    return account.write_file(path, json.dumps([play], default=os.fspath))
