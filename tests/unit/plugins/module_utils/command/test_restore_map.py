# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_map import (
    map_manifest,
    target_path,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    FormatError,
    LinkDestinationError,
    LinkMapError,
    TablespaceMapError,
)

from .builders import USER, Made

OLD, NEW = "/old/data", "/new/data"


@pytest.fixture
def made():
    """A cluster with two tablespaces, a linked directory, a linked file, and plain ones."""
    made = Made(OLD)
    made.files(
        {"pg_data/PG_VERSION": b"15", "pg_data/pg_wal/x": b"", "pg_data/conf.d/a.conf": b"", "pg_data/plain": b""}
    )
    made.tablespace(16400, "fast", "/ssd/ts", "5/16500").tablespace(16401, "slow", "/hdd/ts", "5/16501")
    made.link("pg_data/linked", "/mnt/linked").link("pg_data/pg_hba.conf", "../conf/pg_hba.conf", file=True)
    made.files({"pg_data/linked/x": b"", "pg_data/pg_hba.conf": b""})
    return made


def mapped(made, **options):
    arguments = {"tablespace_map": {}, "tablespace_map_all": None, "link_map": {}, "link_all": True, **options}
    return map_manifest(made.manifest, NEW, **arguments)


def places(made):
    return {name: target_path(made.manifest, name, NEW) for name in made.manifest.targets}


def links(made):
    return {link.name: link.destination for link in made.manifest.links}


UNMAPPED = {
    "pg_data": NEW, "pg_tblspc/16400": "/ssd/ts", "pg_tblspc/16401": "/hdd/ts", "pg_data/linked": "/mnt/linked",
    "pg_data/pg_hba.conf": "/new/conf/pg_hba.conf",
}  # fmt: skip


def test_with_link_all_everything_but_the_data_directory_stays_where_it_was(made):
    before = links(made)
    result = mapped(made)
    assert places(made) == UNMAPPED and links(made) == before
    assert len(result.notes) == 1 and NEW in result.notes[0]
    assert result.warnings == []


def test_the_same_place_is_not_worth_a_note():
    made = Made(NEW).files({"pg_data/PG_VERSION": b"15"})
    assert mapped(made) == ([], [])


# -- tablespaces


@pytest.mark.parametrize("key", ["fast", "16400"])
def test_a_tablespace_is_mapped_by_name_or_by_oid(made, key):
    result = mapped(made, tablespace_map={key: "/else/where"})
    assert places(made) == {**UNMAPPED, "pg_tblspc/16400": "/else/where"}
    assert links(made)["pg_data/pg_tblspc/16400"] == "/else/where"
    assert links(made)["pg_data/pg_tblspc/16401"] == "/hdd/ts"
    assert any("/else/where" in note for note in result.notes)


def test_by_name_and_by_oid_must_agree(made):
    with pytest.raises(TablespaceMapError, match="16400"):
        mapped(made, tablespace_map={"fast": "/a", "16400": "/b"})


def test_by_name_and_by_oid_may_agree(made):
    mapped(made, tablespace_map={"fast": "/a", "16400": "/a"})
    assert places(made)["pg_tblspc/16400"] == "/a"


@pytest.mark.parametrize("key", ["medium", "16402", ""])
def test_a_tablespace_that_is_not_there_cannot_be_mapped(made, key):
    with pytest.raises(TablespaceMapError, match=repr(key)) as caught:
        mapped(made, tablespace_map={"fast": "/a", key: "/b"})
    assert caught.value.hint


def test_all_tablespaces_go_below_a_path_but_for_those_that_are_mapped(made):
    mapped(made, tablespace_map={"slow": "/slow"}, tablespace_map_all="/all")
    assert places(made)["pg_tblspc/16400"] == "/all/fast"
    assert places(made)["pg_tblspc/16401"] == "/slow"
    assert links(made)["pg_data/pg_tblspc/16400"] == "/all/fast"


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", ".", "", "/"])
def test_a_tablespace_name_that_leads_out_of_the_path_is_refused(name):
    made = Made(OLD).tablespace(16400, name, "/ssd/ts", "5/16500")
    with pytest.raises(FormatError) as caught:
        mapped(made, tablespace_map_all="/all")
    assert "tablespace-map=16400" in caught.value.hint
    mapped(made, tablespace_map={"16400": "/else"}, tablespace_map_all="/all")
    assert places(made)["pg_tblspc/16400"] == "/else"


@pytest.mark.parametrize("path", [NEW, f"{NEW}/ts", "/hdd/ts", "/hdd/ts/below", "/hdd"])
def test_a_tablespace_must_not_overlap_anything(made, path):
    with pytest.raises(LinkDestinationError):
        mapped(made, tablespace_map={"fast": path})


# -- links


def test_links_nobody_asked_for_become_plain_items_with_a_warning_each(made):
    result = mapped(made, link_all=False)
    assert set(places(made)) == {"pg_data", "pg_tblspc/16400", "pg_tblspc/16401"}
    assert set(links(made)) == {"pg_data/pg_tblspc/16400", "pg_data/pg_tblspc/16401"}
    assert made.manifest.file("pg_data/pg_hba.conf") and made.manifest.file("pg_data/linked/x")
    assert any(path.name == "pg_data/linked" for path in made.manifest.paths)
    assert sorted("linked" in warning for warning in result.warnings) == [False, True]


@pytest.mark.parametrize("link_all", [True, False])
def test_a_link_gets_a_new_destination(made, link_all):
    mapped(made, link_map={"linked": "/else/linked", "pg_hba.conf": "/etc/pg/hba"}, link_all=link_all)
    assert places(made) == {**UNMAPPED, "pg_data/linked": "/else/linked", "pg_data/pg_hba.conf": "/etc/pg/hba"}
    assert links(made)["pg_data/linked"] == "/else/linked"
    assert links(made)["pg_data/pg_hba.conf"] == "/etc/pg/hba"


def test_a_relative_destination_stays_as_it_is_and_starts_at_the_link(made):
    mapped(made, link_map={"linked": "../beside", "conf.d": "../conf.d", "pg_hba.conf": "../etc/hba"})
    assert links(made)["pg_data/linked"] == "../beside"
    assert places(made)["pg_data/linked"] == "/new/beside"
    assert places(made)["pg_data/conf.d"] == "/new/conf.d"
    assert places(made)["pg_data/pg_hba.conf"] == "/new/etc/hba"


def test_a_plain_directory_or_file_becomes_a_link(made):
    result = mapped(made, link_map={"pg_wal": "/mnt/wal", "plain": "/mnt/files/plain"})
    assert places(made)["pg_data/pg_wal"] == "/mnt/wal"
    assert made.manifest.targets["pg_data/pg_wal"].file is None
    assert (made.manifest.targets["pg_data/plain"].path, made.manifest.targets["pg_data/plain"].file) == (
        "/mnt/files",
        "plain",
    )
    owners = {link.name: link.user for link in made.manifest.links}
    assert owners["pg_data/pg_wal"] == owners["pg_data/plain"] == USER
    assert len(result.notes) == 3


@pytest.mark.parametrize(
    ("link_map", "hint"),
    [
        ({"nothing": "/x"}, "relative to the data directory"), ({"../data/pg_wal": "/x"}, "relative"),
        ({"/pg_wal": "/x"}, "relative"), ({"": "/x"}, "relative"), ({"pg_tblspc/16400": "/x"}, "tablespace-map"),
        ({"pg_tblspc/1": "/x"}, "tablespace-map"), ({"pg_hba.conf": "pg_hba"}, "directory and a file name"),
        ({"pg_hba.conf": "/pg_hba"}, "directory and a file name"), ({"pg_hba.conf": "/a/b/"}, "directory and a file"),
        ({"plain": "x"}, "directory and a file name"),
    ],
)  # fmt: skip
def test_what_cannot_be_mapped(made, link_map, hint):
    with pytest.raises(LinkMapError) as caught:
        mapped(made, link_map=link_map)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "link_map",
    [{"linked": f"{NEW}/inside"}, {"pg_wal": "/ssd/ts/wal"}, {"pg_wal": "/mnt/linked"}, {"pg_wal": "pg_wal2"},
     {"plain": "/mnt/linked/plain"}, {"plain": "../conf/pg_hba.conf"}],
)  # fmt: skip
def test_a_mapped_link_must_not_overlap_anything(made, link_map):
    with pytest.raises(LinkDestinationError):
        mapped(made, link_map=link_map)


def test_links_that_are_dissolved_overlap_nothing(made):
    mapped(made, tablespace_map={"fast": "/mnt/linked"}, link_all=False)
    assert places(made)["pg_tblspc/16400"] == "/mnt/linked"
