# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command hands to its caller: the same value serves the command line and the Ansible modules."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..stream.through import Chunk


@dataclass(frozen=True)
class Outcome:
    """The result of a command that did not fail.

    facts: what an Ansible module returns, JSON-able, keys in snake case; sizes in bytes, times in epoch seconds.
    changed: whether anything outside this process changed, or would have in a dry run.
    output: text for standard output, already complete with its line ends.
    content: bytes for standard output, after the text; whoever pulls them may meet an EngineError.
    status: exit status; 0, or 1 for "the thing asked for is not there", or a code when that is what was asked for.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    changed: bool = False
    output: str = ""
    status: int = 0
    content: Iterable[Chunk] = ()
