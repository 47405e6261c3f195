# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the attributes mean; each module says how far it supports them."""

    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode and say truthfully what would change, without changing it.
  diff_mode:
    description: Returns the details of what changed, or would change in check mode, when run in diff mode.
  idempotent:
    description:
      - When run twice in a row outside check mode with the same arguments, the second run reports no change.
      - This assumes that the system did not change in the meantime.
"""

    LOCAL = r"""
options: {}
attributes:
  platform:
    description: The platforms on which the module works.
    platforms: linux
    support: full
"""

    GROUP = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/holdfast.postgres.commands) in C(module_defaults) to set defaults for this module.
    support: full
    membership:
      - holdfast.postgres.commands
"""
