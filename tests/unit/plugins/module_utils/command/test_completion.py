# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Completion, as the shells do it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.completion import (
    WITH_OPTIONS,
    bash,
    options_of,
    zsh,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.help import help
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command_table import COMMANDS
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import ParamInvalidError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_table import OPTIONS
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load

# compopt works only while bash completes; here it tells what it was asked for.
ASK = """\
compopt() { asked+=" $*"; }
eval "$SCRIPT"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_holdfast
printf '%s\\n' "${COMPREPLY[@]}"
printf 'asked:%s\\n' "$asked"
"""


def run(argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30, **options)


@pytest.fixture(scope="module")
def offered():
    """What bash offers at the end of these words, which are cut as bash cuts them."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    script = bash()

    def ask(*words):
        done = run(["bash", "-c", ASK, "bash", "holdfast", *words], env={"SCRIPT": script, "PATH": "/usr/bin:/bin"})
        assert done.returncode == 0 and done.stderr == "", done.stderr
        *found, asked = done.stdout.splitlines()
        return [word for word in found if word], asked

    return ask


def test_commands(offered):
    assert offered("")[0] == list(COMMANDS)
    assert offered("ver")[0] == ["verify", "version"]
    assert offered("--stanza", "=", "backup", "ch")[0] == ["check", "checkpoint"], "a value is no command"


def test_options_are_those_of_the_command(offered):
    assert offered("verify", "--set")[0] == ["--set="]
    assert offered("backup", "--set")[0] == []
    assert offered("--stanza", "=", "x", "restore", "--target-a")[0] == ["--target-action="]
    assert "--delta" in offered("backup", "--")[0] and "--no-delta" in offered("backup", "--no-")[0]
    for command in WITH_OPTIONS:
        names = {word.strip("-=") for word in offered(command, "--")[0]}
        assert {option.full_name(1) for option in options_of(command)} <= names


def test_before_a_command_only_what_all_commands_take(offered):
    names = {word.strip("-=") for word in offered("--")[0]}
    assert {"stanza", "config", "log-level-console"} <= names
    assert not {"type", "delta", "set"} & names


@pytest.mark.parametrize("secret", [name for name, option in OPTIONS.items() if option.secret])
def test_secrets_are_not_offered(offered, secret):
    name = OPTIONS[secret].full_name(1)
    assert f"--{name}=" not in bash() and f"--{name}=" not in zsh()


def test_keys_follow_the_one_that_was_typed(offered):
    assert offered("backup", "--repo12-retention-f")[0] == ["--repo12-retention-full=", "--repo12-retention-full-type="]
    assert offered("backup", "--no-repo3-bu")[0] == ["--no-repo3-bundle"]


def test_values(offered):
    assert offered("backup", "--type", "=")[0] == ["full", "diff", "incr"]
    assert offered("restore", "--type", "=", "t")[0] == ["time"]
    assert offered("--compress-type", "=", "z")[0] == ["zst"]
    assert "posix" in offered("backup", "--repo2-type", "=")[0]
    assert offered("backup", "--annotation", "=")[0] == []


def test_files(offered, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).touch()
    wanted = [f"{tmp_path}/one", f"{tmp_path}/other"]
    for words in (("--config", "="), ("archive-push",), ("backup", "--pg1-path", "=")):
        found, asked = offered(*words, f"{tmp_path}/o")
        assert sorted(found) == wanted and asked == "asked: -o filenames"


def test_a_blank_follows_what_takes_no_value(offered):
    assert offered("verify", "--fail")[1] == "asked: -o nospace +o nospace"
    assert offered("verify", "--se")[1] == "asked: -o nospace"


def test_help(offered):
    assert offered("help", "compl")[0] == ["completion"]
    assert offered("help", "completion", "")[0] == ["bash", "zsh"]
    assert "backup" in offered("help", "")[0]


def test_scripts_are_sound():
    if shutil.which("shellcheck"):
        done = run(["shellcheck", "--shell=bash", "-"], input=bash())
        assert done.returncode == 0, done.stdout
    if shutil.which("zsh"):
        assert run(["zsh", "-n", "/dev/stdin"], input=zsh()).returncode == 0


def test_zsh_explains_every_option_and_command():
    lines = [line.strip() for line in zsh().splitlines()]
    assert f"'backup:{COMMANDS['backup'].summary}'" in lines
    assert any(line.startswith("'--fail-on-error[") for line in lines)
    assert any(line.startswith("'--type=[") and line.endswith(":choice:(full diff incr)'") for line in lines)
    assert any(line.startswith("'*--annotation=[") for line in lines)
    for command in WITH_OPTIONS:
        for option in options_of(command):
            assert any(line.lstrip("'*").startswith(f"--{option.full_name(1)}") for line in lines), option.name


def test_help_hands_it_out():
    assert help(load(["help", "completion", "bash"], {})).output == bash()
    assert help(load(["help", "completion", "zsh"], {})).output == zsh()
    for words in (["help", "completion"], ["help", "completion", "fish"]):
        with pytest.raises(ParamInvalidError) as caught:
            help(load(words, {}))
        assert "bash" in caught.value.hint
    assert "completion bash" in help(load(["help"], {})).output
