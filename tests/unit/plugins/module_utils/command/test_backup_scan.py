# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk through a data directory, on made-up trees that have something odd in every corner."""

from __future__ import annotations

import grp
import logging
import os
import pwd

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_scan import ClusterScan
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    FileInvalidError,
    FileOpenError,
    LinkDestinationError,
    LinkExpectedError,
    PathOpenError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import Link, Target

VERSION_DIR = "PG_15_202209061"
ROOT = os.geteuid() == 0


@pytest.fixture
def data(tmp_path):
    """A data directory with what every cluster has."""
    path = tmp_path / "data"
    for name in ("base/1", "base/5", "global", "pg_wal/archive_status", "pg_tblspc", "pg_xact"):
        (path / name).mkdir(parents=True)
    for name in ("PG_VERSION", "postgresql.conf", "global/pg_control", "base/5/16384"):
        fill(path, name)
    for folder in [path, *(path / name for name in ("base", "global", "pg_wal", "pg_tblspc"))]:
        folder.chmod(0o700)
    return path


def fill(data, *names, content=b"x"):
    for name in names:
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def scanned(data, tablespaces=None, online=True, exclude=()):
    scan = ClusterScan(str(data), VERSION_DIR, (tablespaces or {}) if online else None, exclude)
    scan.run()
    return scan


def file_names(scan):
    return {file.name for file in scan.files}


def path_names(scan):
    return {path.name for path in scan.paths}


USUAL = {"pg_data/PG_VERSION", "pg_data/postgresql.conf", "pg_data/global/pg_control", "pg_data/base/5/16384"}


def test_what_is_recorded_of_files_and_directories(data):
    path = data / "base/5/16384"
    path.write_bytes(b"12345")
    path.chmod(0o640)
    os.utime(path, (1, 1_700_000_000.9))
    (data / "base/5").chmod(0o2750)
    scan = scanned(data)
    assert file_names(scan) == USUAL
    assert path_names(scan) == {
        "pg_data", "pg_data/base", "pg_data/base/1", "pg_data/base/5", "pg_data/global", "pg_data/pg_wal",
        "pg_data/pg_wal/archive_status", "pg_data/pg_tblspc", "pg_data/pg_xact",
    }  # fmt: skip
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    file = next(file for file in scan.files if file.name == "pg_data/base/5/16384")
    assert (file.size, file.timestamp, file.mode, file.user, file.group) == (5, 1_700_000_000, 0o640, user, group)
    folder = next(path for path in scan.paths if path.name == "pg_data/base/5")
    assert (folder.mode, folder.user, folder.group) == (0o750, user, group)  # nine bits, no set-group-id
    assert scan.targets == {"pg_data": Target("pg_data", "path", str(data))}
    assert scan.links == []


@pytest.mark.root
def test_an_owner_without_a_name_is_unknown(data):
    os.chown(data / "PG_VERSION", 3_999_999, 3_999_998)
    file = next(file for file in scanned(data).files if file.name == "pg_data/PG_VERSION")
    assert (file.user, file.group) == (None, None)


def test_the_data_directory_may_itself_be_a_link(data, tmp_path):
    (tmp_path / "link").symlink_to(data)
    scan = scanned(tmp_path / "link")
    assert file_names(scan) == USUAL
    assert scan.targets["pg_data"].path == str(tmp_path / "link")


def test_directories_that_the_server_fills_anew_are_recorded_without_contents(data):
    names = ["pg_dynshmem", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"]
    for name in names:
        fill(data, f"{name}/sub/x", f"{name}/x")
    fill(data, "sub/pg_replslot/x")
    scan = scanned(data)
    assert file_names(scan) == USUAL | {"pg_data/sub/pg_replslot/x"}
    assert {f"pg_data/{name}" for name in names} < path_names(scan)
    assert not any(name.endswith("/sub") and name != "pg_data/sub" for name in path_names(scan))


def test_temporary_files_are_left_out_wherever_they_are(data):
    for folder in ("", "base/", "base/5/", "sub/"):
        fill(data, f"{folder}pgsql_tmp", f"{folder}pgsql_tmp123.0", f"{folder}pgsql_tmp.dir/x")
    fill(data, "base/1/t3_123", "base/1/t3_123_fsm.1", "base/1/t3_abc", "t3_123")
    fill(data, "base/1/pg_internal.init", "global/pg_internal.init.123", "base/1/pg_internal.init.abc")
    fill(data, "pg_internal.init")
    scan = scanned(data)
    assert file_names(scan) - USUAL == {
        "pg_data/base/1/t3_abc", "pg_data/t3_123", "pg_data/base/1/pg_internal.init.abc", "pg_data/pg_internal.init",
    }  # fmt: skip
    assert not any("pgsql_tmp" in name for name in path_names(scan))


def test_of_unlogged_relations_only_the_init_forks_are_recorded(data):
    fill(data, "base/5/20", "base/5/20.1", "base/5/20_vm", "base/5/20_init", "base/5/20_fsm.1", "base/5/20_xx")
    fill(data, "base/5/200", "base/1/20", "base/5/sub/20", "pg_xact/30", "pg_xact/30_init")
    assert file_names(scanned(data)) - USUAL == {
        "pg_data/base/5/20_init", "pg_data/base/5/20_xx", "pg_data/base/5/200", "pg_data/base/1/20",
        "pg_data/base/5/sub/20", "pg_data/pg_xact/30", "pg_data/pg_xact/30_init",
    }  # fmt: skip


def test_files_of_a_server_at_work_are_left_out(data):
    fill(data, "backup_label", "backup_label.old", "backup_manifest", "backup_manifest.tmp", "postmaster.pid")
    fill(data, "postmaster.opts", "recovery.signal", "standby.signal", "postgresql.auto.conf.tmp", "tablespace_map")
    fill(data, "recovery.conf", "recovery.done", "current_logfiles", "tablespace_map.old", "log/today.log")
    kept = {"recovery.conf", "recovery.done", "current_logfiles", "tablespace_map.old", "log/today.log"}
    assert file_names(scanned(data)) - USUAL == {f"pg_data/{name}" for name in kept}
    assert file_names(scanned(data, online=False)) - USUAL == {f"pg_data/{name}" for name in {*kept, "tablespace_map"}}


def test_wal_is_recorded_offline_only(data):
    segment = "pg_wal/000000010000000000000001"
    fill(data, segment, "pg_wal/archive_status/x.done", "pg_wal/summaries/y")
    online, offline = scanned(data), scanned(data, online=False)
    assert file_names(online) - USUAL == {"pg_data/pg_wal/summaries/y"}
    assert "pg_data/pg_wal/archive_status" in path_names(online)
    added = {segment, "pg_wal/archive_status/x.done", "pg_wal/summaries/y"}
    assert file_names(offline) - USUAL == {f"pg_data/{name}" for name in added}


def test_exclusions_are_literal_and_a_slash_keeps_the_directory(data, caplog):
    fill(data, "log/a", "log/b", "cache/a", "cache/sub/b", "notes.txt", "sub/notes.txt", "x*", "xy")
    with caplog.at_level(logging.INFO):
        scan = scanned(data, exclude=["log/", "cache", "notes.txt", "x*", "base/5/16384"])
    assert file_names(scan) - USUAL == {"pg_data/sub/notes.txt", "pg_data/xy"}
    assert "pg_data/base/5/16384" not in file_names(scan)
    assert "pg_data/log" in path_names(scan) and "pg_data/cache" not in path_names(scan)
    for entry in ("log/", "cache", "notes.txt", "x*"):
        assert any(entry in record.getMessage() for record in caplog.records), entry


def test_special_files_are_skipped_with_a_warning(data, caplog):
    os.mkfifo(data / "pipe")
    assert file_names(scanned(data)) == USUAL
    assert [record.levelname for record in caplog.records if "pipe" in record.getMessage()] == ["WARNING"]


@pytest.mark.skipif(ROOT, reason="root may read everything")
def test_a_directory_that_cannot_be_read_stops_the_backup(data):
    (data / "base/5").chmod(0)
    try:
        with pytest.raises(PathOpenError, match="base/5") as caught:
            scanned(data)
    finally:
        (data / "base/5").chmod(0o700)
    assert caught.value.hint


def test_names_are_kept_as_bytes(data):
    names = [b"a=b", b'quote"d', b"it's", b"back\\slash", b"tab\there", b"#hash", b"[x]", b"two  words ", b"\xff\xfe",
             "\u00fcml\u00e4ut".encode(), b"$HOME"]  # fmt: skip
    for name in names:
        with open(os.path.join(os.fsencode(data), name), "wb"):
            pass
    found = {name.encode("utf-8", "surrogateescape") for name in file_names(scanned(data)) - USUAL}
    assert found == {b"pg_data/" + name for name in names}


@pytest.mark.parametrize("what", ["file", "directory", "link"])
def test_a_name_with_a_line_feed_stops_the_backup(data, what):
    path = data / "two\nlines"
    if what == "file":
        path.touch()
    elif what == "directory":
        path.mkdir()
    else:
        path.symlink_to("/nowhere")
    with pytest.raises(FileInvalidError, match=r"two\\nlines") as caught:
        scanned(data)
    assert caught.value.hint


def test_a_name_with_a_line_feed_in_a_directory_that_is_left_out_does_no_harm(data):
    fill(data, "pg_replslot/two\nlines", "log/two\nlines")
    assert file_names(scanned(data, exclude=["log/"])) == USUAL


# -- links


def test_linked_directories_are_walked_as_if_they_were_real(data, tmp_path):
    fill(tmp_path, "elsewhere/a", "elsewhere/sub/b")
    (tmp_path / "elsewhere").chmod(0o750)
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    scan = scanned(data)
    assert file_names(scan) - USUAL == {"pg_data/linked/a", "pg_data/linked/sub/b"}
    assert next(path.mode for path in scan.paths if path.name == "pg_data/linked") == 0o750
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    assert scan.links == [Link("pg_data/linked", str(tmp_path / "elsewhere"), user, group)]
    assert scan.targets["pg_data/linked"] == Target("pg_data/linked", "link", str(tmp_path / "elsewhere"))


def test_a_linked_pg_wal_is_recorded_without_its_segments(data, tmp_path):
    os.rename(data / "pg_wal", tmp_path / "wal")
    fill(tmp_path, "wal/000000010000000000000001", "wal/archive_status/x.done")
    (data / "pg_wal").symlink_to("../wal")
    scan = scanned(data)
    assert file_names(scan) == USUAL
    assert {"pg_data/pg_wal", "pg_data/pg_wal/archive_status"} < path_names(scan)
    assert scan.targets["pg_data/pg_wal"] == Target("pg_data/pg_wal", "link", "../wal")


def test_a_linked_directory_that_is_excluded_by_contents(data, tmp_path):
    fill(tmp_path, "elsewhere/a")
    (data / "linked").symlink_to(tmp_path / "elsewhere")
    scan = scanned(data, exclude=["linked/"])
    assert file_names(scan) == USUAL
    assert "pg_data/linked" in path_names(scan) and "pg_data/linked" in scan.targets


def test_linked_files_have_a_target_with_directory_and_name_apart(data, tmp_path):
    fill(tmp_path, "etc/pg_hba.conf", "etc/pg_ident.conf", content=b"local all")
    (data / "pg_hba.conf").symlink_to("../etc/pg_hba.conf")
    (data / "pg_ident.conf").symlink_to(tmp_path / "etc/pg_ident.conf")
    scan = scanned(data)
    assert scan.targets["pg_data/pg_hba.conf"] == Target("pg_data/pg_hba.conf", "link", "../etc", file="pg_hba.conf")
    assert scan.targets["pg_data/pg_ident.conf"].path == str(tmp_path / "etc")
    assert next(file.size for file in scan.files if file.name == "pg_data/pg_hba.conf") == 9
    assert len(scan.links) == 2


def test_a_link_to_something_special_is_skipped_with_a_warning(data, tmp_path, caplog):
    os.mkfifo(tmp_path / "pipe")
    (data / "linked").symlink_to(tmp_path / "pipe")
    scan = scanned(data)
    assert file_names(scan) == USUAL and "pg_data/linked" in scan.targets
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_links_that_cannot_be_backed_up(data, tmp_path):
    fill(tmp_path, "one/sub/x", "two")
    (tmp_path / "alias").symlink_to(tmp_path / "one")
    cases = {
        "to a link": {"a": "alias"},
        "into the data directory": {"a": "data/base"},
        "to the data directory": {"a": "data"},
        "nested": {"a": "one", "b": "one/sub"},
        "nested the other way": {"a": "one/sub", "b": "one"},
        "to one directory": {"a": "one", "b": "one"},
        "to one file": {"a": "two", "b": "two"},
        "to a file in a linked directory": {"a": "one", "b": "one/sub/x"},
        "dangling inside the data directory": {"a": "data/nothing"},
    }
    for name, links in cases.items():
        for link, destination in links.items():
            (data / link).symlink_to(tmp_path / destination)
        with pytest.raises(LinkDestinationError) as caught:
            scanned(data)
        assert caught.value.hint, name
        for link in links:
            (data / link).unlink()


def test_a_link_to_above_the_data_directory_ends_in_an_error_and_not_in_circles(data, tmp_path):
    (data / "up").symlink_to(tmp_path)
    with pytest.raises(LinkDestinationError, match="up"):
        scanned(data)


def test_a_dangling_link_is_an_error_that_names_both_ends(data, tmp_path):
    (data / "linked").symlink_to(tmp_path / "nothing")
    with pytest.raises(FileOpenError, match="linked.*nothing"):
        scanned(data)


# -- tablespaces


@pytest.fixture
def tablespace(data, tmp_path):
    """A tablespace 16400 with a table, and another cluster's directory in the same location."""
    location = tmp_path / "space"
    fill(location, f"{VERSION_DIR}/5/16500", f"{VERSION_DIR}/5/t3_1", f"{VERSION_DIR}/pgsql_tmp/x")
    fill(location, "PG_14_202107181/5/1")
    location.chmod(0o750)
    (location / VERSION_DIR).chmod(0o755)
    (data / "pg_tblspc" / "16400").symlink_to(location)
    return location


def test_a_tablespace_is_a_target_of_its_own(data, tablespace):
    data.chmod(0o750)
    scan = scanned(data, {16400: "fast", 16401: "other"})
    assert file_names(scan) - USUAL == {f"pg_tblspc/16400/{VERSION_DIR}/5/16500"}
    expected = Target("pg_tblspc/16400", "link", str(tablespace), tablespace_id="16400", tablespace_name="fast")
    assert scan.targets["pg_tblspc/16400"] == expected
    assert [link.name for link in scan.links] == ["pg_data/pg_tblspc/16400"]
    modes = {path.name: path.mode for path in scan.paths}
    assert (modes["pg_data/pg_tblspc"], modes["pg_tblspc"], modes["pg_tblspc/16400"]) == (0o700, 0o750, 0o700)
    assert modes[f"pg_tblspc/16400/{VERSION_DIR}"] == 0o755
    assert f"pg_tblspc/16400/{VERSION_DIR}/5" in modes


def test_a_tablespace_has_its_number_as_name_offline(data, tablespace):
    scan = scanned(data, online=False)
    assert scan.targets["pg_tblspc/16400"].tablespace_name == "ts16400"


@pytest.mark.parametrize("name", ["16401", "x", "016400x"])
def test_a_tablespace_that_the_server_does_not_know_stops_the_backup(data, tablespace, name):
    os.rename(data / "pg_tblspc/16400", data / "pg_tblspc" / name)
    with pytest.raises(AssertError, match=name) as caught:
        scanned(data, {16400: "fast"})
    assert "tablespace" in caught.value.hint


def test_a_tablespace_without_our_version_directory_is_an_error(data, tablespace):
    os.rename(tablespace / VERSION_DIR, tablespace / "PG_16_202307071")
    with pytest.raises(FileOpenError, match=VERSION_DIR):
        scanned(data, {16400: "fast"})


def test_only_links_belong_in_pg_tblspc(data):
    (data / "pg_tblspc/16400").mkdir()
    with pytest.raises(LinkExpectedError, match="16400") as caught:
        scanned(data)
    assert "exclude" in caught.value.hint
    assert file_names(scanned(data, exclude=["pg_tblspc/16400"])) == USUAL
    fill(data, "pg_tblspc/note")
    with pytest.raises(LinkExpectedError, match="note"):
        scanned(data, exclude=["pg_tblspc/16400"])


def test_a_tablespace_must_not_lie_in_the_data_directory(data):
    fill(data, f"space/{VERSION_DIR}/5/16500")
    (data / "pg_tblspc" / "16400").symlink_to(data / "space")
    with pytest.raises(LinkDestinationError, match="16400"):
        scanned(data, {16400: "fast"})


def test_many_tablespaces_are_checked_in_a_moment(data, tmp_path):
    for number in range(16400, 16800):
        (tmp_path / f"ts{number}" / VERSION_DIR).mkdir(parents=True)
        (data / "pg_tblspc" / str(number)).symlink_to(tmp_path / f"ts{number}")
    scan = scanned(data, {number: f"ts{number}" for number in range(16400, 16800)})
    assert len(scan.targets) == 401
    assert [path.name for path in scan.paths].count("pg_tblspc") == 1
