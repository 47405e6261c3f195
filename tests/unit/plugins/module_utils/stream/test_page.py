# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.page import page_checksums
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream import page as page_module
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.page import PageCheck, check_batch
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.through import CHUNK

UPPER = 14  # offset of the field pd_upper, 2 bytes


def relation(count: int, first_block: int, page_size: int = 8192, seed: int = 1) -> bytearray:
    """Valid pages, every tenth of them new."""
    noise = random.Random(seed)
    pages = bytearray()
    for number in range(count):
        page = bytearray(page_size) if number % 10 == 9 else bytearray(noise.randbytes(page_size))
        if any(page):
            page[UPPER : UPPER + 2] = b"\x10\x20"
            page[8:10] = int(page_checksums(page, first_block + number, page_size)[0]).to_bytes(2, "little")
        pages += page
    return pages


def run(check: PageCheck, data: bytes, size: int) -> PageCheck:
    buffer = bytearray(size)
    passed = bytearray()

    def chunks() -> Iterator[memoryview]:
        for start in range(0, len(data), size):
            part = data[start : start + size]
            buffer[: len(part)] = part
            yield memoryview(buffer)[: len(part)]

    for chunk in check(chunks()):
        passed += chunk
    assert passed == data
    return check


@settings(max_examples=25)
@given(
    st.sampled_from((1024, 2048, 4096, 8192, 16384, 32768)),
    st.integers(0, 25),
    st.sampled_from((0, 7, 131072, 2**32 - 100)),
    st.integers(1, 100_000),
    st.sets(st.integers(0, 24), max_size=5),
)
def test_finds_what_was_damaged(page_size: int, count: int, first: int, size: int, damaged: set[int]) -> None:
    data = relation(count, first, page_size)
    damaged = {number for number in damaged if number < count}
    for number in damaged:
        data[number * page_size + page_size // 2] ^= 0x10
    check = run(PageCheck(first, page_size), bytes(data), size)
    assert check.errors == sorted(first + number for number in damaged)
    assert not check.misaligned


def test_a_large_file_in_chunks_of_storage() -> None:
    data = relation(300, 131072)
    for number in (0, 127, 128, 299):
        data[number * 8192 + 100] ^= 1
    check = run(PageCheck(131072), bytes(data), CHUNK)
    assert check.errors == [131072, 131072 + 127, 131072 + 128, 131072 + 299]


def test_a_wrong_first_block_is_found() -> None:
    assert run(PageCheck(1), bytes(relation(5, 0)), 8192).errors == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("extra", [1, 511, 512, 8191])
@pytest.mark.parametrize("size", [8192, 10_000, CHUNK])
def test_a_file_that_ends_within_a_page(extra: int, size: int) -> None:
    data = relation(3, 0)
    data[100] ^= 1
    check = run(PageCheck(0), bytes(data + bytes(extra)), size)
    assert check.misaligned
    assert check.errors == []
    short = run(PageCheck(0), bytes(extra), size)
    assert short.misaligned


def test_an_empty_file_is_valid() -> None:
    check = run(PageCheck(0), b"", 8192)
    assert (check.errors, check.misaligned) == ([], False)


@pytest.mark.parametrize(
    ("header_check", "upper", "checksum", "content", "valid"),
    [
        (True, 0, "any", b"", True),  # a new page
        (True, 0, "right", b"x", False),  # not even computed
        (False, 0, "right", b"x", True),  # an encrypted cluster
        (False, 9, "zero", b"x", False),
        (False, 0, "zero", b"", True),
        (True, 9, "right", b"x", True),
        (True, 9, "zero", b"x", False),
    ],
)
def test_rules(header_check: bool, upper: int, checksum: str, content: bytes, valid: bool) -> None:
    page = bytearray(8192)
    page[4000 : 4000 + len(content)] = content
    page[UPPER] = upper
    if checksum == "right":
        page[8:10] = int(page_checksums(page, 5)[0]).to_bytes(2, "little")
    assert run(PageCheck(5, header_check=header_check), bytes(page), 8192).errors == ([] if valid else [5])


def test_a_page_that_changed_since_counts_as_valid() -> None:
    data = relation(40, 10)
    for number in (3, 4, 5, 6):
        data[number * 8192 + 99] ^= 1
    now = {13: bytes(data[3 * 8192 : 4 * 8192]), 14: b"\1" * 8192, 15: b"", 16: bytes(data[6 * 8192 : 7 * 8192])}
    asked: list[int] = []

    def reread(block: int) -> bytes:
        asked.append(block)
        return now[block]

    assert run(PageCheck(10, reread=reread), bytes(data), 5 * 8192 - 100).errors == [13, 16]
    assert asked == [13, 14, 15, 16]  # once each, and no others


def test_batch() -> None:
    files = [
        (bytes(relation(count, first, seed=count)), first) for count, first in ((3, 0), (0, 5), (1, 131072), (20, 7))
    ]
    assert check_batch(files) == [[], [], [], []]
    damaged = []
    for index, (data, first) in enumerate(files):
        bad = bytearray(data)
        for number in range(0, len(bad) // 8192, 2):
            bad[number * 8192 + 20 + index] ^= 4
        damaged.append((bytes(bad), first))
    assert check_batch(damaged) == [[0, 2], [], [131072], list(range(7, 27, 2))]
    assert check_batch([]) == []
    assert check_batch([(b"", 0)]) == [[]]


def test_a_batch_is_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    real = page_module.bad_positions

    def counted(buffer: bytes, *rest: object) -> list[int]:
        calls.append(len(buffer))
        return real(buffer, *rest)

    monkeypatch.setattr(page_module, "bad_positions", counted)
    check_batch([(bytes(relation(2, 0)), 0)] * 50)
    assert calls == [50 * 2 * 8192]
