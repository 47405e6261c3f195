# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The roles, without root, on a cluster as initdb makes it; every path lies below a folder whose name has a space."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.playbook import Playbook, write_play

SECRET = "correct horse battery staple"
ROLES = ["install", "configure"]


class Host:
    """A cluster that runs, and the variables that move everything of the roles below one folder."""

    def __init__(self, workshop: Workshop) -> None:
        self.base = account.make_directory(workshop.path("a b"))
        self.playbook = Playbook(self.base / "play")
        self.cluster: Cluster = workshop.cluster().start()
        who = account.account()
        self.variables: dict[str, Any] = {
            "holdfast_prefix": self.base / "prefix",
            "holdfast_user": who.pw_name,
            "holdfast_group": str(who.pw_gid),
            "holdfast_repository_path": self.base / "repository",
            "holdfast_spool_path": self.base / "spool",
            "holdfast_log_path": self.base / "log",
            "holdfast_lock_path": self.base / "lock",
            "holdfast_config_path": self.base / "etc",
            "holdfast_install_method": "interpreter",
            "holdfast_install_python": sys.executable,
            "holdfast_options": {"repo1-retention-full": 2, "repo1-bundle": True},
            "holdfast_stanzas": [
                {
                    "name": "main",
                    "path": self.cluster.data,
                    "port": self.cluster.port,
                    "socket_path": self.cluster.socket_path,
                    "user": "postgres",
                    "bin_dir": self.cluster.server.bin,
                    "options": {"exclude": ["log/", "tmp/"]},
                }
            ],
        }

    def apply(self, *arguments: str, **variables: Any) -> str:
        path = write_play(self.base / "roles.yml", ROLES, {**self.variables, **variables})
        return self.playbook.run_file(path, *arguments)

    def changed(self) -> int:
        return self.playbook.changed_tasks()


@pytest.fixture
def host(workshop: Workshop) -> Host:
    return Host(workshop)


def test_a_cluster_archives_after_one_run_and_the_next_changes_nothing(host: Host) -> None:
    before = host.cluster.value("select pg_postmaster_start_time()")
    host.apply("--check")
    assert sorted(path.name for path in host.base.iterdir()) == ["play", "roles.yml"]
    assert host.cluster.value("show archive_mode") == "off"

    host.apply(holdfast_configure_restart=True)
    assert host.cluster.value("show archive_mode") == "on"
    started = host.cluster.value("select pg_postmaster_start_time()")
    assert started != before
    segment = host.cluster.value("select last_archived_wal from pg_stat_archiver")
    assert list((host.base / "repository").rglob(f"{segment}-*"))

    host.apply(holdfast_configure_restart=True)
    assert host.changed() == 0
    host.apply("--check", holdfast_configure_restart=True)
    assert host.changed() == 0
    assert host.cluster.value("select pg_postmaster_start_time()") == started


def test_postgresql_is_not_restarted_unless_that_is_allowed(host: Host) -> None:
    started = host.cluster.value("select pg_postmaster_start_time()")
    output = host.apply()
    assert "holdfast_configure_restart" in output
    assert host.cluster.value("select pg_postmaster_start_time()") == started
    assert (host.base / "repository" / "archive" / "main" / "archive.info").exists()
    # As soon as somebody has restarted it, the role finishes its work.
    host.cluster.restart()
    assert "holdfast_configure_restart" not in host.apply()
    assert list((host.base / "repository").rglob("0000000100000000000000*"))


def test_the_configuration_is_what_the_variables_say(host: Host) -> None:
    secrets = {"global": {"repo1-cipher-pass": SECRET}}
    options = {**host.variables["holdfast_options"], "repo1-cipher-type": "aes-256-cbc"}
    output = host.apply(
        "-vvv", "--diff",
        holdfast_options=options,
        holdfast_secrets=secrets,
        holdfast_configure_sections={"global:archive-push": {"compress-type": "lz4"}},
    )  # fmt: skip
    assert SECRET not in output
    text = (host.base / "etc" / "holdfast.conf").read_text()
    for lines in (
        "[global]\n",
        f"repo1-path={host.base}/repository\n",
        "repo1-bundle=y\n",
        "[global:archive-push]\ncompress-type=lz4\n",
        "[main]\nexclude=log/\nexclude=tmp/\n",
        f"pg1-path={host.cluster.data}\n",
    ):
        assert lines in text
    assert "None" not in text and "{" not in text
    path = host.base / "etc" / "conf.d" / "secrets.conf"
    assert path.read_text().endswith(f"[global]\nrepo1-cipher-pass={SECRET}\n")
    assert path.stat().st_mode & 0o777 == 0o640
    # The stanza is encrypted, so the secret was found where it is.
    assert not (host.base / "repository" / "archive" / "main" / "archive.info").read_bytes().startswith(b"[")
    host.apply(holdfast_repository_path=host.base / "other")
    assert not path.exists()


def test_the_engine_can_be_removed_and_what_it_made_stays(host: Host) -> None:
    host.apply(holdfast_stanzas=[])
    launcher = host.base / "prefix" / "bin" / "holdfast"
    assert os.path.lexists(launcher)
    path = write_play(host.base / "remove.yml", ["install"], {**host.variables, "holdfast_install_state": "absent"})
    host.playbook.run_file(path)
    assert not os.path.lexists(launcher) and not (host.base / "prefix" / "lib" / "holdfast").exists()
    assert (host.base / "repository").is_dir() and (host.base / "etc" / "holdfast.conf").exists()
    host.playbook.run_file(path)
    assert host.changed() == 0
    assert Path(host.base / "log").is_dir()


@pytest.mark.root
def test_root_becomes_the_owner_of_the_cluster(workshop: Workshop) -> None:
    """As where Ansible connects as root: the engine belongs to root, and what it writes to the cluster's owner."""
    host = Host(workshop)
    host.playbook = Playbook(host.base / "root", as_root=True)
    host.base.chmod(0o755)
    host.variables["holdfast_group"] = "{{ holdfast_user }}"
    for arguments in ([], ["--become", "--become-user=root"]):
        host.apply("--become-method=su", *arguments, holdfast_configure_restart=True)
    assert host.changed() == 0
    owners = {name: (host.base / name).owner() for name in ("prefix", "etc/holdfast.conf", "repository", "log")}
    cluster = account.account().pw_name
    assert owners == {"prefix": "root", "etc/holdfast.conf": "root", "repository": cluster, "log": cluster}
    assert {path.owner() for path in (host.base / "repository").rglob("*")} == {cluster}
    assert host.cluster.value("show archive_mode") == "on"
