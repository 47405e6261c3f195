# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import ini
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import (
    BackupEntry,
    BackupInfo,
    entry_of,
    parse_backup_info,
    render_backup_info,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    File,
    Manifest,
    parse_manifest,
)
from ansible_collections.holdfast.postgres.tests.unit import strategies

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "format"
STORES = ("gz", "zst", "block")
FULL = "20261122-103002F"


@pytest.mark.parametrize("store", STORES)
def test_what_pgbackrest_wrote_comes_back_byte_for_byte(store):
    data = (FIXTURES / f"{store}.backup.info.bin").read_bytes()
    info = parse_backup_info(data)
    assert render_backup_info(info) == data
    assert [entry.type for entry in info.backups.values()] == ["full", "diff", "incr"]
    assert {entry.full for entry in info.backups.values()} == {next(iter(info.backups))}
    assert info.current.archive_id == "15-1"


@pytest.mark.parametrize("name", ["gz.full", "gz.incr", "zst.incr", "block.incr"])
def test_an_entry_can_be_rebuilt_from_the_manifest(name):
    manifest = parse_manifest((FIXTURES / f"{name}.manifest.bin").read_bytes())
    info = parse_backup_info((FIXTURES / f"{name.split('.')[0]}.backup.info.bin").read_bytes())
    assert entry_of(manifest) == info.backups[manifest.label]


def test_the_line_of_the_specification():
    line = (
        '20261122-103002F_20261122-103228I={"backrest-format":5,"backrest-version":"2.60.0dev","backup-annotation":'
        '{"round":"1"},"backup-archive-start":"00000001000000000000004F","backup-archive-stop":'
        '"000000010000000000000050","backup-error":true,"backup-info-repo-size":6237690,"backup-info-repo-size-delta":'
        '2627136,"backup-info-size":50453289,"backup-info-size-delta":18563354,"backup-lsn-start":"0/4F00028",'
        '"backup-lsn-stop":"0/5000050","backup-prior":"20261122-103002F","backup-reference":["20261122-103002F"],'
        '"backup-timestamp-start":1795343548,"backup-timestamp-stop":1795343550,"backup-type":"incr","db-id":1,'
        '"option-archive-check":true,"option-archive-copy":false,"option-backup-standby":false,'
        '"option-checksum-page":true,"option-compress":true,"option-hardlink":false,"option-online":true}'
    )
    entry = BackupEntry(
        label="20261122-103002F_20261122-103228I",
        type="incr",
        prior=FULL,
        reference=(FULL,),
        timestamp_start=1795343548,
        timestamp_stop=1795343550,
        archive_start="00000001000000000000004F",
        archive_stop="000000010000000000000050",
        lsn_start="0/4F00028",
        lsn_stop="0/5000050",
        size=50453289,
        size_delta=18563354,
        repo_size=6237690,
        repo_size_delta=2627136,
        error=True,
        annotation={"round": "1"},
        pg_id=1,
        writer="2.60.0dev",
        option_archive_check=True,
        option_checksum_page=True,
        option_compress=True,
        option_online=True,
    )
    info = BackupInfo((PgHistory(1, 7, "15", 1300, 202209061),), 1, {entry.label: entry})
    rendered = render_backup_info(info)
    assert f"\n{line}\n".encode() in rendered
    assert parse_backup_info(rendered) == info


@given(
    strategies.histories(),
    st.lists(strategies.backup_entries(), max_size=3),
    st.none() | strategies.passphrases(),
    st.data(),
)
def test_round_trip(history, entries, cipher_pass, data):
    info = BackupInfo(history, data.draw(st.sampled_from(history)).id, {}, cipher_pass)
    for entry in entries:
        info = info.with_backup(entry)
    rendered = render_backup_info(info)
    assert parse_backup_info(rendered) == info
    assert render_backup_info(parse_backup_info(rendered)) == rendered
    assert list(info.backups) == sorted({entry.label for entry in entries})


def test_backups_come_and_go():
    info = parse_backup_info((FIXTURES / "gz.backup.info.bin").read_bytes())
    full, diff, incr = info.backups
    assert list(info.without([diff, incr, "20000101-000000F"]).backups) == [full]
    again = info.without([full]).with_backup(info.backups[full])
    assert again == info
    assert list(again.backups) == [full, diff, incr]
    annotated = dataclasses.replace(info.backups[diff], annotation={"keep": "yes"})
    assert info.with_backup(annotated).backups[diff].annotation == {"keep": "yes"}
    assert not info.backups[diff].annotation


def test_sums():
    """Nothing stored counts as the plain size, a reference only in the totals, one bad page anywhere is an error."""
    files = [
        File("pg_data/a", 100, 1, repo_size=40, block_map_size=7),
        File("pg_data/b", 50, 1, repo_size=20, block_map_size=3, reference=FULL, checksum_page=False),
        File("pg_data/c", 30, 1, repo_size=0),
        File("pg_data/d", 0, 1, repo_size=20, checksum_page=True),
    ]
    label = f"{FULL}_20261122-103228I"
    reference = ["20261122-103001F", "20261122-100000F", label]
    manifest = Manifest(label, "incr", PgHistory(4, 7, "15"), prior=FULL, files=files, reference=reference)
    entry = entry_of(manifest)
    assert (entry.size, entry.size_delta, entry.repo_size, entry.repo_size_delta) == (180, 130, 110, 90)
    assert (entry.repo_size_map, entry.repo_size_map_delta) == (None, None)
    assert entry.error is True
    assert entry.pg_id == 4
    assert entry.reference == ("20261122-100000F", "20261122-103001F")
    manifest.block_incr = True
    entry = entry_of(manifest)
    assert (entry.repo_size_map, entry.repo_size_map_delta) == (10, 7)
    assert entry_of(Manifest(FULL, "full", PgHistory(4, 7, "15"), reference=[FULL])).error is False


REQUIRED = (
    "backrest-format", "backrest-version", "backup-info-repo-size", "backup-info-repo-size-delta", "backup-info-size",
    "backup-info-size-delta", "backup-timestamp-start", "backup-timestamp-stop", "backup-type", "db-id",
    "option-archive-check", "option-archive-copy", "option-backup-standby", "option-checksum-page", "option-compress",
    "option-hardlink", "option-online",
)  # fmt: skip


@pytest.mark.parametrize("key", ["", *REQUIRED])
def test_exactly_what_is_required_must_be_there(key):
    sections = ini.parse((FIXTURES / "gz.backup.info.bin").read_bytes())
    label, entry = next(iter(sections["backup:current"].items()))
    reduced = {name: entry[name] for name in REQUIRED if name != key}
    sections["backup:current"] = {label: reduced}
    del sections["backrest"]
    if not key:
        assert parse_backup_info(ini.render(sections)).backups[label].archive_start is None
        return
    with pytest.raises(FormatError, match=f"{key} is missing"):
        parse_backup_info(ini.render(sections))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backup-type", "other"),
        ("backup-prior", "../x"),
        ("backup-reference", ["../x"]),
        ("backup-reference", FULL),
        ("backup-reference", [5]),
        ("backup-archive-start", "../x"),
        ("backup-archive-stop", 5),
        ("backup-annotation", {"a": 5}),
        ("backup-info-size", -1),
        ("backup-error", 0),
    ],
)
def test_an_entry_that_is_refused(key, value):
    sections = ini.parse((FIXTURES / "gz.backup.info.bin").read_bytes())
    label, entry = next(iter(sections["backup:current"].items()))
    entry[key] = value
    with pytest.raises(FormatError, match=label):
        parse_backup_info(ini.render(sections))


def test_a_name_that_is_no_label():
    sections = ini.parse((FIXTURES / "gz.backup.info.bin").read_bytes())
    sections["backup:current"]["../x"] = next(iter(sections["backup:current"].values()))
    with pytest.raises(FormatError, match="not an entry of a backup"):
        parse_backup_info(ini.render(sections))


@pytest.mark.parametrize("key", ["db-catalog-version", "db-control-version", "db-system-id", "db-version"])
def test_the_history_needs_all_four_keys(key):
    sections = ini.parse((FIXTURES / "gz.backup.info.bin").read_bytes())
    del sections["db:history"]["1"][key]
    with pytest.raises(FormatError, match="missing"):
        parse_backup_info(ini.render(sections))
