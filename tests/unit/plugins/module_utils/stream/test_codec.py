# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import itertools
import os
import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    ConfigError,
    FileMissingError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream import codec as table
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import (
    Codec,
    codec,
    extension,
    type_of_name,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.gz import Gz
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.measure import Measure
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.through import CHUNK, Chunk
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.zst import FRAME
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.zst_frames import ZstFrames
from tests.unit.strategies import contents

TYPES = ("none", "gz", "bz2", "lz4", "zst")
COMPRESSED = TYPES[1:]
LEVELS = {"none": (None,), "gz": (-1, 0, 1, 6, 7, 9), "bz2": (1, 9), "lz4": (-5, 0, 1, 12), "zst": (-7, 1, 3, 12)}
CASES = [(name, level, raw) for name in TYPES for level in LEVELS[name] for raw in (False, True)]
PG_VERSION = b"15\n"
SAMPLES = {  # what the reference implementation stores for these three bytes
    ("gz", False): "1f8b0800000000000003 3334e50200 1d7d0c98 03000000",
    ("gz", True): "789c 3334e50200 010a0071",
    ("lz4", False): "04224d18 44405e 03000080 31350a 00000000 92841dab",
    ("lz4", True): "04224d18 4040c0 03000080 31350a 00000000",
    ("zst", False): "28b52ffd 0058 190000 31350a",
    ("zst", True): "28b52ffd 0058 190000 31350a",
}
PLAIN = b"".join(b"%d rows of nothing much;" % number for number in range(9000)) + random.Random(7).randbytes(70_000)


def join(chunks: Iterable[Chunk]) -> bytes:
    whole = bytearray()
    for chunk in chunks:
        assert len(chunk) <= CHUNK
        whole += chunk
    return bytes(whole)


def cut(data: bytes, size: int) -> Iterator[memoryview]:
    """The data in one buffer that is used again and again, as storage delivers it."""
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]


@pytest.fixture(params=["isal", "zlib"])
def gz(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Codec]:
    """Gz as it is with and without the isal library."""
    if request.param == "isal":
        pytest.importorskip("isal")
    else:
        monkeypatch.setitem(sys.modules, "isal", None)
    return Gz


# -- round trips


@settings(max_examples=120)
@given(st.sampled_from(CASES), contents(), st.integers(1, 70_000))
def test_round_trip(case: tuple[str, int | None, bool], data: bytes, size: int) -> None:
    made = codec(*case)
    stored = join(made.compress(cut(data, size)))
    assert join(made.decompress(cut(stored, size))) == data
    assert made.decompress_one(stored, len(data)) == data
    stored = made.compress_one(data)
    assert join(made.decompress(cut(stored, size))) == data
    assert made.decompress_one(stored, len(data)) == data


@pytest.mark.parametrize("case", CASES)
def test_large_and_byte_by_byte(case: tuple[str, int | None, bool]) -> None:
    made = codec(*case)
    stored = join(made.compress(cut(PLAIN, 100_000)))
    assert join(made.decompress(cut(stored, 7 if case[1] in (1, None) else 4099))) == PLAIN
    large = PLAIN * 4
    assert join(made.decompress(made.compress(cut(large, CHUNK)))) == large


@pytest.mark.parametrize("case", CASES)
def test_of_nothing(case: tuple[str, int | None, bool]) -> None:
    made = codec(*case)
    for stored in (join(made.compress([])), join(made.compress([b"", b""])), made.compress_one(b"")):
        assert made.decompress_one(stored, 0) == b""
        assert join(made.decompress([b"", stored, b""])) == b""


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("name", TYPES)
def test_two_streams_at_once_share_nothing(name: str, raw: bool) -> None:
    made = codec(name, None, raw)
    one, other = os.urandom(300_000), PLAIN
    stored = [bytearray(), bytearray()]
    for chunks in itertools.zip_longest(
        made.compress(cut(one, 65536)), made.compress(cut(other, 65536)), fillvalue=b""
    ):
        made.compress_one(b"in between")
        for whole, chunk in zip(stored, chunks):
            whole += chunk
    plain = [bytearray(), bytearray()]
    readers = [made.decompress(cut(bytes(data), 65536)) for data in stored]
    for chunks in itertools.zip_longest(*readers, fillvalue=b""):
        for whole, chunk in zip(plain, chunks):
            whole += chunk
    assert plain == [one, other]


def test_a_stream_abandoned_half_way_does_not_disturb_the_next() -> None:
    for name in TYPES:
        made = codec(name)
        next(made.compress(cut(PLAIN * 20, CHUNK)))
        stored = join(made.compress([PLAIN]))
        next(made.decompress([stored]))
        assert join(made.decompress([stored])) == PLAIN


# -- what is written: the reference's form, and readable by others


@pytest.mark.parametrize(("name", "raw"), SAMPLES)
def test_samples(name: str, raw: bool) -> None:
    made, sample = codec(name, None, raw), bytes.fromhex(SAMPLES[name, raw].replace(" ", ""))
    assert made.decompress_one(sample, 3) == PG_VERSION
    assert join(made.decompress(cut(sample, 1))) == PG_VERSION
    if name == "lz4":
        assert join(made.compress([PG_VERSION])) == made.compress_one(PG_VERSION) == sample


@pytest.mark.parametrize("level", LEVELS["gz"])
def test_gz_is_one_member_without_name_or_time(gz: type[Codec], level: int) -> None:
    for raw in (False, True):
        made = gz("gz", level, raw)
        for stored in (join(made.compress(cut(PLAIN, 5000))), made.compress_one(PLAIN)):
            inflate = zlib.decompressobj(15 if raw else 31)
            assert inflate.decompress(stored) == PLAIN
            assert inflate.eof and not inflate.unused_data
            if not raw:
                assert stored[:10].hex() == "1f8b0800000000000003"
                assert gzip.decompress(stored) == PLAIN
            assert join(made.decompress(cut(stored, 999))) == PLAIN


def test_gz_levels() -> None:
    stored, fast, default, best = (len(codec("gz", level).compress_one(PLAIN)) for level in (0, 1, 6, 9))
    assert stored > len(PLAIN) > max(fast, default) > best
    assert codec("gz", -1).compress_one(PLAIN) == codec("gz", 6).compress_one(PLAIN) == codec("gz").compress_one(PLAIN)


def test_what_zlib_wrote_is_read(gz: type[Codec]) -> None:
    assert gz("gz", None, False).decompress_one(gzip.compress(PLAIN, 9), len(PLAIN)) == PLAIN
    assert gz("gz", None, True).decompress_one(zlib.compress(PLAIN, 6), len(PLAIN)) == PLAIN
    for header in ("1f8b0808000000000003 66696c6500", "1f8b081c000000000003 0400 01020304 66696c6500 636f6d6d656e7400"):
        named = bytes.fromhex(header) + gzip.compress(PLAIN)[10:]  # a name; an extra field, a name and a comment
        assert join(gz("gz", None, False).decompress([named])) == PLAIN


def test_lz4_has_linked_64k_blocks() -> None:
    assert join(codec("lz4").compress(cut(PLAIN, CHUNK)))[:6].hex() == "04224d184440"
    assert join(codec("lz4", None, True).compress(cut(PLAIN, CHUNK)))[:6].hex() == "04224d184040"


def test_lz4_of_another_form_is_read() -> None:
    frame = pytest.importorskip("lz4.frame")
    stored = frame.compress(
        PLAIN, block_size=frame.BLOCKSIZE_MAX4MB, block_linked=False, block_checksum=True, store_size=True
    )
    assert codec("lz4").decompress_one(stored, len(PLAIN)) == PLAIN


def test_zst_of_another_form_is_read() -> None:
    library = pytest.importorskip("zstandard")
    stored = library.ZstdCompressor(write_checksum=True, write_content_size=True).compress(PLAIN)
    assert codec("zst").decompress_one(stored, len(PLAIN)) == PLAIN
    skippable = bytes.fromhex("512a4d1803000000") + b"any"
    assert join(codec("zst").decompress(cut(skippable + stored, 1))) == PLAIN


@pytest.mark.parametrize("level", [None, 9])
@pytest.mark.parametrize("size", [FRAME - 1, FRAME, FRAME + 1, 2 * FRAME])
def test_zst_frames_are_full_and_few(size: int, level: int | None) -> None:
    """None is empty: other readers of the format take it for the end."""
    library = pytest.importorskip("zstandard")
    data = (PLAIN * (size // len(PLAIN) + 1))[:size]
    stored = join(codec("zst", level).compress(cut(data, CHUNK - 1)))
    assert codec("zst").decompress_one(stored, size) == data
    sizes = []
    while stored:
        decoder = library.ZstdDecompressor().decompressobj()
        sizes.append(len(decoder.decompress(stored)))
        stored = decoder.unused_data
    # The larger windows of higher levels are worth one frame.
    assert sizes == ([size] if level == 9 else [FRAME] * (size // FRAME) + [size % FRAME] * (size % FRAME > 0))


@pytest.mark.parametrize(("name", "program"), [("gz", "gzip"), ("bz2", "bzip2"), ("lz4", "lz4"), ("zst", "zstd")])
def test_other_programs_agree(name: str, program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    for raw in sorted({False, name != "gz"}):
        stored = join(codec(name, None, raw).compress(cut(PLAIN, CHUNK)))
        assert subprocess.run([program, "-dc"], input=stored, capture_output=True, check=True).stdout == PLAIN
    theirs = subprocess.run([program, "-c"], input=PLAIN, capture_output=True, check=True).stdout
    assert join(codec(name).decompress(cut(theirs, 4096))) == PLAIN


# -- what is damaged


def stored_by(name: str, raw: bool, data: bytes = PLAIN) -> bytes:
    return join(codec(name, None, raw).compress(cut(data, CHUNK)))


EACH = pytest.mark.parametrize(("name", "raw"), [(name, raw) for name in COMPRESSED for raw in (False, True)])


@EACH
def test_empty_input_is_an_error(name: str, raw: bool) -> None:
    for nothing in ([], [b""]):
        with pytest.raises(FormatError, match=f"{name} data ends early"):
            join(codec(name, None, raw).decompress(nothing))
    with pytest.raises(FormatError):
        codec(name, None, raw).decompress_one(b"", 0)


@EACH
def test_truncated_anywhere_is_an_error(name: str, raw: bool) -> None:
    stored, made = stored_by(name, raw, PLAIN[:300] + PLAIN[-300:]), codec(name, None, raw)
    for length in range(len(stored)):
        with pytest.raises(FormatError):
            join(made.decompress([stored[:length]]))
        with pytest.raises(FormatError):
            made.decompress_one(stored[:length], 600)


@EACH
def test_truncated_large_is_an_error(name: str, raw: bool) -> None:
    stored = stored_by(name, raw)
    for missing in (1, 4, 8, len(stored) // 2):
        with pytest.raises(FormatError):
            join(codec(name, None, raw).decompress(cut(stored[:-missing], 10_000)))


@EACH
@settings(max_examples=25)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_a_flipped_bit_is_an_error_or_shows_in_the_data(name: str, raw: bool, place: int, bit: int) -> None:
    """Never anything else: no crash, no other exception. (Some header bits mean nothing.)"""
    stored = bytearray(stored_by(name, raw, PLAIN[-3000:]))
    stored[place % len(stored)] ^= 1 << bit
    try:
        join(codec(name, None, raw).decompress([stored]))
    except FormatError as error:
        assert name in str(error) or "zst" in str(error)


@EACH
def test_random_bytes_are_an_error(name: str, raw: bool) -> None:
    with pytest.raises(FormatError):
        join(codec(name, None, raw).decompress([b"\0" * 1000]))
    with pytest.raises(FormatError):
        join(codec(name, None, raw).decompress([random.Random(1).randbytes(1000)]))


@EACH
@pytest.mark.parametrize("size", [1, 7, 10**6])
def test_after_the_end(name: str, raw: bool, size: int) -> None:
    """Like the reference: gz and bz2 stop at the first end, lz4 and zst read all frames and nothing else."""
    plain = PLAIN[-3000:]
    stored, made = stored_by(name, raw, plain), codec(name, None, raw)
    measure = Measure()
    twice = join(made.decompress(measure(cut(stored * 2, size))))
    assert twice == (plain if name in ("gz", "bz2") else plain * 2)
    assert measure.size == 2 * len(stored)
    for garbage in (b"\x00", b"garbage", b"\x01" * 5000):
        if name in ("gz", "bz2"):
            measure = Measure()
            assert join(made.decompress(measure(cut(stored + garbage, size)))) == plain
            assert measure.size == len(stored) + len(garbage)
        else:
            with pytest.raises(FormatError):
                join(made.decompress(cut(stored + garbage, size)))


@EACH
def test_an_empty_frame_first(name: str, raw: bool) -> None:
    made = codec(name, None, raw)
    data = join(made.decompress([made.compress_one(b"") + made.compress_one(PLAIN)]))
    assert data == (b"" if name in ("gz", "bz2") else PLAIN)


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_bomb_comes_in_bounded_pieces(name: str) -> None:
    import tracemalloc

    size = 64 * CHUNK
    stored = join(codec(name, None).compress(bytes(CHUNK) for _other in range(64)))
    tracemalloc.start()
    try:
        found = 0
        for chunk in codec(name).decompress([stored]):
            assert len(chunk) <= CHUNK
            found += len(chunk)
        with pytest.raises(FormatError, match="more than the 100 bytes"):
            codec(name).decompress_one(stored, 100)
        assert found == size
        assert tracemalloc.get_traced_memory()[1] < 8 * CHUNK
    finally:
        tracemalloc.stop()


def test_a_bomb_for_plain_zlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "isal", None)
    sizes = [len(chunk) for chunk in Gz("gz", None, False).decompress([gzip.compress(bytes(20 * CHUNK))])]
    assert sum(sizes) == 20 * CHUNK and max(sizes) == CHUNK


@pytest.mark.parametrize("name", TYPES)
def test_another_size_than_expected(name: str) -> None:
    made = codec(name)
    stored = made.compress_one(PLAIN)
    for size in (0, len(PLAIN) - 1, len(PLAIN) + 1):
        with pytest.raises(FormatError, match=str(size)):
            made.decompress_one(stored, size)


@pytest.mark.parametrize("name", TYPES)
def test_errors_of_the_source_pass(name: str) -> None:
    def source() -> Iterator[bytes]:
        yield codec(name).compress_one(PLAIN)[:50]
        raise FileMissingError("gone")

    for use in (codec(name).compress, codec(name).decompress):
        with pytest.raises(FileMissingError, match="gone"):
            join(use(source()))


# -- zst frames


@settings(max_examples=60)
@given(contents(), st.integers(1, 5000), st.booleans(), st.booleans(), st.sampled_from((1, 3)))
def test_zst_frames_end_where_they_end(data: bytes, size: int, checksum: bool, sized: bool, level: int) -> None:
    library = pytest.importorskip("zstandard")
    made = library.ZstdCompressor(level=level, write_checksum=checksum, write_content_size=sized)
    stored = made.compress(data)
    whole = ZstFrames()
    for chunk in cut(stored, size):
        assert not whole.complete
        whole.update(chunk)
    assert whole.complete
    part = ZstFrames()
    part.update(stored[:-1])
    assert not part.complete


# -- the table


def test_names() -> None:
    assert [extension(name) for name in TYPES] == ["", ".gz", ".bz2", ".lz4", ".zst"]
    assert [type_of_name(f"000000010000000000000001-0a{extension(name)}") for name in TYPES] == list(TYPES)
    assert type_of_name("pg_data/base/1/1259.pgbi") == "none"
    with pytest.raises(AssertError, match="rar"):
        codec("rar")


def test_the_same_question_has_the_same_answer() -> None:
    assert codec("zst", 3) is codec("zst", 3)
    assert codec("zst", 3) is not codec("zst", 4)


def test_zst_compressors_are_used_again() -> None:
    made = codec("zst", 5)
    for _other in range(10):
        made.compress_one(PLAIN)
        join(made.decompress(made.compress([PLAIN])))
    assert len(made._compressors) == len(made._decompressors) == 1


@pytest.mark.parametrize(("name", "package", "modules"), [
    ("zst", "zstandard", ("zstandard", "compression", "compression.zstd")),
    ("lz4", "lz4", ("lz4", "lz4.frame")),
])  # fmt: skip
def test_a_missing_library_is_named(
    name: str, package: str, modules: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(table, "_made", {})
    with pytest.raises(ConfigError, match=f"compress-type={name}.*'{package}'") as caught:
        codec(name)
    assert package in caught.value.hint


@pytest.mark.skipif(sys.version_info < (3, 14), reason="zst came to the standard library with Python 3.14")
@pytest.mark.parametrize("name", ["zst"])
def test_the_standard_library_does_as_well(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    monkeypatch.setattr(table, "_made", {})
    made = codec(name)
    stored = join(made.compress(cut(PLAIN, 5000)))
    assert join(made.decompress(cut(stored * 2, 999))) == PLAIN * 2
    for damaged in (stored[:-1], stored + b"x", b"", b"garbage garbage"):
        with pytest.raises(FormatError):
            join(made.decompress([damaged]))
