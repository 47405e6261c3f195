# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib
from collections.abc import Callable

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import AssertError, FileMissingError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import Storage, get, put, walk
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.local import LocalStorage
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.wrap import ReadOnlyStorage

CHANGES: list[Callable[[Storage], object]] = [
    lambda storage: put(storage, "new", b"x"),
    lambda storage: put(storage, "dir/file", b"x", durable=False),
    lambda storage: storage.remove("dir/file"),
    lambda storage: storage.remove("missing"),
    lambda storage: storage.remove_tree("dir"),
    lambda storage: storage.make_path("new"),
    lambda storage: storage.make_link("new", "dir"),
    lambda storage: storage.hard_link("dir/file", "new"),
    lambda storage: storage.rename("dir", "new"),
    lambda storage: storage.sync("dir"),
]


@pytest.fixture
def inner(tmp_path: pathlib.Path) -> Storage:
    storage = LocalStorage(str(tmp_path))
    put(storage, "dir/file", b"content")
    return storage


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_changes(inner: Storage, change: Callable[[Storage], object]) -> None:
    with pytest.raises(AssertError, match="only read"):
        change(ReadOnlyStorage(inner))
    assert {entry.name for entry in walk(inner)} == {"dir", "dir/file"}
    assert get(inner, "dir/file") == b"content"


def test_all_that_a_storage_can_do_is_decided() -> None:
    """A new primitive must not slip through to what is wrapped."""
    public = {name for name in vars(LocalStorage) if not name.startswith("_")}
    assert public - {"features"} == {name for name in vars(ReadOnlyStorage) if not name.startswith("_")}


def test_reading_is_as_ever(inner: Storage) -> None:
    storage = ReadOnlyStorage(inner)
    assert get(storage, "dir/file") == b"content"
    assert b"".join(bytes(chunk) for chunk in storage.read("dir/file", 3, 2)) == b"te"
    assert storage.info("dir/file") == inner.info("dir/file")
    assert storage.exists("dir") and not storage.exists("missing")
    assert list(walk(storage)) == list(walk(inner))
    assert storage.features == inner.features
    with pytest.raises(FileMissingError):
        get(storage, "missing")
