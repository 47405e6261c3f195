# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    FormatError,
    OptionInvalidError,
    OptionInvalidValueError,
    OptionRequiredError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load, render_options

MAIN = "[main]\npg1-path=/data/main\n"


@pytest.fixture
def configured(tmp_path):
    """Call it with a configuration file, arguments as one text and environment variables: the Config that results."""

    def configure(file, argv, **environ):
        path = tmp_path / "holdfast.conf"
        path.write_text(file)
        return load([f"--config={path}", *argv.split()], environ)

    return configure


def refused(configured, kind, file, argv, **environ):
    with pytest.raises(kind) as caught:
        configured(file, argv, **environ)
    return f"{caught.value.message} ({caught.value.hint})"


def test_defaults(configured):
    config = configured(MAIN, "--stanza=main backup")
    assert (config.command, config.role, config.params, config.stanza) == ("backup", "", (), "main")
    assert (config.compress_type, config.compress_level, config.process_max) == ("zst", 3, 1)
    assert (config.type, config.online, config.delta, config.checksum_page) == ("incr", True, False, None)
    assert (config.archive_timeout, config.db_timeout, config.protocol_timeout) == (60.0, 1800.0, 1860.0)
    assert (config.exclude, config.annotation, config.manifest_save_threshold) == ((), {}, 1 << 30)
    assert (config.lock_path, config.log_path) == ("/run/holdfast", "/var/log/holdfast")
    (repo,) = config.repos
    assert (repo.key, repo.path, repo.type, repo.cipher_type) == (1, "/var/lib/holdfast", "posix", "none")
    assert (repo.bundle, repo.bundle_size, repo.block, repo.hardlink, repo.symlink) == (False, None, False, False, True)
    (pg,) = config.pgs
    assert (pg.key, pg.path, pg.port, pg.database) == (1, "/data/main", 5432, "postgres")
    assert (pg.user, pg.socket_path) == (None, None)


@pytest.mark.parametrize(
    ("argv", "attribute", "value"),
    [
        ("restore", "set", "latest"),
        ("restore", "type", "default"),
        ("info", "set", None),
        ("info", "type", None),
        ("info", "output", "text"),
        ("verify", "output", "none"),
        ("archive-push x", "job_retry", 1),
        ("backup", "job_retry", 2),
        ("restore", "allow_root", True),
        ("backup", "allow_root", False),
        ("archive-push x", "archive_async_linger", 60.0),
        ("archive-push x", "spool_path", None),
        ("--archive-async archive-push x", "spool_path", "/var/spool/holdfast"),
        ("restore", "spool_path", "/var/spool/holdfast"),
        ("--compress-type=bz2 backup", "compress_level", 9),
        ("--compress-type=none backup", "compress_level", 0),
        ("--compress=n backup", "compress_type", "none"),
        ("--no-compress backup", "compress_type", "none"),
        ("--compress backup", "compress_type", "zst"),
        ("--no-online backup", "archive_check", False),
        ("--no-online backup", "archive_mode_check", False),
    ],
)
def test_values_that_depend_on_the_command_or_on_each_other(configured, argv, attribute, value):
    assert getattr(configured(MAIN, f"--stanza=main {argv}"), attribute) == value


def test_dependencies_within_a_repository(configured):
    file = (
        MAIN
        + "[global]\nrepo1-bundle=y\nrepo1-block=y\nrepo1-hardlink=y\nrepo2-path=/b\nrepo2-block=y\nrepo2-type=cifs\n"
    )
    first, second = configured(file, "--stanza=main backup").repos
    assert (first.bundle, first.block, first.hardlink, first.bundle_limit) == (True, True, False, 2 << 20)
    assert (second.bundle, second.block, second.symlink) == (False, False, False)


SOURCES = ("command-line", "environment", "main:backup", "main", "global:backup", "global")


@given(st.sets(st.sampled_from(SOURCES)), st.permutations(range(1, 7)))
def test_the_first_source_wins(tmp_path_factory, sources, numbers):
    given_values = {name: number for name, number in zip(SOURCES, numbers) if name in sources}
    path = tmp_path_factory.getbasetemp() / "precedence.conf"
    sections = [f"[{name}]\nprocess-max={given_values[name]}" for name in SOURCES[2:] if name in given_values]
    path.write_text("\n".join([MAIN, *reversed(sections)]))
    argv = [f"--config={path}", "--stanza=main", "backup"]
    environ = {}
    if "command-line" in given_values:
        argv.append(f"--process-max={given_values['command-line']}")
    if "environment" in given_values:
        environ["HOLDFAST_PROCESS_MAX"] = str(given_values["environment"])
    config = load(argv, environ)
    winner = next((name for name in SOURCES if name in given_values), "default")
    assert config.process_max == given_values.get(winner, 1)
    assert config.source("process-max") == (winner if winner in (*SOURCES[:2], "default") else "file")


def test_sections_that_are_not_searched_do_not_count(configured):
    file = MAIN + "[global:restore]\nprocess-max=x\n[other]\nnonsense=1\n[main:expire]\nprocess-max=9\n"
    config = configured(file, "--stanza=main backup")
    assert (config.process_max, config.warnings[1:]) == (1, ())


def test_lists_are_taken_whole_from_one_source(configured):
    file = "[global]\nexclude=a\nexclude=b\n[main]\npg1-path=/d\nexclude=c\n"
    assert configured(file, "--stanza=main backup").exclude == ("c",)
    assert configured(file, "--stanza=main backup", HOLDFAST_EXCLUDE="x:y").exclude == ("x", "y")
    assert configured(file, "--stanza=main --exclude=z backup").exclude == ("z",)


def test_reset_goes_back_to_the_default(configured):
    file = MAIN + "[global]\nprocess-max=7\nexclude=a\nrepo1-path=/r\n"
    config = configured(
        file, "--stanza=main --reset-process-max --reset-exclude --reset-repo1-path backup", HOLDFAST_PROCESS_MAX="5"
    )
    assert (config.process_max, config.exclude, config.repos[0].path) == (1, (), "/var/lib/holdfast")
    assert config.source("process-max") == "default"


def test_a_stanza_from_the_environment_selects_its_section(configured):
    assert configured(MAIN, "backup", HOLDFAST_STANZA="main").pgs[0].path == "/data/main"


def test_values_that_the_command_does_not_need_are_not_looked_at(configured):
    config = configured("[global]\nprocess-max=x\nrepo1-retention-full=\ndelta=maybe\n", "info")
    assert config.warnings == ()


def test_an_empty_or_repeated_value_that_the_command_does_not_need_is_no_matter(configured):
    assert configured("[global]\nprocess-max=1\nprocess-max=\n", "info").warnings == ()


# One test for each row of "unknown and invalid options per source".


def test_row_unknown_name(configured):
    refused(configured, OptionInvalidError, MAIN, "--stanza=main --nonsense=1 info")
    assert configured(MAIN, "--stanza=main info", HOLDFAST_NONSENSE="1").warnings == (
        "environment variable HOLDFAST_NONSENSE is not an option and is ignored",
    )
    (warning,) = configured("[global]\nreop1-path=/x\n", "info").warnings
    assert "[global]" in warning
    assert "reop1-path" in warning
    assert "did you mean repo1-path" in warning


def test_row_not_for_this_command(configured):
    refused(configured, OptionInvalidError, MAIN, "--stanza=main --delta info")
    assert configured(MAIN, "info", HOLDFAST_DELTA="nonsense").warnings == ()
    assert configured("[global]\ndelta=nonsense\n", "info").warnings == ()
    (warning,) = configured("[global:info]\ndelta=y\n", "info").warnings
    assert "[global:info]" in warning
    assert "delta" in warning
    (warning,) = configured("[main:info]\ndelta=y\n", "--stanza=main info").warnings
    assert "[main:info]" in warning


def test_row_command_line_only(configured):
    assert configured(MAIN, "--output=json info").output == "json"
    assert configured(MAIN, "info", HOLDFAST_OUTPUT="json").output == "json"
    config = configured("[global]\noutput=json\nstanza=main\ndry-run=y\n", "info")
    assert config.output == "text"
    assert len(config.warnings) == 3


def test_row_stanza_only_in_a_global_section(configured):
    assert configured("[global]\n", "--stanza=main --pg1-path=/x check").pgs[0].path == "/x"
    assert configured("[global]\n", "--stanza=main check", HOLDFAST_PG1_PATH="/x").pgs[0].path == "/x"
    (warning,) = configured("[global]\npg1-path=/x\n", "--stanza=main archive-push x").warnings
    assert "[global]" in warning
    assert "pg1-path" in warning
    assert configured("[global]\npg1-path=/x\n", "info").warnings == ()
    (warning,) = configured(
        "[global:archive-push]\npg1-port=1\npg1-path=/x\n", "--stanza=main archive-push x"
    ).warnings[1:]
    assert "pg1-path" in warning


def test_row_negation_and_reset(configured):
    assert configured(MAIN, "--stanza=main --no-resume backup").resume is False
    for name in ("NO_RESUME", "RESET_RESUME"):
        config = configured(MAIN, "--stanza=main check", **{f"HOLDFAST_{name}": "y"})
        assert [name in warning for warning in config.warnings] == [True]
    config = configured("[global]\nno-resume=y\nreset-resume=y\n", "info")
    assert len(config.warnings) == 2
    assert "no-resume" in config.warnings[0]


@pytest.mark.parametrize("name", ["pg-path", "log1-path", "repo300-path", "repo-bundle"])
def test_row_wrong_or_missing_key(configured, name):
    assert name in refused(configured, OptionInvalidError, MAIN, f"--stanza=main --{name}=/x backup")
    variable = {f"HOLDFAST_{name.upper().replace('-', '_')}": "/x"}
    assert next(iter(variable)) in refused(configured, OptionInvalidError, MAIN, "--stanza=main backup", **variable)
    assert "[global]" in refused(configured, OptionInvalidError, f"[global]\n{name}=/x\n", "--stanza=main backup")
    assert name in refused(configured, OptionInvalidError, f"[global]\n{name}=/x\n", "info")


def test_row_current_and_former_name_in_one_section(configured):
    file = "[global]\nrepo1-path=/a\nrepo-path=/b\n"
    assert "repo1-path" in refused(configured, OptionInvalidError, file, "info")
    file = "[global]\nrepo1-retention-full=1\nretention-full=2\n"
    assert "repo1-retention-full" in refused(configured, OptionInvalidError, file, "info"), (
        "though info has no use for it"
    )
    file = "[global]\nrepo-path=/a\n[main]\nrepo1-path=/b\n"
    assert configured(file, "--stanza=main info").repos[0].path == "/b"


def test_row_empty_value(configured):
    refused(configured, OptionInvalidValueError, MAIN, "--stanza=main --repo1-path= info")
    refused(configured, OptionInvalidValueError, MAIN, "--stanza=main info", HOLDFAST_REPO1_PATH="")
    refused(configured, OptionInvalidValueError, "[global]\nrepo1-path=\n", "info")
    refused(configured, OptionInvalidValueError, "[global]\nlog-level-file=\n", "info")
    refused(configured, OptionInvalidValueError, MAIN, "--stanza= info")
    refused(configured, OptionInvalidValueError, MAIN, "--stanza=main --exclude= backup")


def test_row_bad_value(configured):
    message = refused(configured, OptionInvalidValueError, MAIN, "--stanza=main --process-max=1000 backup")
    assert "process-max" in message
    assert "1 to 999" in message
    message = refused(configured, OptionInvalidValueError, MAIN, "--stanza=main backup", HOLDFAST_REPO2_TYPE="floppy")
    assert "repo2-type" in message
    assert "posix" in message
    assert "environment" in message
    message = refused(configured, OptionInvalidValueError, MAIN + "start-fast=yes\n", "--stanza=main backup")
    assert "start-fast" in message
    assert "y or n" in message


def test_row_secret(configured):
    refused(
        configured, OptionInvalidError, MAIN, "--stanza=main --repo1-cipher-pass=x --repo1-cipher-type=aes-256-cbc info"
    )
    file = "[global]\nrepo1-cipher-type=aes-256-cbc\n"
    assert configured(file, "info", HOLDFAST_REPO1_CIPHER_PASS="x").repos[0].cipher_pass == "x"
    assert configured(file + "repo1-cipher-pass=a=b # c\n", "info").repos[0].cipher_pass == "a=b # c"


# The rest of the rules.


def test_a_repeated_key_is_for_lists_only(configured):
    file = MAIN + "process-max=1\nprocess-max=2\n"
    assert "more than once" in refused(configured, OptionInvalidError, file, "--stanza=main backup")
    file = MAIN + "exclude=a\nexclude=b\nannotation=x=1\nannotation=y=\n"
    config = configured(file, "--stanza=main backup")
    assert (config.exclude, config.annotation) == (("a", "b"), {"x": "1", "y": ""})


def test_the_last_of_a_repeated_map_key_counts_with_a_warning(configured):
    config = configured(MAIN + "link-map=a=/1\nlink-map=b=/2\nlink-map=a=/3\n", "--stanza=main restore")
    assert config.link_map == {"a": "/3", "b": "/2"}
    assert any("link-map has a more than once" in warning for warning in config.warnings)


def test_a_map_entry_without_a_value_is_a_wrong_option(configured):
    assert "key=value" in refused(configured, OptionInvalidError, MAIN + "link-map=a\n", "--stanza=main restore")


def test_an_unmet_dependency_is_an_error_on_the_command_line_only(configured):
    message = refused(configured, OptionInvalidError, MAIN, "--stanza=main --target=x restore")
    assert "--type to be lsn or name or time or xid" in message
    assert "--archive-async" in refused(
        configured, OptionInvalidError, MAIN, "--stanza=main --spool-path=/x archive-push x"
    )
    assert "--online" in refused(
        configured, OptionInvalidError, MAIN, "--stanza=main --no-online --archive-check backup"
    )
    refused(configured, OptionInvalidError, MAIN, "--stanza=main --no-online --no-archive-check backup")
    refused(configured, OptionInvalidError, MAIN, "--set=20260101-010101F info")
    assert configured(MAIN, "--stanza=main restore", HOLDFAST_TARGET="x").target is None
    config = configured(MAIN + "spool-path=/x\n", "--stanza=main archive-push x")
    assert (config.spool_path, config.source("spool-path")) == (None, "default")


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        ("backup", "stanza"),
        ("--stanza=main --type=time restore", "target"),
        ("--stanza=main annotate", "set"),
        ("--stanza=main --set=20260101-010101F annotate", "annotation"),
        ("--stanza=other backup", "pg1-path"),
        ("--stanza=main --repo1-cipher-type=aes-256-cbc backup", "repo1-cipher-pass"),
    ],
)
def test_what_is_required(configured, argv, name):
    message = refused(configured, OptionRequiredError, MAIN, argv)
    assert name in message
    assert "(" in message


def test_a_stanza_without_a_section_is_asked_for(configured):
    assert "section [mian]" in refused(configured, OptionRequiredError, MAIN, "--stanza=mian restore")


def test_only_the_second_cluster_is_configured(configured):
    assert "pg1-path" in refused(configured, OptionRequiredError, "[main]\npg2-path=/data\n", "--stanza=main backup")


def test_archive_push_can_do_without_a_data_directory(configured):
    (pg,) = configured("[global]\n", "--stanza=main archive-push /wal/x").pgs
    assert (pg.key, pg.path) == (1, None)


def test_groups_are_there_for_the_commands_that_have_them(configured):
    assert configured(MAIN, "--stanza=main info").pgs == ()
    stop = configured(MAIN, "--stanza=main stop")
    assert (stop.pgs, stop.repos) == ((), ())
    with pytest.raises(AttributeError, match="pg_version_force"):
        _other = stop.pg_version_force
    with pytest.raises(AttributeError, match="bundle"):
        _other = configured(MAIN, "--stanza=main info").repos[0].bundle


def test_keys_ascend_and_need_not_be_consecutive(configured):
    file = "[global]\nrepo12-path=/l\nrepo3-path=/c\n[main]\npg1-path=/1\npg8-path=/8\npg8-port=5433\n"
    config = configured(file, "--stanza=main check")
    assert [(repo.key, repo.path) for repo in config.repos] == [(3, "/c"), (12, "/l")]
    assert [(pg.key, pg.path, pg.port) for pg in config.pgs] == [(1, "/1", 5432), (8, "/8", 5433)]
    assert config.source("pg-port", 8) == "file"
    assert config.source("pg-port", 1) == "default"


def test_a_key_whose_options_do_not_count_is_not_used(configured):
    file = MAIN + "pg2-port=5433\n[global]\nrepo1-path=/a\nrepo2-bundle-size=30MiB\nrepo3-retention-full=2\n"
    config = configured(file, "--stanza=main backup")
    assert [pg.key for pg in config.pgs] == [1]
    assert [repo.key for repo in config.repos] == [1, 3]
    assert [repo.key for repo in configured(file, "info").repos] == [1], "info has no use for the retention"


def test_check_without_a_stanza_goes_through_all(configured):
    file = "[global]\nprocess-max=2\n[b]\npg1-path=/b\n[a:backup]\ndelta=y\n[a]\npg1-path=/a\n"
    config = configured(file, "check")
    assert (config.stanza, config.stanzas, config.pgs[0].path) == (None, ("a", "b"), None)
    assert [config.replace(stanza=name).pgs[0].path for name in config.stanzas] == ["/a", "/b"]


def test_options_do_not_change(configured):
    config = configured(MAIN, "--stanza=main backup")
    with pytest.raises(AttributeError):
        config.process_max = 2
    with pytest.raises(AttributeError):
        config.repos[0].path = "/x"
    with pytest.raises(AttributeError, match="expire"):
        _other = config.for_command("expire").process_max


def test_replace_is_as_if_it_were_on_the_command_line(configured):
    config = configured(MAIN, "--stanza=main --dry-run --type=full backup")
    other = config.replace(dry_run=False, exclude=("a b", "c"), archive_timeout=90.5, annotation={"a": ""}, repo=1)
    assert (other.dry_run, other.exclude, other.archive_timeout) == (False, ("a b", "c"), 90.5)
    assert (other.annotation, other.repo, other.type, other.exec_id) == ({"a": ""}, 1, "full", config.exec_id)
    assert other.source("archive-timeout") == "command-line"
    assert (other.replace(repo=None).repo, config.dry_run) == (None, True)
    with pytest.raises(OptionInvalidValueError):
        config.replace(repo=2)


def test_another_command_takes_what_it_knows(configured):
    file = MAIN + "[global]\nrepo1-path=/a\nrepo2-path=/b\n[global:expire]\nlog-level-file=debug\n"
    config = configured(file, "--stanza=main --type=full --dry-run backup", HOLDFAST_REPO1_RETENTION_FULL="2")
    expire = config.for_command("expire", repo=2)
    assert (expire.command, expire.stanza, expire.dry_run, expire.repo) == ("expire", "main", True, 2)
    assert (expire.log_level_file, expire.repos[0].retention_full, expire.params) == ("debug", 2, ())
    assert expire.exec_id == config.exec_id


def test_a_config_can_be_copied(configured):
    config = copy.deepcopy(configured(MAIN, "--stanza=main backup"))
    assert (config.stanza, config.repos[0].key, config.pgs[0].path) == ("main", 1, "/data/main")


def test_help_and_version_need_no_readable_configuration(configured):
    broken = "not a configuration"
    refused(configured, FormatError, broken, "info")
    assert load(["help", "backup"], {"HOLDFAST_PG_PATH": "x"}).params == ("backup",)
    assert load(["version", "--output=num"], {"HOLDFAST_CONFIG": "/missing"}).output == "num"


def test_the_options_in_the_log(configured):
    file = MAIN + (
        "pg2-path=/data/two\nstart-fast=n\n[global]\nrepo2-path=/b\nrepo2-cipher-type=aes-256-cbc\n"
        "repo2-cipher-pass=hunter2\nrepo1-bundle-size=1MiB\n"
    )
    config = configured(
        file,
        "--stanza=main --reset-delta --no-resume --exclude=a --annotation=x=1 --exclude=c backup",
        HOLDFAST_REPO2_RETENTION_FULL="3",
    )
    shown = [text for text in render_options(config) if not text.startswith(("--config=", "--exec-id="))]
    assert shown == [
        "--annotation=x=1",
        "--reset-delta",
        "--exclude=a",
        "--exclude=c",
        "--pg1-path=/data/main",
        "--pg2-path=/data/two",
        "--repo2-cipher-pass=<redacted>",
        "--repo2-cipher-type=aes-256-cbc",
        "--repo2-path=/b",
        "--repo2-retention-full=3",
        "--no-resume",
        "--stanza=main",
        "--no-start-fast",
    ]


def test_a_value_with_blanks_is_quoted_in_the_log(tmp_path):
    argv = ["--no-config", "--stanza=main", "--pg1-path=/d", "--type=time", "--target=2026-01-01 12:00", "restore"]
    config = load(argv, {})
    assert '--target="2026-01-01 12:00"' in render_options(config)
    assert "--target=2026-01-01 12:00" in config.arguments()


def test_the_arguments_of_a_background_process_give_the_same_config(configured):
    file = MAIN + "[global]\narchive-async=y\nrepo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=hunter2\nprocess-max=3\n"
    config = configured(file, "--stanza=main --archive-timeout=5s --no-archive-header-check archive-push pg_wal/x")
    arguments = config.replace(log_level_console="off").arguments()
    assert not any("hunter2" in argument or "process-max" in argument for argument in arguments)
    again = load([*arguments, "archive-push:async", "/data/main/pg_wal"], {})
    assert (again.role, again.params, again.exec_id) == ("async", ("/data/main/pg_wal",), config.exec_id)
    assert (again.archive_timeout, again.archive_header_check, again.log_level_console) == (5.0, False, "off")
    assert (again.process_max, again.repos[0].cipher_pass, again.pgs[0].path) == (3, "hunter2", "/data/main")


def test_a_relative_configuration_file_is_found_from_elsewhere_too(tmp_path, monkeypatch):
    (tmp_path / "my.conf").write_text(MAIN)
    monkeypatch.chdir(tmp_path)
    for config in (load(["--config=my.conf", "info"], {}), load(["info"], {"HOLDFAST_CONFIG": "my.conf"})):
        assert config.stanzas == ("main",)
        assert f"--config={tmp_path}/my.conf" in config.arguments()


def test_no_config_reads_nothing(tmp_path):
    assert load(["--no-config", "info"], {"HOLDFAST_CONFIG": str(tmp_path / "missing")}).stanzas == ()


def test_every_run_has_its_own_id(configured):
    first, second = (configured(MAIN, "info").exec_id for _other in range(2))
    assert first != second
    assert first.startswith(f"{os.getpid()}-")
    assert configured(MAIN, "--exec-id=1-00000001 info").exec_id == "1-00000001"


PGBACKREST_CONF = """\
# pgBackRest of the shop cluster
[global]
repo1-path=/srv/backup
repo1-retention-full=4
repo1-retention-diff=6
repo1-retention-archive-type=diff
repo1-bundle=y
repo1-block=y
repo1-cipher-type=aes-256-cbc
repo1-cipher-pass=zWaf6XtpjIVZC5444yXB+cgFDFl7MxGlgkZSaoPvTGirhPygu4jOKOXf9LO4vjfO
process-max=4
log-level-console=info
log-level-file=detail
log-path=/var/log/pgbackrest
lock-path=/tmp/pgbackrest
spool-path=/var/spool/pgbackrest
start-fast=y
stop-auto=y
delta=y
compress-type=lz4
compress-level-network=3
archive-async=y
archive-push-queue-max=4GiB
tls-server-address=*
tls-server-auth=client=shop
tls-server-cert-file=/etc/pgbackrest/cert.pem
tls-cipher-12=HIGH
sck-keep-alive=y
tcp-keep-alive-idle=60

[global:archive-push]
process-max=2
compress-level=1

[global:archive-get]
process-max=2

[global:server]
log-level-file=off

[shop]
pg1-path=/var/lib/postgresql/15/shop
pg1-port=5433
pg1-socket-path=/var/run/postgresql
pg1-user=backup
recovery-option=primary_conninfo=host=db1 port=5433 user=replicator
exclude=pg_log/
"""


def test_a_pgbackrest_configuration_works_as_it_is(configured):
    config = configured(PGBACKREST_CONF, "--stanza=shop --type=diff backup")
    (repo,), (pg,) = config.repos, config.pgs
    assert (repo.path, repo.bundle, repo.block, len(repo.cipher_pass)) == ("/srv/backup", True, True, 64)
    assert (repo.retention_full, repo.retention_diff, repo.retention_archive) == (4, 6, 6)
    assert (config.compress_type, config.compress_level, config.process_max) == ("lz4", 1, 4)
    assert (pg.path, pg.port, pg.user) == ("/var/lib/postgresql/15/shop", 5433, "backup")
    assert (config.exclude, config.delta, config.start_fast) == (("pg_log/",), True, True)
    assert sorted(config.warnings) == [
        "not supported yet: tls-cipher-12",
        "option stop-auto is deprecated: it has no effect: what PostgreSQL 9.3 to 9.5 needed it for is always done",
    ]
    push = configured(PGBACKREST_CONF, "--stanza=shop archive-push pg_wal/000000010000000000000001")
    assert (push.process_max, push.compress_level, push.archive_push_queue_max) == (2, 1, 4 << 30)
    assert (push.spool_path, push.warnings) == ("/var/spool/pgbackrest", ("not supported yet: tls-cipher-12",))
    restore = configured(PGBACKREST_CONF, "--stanza=shop restore")
    assert restore.recovery_option == {"primary_conninfo": "host=db1 port=5433 user=replicator"}
    assert restore.delta is True
    assert configured(PGBACKREST_CONF, "info").log_level_file == "detail"
