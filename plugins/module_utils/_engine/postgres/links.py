# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules on the symbolic links of a cluster (tablespaces, linked directories, linked files); paths are only compared.

Two links that lead to the same place, or one below another, would be backed up twice and restored over each other.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from ..errors import LinkDestinationError


class LinkTarget(NamedTuple):
    """name: manifest name of the link; destination: absolute path it leads to; file: it leads to a regular file."""

    name: str
    destination: str
    file: bool


def absolute_destination(link_path: str, text: str) -> str:
    """Where a link at link_path with this text leads, by text alone: relative texts start at the link's directory."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(link_path), text))
    return path[1:] if path.startswith("//") else path  # POSIX leaves the meaning of two slashes open, Linux does not


def check_link_targets(pg_path: str, targets: Iterable[LinkTarget]) -> None:
    """LinkDestinationError when a link leads into the data directory, or two of them to places that overlap."""
    seen: list[LinkTarget] = []
    for target in targets:
        check_link_target(pg_path, target, seen)
        seen.append(target)


def check_link_target(pg_path: str, target: LinkTarget, others: Iterable[LinkTarget]) -> None:
    """The same for one more link."""
    if _within(target.destination, pg_path):
        raise LinkDestinationError(
            f"link {target.name} leads to {target.destination}, inside the data directory {pg_path}",
            "a link must lead out of the data directory, else its contents would be backed up twice",
        )
    for other in others:
        if _overlap(target, other):
            raise LinkDestinationError(
                f"links {other.name} ({other.destination}) and {target.name} ({target.destination}) overlap",
                "each link needs a destination of its own, neither equal to nor below another's",
            )


def _within(path: str, directory: str) -> bool:
    return (path + "/").startswith(directory.rstrip("/") + "/")


def _overlap(one: LinkTarget, other: LinkTarget) -> bool:
    if one.file and other.file:
        return one.destination == other.destination
    if one.file or other.file:
        file, directory = (one, other) if one.file else (other, one)
        return _within(file.destination, directory.destination)
    return _within(one.destination, other.destination) or _within(other.destination, one.destination)
