# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verify worker finds in files, cut into regions as one likes."""

from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import faults
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify_check import (
    ANY,
    GAP,
    Checker,
    CheckJob,
    Container,
    Form,
    Region,
    Window,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import AssertError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.local import LocalStorage
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.cipher import Cipher
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec
from ansible_collections.holdfast.postgres.tests.support import damage

PLAIN = Form("none", False)


def sha1(data):
    return hashlib.sha1(data).digest()


@pytest.fixture(autouse=True)
def no_faults():
    yield
    faults.arm("")


def check(path, *containers, retries=0, interval=0.0):
    """(container, region, kind) of each finding."""
    checker = Checker(lambda: LocalStorage(str(path)), retries, interval)
    return [(item.container, item.region, item.verdict.kind) for item in checker(CheckJob("x", containers))]


def bundle(path, parts, name="bundle", gaps=0):
    """A file with these parts, and the container that expects them."""
    regions, content = [], bytearray()
    for number, part in enumerate(parts):
        content += b"-" * gaps
        regions.append(Region(number, f"file {number}", len(content), len(part), sha1(part)))
        content += part
    (path / name).write_bytes(content)
    return Container(name, False, PLAIN, tuple(regions))


parts_of_a_bundle = st.lists(st.binary(min_size=1, max_size=3000) | st.just(b"x" * (GAP + 1)), min_size=1, max_size=8)


# -- bundles


@given(parts_of_a_bundle, st.sampled_from([0, 1, GAP + 7]))
def test_sound_regions_are_not_mentioned(tmp_path_factory, parts, gaps):
    path = tmp_path_factory.mktemp("sound")
    assert check(path, bundle(path, parts, gaps=gaps)) == []


@given(parts_of_a_bundle, st.data())
def test_a_flipped_bit_is_found_in_its_region_only(tmp_path_factory, parts, data):
    path = tmp_path_factory.mktemp("flipped")
    container = bundle(path, parts)
    damaged = data.draw(st.integers(0, len(parts) - 1))
    region = container.regions[damaged]
    damage.flip_bit(path / "bundle", region.offset + data.draw(st.integers(0, region.size - 1)))
    assert check(path, container) == [(0, damaged, "checksum")]


@given(parts_of_a_bundle, st.data())
def test_what_is_cut_off_is_found(tmp_path_factory, parts, data):
    path = tmp_path_factory.mktemp("cut")
    container = bundle(path, parts)
    size = data.draw(st.integers(0, sum(map(len, parts)) - 1))
    damage.cut(path / "bundle", size)
    gone = [number for number, region in enumerate(container.regions) if region.offset + region.size > size]
    assert check(path, container) == [(0, number, "checksum") for number in gone]


def test_a_bundle_that_is_missing_lacks_all_its_regions(tmp_path):
    container = bundle(tmp_path, [b"a", b"b"])
    other = bundle(tmp_path, [b"c"], "other")
    (tmp_path / "bundle").unlink()
    assert check(tmp_path, container, other) == [(0, 0, "missing"), (0, 1, "missing")]


def test_a_gap_is_not_read_when_it_is_large(tmp_path):
    faults.arm("storage.local.read@1000=exit:9")
    container = bundle(tmp_path, [b"a", b"b", b"c"], gaps=8 << 20)
    before = faults._passed.get("storage.local.read", 0)
    assert check(tmp_path, container) == []
    assert faults._passed["storage.local.read"] - before < 10


def test_regions_that_overlap_are_each_compared(tmp_path):
    (tmp_path / "bundle").write_bytes(b"abcdef")
    parts = ((0, 4, b"abcd"), (2, 4, b"cdef"), (2, 2, b"no"))
    regions = tuple(Region(1, "x", offset, size, sha1(content)) for offset, size, content in parts)
    assert check(tmp_path, Container("bundle", False, PLAIN, regions)) == [(0, 2, "checksum")]


# -- whole files


@pytest.mark.parametrize(
    ("found", "kind"), [(b"content", None), (b"contents", "checksum"), (b"conten", "checksum"), (b"", "checksum")]
)
def test_a_whole_file(tmp_path, found, kind):
    (tmp_path / "file").write_bytes(found)
    container = Container("file", True, PLAIN, (Region(1, "file", 0, 7, sha1(b"content")),))
    assert check(tmp_path, container) == ([(0, 0, kind)] if kind else [])


def test_the_size_is_compared_by_itself(tmp_path):
    """Two manifests may agree on the checksum and not on the size."""
    (tmp_path / "file").write_bytes(b"content")
    container = Container("file", True, PLAIN, (Region(1, "file", 0, 8, sha1(b"content")),))
    assert check(tmp_path, container) == [(0, 0, "size")]


@pytest.mark.parametrize("passphrase", [None, "secret"], ids=["clear", "encrypted"])
@pytest.mark.parametrize("kind", ["none", "gz", "bz2", "lz4", "zst"])
def test_content(tmp_path, kind, passphrase):
    plain = bytes(range(256)) * 5000
    stored = codec(kind).compress_one(plain)
    stored = Cipher(passphrase).encrypt_one(stored) if passphrase else stored
    (tmp_path / "file").write_bytes(stored)

    def finds(region):
        return check(tmp_path, Container("file", True, Form(kind, False, passphrase), (region,)))

    assert finds(Region(1, "f", 0, len(stored), sha1(stored), sha1(plain), len(plain))) == []
    assert finds(Region(1, "f", 0, ANY, None, sha1(plain), ANY)) == []
    assert finds(Region(1, "f", 0, ANY, None, sha1(b"other"), len(plain))) == [(0, 0, "checksum")]
    assert finds(Region(1, "f", 0, ANY, None, sha1(plain), len(plain) + 1)) == [(0, 0, "size")]
    if kind == "none" and passphrase is None:
        return
    (tmp_path / "file").write_bytes(stored[: len(stored) // 2])
    assert finds(Region(1, "f", 0, ANY, None, sha1(plain), len(plain))) == [(0, 0, "other")]
    assert finds(Region(1, "f", 0, len(stored), sha1(stored), sha1(plain), len(plain))) == [(0, 0, "checksum")]
    half = stored[: len(stored) // 2]
    assert finds(Region(1, "f", 0, len(half), sha1(half), sha1(plain), len(plain))) == [(0, 0, "other")]


def test_what_a_decoder_gives_up_on_does_not_shift_the_next_region(tmp_path):
    good, bad = codec("zst").compress_one(b"good" * 99), b"no zst at all" * 99
    (tmp_path / "bundle").write_bytes(bad + good)
    regions = (Region(1, "x", 0, len(bad), sha1(bad), sha1(b"x")),
               Region(2, "y", len(bad), len(good), sha1(good), sha1(b"good" * 99), 396))  # fmt: skip
    assert check(tmp_path, Container("bundle", False, Form("zst", False), regions)) == [(0, 0, "other")]


# -- storage that fails


def test_a_region_that_cannot_be_read_is_a_finding_and_the_next_one_is_read(tmp_path):
    parts = [b"a" * 700_000, b"b" * 700_000, b"c" * 700_000]
    container = bundle(tmp_path, parts)
    faults.arm("storage.local.read@2=raise:EIO")  # while the second region is read
    assert check(tmp_path, container) == [(0, 1, "other")]
    faults.arm("storage.local.read@2=raise:EIO")
    assert check(tmp_path, container, retries=1) == []


def test_a_job_waits_once_only_for_storage_that_stays_broken(tmp_path):
    containers = []
    for number in range(6):
        (tmp_path / str(number)).mkdir()  # to read a directory fails, too
        containers.append(Container(str(number), True, PLAIN, (Region(number, "x", 0, 1, sha1(b"x")),)))
    begin = time.monotonic()
    assert check(tmp_path, *containers, retries=3, interval=0.2) == [(number, 0, "other") for number in range(6)]
    assert time.monotonic() - begin < 0.8


def test_a_bug_is_no_finding(tmp_path):
    with pytest.raises(AssertError):
        check(tmp_path, Container("../x", True, PLAIN, (Region(1, "x", 0, 1, sha1(b"x")),)))


def test_a_job_is_told_by_its_first_file_and_without_its_passphrase(tmp_path):
    job = CheckJob("owner", (Container("a/b", True, Form("zst", False, "secret"), (Region(1, "x", 0, 1, b""),)),))
    assert "a/b" in str(job) and "secret" not in str(job) + repr(job)


# -- the window


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=10), st.lists(st.integers(0, 60), max_size=12))
def test_a_window_cuts_a_stream_wherever_its_chunks_end(content, chunk_sizes, pieces):
    chunks, at = [], 0
    for size in [*chunk_sizes, len(content)]:
        chunks.append(content[at : at + size])
        at += size
    window, at = Window(chunks, 100), 0
    for number, size in enumerate(pieces):
        if number % 3 == 2:
            window.skip_to(100 + at + size)
        else:
            assert b"".join(map(bytes, window.take(size))) == content[at : at + size]
        at += size
        assert window.position == 100 + min(at, len(content))
