# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The version of the engine; galaxy.yml has the same, a unit test compares them."""

from __future__ import annotations

VERSION = "1.0.0"
PRODUCT = "Holdfast"
WRITER = f"{PRODUCT} {VERSION}"  # the backrest-version of what we write: free text for readers of format 5
FORMAT = 5
