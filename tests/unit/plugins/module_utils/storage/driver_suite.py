# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every storage driver must do; a driver's test module derives from this class and provides the storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    FileMissingError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import (
    CHUNK,
    Storage,
    get,
    put,
    walk,
)

# Bytes that are no UTF-8 come out of a manifest as surrogates.
NAMES = (
    "plain",
    "with blank",
    "a=b#c",
    'quote"back\\slash',
    "tab\there",
    "ümläut-日本",
    "bad-\udcff",
    ".hidden",
    "a" * 200,
)


def pieces(data: bytes, size: int = 64 * 1024) -> Iterator[memoryview]:
    """The data in one buffer that is used again and again, as storage delivers it."""
    buffer = bytearray(size)
    for start in range(0, len(data), size):
        part = data[start : start + size]
        buffer[: len(part)] = part
        yield memoryview(buffer)[: len(part)]


def breaking(data: bytes, error: BaseException) -> Iterator[bytes]:
    yield data
    raise error


def names_below(storage: Storage, path: str = "") -> set[str]:
    return {entry.name for entry in walk(storage, path)}


class DriverSuite:
    @pytest.fixture
    def storage(self, tmp_path: Any) -> Any:
        """A new, empty storage."""
        raise NotImplementedError

    # -- files

    @pytest.mark.parametrize("name", NAMES)
    def test_names(self, storage: Storage, name: str, durable: bool) -> None:
        put(storage, f"dir {name}/{name}", b"content", durable)
        assert get(storage, f"dir {name}/{name}") == b"content"
        assert [entry.name for entry in storage.entries(f"dir {name}")] == [name]
        assert storage.exists(f"dir {name}/{name}")
        storage.remove(f"dir {name}/{name}")
        assert not storage.exists(f"dir {name}/{name}")

    @pytest.mark.parametrize("name", ["/etc/passwd", "..", "a/../../b", "../b", "a/..", "nul\0byte"])
    def test_a_name_that_leads_out_is_refused(self, storage: Storage, name: str) -> None:
        for use in (
            lambda: get(storage, name),
            lambda: put(storage, name, b"x"),
            lambda: storage.info(name),
            lambda: list(storage.entries(name)),
            lambda: storage.remove(name),
            lambda: storage.remove_tree(name),
            lambda: storage.make_path(name),
        ):
            with pytest.raises(AssertError):
                use()

    def test_dots_within_a_name_are_just_dots(self, storage: Storage) -> None:
        put(storage, "a..b/...c", b"x")
        assert get(storage, "a..b/...c") == b"x"

    def test_empty_file(self, storage: Storage, durable: bool) -> None:
        storage.write("empty", iter(()), durable)
        assert list(storage.read("empty")) == []
        entry = storage.info("empty")
        assert entry is not None
        assert (entry.name, entry.kind, entry.size) == ("empty", "file", 0)

    @pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
    def test_size(self, storage: Storage, size: int, durable: bool) -> None:
        data = (os.urandom(4093) * (size // 4093 + 1))[:size]
        storage.write("big", pieces(data), durable)
        assert get(storage, "big") == data
        entry = storage.info("big")
        assert entry is not None
        assert entry.size == size

    def test_many_chunks_of_any_kind(self, storage: Storage, durable: bool) -> None:
        storage.write("mixed", (b"one", b"", bytearray(b"two"), memoryview(b"xthreex")[1:-1]), durable)
        assert get(storage, "mixed") == b"onetwothree"

    def test_offset_and_limit(self, storage: Storage) -> None:
        data = os.urandom(3 * CHUNK + 17)
        put(storage, "file", data)
        ends = (0, 1, 100, CHUNK, CHUNK + 1, 2 * CHUNK, len(data) - 1, len(data), len(data) + 10)
        for offset in ends:
            for limit in (*ends, None):
                wanted = data[offset:] if limit is None else data[offset : offset + limit]
                found = bytearray()
                for chunk in storage.read("file", offset, limit):
                    found += chunk
                assert found == wanted, (offset, limit)

    def test_two_readers_at_once(self, storage: Storage) -> None:
        put(storage, "a", b"a" * (2 * CHUNK))
        put(storage, "b", b"b" * (2 * CHUNK))
        for chunk_a, chunk_b in zip(storage.read("a"), storage.read("b")):
            assert set(chunk_a) == {ord("a")}
            assert set(chunk_b) == {ord("b")}

    def test_a_chunk_outlives_an_abandoned_reader(self, storage: Storage) -> None:
        put(storage, "a", b"a" * 100)
        put(storage, "b", b"b" * 100)
        first = next(storage.read("a"))
        get(storage, "b")
        assert bytes(first) == b"a" * 100

    def test_copy_into_itself_through_another_name(self, storage: Storage) -> None:
        data = os.urandom(2 * CHUNK + 5)
        put(storage, "from", data)
        storage.write("to", storage.read("from"))
        assert get(storage, "to") == data

    def test_missing_file(self, storage: Storage) -> None:
        put(storage, "file", b"")
        for name in ("missing", "missing/too", "file/below"):
            chunks = storage.read(name)  # asking is free
            with pytest.raises(FileMissingError, match=name):
                next(chunks)
            with pytest.raises(FileMissingError, match=name):
                next(storage.read(name, 0, 0), None)
            assert storage.info(name) is None
            assert not storage.exists(name)
            storage.remove(name)  # gone already

    def test_timestamp_is_now(self, storage: Storage) -> None:
        import time

        put(storage, "file", b"x")
        entry = storage.info("file")
        assert entry is not None
        assert isinstance(entry.timestamp, int)
        assert abs(entry.timestamp - time.time()) < 60

    # -- replacing

    def test_overwrite(self, storage: Storage, durable: bool) -> None:
        put(storage, "file", b"a longer first content", durable)
        put(storage, "file", b"short", durable)
        assert get(storage, "file") == b"short"
        assert names_below(storage) == {"file"}

    @pytest.mark.parametrize("error", [OSError("source"), KeyboardInterrupt(), FileMissingError("source")])
    def test_a_failing_source_leaves_the_old_content(self, storage: Storage, error: BaseException) -> None:
        put(storage, "file", b"old")
        with pytest.raises(type(error)) as caught:
            storage.write("file", breaking(b"new", error))
        assert caught.value is error
        assert get(storage, "file") == b"old"
        assert names_below(storage) == {"file"}

    def test_a_failing_source_leaves_nothing_new(self, storage: Storage, durable: bool) -> None:
        with pytest.raises(KeyboardInterrupt):
            storage.write("dir/file", breaking(b"x" * CHUNK, KeyboardInterrupt()), durable)
        assert not storage.exists("dir/file")
        assert {entry.name for entry in walk(storage) if entry.kind != "path"} == set()

    def test_after_a_failure_the_same_write_works(self, storage: Storage, durable: bool) -> None:
        with pytest.raises(ValueError, match="once"):
            storage.write("file", breaking(b"x", ValueError("once")), durable)
        put(storage, "file", b"fine", durable)
        assert get(storage, "file") == b"fine"

    # -- directories

    def test_entries_of_a_missing_path(self, storage: Storage) -> None:
        put(storage, "file", b"")
        assert list(storage.entries("missing")) == []
        assert list(storage.entries("missing/too")) == []
        assert list(storage.entries("file")) == []
        assert list(walk(storage, "missing")) == []

    def test_entries_are_directly_below(self, storage: Storage) -> None:
        put(storage, "a/file", b"12345")
        put(storage, "a/b/c/deep", b"")
        put(storage, "ab", b"")
        found = {entry.name: entry for entry in storage.entries("a")}
        assert {name: entry.kind for name, entry in found.items()} == {"file": "file", "b": "path"}
        assert found["file"].size == 5
        assert {entry.name for entry in storage.entries("")} == {"a", "ab"}

    def test_walk(self, storage: Storage) -> None:
        for name in ("a/1", "a/b/2", "a/b/c/3", "a/d/4", "z"):
            put(storage, name, name.encode())
        found = list(walk(storage, "a"))
        assert {entry.name for entry in found} == {"1", "b", "b/2", "b/c", "b/c/3", "d", "d/4"}
        order = [entry.name for entry in found]
        assert order.index("b") < order.index("b/2") and order.index("b/c") < order.index("b/c/3")
        assert {entry.name for entry in walk(storage)} == {"z", "a", *(f"a/{name}" for name in order)}

    def test_many_entries(self, storage: Storage) -> None:
        names = {f"{number:04}" for number in range(300)}
        for name in names:
            put(storage, f"many/{name}", b"", durable=False)
        assert {entry.name for entry in storage.entries("many")} == names

    def test_remove_tree(self, storage: Storage) -> None:
        for name in ("a/1", "a/b/2", "a/b/c/3", "ab/keep"):
            put(storage, name, b"", durable=False)
        storage.remove_tree("a")
        storage.remove_tree("a")  # gone already
        storage.remove_tree("missing/too")
        assert {entry.name for entry in walk(storage) if entry.kind == "file"} == {"ab/keep"}
        put(storage, "a/b/2", b"again")
        assert get(storage, "a/b/2") == b"again"

    def test_make_path(self, storage: Storage, durable: bool) -> None:
        storage.make_path("a/b/c", durable)
        storage.make_path("a/b/c", durable)  # there already
        if "path" in storage.features:
            assert names_below(storage) == {"a", "a/b", "a/b/c"}
            entry = storage.info("a/b")
            assert entry is not None and entry.kind == "path"
        put(storage, "a/b/c/file", b"x", durable)
        assert get(storage, "a/b/c/file") == b"x"

    def test_sync(self, storage: Storage) -> None:
        put(storage, "a/b/file", b"x", durable=False)
        storage.sync()
        storage.sync("a")
        assert get(storage, "a/b/file") == b"x"

    # -- features

    def test_links(self, storage: Storage) -> None:
        if "link" not in storage.features:
            pytest.skip("this storage has no links")
        put(storage, "a/file", b"x")
        storage.make_link("latest", "nowhere")
        storage.make_link("latest", "a")
        storage.make_link("new/dir/up", "../../a")
        entry = storage.info("latest")
        assert entry is not None
        assert (entry.kind, entry.destination, entry.size) == ("link", "a", 0)
        assert {entry.name: entry.destination for entry in storage.entries("new/dir")} == {"up": "../../a"}
        assert {entry.name for entry in walk(storage)} == {"a", "a/file", "latest", "new", "new/dir", "new/dir/up"}
        storage.remove_tree("new")
        storage.remove_tree("latest")
        assert names_below(storage) == {"a", "a/file"}

    def test_hard_links(self, storage: Storage) -> None:
        if "hardlink" not in storage.features:
            pytest.skip("this storage has no hard links")
        put(storage, "full/file", b"old")
        put(storage, "incr/there", b"x")
        storage.hard_link("full/file", "incr/dir/file")
        storage.hard_link("full/file", "incr/there")
        assert get(storage, "incr/dir/file") == get(storage, "incr/there") == b"old"
        with pytest.raises(FileMissingError, match="full/missing"):
            storage.hard_link("full/missing", "incr/x")

    def test_a_write_to_one_name_does_not_reach_the_other(self, storage: Storage, durable: bool) -> None:
        if "hardlink" not in storage.features:
            pytest.skip("this storage has no hard links")
        put(storage, "full/file", b"old")
        storage.hard_link("full/file", "incr/file")
        put(storage, "incr/file", b"new", durable)
        assert get(storage, "full/file") == b"old"
        assert get(storage, "incr/file") == b"new"

    def test_rename(self, storage: Storage) -> None:
        if "rename" not in storage.features:
            pytest.skip("this storage cannot rename")
        put(storage, "old/dir/file", b"x")
        put(storage, "there", b"there")
        storage.rename("old/dir", "new/place/dir")
        assert get(storage, "new/place/dir/file") == b"x"
        storage.rename("new/place/dir/file", "there")
        assert get(storage, "there") == b"x"
        assert not storage.exists("old/dir")
        with pytest.raises(FileMissingError, match="old/dir"):
            storage.rename("old/dir", "x")
