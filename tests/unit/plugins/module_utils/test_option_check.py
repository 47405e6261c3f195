# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ConfigError,
    FeatureNotSupportedError,
    OptionInvalidError,
    OptionInvalidValueError,
    OptionRequiredError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load

CODES = {
    ConfigError: 27,
    FeatureNotSupportedError: 67,
    OptionInvalidError: 31,
    OptionInvalidValueError: 32,
    OptionRequiredError: 37,
}


def configured(argv, **options):
    """options: of the environment, repo1_path=... for repo1-path."""
    environ = {f"HOLDFAST_{name.upper()}": value for name, value in options.items()}
    return load(["--no-config", "--stanza=main", "--pg1-path=/data", *argv.split()], environ)


def without_pg(argv, **options):
    environ = {f"HOLDFAST_{name.upper()}": value for name, value in options.items()}
    return load(["--no-config", *argv.split()], environ)


def refused(kind, make, argv, **options):
    with pytest.raises(kind) as caught:
        make(argv, **options)
    assert caught.value.code == CODES[kind]
    assert caught.value.hint
    return caught.value.message


def test_the_repository_that_is_asked_for_has_to_be_there():
    assert "no repo3" in refused(
        OptionInvalidValueError, configured, "--repo=3 backup", repo1_path="/a", repo2_path="/b"
    )
    assert configured("--repo=2 backup", repo1_path="/a", repo2_path="/b").repo == 2


def test_stanza_delete_asks_which_repository():
    refused(OptionRequiredError, configured, "stanza-delete", repo1_path="/a", repo2_path="/b")
    refused(OptionRequiredError, configured, "stanza-delete", repo2_path="/b")
    assert configured("stanza-delete", repo1_path="/a").repo is None
    assert configured("--repo=2 stanza-delete", repo1_path="/a", repo2_path="/b").repo == 2


def test_two_repositories_do_not_share_a_path():
    assert "repo2-path and repo5-path" in refused(
        OptionInvalidValueError, configured, "check", repo1_path="/a", repo2_path="/b/", repo5_path="/b"
    )
    assert len(configured("check", repo1_path="/a", repo2_path="/a", repo2_type="cifs").repos) == 2


@pytest.mark.parametrize(
    ("options", "protocol", "db"),
    [
        ({}, 1860, 1800),
        ({"db_timeout": "1h"}, 3630, 3600),
        ({"db_timeout": "10s"}, 1860, 10),
        ({"protocol_timeout": "10m"}, 600, 570),
        ({"protocol_timeout": "45s"}, 45, 15),
        ({"protocol_timeout": "44s"}, 44, 22),
        ({"protocol_timeout": "1h"}, 3600, 1800),
        ({"protocol_timeout": "2m", "db_timeout": "1m"}, 120, 60),
    ],
)
def test_one_timeout_follows_the_other(options, protocol, db):
    config = configured("backup", **options)
    assert (config.protocol_timeout, config.db_timeout) == (protocol, db)


@pytest.mark.parametrize("timeout", ["1m", "59s"])
def test_timeouts_that_contradict_each_other(timeout):
    message = refused(OptionInvalidValueError, configured, "check", protocol_timeout=timeout, db_timeout="1m")
    assert "longer" in message


def test_a_command_without_database_has_no_such_conflict():
    assert without_pg("info", protocol_timeout="1s", db_timeout="1m").protocol_timeout == 1.0


@pytest.mark.parametrize(
    ("options", "archive"),
    [
        ({}, None),
        ({"retention_full": "3"}, 3),
        ({"retention_full": "3", "retention_full_type": "time"}, None),
        ({"retention_full": "3", "retention_archive": "1"}, 1),
        ({"retention_full": "3", "retention_archive_type": "diff"}, None),
        ({"retention_full": "3", "retention_diff": "5", "retention_archive_type": "diff"}, 5),
        ({"retention_full": "3", "retention_diff": "5", "retention_archive_type": "diff", "retention_archive": "2"}, 2),
        ({"retention_full": "3", "retention_archive_type": "diff", "retention_archive": "2"}, 2),
        ({"retention_full": "3", "retention_archive_type": "incr"}, None),
        ({"retention_full": "3", "retention_archive_type": "incr", "retention_archive": "7"}, 7),
    ],
)
def test_how_many_backups_keep_their_wal_unless_it_was_said(options, archive):
    given = {"repo2_path": "/b", **{f"repo2_{name}": value for name, value in options.items()}}
    assert configured("--repo=2 backup", **given).repos[0].retention_archive == archive
    assert without_pg("--stanza=main expire", **given).repos[0].retention_archive == archive


def retention_warnings(**options):
    return [warning for warning in without_pg("expire --stanza=main", **options).warnings if "retention" in warning]


def test_what_is_never_expired_is_worth_a_warning():
    (warning,) = retention_warnings()
    assert "repo1-retention-full is not set" in warning
    assert retention_warnings(repo1_retention_full="2") == []
    assert len(retention_warnings(repo1_path="/a", repo2_path="/b", repo2_retention_full="1")) == 1
    for options in (
        {"retention_archive_type": "diff"},
        {"retention_archive_type": "incr"},
        {"retention_archive_type": "diff", "retention_archive": "2"},
    ):
        (warning,) = retention_warnings(
            repo4_retention_full="1", **{f"repo4_{name}": value for name, value in options.items()}
        )
        assert "repo4-retention-archive" in warning


def test_only_the_repository_that_is_used_is_judged():
    options = {"repo1_path": "/a", "repo2_type": "s3", "repo2_s3_bucket": "b", "repo2_s3_endpoint": "e"}
    options |= {"repo2_s3_region": "r", "repo2_s3_key": "k", "repo2_s3_key_secret": "s"}
    assert len(configured("backup", **options).repos) == 2
    assert without_pg("--stanza=main --repo=1 expire", **options).repo == 1
    for argv in ("archive-push x", "check", "backup --repo=2", "restore"):
        assert "repo2-type s3 is not supported" in refused(FeatureNotSupportedError, configured, argv, **options)


@pytest.mark.parametrize("kind", ["s3", "azure", "gcs", "sftp"])
def test_a_storage_that_we_do_not_have_is_never_taken_for_a_directory(kind):
    options = {
        "s3": {"bucket": "b", "endpoint": "e", "region": "r", "key": "k", "key_secret": "s"},
        "azure": {"account": "a", "container": "c", "key": "k"},
        "gcs": {"bucket": "b", "key": "k"},
        "sftp": {"host": "h", "host_user": "u", "private_key_file": "f", "host_key_hash_type": "sha256"},
    }[kind]
    given = {f"repo1_{kind}_{name}": value for name, value in options.items()}
    refused(FeatureNotSupportedError, without_pg, "repo-ls", repo1_type=kind, **given)
    name = next(iter(given))
    refused(
        OptionRequiredError, without_pg, "repo-ls", repo1_type=kind, **{k: v for k, v in given.items() if k != name}
    )


def test_another_host_is_never_taken_for_this_one():
    assert "repo1-host" in refused(FeatureNotSupportedError, configured, "archive-push x", repo1_host="b")
    assert "repo1-host" in refused(FeatureNotSupportedError, without_pg, "info", repo1_host="b")
    assert "pg1-host" in refused(FeatureNotSupportedError, configured, "backup", pg1_host="b")
    assert "both" in refused(ConfigError, configured, "backup", pg1_host="b", repo1_host="c")


def test_archiving_and_restore_find_out_themselves_where_the_cluster_is():
    for argv in ("archive-push x", "archive-get x y", "restore"):
        assert configured(argv, pg1_host="b", pg2_path="/c").pgs[0].host == "b"


def test_what_is_ignored_is_said_once():
    config = without_pg("info", repo1_path="/a", tls_cipher_12="HIGH", tls_cipher_13="X")
    assert config.warnings == ("not supported yet: tls-cipher-12, tls-cipher-13",)


def test_a_report_that_we_cannot_make_is_no_check_instead():
    assert "report" in refused(FeatureNotSupportedError, configured, "--report check")


def test_versions_of_a_repository_cannot_be_read_yet():
    options = {"repo_target_time": "2026-01-01 00:00:00+00"}
    refused(OptionInvalidError, without_pg, "info", **options)
    refused(FeatureNotSupportedError, without_pg, "--repo=1 info", **options)


def test_both_ways_to_say_how_to_compress():
    config = configured("--compress=n --compress-type=gz backup")
    assert config.compress_type == "gz"
    assert any("compress is ignored" in warning for warning in config.warnings)


S3 = {"s3_bucket": "a.b", "s3_endpoint": "e", "s3_region": "r", "s3_key": "k", "s3_key_secret": "s", "type": "s3"}
SFTP = {
    "sftp_host": "h",
    "sftp_host_user": "u",
    "sftp_private_key_file": "f",
    "sftp_host_key_hash_type": "sha256",
    "type": "sftp",
}


def stored(common, **options):
    """Options of repo1."""
    return {f"repo1_{name}": value for name, value in {**common, **options}.items()}


def test_a_dot_in_a_bucket_does_not_go_with_certificates():
    assert "repo1-s3-bucket" in refused(OptionInvalidValueError, without_pg, "info", **stored(S3))
    for options in ({"s3_uri_style": "path"}, {"storage_verify_tls": "n"}, {"s3_bucket": "ab"}):
        refused(FeatureNotSupportedError, without_pg, "info", **stored(S3, **options))


def test_fingerprints_of_host_keys():
    refused(OptionRequiredError, without_pg, "info", **stored(SFTP, sftp_host_key_check_type="fingerprint"))
    strict = stored(SFTP, sftp_host_key_check_type="strict", sftp_host_fingerprint="ab")
    assert "strict" in refused(OptionInvalidError, without_pg, "info", **strict)
    for options in (
        {},
        {"sftp_host_fingerprint": "ab"},
        {"sftp_host_key_check_type": "fingerprint", "sftp_host_fingerprint": "ab"},
    ):
        refused(FeatureNotSupportedError, without_pg, "info", **stored(SFTP, **options))
