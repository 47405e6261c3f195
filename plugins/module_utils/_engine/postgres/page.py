# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PostgreSQL's page checksum, for many pages at a time.

The algorithm (checksum_impl.h) keeps 32 sums of 32 bits side by side, so that a compiler can use vector instructions.
Here numpy does the same over all pages of a buffer at once: one step handles the same 128 bytes of every page. A call
costs its 260 array operations however few pages it gets, so feed it 128 pages or more; they may be of several files.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Union

from ..errors import AssertError, ConfigError

if TYPE_CHECKING:
    from types import ModuleType

    import numpy
    from numpy.typing import NDArray

    Blocks = Union[int, Sequence[int], NDArray[numpy.integer]]

Buffer = Union[bytes, bytearray, memoryview]

_SLICE = 1 << 22  # bytes handled at a time: the work buffers then stay in the processor's cache
_LANES = 32
_ROW = _LANES * 4  # bytes of a page that one step takes
_PRIME = 16777619
_SEEDS = (
    0x5B1F36E9, 0xB8525960, 0x02AB50AA, 0x1DE66D2A, 0x79FF467A, 0x9BB9F8A3, 0x217E7CD2, 0x83E13D2C,
    0xF8D4474F, 0xE39EB970, 0x42C6AE16, 0x993216FA, 0x7B093B5D, 0x98DAFF3C, 0xF718902A, 0x0B1C9CDB,
    0xE58F764B, 0x187636BC, 0x5D7B3BB1, 0xE73DE7DE, 0x92BEC979, 0xCCA6C0B2, 0x304A0979, 0x85AA43D4,
    0x783125BB, 0x6CA8EAA2, 0xE407EAC6, 0x4B5CFC3E, 0x9FBF8C76, 0x15CA20BE, 0xF2CA9FD3, 0x959BD756,
)  # fmt: skip
# Fields of the page header, as indexes of 16-bit words.
_CHECKSUM, _UPPER = 4, 7


def page_checksums(buffer: Buffer, blocks: Blocks, page_size: int = 8192) -> NDArray[numpy.uint16]:
    """The checksums that the pages in buffer should have.

    blocks: number of the first page's block in its relation, or the numbers of all pages. page_size: bytes, a power of
    two from 1 KiB to 32 KiB. The buffer must hold whole pages.
    """
    np = _numpy()
    count = _page_count(buffer, page_size)
    words = np.frombuffer(buffer, "<u4").reshape(count, page_size // _ROW, _LANES)
    sums: NDArray[numpy.uint32] = np.empty(count, np.uint32)
    kernel, at_once = _kernel(), _SLICE // page_size
    for first in range(0, count, at_once):
        kernel.sum_pages(words[first : first + at_once], sums[first : first + at_once])
    sums ^= _block_numbers(blocks, count)
    sums %= 65535
    sums += 1
    return sums.astype("u2")


def bad_positions(buffer: Buffer, blocks: Blocks, page_size: int = 8192, header_check: bool = True) -> list[int]:
    """Positions in the buffer, counted in pages from 0, of the invalid pages; parameters as for page_checksums.

    A page of zeros is one that was never written, and valid. header_check: a page whose pd_upper is 0 must be one;
    without it (the header may be encrypted) only a page whose checksum is 0 must.
    """
    np = _numpy()
    computed = page_checksums(buffer, blocks, page_size)
    if not len(computed):
        return []
    header = np.frombuffer(buffer, "<u2").reshape(len(computed), -1)
    bad = computed != header[:, _CHECKSUM]
    unwritten = np.flatnonzero(header[:, _UPPER if header_check else _CHECKSUM] == 0)
    if len(unwritten):
        bad[unwritten] = np.frombuffer(buffer, "<u8").reshape(len(computed), -1)[unwritten].any(axis=1)
    positions: list[int] = np.flatnonzero(bad).tolist()
    return positions


def bad_pages(buffer: Buffer, first_block: int, page_size: int = 8192, header_check: bool = True) -> list[int]:
    """Block numbers of the invalid pages in consecutive pages of one file; first_block: number of the first."""
    return [first_block + position for position in bad_positions(buffer, first_block, page_size, header_check)]


class _Kernel:
    """The algorithm with its constants, as numpy wants them, and its work buffers.

    The buffers grow to what is needed and stay: to allocate them would take as long as to use them.
    """

    def __init__(self) -> None:
        np = self._np = _numpy()
        self._seeds = np.array(_SEEDS, np.uint32)
        self._prime, self._shift, self._checksum = np.uint32(_PRIME), np.uint32(17), np.uint32(0xFFFF)
        self._state = self._mixed = np.empty((0, _LANES), np.uint32)

    def sum_pages(self, words: NDArray[numpy.uint32], sums: NDArray[numpy.uint32]) -> None:
        """Checksums before the block number comes in. words: pages x rows x lanes; sums: one for each page."""
        np, prime, shift = self._np, self._prime, self._shift
        pages, rows = words.shape[:2]
        if len(self._state) < pages:
            self._state, self._mixed = (np.empty((pages, _LANES), np.uint32) for _which in range(2))
        state, mixed = self._state[:pages], self._mixed[:pages]
        np.bitwise_xor(self._seeds, words[:, 0], out=mixed)
        mixed[:, 2] ^= words[:, 0, 2] & self._checksum  # the stored checksum counts as zero
        for row in range(1, rows + 3):
            np.right_shift(mixed, shift, out=state)
            np.multiply(mixed, prime, out=mixed)
            np.bitwise_xor(state, mixed, out=state)
            if row < rows:
                np.bitwise_xor(state, words[:, row], out=mixed)
            elif row < rows + 2:
                np.copyto(mixed, state)  # two rows of zeros: the last bytes must be mixed as well as the first
        np.bitwise_xor.reduce(state, axis=1, out=sums)


_local = threading.local()


def _kernel() -> _Kernel:
    """One for each thread, because of the work buffers."""
    kernel: _Kernel | None = getattr(_local, "kernel", None)
    if kernel is None:
        kernel = _local.kernel = _Kernel()
    return kernel


def _page_count(buffer: Buffer, page_size: int) -> int:
    size = memoryview(buffer).nbytes
    if not 1024 <= page_size <= 32768 or page_size & (page_size - 1) or size % page_size:
        raise AssertError(f"{size} bytes are not whole pages of {page_size} bytes")
    return size // page_size


def _block_numbers(blocks: Blocks, count: int) -> NDArray[numpy.uint32]:
    np = _numpy()
    whole = range(blocks, blocks + count) if isinstance(blocks, int) else blocks
    numbers: NDArray[numpy.uint32] = np.asarray(whole, dtype=np.uint32)
    if len(numbers) != count:
        raise AssertError(f"{len(numbers)} block numbers for {count} pages")
    return numbers


def _numpy() -> ModuleType:
    try:
        import numpy
    except ImportError:
        raise ConfigError(
            "page checksums cannot be checked without the Python package numpy", "install it, or set checksum-page=n"
        ) from None
    return numpy
