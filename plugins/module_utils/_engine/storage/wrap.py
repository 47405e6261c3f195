# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Storage around storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..errors import AssertError
from .base import Chunk, Entry, Feature, Storage


class ReadOnlyStorage:
    """For a dry run: what would change something is a bug in the command, and raises AssertError before it does."""

    def __init__(self, inner: Storage) -> None:
        self._inner = inner
        self.features: frozenset[Feature] = inner.features

    def read(self, name: str, offset: int = 0, limit: int | None = None) -> Iterator[Chunk]:
        return self._inner.read(name, offset, limit)

    def info(self, name: str) -> Entry | None:
        return self._inner.info(name)

    def exists(self, name: str) -> bool:
        return self._inner.exists(name)

    def entries(self, path: str) -> Iterator[Entry]:
        return self._inner.entries(path)

    def write(self, name: str, chunks: Iterable[Chunk], durable: bool = True) -> None:
        raise _refused("write", name)

    def remove(self, name: str) -> None:
        raise _refused("remove", name)

    def remove_tree(self, path: str) -> None:
        raise _refused("remove", path)

    def make_path(self, path: str, durable: bool = True) -> None:
        raise _refused("create", path)

    def sync(self, path: str = "") -> None:
        raise _refused("sync", path)

    def make_link(self, name: str, destination: str) -> None:
        raise _refused("create", name)

    def hard_link(self, existing: str, new: str) -> None:
        raise _refused("create", new)

    def rename(self, name: str, new: str) -> None:
        raise _refused("rename", name)


def _refused(action: str, name: str) -> AssertError:
    return AssertError(f"attempt to {action} '{name}' in a storage that is only read")
