# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sizes as people read them, in the form that info and the logs share."""

from __future__ import annotations


def readable_size(size: int) -> str:
    """Below 1024 NB; else KB, MB, GB (binary) with one decimal, a trailing .0 dropped: 29.5MB, 1GB."""
    if size < 1024:
        return f"{size}B"
    value, unit = size / 1024, "KB"
    for larger in ("MB", "GB"):
        if value >= 1024:
            value, unit = value / 1024, larger
    return f"{value:.1f}".replace(".0", "") + unit
