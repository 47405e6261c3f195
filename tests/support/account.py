# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who runs PostgreSQL and the engine: this process's user or, because both refuse root, an unprivileged account."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union

Argument = Union[str, "os.PathLike[str]"]

ACCOUNT = "postgres"  # who stands in for root


def account() -> pwd.struct_passwd:
    """The user of every program that a test starts."""
    return pwd.getpwnam(ACCOUNT) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def credentials() -> dict[str, Any]:
    """Keyword arguments of subprocess that start a child as account(); none unless we are root."""
    if os.geteuid() != 0:
        return {}
    entry = account()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a program gets to see: nothing of the caller's database, backup or Python settings."""
    foreign = ("PG", "HOLDFAST_", "PYTHON")  # PGBACKREST_, too
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    if os.geteuid() == 0:
        environ.update(HOME=account().pw_dir, USER=ACCOUNT, LOGNAME=ACCOUNT)
    return {**environ, **(extra or {})}


def run(
    argv: Sequence[Argument],
    *,
    environ: Mapping[str, str] | None = None,
    stdin: str | bytes | None = None,
    timeout: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as account(); output is text with undecodable bytes escaped, any status is fine."""
    source: dict[str, Any] = {"stdin": subprocess.DEVNULL}
    if stdin is not None:
        source = {"input": stdin if isinstance(stdin, str) else stdin.decode("utf-8", "surrogateescape")}
    return subprocess.run(
        [os.fspath(part) for part in argv],
        check=False,
        cwd="/",  # the account may not be allowed to enter ours
        env=environment(environ),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        timeout=timeout,
        **source,
        **credentials(),
    )


def own(path: Path) -> Path:
    """Hand what lies at path, and below it, to account(); returns path."""
    if os.geteuid() == 0:
        entry = account()
        os.lchown(path, entry.pw_uid, entry.pw_gid)
        for folder, directories, files in os.walk(path):
            for name in [*directories, *files]:
                os.lchown(os.path.join(folder, name), entry.pw_uid, entry.pw_gid)
    return path


def make_directory(path: Path, mode: int = 0o700) -> Path:
    """A directory, and what is missing above it, that belongs to account()."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir()
        own(folder)
    path.chmod(mode)
    return path


def write_file(path: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """A file that belongs to account()."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return own(path)


def remove(path: Path) -> None:
    """Remove a tree, whatever modes a test left in it."""
    for folder, _directories, _files in os.walk(path):
        os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)
