# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup worker makes of files: those that stay as they are, and those that do anything else meanwhile."""

from __future__ import annotations

import hashlib
import os
import threading
import time

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_copy import (
    SMALL,
    Copied,
    CopyFile,
    CopyJob,
    copy_job,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ChecksumError,
    FileMissingError,
    FileOpenError,
    FileReadError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest_file import EMPTY_SHA1
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.cipher import Cipher
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec

from .trip import CONTROL, LABEL, PAGE, VERSION_DIR, Trip, flip, pages

TABLE = "base/5/16384"
NAME = f"pg_data/{TABLE}"
SMALL_SIZE, LARGE_SIZE = 10_000, SMALL + 5 * PAGE
BOTH = pytest.mark.parametrize("size", [SMALL_SIZE, LARGE_SIZE], ids=["small", "large"])


def sha1(data):
    return hashlib.sha1(data).digest()


def noise(size, seed=1):
    return b"".join(hashlib.sha256(b"%d %d" % (seed, number)).digest() for number in range(size // 32 + 1))[:size]


@pytest.fixture
def trip(tmp_path):
    return Trip(tmp_path)


def stored(trip, name, bundle=0):
    ending = {"none": "", "gz": ".gz", "bz2": ".bz2", "lz4": ".lz4", "zst": ".zst"}[trip.compress_type]
    return trip.root / LABEL / (f"bundle/{bundle}" if bundle else f"pg_data/{name}{ending}")


# -- how files are stored


@BOTH
@pytest.mark.parametrize("compress_type", ["none", "gz", "bz2", "lz4", "zst"])
@pytest.mark.parametrize("passphrase", [None, "of the backup"])
def test_a_file_of_its_own(tmp_path, size, compress_type, passphrase):
    trip = Trip(tmp_path, compress_type, passphrase)
    content = noise(size // 2) + bytes(size - size // 2)
    trip.write(TABLE, content)
    result = trip.copy_one(TABLE)
    data = stored(trip, TABLE).read_bytes()
    plain = compress_type == "none" and passphrase is None
    assert result == Copied("copied", size, sha1(content), len(data), None if plain else sha1(data))
    if passphrase:
        assert data.startswith(b"Salted__")
        data = Cipher(passphrase).decrypt_one(data)
    assert codec(compress_type).decompress_one(data, size) == content
    assert stored(trip, TABLE).stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("compress_type", ["none", "gz", "bz2", "lz4", "zst"])
@pytest.mark.parametrize("passphrase", [None, "of the backup"])
@pytest.mark.parametrize("raw", [False, True])
def test_a_bundle_is_its_files_without_gaps(tmp_path, compress_type, passphrase, raw):
    trip = Trip(tmp_path, compress_type, passphrase, bundle=True, raw=raw)
    contents = {"PG_VERSION": b"15\n", "base/5/1": noise(SMALL_SIZE), "base/5/2": noise(LARGE_SIZE, 2), "x": b"x" * 500}
    files = []
    for name, content in contents.items():
        trip.write(name, content)
        files.append(CopyFile(f"pg_data/{name}", len(content)))
    results = trip.copy(*files, bundle=3)
    data = stored(trip, "", 3).read_bytes()
    end = 0
    for result, content in zip(results, contents.values()):
        assert (result.kind, result.size, result.checksum, result.offset) == (
            "copied",
            len(content),
            sha1(content),
            end,
        )
        piece = data[end : end + result.repo_size]
        plain = compress_type == "none" and passphrase is None
        assert result.rck == (None if plain else sha1(piece))
        if passphrase:
            assert piece.startswith(b"Salted__") != raw
            piece = Cipher(passphrase, raw).decrypt_one(piece)
        assert codec(compress_type, None, raw).decompress_one(piece, result.size) == content
        end += result.repo_size
    assert end == len(data)


def test_the_same_setup_is_served_by_the_function_that_workers_call(trip):
    trip.write(TABLE, b"x")
    job = CopyJob(trip.setup, 0, (CopyFile(NAME, 1), CopyFile("pg_data/gone", 1)))
    assert [result.kind for result in copy_job(job)] == ["copied", "skip"]


def test_empty_files(tmp_path):
    trip = Trip(tmp_path, "gz")
    trip.write(TABLE, b"")
    result = trip.copy_one(TABLE)
    assert (result.kind, result.size, result.checksum) == ("copied", 0, EMPTY_SHA1)
    assert result.repo_size == stored(trip, TABLE).stat().st_size > 0
    trip = Trip(tmp_path / "plain")
    trip.write(TABLE, b"")
    assert trip.copy_one(TABLE) == Copied("copied", 0, EMPTY_SHA1)
    assert stored(trip, TABLE).read_bytes() == b""


def test_a_file_of_a_tablespace_and_a_linked_file(tmp_path):
    trip = Trip(tmp_path)
    (tmp_path / f"ts/{VERSION_DIR}/5").mkdir(parents=True)
    (tmp_path / f"ts/{VERSION_DIR}/5/16500").write_bytes(b"in a tablespace")
    (trip.data / "pg_tblspc/16400").symlink_to(tmp_path / "ts")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hba").write_bytes(b"local all")
    (trip.data / "pg_hba.conf").symlink_to("../etc/hba")
    name = f"pg_tblspc/16400/{VERSION_DIR}/5/16500"
    one, other = trip.copy(CopyFile(name, 15), CopyFile("pg_data/pg_hba.conf", 9, link=str(tmp_path / "etc/hba")))
    assert (one.checksum, other.checksum) == (sha1(b"in a tablespace"), sha1(b"local all"))
    assert (trip.root / LABEL / name).read_bytes() == b"in a tablespace"


@pytest.mark.parametrize("name", ["pg_control", "pg_control.old"])
def test_pg_control_is_what_the_server_writes_and_zeros(trip, name):
    trip.write(f"global/{name}", CONTROL[:512] + b"x" * 7680)
    result = trip.copy_one(f"global/{name}")
    data = (trip.root / LABEL / "pg_data/global" / name).read_bytes()
    assert result.size == len(data) == 8192 and result.checksum == sha1(data)
    assert (data == CONTROL) == (name == "pg_control")


def test_pg_control_that_is_broken_or_gone_is_an_error(trip):
    trip.write("global/pg_control", CONTROL[:40] + b"x" + CONTROL[41:])
    with pytest.raises(ChecksumError):
        trip.copy_one("global/pg_control")
    (trip.data / "global/pg_control").unlink()
    with pytest.raises(FileMissingError, match="pg_control"):
        trip.copy_one("global/pg_control", 8192)


# -- files that do not stay as they are


@BOTH
@pytest.mark.parametrize("bundle", [0, 1])
@pytest.mark.parametrize("name", ["gone", "gone/below"])
def test_a_file_that_has_gone_is_skipped_and_leaves_nothing(trip, size, bundle, name):
    result, other = trip.copy(CopyFile(f"pg_data/{name}", size), CopyFile("pg_data/global/1", size), bundle=bundle)
    assert result == other._replace(offset=0) == Copied("skip")
    assert not stored(trip, "", bundle).exists() if bundle else not stored(trip, name).exists()


@BOTH
@pytest.mark.parametrize("bundle", [0, 1])
def test_what_a_relation_has_grown_is_left_to_the_wal(trip, size, bundle):
    content = noise(size + 30_000)
    trip.write(TABLE, content)
    (result,) = trip.copy(CopyFile(NAME, size), bundle=bundle)
    assert (result.size, result.checksum) == (size, sha1(content[:size]))
    assert stored(trip, TABLE, bundle).read_bytes() == content[:size]


@pytest.mark.parametrize("size", [0, SMALL_SIZE, SMALL - 1, SMALL, SMALL + 1])
@pytest.mark.parametrize("more", [1, 3 * SMALL])
@pytest.mark.parametrize("bundle", [0, 1])
def test_any_other_file_is_read_to_its_end(trip, size, more, bundle):
    content = noise(size + more)
    trip.write("log/today.log", content)
    (result,) = trip.copy(CopyFile("pg_data/log/today.log", size), bundle=bundle)
    assert (result.size, result.checksum, result.repo_size) == (size + more, sha1(content), size + more)
    assert stored(trip, "log/today.log", bundle).read_bytes() == content


@BOTH
@pytest.mark.parametrize("name", [TABLE, "log/today.log"])
@pytest.mark.parametrize("bundle", [0, 1])
def test_a_file_that_has_shrunk_is_stored_as_it_is(trip, size, name, bundle):
    content = noise(size // 3)
    trip.write(name, content)
    (result,) = trip.copy(CopyFile(f"pg_data/{name}", size), bundle=bundle)
    assert (result.kind, result.size, result.checksum) == ("copied", size // 3, sha1(content))


@BOTH
def test_a_file_that_was_emptied(tmp_path, size):
    trip = Trip(tmp_path, "zst")
    trip.write(TABLE, b"")
    trip.write("x", b"x")
    result, other = trip.copy(CopyFile(NAME, size), CopyFile("pg_data/x", 1), bundle=2)
    assert result == Copied("truncated", 0, EMPTY_SHA1)
    assert other.offset == 0 and stored(trip, "", 2).stat().st_size == other.repo_size
    result = trip.copy_one(TABLE, size)
    assert (result.kind, result.size, result.checksum) == ("copied", 0, EMPTY_SHA1)
    assert stored(trip, TABLE).stat().st_size == result.repo_size > 0


@BOTH
@pytest.mark.parametrize("bundle", [0, 1])
def test_a_link_in_the_place_of_a_file_is_not_followed(trip, tmp_path, size, bundle):
    (tmp_path / "secret").write_bytes(b"foreign" * size)
    trip.write("base/5/1", b"x")
    (trip.data / TABLE).symlink_to(tmp_path / "secret")
    with pytest.raises(FileOpenError, match="16384"):
        trip.copy(CopyFile(NAME, size), bundle=bundle)
    assert not any(path.is_file() for path in trip.root.rglob("*"))


@BOTH
@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_something_else_in_the_place_of_a_file_is_an_error(trip, size, kind):
    trip.write("base/5/1", b"x")
    (trip.data / TABLE).mkdir() if kind == "directory" else os.mkfifo(trip.data / TABLE)
    with pytest.raises(FileReadError, match="16384"):
        trip.copy_one(TABLE, size)
    assert not stored(trip, TABLE).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@BOTH
def test_a_file_that_may_not_be_read_is_an_error(trip, size):
    trip.write(TABLE, b"x", mode=0)
    with pytest.raises(FileOpenError, match="16384"):
        trip.copy_one(TABLE, size)


def test_results_come_in_the_order_of_the_files_however_they_are_read(trip):
    sizes = [10, SMALL + 1, 0, 5 << 20, SMALL, 20, SMALL + 2, 3]
    files = []
    for number, size in enumerate(sizes):
        trip.write(f"x/{number}", noise(size, number))
        files.append(CopyFile(f"pg_data/x/{number}", size))
    files[5] = CopyFile("pg_data/x/gone", 20)
    for bundle in (0, 1):
        results = trip.copy(*files, bundle=bundle)
        expected = [0 if number == 5 else size for number, size in enumerate(sizes)]
        assert [result.size for result in results] == expected
        assert [result.checksum for result in results] == [
            b"" if number == 5 else sha1(noise(size, number)) for number, size in enumerate(sizes)
        ]


# -- what the prior backup has


@BOTH
@pytest.mark.parametrize("bundle", [0, 1])
def test_an_unchanged_file_is_not_stored_again(trip, size, bundle):
    content = noise(size)
    trip.write(TABLE, content)
    known = (size, sha1(content))
    (result,) = trip.copy(CopyFile(NAME, size, known=known, check=True), bundle=bundle)
    assert result == Copied("match")
    assert not any(path.is_file() for path in trip.root.rglob("*"))
    # Without delta a large file is read once only, so it is stored before it is known to be the same.
    (result,) = trip.copy(CopyFile(NAME, size, known=known), bundle=bundle)
    assert result.kind == ("match" if size == SMALL_SIZE else "copied")


@BOTH
@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("known", [(0, sha1(b"other")), (1, EMPTY_SHA1)])
def test_a_changed_file_is_stored(trip, size, check, known):
    content = noise(size)
    trip.write(TABLE, content)
    size_of_it = {0: size, 1: size - 1}[known[0]]
    result = trip.copy_one(TABLE, known=(size_of_it, known[1] if known[0] == 0 else sha1(content)), check=check)
    assert (result.kind, result.checksum) == ("copied", sha1(content))


@BOTH
def test_a_file_that_has_gone_is_no_match(trip, size):
    assert trip.copy_one("gone", size, known=(size, b"x" * 20), check=True) == Copied("skip")


# -- what an interrupted backup left


def resumable(trip, size, content=None, kept=None):
    """A file in the cluster, and what was stored of it; returns how a resuming backup asks for it."""
    content = noise(size) if content is None else content
    trip.write(TABLE, noise(size))
    stored(trip, TABLE).parent.mkdir(parents=True)
    stored(trip, TABLE).write_bytes(content if kept is None else kept)
    return {"resume": (len(content), sha1(content))}


@BOTH
@pytest.mark.parametrize("delta", [False, True])
def test_what_was_stored_is_kept_when_it_is_what_it_should_be(trip, size, delta):
    wanted = resumable(trip, size)
    if delta:
        wanted.update(known=(size, sha1(noise(size))), check=True)
    before = stored(trip, TABLE).stat().st_ino
    assert trip.copy_one(TABLE, **wanted) == Copied("resumed")
    assert stored(trip, TABLE).read_bytes() == noise(size)
    assert stored(trip, TABLE).stat().st_ino == before


@BOTH
@pytest.mark.parametrize("delta", [False, True])
@pytest.mark.parametrize("kept", [b"", b"x", "flipped", "longer", "missing"])
def test_what_was_stored_is_replaced_when_it_was_damaged(trip, size, delta, kept):
    content = noise(size)
    damaged = {"flipped": flip(content, 0), "longer": content + b"x", "missing": b""}.get(kept, kept)
    wanted = resumable(trip, size, kept=damaged)
    if kept == "missing":
        stored(trip, TABLE).unlink()
    if delta:
        wanted.update(known=(size, sha1(content)), check=True)
    result = trip.copy_one(TABLE, **wanted)
    assert (result.kind, result.checksum, result.repaired) == ("copied", sha1(content), True)
    assert stored(trip, TABLE).read_bytes() == content


@BOTH
def test_what_was_stored_is_replaced_when_the_file_has_changed(trip, size):
    old = noise(size, 9)
    wanted = resumable(trip, size, content=old)
    result = trip.copy_one(TABLE, known=(size, sha1(old)), check=True, **wanted)
    assert (result.kind, result.checksum, result.repaired) == ("copied", sha1(noise(size)), False)
    assert stored(trip, TABLE).read_bytes() == noise(size)


@BOTH
@pytest.mark.parametrize("delta", [False, True])
def test_what_was_stored_of_a_file_that_has_gone_is_removed(trip, size, delta):
    wanted = resumable(trip, size)
    (trip.data / TABLE).unlink()
    if delta:
        wanted.update(known=(size, sha1(noise(size))), check=True)
    result = trip.copy_one(TABLE, size, **wanted)
    if size == LARGE_SIZE and not delta:
        assert result == Copied("resumed")  # its source is not looked at: recovery drops it as it did the first time
    else:
        assert result == Copied("skip") and not stored(trip, TABLE).exists()


# -- pages


@pytest.mark.parametrize("count", [1, 20, SMALL // PAGE + 5])
@pytest.mark.parametrize("bundle", [0, 1])
def test_bad_pages_are_found(tmp_path, count, bundle):
    trip = Trip(tmp_path, "lz4", check_pages=True)
    trip.write(TABLE, pages(count))
    (result,) = trip.copy(CopyFile(NAME, count * PAGE), bundle=bundle)
    assert (result.pages, result.bad_pages) == (True, None)
    bad = sorted({0, count // 2, count - 1})
    content = flip(pages(count), *bad)
    trip.write(TABLE, content)
    (result,) = trip.copy(CopyFile(NAME, count * PAGE), bundle=bundle)
    assert (result.pages, result.bad_pages, result.checksum) == (False, tuple(bad), sha1(content))


def test_pages_of_many_files_are_told_apart(tmp_path):
    trip = Trip(tmp_path, check_pages=True)
    files = []
    for number in range(30):
        content = pages(number % 4, seed=number)
        trip.write(f"base/5/{number}", flip(content, 0) if number % 5 == 1 and content else content)
        files.append(CopyFile(f"pg_data/base/5/{number}", len(content)))
    for number, result in enumerate(trip.copy(*files, bundle=1)):
        bad = number % 5 == 1 and number % 4 > 0
        assert (result.pages, result.bad_pages) == (not bad, (0,) if bad else None), number


@pytest.mark.parametrize("count", [3, SMALL // PAGE + 5])
def test_pages_are_numbered_over_all_segments_of_a_relation(tmp_path, count):
    trip = Trip(tmp_path, check_pages=True)
    trip.write("base/5/16384.1", pages(count, 131072))
    assert trip.copy_one("base/5/16384.1").pages is True
    trip.write("base/5/16384.1", flip(pages(count, 131072), 2))
    assert trip.copy_one("base/5/16384.1").bad_pages == (131074,)
    trip.write("base/5/16384.1", pages(count))
    assert trip.copy_one("base/5/16384.1").bad_pages == tuple(range(131072, 131072 + count))


@pytest.mark.parametrize("count", [2, SMALL // PAGE + 5])
@pytest.mark.parametrize("surplus", [1, 511, 512, PAGE - 1])
def test_a_file_that_ends_within_a_page_has_no_list(tmp_path, count, surplus):
    trip = Trip(tmp_path, check_pages=True)
    trip.write(TABLE, flip(pages(count), 0) + bytes(surplus))
    result = trip.copy_one(TABLE)
    assert (result.pages, result.bad_pages) == (False, None)


def test_only_relations_have_pages_and_only_when_they_are_checked(tmp_path):
    trip = Trip(tmp_path, check_pages=True)
    bad = flip(pages(2), 1)
    for name in ("base/5/PG_VERSION", "base/5/pg_filenode.map", "base/16384", "pg_xact/0000"):
        trip.write(name, bad)
        assert trip.copy_one(name).pages is None
    assert trip.copy_one("global/pg_control").pages is None
    trip.write(TABLE, b"")
    assert trip.copy_one(TABLE).pages is True
    off = Trip(tmp_path / "off")
    off.write(TABLE, bad)
    assert off.copy_one(TABLE).pages is None


def test_headers_and_new_pages(tmp_path):
    trip = Trip(tmp_path, check_pages=True)
    no_upper = bytearray(pages(1, 1))
    no_upper[14:16] = b"\0\0"
    content = pages(1) + bytes(no_upper) + bytes(PAGE) + pages(1, 3)
    trip.write(TABLE, content)
    assert trip.copy_one(TABLE).bad_pages == (1,)
    off = Trip(tmp_path / "off", check_pages=True, header_check=False)
    off.write(TABLE, pages(1) + bytes(2 * PAGE))
    assert off.copy_one(TABLE).pages is True


def test_pages_of_another_size(tmp_path):
    trip = Trip(tmp_path, check_pages=True, page_size=4096)
    trip.write(TABLE, bytes(3 * 4096))
    assert trip.copy_one(TABLE).pages is True
    trip.write(TABLE, bytes(2 * 4096) + b"x" * 4096 + bytes(4096))
    assert trip.copy_one(TABLE).bad_pages == (2,)


@pytest.mark.parametrize("count", [8, SMALL // PAGE + 5])
def test_a_page_that_is_being_written_is_not_reported_and_one_that_is_not_is(tmp_path, count):
    trip = Trip(tmp_path, check_pages=True)
    path = trip.write(TABLE, flip(pages(count), 1, 3))
    done = threading.Event()

    def rewrite():
        with open(path, "r+b", buffering=0) as file:
            number = 0
            while not done.is_set():
                number += 1
                file.seek(3 * PAGE + 100)
                file.write(number.to_bytes(8, "little"))

    thread = threading.Thread(target=rewrite)
    thread.start()
    try:
        results = []
        deadline = time.monotonic() + 20
        while (1,) not in results and time.monotonic() < deadline:
            results.append(trip.copy_one(TABLE).bad_pages)
    finally:
        done.set()
        thread.join(timeout=20)
    assert (1,) in results
    assert trip.copy_one(TABLE).bad_pages == (1, 3)
