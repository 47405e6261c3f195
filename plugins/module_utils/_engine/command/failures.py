# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Failures of one repository that are remembered while the others have their turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import FATAL, EngineError

if TYPE_CHECKING:
    from ..repo import Repo


def failure(repo: Repo, error: EngineError) -> str:
    """What is wrong with a repository, as one text that begins with its name; raises what must not be put off."""
    if isinstance(error, FATAL):
        raise error
    return f"{repo.name}: {reason(error)}"


def reason(error: EngineError) -> str:
    """Kind, message and hint of an error."""
    hint = f"\nHINT: {error.hint}" if error.hint else ""
    return f"[{error.label}] {error.message}{hint}"
