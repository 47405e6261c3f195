# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user installs: the archive that ansible-galaxy builds, with nothing else of the repository around it."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account

ROOT = Path(__file__).resolve().parents[2]


def run(*argv: str | os.PathLike[str], **environ: str) -> str:
    done = account.run(argv, environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archive(module_scratch: Path) -> Path:
    run("ansible-galaxy", "collection", "build", ROOT, "--output-path", module_scratch)
    (path,) = module_scratch.glob("holdfast-postgres-*.tar.gz")
    return path


def test_the_archive_has_the_content_and_no_tests(archive: Path) -> None:
    with tarfile.open(archive) as opened:
        names = {member.name for member in opened.getmembers() if member.isfile()}
    tops = {name.partition("/")[0] for name in names}
    assert {"meta", "plugins", "roles", "playbooks", "README.md", "COPYING"} <= tops
    assert not tops & {"tests", "conftest.py", "Makefile", "benchmarks", "requirements", "pyproject.toml"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_ansible_documents_every_module_of_an_installed_collection(archive: Path, module_scratch: Path) -> None:
    here = {"ANSIBLE_COLLECTIONS_PATH": str(module_scratch)}
    run("ansible-galaxy", "collection", "install", archive, "-p", module_scratch, "--offline", **here)
    shipped = module_scratch / "ansible_collections" / "holdfast" / "postgres"
    modules = sorted(path.stem for path in (shipped / "plugins" / "modules").glob("*.py"))
    assert modules
    names = [f"holdfast.postgres.{name}" for name in modules]
    found = json.loads(run("ansible-doc", "--json", *names, **here))
    assert sorted(found) == names
    assert all(found[name]["doc"]["short_description"] for name in names)
