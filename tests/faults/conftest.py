# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of these tests."""

from __future__ import annotations

from ansible_collections.holdfast.postgres.tests.support.fixtures import (
    each_server,
    module_scratch,
    module_workshop,
    scratch,
    workshop,
)

__all__ = ["each_server", "module_scratch", "module_workshop", "scratch", "workshop"]
