# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demonstration shows what it promises, on every server, and leaves nothing running."""

from __future__ import annotations

import re
from pathlib import Path

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.playbook import Playbook
from ansible_collections.holdfast.postgres.tests.support.servers import USUAL, Server

DEMO = Path(__file__).resolve().parents[2] / "playbooks" / "demo.yml"
STEPS = ["install the engine", "full backup", "restore", "recover to the moment"]


def test_the_rows_are_back_and_nothing_runs(each_server: Server, scratch: Path) -> None:
    playbook = Playbook(scratch / "play")
    # A space, because paths of users have them.
    workdir = account.make_directory(scratch / "a b")
    output = playbook.run_file(DEMO, holdfast_demo_bindir=each_server.bin, holdfast_demo_workdir=workdir)
    for row in (r"1 +anchor +2", r"2 +rope +40", r"3 +lantern +3", r"4 +compass +1", r"5 +chart +7"):
        assert re.search(row, output), f"{row} is not in the output"
    for step in STEPS:
        assert re.search(rf"{step} +[0-9.]+ s", output)
    # The last line is a command to go on with.
    (command,) = re.findall(r'"([^"\n]+/bin/holdfast.* info)"', output)
    assert "full backup" in account.run(["sh", "-c", command]).stdout
    running = account.run(["pgrep", "-f", "--", str(workdir)]).stdout.split()
    assert running == []
    if each_server.major == USUAL:  # a second run starts over, with whatever server
        playbook.run_file(DEMO, holdfast_demo_bindir=each_server.bin, holdfast_demo_workdir=workdir)
