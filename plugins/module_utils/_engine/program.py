# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program starts Holdfast on this host: what we write into commands that others will run."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .options import Config

NAME = "holdfast"
DEFAULT_PROGRAM = f"/usr/local/bin/{NAME}"


def program(config: Config) -> str:
    """The option cmd; else the launcher that started us; else, as in an Ansible module, the usual place of one."""
    if config.cmd is not None:
        return str(config.cmd)
    if os.path.basename(sys.argv[0]) == NAME:
        return os.path.abspath(sys.argv[0])
    return DEFAULT_PROGRAM
