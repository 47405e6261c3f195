# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The destination of a restore: what is refused, what is removed, what is made, and that nothing else is touched."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from pathlib import Path as HostPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_map import map_manifest
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_owner import survey_owners
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_target import (
    Destination,
    Owners,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    EngineError,
    FileExistsInvalidError,
    FormatError,
    PathCreateError,
    PathNotEmptyError,
    PathOpenError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import File, Link, Path, Target
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.names import check_names

from .builders import STAMP, VERSION_DIR, Made

ROOT = os.geteuid() == 0
not_root = pytest.mark.skipif(ROOT, reason="root may do everything")


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def made(data):
    made = Made(str(data))
    made.files({"pg_data/PG_VERSION": b"15", "pg_data/base/5/16384": b"table", "pg_data/global/pg_control": b"c"})
    made.files({"pg_data/postgresql.auto.conf": b""})
    return made.paths("pg_data/pg_wal")


def destination(made, delta=False, preserve=False, owners=None):
    pg_path = made.manifest.targets["pg_data"].path
    return Destination(made.manifest, pg_path, delta, preserve, owners or Owners())


def fill(path, *names, content=b"x"):
    for name in names:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def mode(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def listing(path):
    """Everything below path with kind and, of a file or link, its content."""
    found = {}
    for folder, folders, files in os.walk(path):
        for name in [*folders, *files]:
            item = HostPath(folder, name)
            if item.is_symlink():
                what = f"-> {os.readlink(item)}"
            else:
                what = "directory" if item.is_dir() else item.read_bytes() if item.is_file() else "special"
            found[str(item.relative_to(path))] = what
    return found


# -- looking


@pytest.mark.parametrize("there", [False, True])
def test_a_place_that_is_empty_or_not_there_is_fine(made, data, there):
    if there:
        data.mkdir()
    destination(made).check()
    assert data.exists() == there


@pytest.mark.parametrize("name", ["x", ".hidden", "lost+found/x", "recovery.signal", "postgresql.auto.conf"])
def test_a_directory_that_is_not_empty_is_refused(made, data, name):
    fill(data, name)
    before = listing(data)
    with pytest.raises(PathNotEmptyError, match=str(data)) as caught:
        destination(made).check()
    assert "--delta" in caught.value.hint
    destination(made, delta=True).check()
    assert listing(data) == before


def test_what_an_interrupted_restore_left_as_a_mark_does_not_count(made, data):
    fill(data, "backup.manifest")
    destination(made).check()
    fill(data, "postgresql.auto.conf", "recovery.signal", "standby.signal")
    destination(made, preserve=True).check()


def test_of_a_tablespace_only_the_version_directory_counts(made, tmp_path):
    made.tablespace(16400, "fast", str(tmp_path / "space"), "5/16500")
    fill(tmp_path / "space", "PG_14_202107181/5/1", "note")
    destination(made).check()
    fill(tmp_path / "space", f"{VERSION_DIR}/x")
    with pytest.raises(PathNotEmptyError, match=VERSION_DIR):
        destination(made).check()


def test_a_linked_file_must_not_be_there(made, tmp_path):
    made.link("pg_data/pg_hba.conf", str(tmp_path / "etc/pg_hba.conf"), file=True)
    fill(tmp_path, "etc/other")
    destination(made).check()
    fill(tmp_path, "etc/pg_hba.conf")
    with pytest.raises(FileExistsInvalidError, match=r"pg_hba\.conf"):
        destination(made).check()
    destination(made, delta=True).check()


def test_a_linked_directory_must_be_empty(made, tmp_path):
    made.link("pg_data/pg_wal", str(tmp_path / "wal"))
    fill(tmp_path, "wal/x")
    with pytest.raises(PathNotEmptyError, match="wal"):
        destination(made).check()


@pytest.mark.parametrize("delta", [False, True])
def test_a_file_in_the_place_of_a_directory_is_refused(made, data, delta):
    data.write_bytes(b"precious")
    with pytest.raises(PathOpenError, match=str(data)):
        destination(made, delta).check()
    below = Made(str(data / "below"))
    with pytest.raises(PathOpenError, match="below"):
        destination(below, delta).check()
    assert data.read_bytes() == b"precious"


@not_root
def test_a_directory_that_its_owner_cannot_use_is_refused(made, data):
    data.mkdir(mode=0o500)
    with pytest.raises(PathOpenError, match="may not"):
        destination(made).check()


@not_root
def test_a_directory_of_somebody_else_is_refused():
    with pytest.raises(PathOpenError, match="another user") as caught:
        destination(Made("/usr"), delta=True).check()
    assert caught.value.hint


@not_root
def test_a_directory_behind_a_closed_door_is_refused(made, data):
    data.mkdir()
    closed = Made(str(data / "closed"))
    data.chmod(0)
    with pytest.raises(PathOpenError, match="closed"):
        destination(closed).check()
    data.chmod(0o700)


# -- disarming


def test_disarming_removes_pg_control_and_nothing_else(made, data):
    destination(made).disarm()
    fill(data, "global/pg_control", "global/1260")
    destination(made, delta=True).disarm()
    assert listing(data) == {"global": "directory", "global/1260": b"x"}


def test_disarming_does_not_reach_through_a_link_into_another_cluster(made, data, tmp_path):
    fill(tmp_path, "other/global/pg_control")
    data.mkdir()
    (data / "global").symlink_to(tmp_path / "other/global")
    target = destination(made, delta=True)
    target.disarm()
    target.clean()
    target.build()
    assert listing(tmp_path / "other") == {"global": "directory", "global/pg_control": b"x"}
    assert not (data / "global").is_symlink()


def test_disarming_reaches_a_linked_directory_of_the_backup(made, data, tmp_path):
    made.link("pg_data/global", str(tmp_path / "global"))
    fill(tmp_path, "global/pg_control")
    data.mkdir()
    (data / "global").symlink_to(tmp_path / "global")
    destination(made, delta=True).disarm()
    assert listing(tmp_path / "global") == {}


# -- cleaning


def test_a_delta_restore_removes_what_the_backup_does_not_know(made, data, tmp_path):
    fill(tmp_path, "outside/precious")
    fill(data, "PG_VERSION", "base/5/16384", "base/5/16385", "base/6/1", "global/pg_control", "log/today.log")
    fill(data, "recovery.signal", "postmaster.opts", "pg_wal/000000010000000000000001", "backup.manifest", "base/5/x/y")
    os.mkfifo(data / "pipe")
    (data / "link").symlink_to(tmp_path / "outside")
    (data / "base/5/link").symlink_to(tmp_path / "outside/precious")
    (data / "base/7").symlink_to(tmp_path / "outside")
    (data / "base/5").chmod(0o755)
    (data / "base/5/16384").chmod(0o644)
    stamp = os.stat(data / "base/5/16384").st_mtime_ns
    target = destination(made, delta=True)
    expected = target.unwanted()
    removed = target.clean()
    assert removed == expected
    names = [
        "base/5/16385", "base/5/link", "base/5/x", "base/6", "base/7", "link", "log", "pg_wal/000000010000000000000001",
        "pipe", "postmaster.opts", "recovery.signal",
    ]  # fmt: skip
    assert sorted(removed) == [f"{data}/{name}" for name in names]
    assert listing(data) == {
        "PG_VERSION": b"x", "backup.manifest": b"x", "base": "directory", "base/5": "directory", "base/5/16384": b"x",
        "global": "directory", "global/pg_control": b"x", "pg_wal": "directory",
    }  # fmt: skip
    assert listing(tmp_path / "outside") == {"precious": b"x"}
    assert (mode(data / "base/5"), mode(data / "base/5/16384")) == (0o700, 0o600)
    assert os.stat(data / "base/5/16384").st_mtime_ns == stamp


def test_preserving_recovery_settings_keeps_them(made, data):
    fill(data, "postgresql.auto.conf", "recovery.signal", "standby.signal", "sub/recovery.signal", "recovery.conf")
    made.manifest.remove_files(["pg_data/postgresql.auto.conf"])  # as a restore does
    assert len(destination(made, delta=True, preserve=True).clean()) == 2
    assert set(listing(data)) == {"postgresql.auto.conf", "recovery.signal", "standby.signal"}


def test_something_of_another_kind_than_in_the_backup_is_removed(made, data, tmp_path):
    fill(data, "PG_VERSION/x", "base/5/16384/y")
    fill(data, "pg_wal")
    (data / "global").symlink_to(tmp_path)
    target = destination(made, delta=True)
    assert target.clean() == [f"{data}/{name}" for name in ("PG_VERSION", "base/5/16384", "global", "pg_wal")]
    target.build()
    assert (data / "pg_wal").is_dir() and (data / "global").is_dir() and not (data / "global").is_symlink()


def test_links_stay_when_they_lead_where_they_should(made, data, tmp_path):
    made.link("pg_data/pg_wal", str(tmp_path / "wal")).link("pg_data/moved", str(tmp_path / "moved"))
    made.link("pg_data/pg_hba.conf", str(tmp_path / "etc/hba"), file=True)
    fill(tmp_path, "wal/old", "elsewhere/precious", "etc/hba")
    data.mkdir()
    (data / "pg_wal").symlink_to(tmp_path / "wal")
    (data / "moved").symlink_to(tmp_path / "elsewhere")
    (data / "pg_hba.conf").symlink_to(tmp_path / "etc/hba")
    target = destination(made, delta=True)
    assert sorted(target.clean()) == [f"{data}/moved", f"{tmp_path}/wal/old"]
    target.build()
    assert os.readlink(data / "moved") == str(tmp_path / "moved") and (tmp_path / "moved").is_dir()
    assert listing(tmp_path / "elsewhere") == {"precious": b"x"}
    assert listing(tmp_path / "etc") == {"hba": b"x"}


def test_a_directory_that_becomes_a_link_is_removed_first(made, data, tmp_path):
    made.link("pg_data/pg_wal", str(tmp_path / "wal"))
    fill(data, "pg_wal/x")
    target = destination(made, delta=True)
    assert target.clean() == [f"{data}/pg_wal"]
    target.build()
    assert os.readlink(data / "pg_wal") == str(tmp_path / "wal")


def test_only_our_version_directory_of_a_tablespace_is_cleaned(made, data, tmp_path):
    made.tablespace(16400, "fast", str(tmp_path / "space"), "5/16500")
    fill(
        tmp_path / "space",
        "PG_14_202107181/5/1",
        "note",
        f"{VERSION_DIR}/5/16500",
        f"{VERSION_DIR}/5/2",
        f"{VERSION_DIR}/6/3",
    )
    target = destination(made, delta=True)
    assert sorted(target.clean()) == [f"{tmp_path}/space/{VERSION_DIR}/{name}" for name in ("5/2", "6")]
    assert set(listing(tmp_path / "space")) >= {"PG_14_202107181/5/1", "note", f"{VERSION_DIR}/5/16500"}


# -- building


def test_everything_is_built_with_its_mode_whatever_the_umask(made, data, tmp_path):
    made.paths("pg_data/base/5/deep/er", mode=0o750)
    before = os.umask(0o077)
    try:
        destination(made).build()
    finally:
        os.umask(before)
    assert set(listing(data)) == {"base", "base/5", "base/5/deep", "base/5/deep/er", "global", "pg_tblspc", "pg_wal"}
    assert (mode(data), mode(data / "base/5/deep/er")) == (0o700, 0o750)
    again = destination(made)
    again.build()
    assert mode(data / "base/5/deep/er") == 0o750


def test_targets_links_and_what_is_missing_above_them_are_made(made, data, tmp_path):
    made.tablespace(16400, "fast", str(tmp_path / "a/b/space"), "5/16500")
    made.link("pg_data/linked", "../c/linked", mode=0o750)
    made.link("pg_data/pg_hba.conf", str(tmp_path / "d/e/hba"), file=True)
    made.files({"pg_data/linked/sub/x": b"", "pg_data/pg_hba.conf": b""})
    target = destination(made)
    target.build()
    assert os.readlink(data / "pg_tblspc/16400") == str(tmp_path / "a/b/space")
    assert os.readlink(data / "linked") == "../c/linked"
    assert os.readlink(data / "pg_hba.conf") == str(tmp_path / "d/e/hba")
    assert mode(tmp_path / "c/linked") == 0o750
    for path in ("a/b/space", f"a/b/space/{VERSION_DIR}/5", "c/linked/sub", "d/e"):
        assert (tmp_path / path).is_dir(), path
    assert target.file_path("pg_data/pg_hba.conf") == str(tmp_path / "d/e/hba")
    assert target.file_path("pg_data/linked/sub/x") == str(tmp_path / "c/linked/sub/x")
    assert target.file_path(f"pg_tblspc/16400/{VERSION_DIR}/5/16500") == str(
        tmp_path / f"a/b/space/{VERSION_DIR}/5/16500"
    )
    assert target.file_path("pg_data/base/5/16384") == str(data / "base/5/16384")
    assert set(target.sync_roots()) == {
        str(data),
        str(tmp_path / "a/b/space"),
        str(tmp_path / "c/linked"),
        str(tmp_path / "d/e"),
    }


def test_the_mode_of_a_linked_directory_is_put_right(made, data, tmp_path):
    made.link("pg_data/pg_wal", str(tmp_path / "wal"), mode=0o750)
    (tmp_path / "wal").mkdir(mode=0o777)
    destination(made, delta=True).clean()
    assert mode(tmp_path / "wal") == 0o750


def test_read_only_directories_get_their_mode_when_everything_is_in_them(made, data):
    made.paths("pg_data/certs", mode=0o500).paths("pg_data/certs/deep", mode=0o550)
    target = destination(made, delta=True)
    target.build()
    fill(data, "certs/deep/key", "certs/stray")
    target.finish()
    assert (mode(data / "certs"), mode(data / "certs/deep")) == (0o500, 0o550)
    assert target.clean() == [f"{data}/certs/deep/key", f"{data}/certs/stray"]  # they have to be writable for this
    target.finish()
    assert (mode(data / "certs"), mode(data / "certs/deep"), mode(data)) == (0o500, 0o550, 0o700)
    (data / "certs").chmod(0o700)


def test_a_place_that_cannot_be_made_is_named(made, data):
    data.parent.joinpath("file").write_bytes(b"")
    made.tablespace(16400, "fast", str(data.parent / "file/space"), "5/16500")
    with pytest.raises(PathCreateError, match="file"):
        destination(made).build()


# -- random trees


NAMES = ["a", "b", "global", "pg_control", "backup.manifest", "recovery.signal"]
KINDS = st.sampled_from(["file", "directory", "link", "pipe"])
trees = st.dictionaries(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join), KINDS, max_size=8)


def plant(root, tree, outside):
    """Make the items of a tree as far as they fit together."""
    for name in sorted(tree):
        path = root / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if tree[name] == "file":
                path.write_bytes(name.encode())
            elif tree[name] == "directory":
                path.mkdir()
            elif tree[name] == "link":
                path.symlink_to(outside)
            else:
                os.mkfifo(path)
        except OSError:
            continue


@settings(max_examples=60, deadline=None)
@given(trees, trees, st.booleans(), st.booleans(), st.booleans())
def test_a_dry_run_tells_exactly_what_is_removed_and_only_the_known_remains(there, backed_up, preserve, spaced, linked):
    scratch = HostPath(tempfile.mkdtemp())
    try:
        outside, data = scratch / "outside", scratch / "data"
        fill(outside, "precious", "sub/precious")
        data.mkdir()
        plant(data, there, outside)
        made = Made(str(data))
        files = {name for name, kind in backed_up.items() if kind in ("file", "pipe")}
        files = {name for name in files if not any(other.startswith(f"{name}/") for other in backed_up)}
        made.files({f"pg_data/{name}": b"" for name in files})
        for name in backed_up:
            parent_is_file = any(name == file or name.startswith(f"{file}/") for file in files)
            if not parent_is_file:
                made.paths(f"pg_data/{name}")
        if linked and "a" not in files:
            made.link("pg_data/a", str(scratch / "target"))
            plant(scratch / "target", there, outside)
        if spaced:
            made.tablespace(16400, "fast", str(scratch / "space"), "5/1")
            plant(scratch / "space" / VERSION_DIR, there, outside)
            plant(scratch / "space" / "other", there, outside)
        snapshot = listing(scratch)
        target = destination(made, delta=True, preserve=preserve)
        told = target.unwanted()
        assert listing(scratch) == snapshot
        assert target.clean() == told
        gone = {name for name in snapshot if any(f"{scratch}/{name}/".startswith(f"{path}/") for path in told)}
        assert listing(scratch) == {name: what for name, what in snapshot.items() if name not in gone}
        assert target.unwanted() == []
        assert not any(name.startswith(("outside", "space/other")) for name in gone)
    finally:
        shutil.rmtree(scratch)


# -- names that somebody else made up


COMPONENTS = ["..", ".", "", "a", "etc", "pg_data", "pg_tblspc", "1", "base", VERSION_DIR, "/", "a/../..", "\0"]
evil_names = st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=5).map("/".join)
heads = st.sampled_from(["pg_data/", "pg_tblspc/1/", "pg_tblspc/", "", "/", "pg_data", "pg_dat/"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["file", "path", "link", "target", "tablespace"]), heads, evil_names), max_size=4
    ),
    st.booleans(),
)
def test_whatever_a_manifest_says_nothing_happens_outside_of_its_targets(items, link_all):
    scratch = HostPath(tempfile.mkdtemp())
    try:
        data = scratch / "in/data"
        fill(scratch, "precious", "etc/precious", "in/etc/precious", "in/a")
        data.mkdir(parents=True)
        made = Made(str(data))
        made.tablespace(1, "fast", str(scratch / "in/space"), "5/1")
        manifest = made.manifest
        for kind, head, tail in items:
            name = head + tail
            if kind == "file":
                manifest.files.append(File(name, 0, STAMP))
            elif kind == "path":
                manifest.paths.append(Path(name, 0o700, None, None))
            elif kind == "link":
                manifest.links.append(Link(name, str(scratch / "etc"), None, None))
            elif kind == "target":
                manifest.targets[name] = Target(name, "link", str(scratch / "in/linked"))
                manifest.links.append(Link(name, str(scratch / "in/linked"), None, None))
            else:
                path = str(scratch / "in/other")
                manifest.targets[name] = Target(name, "link", path, tablespace_id="1", tablespace_name=tail)
        snapshot = {name: what for name, what in listing(scratch).items() if not name.startswith("in/data")}
        try:
            check_names(manifest)
            map_manifest(manifest, str(data), {}, str(scratch / "in/spaces"), {}, link_all)
            target = destination(made, delta=True)
            target.check()
            target.disarm()
            target.clean()
            target.build()
            target.finish()
        except EngineError as error:
            assert not isinstance(error, AssertionError)
        allowed = ("in/data", "in/spaces/", "in/spaces", "in/linked")
        after = {name: what for name, what in listing(scratch).items() if not name.startswith(allowed)}
        assert after == snapshot
    finally:
        shutil.rmtree(scratch)


@pytest.mark.parametrize(
    "name",
    [
        "pg_data/../x",
        "pg_data/a/../../x",
        "/etc/x",
        "x",
        "pg_data//x",
        "pg_data/./x",
        "pg_data",
        "pg_tblspc/1/cron.d/x",  # the location may be /etc: there PostgreSQL owns its version directory only
    ],
)
@pytest.mark.parametrize("kind", ["file", "path", "link"])
def test_names_that_lead_out_of_a_target_are_refused(made, name, kind):
    if kind == "file":
        made.manifest.files.append(File(name, 0, STAMP))
    elif kind == "path":
        made.manifest.paths.append(Path(name, 0o700, None, None))
    else:
        made.manifest.links.append(Link(name, "/x", None, None))
    if (kind, name) == ("path", "pg_data"):
        return
    with pytest.raises(FormatError):
        check_names(made.manifest)


# -- owners


def foreign(made, user, group):
    made.manifest.files = [File("pg_data/x", 0, STAMP, 0o600, user, group)]
    return survey_owners(made.manifest, made.manifest.targets["pg_data"].path)


@not_root
@pytest.mark.parametrize("name", ["nobody", "no-such-name", None, "zero\0byte"])
def test_an_ordinary_user_keeps_everything_and_is_told(made, name, caplog):
    owners = foreign(made, name, name)
    assert owners.of(name, name) is None
    assert len(caplog.records) == 2
    assert all((name or "unknown") in record.getMessage() for record in caplog.records)


@not_root
def test_own_names_are_not_worth_a_warning(made, caplog):
    survey_owners(made.manifest, "/")
    assert caplog.records == []


@pytest.mark.root
def test_root_gives_files_to_their_owners(made, data, caplog):
    owners = foreign(made, "nobody", "daemon")
    assert owners.of("nobody", "daemon") == (65534, 1)
    assert caplog.records == []


@pytest.mark.root
@pytest.mark.parametrize("name", ["no-such-name", None, "zero\0byte", ""])
def test_unknown_names_are_replaced_by_the_owner_of_the_data_directory(made, data, name, caplog):
    assert foreign(made, name, name).of(name, name) == (0, 0)
    data.mkdir()
    os.chown(data, 1234, 2345)
    caplog.clear()
    assert foreign(made, name, name).of(name, name) == (1234, 2345)
    assert len(caplog.records) == 2


@pytest.mark.root
def test_as_root_all_that_is_made_on_the_way_to_a_target_belongs_to_its_owner(data, tmp_path):
    made = Made(str(data))
    made.tablespace(16400, "fast", str(tmp_path / "all/fast"), "5/16500").link("pg_data/linked", str(tmp_path / "x/y"))
    manifest = made.manifest
    manifest.paths = [Path(path.name, 0o750, "daemon", "nogroup") for path in manifest.paths]
    manifest.links = [Link(link.name, link.destination, "daemon", "nogroup") for link in manifest.links]
    owners = survey_owners(manifest, str(data))
    destination(made, owners=owners).build()
    for path in ("data", "data/base", "data/linked", "data/pg_tblspc/16400", "all", "all/fast", "x", "x/y",
                 f"all/fast/{VERSION_DIR}/5"):  # fmt: skip
        info = os.lstat(tmp_path / path)
        assert (info.st_uid, info.st_gid) == owners.of("daemon", "nogroup"), path
        if not (tmp_path / path).is_symlink():
            assert mode(tmp_path / path) == 0o750, path


@pytest.mark.root
def test_as_root_cleaning_puts_owners_right(made, data):
    fill(data, "PG_VERSION", "base/5/16384")
    (data / "pg_wal").symlink_to("/wal")
    made.manifest.targets["pg_data/pg_wal"] = Target("pg_data/pg_wal", "link", "/wal")
    made.manifest.links = [Link("pg_data/pg_wal", "/wal", "daemon", "nogroup")]
    made.manifest.paths = [Path(path.name, path.mode, "daemon", "nogroup") for path in made.manifest.paths]
    for file in made.manifest.files:
        file.user, file.group = "daemon", "nogroup"
    owners = survey_owners(made.manifest, str(data))
    destination(made, delta=True, owners=owners).clean()
    for name in ("", "PG_VERSION", "base", "base/5", "base/5/16384", "pg_wal"):
        info = os.lstat(data / name)
        assert (info.st_uid, info.st_gid) == owners.of("daemon", "nogroup"), name
