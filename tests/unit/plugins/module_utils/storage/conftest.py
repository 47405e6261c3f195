# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

pytest.register_assert_rewrite(f"{__package__}.driver_suite")


@pytest.fixture(params=[True, False], ids=["durable", "fast"])
def durable(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)
