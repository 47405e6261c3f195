# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import fcntl
import json
import os
import pathlib
import signal
import stat
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import lock as locks
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import LockAcquireError, StopError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.lock import (
    LockState,
    SharedLock,
    StanzaLock,
    check_stop,
    create_stop,
    is_held,
    lock_file,
    parse_lock,
    read_locks,
    remove_stop,
    render_lock,
    stop_file,
    terminate_holders,
)

OURS, THEIRS = "1000-0a1b2c3d", "2000-ffffffff"


@pytest.fixture
def path(tmp_path: pathlib.Path) -> str:
    return str(tmp_path / "run" / "holdfast")


def names(path: str) -> list[str]:
    return sorted(os.listdir(path))


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


HOLDER = """
    import signal, sys, time
    sys.path[:0] = {path!r}
    from ansible_collections.holdfast.postgres.plugins.module_utils._engine.lock import StanzaLock
    with StanzaLock({lock_path!r}, {stanza!r}, {kinds!r}, [1], {exec_id!r}) as lock:
        print("held", flush=True)
        time.sleep(60)
"""


class Holder:
    """Another process that holds locks."""

    def __init__(self, lock_path: str, kinds: list[str], exec_id: str = THEIRS, stanza: str = "main") -> None:
        code = textwrap.dedent(HOLDER).format(
            path=sys.path, lock_path=lock_path, kinds=kinds, exec_id=exec_id, stanza=stanza
        )
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "held\n"

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_other: object) -> None:
        self.process.kill()
        self.process.communicate()


# -- content


def test_content_is_the_reference_s() -> None:
    state = LockState("20555-51561613", 20555, 30939263, 786432)
    text = b'{"execId":"20555-51561613","pctCplt":254,"pid":20555,"sz":30939263,"szCplt":786432}'
    assert render_lock(state) == text
    assert parse_lock(text) == state
    assert render_lock(LockState("a-b", 7)) == b'{"execId":"a-b","pid":7}'


@given(st.integers(2, 2**22), st.none() | st.tuples(st.integers(0, 2**60), st.integers(0, 2**60)))
def test_content_round_trip(pid: int, sizes: tuple[int, int] | None) -> None:
    state = LockState("x-y", pid, *(sizes or ()))
    assert parse_lock(render_lock(state)) == state
    assert state.percent is None or 0 <= state.percent <= 10_000


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"null", b"[]", b"7", b'{"pid":5}', b'{"execId":"a"}', b"\xff", b'{"execId":"a","pid":"7"}',
     b'{"execId":"a","pid":0}', b'{"execId":"a","pid":-1}', b'{"execId":"a","pid":1}', b'{"execId":"a","pid":5}}'],
)  # fmt: skip
def test_no_content(content: bytes) -> None:
    """Least of all a number that would mean a group of processes, or all, to kill()."""
    assert parse_lock(content) is None


@settings(max_examples=50)
@given(st.binary(max_size=60))
def test_any_content_is_read_without_an_error(content: bytes) -> None:
    parse_lock(content)


# -- acquire and release


def test_all_kinds_and_repositories_with_modes_whatever_the_umask(path: str) -> None:
    before = os.umask(0o077)
    try:
        with StanzaLock(path, "main", ["archive", "backup", "restore"], [1, 3], OURS) as lock:
            expected = [f"main-{kind}-{key}.lock" for kind in ("archive", "backup", "restore") for key in (1, 3)]
            assert names(path) == sorted(expected)
            assert mode(path) == mode(os.path.dirname(path)) == 0o770
            assert {mode(f"{path}/{name}") for name in names(path)} == {0o640}
            assert len(lock.fds) == 6
            content = pathlib.Path(path, "main-backup-3.lock").read_text()
            assert content == f'{{"execId":"{OURS}","pid":{os.getpid()}}}'
    finally:
        os.umask(before)
    assert names(path) == []
    assert lock.fds == ()


def test_descriptors_do_not_leak_into_programs(path: str) -> None:
    before = os.listdir("/proc/self/fd")
    with StanzaLock(path, "main", ["backup"], [1], OURS) as lock:
        assert not any(os.get_inheritable(fd) for fd in lock.fds)
    assert os.listdir("/proc/self/fd") == before


def test_a_held_lock_is_an_error_at_once(path: str) -> None:
    with Holder(path, ["backup"]) as holder:
        begin = time.monotonic()
        with (
            pytest.raises(LockAcquireError, match=f"main-backup-1.lock.*process {holder.process.pid}") as caught,
            StanzaLock(path, "main", ["backup"], [1], OURS),
        ):
            pass
        assert time.monotonic() - begin < 0.1
        assert "another" in caught.value.hint
        with StanzaLock(path, "main", ["restore"], [1], OURS), StanzaLock(path, "other", ["backup"], [1], OURS):
            pass  # other kinds and stanzas are free


def test_what_was_acquired_is_released_when_one_fails(path: str) -> None:
    with Holder(path, ["restore"]):
        with pytest.raises(LockAcquireError), StanzaLock(path, "main", ["archive", "backup", "restore"], [1], OURS):
            pass
        assert names(path) == ["main-restore-1.lock"]
        with StanzaLock(path, "main", ["archive", "backup"], [1], THEIRS):
            pass


def test_an_error_inside_releases(path: str) -> None:
    with pytest.raises(KeyboardInterrupt), StanzaLock(path, "main", ["backup"], [1], OURS):
        raise KeyboardInterrupt
    assert names(path) == []


def test_our_own_run_is_not_somebody_else(path: str) -> None:
    with Holder(path, ["backup"], exec_id=OURS) as holder:
        with StanzaLock(path, "main", ["backup"], [1], OURS) as lock:
            assert lock.fds == ()
            lock.progress(100, 50)
            lock.clear_progress()
        state = read_locks(path, "main", "backup", 1)
        assert state == LockState(OURS, holder.process.pid)  # untouched, and not removed


def test_a_file_left_by_a_crash_is_harmless(path: str) -> None:
    with Holder(path, ["backup"]):
        pass  # killed
    assert names(path) == ["main-backup-1.lock"]
    assert read_locks(path, "main", "backup", 1) is None
    with open(f"{path}/main-backup-1.lock", "ab") as file:
        file.write(b" " * 100 + b"stale")
    with StanzaLock(path, "main", ["backup"], [1], OURS):
        assert read_locks(path, "main", "backup", 1) == LockState(OURS, os.getpid())


def test_a_short_look_by_somebody_does_not_make_us_fail(path: str) -> None:
    """Both programs look whether a lock is held by trying to take it."""
    os.makedirs(path)
    file = lock_file(path, "main", "backup", 1)
    pathlib.Path(file).write_bytes(render_lock(LockState(THEIRS, dead_pid())))
    with open(file, "rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_EX)
        threading.Timer(0.05, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with StanzaLock(path, "main", ["backup"], [1], OURS):
            pass
        fcntl.flock(looking, fcntl.LOCK_EX)
    pathlib.Path(file).touch()
    with open(file, "rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        with pytest.raises(LockAcquireError, match="another process"), StanzaLock(path, "main", ["backup"], [1], OURS):
            pass


def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_lock_removed_under_our_hands_is_not_taken(path: str) -> None:
    """Its holder removes the file between our open and our lock: what we hold in the end must be what has the name."""
    os.makedirs(path)
    file = lock_file(path, "main", "backup", 1)
    real = fcntl.flock
    removed = []

    def flock(descriptor: int, operation: int) -> None:
        real(descriptor, operation)
        if not removed:
            os.unlink(file)
            removed.append(file)

    fcntl.flock = flock
    try:
        with StanzaLock(path, "main", ["backup"], [1], OURS) as lock:
            assert removed
            assert os.path.samestat(os.fstat(lock.fds[0]), os.stat(file))
    finally:
        fcntl.flock = real


def test_only_one_of_many_has_the_lock(path: str) -> None:
    code = textwrap.dedent("""
        import os, sys, time
        sys.path[:0] = {path!r}
        from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import LockAcquireError
        from ansible_collections.holdfast.postgres.plugins.module_utils._engine.lock import StanzaLock
        got, until = 0, time.monotonic() + 20
        while got < 40 and time.monotonic() < until:
            try:
                with StanzaLock({lock_path!r}, "main", ["backup"], [1], sys.argv[1]):
                    os.close(os.open({lock_path!r} + "/inside", os.O_CREAT | os.O_EXCL))
                    os.unlink({lock_path!r} + "/inside")
                    got += 1
            except LockAcquireError:
                pass
        print(got)
    """).format(path=sys.path, lock_path=path)
    runs = [
        subprocess.Popen([sys.executable, "-c", code, f"{n}-a"], stdout=subprocess.PIPE, text=True) for n in range(3)
    ]
    outputs = [run.communicate(timeout=60)[0] for run in runs]
    assert [(run.returncode, output) for run, output in zip(runs, outputs)] == [(0, "40\n")] * 3
    assert names(path) == []


def test_a_new_holder_s_file_is_not_removed_on_release(path: str) -> None:
    file = lock_file(path, "main", "backup", 1)
    with StanzaLock(path, "main", ["backup"], [1], OURS):
        os.unlink(file)  # stop --force
        with StanzaLock(path, "main", ["backup"], [1], THEIRS):
            theirs = os.stat(file)
            assert read_locks(path, "main", "backup", 1) == LockState(THEIRS, os.getpid())
            with StanzaLock(path, "main", ["restore"], [1], OURS):
                pass
            assert os.path.samestat(os.stat(file), theirs)
        pathlib.Path(file).write_text("somebody's")
    assert names(path) == ["main-backup-1.lock"]


def test_a_lock_path_that_cannot_be_made_or_used(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(LockAcquireError, match=f"{tmp_path}/file/locks") as caught,
        StanzaLock(f"{tmp_path}/file/locks", "main", ["backup"], [1], OURS),
    ):
        pass
    if "--lock-path" not in caught.value.hint:
        assert "Not a directory" in str(caught.value)


@pytest.mark.root
def test_without_permission_user_group_and_option_are_named(tmp_path: pathlib.Path) -> None:
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    (tmp_path / "locks").mkdir(mode=0o700)
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            for lock_path in (tmp_path / "locks", tmp_path / "missing"):
                with pytest.raises(LockAcquireError) as caught:
                    StanzaLock(str(lock_path), "main", ["backup"], [1], OURS).__enter__()
                assert "user nobody, group nogroup" in caught.value.hint and "--lock-path" in caught.value.hint
                assert str(lock_path) in str(caught.value) and "Permission denied" in str(caught.value)
            with pytest.raises(StopError, match="Permission denied"):
                check_stop(str(tmp_path / "locks"), "main")
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


# -- progress


def test_progress_is_written_first_and_by_steps(path: str) -> None:
    file = pathlib.Path(lock_file(path, "main", "backup", 1))
    total = 1_000_000
    with StanzaLock(path, "main", ["backup"], [1, 2], OURS) as lock:
        lock.progress(total, 0)
        assert json.loads(file.read_text()) == {
            "execId": OURS, "pctCplt": 0, "pid": os.getpid(), "sz": total, "szCplt": 0
        }  # fmt: skip
        written = []
        for done in range(0, total + 1, 100):
            lock.progress(total, done)
            state = read_locks(path, "main", "backup", 1)
            assert state is not None
            if state.size_complete == done:
                written.append(done)
        steps = [after - before for before, after in zip(written, written[1:])]
        assert set(steps) == {1100}  # the first multiple of 100 beyond a thousandth
        other = read_locks(path, "main", "backup", 2)
        assert other == LockState(OURS, os.getpid())
        lock.clear_progress()
        assert file.read_text() == f'{{"execId":"{OURS}","pid":{os.getpid()}}}'
        lock.progress(10, 5, repo_key=2)
        assert read_locks(path, "main", "backup", 2) == LockState(OURS, os.getpid(), 10, 5)


def test_progress_of_nothing_is_complete(path: str) -> None:
    with StanzaLock(path, "main", ["restore"], [1], OURS) as lock:
        lock.progress(0, 0)
        state = read_locks(path, "main", "restore", 1)
        assert state is not None and state.percent == 10_000


def test_a_reader_never_sees_a_held_lock_as_free(path: str) -> None:
    stop = threading.Event()
    with StanzaLock(path, "main", ["backup"], [1], OURS) as lock:

        def write() -> None:
            while not stop.is_set():
                lock.progress(10**12, 0)
                lock.clear_progress()

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _other in range(2000):
                assert read_locks(path, "main", "backup", 1) is not None
        finally:
            stop.set()
            writer.join()


def test_a_full_disk_under_the_lock_does_not_end_the_backup(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with StanzaLock(path, "main", ["backup"], [1], OURS) as lock:

        def full(*_other: object) -> int:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "pwrite", full)
        lock.progress(10, 5)
        with pytest.raises(LockAcquireError, match="No space"), StanzaLock(path, "main", ["restore"], [1], OURS):
            pass
        assert names(path) == ["main-backup-1.lock"]


def test_missing_lock_is_not_held(path: str) -> None:
    assert read_locks(path, "main", "backup", 1) is None


def test_a_held_file_that_says_nothing_is_not_held_for_info(path: str) -> None:
    os.makedirs(path)
    with open(lock_file(path, "main", "backup", 1), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert read_locks(path, "main", "backup", 1) is None


# -- background archiving


def test_a_held_lock_is_seen_without_taking_it(path: str) -> None:
    assert not is_held(path, "main", "archive-push", 1)
    assert not os.path.exists(path)
    with StanzaLock(path, "main", ["archive-push"], [1], OURS):
        assert is_held(path, "main", "archive-push", 1)
        assert not is_held(path, "main", "archive-get", 1)
    pathlib.Path(path, "main-archive-push-1.lock").touch()  # left by a crash
    assert not is_held(path, "main", "archive-push", 1)


def test_a_lock_file_that_was_removed_is_noticed_by_its_holder(path: str) -> None:
    with StanzaLock(path, "main", ["archive-push"], [1, 2], OURS) as lock:
        assert lock.intact
        os.unlink(lock_file(path, "main", "archive-push", 2))
        assert not lock.intact


def test_who_moves_wal_shares_the_archive_lock(path: str) -> None:
    with SharedLock(path, "main", [1, 2], OURS, 0):
        with SharedLock(path, "main", [1, 2], THEIRS, 0):
            with pytest.raises(LockAcquireError), StanzaLock(path, "main", ["archive"], [2], "3000-0"):
                pass
        # The first one to leave has not removed what the other one holds.
        assert names(path) == ["main-archive-1.lock", "main-archive-2.lock"]
        with pytest.raises(LockAcquireError), StanzaLock(path, "main", ["archive"], [1], "3000-0"):
            pass
    assert names(path) == []
    with StanzaLock(path, "main", ["archive"], [1], OURS):
        with pytest.raises(LockAcquireError, match=f"process {os.getpid()}"), SharedLock(path, "main", [1], THEIRS, 0):
            pass
    assert names(path) == []


def test_whoever_changes_the_stanza_waits_for_its_turn(path: str) -> None:
    shared = SharedLock(path, "main", [1], OURS, 0)
    with StanzaLock(path, "main", ["archive-push"], [1], OURS):
        with shared:
            threading.Timer(0.2, shared.__exit__).start()
            with StanzaLock(path, "main", ["archive", "backup"], [1], THEIRS):
                assert is_held(path, "main", "archive", 1)


def test_nobody_waits_for_ever(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "_SHARED_PATIENCE", 0.1)
    with StanzaLock(path, "main", ["archive-get"], [1], OURS), SharedLock(path, "main", [1], OURS, 0):
        with pytest.raises(LockAcquireError), StanzaLock(path, "main", ["archive"], [1], THEIRS):
            pass


def test_who_moves_wal_waits_for_whoever_changes_the_stanza(path: str) -> None:
    lock = StanzaLock(path, "main", ["archive"], [1], THEIRS)
    lock.__enter__()
    threading.Timer(0.1, lock.__exit__).start()
    with SharedLock(path, "main", [1], OURS, 5):
        assert names(path) == ["main-archive-1.lock"]


# -- stop files


def test_stop_and_start(path: str) -> None:
    check_stop(path, "main")
    before = os.umask(0o077)
    try:
        assert create_stop(path, "main") is True
    finally:
        os.umask(before)
    assert create_stop(path, "main") is False
    assert (mode(stop_file(path, "main")), mode(path)) == (0o640, 0o770)
    with pytest.raises(StopError, match="main.stop") as caught:
        check_stop(path, "main")
    assert "--stanza=main start" in caught.value.hint
    check_stop(path, "other")
    assert remove_stop(path, None) is False
    assert remove_stop(path, "main") is True
    assert remove_stop(path, "main") is False
    check_stop(path, "main")


def test_stop_of_all_stanzas(path: str) -> None:
    assert create_stop(path, None) is True
    for stanza in ("main", "other"):
        with pytest.raises(StopError, match="all.stop") as caught:
            check_stop(path, stanza)
        assert "'holdfast start'" in caught.value.hint
    create_stop(path, "main")
    with pytest.raises(StopError, match="main.stop"):  # the stanza's own first
        check_stop(path, "main")
    assert remove_stop(path, "main") is True
    assert os.path.exists(stop_file(path, None))


@pytest.fixture
def holders(path: str) -> Iterator[dict[str, Holder]]:
    with (
        Holder(path, ["archive", "backup"]) as main,
        Holder(path, ["backup"], stanza="main-2") as second,
        Holder(path, ["restore"], stanza="other") as other,
    ):
        yield {"main": main, "main-2": second, "other": other}


def test_holders_of_a_stanza_are_terminated(path: str, holders: dict[str, Holder]) -> None:
    pathlib.Path(path, "main-restore-1.lock").write_bytes(render_lock(LockState(THEIRS, os.getpid())))  # not locked
    pathlib.Path(path, "main.stop").touch()
    main = holders["main"].process
    assert terminate_holders(path, "main") == [
        ("main-archive-1.lock", main.pid), ("main-backup-1.lock", main.pid), ("main-restore-1.lock", None)
    ]  # fmt: skip
    assert main.wait(5) == -signal.SIGTERM
    assert names(path) == ["main-2-backup-1.lock", "main.stop", "other-restore-1.lock"]
    assert holders["main-2"].process.poll() is holders["other"].process.poll() is None


def test_background_processes_are_terminated(path: str) -> None:
    with (
        Holder(path, ["archive-push"]) as push, Holder(path, ["archive-get"]) as get,
        SharedLock(path, "main", [1], OURS, 0),
    ):  # fmt: skip
        os.truncate(lock_file(path, "main", "archive", 1), 0)  # whoever shares it is known by its other lock
        assert terminate_holders(path, "main") == [
            ("main-archive-1.lock", None), ("main-archive-get-1.lock", get.process.pid),
            ("main-archive-push-1.lock", push.process.pid),
        ]  # fmt: skip
        assert [holder.process.wait(5) for holder in (push, get)] == [-signal.SIGTERM] * 2


def test_holders_of_all_stanzas_are_terminated(path: str, holders: dict[str, Holder]) -> None:
    assert len(terminate_holders(path, None)) == 4
    assert [holder.process.wait(5) for holder in holders.values()] == [-signal.SIGTERM] * 3
    assert names(path) == []
    assert terminate_holders(path + "/missing", None) == []
