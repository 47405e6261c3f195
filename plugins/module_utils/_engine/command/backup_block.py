# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files are stored block incrementally, in blocks of which size, and on top of which map.

Small files and those that have not changed for long gain nothing: they are stored whole. Within a set of backups a file
keeps its block size, because a block can only be compared with the block at the same place (repository format, 8.2).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..errors import OptionInvalidValueError
from ..format.block_map import BlockItem, parse_block_map
from ..format.manifest import File, Manifest
from ..format.manifest_file import BLOCK_UNIT
from ..storage.base import Storage
from ..stream.cipher import Cipher

KIB, MIB, DAY = 1 << 10, 1 << 20, 86400

# File size from which on a block has this many units of 8 KiB.
SIZES: Mapping[int, int] = {
    16 * KIB: 8 * KIB, 11 * MIB: 16 * KIB, 43 * MIB: 24 * KIB, 96 * MIB: 32 * KIB, 146 * MIB: 40 * KIB,
    228 * MIB: 48 * KIB, 329 * MIB: 56 * KIB, 448 * MIB: 64 * KIB, 585 * MIB: 72 * KIB, 740 * MIB: 80 * KIB,
    914 * MIB: 88 * KIB,
}  # fmt: skip
# Age in days from which on blocks are this many times larger; 0: the file is stored whole.
AGES: Mapping[int, int] = {7: 2, 14: 4, 28: 0}
# Block size from which on a block checksum has this many bytes.
CHECKSUM_SIZES: Mapping[int, int] = {
    8 * KIB: 6, 32 * KIB: 7, 128 * KIB: 8, 512 * KIB: 9, 1 * MIB: 10, 2 * MIB: 11, 4 * MIB: 12
}  # fmt: skip


class Tables(NamedTuple):
    """The three tables: file size to block size, age in days to factor, block size to checksum size; all in bytes."""

    sizes: Mapping[int, int] = SIZES
    ages: Mapping[int, int] = AGES
    checksum_sizes: Mapping[int, int] = CHECKSUM_SIZES


class BlockPlan(NamedTuple):
    """How a file is stored block incrementally. sizes in bytes.

    map_name, map_offset, map_size: where the prior map is in the repository, map_size 0 without one; prior_size: of the
    file it describes; prior_references: how many backups it may refer to.
    """

    block_size: int
    checksum_size: int
    map_name: str = ""
    map_offset: int = 0
    map_size: int = 0
    prior_size: int = 0
    prior_references: int = 0


def parse_tables(sizes: Mapping[str, str], ages: Mapping[str, str], checksum_sizes: Mapping[str, str]) -> Tables:
    """Tables from the options that override them; an empty option leaves the table as it is."""
    from ..option_type import Size

    size = Size(1, 1 << 50)

    def numbers(option: str, given: Mapping[str, str], is_size: tuple[bool, bool]) -> dict[int, int]:
        try:
            return {
                (size.parse(key) if is_size[0] else int(key)): (size.parse(value) if is_size[1] else int(value))
                for key, value in given.items()
            }
        except ValueError as error:
            raise OptionInvalidValueError(f"{option} is not valid: {error}", "write it as 16KiB=8KiB or 7=2") from None

    return Tables(
        numbers("repo-block-size-map", sizes, (True, True)) or SIZES,
        numbers("repo-block-age-map", ages, (False, False)) or AGES,
        numbers("repo-block-checksum-size-map", checksum_sizes, (True, False)) or CHECKSUM_SIZES,
    )


def choose_block_size(size: int, age: int, tables: Tables) -> int:
    """Block size in bytes for a file of size bytes that last changed age seconds ago; 0: store it whole."""
    block = _at(tables.sizes, size, 0)
    return block * _at(tables.ages, age // DAY, 1) // BLOCK_UNIT * BLOCK_UNIT


def choose_checksum_size(block_size: int, tables: Tables) -> int:
    return _at(tables.checksum_sizes, block_size, 6)


def _at(table: Mapping[int, int], value: int, below: int) -> int:
    """The entry of the largest key that is not above value."""
    return next((table[key] for key in sorted(table, reverse=True) if key <= value), below)


def keeps_map(file: File, before: File | None) -> bool:
    """Whether the prior map can be used: the file has one, and still has at least one whole block."""
    return before is not None and before.block_map_size > 0 and file.size >= before.block_size


def plan_block(manifest: Manifest, file: File, before: File | None, tables: Tables) -> tuple[int, int]:
    """(block size, checksum size) for a file that will be read; (0, 0): store it whole. before: in the prior backup."""
    if not manifest.block_incr or file.size == 0:
        return 0, 0
    if before is not None and keeps_map(file, before):
        return before.block_size, before.block_checksum_size
    if before is not None and not before.block_map_size and before.size == file.size:
        return 0, 0
    block_size = choose_block_size(file.size, manifest.timestamp_start - file.timestamp, tables)
    return (block_size, choose_checksum_size(block_size, tables)) if block_size else (0, 0)


def read_block_map(
    repo: Storage, name: str, offset: int, size: int, cipher: Cipher | None, block_size: int, checksum_size: int,
    file_size: int, references: int,
) -> list[BlockItem]:  # fmt: skip
    """The map stored in size bytes at offset of a bundle or block file. cipher: of the files, raw form."""
    stored = bytearray()
    for chunk in repo.read(name, offset, size):
        stored += chunk
    data = cipher.decrypt_one(bytes(stored)) if cipher is not None else bytes(stored)
    return parse_block_map(data, block_size, checksum_size, file_size, references)
