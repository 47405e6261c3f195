# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables contradict neither themselves nor the program that reads them."""

from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command_table import COMMANDS
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.main import COMMAND_FUNCTIONS
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_table import (
    COMMAND_LINE,
    OLD_NAMES,
    OPTIONS,
    is_usable,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_type import Choice, Path

EVERY = [pytest.param(option, id=name) for name, option in OPTIONS.items()]


def selectors(option):
    """What type_for and default_for may be asked for."""
    return option.commands if option.by == "command" else option.depends.values


@pytest.mark.parametrize("option", EVERY)
def test_defaults_are_allowed_values_and_survive_being_rendered(option):
    for selector in selectors(option):
        kind, default = option.type_for(selector), option.default_for(selector)
        if default is not None:
            assert kind.parse(kind.render(kind.parse(default))) == kind.parse(default)


@pytest.mark.parametrize("option", EVERY)
def test_examples_are_allowed_values(option):
    for command in option.commands:
        example = option.example_for(command)
        if example:
            selected = [command] if option.by == "command" else option.depends.values
            assert [option.type_for(selector).parse(example) for selector in selected]


@pytest.mark.parametrize("option", EVERY)
def test_what_an_option_depends_on_is_known_to_the_same_commands(option):
    for command in option.commands:
        depends = option.depends_for(command)
        if depends is not None:
            other = OPTIONS[depends.option]
            assert command in other.commands
            assert other.group in ("", option.group)
            kind = other.type_for(command)
            assert [kind.render(kind.parse(value)) for value in depends.values] == list(depends.values)


@pytest.mark.parametrize("option", EVERY)
def test_everything_is_explained(option):
    assert option.help.endswith(".")
    for text, _example in option.by_command.values():
        assert text.endswith(".")
    assert set(option.by_command) <= option.commands
    assert option.required <= option.commands
    has_default = option.default is not None or option.default_note or option.required
    optional = option.internal or option.any_type.many or not is_usable(option) or option.depends is not None
    assert has_default or optional or option.example


def test_secrets():
    assert sorted(name for name, option in OPTIONS.items() if option.secret) == [
        "repo-azure-account",
        "repo-azure-endpoint",
        "repo-azure-key",
        "repo-cipher-pass",
        "repo-gcs-key",
        "repo-s3-key",
        "repo-s3-key-secret",
        "repo-s3-sse-customer-key",
        "repo-s3-token",
        "repo-sftp-private-key-passphrase",
    ]


def test_our_own_defaults():
    assert {name: option.default for name, option in OPTIONS.items() if "holdfast" in str(option.default)} == {
        "spool-path": "/var/spool/holdfast",
        "lock-path": "/run/holdfast",
        "log-path": "/var/log/holdfast",
        "repo-path": "/var/lib/holdfast",
        "pg-host-config": "/etc/holdfast/holdfast.conf",
        "pg-host-config-include-path": "/etc/holdfast/conf.d",
        "pg-host-config-path": "/etc/holdfast",
        "repo-host-config": "/etc/holdfast/holdfast.conf",
        "repo-host-config-include-path": "/etc/holdfast/conf.d",
        "repo-host-config-path": "/etc/holdfast",
    }
    assert OPTIONS["compress-type"].default == "zst"


def test_no_option_is_mistaken_for_a_negated_one_or_for_one_of_another_name():
    assert not [name for name in OPTIONS if name.startswith(("no-", "reset-"))]
    assert not set(OLD_NAMES) & {name for name, option in OPTIONS.items() if not option.group}


def test_what_is_not_in_a_file_has_no_key():
    assert not [name for name, option in OPTIONS.items() if option.where == COMMAND_LINE and option.group]


def test_later_kinds_are_among_the_known_ones():
    kinds = [option.any_type for option in OPTIONS.values()]
    assert all(set(kind.later) <= set(kind.values) for kind in kinds if isinstance(kind, Choice))


def test_what_rests_on_something_that_we_cannot_do_is_not_usable():
    assert is_usable(OPTIONS["repo-path"])
    assert is_usable(OPTIONS["repo-cipher-pass"])
    assert is_usable(OPTIONS["repo-symlink"])
    for name in ("repo-s3-bucket", "repo-s3-key", "repo-host", "repo-host-key-file", "pg-host-user", "tls-cipher-12"):
        assert not is_usable(OPTIONS[name])


def test_every_command_has_a_function_and_the_options_of_every_command_exist():
    roles = [f"{command.name}:{role}" for command in COMMANDS.values() for role in command.roles]
    assert sorted(COMMAND_FUNCTIONS) == sorted([*COMMANDS, *roles])
    assert set().union(*(option.commands for option in OPTIONS.values())) == set(COMMANDS)


def test_paths_are_absolute():
    for option in OPTIONS.values():
        if isinstance(option.any_type, Path) and isinstance(option.default, str):
            assert option.default.startswith("/")
