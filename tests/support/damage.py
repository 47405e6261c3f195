# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Damage with care: a flipped bit always changes something, which overwriting with a constant does not."""

from __future__ import annotations

import os
from pathlib import Path

from .cluster import Cluster

PAGE = 8192


def flip_bit(path: Path, offset: int | None = None, bit: int = 0) -> None:
    """Flip one bit (0 is the lowest) of the byte at offset (from the end when negative), by default in the middle."""
    size = path.stat().st_size
    if offset is None:
        offset = size // 2
    position = offset + size if offset < 0 else offset
    if not 0 <= position < size:
        raise ValueError(f"{path} has {size} bytes, none at {offset}")
    descriptor = os.open(path, os.O_RDWR)
    try:
        (byte,) = os.pread(descriptor, 1, position)
        os.pwrite(descriptor, bytes([byte ^ (1 << bit)]), position)
    finally:
        os.close(descriptor)


def cut(path: Path, size: int) -> None:
    """Shorten a file to a number of bytes that is smaller than what it has."""
    if not 0 <= size < path.stat().st_size:
        raise ValueError(f"{path} has {path.stat().st_size} bytes: cutting it to {size} changes nothing")
    os.truncate(path, size)


def relation_path(cluster: Cluster, relation: str, database: str = "postgres") -> Path:
    """The first file of a relation; checkpointed, so that the file is what the server would read after a restart."""
    cluster.sql("checkpoint")
    return cluster.data / str(cluster.value("select pg_relation_filepath(%s)", relation, database=database))


def flip_page(path: Path, block: int, offset: int = PAGE - 64) -> None:
    """Flip a bit inside a page of a relation's file, by default in the tuple that was stored first."""
    flip_bit(path, block * PAGE + offset)
