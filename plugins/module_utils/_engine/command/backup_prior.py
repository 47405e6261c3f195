# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The prior backup as a new one sees it, in half of the memory of its manifest.

While a cluster is listed and compared, both lists of files are in memory. A million files of the prior as objects would
take as much as the new ones, so numbers and checksums of the prior lie in arrays, and a file is made an object only
for as long as somebody looks at it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from typing import Any, NamedTuple, Protocol

from ..format.manifest import File, Manifest
from ..format.manifest_file import BLOCK_CHECKSUM_SIZE, PageError

SHA1_SIZE = 20
NOTHING = bytes(SHA1_SIZE)  # stands for a checksum that is not there
NUMBERS = 5  # size, timestamp, repo_size, bundle_id, bundle_offset
BLOCK = 1 << 13  # files whose numbers and checksums lie together, and are let go of together
UNCHECKED, VALID, INVALID = 0, 1, 2


class Lineage(Protocol):
    """What stays of the prior backup until the end: its label, and its list of references, own label last."""

    @property
    def label(self) -> str: ...

    @property
    def reference(self) -> list[str]: ...


class Base(NamedTuple):
    """A Lineage without anything else."""

    label: str
    reference: list[str]


class Prior(Lineage, Protocol):
    """The prior backup while files are compared with it; a Manifest is one, too."""

    @property
    def options(self) -> dict[str, Any]: ...

    @property
    def archive_stop(self) -> str | None: ...

    def file(self, name: str) -> File | None: ...


class _Rare(NamedTuple):
    """What few files have."""

    size_original: int | None
    block_size: int
    block_checksum_size: int
    block_map_size: int
    page_errors: tuple[PageError, ...] | None


class PackedPrior:
    """A Prior made from a manifest, which is emptied on the way. Mode, user and group of the files are not kept."""

    def __init__(self, manifest: Manifest) -> None:
        self.label = manifest.label
        self.reference = manifest.reference
        self.options = manifest.options
        self.archive_stop = manifest.archive_stop
        self._numbers: list[array[int]] = []
        self._sums: list[bytearray] = []
        self._flags = bytearray()
        self._references = array("H")
        self._rare: dict[int, _Rare] = {}
        self._next = 0
        self._last_pass = False
        self._passed = 0  # blocks
        labels = {label: index + 1 for index, label in enumerate(manifest.reference)}
        files = manifest.files
        manifest.remove_files(())  # the lists are apart now, and the index by name is gone
        manifest.files.clear()
        files.sort(key=lambda file: file.name, reverse=True)  # by code points, last first: taken from the end
        self._names: list[str] = []
        while files:
            self._pack(files.pop(), labels)

    def _pack(self, file: File, labels: dict[str, int]) -> None:
        if len(self._names) % BLOCK == 0:
            self._numbers.append(array("q"))
            self._sums.append(bytearray())
        self._names.append(file.name)
        self._numbers[-1].extend((file.size, file.timestamp, file.repo_size, file.bundle_id, file.bundle_offset))
        self._sums[-1] += file.checksum or NOTHING
        self._sums[-1] += file.rck or NOTHING
        self._flags.append(UNCHECKED if file.checksum_page is None else VALID if file.checksum_page else INVALID)
        self._references.append(labels[file.reference] if file.reference is not None else 0)
        rare = _Rare(
            file.size_original, file.block_size, file.block_checksum_size, file.block_map_size, file.checksum_page_error
        )
        if rare != _USUAL:
            self._rare[len(self._names) - 1] = rare

    def begin_last_pass(self) -> None:
        """From now on names are asked for in ascending order, and each once: what has been passed is let go of."""
        self._next, self._last_pass = 0, True

    def file(self, name: str) -> File | None:
        """The file of that name, None when there is none; fast when names are asked for in ascending order."""
        index = self._next
        if index >= len(self._names) or self._names[index] != name:
            index = bisect_left(self._names, name)
            if index >= len(self._names) or self._names[index] != name:
                self._next = index
                return None
        self._next = index + 1
        return self._unpack(index)

    def _unpack(self, index: int) -> File:
        block, place = divmod(index, BLOCK)
        while self._last_pass and self._passed < block:
            self._numbers[self._passed], self._sums[self._passed] = array("q"), bytearray()
            self._passed += 1
        numbers, sums, where = self._numbers[block], self._sums[block], place * 2 * SHA1_SIZE
        size, timestamp, repo_size, bundle_id, bundle_offset = numbers[place * NUMBERS : (place + 1) * NUMBERS]
        checksum, rck = (bytes(sums[at : at + SHA1_SIZE]) for at in (where, where + SHA1_SIZE))
        flag, reference = self._flags[index], self._references[index]
        rare = self._rare.get(index, _USUAL)
        return File(
            self._names[index], size, timestamp, repo_size=repo_size, bundle_id=bundle_id, bundle_offset=bundle_offset,
            checksum=checksum if checksum != NOTHING else None, rck=rck if rck != NOTHING else None,
            reference=self.reference[reference - 1] if reference else None,
            checksum_page=None if flag == UNCHECKED else flag == VALID, checksum_page_error=rare.page_errors,
            size_original=rare.size_original, block_size=rare.block_size, block_map_size=rare.block_map_size,
            block_checksum_size=rare.block_checksum_size,
        )  # fmt: skip


_USUAL = _Rare(None, 0, BLOCK_CHECKSUM_SIZE, 0, None)
