# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import pathlib
import subprocess
import sys

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import AssertError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres import page

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "postgres"
PAGE_SIZES = [1024 << power for power in range(6)]


@pytest.fixture(scope="module")
def pages() -> bytes:
    """Blocks 0 to 3 of pg_class in a cluster of PostgreSQL 15 with checksums."""
    return gzip.decompress((FIXTURES / "pages.bin.gz").read_bytes())


def plain_checksum(data: bytes, block: int) -> int:
    """The algorithm once more, word by word as the specification tells it."""
    data = data[:8] + b"\0\0" + data[10:] + bytes(256)
    sums = list(page._SEEDS)
    for number in range(len(data) // 4):
        mixed = sums[number % 32] ^ int.from_bytes(data[number * 4 : number * 4 + 4], "little")
        sums[number % 32] = (mixed * 16777619) & 0xFFFFFFFF ^ mixed >> 17
    result = block
    for lane in sums:
        result ^= lane
    return result % 65535 + 1


def with_checksum(data: bytes, block: int) -> bytes:
    return data[:8] + plain_checksum(data, block).to_bytes(2, "little") + data[10:]


def flipped(data: bytes, position: int, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[position] ^= 1 << bit
    return bytes(damaged)


def test_pages_of_a_real_cluster_are_valid(pages):
    stored = numpy.frombuffer(pages, "<u2").reshape(4, -1)[:, 4]
    assert page.page_checksums(pages, 0).tolist() == stored.tolist()
    assert page.bad_pages(pages, 0) == []
    assert page.bad_pages(memoryview(pages)[8192:], 1) == []


def test_a_wrong_block_number_is_found(pages):
    assert page.bad_pages(pages, 1) == [1, 2, 3, 4]
    assert page.bad_pages(pages, 131072) == [131072, 131073, 131074, 131075]


def test_every_flipped_bit_of_a_real_page_is_found(pages):
    positions = range(8192, 2 * 8192, 97)
    damaged = b"".join(flipped(pages, position, position % 8)[8192 : 2 * 8192] for position in positions)
    assert page.bad_positions(damaged, [1] * len(positions)) == list(range(len(positions)))


def test_pages_of_several_files_in_one_call(pages):
    mixed = pages[8192:16384] + pages[:8192] + flipped(pages, 24576 + 5000, 3)[24576:] + pages[16384:24576]
    assert page.bad_positions(mixed, [1, 0, 3, 2]) == [2]
    assert page.bad_positions(mixed, numpy.array([1, 0, 3, 7])) == [2, 3]


@settings(max_examples=40)
@given(st.sampled_from(PAGE_SIZES), st.binary(min_size=1, max_size=64), st.integers(0, (1 << 32) - 1), st.integers(0))
def test_all_page_sizes(size, seed, block, position):
    data = (seed * (size // len(seed) + 1))[:size]
    data = data[:14] + b"\1\0" + data[16:]
    assert page.page_checksums(data, block, size).tolist() == [plain_checksum(data, block)]
    whole = with_checksum(data, block)
    assert page.bad_pages(whole, block, size) == []
    assert page.bad_pages(flipped(whole, 16 + position % (size - 16), position % 8), block, size) == [block]


@pytest.mark.parametrize("count", [1, 513, 1024, 1500])
def test_any_number_of_pages_one_call_after_the_other(pages, count):
    """The work buffers of an earlier, larger or smaller call leave no trace."""
    buffer = (pages * (count // 4 + 1))[: count * 8192]
    blocks = [number % 4 for number in range(count)]
    assert page.bad_positions(buffer, blocks) == []
    broken = flipped(buffer, (count - 1) * 8192 + 100, 0)
    assert page.bad_positions(broken, blocks) == [count - 1]


def test_no_pages():
    assert page.bad_pages(b"", 0) == []
    assert page.page_checksums(b"", 0).tolist() == []


ZEROS = bytes(8192)
ONE_BIT = flipped(ZEROS, 5000, 0)


def test_a_page_of_zeros_was_never_written(pages):
    assert page.bad_pages(ZEROS * 200, 0) == []
    assert page.bad_pages(ZEROS * 200, 0, header_check=False) == []
    assert page.bad_pages(pages[:8192] + ZEROS + pages[16384:], 0) == []


def test_with_the_header_check_a_page_without_upper_must_be_zeros():
    no_upper = with_checksum(ONE_BIT, 0)
    assert no_upper[14:16] == b"\0\0"
    assert page.bad_pages(ONE_BIT, 0) == [0]
    assert page.bad_pages(no_upper, 0) == [0]
    assert page.bad_pages(ZEROS[:8] + b"\1\0" + ZEROS[10:], 0) == [0]


def test_without_the_header_check_only_the_checksum_counts():
    assert page.bad_pages(ONE_BIT, 0, header_check=False) == [0]
    assert page.bad_pages(with_checksum(ONE_BIT, 0), 0, header_check=False) == []
    assert page.bad_pages(with_checksum(ONE_BIT, 1), 0, header_check=False) == [0]


@pytest.mark.parametrize(
    ("buffer", "size"), [(bytes(8191), 8192), (bytes(8193), 8192), (bytes(1536), 1536), (bytes(512), 512)]
)
def test_what_is_not_whole_pages_is_a_bug(buffer, size):
    with pytest.raises(AssertError):
        page.bad_pages(buffer, 0, size)


def test_too_few_block_numbers_are_a_bug(pages):
    with pytest.raises(AssertError):
        page.bad_positions(pages, [0, 1, 2])


def test_without_numpy_the_error_names_it():
    """In a process of its own: what was imported cannot be forgotten."""
    program = (
        "import sys; sys.modules['numpy'] = None\n"
        f"sys.path[:0] = {sys.path!r}\n"
        f"from {page.__name__} import bad_pages\n"
        f"from {page.__name__.rsplit('.', 2)[0]}.errors import ConfigError\n"
        "try:\n    bad_pages(bytes(8192), 0)\n"
        "except ConfigError as error:\n    sys.stdout.write(error.message + error.hint)\n"
    )
    process = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60)
    assert "numpy" in process.stdout
    assert "checksum-page" in process.stdout
