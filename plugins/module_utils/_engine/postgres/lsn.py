# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LSNs and WAL segment names: parse, render, arithmetic.

An LSN is an int here, a byte position in the write-ahead log; as text it is "X/Y", two hexadecimal halves of 32 bits
without padding, as PostgreSQL prints it. A segment name is 24 hexadecimal digits: timeline, high half of the LSN, and
the number of the segment among those that share this high half. How many there are depends on the segment size.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import FormatError

MIN_SEGMENT_SIZE = 1 << 20
MAX_SEGMENT_SIZE = 1 << 30

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})")
_LOG_SIZE = 1 << 32  # bytes of WAL that share the high half of the LSN
_END = 1 << 64


class Segment(NamedTuple):
    """The three parts of a segment name. log: high 32 bits of its LSNs; seg: number within this log."""

    timeline: int
    log: int
    seg: int


def parse_lsn(text: str) -> int:
    """The position that "X/Y" means; FormatError for anything else."""
    match = _LSN.fullmatch(text)
    if match is None:
        raise FormatError(f"'{text}' is not an LSN", "an LSN looks like 16/B374D848")
    return int(match[1], 16) << 32 | int(match[2], 16)


def render_lsn(lsn: int) -> str:
    """Text of an LSN as PostgreSQL prints it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def is_segment_size(size: int) -> bool:
    """Whether PostgreSQL can have WAL segments of size bytes: a power of two from 1 MiB to 1 GiB."""
    return MIN_SEGMENT_SIZE <= size <= MAX_SEGMENT_SIZE and size & (size - 1) == 0


def segment_name(timeline: int, lsn: int, segment_size: int) -> str:
    """Name of the segment that holds the byte at lsn. segment_size: bytes, a power of two from 1 MiB to 1 GiB."""
    _check_segment_size(segment_size)
    return f"{timeline:08X}{lsn >> 32:08X}{(lsn & 0xFFFFFFFF) // segment_size:08X}"


def segments(start: int, stop: int, timeline: int, segment_size: int) -> list[str]:
    """Names of the WAL segments that hold the bytes [start, stop), oldest first.

    start, stop: LSNs; FormatError unless start < stop. segment_size: bytes, a power of two from 1 MiB to 1 GiB.
    """
    if not 0 <= start < stop <= _END:
        raise FormatError(f"no WAL lies between LSN {render_lsn(start)} and {render_lsn(stop)}")
    _check_segment_size(segment_size)
    first = start - start % segment_size
    return [segment_name(timeline, lsn, segment_size) for lsn in range(first, stop, segment_size)]


def parse_segment(name: str) -> Segment:
    """The parts of a segment name; FormatError unless it is 24 upper-case hexadecimal digits."""
    match = _SEGMENT.fullmatch(name)
    if match is None:
        raise FormatError(f"'{name}' is not the name of a WAL segment", "it has 24 hexadecimal digits in upper case")
    return Segment(*(int(part, 16) for part in match.groups()))


def next_segment(name: str, segment_size: int) -> str:
    """Name of the segment that follows on the same timeline; FormatError when name does not fit segment_size."""
    timeline, log, seg = parse_segment(name)
    _check_segment_size(segment_size)
    lsn = log * _LOG_SIZE + seg * segment_size
    if lsn >= (log + 1) * _LOG_SIZE or lsn + segment_size >= _END:
        raise FormatError(f"WAL segment {name} does not exist with segments of {segment_size} bytes")
    return segment_name(timeline, lsn + segment_size, segment_size)


def _check_segment_size(size: int) -> None:
    if not is_segment_size(size):
        raise FormatError(f"{size} bytes is not a WAL segment size: a power of two from 1 MiB to 1 GiB")
