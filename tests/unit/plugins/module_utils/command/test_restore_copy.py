# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a restore worker writes, keeps and refuses; and that what a backup stored comes back."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import tempfile
from pathlib import Path as HostPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_copy import (
    RUN,
    SMALL,
    RestoreFile,
    RestoreJob,
    RestorePart,
    Restorer,
    RestoreSetup,
    restore_job,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    CryptoError,
    EngineError,
    FileMissingError,
    FileOpenError,
    FileWriteError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest_file import EMPTY_SHA1
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec
from ansible_collections.holdfast.postgres.tests.unit import strategies

from .builders import STAMP
from .trip import COPY_START, LABEL, Trip, tree

SMALL_SIZE, LARGE_SIZE = 10_000, SMALL + 10_000
BOTH = pytest.mark.parametrize("size", [SMALL_SIZE, LARGE_SIZE], ids=["small", "large"])
COMPRESS_TYPES = ["none", "gz", "bz2", "lz4", "zst"]


@pytest.fixture(autouse=True)
def umask():
    """restore_job() sets that of its process."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def noise(size, seed=1):
    return random.Random(seed).randbytes(size)


# -- there and back


@pytest.mark.parametrize("form", ["alone", "bundled", "raw"])
@pytest.mark.parametrize("compress_type", COMPRESS_TYPES)
@pytest.mark.parametrize("passphrase", [None, "of the backup"])
def test_what_was_backed_up_comes_back(tmp_path, form, compress_type, passphrase):
    trip = Trip(tmp_path, compress_type, passphrase, bundle=form != "alone", raw=form == "raw")
    trip.write("PG_VERSION", b"15\n", STAMP, 0o640)
    trip.write("empty", b"", STAMP + 1)
    trip.write("base/5/1", noise(SMALL_SIZE), STAMP + 2)
    trip.write("base/5/2", noise(20_000) + bytes(LARGE_SIZE), STAMP + 3)
    trip.write("base/5/3", noise(SMALL - 1), STAMP + 4)
    trip.write("base/5/4", noise(SMALL), STAMP + 5)
    (trip.data / "base/5").chmod(0o750)
    (trip.data / "pg_wal").mkdir()
    manifest = trip.back_up()
    assert trip.restore(manifest, tmp_path / "there") == set()
    assert tree(tmp_path / "there") == tree(trip.data)


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(st.sampled_from([f"base/5/{number}" for number in range(6)] + ["log/x", "PG_VERSION"]),
                    strategies.contents(), max_size=8),
    st.dictionaries(st.sampled_from([f"base/5/{number}" for number in range(6)]), strategies.contents(), max_size=4),
    st.sampled_from(COMPRESS_TYPES), st.booleans(), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip
def test_a_chain_of_two_backups_brings_both_states_back(
    first, second, compress_type, encrypted, bundle, delta, in_place
):
    path = HostPath(tempfile.mkdtemp())
    try:
        trip = Trip(path, compress_type, "pass" if encrypted else None, bundle=bundle, raw=bundle)
        for number, (name, content) in enumerate(first.items()):
            trip.write(name, content, STAMP + number)
        full = trip.back_up()
        state = tree(trip.data)
        for number, (name, content) in enumerate(second.items()):
            trip.write(name, content, STAMP + 100 + number)
        incr = trip.back_up(full, delta)
        assert {file.reference for file in incr.files} <= {None, LABEL}
        new_state = tree(trip.data)
        trip.restore(full, path / "there")
        assert tree(path / "there") == state
        kept = trip.restore(incr, path / "there" if in_place else path / "elsewhere", delta=in_place)
        assert tree(path / ("there" if in_place else "elsewhere")) == new_state
        unchanged = {f"pg_data/{name}" for name in state if new_state[name][0] == state[name][0]}
        unchanged = {name for name in unchanged if incr.file(name)} - {"pg_data/global/pg_control"}
        assert kept == (unchanged if in_place else set())
    finally:
        shutil.rmtree(path)


def test_linked_files_and_tablespaces_come_back(tmp_path):
    trip = Trip(tmp_path, "zst", bundle=True)
    (tmp_path / "ts/PG_15_202209061/5").mkdir(parents=True)
    (tmp_path / "ts/PG_15_202209061/5/1").write_bytes(b"in a tablespace")
    (trip.data / "pg_tblspc/16400").symlink_to(tmp_path / "ts")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hba").write_bytes(b"local all")
    (trip.data / "pg_hba.conf").symlink_to("../etc/hba")
    manifest = trip.back_up()
    (tmp_path / "new").mkdir()
    trip.restore(manifest, tmp_path / "new/there", link_all=True)
    there = tmp_path / "new/there"
    assert (there / "pg_tblspc/16400/PG_15_202209061/5/1").read_bytes() == b"in a tablespace"
    assert os.readlink(there / "pg_tblspc/16400") == f"{there}-ts/ts16400"
    assert os.readlink(there / "pg_hba.conf") == "../etc/hba"
    assert (tmp_path / "new/etc/hba").read_bytes() == b"local all"


def test_the_function_that_workers_call_sets_modes_whatever_the_umask(tmp_path):
    trip = Trip(tmp_path)
    trip.write("x", b"content", mode=0o666)
    manifest = trip.back_up()
    file = manifest.known_file("pg_data/x")
    setup = RestoreSetup(f"{tmp_path}/repo", "none", False, None, False, False, COPY_START)
    item = RestoreFile(file.name, f"{tmp_path}/y", 7, STAMP, 0o666, file.checksum, 0, 7)
    os.umask(0o077)
    assert restore_job(RestoreJob(setup, (RestorePart(f"backup/main/{LABEL}/pg_data/x", False, (item,)),))) == [False]
    info = os.stat(tmp_path / "y")
    assert (info.st_mode & 0o777, info.st_mtime_ns) == (0o666, STAMP * 10**9)


# -- a worker by hand


class Bench:
    """One file in a repository of no compression, and where it is to go."""

    def __init__(self, path, content, **values):
        self.content, self.path = content, path / "there"
        self.stored = path / "repo/stored"
        self.stored.parent.mkdir()
        self.stored.write_bytes(content)
        self.values = {"repo_path": str(path / "repo"), "compress_type": "none", "raw": False, "cipher_pass": None,
                       "delta": False, "by_time": False, "copy_start": COPY_START, **values}  # fmt: skip
        self.file = RestoreFile(
            "pg_data/x", str(self.path), len(content), STAMP, 0o640, hashlib.sha1(content).digest(), 0, len(content)
        )

    def run(self, **changed):
        restorer = Restorer(RestoreSetup(**self.values))
        (kept,) = restorer.run(RestorePart("stored", False, (self.file._replace(**changed),)))
        return kept

    def there(self):
        info = self.path.lstat()
        return self.path.read_bytes(), info.st_mode & 0o777, info.st_mtime_ns

    def right(self):
        return self.content, 0o640, STAMP * 10**9


@BOTH
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("there", [None, b"", b"short", "changed", "longer", "same"])
def test_the_content_is_right_whatever_was_there(tmp_path, size, delta, there):
    bench = Bench(tmp_path, noise(size), delta=delta)
    before = {"changed": noise(size, 2), "longer": noise(size) + b"tail", "same": noise(size)}.get(there, there)
    if before is not None:
        bench.path.write_bytes(before)
    kept = bench.run()
    assert kept == (delta and there in ("longer", "same"))  # only what was appended has to go
    assert bench.there() == bench.right()


@BOTH
@pytest.mark.parametrize("delta", [False, True])
def test_what_is_there_is_never_written_through(tmp_path, size, delta):
    """Another name of the same file, and what a link leads to, are not ours."""
    bench = Bench(tmp_path, noise(size), delta=delta)
    other = tmp_path / "other"
    other.write_bytes(b"precious")
    os.link(other, bench.path)
    bench.run()
    bench.path.unlink()
    bench.path.symlink_to(other)
    bench.run()
    assert bench.there() == bench.right()
    assert other.read_bytes() == b"precious"


@BOTH
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("mode", [0o400, 0o000])
def test_a_file_that_is_read_only_is_replaced(tmp_path, size, delta, mode):
    bench = Bench(tmp_path, noise(size), delta=delta)
    bench.path.write_bytes(noise(size) + b"tail")
    bench.path.chmod(mode)
    bench.run(mode=0o400)
    bench.path.chmod(0o600)
    assert bench.there()[::2] == bench.right()[::2]


def test_a_file_that_is_kept_gets_its_mode_and_time(tmp_path):
    bench = Bench(tmp_path, b"content", delta=True)
    bench.path.write_bytes(b"content")
    bench.path.chmod(0o777)
    assert bench.run() and bench.there() == bench.right()


@pytest.mark.root
@pytest.mark.parametrize("there", [False, True])
def test_as_root_a_file_gets_its_owner(tmp_path, there):
    bench = Bench(tmp_path, b"content", delta=True)
    if there:
        bench.path.write_bytes(b"content")
    assert bench.run(owner=(1234, 2345)) == there
    assert (os.stat(bench.path).st_uid, os.stat(bench.path).st_gid) == (1234, 2345)


@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("there", [None, b"", b"x"])
def test_empty_files_need_nothing_from_the_repository(tmp_path, delta, there):
    bench = Bench(tmp_path, b"", delta=delta)
    bench.stored.unlink()
    if there is not None:
        bench.path.write_bytes(there)
    assert bench.run() == (delta and there == b"")
    assert bench.there() == bench.right()


@pytest.mark.parametrize("there", [None, "same"])
def test_the_file_of_a_database_that_is_left_out_is_a_hole(tmp_path, there):
    content = noise(3 << 20)
    bench = Bench(tmp_path, content, delta=True)
    bench.stored.unlink()
    if there:
        bench.path.write_bytes(content)
    assert not bench.run(zero=True)
    assert bench.there() == (bytes(len(content)), 0o640, STAMP * 10**9)
    assert os.stat(bench.path).st_blocks == 0


@pytest.mark.parametrize(
    ("content", "stamp", "copy_start", "kept"),
    [
        ("other", STAMP, STAMP + 1, True),  # the price of not reading it
        ("other", STAMP, STAMP, False), ("other", STAMP + 1, COPY_START, False), ("longer", STAMP, COPY_START, False),
        ("right", STAMP, COPY_START, True),
    ],
)  # fmt: skip
def test_with_force_and_delta_size_and_time_decide(tmp_path, content, stamp, copy_start, kept):
    bench = Bench(tmp_path, b"right", delta=True, by_time=True, copy_start=copy_start)
    bench.path.write_text(content)
    os.utime(bench.path, (stamp, stamp))
    assert bench.run() == kept
    assert bench.there()[0] == (content.encode() if kept else b"right")


# -- a repository that is damaged


@BOTH
@pytest.mark.parametrize("compress_type", COMPRESS_TYPES)
@pytest.mark.parametrize(("passphrase", "bundle"), [(None, False), ("of the backup", False), (None, True)])
@pytest.mark.parametrize("damage", ["flipped", "cut", "missing"])
def test_every_damage_is_found_and_leaves_nothing_that_looks_right(
    tmp_path, size, compress_type, passphrase, bundle, damage
):
    trip = Trip(tmp_path, compress_type, passphrase, bundle=bundle)
    trip.write("base/5/1", noise(size), STAMP)
    manifest = trip.back_up()
    file = manifest.known_file("pg_data/base/5/1")
    ending = {"none": "", "gz": ".gz", "bz2": ".bz2", "lz4": ".lz4", "zst": ".zst"}[compress_type]
    name = f"bundle/{file.bundle_id}" if file.bundle_id else f"{file.name}{ending}"
    path = trip.root / LABEL / name
    data = bytearray(path.read_bytes())
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(data[: file.bundle_offset + file.repo_size - 20])
    else:
        data[file.bundle_offset + file.repo_size // 2] ^= 1
        path.write_bytes(data)
    kinds = FileMissingError if damage == "missing" else (ChecksumError, FormatError, CryptoError)
    with pytest.raises(kinds, match="1") as caught:
        trip.restore(manifest, tmp_path / "there")
    if damage != "missing":
        assert str(tmp_path / "there/base/5/1") in caught.value.message and name in caught.value.message
        assert caught.value.hint
    written = tmp_path / "there/base/5/1"
    assert not written.exists() or int(written.stat().st_mtime) != STAMP


@BOTH
def test_content_that_is_not_what_the_manifest_says(tmp_path, size):
    bench = Bench(tmp_path, noise(size))
    with pytest.raises(ChecksumError, match="stored") as caught:
        bench.run(checksum=b"x" * 20)
    assert (b"x" * 20).hex() in caught.value.message
    with pytest.raises(ChecksumError):
        bench.run(size=size + 1)
    assert not bench.path.exists() or bench.path.stat().st_mtime_ns != STAMP * 10**9


@BOTH
@pytest.mark.parametrize("compress_type", ["gz", "bz2", "lz4", "zst"])
def test_a_file_that_becomes_larger_than_it_was_does_not_fill_the_disk(tmp_path, size, compress_type):
    bench = Bench(tmp_path, noise(size), compress_type=compress_type)
    bomb = codec(compress_type).compress_one(bytes(50 << 20))
    bench.stored.write_bytes(bomb)
    with pytest.raises(EngineError, match="stored"):
        bench.run(repo_size=len(bomb))
    assert not bench.path.exists() or bench.path.stat().st_size < size + (4 << 20)


def test_a_wrong_passphrase(tmp_path):
    trip = Trip(tmp_path, "zst", "right")
    trip.write("base/5/1", noise(SMALL_SIZE))
    manifest = trip.back_up()
    manifest.cipher_pass = "wrong"
    with pytest.raises(EngineError):
        trip.restore(manifest, tmp_path / "there")


# -- a place that cannot be written


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    bench = Bench(tmp_path, b"content")
    for path in (tmp_path / "no/such/directory", tmp_path / "repo"):
        with pytest.raises(FileOpenError, match=str(path)):
            bench.run(path=str(path))


@BOTH
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device without room")
def test_no_room_is_told_with_the_path_and_what_to_do(tmp_path, size, monkeypatch):
    bench = Bench(tmp_path, noise(size))
    real = os.open

    def full(path, flags, mode=0o777, **more):  # a disk without room, as the operating system shows it
        return real("/dev/full" if path == str(bench.path) else path, flags & ~os.O_EXCL, mode, **more)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(FileWriteError, match=str(bench.path)) as caught:
        bench.run()
    assert "full" in caught.value.hint


# -- many files at once


def test_files_side_by_side_are_fetched_together_and_gaps_are_not(tmp_path):
    contents = [noise(size, number) for number, size in enumerate([10, SMALL, SMALL + 1, 1, 700, 3 << 20, 5, 6])]
    gaps = [0, 0, 0, 0, 99, 0, 1, 0]
    (tmp_path / "repo").mkdir()
    files, stored = [], bytearray()
    for number, (content, gap) in enumerate(zip(contents, gaps)):
        stored += b"?" * gap
        checksum = hashlib.sha1(content).digest()
        files.append(RestoreFile(f"pg_data/{number}", f"{tmp_path}/{number}", len(content), STAMP, 0o600, checksum,
                                 len(stored), len(content)))  # fmt: skip
        stored += content
    (tmp_path / "repo/bundle").write_bytes(stored)
    setup = RestoreSetup(f"{tmp_path}/repo", "none", False, None, True, False, COPY_START)
    wanted = tuple(files)
    assert Restorer(setup).run(RestorePart("bundle", True, wanted)) == [False] * 8
    assert [(tmp_path / str(number)).read_bytes() for number in range(8)] == contents
    (tmp_path / "3").write_bytes(b"x")
    assert Restorer(setup).run(RestorePart("bundle", True, wanted)) == [number != 3 for number in range(8)]
    assert (tmp_path / "3").read_bytes() == contents[3]


def test_a_long_row_of_small_files_is_fetched_in_pieces(tmp_path):
    size, count = SMALL, RUN // SMALL * 2 + 3
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/bundle").write_bytes(b"".join(noise(size, number) for number in range(count)))
    files = [
        RestoreFile("pg_data/x", f"{tmp_path}/{number}", size, STAMP, 0o600,
                    hashlib.sha1(noise(size, number)).digest(), number * size, size)
        for number in range(count)
    ]  # fmt: skip
    setup = RestoreSetup(f"{tmp_path}/repo", "none", False, None, False, False, COPY_START)
    Restorer(setup).run(RestorePart("bundle", True, tuple(files)))
    assert all((tmp_path / str(number)).read_bytes() == noise(size, number) for number in range(count))


def test_every_file_of_a_manifest_is_in_exactly_one_job(tmp_path):
    trip = Trip(tmp_path, bundle=True)
    for number in range(40):
        trip.write(f"base/5/{number}", noise(number * 17_000, number))
    trip.write("empty", b"")
    manifest = trip.back_up()
    assert len({file.bundle_id for file in manifest.files}) > 1
    assert manifest.known_file("pg_data/empty").checksum == EMPTY_SHA1
    kept = trip.restore(manifest, tmp_path / "there")
    again = trip.restore(manifest, tmp_path / "there", delta=True)
    assert kept == set() and again == {file.name for file in manifest.files} - {"pg_data/global/pg_control"}
