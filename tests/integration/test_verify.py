# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify on the backups of every version of PostgreSQL, and as a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import damage
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.playbook import Playbook, module
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast
from ansible_collections.holdfast.postgres.tests.support.servers import Server


@pytest.fixture(scope="module")
def backed_up(module_workshop: Workshop, each_server: Server) -> Holdfast:
    """A full and a block incremental backup, with all kinds of WAL files in the archive."""
    cluster = module_workshop.cluster(each_server, wal_segment_mb=1)
    repository = module_workshop.path("repo")
    holdfast = module_workshop.holdfast(cluster, repo1_path=repository, repo1_bundle=True, repo1_block=True)
    module_workshop.archive(cluster, holdfast)
    cluster.start()
    holdfast.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 20000) id")
    holdfast.backup("full")
    cluster.sql("update thing set name = upper(name) where id % 500 = 0")
    holdfast.backup("incr")
    cluster.wait_archived(cluster.switch_wal())
    cluster.stop()
    return holdfast


@pytest.mark.parametrize("content", [None, True], ids=["stored", "content"])
def test_a_sound_repository_is_sound(backed_up: Holdfast, content: bool | None) -> None:
    report = backed_up.run("verify", output="json", check_content=content, process_max=2, fail_on_error=True).json
    assert report["status"] == "ok" and report["totals"]["files"] == report["totals"]["files_valid"] > 1000
    (archive,) = report["archives"]
    assert archive["segment_size"] == 1 << 20 and archive["checked"] == archive["valid"] > 2
    assert [backup["status"] for backup in report["backups"]] == ["valid", "valid"]


@pytest.fixture(scope="module")
def task(backed_up: Holdfast) -> Any:
    def make(**arguments: Any) -> Any:
        return module("verify", stanza="main", config=backed_up.config, **arguments)

    return make


def test_the_module_fails_where_something_is_wrong(backed_up: Holdfast, task: Any, module_workshop: Workshop) -> None:
    playbook = Playbook(module_workshop.path("play"))
    (sound,) = playbook.run(task(process_max=2))
    assert not sound["changed"] and sound["status"] == "ok" and sound["totals"]["errors"] == 0
    assert any("no errors" in line for line in sound["log"])
    full, incr = (backup["label"] for backup in sound["backups"])
    bundle = Path(backed_up.repository, f"backup/main/{full}/bundle/1")
    damage.flip_bit(bundle)
    try:
        (failed,) = playbook.attempt(task())
        looked, of_incr = playbook.run(task(fail_on_error=False), task(fail_on_error=False, set=incr), check=True)
    finally:
        damage.flip_bit(bundle)
    assert failed["failed"] and failed["rc"] == 104 and failed["error"] == "command"
    assert str(bundle.relative_to(backed_up.repository)) in failed["msg"]
    assert failed["errors"] == looked["errors"] != []
    assert looked["status"] == "error" and not looked["changed"]
    assert {backup["label"]: backup["status"] for backup in looked["backups"]}[full] == "invalid"
    assert [backup["label"] for backup in of_incr["backups"]] == [full, incr]
