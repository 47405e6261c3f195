# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Timeline history files: on which timelines a cluster lived, and where it left each."""

from __future__ import annotations

import re

from ..errors import FormatError
from .lsn import parse_lsn

# As the server's readTimeLineHistory reads it: number, switch point, then free text.
_ENTRY = re.compile(r"\s*([0-9]{1,10})\s+([0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8})(?:\s.*)?")


def parse_history(data: bytes) -> list[tuple[int, int]]:
    """(timeline, LSN at which it was left) of each ancestor in a history file, oldest first; FormatError."""
    entries: list[tuple[int, int]] = []
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ENTRY.fullmatch(line)
        if match is None:
            raise FormatError(f"line {number} of the timeline history is not a timeline and an LSN")
        timeline = int(match[1])
        if entries and timeline <= entries[-1][0]:
            raise FormatError(f"line {number} of the timeline history: timeline {timeline} is not above the one before")
        entries.append((timeline, parse_lsn(match[2])))
    return entries
