# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import layout

SHA1 = "0e0a94419aae7ddf8b89d43ccca3623f45cf9715"
FULL = "20261122-102955F"


@pytest.mark.parametrize(
    ("name", "sha1", "ext", "path"),
    [
        (
            "000000020000000100000045",
            SHA1,
            ".zst",
            f"archive/main/15-1/0000000200000001/000000020000000100000045-{SHA1}.zst",
        ),
        (
            "000000020000000100000045.partial",
            SHA1,
            "",
            f"archive/main/15-1/0000000200000001/000000020000000100000045.partial-{SHA1}",
        ),
        (
            "000000020000000100000045.00000028.backup",
            "",
            "",
            "archive/main/15-1/0000000200000001/000000020000000100000045.00000028.backup",
        ),
        ("00000002.history", "", "", "archive/main/15-1/00000002.history"),
    ],
)
def test_where_a_wal_file_lies(name, sha1, ext, path):
    assert layout.wal_file("main", "15-1", name, sha1, ext) == path


def test_where_the_archive_lies():
    assert layout.archive_info("main") == "archive/main/archive.info"
    assert layout.copy_of(layout.archive_info("main")) == "archive/main/archive.info.copy"
    assert layout.wal_dir("main", "9.6-2") == "archive/main/9.6-2"
    assert layout.wal_dir("main", "15-1", "00000002.history") == "archive/main/15-1"


def test_where_a_backup_lies():
    assert layout.backup_dir("main") == "backup/main"
    assert layout.backup_info("main") == "backup/main/backup.info"
    assert layout.latest("main") == "backup/main/latest"
    assert layout.manifest("main", FULL) == f"backup/main/{FULL}/backup.manifest"
    assert layout.restore_conf("main", FULL) == f"backup/main/{FULL}/restore.conf"
    assert layout.bundle("main", FULL, 12) == f"backup/main/{FULL}/bundle/12"
    assert layout.stored_file("main", FULL, "pg_data/base/1/112", ".gz") == f"backup/main/{FULL}/pg_data/base/1/112.gz"
    assert layout.block_file("main", FULL, "pg_data/base/1/112") == f"backup/main/{FULL}/pg_data/base/1/112.pgbi"
    label = f"{FULL}_20261122-103252D"
    assert layout.history_manifest("main", label) == f"backup/main/backup.history/2026/{label}.manifest.gz"


@pytest.mark.parametrize("ext", ["", ".gz", ".lz4", ".zst", ".bz2"])
@pytest.mark.parametrize("name", ["000000020000000100000045", "000000020000000100000045.partial"])
def test_a_stored_segment_is_recognised(name, ext):
    stored = layout.parse_wal_name(f"{name}-{SHA1}{ext}")
    assert stored == (name, SHA1, ext, name.endswith(".partial"))
    assert stored.file_name == f"{name}-{SHA1}{ext}"


@pytest.mark.parametrize(
    "name",
    [
        "000000020000000100000045",
        f"000000020000000100000045-{SHA1[:-1]}",
        f"000000020000000100000045-{SHA1.upper()}",
        f"00000002000000010000004g-{SHA1}",
        f"00000002000000010000000a-{SHA1}",
        f"000000020000000100000045-{SHA1}.xz",
        f"000000020000000100000045-{SHA1}.gz.pgbackrest.tmp",
        f"000000020000000100000045-{SHA1}\n",
        f"000000020000000100000045.00000028.backup-{SHA1}",
        f"00000002.history-{SHA1}",
    ],
)
def test_other_names_in_the_archive_are_no_segments(name):
    assert layout.parse_wal_name(name) is None


def test_what_postgresql_calls_its_files():
    kinds = (layout.is_segment, layout.is_partial, layout.is_history, layout.is_backup_history)
    names = {
        "000000020000000100000045": layout.is_segment,
        "000000020000000100000045.partial": layout.is_partial,
        "0000000A.history": layout.is_history,
        "000000020000000100000045.00000028.backup": layout.is_backup_history,
        "0000000200000001": None,
        "00000002000000010000004a": None,
        "000000020000000100000045.ready": None,
        "000000020000000100000045\n": None,
        "RECOVERYXLOG": None,
    }
    for name, expected in names.items():
        assert [kind for kind in kinds if kind(name)] == ([expected] if expected else [])


def test_directories_of_the_archive():
    assert layout.parse_archive_id("15-1") == ("15", 1)
    assert layout.parse_archive_id("9.6-12") == ("9.6", 12)
    for name in ("archive.info", "15", "15-", "15-0", "-1", "15-1/..", "15-1\n"):
        assert layout.parse_archive_id(name) is None
    assert layout.is_wal_dir("0000000200000001")
    assert not layout.is_wal_dir("00000002.history")
    assert not layout.is_wal_dir("000000020000000100000045")
