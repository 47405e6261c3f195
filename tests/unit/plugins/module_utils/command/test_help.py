# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import help as help_command
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command_table import COMMANDS
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    CommandInvalidError,
    OptionInvalidError,
    ParamInvalidError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_table import OPTIONS
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.version import VERSION


def shown(*params):
    return help_command.help(load(["help", *params], {})).output


def test_all_commands_in_one_line_each():
    lines = shown().splitlines()
    for name, command in COMMANDS.items():
        assert [line for line in lines if line.split() == [name, *command.summary.split()]]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_shows_the_options_that_it_has(command):
    text = shown(command)
    assert COMMANDS[command].example in text
    named = {line.split()[0][2:] for line in text.splitlines() if line.startswith("  --")}
    known = {option.full_name(1) for option in OPTIONS.values() if command in option.commands}
    assert named <= known
    for name in ("stanza", "repo1-path", "pg1-path", "compress-type", "force"):
        assert (name in named) == (name in known)
    assert not named & {"repo1-s3-bucket", "repo1-host", "sck-block", "exec-id"}, "what has no effect is left out"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_can_be_shown_and_fits_the_screen(command):
    texts = [shown(command)]
    texts += [shown(command, option.full_name(1)) for option in OPTIONS.values() if command in option.commands]
    for text in texts:
        assert text.endswith("\n")
        assert not [line for line in text.splitlines() if len(line) > 100]
        assert "None" not in text


def test_one_option():
    text = shown("backup", "compress-level")
    for part in ("-7 to 22 for zst", "3 for zst", "compress-type=bz2 or gz or lz4 or zst", "HOLDFAST_COMPRESS_LEVEL"):
        assert part in text


def test_what_differs_by_command():
    assert "immediate" in shown("restore", "type")
    assert "immediate" not in shown("backup", "type")
    assert "Default   incr" in shown("backup", "type")
    assert "json" in shown("info", "output")
    assert "num" in shown("version", "output")


def test_names_in_any_form_lead_to_the_option():
    expected = shown("backup", "repo1-retention-full")
    for name in ("repo-retention-full", "repo7-retention-full", "retention-full"):
        assert shown("backup", name) == expected


def test_a_secret_is_not_shown_on_a_command_line():
    text = shown("backup", "repo1-cipher-pass")
    assert "never the command line" in " ".join(text.split())
    assert "--repo1-cipher-pass=" not in text


def test_an_option_can_be_switched_off():
    assert "--no-resume" in shown("backup", "resume")
    assert "Example   --start-fast" in shown("backup", "start-fast")


def test_slips_get_a_hint():
    for params, kind in (
        (["bakup"], CommandInvalidError),
        (["backup", "compres-type"], OptionInvalidError),
        (["info", "compress-type"], OptionInvalidError),
        (["backup", "type", "x"], ParamInvalidError),
    ):
        with pytest.raises(kind) as caught:
            shown(*params)
        assert caught.value.hint


def test_version():
    assert help_command.version(load(["version"], {})).output == f"Holdfast {VERSION}\n"
    major, minor, patch = (int(part) for part in VERSION.split("."))
    number = help_command.version(load(["version", "--output=num"], {})).output
    assert int(number) == (major * 1000 + minor) * 1000 + patch
