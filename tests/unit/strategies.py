# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis strategies for the values of the field, shared by all tests."""

from __future__ import annotations

from hypothesis import strategies as st


def full_labels() -> st.SearchStrategy[str]:
    return st.from_regex(r"20[0-9]{6}-[0-9]{6}F", fullmatch=True)


def labels() -> st.SearchStrategy[str]:
    """Labels of all three types."""
    return st.from_regex(r"20[0-9]{6}-[0-9]{6}F(_20[0-9]{6}-[0-9]{6}[DI])?", fullmatch=True)


def lsns() -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 64) - 1)


def segment_sizes() -> st.SearchStrategy[int]:
    """Bytes; all sizes that PostgreSQL allows."""
    return st.sampled_from([1 << power for power in range(20, 31)])
