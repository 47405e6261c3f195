# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules that concern more than one option, and values that follow from other values.

The defaulting of repo-retention-archive is here, too, so that backup, expire and whoever shows the configuration see
the same number. Only repositories and clusters that the command would use are judged.
"""

from __future__ import annotations

from typing import Any

from .errors import (
    ConfigError,
    FeatureNotSupportedError,
    OptionInvalidError,
    OptionInvalidValueError,
    OptionRequiredError,
)
from .option_resolve import Draft
from .option_table import OPTIONS
from .option_type import Choice

PROTOCOL_MARGIN = 30.0  # seconds that protocol-timeout is longer than db-timeout
LOWEST_REPO = frozenset({"backup", "repo-get", "repo-ls", "verify"})  # use one repository unless --repo says which
LOCAL_PG = frozenset({"archive-get", "archive-push", "restore"})  # find out themselves that the cluster is elsewhere


def check(draft: Draft) -> None:
    """Complete the values of a draft and refuse what contradicts itself; adds to its warnings."""
    _check_repo_choice(draft)
    used = used_repos(draft)
    _warn_deprecated(draft)
    for key, repo in used.items():
        _check_s3_bucket(key, repo)
        _check_sftp(draft, key, repo)
    _check_supported(draft, used)
    _check_repo_paths(draft)
    _set_timeouts(draft)
    if "retention_full" in next(iter(draft.groups["repo"].values()), {}):
        for key, repo in used.items():
            _set_retention(draft, key, repo)


def used_repos(draft: Draft) -> dict[int, dict[str, Any]]:
    """The repositories that the command works on: the one of --repo, the first one, or all."""
    repos = draft.groups["repo"]
    chosen = draft.values.get("repo")
    if chosen is not None:
        return {chosen: repos[chosen]}
    if draft.command in LOWEST_REPO:
        return dict(list(repos.items())[:1])
    return repos


def _check_repo_choice(draft: Draft) -> None:
    repos = draft.groups["repo"]
    chosen = draft.values.get("repo")
    if chosen is not None and chosen not in repos:
        known = ", ".join(str(key) for key in repos)
        raise OptionInvalidValueError(f"option repo is {chosen}, but there is no repo{chosen}", f"allowed: {known}")
    if draft.command == "stanza-delete" and chosen is None and list(repos) != [1]:
        raise OptionRequiredError("stanza-delete needs option repo", "say from which repository: --repo=<key>")
    if draft.values.get("repo_target_time") is not None and chosen is None:
        raise OptionInvalidError("option repo-target-time needs option repo", "add --repo=<key>")


def _warn_deprecated(draft: Draft) -> None:
    for name, key in sorted(draft.given):
        if OPTIONS[name].deprecated and draft.is_given(name, key):
            draft.warnings.append(f"option {OPTIONS[name].full_name(key)} is deprecated: {OPTIONS[name].deprecated}")


def _check_supported(draft: Draft, used: dict[int, dict[str, Any]]) -> None:
    """What we know but cannot do: an error where ignoring it would do something else, otherwise one warning for all."""
    pg_host, repo_host = _is_remote(draft, "pg"), _is_remote(draft, "repo")
    if pg_host and repo_host:
        raise ConfigError(
            f"{pg_host} and {repo_host} cannot both be on other hosts", "run the command on one of the two hosts"
        )
    ignored: list[str] = []
    for name, key in sorted(draft.given):
        option = OPTIONS[name]
        unused = option.group == "repo" and key not in used
        if option.supported or unused or not draft.is_given(name, key):
            continue
        if not option.essential:
            ignored.append(option.full_name(key))
        elif not (option.group == "pg" and draft.command in LOCAL_PG):
            raise FeatureNotSupportedError(f"option {option.full_name(key)} is not supported yet", _way_round(name))
    if ignored:
        draft.warnings.append("not supported yet: " + ", ".join(ignored))
    kinds = OPTIONS["repo-type"].any_type
    for key, repo in used.items():
        if isinstance(kinds, Choice) and repo["type"] in kinds.later:
            raise FeatureNotSupportedError(
                f"repo{key}-type {repo['type']} is not supported yet", "use posix, or --repo to work on another one"
            )


def _is_remote(draft: Draft, group: str) -> str:
    """The name of the first host option of a group, or empty."""
    for key, values in draft.groups[group].items():
        if values.get("host") is not None:
            return f"{group}{key}-host"
    return ""


def _way_round(name: str) -> str:
    if name == "pg-host":
        return "run the command on the host of the cluster; Ansible reaches it there"
    if name == "repo-host":
        return "mount the repository on this host and leave repo-host out"
    return "leave it out"


def _check_repo_paths(draft: Draft) -> None:
    seen: dict[tuple[str, str], int] = {}
    for key, repo in draft.groups["repo"].items():
        if repo["type"] not in ("posix", "cifs") or repo["host"] is not None:
            continue
        first = seen.setdefault((repo["type"], repo["path"]), key)
        if first != key:
            raise OptionInvalidValueError(
                f"repo{first}-path and repo{key}-path are both {repo['path']}", "each repository needs its own path"
            )


def _set_timeouts(draft: Draft) -> None:
    """protocol-timeout has to outlast db-timeout; when only one is given the other follows it."""
    values = draft.values
    if "db_timeout" not in values or values["protocol_timeout"] > values["db_timeout"]:
        return
    if not draft.is_given("protocol-timeout"):
        values["protocol_timeout"] = values["db_timeout"] + PROTOCOL_MARGIN
    elif not draft.is_given("db-timeout"):
        shorter = values["protocol_timeout"] - PROTOCOL_MARGIN
        values["db_timeout"] = shorter if shorter >= PROTOCOL_MARGIN / 2 else values["protocol_timeout"] / 2
    else:
        raise OptionInvalidValueError(
            f"protocol-timeout ({values['protocol_timeout']:g} s) has to be longer than db-timeout"
            f" ({values['db_timeout']:g} s)",
            "leave one of the two out, and it follows the other",
        )


def _check_s3_bucket(key: int, repo: dict[str, Any]) -> None:
    if repo["s3_uri_style"] == "host" and repo["storage_verify_tls"] and "." in repo["s3_bucket"]:
        raise OptionInvalidValueError(
            f"repo{key}-s3-bucket has a dot, so no certificate can match its host name",
            f"set repo{key}-s3-uri-style=path, or use a bucket without a dot",
        )


def _check_sftp(draft: Draft, key: int, repo: dict[str, Any]) -> None:
    check_type = repo["sftp_host_key_check_type"]
    fingerprint = repo["sftp_host_fingerprint"]
    if check_type == "fingerprint" and fingerprint is None:
        raise OptionRequiredError(
            f"repo{key}-sftp-host-key-check-type=fingerprint needs repo{key}-sftp-host-fingerprint",
            "ssh-keyscan and ssh-keygen -lf show it",
        )
    if check_type == "strict" and fingerprint is not None:
        if draft.is_given("repo-sftp-host-key-check-type", key):
            raise OptionInvalidError(
                f"repo{key}-sftp-host-fingerprint does not go with repo{key}-sftp-host-key-check-type=strict",
                f"set repo{key}-sftp-host-key-check-type=fingerprint",
            )
        repo["sftp_host_key_check_type"] = "fingerprint"
        draft.warnings.append(
            f"repo{key}-sftp-host-fingerprint without repo{key}-sftp-host-key-check-type=fingerprint is deprecated"
        )


def _set_retention(draft: Draft, key: int, repo: dict[str, Any]) -> None:
    """How many backups keep their WAL, when it was not said; left None where it depends on the backups that exist."""
    name = f"repo{key}-retention"
    if repo["retention_full"] is None:
        draft.warnings.append(
            f"{name}-full is not set, the repository may run out of space\n"
            f"HINT: to keep all full backups on purpose, set {name}-full=9999999"
        )
    kind, diff = repo["retention_archive_type"], repo["retention_diff"]
    if repo["retention_archive"] is None:
        if kind == "full" and repo["retention_full_type"] == "count":
            repo["retention_archive"] = repo["retention_full"]
        elif kind == "diff":
            repo["retention_archive"] = diff
        if kind != "full" and repo["retention_archive"] is None:
            draft.warnings.append(
                f"{name}-archive-type is {kind}, but neither {name}-archive nor what it would follow is set:"
                " WAL is not expired"
            )
    elif kind == "diff" and diff is None:
        draft.warnings.append(
            f"{name}-archive-type is diff and {name}-archive is set, but {name}-diff is not: the last fulls count"
        )
