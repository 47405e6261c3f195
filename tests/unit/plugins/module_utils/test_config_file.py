# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.config_file import load_sections, parse_sections
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    FileMissingError,
    FileOpenError,
    FormatError,
    PathMissingError,
    PathOpenError,
)


def parse(text):
    sections = {}
    parse_sections(text, "holdfast.conf", sections)
    return sections


def test_white_space_around_names_and_values_does_not_count():
    text = "  [ main ]  \n\n  pg1-path =  /data/main \t\r\n# comment\n   # another\nx = a = b # c\n"
    assert parse(text) == {"main": {"pg1-path": ["/data/main"], "x": ["a = b # c"]}}


def test_repeated_sections_merge_and_repeated_keys_become_lists():
    assert parse("[a]\nx=1\n[b]\ny=1\n[a]\nx=2\nz=\n") == {"a": {"x": ["1", "2"], "z": [""]}, "b": {"y": ["1"]}}


def test_a_semicolon_starts_no_comment():
    assert parse("[a]\n;x=1\n") == {"a": {";x": ["1"]}}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[a\n", 1),
        ("[]\n", 1),
        ("[ ]\n", 1),
        ("x=1\n", 1),
        ("\n# c\n\nx=1", 4),
        ("[a]\nx\n", 2),
        ("[a]\nx=1\n=1\n", 3),
        ("[a]b\n", 1),
    ],
)
def test_what_cannot_be_read_names_file_and_line(text, line):
    with pytest.raises(FormatError, match=f"holdfast.conf, line {line}: ") as caught:
        parse(text)
    assert caught.value.hint


def test_a_line_that_may_hold_a_secret_is_not_shown():
    with pytest.raises(FormatError) as caught:
        parse("[global]\nrepo1-cipher-pass hunter2\n")
    assert "hunter2" not in str(caught.value) + caught.value.hint


NAMES = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=8)
VALUES = st.text(st.characters(blacklist_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), max_size=8)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.lists(VALUES, min_size=1, max_size=3), max_size=4), max_size=4))
def test_sections_are_read_as_they_were_written(sections):
    lines = []
    for name, keys in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key}={value}" for key, values in keys.items() for value in values]
    assert parse("\n".join(lines)) == sections


@pytest.fixture
def base(tmp_path):
    """A directory like /etc/holdfast."""
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "holdfast.conf").write_text("[main]\nx=main\n")
    (tmp_path / "conf.d" / "b.conf").write_text("[main]\nx=b\n")
    (tmp_path / "conf.d" / "a.conf").write_text("[main]\nx=a\n")
    (tmp_path / "conf.d" / "empty.conf").write_text("")
    (tmp_path / "conf.d" / ".conf").write_text("not a configuration file: nothing before the dot\n")
    (tmp_path / "conf.d" / "c.conf.bak").write_text("nor is this\n")
    (tmp_path / "other.d").mkdir()
    (tmp_path / "other.d" / "o.conf").write_text("[main]\nx=other\n")
    return str(tmp_path)


@pytest.mark.parametrize(
    ("config", "no_config", "include", "has_base", "values"),
    [
        ("holdfast.conf", False, None, False, ["main"]),
        ("holdfast.conf", False, "other.d", False, ["main", "other"]),
        (None, False, None, True, ["main", "a", "b"]),
        ("conf.d/b.conf", False, None, True, ["b", "a", "b"]),
        (None, False, "other.d", True, ["main", "other"]),
        (None, True, None, False, []),
        (None, True, "other.d", False, ["other"]),
        (None, True, None, True, ["a", "b"]),
    ],
)
def test_which_files_are_read(base, config, no_config, include, has_base, values):
    sections = load_sections(
        config and f"{base}/{config}", no_config, include and f"{base}/{include}", base if has_base else None
    )
    assert sections.get("main", {}).get("x", []) == values


def test_what_is_only_looked_for_may_be_missing(tmp_path):
    assert load_sections(None, False, None, str(tmp_path / "missing")) == {}
    assert load_sections(None, True, None, str(tmp_path / "missing")) == {}


def test_what_was_given_by_name_has_to_exist(tmp_path):
    missing = str(tmp_path / "missing")
    with pytest.raises(FileMissingError, match=missing) as caught:
        load_sections(missing, False, None, None)
    assert caught.value.code == 55
    with pytest.raises(PathMissingError, match=missing) as caught:
        load_sections(None, True, missing, None)
    assert caught.value.code == 73


def test_every_file_opens_its_own_section(tmp_path):
    (tmp_path / "a.conf").write_text("[main]\n")
    (tmp_path / "b.conf").write_text("x=1\n")
    with pytest.raises(FormatError, match="b.conf, line 1"):
        load_sections(None, True, str(tmp_path), None)


def test_a_last_line_without_end_does_not_run_into_the_next_file(tmp_path):
    (tmp_path / "a.conf").write_text("[main]\nx=1")
    (tmp_path / "b.conf").write_text("[main]\ny=2")
    assert load_sections(None, True, str(tmp_path), None) == {"main": {"x": ["1"], "y": ["2"]}}


def test_what_cannot_be_read_is_an_error_that_says_why(tmp_path):
    with pytest.raises(FileOpenError, match="Is a directory"):
        load_sections(str(tmp_path), False, None, None)
    (tmp_path / "file").write_text("")
    with pytest.raises(PathOpenError, match="Not a directory"):
        load_sections(None, True, str(tmp_path / "file"), None)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_hints_at_the_user(tmp_path):
    path = tmp_path / "holdfast.conf"
    path.touch(mode=0)
    with pytest.raises(FileOpenError, match="Permission denied") as caught:
        load_sections(str(path), False, None, None)
    assert f"user id {os.geteuid()}" in caught.value.hint


def test_bytes_that_are_not_utf_8_survive(tmp_path):
    path = tmp_path / "holdfast.conf"
    path.write_bytes(b"[main]\nx=/data/\xff\n")
    assert os.fsencode(load_sections(str(path), False, None, None)["main"]["x"][0]) == b"/data/\xff"
