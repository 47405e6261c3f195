# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What has to agree across the files of the collection, and what every file has to have."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")  # comes with Ansible; not there when only the engine's tests run on an old Python

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
ENGINE = PLUGINS / "module_utils" / "_engine"
SOURCES = [path for path in sorted(PLUGINS.rglob("*.py")) if path.name != "__init__.py"]
LICENCE = """\
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""
# What the engine may import at any time: the rest is imported where it is needed, and named when it is missing.
STANDARD = getattr(sys, "stdlib_module_names", frozenset())


def load(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_engine_and_collection_have_one_version() -> None:
    namespace: dict[str, object] = {}
    exec((ENGINE / "version.py").read_text(encoding="utf-8"), namespace)  # not imported: the name differs by place
    assert namespace["VERSION"] == load("galaxy.yml")["version"]


def test_the_action_group_has_the_modules_that_document_it() -> None:
    """The other way round a default of the group would reach a module that does not know the option."""
    modules = {path.stem: path.read_text(encoding="utf-8") for path in (PLUGINS / "modules").glob("*.py")}
    documented = {name for name, text in modules.items() if "holdfast.postgres.attributes.group" in text}
    assert documented == set(load("meta/runtime.yml")["action_groups"]["commands"])


@pytest.mark.parametrize("name", ["COPYING", "LICENSE", "LICENSES/GPL-3.0-or-later.txt"])
def test_the_licence_is_complete(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in text and "END OF TERMS AND CONDITIONS" in text


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_a_source_names_its_licence(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    assert "".join(line for line in lines[:4] if not line.startswith("#!")).startswith(LICENCE)


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("__init__.py")), ids=relative)
def test_a_package_file_is_empty(path: Path) -> None:
    assert path.stat().st_size == 0, "ansible-core 2.17 takes no other"


@pytest.mark.skipif(not STANDARD, reason="this Python does not list its standard library")
@pytest.mark.parametrize("path", sorted(ENGINE.rglob("*.py")), ids=relative)
def test_the_engine_imports_itself_relatively_and_libraries_late(path: Path) -> None:
    """It runs in a module's payload, in a checkout and installed under another name, with or without libraries."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    in_functions = {
        node
        for function in ast.walk(tree)
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef))
        for node in ast.walk(function)
    }
    for node in at_once:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
        if isinstance(node, ast.ImportFrom) and node.level:
            assert "*" not in [alias.name for alias in node.names]
            continue
        for top in (name.partition(".")[0] for name in names):
            assert top not in ("ansible", "ansible_collections"), f"line {node.lineno} imports {top}"
            assert top in STANDARD or node in in_functions or is_typing_only(tree, node), f"line {node.lineno}: {top}"


def is_typing_only(tree: ast.AST, node: ast.AST) -> bool:
    return any(
        isinstance(branch, ast.If) and ast.unparse(branch.test).endswith("TYPE_CHECKING") and node in ast.walk(branch)
        for branch in ast.walk(tree)
    )


def test_what_is_shipped_is_all_that_a_user_needs() -> None:
    """Content may live in these four directories only; the rest of the repository is for those who work on it."""
    ignored = set(load("galaxy.yml")["build_ignore"])
    shipped = {path.name for path in ROOT.iterdir() if path.name not in ignored and not path.name.startswith(".git")}
    known = {"meta", "plugins", "roles", "playbooks", "docs", "changelogs", "LICENSES"}
    known |= {"galaxy.yml", "README.md", "CONTRIBUTING.md", "CHANGELOG.rst", "COPYING", "LICENSE"}
    assert shipped - known - {"__pycache__"} == set()
