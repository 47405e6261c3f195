# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import ini
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    ArchiveInfo,
    PgHistory,
    parse_archive_info,
    render_archive_info,
)
from ansible_collections.holdfast.postgres.tests.unit import strategies

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "format"


@pytest.mark.parametrize("name", ["reference.archive.info.bin", "gz.archive.info.bin", "zst.archive.info.bin"])
def test_what_pgbackrest_wrote_comes_back_byte_for_byte(name):
    data = (FIXTURES / name).read_bytes()
    assert render_archive_info(parse_archive_info(data)) == data


def test_the_sample_of_the_specification():
    info = parse_archive_info((FIXTURES / "reference.archive.info.bin").read_bytes())
    assert info == ArchiveInfo((PgHistory(1, 7710940437890784280, "15"),), 1, None, "2.60.0dev")
    assert info.current.archive_id == "15-1"


def test_an_upgraded_stanza():
    info = ArchiveInfo((PgHistory(1, 7710940437890784280, "9.6"), PgHistory(2, 7710943947057234640, "18")), 2, "pass")
    assert info.current.archive_id == "18-2"
    assert b"""
[cipher]
cipher-pass="pass"

[db]
db-id=2
db-system-id=7710943947057234640
db-version="18"

[db:history]
1={"db-id":7710940437890784280,"db-version":"9.6"}
2={"db-id":7710943947057234640,"db-version":"18"}
""" in render_archive_info(info)


@given(strategies.histories(), st.none() | strategies.passphrases(), strategies.stored_texts(), st.data())
def test_round_trip(history, cipher_pass, writer, data):
    history = tuple(PgHistory(pg.id, pg.system_id, pg.version) for pg in history)
    info = ArchiveInfo(history, data.draw(st.sampled_from(history)).id, cipher_pass, writer)
    rendered = render_archive_info(info)
    assert parse_archive_info(rendered) == info
    assert render_archive_info(parse_archive_info(rendered)) == rendered


def test_the_minimum_that_readers_need():
    data = ini.render({"db": {"db-id": 3}, "db:history": {"3": {"db-id": 5, "db-version": "15"}}})
    assert parse_archive_info(data) == ArchiveInfo((PgHistory(3, 5, "15"),), 3, None, "")


def test_history_ids_sort_by_number():
    history = {str(number): {"db-id": number, "db-version": "15"} for number in (10, 9, 1)}
    info = parse_archive_info(ini.render({"db": {"db-id": 10}, "db:history": history}))
    assert [pg.id for pg in info.history] == [1, 9, 10]


@pytest.mark.parametrize(
    ("db", "history"),
    [
        ({}, {"1": {"db-id": 5, "db-version": "15"}}),
        ({"db-id": 2}, {"1": {"db-id": 5, "db-version": "15"}}),
        ({"db-id": True}, {"1": {"db-id": 5, "db-version": "15"}}),
        ({"db-id": 1}, {}),
        ({"db-id": 1}, {"1": {"db-version": "15"}}),
        ({"db-id": 1}, {"1": {"db-id": 5}}),
        ({"db-id": 1}, {"1": 5}),
        ({"db-id": 1}, {"1": {"db-id": "5", "db-version": "15"}}),
        ({"db-id": 1}, {"1": {"db-id": 5, "db-version": "../../x"}}),
        ({"db-id": 1}, {"1": {"db-id": 5, "db-version": "15/"}}),
        ({"db-id": 1}, {"1": {"db-id": 5, "db-version": "15"}, "٢": {"db-id": 5, "db-version": "15"}}),
        ({"db-id": 1}, {"1": {"db-id": 5, "db-version": "15"}, "-2": {"db-id": 5, "db-version": "15"}}),
    ],
)
def test_what_is_refused(db, history):
    lines = (("db", db), ("db:history", {key: history[key] for key in sorted(history, key=lambda key: key.encode())}))
    document = b"".join(
        ini.render_stream((name, ((key, ini.render_value(values[key])) for key in values)) for name, values in lines)
    )
    with pytest.raises(FormatError):
        parse_archive_info(document)
