# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks page checksums as the pages pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..postgres.page import bad_pages, bad_positions
from .through import Chunk


class PageCheck:
    """Finds the invalid pages of a relation's file; the chunks go on unchanged.

    first_block: number of the file's first page in the relation. header_check: whether a page whose upper offset is
    zero must be all zeros. reread: the bytes of a page, by its block number, from the file as it is now: a page that
    has changed since it passed was torn by a write, and what it should be is in the WAL; so it counts as valid.

    At the end of the stream, errors has the block numbers, ascending; or misaligned says that the file does not end
    with a whole page, when numbers would mean nothing and there are none.
    """

    def __init__(
        self,
        first_block: int,
        page_size: int = 8192,
        header_check: bool = True,
        reread: Callable[[int], bytes] | None = None,
    ) -> None:
        self.errors: list[int] = []
        self.misaligned = False
        self._block = first_block
        self._page_size = page_size
        self._header_check = header_check
        self._reread = reread

    def __call__(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        cut = bytearray()  # the page that a chunk ended in
        for chunk in chunks:
            rest = memoryview(chunk)
            if cut:
                missing = self._page_size - len(cut)
                cut += rest[:missing]
                rest = rest[missing:]
                if len(cut) == self._page_size:
                    self._check(memoryview(bytes(cut)))
                    cut.clear()
            whole = len(rest) - len(rest) % self._page_size
            if whole:
                self._check(rest[:whole])
            cut += rest[whole:]
            yield chunk
        if cut:
            self.misaligned = True
            self.errors.clear()

    def _check(self, pages: memoryview) -> None:
        size, first = self._page_size, self._block
        for block in bad_pages(pages, first, size, self._header_check):
            start = (block - first) * size
            if self._reread is None or self._reread(block) == pages[start : start + size]:
                self.errors.append(block)
        self._block += len(pages) // size


def check_batch(
    items: Sequence[tuple[bytes, int]], page_size: int = 8192, header_check: bool = True
) -> list[list[int]]:
    """The invalid pages of many small files, checked together: a call costs the same for one page and for a hundred.

    items: content, which must be whole pages, and number of the first block of each file. Returns block numbers,
    ascending, for each.
    """
    blocks: list[int] = []
    owners: list[int] = []
    for index, (data, first_block) in enumerate(items):
        pages = range(first_block, first_block + len(data) // page_size)
        blocks.extend(pages)
        owners.extend([index] * len(pages))
    bad: list[list[int]] = [[] for _other in items]
    if blocks:
        for position in bad_positions(b"".join([data for data, _other in items]), blocks, page_size, header_check):
            bad[owners[position]].append(blocks[position])
    return bad
