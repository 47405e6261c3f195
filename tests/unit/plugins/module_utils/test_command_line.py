# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command_line import (
    environment_name,
    find_option,
    parse_command_line,
    parse_environment,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    CommandInvalidError,
    CommandRequiredError,
    EngineError,
    OptionInvalidError,
    ParamInvalidError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.option_table import OLD_NAMES, OPTIONS


def parse(text):
    return parse_command_line(text.split())


def texts(text):
    return {name: (given.texts, given.mode) for name, given in parse(text).options.items()}


def refused(text, kind=OptionInvalidError):
    with pytest.raises(kind) as caught:
        parse(text)
    assert caught.value.code == {OptionInvalidError: 31, CommandInvalidError: 48, ParamInvalidError: 96}.get(kind, 30)
    return f"{caught.value.message} ({caught.value.hint})"


def test_options_may_stand_anywhere():
    line = parse(
        "--stanza=main archive-get 000000010000000000000001 --repo 2 pg_wal/RECOVERYXLOG --log-level-console info"
    )
    assert (line.command, line.role, line.params) == (
        "archive-get",
        "",
        ("000000010000000000000001", "pg_wal/RECOVERYXLOG"),
    )
    assert {name: given.texts for name, given in line.options.items()} == {
        ("stanza", 0): ["main"],
        ("repo", 0): ["2"],
        ("log-level-console", 0): ["info"],
    }


def test_a_switch_never_takes_the_next_word():
    assert parse("--delta backup").command == "backup"
    assert texts("backup --backup-standby --delta --start-fast=n --no-resume") == {
        ("backup-standby", 0): (["y"], ""),
        ("delta", 0): (["y"], ""),
        ("start-fast", 0): (["n"], ""),
        ("resume", 0): ([], "no"),
    }


@pytest.mark.parametrize(
    "option", ["--no-config", "--no-online", "--no-backup-standby", "--no-delta", "--no-repo1-bundle"]
)
def test_what_can_be_negated(option):
    assert [given.mode for given in parse(f"{option} backup").options.values()] == ["no"]


@pytest.mark.parametrize("option", ["--no-dry-run", "--no-force", "--no-stanza", "--no-process-max", "--no-repo1-path"])
def test_what_cannot_be_negated(option):
    assert option in refused(f"{option} backup")


def test_only_what_may_be_in_a_file_can_be_reset():
    assert texts("--reset-process-max --reset-pg2-path --reset-repo1-cipher-pass backup") == {
        ("process-max", 0): ([], "reset"),
        ("pg-path", 2): ([], "reset"),
        ("repo-cipher-pass", 1): ([], "reset"),
    }
    for option in ("stanza", "dry-run", "config", "type"):
        assert f"--reset-{option}" in refused(f"--reset-{option} backup")


@pytest.mark.parametrize("option", ["--no-delta=y", "--reset-delta=n", "--reset-process-max=1"])
def test_negation_and_reset_take_no_value(option):
    assert "takes no value" in refused(f"{option} backup")


@pytest.mark.parametrize(
    "options",
    [
        "--repo=1 --repo=1",
        "--delta --no-delta",
        "--no-delta --delta",
        "--reset-delta --delta",
        "--delta --reset-delta",
        "--reset-exclude --exclude=a",
        "--exclude=a --reset-exclude",
        "--repo1-path=/a --repo-path=/b",
        "--pg1-path=/a --db-path=/b",
    ],
)
def test_an_option_is_given_once(options):
    assert "more than once" in refused(f"{options} backup")


def test_lists_and_maps_are_given_as_often_as_needed():
    assert texts("backup --exclude=b --annotation=x=1 --exclude=a --annotation y=2") == {
        ("exclude", 0): (["b", "a"], ""),
        ("annotation", 0): (["x=1", "y=2"], ""),
    }


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("--stan=x", ("stanza", 0)),
        ("--compress-t=gz", ("compress-type", 0)),
        ("--no-exp", ("expire-auto", 0)),
        ("--reset-proce", ("process-max", 0)),
        ("--repo2-pat=/x", ("repo-path", 2)),
        ("--pg3-socket=/x", ("pg-socket-path", 3)),
        ("--repo=1", ("repo", 0)),
    ],
)
def test_the_start_of_a_name_is_enough_when_it_can_only_be_one(written, name):
    assert list(parse(f"{written} backup").options) == [name]


def test_an_ambiguous_start_names_the_candidates():
    assert "compress, compress-level, compress-level-network, compress-type" in refused("--compres=gz backup")
    assert "archive-check" in refused("--no-arch backup")
    assert "repo1-cipher-pass, repo1-cipher-type" in refused("--repo1-cipher=x backup")


def test_a_whole_name_wins_over_longer_ones():
    assert list(parse("backup --compress=n").options) == [("compress", 0)]


def test_former_names_count_only_when_no_current_one_fits():
    assert list(parse("backup --retention-f=2").options) == [("repo-retention-full", 1)]
    assert list(parse("backup --hard").options) == [("repo-hardlink", 1)]
    assert "ambiguous" in refused("backup --archive-=2")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("archive-queue-max", ("archive-push-queue-max", 0)),
        ("db-path", ("pg-path", 1)),
        ("db7-path", ("pg-path", 7)),
        ("db2-cmd", ("pg-host-cmd", 2)),
        ("db-ssh-port", ("pg-host-port", 1)),
        ("db2-port", ("pg-port", 2)),
        ("backup-host", ("repo-host", 1)),
        ("backup-config", ("repo-host-config", 1)),
        ("repo-path", ("repo-path", 1)),
        ("repo-cipher-pass", ("repo-cipher-pass", 1)),
        ("hardlink", ("repo-hardlink", 1)),
        ("retention-archive-type", ("repo-retention-archive-type", 1)),
        ("repo-s3-key-secret", ("repo-s3-key-secret", 1)),
        ("repo-s3-host", ("repo-storage-host", 1)),
        ("repo3-s3-host", ("repo-storage-host", 3)),
        ("repo3-azure-host", ("repo-storage-host", 3)),
        ("repo2-s3-port", ("repo-storage-port", 2)),
        ("repo-s3-verify-ssl", ("repo-storage-verify-tls", 1)),
        ("repo2-s3-verify-ssl", ("repo-storage-verify-tls", 2)),
        ("repo2-s3-verify-tls", ("repo-storage-verify-tls", 2)),
        ("repo-s3-ca-file", ("repo-storage-ca-file", 1)),
        ("repo9-azure-ca-path", ("repo-storage-ca-path", 9)),
    ],
)
def test_former_names(written, name):
    option, key = find_option(written)
    assert (option.name, key) == name


@pytest.mark.parametrize(
    "written",
    [
        "pg-path",
        "repo-bundle",
        "pg0-path",
        "pg257-path",
        "pg01-path",
        "pg1000-path",
        "repo0-type",
        "log1-path",
        "process1-max",
        "archive1-queue-max",
        "backup1-host",
        "retention1-full",
        "repo-azure-host",
        "repo-s3-port",
        "pg1-version-force",
        "repo1-target-time",
    ],
)
def test_a_missing_or_wrong_key_is_told_from_an_unknown_name(written):
    with pytest.raises(OptionInvalidError, match="key") as caught:
        find_option(written)
    assert caught.value.hint
    assert "key" in refused(f"--{written}=x backup")


@pytest.mark.parametrize(
    "written", ["nonsense", "pg1-nonsense", "nonsense1-path", "repo1", "pg", "1", "", "-", "Stanza"]
)
def test_unknown_names(written):
    assert find_option(written) is None


@given(st.sampled_from(sorted(OPTIONS)), st.integers(1, 256))
def test_every_full_name_is_found_again(name, key):
    option = OPTIONS[name]
    expected = (option, key if option.group else 0)
    assert find_option(option.full_name(key)) == expected


@given(st.text(max_size=12))
def test_no_name_does_anything_but_be_found_or_be_refused(name):
    try:
        find_option(name)
    except OptionInvalidError as error:
        assert error.hint


@given(st.lists(st.text("-=abcdefghijklmnoprst1 ", max_size=10), max_size=5))
def test_no_command_line_does_anything_but_parse_or_raise_an_expected_error(argv):
    try:
        parse_command_line(argv)
    except EngineError as error:
        assert error.code in (30, 31, 48, 96)


def test_a_slip_gets_a_suggestion():
    assert "did you mean --stanza?" in refused("--stnaza=main info")
    assert "did you mean --repo1-retention-full" in refused("--repo1-retntion-full=2 backup")
    assert "did you mean backup?" in refused("bakup", CommandInvalidError)


@pytest.mark.parametrize("argument", ["-s", "-", "--", "--=x", "-stanza=x"])
def test_what_is_not_an_option(argument):
    assert argument in refused(f"{argument} backup")


def test_an_option_at_the_end_misses_its_value():
    assert "needs a value" in refused("backup --type")


def test_commands_are_spelled_out():
    for command in ("inf", "Backup", "manifest", "backup:"):
        refused(command, CommandInvalidError)


def test_roles():
    line = parse("archive-push:async --stanza=main /data/pg_wal")
    assert (line.command, line.role) == ("archive-push", "async")
    for command in ("backup:async", "archive-push:", "archive-push:local", "archive-push:async:"):
        refused(command, CommandInvalidError)


def test_without_a_command():
    assert parse("").command == "help"
    assert parse("--help").command == "help"
    assert parse("--version").command == "version"
    assert "holdfast help" in refused("--stanza=main", CommandRequiredError)


def test_help_and_version_as_options_of_a_command():
    line = parse("backup --help compress-type")
    assert (line.command, line.params) == ("help", ("backup", "compress-type"))
    assert parse("backup --version").command == "version"


def test_an_option_that_the_command_does_not_have():
    assert "it is for: check" in refused("backup --report")
    assert "--target" in refused("backup --target=x")
    assert "--delta" in refused("info --delta")
    assert "--tls-server-port" in refused("info --tls-server-port=1")


def test_parameters_where_there_are_none():
    message = refused("backup main", ParamInvalidError)
    assert "main" in message
    refused("--stanza main backup full --type=full", ParamInvalidError)


SECRETS = sorted(name for name, option in OPTIONS.items() if option.secret)


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(name):
    written = OPTIONS[name].full_name(2)
    for argument in (f"--{written}=hunter2", f"--{written} hunter2"):
        message = refused(f"{argument} backup")
        assert environment_name(written) in message
        assert "hunter2" not in message


def test_a_secret_under_a_former_name_or_a_part_of_it_is_refused_too():
    for written in ("repo-cipher-pass", "repo1-cipher-p", "repo-s3-key-sec"):
        assert "not allowed on the command line" in refused(f"--{written}=hunter2 backup")


def test_the_environment():
    warnings = []
    environ = {
        "HOLDFAST_STANZA": "main",
        "HOLDFAST_REPO2_PATH": "/b",
        "HOLDFAST_EXCLUDE": "a:b",
        "HOLDFAST_REPO_CIPHER_PASS": "x:y",
        "HOLDFAST_FAULTS": "not an option",
        "HOLDFAST_PROGRESS_DIR": "/not/an/option",
        "PGBACKREST_STANZA": "other",
        "holdfast_repo": "2",
    }
    givens = parse_environment(environ, warnings)
    assert {name: (given.texts, given.source) for name, given in givens.items()} == {
        ("stanza", 0): (["main"], "environment"),
        ("repo-path", 2): (["/b"], "environment"),
        ("exclude", 0): (["a", "b"], "environment"),
        ("repo-cipher-pass", 1): (["x:y"], "environment"),
    }
    assert warnings == []


def test_the_environment_must_not_set_an_option_twice():
    with pytest.raises(OptionInvalidError, match="another one"):
        parse_environment({"HOLDFAST_REPO1_PATH": "/a", "HOLDFAST_REPO_PATH": "/b"}, [])


def test_names_in_the_environment():
    assert environment_name("repo12-s3-key-secret") == "HOLDFAST_REPO12_S3_KEY_SECRET"
    warnings = []
    assert (
        parse_environment({"HOLDFAST_repo1_path": "/a", "HOLDFAST_REPO1-PATH": "/b", "HOLDFAST_": "c"}, warnings) == {}
    )
    assert len(warnings) == 3


def test_every_former_name_leads_to_an_option():
    for name, old in OLD_NAMES.items():
        option, key = find_option(name) if old.bare else find_option(name.replace("-", "1-", 1))
        assert option is OPTIONS[old.option]
        assert key == (1 if option.group else 0)
