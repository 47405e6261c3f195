# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A verify that meets damage, and one that something else happens to: a backup, an expire, a signal.

A worker that stops itself in the middle of its work holds verify at a moment between the list and the file.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.tests.support import account, damage
from ansible_collections.holdfast.postgres.tests.support.cluster import Cluster
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop
from ansible_collections.holdfast.postgres.tests.support.program import Holdfast

LIMIT = 60  # seconds for anything that happens in one


@pytest.fixture
def cluster(workshop: Workshop) -> Cluster:
    return workshop.cluster(wal_segment_mb=1)


@pytest.fixture
def holdfast(workshop: Workshop, cluster: Cluster) -> Holdfast:
    program = workshop.holdfast(cluster, repo1_bundle=True, repo1_block=True, repo1_retention_full=9)
    workshop.archive(cluster, program)
    cluster.start()
    program.stanza_create()
    cluster.sql("create table thing as select id, md5(id::text) name from generate_series(1, 20000) id")
    return program


def change(cluster: Cluster) -> None:
    cluster.sql("update thing set name = upper(name) where id % 500 = 0")


def start(holdfast: Holdfast, command: str, faults: str, **options: object) -> subprocess.Popen[str]:
    argv = holdfast.argv(command, log_level_console="detail", **options)
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/",
        env=account.environment({"HOLDFAST_FAULTS": faults}), **account.credentials(),
    )  # fmt: skip


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def workers(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def wait_for_stopped(process: subprocess.Popen[str], own: bool) -> int:
    """The pid of the process that stopped itself. own: the process itself, else one of its workers."""
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for pid in [process.pid] if own else workers(process):
            if state(pid) == "T":
                return pid
        time.sleep(0.01)
    raise AssertionError("nobody stopped")


@contextlib.contextmanager
def halted(holdfast: Holdfast, at: int, **options: object) -> Iterator[list[Any]]:
    """A verify that has read the documents and waits before its worker's nth read; at the end it goes on to its end.

    Yields a list that then gets its report and what it logged.
    """
    result: list[Any] = []
    process = start(holdfast, "verify", f"storage.local.read@{at}=stop", output="json", **options)
    try:
        stopped = wait_for_stopped(process, own=False)
        yield result
        os.kill(stopped, signal.SIGCONT)
        output, error = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, error
        result += [json.loads(output), error]
    finally:
        process.kill()
        process.wait(LIMIT)


def sound(result: list[Any]) -> dict[str, str]:
    report, logged = result
    assert report["status"] == "ok" and report["errors"] == [] and report["lost"] == [], logged
    assert "ERROR" not in logged and "WARN" not in logged, logged
    return {backup["label"]: backup["status"] for backup in report["backups"]}


# The parent reads fewer times than that before the worker, which reads all files, gets there.
LATE = 120


def test_an_expire_beside_it_makes_no_false_errors(cluster: Cluster, holdfast: Holdfast) -> None:
    holdfast.configure(repo1_bundle=False)
    old = holdfast.backup("full")
    change(cluster)
    depending = holdfast.backup("incr")
    new = holdfast.backup("full")
    with halted(holdfast, LATE) as result:
        holdfast.run("expire", set=old)
        assert holdfast.labels() == [new]
    assert sound(result) == {old: "manifest missing", depending: "manifest missing", new: "valid"}


def test_wal_that_expires_beside_it_makes_no_false_errors(cluster: Cluster, holdfast: Holdfast) -> None:
    for _number in range(12):
        change(cluster)
        cluster.wait_archived(cluster.switch_wal())
    new = holdfast.backup("full")
    process = start(holdfast, "verify", "storage.local.read@4=stop", output="json", verbose=True)
    try:
        # The worker is still at the first segments; the parent, which reads the documents, goes by this point as well.
        stopped = wait_for_stopped(process, own=True)
        os.kill(stopped, signal.SIGCONT)
        stopped = wait_for_stopped(process, own=False)
        holdfast.run("expire", repo1_retention_full=1, repo1_retention_archive=1)
        os.kill(stopped, signal.SIGCONT)
        output, error = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
        process.wait(LIMIT)
    report = json.loads(output)
    assert report["status"] == "ok" and report["errors"] == [], error
    assert report["archives"][0]["missing"] > 5 and "it may have expired" in error
    assert [(backup["label"], backup["status"]) for backup in report["backups"]] == [(new, "valid")]


def test_a_backup_beside_it_makes_no_false_errors(cluster: Cluster, holdfast: Holdfast) -> None:
    full = holdfast.backup("full", repo1_bundle=False)
    with halted(holdfast, LATE) as result:
        change(cluster)
        incr = holdfast.backup("incr")
    assert sound(result) == {full: "valid"}
    assert holdfast.run("verify", output="json").json["backups"][-1]["label"] == incr


@pytest.mark.parametrize("point", ["backup.stopped", "backup.published"])
def test_a_backup_that_runs_is_in_progress_and_no_error(cluster: Cluster, holdfast: Holdfast, point: str) -> None:
    full = holdfast.backup("full")
    change(cluster)
    process = start(holdfast, "backup", f"{point}=stop", type="incr")
    try:
        wait_for_stopped(process, own=True)
        outcome = holdfast.run("verify", output="json", fail_on_error=True)
        backups = {backup["label"]: backup["status"] for backup in outcome.json["backups"]}
        assert list(backups.values()) == ["valid", "in-progress" if point == "backup.stopped" else "valid"]
        os.kill(process.pid, signal.SIGCONT)
        _output, error = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, error
    finally:
        process.kill()
        process.wait(LIMIT)
    assert holdfast.labels() == list(backups) and full in backups
    assert holdfast.run("verify", output="json", fail_on_error=True).json["status"] == "ok"


def test_a_worker_that_dies_ends_verify_with_an_error(holdfast: Holdfast) -> None:
    holdfast.backup("full", repo1_bundle=False)
    holdfast.environ["HOLDFAST_FAULTS"] = f"storage.local.read@{LATE}=kill"
    result = holdfast.attempt("verify", process_max=2)
    assert result.status == 125 and "SIGKILL" in result.error and "the check of" in result.error


def test_a_signal_ends_verify_and_its_workers(holdfast: Holdfast) -> None:
    holdfast.backup("full", repo1_bundle=False)
    process = start(holdfast, "verify", f"storage.local.read@{LATE}=stop", process_max=2)
    try:
        wait_for_stopped(process, own=False)
        pids = workers(process)
        os.kill(process.pid, signal.SIGTERM)
        process.communicate(timeout=LIMIT)
        assert process.returncode == 63
    finally:
        process.kill()
        process.wait(LIMIT)
    assert len(pids) == 2 and not [pid for pid in pids if Path(f"/proc/{pid}").exists() and state(pid) not in "ZX"]


def test_what_verify_calls_valid_restores_whatever_is_damaged_elsewhere(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    """Block incremental chains in bundles, one flipped bit at a time."""
    labels = [holdfast.backup("full")]
    for kind in ("incr", "incr"):
        change(cluster)
        labels.append(holdfast.backup(kind))
    generator = random.Random(7)
    seen: set[str] = set()
    for label in labels:
        path = generator.choice(sorted(workshop.repository.glob(f"backup/main/{label}/bundle/*")))
        offset = generator.randrange(path.stat().st_size)
        damage.flip_bit(path, offset)
        report = holdfast.run("verify", output="json").json
        assert report["status"] == "error" and report["totals"]["errors"] == 1
        found = {backup["label"]: backup["status"] for backup in report["backups"]}
        assert found[label] == "invalid"
        for other in [other for other, status in found.items() if status == "valid"]:
            holdfast.restore(workshop.path("r"), set=other, type="immediate")
        seen.update(found.values())
        damage.flip_bit(path, offset)
    assert seen == {"valid", "invalid"} and holdfast.run("verify", output="json").json["status"] == "ok"


def test_wal_that_is_missing_is_told_before_a_restore_needs_it(
    workshop: Workshop, cluster: Cluster, holdfast: Holdfast
) -> None:
    label = holdfast.backup("full")
    archive = next(item["archive"] for item in holdfast.info()[0]["backup"] if item["label"] == label)
    (path,) = workshop.repository.glob(f"archive/main/*/*/{archive['stop']}-*")
    content = path.read_bytes()
    path.unlink()
    result = holdfast.attempt("verify", output="text", fail_on_error=True)
    assert result.status == 104
    assert f"missing WAL of backup: {label}" in result.output and archive["stop"] in result.error
    account.write_file(path, content, 0o640)
    assert holdfast.attempt("verify", fail_on_error=True).status == 0


def test_verify_works_on_a_repository_that_it_may_only_read(holdfast: Holdfast) -> None:
    holdfast.backup("full")
    folders = [path for path in holdfast.repository.rglob("*") if path.is_dir()]
    for path in (*folders, holdfast.repository):
        path.chmod(0o550)
    assert holdfast.run("verify", output="json", log_level_file="off").json["status"] == "ok"
