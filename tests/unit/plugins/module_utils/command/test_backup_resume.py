# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going on with an interrupted full backup: what is kept of it, what is removed, and when it is removed altogether."""

from __future__ import annotations

import copy
import os
import random
from dataclasses import replace

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_copy import Copied, CopyFile
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_plan import merge_prior
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_resume import (
    clean_interrupted,
    find_interrupted,
    resume_needs,
)

from .builders import STAMP
from .trip import LABEL, Trip, tree

NAMES = ["PG_VERSION", "base/5/1", "base/5/2", "base/5/3"]


@pytest.fixture(params=["none", "gz"])
def trip(request, tmp_path):
    """A cluster, and an interrupted full backup that had stored all of it."""
    trip = Trip(tmp_path, request.param)
    for name in NAMES:
        trip.write(name, name.encode() * 100, STAMP)
    trip.write("global/empty", b"")
    trip.write("global/1", b"as long as the other", STAMP)
    return trip


@pytest.fixture
def old(trip):
    old = trip.back_up()
    trip.repo.save_manifest_copy(old, None)
    return old


def found(trip, old, enabled=True, **changes):
    """What find_interrupted() says to a new full backup of the same cluster, with some attributes changed."""
    manifest = trip.listed()
    for name, value in changes.items():
        setattr(manifest, name, value)
    return find_interrupted(trip.repo, trip.repo.labels(), manifest, enabled, None)


def removed(trip):
    return not (trip.root / LABEL).exists()


# -- whether


def test_a_full_backup_goes_on_with_a_full_one(trip, old, caplog):
    result = found(trip, old)
    assert result is not None and result.label == LABEL
    assert not removed(trip)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_there_is_nothing_to_go_on_with(trip):
    assert found(trip, None) is None
    trip.repo.publish_manifest(trip.back_up(), None)
    assert found(trip, None) is None and not removed(trip)


@pytest.mark.parametrize(
    ("changes", "level", "reason"),
    [
        ({"enabled": False}, "INFO", "disabled"),
        ({"type": "incr"}, "INFO", "full"),
        ({"options": {"option-compress-type": "zst"}}, "WARNING", "zst"),
        ({"cipher_pass": "secret"}, "WARNING", "encryption"),
    ],
)
def test_another_kind_of_backup_removes_it(trip, old, changes, level, reason, caplog):
    caplog.set_level("INFO")
    assert found(trip, old, **changes) is None
    assert removed(trip)
    (record,) = caplog.records
    assert record.levelname == level and reason in record.getMessage() and "secret" not in record.getMessage()


@pytest.mark.parametrize("state", ["writer", "incr", "damaged", "missing"])
def test_a_backup_that_cannot_be_gone_on_with_is_removed(trip, old, state, caplog):
    path = trip.root / LABEL / "backup.manifest.copy"
    if state == "writer":
        trip.repo.save_manifest_copy(replace(old, writer="Holdfast 0.9"), None)
    elif state == "incr":
        trip.repo.save_manifest_copy(replace(old, type="incr"), None)
    elif state == "damaged":
        path.write_bytes(path.read_bytes()[:-50])
    else:
        path.unlink()
    assert found(trip, old) is None and removed(trip)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_a_directory_that_was_renamed_is_removed(trip, old):
    (trip.root / LABEL).rename(trip.root / "20260131-110001F")
    assert found(trip, old) is None
    assert not (trip.root / "20260131-110001F").exists()


def test_only_the_newest_directory_counts(trip, old):
    (trip.root / "20270101-000000F").mkdir()
    assert found(trip, old) is None
    assert not removed(trip) and not (trip.root / "20270101-000000F").exists()


# -- what is kept


def kept(trip, old, delta=False):
    manifest = trip.listed()
    manifest.options["option-delta"] = delta
    return manifest, clean_interrupted(trip.repo, manifest, old)


ALL = {f"pg_data/{name}" for name in [*NAMES, "global/1", "global/pg_control"]}


def test_everything_is_kept_when_nothing_has_changed(trip, old):
    _manifest, files = kept(trip, old)
    assert set(files) == ALL  # an empty file is made anew
    assert files["pg_data/base/5/1"].checksum == old.known_file("pg_data/base/5/1").checksum


def ending(trip):
    return ".gz" if trip.compress_type == "gz" else ""


def test_what_does_not_belong_there_is_removed(trip, old, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/x").write_bytes(b"x")
    root = trip.root / LABEL
    before = set(tree(root))
    (root / "pg_data/base/6/deep").mkdir(parents=True)
    (root / "pg_data/base/6/deep/x").write_bytes(b"x")
    (root / f"pg_data/base/5/4{ending(trip)}").write_bytes(b"x")
    (root / "pg_data/base/5/1.zst").write_bytes(b"x")
    (root / "pg_data/base/5/1.pgbi").write_bytes(b"x")
    (root / "pg_data/link").symlink_to(tmp_path / "precious")
    (root / "pg_data/base/5/dir").symlink_to(tmp_path / "precious")
    (root / "bundle").mkdir()
    (root / "bundle/1").write_bytes(b"x")
    (root / "backup.manifest.copy.pgbackrest.tmp").write_bytes(b"x")
    (root / "restore.conf").write_bytes(b"x")
    os.mkfifo(root / "pg_data/pipe")
    _manifest, files = kept(trip, old)
    assert set(files) == ALL
    assert set(tree(root)) == before - {f"pg_data/global/empty{ending(trip)}"}
    assert (tmp_path / "precious/x").read_bytes() == b"x"


@pytest.mark.parametrize("delta", [False, True])
def test_files_that_have_changed_are_not_kept(trip, old, delta):
    trip.write("base/5/1", b"shorter", STAMP)
    trip.write("base/5/2", b"base/5/x" * 100, STAMP + 1)
    (trip.data / "base/5/3").unlink()
    old.known_file("pg_data/PG_VERSION").checksum = None  # was not copied yet
    _manifest, files = kept(trip, old, delta)
    expected = {"pg_data/global/1", "pg_data/global/pg_control"} | ({"pg_data/base/5/2"} if delta else set())
    assert set(files) == expected
    assert not (trip.root / LABEL / f"pg_data/base/5/1{ending(trip)}").exists()
    assert not (trip.root / LABEL / f"pg_data/PG_VERSION{ending(trip)}").exists()


def test_of_a_file_that_grew_while_it_was_copied_the_listed_size_counts(trip, old):
    file = old.known_file("pg_data/base/5/1")
    file.size_original, file.size = file.size, file.size + 100
    manifest, files = kept(trip, old)
    assert "pg_data/base/5/1" in files
    needs = {need.file.name: need for need in resume_needs(merge_prior(manifest, None, False), files, False)}
    new = manifest.known_file("pg_data/base/5/1")
    assert needs["pg_data/base/5/1"].resume
    assert (new.size, new.size_original) == (file.size, file.size_original)


@pytest.fixture(params=[False, True], ids=["whole", "blocks"])
def bundled(request, tmp_path):
    """An interrupted full backup with bundles: only what is too large for them can be gone on with."""
    trip = Trip(tmp_path, "zst", bundle=True, raw=request.param, block=request.param)
    trip.write("base/5/small", b"small" * 9000, STAMP)
    trip.write("base/5/large", noise(400 << 10), STAMP)
    trip.write("base/5/large.pgbi", noise(500 << 10), STAMP)
    trip.repo.save_manifest_copy(trip.back_up(), None)
    return trip


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


LARGE = {"pg_data/base/5/large", "pg_data/base/5/large.pgbi"}


def test_of_a_backup_with_bundles_the_files_outside_of_them_are_kept(bundled):
    old = bundled.repo.load_manifest_copy(LABEL, None)
    assert all(bool(old.known_file(name).block_map_size) == bundled.block for name in LARGE)
    before = set(tree(bundled.root / LABEL))
    manifest, files = kept(bundled, old)
    assert set(files) == LARGE
    assert set(tree(bundled.root / LABEL)) == {name for name in before if not name.startswith("bundle")}
    assert manifest.known_file("pg_data/base/5/small").size > 0


@pytest.mark.parametrize("now", [False, True], ids=["off", "on"])
def test_blocks_switched_on_or_off_since_the_interruption(bundled, now, tmp_path):
    old = bundled.repo.load_manifest_copy(LABEL, None)
    stored_in_blocks, bundled.block = bundled.block, now
    manifest, files = kept(bundled, old)
    assert set(files) == (LARGE if now or not stored_in_blocks else set())
    result = bundled.finish(manifest, resume_needs(merge_prior(manifest, None, False), files, False))
    assert all(bool(result.known_file(name).block_map_size) == (now if name not in files else stored_in_blocks)
               for name in LARGE)  # fmt: skip
    bundled.restore(result, tmp_path / "there")
    assert tree(tmp_path / "there") == tree(bundled.data)


@pytest.mark.parametrize("delta", [False, True])
def test_a_resumed_backup_with_bundles_is_as_good_as_a_new_one(bundled, delta, tmp_path):
    old = bundled.repo.load_manifest_copy(LABEL, None)
    ending = ".pgbi" if bundled.block else ".zst"
    damaged, intact = (bundled.root / LABEL / f"{name}{ending}" for name in sorted(LARGE))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    inode = intact.stat().st_ino
    manifest, files = kept(bundled, old, delta)
    result = bundled.finish(manifest, resume_needs(merge_prior(manifest, None, delta), files, delta))
    assert intact.stat().st_ino == inode
    bundled.restore(result, tmp_path / "there")
    assert tree(tmp_path / "there") == tree(bundled.data)


# -- the whole way


@pytest.mark.parametrize("delta", [False, True])
def test_a_resumed_backup_is_as_good_as_a_new_one(trip, old, delta, tmp_path):
    root = trip.root / LABEL
    damaged = root / f"pg_data/base/5/1{ending(trip)}"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    trip.write("base/5/2", b"base/5/x" * 100, STAMP + (5 if not delta else 0))
    trip.write("base/5/9", b"new", STAMP)
    intact = root / f"pg_data/base/5/3{ending(trip)}"
    inode = intact.stat().st_ino
    manifest, files = kept(trip, copy.deepcopy(old), delta)
    needs = resume_needs(merge_prior(manifest, None, delta), files, delta)
    assert {need.file.name for need in needs if need.resume} == set(files)
    result = trip.finish(manifest, needs)
    assert intact.stat().st_ino == inode
    trip.restore(result, tmp_path / "there")
    assert tree(tmp_path / "there") == tree(trip.data)


def test_what_the_worker_is_told_about_a_file_to_resume(trip, old):
    manifest, files = kept(trip, old, delta=True)
    resume_needs(merge_prior(manifest, None, True), files, True)
    file = manifest.known_file("pg_data/base/5/1")
    wanted = CopyFile(file.name, file.size, None, (file.size, file.checksum or b""), True,
                      (file.repo_size, file.rck or file.checksum or b""))  # fmt: skip
    assert trip.copy(wanted) == [Copied("resumed")]
