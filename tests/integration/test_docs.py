# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of the documentation do what it says: each block marked ```sh run is run, in its order.

A page speaks of a host; here its cluster, labels and moments are those of a throwaway cluster.
"""

from __future__ import annotations

import re
import shlex
import textwrap
import time
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^( *)```sh run\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SERVICE = "sudo systemctl {} postgresql@15-main"


def runnable_lines(page: Path) -> list[str]:
    """The commands of all marked blocks; what a backslash continues is one."""
    blocks = [textwrap.dedent(match[2]) for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


class Host:
    """A cluster as the pages have it, with `holdfast`, `psql` and `sudo` on the PATH."""

    def __init__(self, workshop: Workshop) -> None:
        self.cluster = cluster = workshop.cluster(wal_segment_mb=1)
        self._holdfast = holdfast = workshop.holdfast(cluster, repo1_retention_full=9)
        workshop.archive(cluster, holdfast)
        cluster.start()
        holdfast.stanza_create()
        cluster.sql("create table ledger (id int)")
        label = holdfast.backup("full")
        cluster.sql("insert into ledger values (1)")
        time.sleep(1.1)  # a set is chosen only for a time in a later second than the one in which its backup ended
        moment = str(cluster.value("select clock_timestamp()"))
        lsn = str(cluster.value("select pg_current_wal_insert_lsn()"))
        time.sleep(0.01)
        cluster.sql("insert into ledger values (2)")
        cluster.wait_archived(cluster.switch_wal())
        self._real = {"2026-01-01 12:00:00+00": moment, "20260101-010000F": label, "0/30000A0": lsn,
                      "/srv/copy": str(workshop.path("copy"))}  # fmt: skip
        programs = account.make_directory(workshop.path("bin"))
        launcher = shlex.join([*holdfast.start, f"--config={holdfast.config}"])
        self._program(programs, "holdfast", f'exec {launcher} "$@"')
        self._program(programs, "sudo", 'shift 2; exec "$@"')  # always -u postgres: whose shell this is already
        self._environ = {"PATH": f"{programs}:{cluster.server.bin}:/usr/bin:/bin", "PGUSER": "postgres",
                         "PGHOST": str(cluster.socket_path), "PGPORT": str(cluster.port)}  # fmt: skip

    @staticmethod
    def _program(folder: Path, name: str, text: str) -> None:
        account.write_file(folder / name, f"#!/bin/sh\n{text}\n", 0o755)

    def run(self, line: str) -> str:
        if line == SERVICE.format("stop"):
            self.cluster.stop()
        elif line == SERVICE.format("start"):
            self.cluster.start()
            self.cluster.wait_for("select not pg_is_in_recovery() or pg_get_wal_replay_pause_state() = 'paused'")
        else:
            for placeholder, real in self._real.items():
                line = line.replace(placeholder, real)
            done = account.run(["sh", "-euc", line], environ=self._environ)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            return done.stdout + done.stderr
        if line == SERVICE.format("start") and self.cluster.value("select pg_is_in_recovery()"):
            assert self.rows() == 1, "recovery has stopped at the moment"
        return ""

    def rows(self) -> int:
        return int(self.cluster.value("select count(*) from ledger"))


@pytest.mark.parametrize("page", ["README.md", "docs/restore.md"])
def test_the_commands_of_a_page_do_what_it_says(workshop: Workshop, page: str) -> None:
    lines = runnable_lines(ROOT / page)
    assert any("restore" in line for line in lines)
    host = Host(workshop)
    for line in lines:
        host.run(line)
        if "pg_wal_replay_resume" in line:
            host.cluster.wait_for("select not pg_is_in_recovery()")
    assert host.rows() == 1, "the row from after the moment is gone"
