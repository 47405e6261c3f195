# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Copies the checkout to where Ansible's tools want a collection: .../ansible_collections/holdfast/postgres.

ansible-test takes no link to a checkout. A copy also lets another user run what lies in a folder that only its owner
may enter, and keeps the checkout free of what the tools leave behind.

usage: tree.py DIRECTORY      prints the path of the copy below DIRECTORY
"""

from __future__ import annotations

import filecmp
import os
import pathlib
import shutil
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
# What tools make, for the walk without git and for what survives in the copy: caches make the next run quick.
GENERATED = {
    ".ansible",
    ".git",
    ".hypothesis",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "__pycache__",
    "build",
    "collections",
    "output",
}


def listed() -> list[str]:
    """The files of the checkout, relative: what git knows or would add; without git, all but what tools make."""
    # The checkout may belong to somebody else than the caller, which git takes for an attack.
    argv = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(argv, cwd=CHECKOUT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return list(walked(CHECKOUT))
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return [name for name in names if os.path.lexists(CHECKOUT / name)]


def walked(root: pathlib.Path) -> list[str]:
    names = []
    for folder, directories, files in os.walk(root):
        directories[:] = [name for name in directories if name not in GENERATED]
        names += [os.path.relpath(os.path.join(folder, name), root) for name in files]
    return names


def same(source: pathlib.Path, copy: pathlib.Path) -> bool:
    if source.is_symlink() or copy.is_symlink():
        return source.is_symlink() and copy.is_symlink() and os.readlink(source) == os.readlink(copy)
    if not copy.is_file() or (source.stat().st_mode ^ copy.stat().st_mode) & 0o100:
        return False
    return filecmp.cmp(source, copy)


def copy_tree(directory: pathlib.Path) -> pathlib.Path:
    """Bring the copy up to date and return its path; everybody may read it, whatever the umask of the checkout was."""
    tree = directory / "ansible_collections" / "holdfast" / "postgres"
    names = listed()
    wanted = {*names, *(str(parent) for name in names for parent in pathlib.PurePath(name).parents)}
    tree.mkdir(parents=True, exist_ok=True)
    for name in walked(tree):
        if name not in wanted:
            (tree / name).unlink()
    for name in names:
        source, copy = CHECKOUT / name, tree / name
        if same(source, copy):
            continue
        if copy.is_dir() and not copy.is_symlink():
            shutil.rmtree(copy)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)
        shutil.copy2(source, copy, follow_symlinks=False)
        if not copy.is_symlink():
            copy.chmod(0o755 if source.stat().st_mode & 0o100 else 0o644)
    remove_empty(tree, wanted)
    return tree


def remove_empty(tree: pathlib.Path, wanted: set[str]) -> None:
    """Remove the directories that the checkout no longer has: an empty one would still be importable."""
    for folder, directories, _files in os.walk(tree, topdown=False):
        for name in directories:
            path = pathlib.Path(folder, name)
            relative = path.relative_to(tree)
            if not GENERATED.intersection(relative.parts) and str(relative) not in wanted:
                shutil.rmtree(path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    sys.stdout.write(f"{copy_tree(pathlib.Path(sys.argv[1]).absolute())}\n")
