# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    ChecksumError,
    EngineError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import ini
from ansible_collections.holdfast.postgres.tests.unit import strategies

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "format"
SAMPLE = (FIXTURES / "reference.archive.info.bin").read_bytes()


def sealed(*lines: str, ending: str = "\n") -> bytes:
    """A document of these lines with its checksum, made as the specification words it and not as the engine does it."""
    hashed, current = "{", None
    section = ""
    for line in lines:
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line:
            key, _equals, text = line.partition("=")
            if section != current:
                hashed += ("" if current is None else "},") + f'"{section}":{{'
            else:
                hashed += ","
            current = section
            hashed += f'"{key}":{text}'
    checksum = hashlib.sha1((hashed + "}}").encode("utf-8", "surrogateescape")).hexdigest()
    whole = [*lines, "", "[backrest]", f'backrest-checksum="{checksum}"']
    return ("\n".join(whole) + ending).encode("utf-8", "surrogateescape")


def test_the_sample_of_the_specification():
    sections = ini.parse(SAMPLE)
    assert sections == {
        "backrest": {"backrest-format": 5, "backrest-version": "2.60.0dev"},
        "db": {"db-id": 1, "db-system-id": 7710940437890784280, "db-version": "15"},
        "db:history": {"1": {"db-id": 7710940437890784280, "db-version": "15"}},
    }
    assert ini.render(sections) == SAMPLE


def test_the_checksum_counts_keys_as_json_and_values_as_they_stand():
    hashed = '{"s":{"a\\"b\\\\c\\td\udcffe":  1,"f":"x\\u"}}'.replace("\\u", "\\\\")
    digest = ini.Digest()
    digest.update(
        "s", [f"{ini.render_key(chr(97) + chr(34) + 'b' + chr(92) + 'c' + chr(9) + 'd' + chr(0xDCFF) + 'e')}:  1"]
    )
    digest.update("s", [])
    digest.update("s", ['"f":"x\\\\"'])
    assert digest.hexdigest() == hashlib.sha1(hashed.encode("utf-8", "surrogateescape")).hexdigest()


def test_a_flipped_bit_anywhere_is_found():
    for position in range(len(SAMPLE)):
        for bit in range(8):
            damaged = bytearray(SAMPLE)
            damaged[position] ^= 1 << bit
            try:
                sections = ini.parse(damaged)
            except EngineError:
                continue
            # What goes unseen must not matter: an empty line fewer, or a section of the checksum that nobody reads.
            assert sections == ini.parse(SAMPLE)


@pytest.mark.parametrize("cut", [1, 60, 100, 200])
def test_a_document_that_ends_early(cut):
    with pytest.raises(EngineError):
        ini.parse(SAMPLE[: -len(SAMPLE) + cut])


def test_no_checksum():
    with pytest.raises(ChecksumError, match="no checksum"):
        ini.parse(b"[backrest]\nbackrest-format=5\n\n[db]\ndb-id=1\n")


def test_nothing_at_all():
    with pytest.raises(ChecksumError):
        ini.parse(b"")


def test_a_newer_format_is_said_to_be_newer():
    with pytest.raises(FormatError, match="not 5"):
        ini.parse(sealed("[backrest]", "backrest-format=6", 'backrest-version="3.0"'))


# -- what section 2.7 of the format says readers accept


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["[zz]", "a=1", "[db]", "b=2"], {"zz": {"a": 1}, "db": {"b": 2}}),  # sections in another order, unknown ones
        (["[db]", "a=1", "a=2"], {"db": {"a": 2}}),
        (["[db]", "a=1", "[x]", "y=1", "[db]", "b=2"], {"db": {"a": 1, "b": 2}, "x": {"y": 1}}),
        (["", "[db]", "", "", "a=1", ""], {"db": {"a": 1}}),
        (["[db]", 'a= { "x" : [ 1 , 2 ] } '], {"db": {"a": {"x": [1, 2]}}}),
        (["[db]", " a =1"], {"db": {" a ": 1}}),
        (["[db]", "a=null", "b=true", "c=false", 'd=""', "e=-5", "f={}"],
         {"db": {"a": None, "b": True, "c": False, "d": "", "e": -5, "f": {}}}),
        (["[db]", "a=18446744073709551615"], {"db": {"a": 18446744073709551615}}),
        (["[db]", 'a="\x01\x7f/\udcff"'], {"db": {"a": "\x01\x7f/\udcff"}}),
        (["[db]", r'a="\"\\\/\n\r\t\b\f"'], {"db": {"a": '"\\/\n\r\t\b\f'}}),
        (["[db]", r'a="\\u0041"'], {"db": {"a": r"\u0041"}}),
        (["[db]", '[b]={"c":1}'], {"db": {"[b]": {"c": 1}}}),
        (["[db]", "#a=1"], {"db": {"#a": 1}}),
        (["[backrest]", "[db]", "a=1"], {"db": {"a": 1}}),
    ],
)  # fmt: skip
def test_what_is_accepted(lines, expected):
    for ending in ("\n", ""):
        sections = ini.parse(sealed(*lines, ending=ending))
        assert {name: values for name, values in sections.items() if values} == expected


@pytest.mark.parametrize(
    "line",
    [
        'a={"c":1,"b":2}',
        'a={"b":1,"b":2}',
        'a={"x":{"c":1,"b":2}}',
        "a=1.5",
        "a=1e5",
        "a=NaN",
        "a=Infinity",
        "a=+1",
        "a=0x1",
        "a=tru",
        "a=",
        "a",
        "=1",
        "a=1 2",
        'a="x',
        'a={"b":1,}',
        "a=18446744073709551616",
        "a=" + "9" * 100000,
        r'a="\u00e9"',
        r'a="\\\u00e9"',
        r'a={"b\n":1}',
        r'a={"b":"\u0041"}',
        "# a comment",
        "a=\xa01",
        "a=" + '{"a":' * 100000 + "1" + "}" * 100000,
        "a=" + "[" * 100000 + "]" * 100000,
    ],
)
def test_what_is_refused(line):
    with pytest.raises(FormatError):
        ini.parse(sealed("[db]", line))


def test_carriage_returns_at_the_line_ends_are_refused():
    with pytest.raises(FormatError):
        ini.parse(SAMPLE.replace(b"\n", b"\r\n"))


def test_a_value_before_the_first_section():
    with pytest.raises(FormatError, match="does not begin with a section"):
        ini.parse(b"a=1\n" + SAMPLE)


def test_messages_do_not_show_values():
    with pytest.raises(FormatError) as caught:
        ini.parse(sealed("[cipher]", "cipher-pass=secret"))
    assert "secret" not in str(caught.value) + caught.value.hint


def test_a_line_without_end_is_not_collected_for_ever():
    pulled = []

    def chunks():
        yield b"[db]\n"
        for number in range(100):
            pulled.append(number)
            yield b"a" * (1 << 20)

    with pytest.raises(FormatError, match="longer than"):
        ini.parse_stream(chunks())
    assert len(pulled) < 20


def test_many_equal_signs_do_not_take_for_ever():
    with pytest.raises(FormatError):
        ini.parse(sealed("[db]", "a" + '={"b":' * 100000))


# -- where a key ends


@pytest.mark.parametrize(
    "key",
    [
        "pg_data/weird dir/a=b.txt",
        "pg_data/weird dir/=5=",
        'pg_data/weird dir/eq={"x":1}=y',
        "pg_data/weird dir/back\\slash",
        "pg_data/weird dir/tab\there",
        "pg_data/bad\udcffname",
        'q"uote',
        "=x",
        "[section]",
        "cr\r",
    ],
)
def test_a_key_ends_where_a_whole_value_follows(key):
    document = ini.render({"target:file": {key: {"size": 0, "timestamp": 5}}})
    assert ini.parse(document) == {"target:file": {key: {"size": 0, "timestamp": 5}}, "backrest": {}}


@given(
    strategies.manifest_names(), st.dictionaries(strategies.annotation_keys(), strategies.stored_texts(), max_size=3)
)
def test_any_file_name_and_object_come_back(name, values):
    document = ini.render({"x": {name: values}})
    assert ini.parse(document)["x"] == {name: values}


# -- writing


def test_order_is_that_of_bytes_but_for_the_history():
    keys = ["\U0001d11e", "\ue000", "\udcff", "\udc80", "é", "z", "Z", "10", "9"]
    in_order = ["10", "9", "Z", "z", "\udc80", "é", "\ue000", "\U0001d11e", "\udcff"]
    document = ini.render({"db:history": {"10": 1, "9": 1}, "b": dict.fromkeys(keys, 1), "a": {}})
    assert document.startswith(ini.encode("[b]\n" + "".join(f"{key}=1\n" for key in in_order)))
    assert b"[db:history]\n9=1\n10=1\n\n[backrest]\n" in document
    assert b"[a]" not in document


def test_a_name_with_a_line_feed_cannot_be_written():
    with pytest.raises(FormatError, match="line feed"):
        ini.render({"target:file": {"pg_data/a\nb": {}}})


@pytest.mark.parametrize("key", ['a"', "a\\", "a\n", "\x00", "k" * 67, "é" * 34])
def test_an_object_key_that_the_reference_cannot_read_is_not_written(key):
    with pytest.raises(FormatError):
        ini.render({"metadata": {"annotation": {key: "x"}}})


def test_what_json_has_and_the_format_has_not_is_a_bug():
    with pytest.raises(AssertError):
        ini.render_value(1.5)


def test_only_the_escapes_of_the_format_are_written():
    assert ini.render_value('"\\\n\r\t\b\f/\x01\x7fé\u2028') == '"\\"\\\\\\n\\r\\t\\b\\f/\x01\x7fé\u2028"'


# -- streaming


@pytest.mark.parametrize(("count", "size"), [(50, 1), (30000, 777), (30000, 1 << 30)])
def test_lines_go_to_a_handler_in_batches_whatever_the_chunks(count, size):
    lines = [f'pg_data/{number:05}={{"size":{number}}}' for number in range(count)]
    document = sealed("[a]", "x=1", "[target:file]", *lines, "[z]", "y=2")
    seen: list[str] = []

    def handler(batch):
        seen.extend(batch)
        return ['"' + line.replace("=", '":', 1) for line in batch]

    chunks = (memoryview(document)[start : start + size] for start in range(0, len(document), size))
    found = ini.parse_stream(chunks, {"target:file": handler})
    assert found.sections == {"a": {"x": 1}, "z": {"y": 2}, "backrest": {}}
    assert seen == lines


def test_what_came_twice_is_told():
    found = ini.parse_stream([sealed("[db]", "a=1", "b=1", "a=2")])
    assert found.repeated == [("db", "a")]


def test_typed_access():
    values = {"n": 5, "s": "x", "b": True, "o": {}, "null": None, "minus": -1}
    assert ini.required(values, "n", int, "w") == 5
    assert ini.optional(values, "null", str, "w") is None
    assert ini.optional(values, "missing", dict, "w") is None
    for key, kind in (("b", int), ("n", bool), ("n", str), ("s", dict), ("minus", int)):
        with pytest.raises(FormatError, match=f"w: {key} is not"):
            ini.optional(values, key, kind, "w")
    with pytest.raises(FormatError, match="w: null is missing"):
        ini.required(values, "null", str, "w")
