# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import fcntl
import gc
import os
import pathlib
import resource
import stat
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import errors, faults
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage import file_system, local
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import CHUNK, get, put, walk
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.local import TEMP_SUFFIX, LocalStorage

from .driver_suite import DriverSuite, breaking


class TestLocalStorage(DriverSuite):
    @pytest.fixture
    def storage(self, tmp_path: pathlib.Path) -> LocalStorage:
        return LocalStorage(str(tmp_path / "not yet" / "root"))


@pytest.fixture
def storage(tmp_path: pathlib.Path) -> LocalStorage:
    return LocalStorage(str(tmp_path))


@pytest.fixture(autouse=True)
def disarm() -> Iterator[None]:
    yield
    faults.arm("")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o177])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def in_child(work) -> int:
    """The wait status of a forked child that does the work."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(99)
    return os.waitpid(pid, 0)[1]


def test_modes_whatever_the_umask(tmp_path: pathlib.Path, umask: int, durable: bool) -> None:
    storage = LocalStorage(str(tmp_path / "root"))
    put(storage, "a/b/file", b"x", durable)
    assert mode(tmp_path / "root") == mode(tmp_path / "root/a") == mode(tmp_path / "root/a/b") == 0o750
    assert mode(tmp_path / "root/a/b/file") == 0o640


def test_other_modes(tmp_path: pathlib.Path, umask: int, durable: bool) -> None:
    storage = LocalStorage(str(tmp_path / "root"), file_mode=0o600, path_mode=0o700)
    put(storage, "a/file", b"x", durable)
    assert (mode(tmp_path / "root/a"), mode(tmp_path / "root/a/file")) == (0o700, 0o600)


def test_entry_tells_mode_and_owner(storage: LocalStorage, tmp_path: pathlib.Path) -> None:
    put(storage, "file", b"x")
    os.mkfifo(tmp_path / "pipe")
    os.utime(tmp_path / "file", ns=(0, 1_234_567_890_999_999_999))
    entry = storage.info("file")
    assert entry == ("file", "file", 1, 1234567890, "", 0o640, os.getuid(), os.getgid())
    assert {entry.name: entry.kind for entry in storage.entries("")} == {"file": "file", "pipe": "special"}


def test_the_root_must_be_absolute() -> None:
    with pytest.raises(errors.AssertError, match="relative/root"):
        LocalStorage("relative/root")


# -- reading what is no ordinary file


def test_a_pipe_is_refused_at_once(storage: LocalStorage, tmp_path: pathlib.Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(errors.FileReadError, match="pipe"):
        get(storage, "pipe")


def test_a_directory_is_no_file(storage: LocalStorage) -> None:
    storage.make_path("dir")
    with pytest.raises(errors.FileReadError, match="dir"):
        get(storage, "dir")
    with pytest.raises(errors.EngineError, match="dir"):
        put(storage, "dir", b"x")
    with pytest.raises(errors.FileRemoveError, match="dir"):
        storage.remove("dir")
    put(storage, "file", b"x")
    with pytest.raises(errors.PathCreateError, match="file"):
        storage.make_path("file/below")
    with pytest.raises(errors.FileWriteError, match="file/below/x"):
        put(storage, "file/below/x", b"")


def test_links_are_followed_or_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link").symlink_to("secret")
    assert get(LocalStorage(str(tmp_path)), "link") == b"secret"
    with pytest.raises(errors.FileOpenError, match="link"):
        get(LocalStorage(str(tmp_path), follow=False), "link")


def test_a_write_replaces_a_link_and_not_what_it_points_to(
    storage: LocalStorage, tmp_path: pathlib.Path, durable: bool
) -> None:
    (tmp_path / "outside").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("outside")
    put(storage, "link", b"new", durable)
    assert (tmp_path / "outside").read_bytes() == b"precious"
    assert not (tmp_path / "link").is_symlink() and get(storage, "link") == b"new"


def test_remove_tree_does_not_follow_links(storage: LocalStorage, tmp_path: pathlib.Path) -> None:
    put(storage, "precious/file", b"x")
    storage.make_link("tree/dir/link", "../../precious")
    storage.make_link("tree-link", "precious")
    storage.remove_tree("tree")
    storage.remove_tree("tree-link")
    assert {entry.name for entry in walk(storage)} == {"precious", "precious/file"}


def test_directories_may_be_links(tmp_path: pathlib.Path, durable: bool) -> None:
    """People move a repository, or a part of it, to another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "root").symlink_to("disk")
    (tmp_path / "disk/backup").symlink_to("../other")
    storage = LocalStorage(str(tmp_path / "root"))
    put(storage, "backup/a/file", b"x", durable)
    storage.make_path("backup/b", durable)
    storage.sync("backup")
    assert (tmp_path / "other/a/file").read_bytes() == b"x"
    assert {entry.name for entry in storage.entries("backup")} == {"a", "b"}
    storage.remove_tree("backup/a")
    assert (tmp_path / "disk/backup").is_symlink() and not (tmp_path / "other/a").exists()


# -- failures of the system


def test_a_full_disk_names_the_file_and_says_what_to_do(storage: LocalStorage, durable: bool) -> None:
    put(storage, "file", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def work() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (CHUNK + 100, hard))
        with pytest.raises(errors.FileWriteError, match="cannot write '.*/file.*': File too large"):
            storage.write("file", [bytes(CHUNK), bytes(CHUNK)], durable)  # the second is written in part, then fails
        os._exit(0 if [entry.name for entry in storage.entries("")] == (["file"] if durable else []) else 1)

    assert in_child(work) == 0
    faults.arm("storage.local.sync=raise:ENOSPC")
    with pytest.raises(errors.FileSyncError, match="No space") as caught:
        put(storage, "file", b"new")
    assert "free space" in caught.value.hint and caught.value.retryable


@pytest.mark.parametrize(
    ("point", "error"),
    [
        ("storage.local.write", errors.FileWriteError),
        ("storage.local.written", errors.FileWriteError),
        ("storage.local.sync", errors.FileSyncError),
        ("storage.local.rename", errors.FileMoveError),
        ("storage.local.sync_path", errors.PathSyncError),
    ],
)
def test_what_fails_is_told_and_leaves_no_temporary_file(
    storage: LocalStorage, point: str, error: type[errors.EngineError]
) -> None:
    put(storage, "dir/file", b"old")
    faults.arm(f"{point}=raise:EIO")
    with pytest.raises(error, match="Input/output"):
        put(storage, "dir/file", b"new")
    assert {entry.name for entry in walk(storage)} == {"dir", "dir/file"}
    assert get(storage, "dir/file") == (b"new" if point.endswith("sync_path") else b"old")


def test_a_bad_sector_is_not_the_end_of_the_file(storage: LocalStorage) -> None:
    put(storage, "file", bytes(CHUNK // 2))
    faults.arm("storage.local.read@2=raise:EIO")
    with pytest.raises(errors.FileReadError, match="file"):
        get(storage, "file")


@pytest.mark.parametrize("hit", range(1, 7))
def test_a_crash_at_any_point_leaves_the_old_or_the_new_content(storage: LocalStorage, hit: int) -> None:
    put(storage, "file", b"old")

    def work() -> None:
        faults.arm(f"*@{hit}=kill")
        put(LocalStorage(storage._root.decode()), "file", b"new")

    status = in_child(work)
    assert os.WIFSIGNALED(status) == (hit <= 5)
    assert get(storage, "file") == (b"old" if hit <= 4 else b"new")
    put(storage, "file", b"again")  # over what the crash left behind
    assert {entry.name: get(storage, entry.name) for entry in walk(storage)} == {"file": b"again"}


def test_what_a_crash_left_behind_does_not_show(storage: LocalStorage, tmp_path: pathlib.Path) -> None:
    (tmp_path / ("file" + TEMP_SUFFIX)).write_bytes(b"a long half of something")
    put(storage, "file", b"new")
    assert {entry.name: get(storage, entry.name) for entry in walk(storage)} == {"file": b"new"}


@pytest.mark.root
def test_permission_denied_names_the_user(storage: LocalStorage, tmp_path: pathlib.Path, nobody) -> None:
    put(storage, "file", b"x")
    tmp_path.chmod(0o755)

    def work() -> None:
        nobody()
        with pytest.raises(errors.FileOpenError, match="Permission denied") as caught:
            get(storage, "file")
        with pytest.raises(errors.FileWriteError):
            put(storage, "file", b"x")
        with pytest.raises(errors.PathCreateError):
            storage.make_path("dir")
        os._exit(0 if "user nobody, group nogroup" in caught.value.hint else 1)

    assert in_child(work) == 0


@pytest.fixture
def nobody(tmp_path: pathlib.Path):
    """Become a user without rights, in a child; an ordinary user loses the rights to the directory instead."""
    if os.getuid():
        pytest.skip("needs root to become somebody else")
    for parent in tmp_path.parents[:2]:
        parent.chmod(0o755)

    def become() -> None:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)

    return become


# -- two writers of one name


def test_a_second_writer_is_refused_and_the_first_undisturbed(storage: LocalStorage) -> None:
    started, go_on = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield b"fir"
        started.set()
        go_on.wait(10)
        yield b"st"

    first = threading.Thread(target=storage.write, args=("file", slowly()))
    first.start()
    assert started.wait(10)
    with pytest.raises(errors.FileWriteError, match="another process") as caught:
        put(storage, "file", b"second")
    assert caught.value.retryable
    go_on.set()
    first.join(10)
    assert get(storage, "file") == b"first"
    put(storage, "file", b"second")
    assert {entry.name: get(storage, entry.name) for entry in walk(storage)} == {"file": b"second"}


def test_the_temporary_file_is_locked_until_it_has_its_name(
    storage: LocalStorage, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temp, free = tmp_path / ("file" + TEMP_SUFFIX), []

    def look(source: bytes, destination: bytes, real=os.replace) -> None:
        with temp.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                free.append(True)
            except BlockingIOError:
                free.append(False)
        real(source, destination)

    monkeypatch.setattr(os, "replace", look)
    put(storage, "file", b"x")
    assert free == [False]


# -- durability: which system calls, in which order


def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A record of what is made durable, by file name; the calls themselves still happen."""
    seen: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(fd: int) -> None:
        seen.append("sync " + os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
        real_sync(fd)

    def replace(source: bytes, destination: bytes) -> None:
        seen.append("rename " + os.path.basename(destination.decode()))
        real_replace(source, destination)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    return seen


def test_a_durable_write_syncs_file_rename_directories(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "root").mkdir()
    storage = LocalStorage(str(tmp_path / "root"))
    seen = calls(monkeypatch)
    put(storage, "a/b/file", b"x")
    assert seen == ["sync root", "sync a", f"sync file{TEMP_SUFFIX}", "rename file", "sync b"]
    seen.clear()
    put(storage, "a/b/file", b"y")
    assert seen == [f"sync file{TEMP_SUFFIX}", "rename file", "sync b"]


def test_directories_of_a_crashed_predecessor_are_synced(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    seen = calls(monkeypatch)
    put(LocalStorage(str(tmp_path)), "a/b/file", b"x")
    assert seen[-3:] == ["sync b", f"sync {tmp_path.name}", "sync a"]


def test_a_directory_made_again_is_synced_again(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    put(storage, "a/file", b"x")
    storage.remove_tree("a")
    seen = calls(monkeypatch)
    put(storage, "a/file", b"x")
    assert seen[0] == "sync " + os.path.basename(storage._root.decode())


def test_a_fast_write_syncs_nothing_and_has_no_temporary_name(
    storage: LocalStorage, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = calls(monkeypatch)
    names: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield b"x"
        names.extend(path.name for path in (tmp_path / "dir").iterdir())

    storage.write("dir/file", chunks(), durable=False)
    storage.make_path("other", durable=False)
    assert (seen, names) == ([], ["file"])


def test_sync_where_the_kernel_does_not_answer(
    storage: LocalStorage, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files and directories below, whoever wrote them; links and pipes are nothing to sync."""
    put(storage, "a/b/file", b"x", durable=False)
    (tmp_path / "a/other").write_bytes(b"by another process")
    os.mkfifo(tmp_path / "a/pipe")
    storage.make_link("a/link", "b")
    put(storage, "elsewhere", b"x", durable=False)
    monkeypatch.setattr(local, "sync_file_system", lambda fd: False)
    seen = calls(monkeypatch)
    storage.sync("a")
    assert set(seen[:-2]) == {"sync file", "sync b", "sync other"}
    assert seen[-2:] == ["sync a", f"sync {tmp_path.name}"]


def test_sync_tells_what_the_kernel_says(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    put(storage, "a/file", b"x", durable=False)

    def broken(fd: int) -> bool:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(local, "sync_file_system", broken)
    with pytest.raises(errors.FileSyncError, match="Input/output"):
        storage.sync("a")
    with pytest.raises(errors.PathMissingError, match="missing"):
        storage.sync("missing")


def test_syncfs_is_watched_since_before_the_first_write(storage: LocalStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    put(storage, "a/file", b"x", durable=False)
    used: list[int] = []
    monkeypatch.setattr(local, "sync_file_system", lambda fd: bool(used.append(fd)) or True)
    storage.sync("a")
    assert used == [storage._witness]


def test_sync_file_system(tmp_path: pathlib.Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert file_system.sync_file_system(fd) in (True, False)
    finally:
        os.close(fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        file_system.sync_file_system(fd)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.1.0-13-amd64", (6, 1)), ("5.4.0", (5, 4)), ("4.18.0-553.el8_10.x86_64", (4, 18)), ("odd", (0, 0))],
)
def test_kernel_version(release: str, version: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "host", release, "", "")))
    assert file_system._kernel() == version


# -- cost and leaks


def test_no_descriptor_is_left_open(storage: LocalStorage, durable: bool) -> None:
    put(storage, "dir/warm", b"x", durable)
    gc.collect()
    before = set(os.listdir("/proc/self/fd"))
    put(storage, "dir/file", b"x" * (2 * CHUNK), durable)
    next(storage.read("dir/file"))
    get(storage, "dir/file")
    storage.sync()
    for broken in (lambda: get(storage, "missing"), lambda: storage.write("x", breaking(b"", ValueError()), durable)):
        with pytest.raises((errors.FileMissingError, ValueError)):
            broken()
    list(storage.entries(""))
    storage.remove_tree("dir")
    assert set(os.listdir("/proc/self/fd")) == before


def test_descriptors_are_closed_with_the_storage(tmp_path: pathlib.Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    storage = LocalStorage(str(tmp_path))
    put(storage, "file", b"x")
    del storage
    assert len(os.listdir("/proc/self/fd")) == before


def test_readers_share_buffers(storage: LocalStorage) -> None:
    put(storage, "file", bytes(10 * CHUNK))
    seen = {id(chunk.obj) for _other in range(20) for chunk in storage.read("file") if isinstance(chunk, memoryview)}
    assert len(seen) == 1


def test_a_reader_cannot_change_the_buffer(storage: LocalStorage) -> None:
    put(storage, "file", b"x")
    chunk = next(storage.read("file"))
    assert isinstance(chunk, memoryview) and chunk.readonly
