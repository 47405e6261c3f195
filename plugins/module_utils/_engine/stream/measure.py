# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Size and checksum of what passes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from .through import Chunk


class Measure:
    """Size in bytes and SHA-1 of what passes; the chunks go on unchanged."""

    def __init__(self) -> None:
        self.size = 0
        self.sha1 = hashlib.sha1(usedforsecurity=False)  # a FIPS build of Python refuses it otherwise

    def __call__(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            self.update(chunk)
            yield chunk

    def update(self, chunk: Chunk) -> None:
        self.size += len(chunk)
        self.sha1.update(chunk)

    @property
    def digest(self) -> bytes:
        """The 20 bytes of the checksum so far."""
        return self.sha1.digest()

    @property
    def hexdigest(self) -> str:
        return self.sha1.hexdigest()
