# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible packs into a module what its import statements reach: for the engine that has to be all of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
ENGINE = PLUGINS / "module_utils" / "_engine"
SOURCES = {path.relative_to(ENGINE) for path in ENGINE.rglob("*.py")}


def imported(path: Path) -> Iterator[Path]:
    """The files of the collection that the import statements of a file name, wherever in the file they stand."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            folder = path.parents[node.level - 1]
            base = folder.joinpath(*(node.module or "").split(".")) if node.module else folder
            for target in (base, *(base / alias.name for alias in node.names)):
                yield from (file for file in (target.with_suffix(".py"), target / "__init__.py") if file.exists())


def reached(start: Path) -> set[Path]:
    todo, seen = [start], {start}
    while todo:
        path = todo.pop()
        parents = [folder / "__init__.py" for folder in path.parents if ENGINE in (folder, *folder.parents)]
        new = {*imported(path), *parents} - seen
        seen |= new
        todo += new
    return {path.relative_to(ENGINE) for path in seen if ENGINE in path.parents}


@pytest.mark.parametrize("name", ["engine", "backup", "restore"])
def test_a_module_carries_the_whole_engine(name: str) -> None:
    assert SOURCES - reached(PLUGINS / "modules" / f"{name}.py") == set()
