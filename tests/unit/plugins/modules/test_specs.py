# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules accept is what the engine has: option by option, against the engine's own table."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

yaml = pytest.importorskip("yaml")

from ansible_collections.holdfast.postgres.plugins.doc_fragments.engine import ModuleDocFragment  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.module_utils import _face  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command_table import COMMANDS  # noqa: E402
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_table import OPTIONS  # noqa: E402

# The command behind each module; stanza has one for each state, and only these take all of its options.
MODULES = {
    "archive_get": ["archive-get"],
    "archive_push": ["archive-push"],
    "backup": ["backup"],
    "backup_info": ["info"],
    "check": ["check"],
    "checkpoint": ["checkpoint"],
    "expire": ["expire"],
    "restore": ["restore"],
    "stanza": ["stanza-create", "stanza-upgrade", "stanza-delete"],
    "verify": ["verify"],
}
KINDS = {"boolean": "bool", "integer": "int", "list": "list", "map": "dict"}
ALL = [(name, option) for name in MODULES for option in getattr(importlib.import_module(
    f"ansible_collections.holdfast.postgres.plugins.modules.{name}"), "OPTIONS", {})]  # fmt: skip


def load(name: str) -> Any:
    return importlib.import_module(f"ansible_collections.holdfast.postgres.plugins.modules.{name}")


def test_every_command_belongs_to_the_table() -> None:
    assert {command for commands in MODULES.values() for command in commands} <= set(COMMANDS)


@pytest.mark.parametrize(("name", "parameter"), ALL)
def test_a_parameter_is_an_option_of_the_command(name: str, parameter: str) -> None:
    option = OPTIONS[parameter.replace("_", "-")]
    commands = [command for command in MODULES[name] if command in option.commands]
    assert commands, "no command of this module takes the option"
    assert not option.secret, "a secret needs no_log and must not become part of a command line"
    spec = load(name).OPTIONS[parameter]
    kind = option.type_for(commands[0])
    assert spec["type"] == KINDS.get(kind.kind, "str")
    assert set(spec.get("choices", ())) == {*getattr(kind, "values", ()), *getattr(kind, "later", ())}


def test_the_fragment_documents_what_all_modules_share() -> None:
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    shared = _face.argument_spec({})
    shared.pop("stanza")
    assert set(documented) == set(shared)
    for name, spec in shared.items():
        for field in ("type", "elements", "default"):
            assert documented[name].get(field) == spec.get(field), name
    suboptions = shared["secrets"]["options"]
    assert set(documented["secrets"]["suboptions"]) == set(suboptions)
    assert suboptions["value"]["no_log"] is True
