# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block incremental: the regions of the format's worked example, byte for byte, and files rebuilt from their maps."""

from __future__ import annotations

import zlib
from typing import Optional

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.block_map import (
    BlockItem,
    parse_block_map,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.block import BlockWriter

BLOCK = 8192
FULL = b"".join(letter * BLOCK for letter in (b"A", b"B", b"C", b"D", b"E")) + b"F" * 100
FIRST = b"".join(letter * BLOCK for letter in (b"A", b"B", b"Z", b"D", b"E")) + b"F" * 100
SECOND = FIRST[: 5 * BLOCK] + b"F" * BLOCK + b"G" * 10
# Regions of the three backups: a super block, made by zlib at level 6, and the map.
REGIONS = [
    "789cedc1810900200c03b0db3675ff9fe4178342922a00000000000000205d0300000000000000f10e0000000000000010ef0200000000000000"
    "f11e00000000000000106f167c6997fdc0"
    "000301db040b64753fce3c113b7fac9165aae0d1f48ddba7418fd99eb3b024ed13f6567c14cd8625fdd772",
    "789cedc1010d000000c2a09eef1fc41c6e400100000000000000ef064cf040a6"
    "000201df040b6402753fce3c113b7fac9165aae00a01a9055959752d68fd0705018fd99eb3b024ed13f6567c14cd8625fdd772",
    "789cedc1310d00000c032077ad7f47fde66109900000000000000000dff50c4927c33f"
    "000201df040b6402753fce3c113b7fac9165aae00a01a9055959752d68fd0603018fd99eb3b024ed13f6567c141301fb04030a3150877119fd"
    "071c573416c3",
]


class Stored:
    """The regions of one file in the backups of a set, each in a bundle of its own."""

    def __init__(self, block: int = BLOCK, checksum: int = 6, limit: int = 4 * BLOCK) -> None:
        self.block, self.checksum, self.limit = block, checksum, limit
        self.regions: list[bytes] = []
        self.items: list[BlockItem] = []

    def add(self, content: bytes, pieces: int = 0) -> Optional[bytes]:
        """Store the next state of the file; the region, None when nothing changed."""
        reference = len(self.regions)
        writer = BlockWriter(
            self.block,
            self.checksum,
            self.limit,
            lambda data: zlib.compress(data, 6),
            bytes,
            reference,
            1,
            0,
            self.items,
        )
        step = pieces or len(content) or 1
        chunks = [bytearray(content[start : start + step]) for start in range(0, len(content), step)]
        region = b"".join(bytes(piece) for piece in writer(chunks))
        self.regions.append(region)
        if not region:
            assert writer.map_size == 0
            return None
        stored = region[len(region) - writer.map_size :]
        self.items = parse_block_map(stored, self.block, self.checksum, len(content), len(self.regions))
        return region

    def rebuild(self, size: int) -> bytes:
        """The file as the map says, from the bytes of all regions."""
        content = bytearray()
        for index, item in enumerate(self.items):
            region = self.regions[item.reference]
            plain = zlib.decompress(region[item.offset : item.offset + item.size])
            assert len(plain) == item.super_size
            length = min(self.block, size - index * self.block)
            content += plain[item.number * self.block : item.number * self.block + length]
        return bytes(content)


def test_the_worked_example_of_the_format() -> None:
    stored = Stored(limit=1 << 20)
    for content, region in zip((FULL, FIRST, SECOND), REGIONS):
        assert (stored.add(content) or b"").hex() == region
        assert stored.rebuild(len(content)) == content


def test_nothing_changed_stores_nothing() -> None:
    stored = Stored()
    assert stored.add(FULL)
    assert stored.add(FULL) is None
    assert stored.rebuild(len(FULL)) == FULL


def test_a_file_that_lost_blocks_at_its_end_stores_only_a_map() -> None:
    stored = Stored()
    stored.add(FULL)
    region = stored.add(FULL[: 3 * BLOCK])
    assert region is not None and len(region) < 60
    assert stored.rebuild(3 * BLOCK) == FULL[: 3 * BLOCK]


states = st.lists(st.lists(st.sampled_from(b"abcde"), min_size=1, max_size=24), min_size=1, max_size=6)


@settings(max_examples=150)
@given(states, st.integers(0, 15), st.integers(1, 70), st.sampled_from([16, 40, 64]))
def test_every_state_of_a_file_is_rebuilt_from_the_bytes(
    history: list[list[int]], tail: int, pieces: int, limit: int
) -> None:
    # Super blocks are whole blocks, and small here so that there are many of them.
    stored = Stored(block=16, checksum=6, limit=-(-limit // 16) * 16)
    previous = b""
    for letters in history:
        content = b"".join(bytes([letter]) * 16 for letter in letters)[: len(letters) * 16 - tail or None]
        region = stored.add(content, pieces)
        assert (region is None) == (content == previous)
        assert stored.rebuild(len(content)) == content
        previous = content
