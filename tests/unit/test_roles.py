# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible checks a role's variables against argument_specs.yml but takes the defaults from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

ROLES = sorted((Path(__file__).resolve().parents[2] / "roles").iterdir())
NAME = re.compile(r"\b_{0,2}holdfast_\w+")


def load(role: Path, name: str) -> Any:
    path = role / name
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}


@pytest.fixture(params=ROLES, ids=lambda role: role.name)
def role(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_specification_and_defaults_name_the_same_variables_with_the_same_values(role: Path) -> None:
    options = load(role, "meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(role, "defaults/main.yml")
    assert {name: option.get("default") for name, option in options.items()} == defaults


def test_variables_are_named_for_the_collection_or_for_the_role(role: Path) -> None:
    shared = {name for name in load(role, "defaults/main.yml") if not name.startswith(f"holdfast_{role.name}_")}
    others = {f"holdfast_{other.name}_" for other in ROLES}
    assert all(name.startswith("holdfast_") and not name.startswith(tuple(others)) for name in shared)


def test_a_variable_that_is_used_is_declared(role: Path) -> None:
    texts = [path.read_text(encoding="utf-8") for folder in ("tasks", "templates", "vars", "handlers")
             for path in (role / folder).glob("*")]  # fmt: skip
    used = {name for text in texts for name in NAME.findall(text)}
    public = {name for name in used if not name.startswith("__")}
    assert public == set(load(role, "defaults/main.yml")) & used, "used, but neither in defaults nor documented"
    unused = set(load(role, "defaults/main.yml")) - used
    assert not unused, "documented, but without effect"


def test_shared_defaults_agree_between_the_roles() -> None:
    seen: dict[str, Any] = {}
    for role in ROLES:
        for name, value in load(role, "defaults/main.yml").items():
            assert seen.setdefault(name, value) == value, f"{name} differs in {role.name}"
