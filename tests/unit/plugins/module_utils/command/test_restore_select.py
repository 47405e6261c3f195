# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_select import (
    is_zeroed,
    zeroed_databases,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    DbInvalidError,
    DbMissingError,
    FormatError,
)

from .builders import Made


@pytest.fixture
def manifest():
    """Databases app (16385), audit (16390, only in a tablespace), 99 (16395); and one that has no name any more."""
    made = Made("/data")
    for oid in (1, 4, 5, 16385, 16395, 16399):
        made.files({f"pg_data/base/{oid}/PG_VERSION": b"15", f"pg_data/base/{oid}/112": b"x"})
    made.tablespace(16400, "fast", "/ts", "16390/PG_VERSION", "16390/16500")
    names = {"template1": 1, "template0": 4, "postgres": 5, "app": 16385, "audit": 16390, "99": 16395, "gone": 16398}
    made.manifest.databases = {name: (oid, 4) for name, oid in names.items()}
    return made.manifest


@pytest.mark.parametrize(
    ("include", "exclude", "zeroed"),
    [
        ([], [], set()),
        (["app"], [], {16390, 16395, 16399}), (["16385"], [], {16390, 16395, 16399}),
        (["app", "audit", "99", "16399"], [], set()), (["99"], [], {16385, 16390, 16399}),
        ([], ["app"], {16385}), ([], ["app", "16390"], {16385, 16390}), ([], ["postgres"], {5}), ([], ["1"], {1}),
        (["app"], ["audit"], {16390, 16395, 16399}), (["app"], ["postgres"], {5, 16390, 16395, 16399}),
    ],
)  # fmt: skip
def test_which_databases_become_holes(manifest, include, exclude, zeroed):
    assert zeroed_databases(manifest, include, exclude) == zeroed


@pytest.mark.parametrize(
    ("include", "exclude", "kind", "name"),
    [
        (["nope"], [], DbMissingError, "nope"), ([], ["12345"], DbMissingError, "12345"),
        (["gone"], [], DbMissingError, "gone"),  # the name of a database that was dropped while it was backed up
        (["\u00b2"], [], DbMissingError, "\u00b2"), (["postgres"], [], DbInvalidError, "postgres"),
        (["app", "4"], [], DbInvalidError, "4"), (["app"], ["16385"], DbInvalidError, "app"),
    ],
)  # fmt: skip
def test_what_cannot_be_chosen(manifest, include, exclude, kind, name):
    with pytest.raises(kind, match=name) as caught:
        zeroed_databases(manifest, include, exclude)
    assert caught.value.hint


def test_an_offline_backup_knows_databases_by_number(manifest):
    manifest.databases = {}
    assert zeroed_databases(manifest, ["16385"], []) == {16390, 16395, 16399}
    with pytest.raises(DbMissingError):
        zeroed_databases(manifest, ["app"], [])


def test_no_databases_at_all():
    with pytest.raises(FormatError):
        zeroed_databases(Made("/data").files({"pg_data/PG_VERSION": b"15"}).manifest, [], ["app"])


@pytest.mark.parametrize(
    ("name", "zeroed"),
    [
        ("pg_data/base/16385/16500", True), ("pg_data/base/16385/pg_filenode.map", True),
        ("pg_data/base/16385/sub/x", True), ("pg_tblspc/1/PG_15_202209061/16385/7", True),
        ("pg_data/base/16385/PG_VERSION", False), ("pg_tblspc/1/PG_15_202209061/16385/PG_VERSION", False),
        ("pg_data/base/163850/7", False), ("pg_data/base/16386/7", False), ("pg_data/global/16385", False),
        ("pg_data/base/16385", False), ("pg_data/x/base/16385/7", False),
    ],
)  # fmt: skip
def test_which_files_become_holes(name, zeroed):
    assert is_zeroed(name, frozenset([16385])) == zeroed
    assert not is_zeroed(name, frozenset())
