# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The invalid pages that a backup found, for programs and for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..format.manifest import Manifest


def page_errors(manifest: Manifest) -> dict[str, list[Any] | None]:
    """The invalid pages of a backup by file, as numbers and [first, last]; None for a file that is misaligned."""
    found: dict[str, list[Any] | None] = {}
    for file in manifest.files:
        if file.checksum_page is False:
            pages = file.checksum_page_error
            found[file.name] = None if pages is None else [
                list(item) if isinstance(item, tuple) else item for item in pages
            ]  # fmt: skip
    return found


def page_text(pages: Iterable[Any]) -> str:
    """Numbers and pairs of first and last, as text: 1, 3-4."""
    return ", ".join(str(item) if isinstance(item, int) else f"{item[0]}-{item[1]}" for item in pages)
