# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup writes into its manifest, from the first line to the last: results, options, page errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from ..errors import FormatError
from ..format.manifest import File, Manifest
from ..format.manifest_file import BLOCK_CHECKSUM_SIZE, EMPTY_SHA1
from .backup_copy import Copied, CopyFile

PageRange = Union[int, tuple[int, int]]

_KINDS = {
    "copied": "backup file",
    "match": "match file from prior backup",
    "resumed": "checksum resumed file",
    "skip": "skip file removed by database",
    "truncated": "store truncated file",
}


def page_ranges(blocks: Sequence[int]) -> tuple[PageRange, ...]:
    """Ascending block numbers with runs of two or more as (first, last): [1, 3, 4] gives (1, (3, 4))."""
    ranges: list[PageRange] = []
    first = last = -2
    for block in blocks:
        if block == last + 1:
            last = block
            ranges[-1] = (first, last)
        else:
            first = last = block
            ranges.append(block)
    return tuple(ranges)


def store_result(file: File, bundle: int, result: Copied) -> None:
    """Enter what a worker copied. From now on the file is this backup's own, whatever it referred to before."""
    listed = file.size if file.size_original is None else file.size_original
    file.size, file.size_original = result.size, listed if result.size != listed else None
    file.checksum, file.rck, file.repo_size = result.checksum, result.rck, result.repo_size
    file.reference = None
    file.bundle_id = bundle if result.kind == "copied" else 0
    file.bundle_offset = result.offset if file.bundle_id else 0
    file.block_map_size = result.map_size
    if not result.map_size:
        file.block_size, file.block_checksum_size = 0, BLOCK_CHECKSUM_SIZE
    file.checksum_page = result.pages
    file.checksum_page_error = page_ranges(result.bad_pages) if result.bad_pages else None


def describe(file: CopyFile, bundle: int, result: Copied, done: int, total: int) -> str:
    """The log line of a file."""
    sizes = str(file.size) if result.kind != "copied" or result.size == file.size else f"{file.size}->{result.size}"
    place = f"bundle {bundle}/{result.offset}, " if bundle and result.kind == "copied" else ""
    percent = done * 100 / total if total else 100.0
    checksum = f" checksum {result.checksum.hex()}" if result.checksum else ""
    return f"{_KINDS[result.kind]} {file.name} ({place}{sizes}B, {percent:.2f}%){checksum}"


def check_complete(manifest: Manifest) -> None:
    """FormatError unless the manifest is one that a restore can rely on; called before it is published."""
    for file in manifest.files:
        if file.checksum is None:
            raise FormatError(f"the manifest has no checksum for {file.name}")
        if file.size == 0 and file.checksum != EMPTY_SHA1:
            raise FormatError(f"the manifest has a checksum other than that of nothing for the empty file {file.name}")
        if file.size and not file.repo_size:
            raise FormatError(f"the manifest has no stored size for {file.name}")
