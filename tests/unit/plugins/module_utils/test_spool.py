# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import faults, spool
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ArchiveDuplicateError,
    AssertError,
    EngineError,
    FileWriteError,
    FormatError,
    UnknownError,
    kind_of,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.spool import (
    GLOBAL,
    GetSpool,
    PushSpool,
    Status,
    parse_status,
    render_status,
)

SEGMENT = "00000001000000000000000A"
NEXT = "00000001000000000000000B"


@pytest.fixture
def push(tmp_path: Path) -> PushSpool:
    made = PushSpool(str(tmp_path / "spool"), "main")
    made.create()
    return made


@pytest.fixture
def get(tmp_path: Path) -> GetSpool:
    made = GetSpool(str(tmp_path / "spool"), "main")
    made.create()
    return made


@pytest.fixture
def wal(tmp_path: Path) -> Path:
    """A WAL file that was last written at 1000.5 s."""
    path = tmp_path / "pg_wal" / SEGMENT
    path.parent.mkdir()
    path.write_bytes(b"x")
    os.utime(path, ns=(0, 1_000_500_000_000))
    return path


def modified(path: Path) -> int:
    return path.stat().st_mtime_ns


# -- status files


@given(st.integers(0, 255), st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_status_survives_the_file(code: int, text: str) -> None:
    assert parse_status("x.ok", render_status(Status(code, text))) == (code, text)


def test_status_files_are_those_of_the_reference() -> None:
    assert render_status(Status(0, "")) == b""
    assert render_status(Status(0, "first\nsecond")) == b"0\nfirst\nsecond"
    assert render_status(Status(45, "why")) == b"45\nwhy"
    assert parse_status("x.ok", b"") == (0, "")


@pytest.mark.parametrize("content", [b"25", b"25\n", b"\ntext", b"x\ntext", b"-1\ntext", "\u0661\ntext".encode()])
def test_what_is_no_status_is_refused(content: bytes) -> None:
    with pytest.raises(FormatError, match=r"x\.error"):
        parse_status("x.error", content)


def test_every_code_has_its_class() -> None:
    for kind in EngineError.__subclasses__():
        assert kind_of(kind.code) is kind
    assert kind_of(3) is UnknownError


# -- push


def test_an_acknowledgement_is_an_empty_file(push: PushSpool, wal: Path) -> None:
    push.acknowledge(SEGMENT, modified(wal))
    path = Path(push.path, f"{SEGMENT}.ok")
    assert path.read_bytes() == b""
    assert path.parent.parts[-3:] == ("archive", "main", "out")
    assert path.stat().st_mode & 0o777 == 0o640
    assert push.acknowledgement(SEGMENT, str(wal)) == (0, "")
    assert push.acknowledgement(NEXT, str(wal)) is None


def test_warnings_and_deliberate_skips_come_through(push: PushSpool, wal: Path) -> None:
    push.acknowledge(SEGMENT, modified(wal), ["one", "two"])
    assert push.acknowledgement(SEGMENT, str(wal)) == (0, "one\ntwo")
    # An operator has renamed the report of a failure.
    Path(push.path, f"{NEXT}.ok").write_bytes(b"45\nother content")
    assert push.acknowledgement(NEXT, str(wal)) == (45, "other content")


def test_an_acknowledgement_does_not_cover_what_was_written_later(push: PushSpool, wal: Path) -> None:
    push.acknowledge(SEGMENT, modified(wal))
    os.utime(wal, ns=(0, 1_001_000_000_000))  # a file system may keep full seconds only
    assert push.acknowledgement(SEGMENT, str(wal)) is not None
    os.utime(wal, ns=(0, 1_001_000_000_001))
    assert push.acknowledgement(SEGMENT, str(wal)) is None
    assert push.acknowledged(str(wal.parent), {SEGMENT}) == set()
    push.clean(str(wal.parent), {SEGMENT})
    assert push.names() == []


def test_an_acknowledgement_of_a_file_that_is_gone_still_counts(push: PushSpool, wal: Path) -> None:
    push.acknowledge(SEGMENT, modified(wal))
    wal.unlink()
    assert push.acknowledgement(SEGMENT, str(wal)) == (0, "")


def test_failures_come_back_as_what_they_were(push: PushSpool) -> None:
    push.report(SEGMENT, ArchiveDuplicateError("other content", "look\ntwice"))
    error = push.error(SEGMENT)
    assert isinstance(error, ArchiveDuplicateError)
    assert error.message == "other content\nHINT: look\nHINT: twice"
    assert push.error(NEXT) is None
    push.report(GLOBAL, FormatError("all"))
    assert isinstance(push.error(NEXT), FormatError)
    assert isinstance(push.error(SEGMENT), ArchiveDuplicateError)
    assert push.failed() == {SEGMENT}
    push.forget_errors(SEGMENT)
    assert push.names() == []


def test_a_report_without_an_error_is_a_bug(push: PushSpool) -> None:
    Path(push.path, f"{SEGMENT}.error").touch()
    with pytest.raises(AssertError):
        push.error(SEGMENT)


def test_only_what_postgresql_asks_for_is_kept(push: PushSpool, wal: Path) -> None:
    for name in (SEGMENT, NEXT):
        push.acknowledge(name, modified(wal))
        push.report(name, FormatError("x"))
    push.report(GLOBAL, FormatError("x"))
    Path(push.path, f"{SEGMENT}.ok.holdfast.tmp").touch()
    Path(push.path, f"{SEGMENT}.ok.pgbackrest.tmp").touch()
    push.clean(str(wal.parent), {SEGMENT})
    assert sorted(push.names()) == [f"{SEGMENT}.error", f"{SEGMENT}.ok"]


def test_an_acknowledgement_is_there_as_a_whole_or_not_at_all(push: PushSpool, wal: Path) -> None:
    faults.arm("archive.async.status=raise:ENOSPC")
    try:
        with pytest.raises(FileWriteError, match=rf"{SEGMENT}\.ok"):
            push.acknowledge(SEGMENT, modified(wal), ["a warning"])
    finally:
        faults.arm("")
    assert push.acknowledgement(SEGMENT, str(wal)) is None


def test_a_spool_that_is_not_there_is_empty(tmp_path: Path, wal: Path) -> None:
    missing = PushSpool(str(tmp_path / "missing"), "main")
    assert missing.names() == []
    assert missing.acknowledgement(SEGMENT, str(wal)) is None
    assert missing.acknowledged(str(wal.parent), {SEGMENT}) == set()
    missing.clean(str(wal.parent), set())


# -- get


def put(get: GetSpool, *names: str) -> None:
    for name in names:
        Path(get.path, name).write_bytes(b"x")


def test_segments_are_told_from_everything_else(get: GetSpool) -> None:
    put(get, SEGMENT, f"{NEXT}.holdfast.tmp", f"{NEXT}.error", f"{NEXT}.ok", "origin", "request")
    assert get.segments() == {SEGMENT}
    assert get.holds(SEGMENT) and not get.holds(NEXT)
    assert get.is_coming(NEXT) and not get.is_coming(SEGMENT)
    assert get.is_missing(NEXT) and not get.is_missing(SEGMENT)


def test_a_link_is_no_segment(get: GetSpool, wal: Path) -> None:
    Path(get.path, NEXT).symlink_to(wal)
    assert not get.holds(NEXT)


def test_what_is_not_wanted_goes(get: GetSpool) -> None:
    other = "00000002000000000000000A"
    put(get, SEGMENT, NEXT, other, *(f"{name}.ok" for name in (SEGMENT, NEXT, other)))
    put(get, "x.holdfast.tmp", "global.error", "origin")
    get.clean({SEGMENT})
    assert sorted(get.names()) == [SEGMENT, f"{SEGMENT}.ok", "origin"]


def test_only_what_is_of_this_run_and_cluster_is_trusted(get: GetSpool) -> None:
    assert spool.origin(1) != spool.origin(2)
    put(get, SEGMENT)
    assert not get.is_of(spool.origin(1))
    get.claim(spool.origin(1))
    assert not get.holds(SEGMENT)
    assert get.is_of(spool.origin(1))
    assert not get.is_of(spool.origin(2))


def test_without_a_name_for_this_run_nothing_is_trusted(get: GetSpool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "BOOT_ID", "/nonexistent")
    assert spool.origin(1) == ""
    put(get, "origin")
    Path(get.path, "origin").write_bytes(b"")
    assert not get.is_of("")


def test_a_request_is_taken_once(get: GetSpool) -> None:
    assert get.take_request() is None
    get.ask_for(SEGMENT)
    assert get.take_request() == SEGMENT
    assert get.take_request() is None
    put(get, "request")
    assert get.take_request() is None
