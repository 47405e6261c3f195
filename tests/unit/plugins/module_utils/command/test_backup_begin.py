# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens before the first byte is copied, with a cluster that does not run."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import backup_source
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_begin import begin
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_source import (
    StoppedCluster,
    check_identity,
    next_second,
    open_source,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    BackupMismatchError,
    FileMissingError,
    KernelError,
    PgRunningError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupInfo, entry_of
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.control import parse_control
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.repo import open_repo

from .trip import CONTROL, LABEL, STAMP, Trip

SYSTEM_ID = parse_control(CONTROL).system_id
HISTORY = (PgHistory(1, SYSTEM_ID, "15", 1300, 202209061),)


class Bench:
    """A stopped cluster; begin() is called with options of the command line, and can be made a backup of the stanza."""

    def __init__(self, path):
        self.trip = Trip(path)
        self.info = BackupInfo(HISTORY, 1)
        for name in ("PG_VERSION", "base/5/1", "base/5/2"):
            self.trip.write(name, name.encode() * 50, STAMP)
        self.trip.write("global/pg_control", CONTROL, STAMP)

    def begin(self, kind, *options, environ=None):
        config = load([f"--config={self.trip.path}/holdfast.conf", "--stanza=main", "--no-online", f"--type={kind}",
                       *options, "backup"], environ or {})  # fmt: skip
        source = open_source(config)
        repo = open_repo(config, config.repos[0])
        return begin(config, repo, self.info, source, source.start(), int(source.clock()))

    def publish(self, begun):
        manifest = begun.manifest
        manifest.label = LABEL
        manifest.reference.append(LABEL)
        manifest.timestamp_stop = manifest.timestamp_start
        self.trip.compress_type = manifest.options["option-compress-type"]
        self.trip.setup = replace(self.trip.setup, compress_type=self.trip.compress_type)
        finished = self.trip.finish(manifest, begun.needs)
        self.trip.repo.publish_manifest(finished, None)
        self.info = self.info.with_backup(entry_of(finished))
        return finished

    def touch(self, name, content=b"changed", stamp=STAMP + 10):
        self.trip.write(name, content, stamp)


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def needed(begun):
    return {need.file.name: need.check for need in begun.needs}


def warnings(caplog):
    found = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    caplog.clear()
    return found


ALL = {f"pg_data/{name}" for name in ("PG_VERSION", "base/5/1", "base/5/2", "global/pg_control")}


def test_a_full_backup(bench, caplog):
    now = int(time.time())
    begun = bench.begin("full", "--annotation=a=b", "--annotation=empty=", "--compress-type=lz4", "--process-max=3")
    manifest = begun.manifest
    assert set(needed(begun)) == ALL
    assert (manifest.type, manifest.prior, manifest.reference, manifest.pg) == ("full", None, [], HISTORY[0])
    assert manifest.annotation == {"a": "b"}
    assert 0 <= manifest.timestamp_copy_start - now < 60
    assert (manifest.bundle, manifest.bundle_raw, manifest.block_incr, manifest.cipher_pass) == (
        False,
        False,
        False,
        None,
    )
    options = manifest.options
    assert (options["option-compress-type"], options["option-compress-level"]) == ("lz4", 1)
    assert (options["option-online"], options["option-delta"], options["option-checksum-page"]) == (False, False, False)
    assert [path.name for path in manifest.paths][:2] == ["pg_data", "pg_data/base"]
    assert warnings(caplog) == []


def test_without_a_prior_backup_it_becomes_a_full_one(bench, caplog):
    for kind in ("incr", "diff"):
        begun = bench.begin(kind)
        assert (begun.manifest.type, begun.manifest.prior) == ("full", None)
        (warning,) = warnings(caplog)
        assert kind in warning and "full" in warning


def test_an_incremental_backup_needs_what_has_changed(bench, caplog):
    bench.publish(bench.begin("full"))
    bench.touch("base/5/1")
    bench.touch("base/5/3")
    begun = bench.begin("incr")
    assert needed(begun) == {"pg_data/base/5/1": False, "pg_data/base/5/3": False}
    manifest = begun.manifest
    assert (manifest.type, manifest.prior, manifest.reference) == ("incr", LABEL, [LABEL])
    assert manifest.known_file("pg_data/base/5/2").reference == LABEL
    assert warnings(caplog) == []


def test_nothing_to_do_is_an_error(bench):
    bench.publish(bench.begin("full"))
    with pytest.raises(FileMissingError, match="nothing has changed"):
        bench.begin("incr")


@pytest.mark.parametrize("kind", ["gz", "none"])
def test_the_compression_does_not_change_within_a_set(bench, kind, caplog):
    bench.publish(bench.begin("full"))
    bench.touch("base/5/1")
    options = bench.begin("incr", f"--compress-type={kind}").manifest.options
    assert (options["option-compress-type"], options["option-compress-level"]) == ("zst", 3)
    assert options["option-compress"] is True
    (warning,) = warnings(caplog)
    assert "compress-type" in warning and kind in warning and LABEL in warning


def test_page_checks_do_not_change_within_a_set(bench, caplog):
    full = bench.begin("full")
    full.manifest.options["option-checksum-page"] = True
    bench.publish(full)
    bench.touch("base/5/1")
    assert bench.begin("incr").manifest.options["option-checksum-page"] is True
    (warning,) = warnings(caplog)
    assert "checksum-page" in warning


def test_a_file_from_the_future_turns_delta_on_in_any_backup(bench, caplog):
    bench.touch("base/5/1", stamp=int(time.time()) + 3600)
    begun = bench.begin("full")
    assert begun.manifest.options["option-delta"] is True
    assert "base/5/1" in warnings(caplog)[0]
    bench.publish(begun)
    assert needed(bench.begin("incr")) == dict.fromkeys(ALL, True)


@pytest.mark.parametrize(
    ("content", "stamp"), [(b"base/5/1" * 50, STAMP - 1), (b"shorter", STAMP)], ids=["older", "another size"]
)
def test_times_that_cannot_be_trusted_turn_delta_on(bench, content, stamp, caplog):
    bench.publish(bench.begin("full"))
    bench.touch("base/5/1", content, stamp)
    begun = bench.begin("incr")
    assert begun.manifest.options["option-delta"] is True
    assert len(needed(begun)) == 4 and needed(begun)["pg_data/base/5/2"] is True
    assert "base/5/1" in warnings(caplog)[0]


def test_delta_can_be_asked_for(bench, caplog):
    bench.publish(bench.begin("full"))
    assert needed(bench.begin("incr", "--delta")) == dict.fromkeys(ALL, True)
    assert warnings(caplog) == []


def test_each_set_has_a_passphrase_of_its_own(bench):
    secret = {"HOLDFAST_REPO1_CIPHER_PASS": "of the user"}
    one, other = (bench.begin("full", "--repo1-cipher-type=aes-256-cbc", environ=secret).manifest for _turn in range(2))
    assert len({one.cipher_pass, other.cipher_pass, "of the user", None}) == 4


def test_what_is_excluded_is_not_there(bench):
    assert set(needed(bench.begin("full", "--exclude=base/5/1", "--exclude=base/"))) == {
        "pg_data/PG_VERSION", "pg_data/global/pg_control",
    }  # fmt: skip


# -- the cluster


def test_a_server_that_runs_must_not_be_backed_up_as_if_it_did_not(bench, caplog):
    bench.trip.write("postmaster.pid", b"1\n")
    with pytest.raises(PgRunningError, match=r"postmaster\.pid") as caught:
        bench.begin("full")
    assert caught.value.hint
    bench.begin("full", "--force")
    assert "inconsistent" in warnings(caplog)[0]


def test_the_cluster_must_be_that_of_the_stanza(bench):
    config = load([f"--config={bench.trip.path}/holdfast.conf", "--stanza=main", "--no-online", "backup"], {})
    source = open_source(config)
    assert isinstance(source, StoppedCluster)
    check_identity(source.control, HISTORY[0], "/data")
    for other in (replace(HISTORY[0], system_id=5), replace(HISTORY[0], version="14")):
        with pytest.raises(BackupMismatchError) as caught:
            check_identity(source.control, other, "/data")
        assert str(SYSTEM_ID) in caught.value.message and str(other.system_id) in caught.value.message


# -- the clock


class Clock:
    """Time that passes only when somebody sleeps. speed: seconds of this clock in one of sleep."""

    def __init__(self, now, speed=1.0):
        self.now, self.speed, self.slept = now, speed, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds * self.speed


@pytest.mark.parametrize(("now", "most"), [(1000.0, 1.1), (1000.25, 0.8), (1000.999, 0.1)])
def test_files_are_copied_from_the_next_second_on(now, most, monkeypatch):
    clock = Clock(now)
    monkeypatch.setattr(backup_source.time, "sleep", clock.sleep)
    assert next_second(clock, online=True) == (1000, 1001)
    assert clock.now >= 1001 and sum(clock.slept) < most


def test_a_slow_clock_is_waited_for_and_a_stopped_one_is_not(monkeypatch):
    clock = Clock(1000.0, speed=0.9)
    monkeypatch.setattr(backup_source.time, "sleep", clock.sleep)
    assert next_second(clock, online=True) == (1000, 1001)
    for speed in (0, -1):
        clock = Clock(1000.5, speed)
        monkeypatch.setattr(backup_source.time, "sleep", clock.sleep)
        with pytest.raises(KernelError, match="1000"):
            next_second(clock, online=True)
        assert len(clock.slept) == 3


def test_offline_nothing_is_waited_for():
    assert next_second(Clock(1000.7), online=False) == (1000, 1000)
