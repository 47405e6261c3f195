# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import dataclasses
import gc
import hashlib
import pathlib
import re

import pytest
from hypothesis import given, settings

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    AssertError,
    ChecksumError,
    EngineError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import ini
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    PgHistory,
    parse_archive_info,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import parse_backup_info
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    Attributes,
    File,
    Link,
    Manifest,
    Path,
    Target,
    parse_manifest,
    render_manifest,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest_file import (
    EMPTY_SHA1,
    FileReader,
    render_file,
)
from ansible_collections.holdfast.postgres.tests.unit import strategies

FIXTURES = pathlib.Path(__file__).parents[3] / "fixtures" / "format"
REAL = ("gz.full", "gz.incr", "zst.incr", "block.incr")
FULL = "20261122-113218F"


def load(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def rendered(manifest: Manifest) -> bytes:
    return b"".join(render_manifest(manifest))


def edited(old: str, new: str, name: str = "reference.manifest.bin") -> bytes:
    """A document with one change and the checksum that it then should have."""
    text = ini.encode(load(name).decode("utf-8", "surrogateescape").replace(old, new, 1))
    assert text != load(name)
    return resealed(text)


def resealed(document: bytes) -> bytes:
    with pytest.raises(ChecksumError) as caught:
        parse_manifest(document)
    checksum = re.search("computed one ([0-9a-f]{40})", caught.value.message)[1]
    return re.sub(rb'(backrest-checksum=")[0-9a-f]{40}', rb"\g<1>" + checksum.encode(), document)


# -- real documents


@pytest.mark.parametrize(
    "name", ["reference.manifest.bin", *(f"{name}.manifest.bin" for name in REAL), "running.manifest.copy.bin"]
)
def test_what_pgbackrest_wrote_comes_back_byte_for_byte(name):
    data = load(name)
    assert rendered(parse_manifest(data)) == data


@pytest.mark.parametrize(
    "name", ["reference.manifest.bin", *(f"{name}.manifest.bin" for name in REAL), "running.manifest.copy.bin"]
)
def test_defaults_are_those_of_the_data_directory(name):
    manifest = parse_manifest(load(name))
    manifest.file_default = manifest.path_default = manifest.link_default = None
    assert rendered(manifest) == load(name)


@pytest.mark.parametrize("size", [1, 100, 4096])
def test_chunks_may_be_cut_anywhere(size):
    data = load("block.incr.manifest.bin")
    buffer = bytearray(size)

    def chunks():
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            buffer[: len(piece)] = piece
            yield memoryview(buffer)[: len(piece)]

    assert parse_manifest(chunks()) == parse_manifest(data)


def test_the_sample_of_the_specification():
    manifest = parse_manifest(load("reference.manifest.bin"))
    assert manifest.label == manifest.reference[-1] == FULL
    assert (manifest.type, manifest.prior, manifest.archive_start) == ("full", None, None)
    assert (manifest.bundle, manifest.bundle_raw, manifest.block_incr) == (True, True, True)
    assert manifest.pg == PgHistory(1, 7710940437890784280, "15", 1300, 202209061)
    assert manifest.options["option-compress-type"] == "gz"
    assert manifest.annotation == {"owner": "ops"}
    assert manifest.targets == {
        "pg_data": Target("pg_data", "path", "/var/lib/pg/demo"),
        "pg_data/l.conf": Target("pg_data/l.conf", "link", "/etc/pg", "l.conf"),
        "pg_tblspc/16384": Target("pg_tblspc/16384", "link", "/mnt/ts1", None, "16384", "ts16384"),
    }
    assert manifest.links == [
        Link("pg_data/l.conf", "/etc/pg/l.conf", "postgres", "postgres"),
        Link("pg_data/pg_tblspc/16384", "/mnt/ts1", "postgres", "postgres"),
    ]
    assert manifest.paths[:2] == [
        Path("pg_data", 0o700, "postgres", "postgres"),
        Path("pg_data/base", 0o755, "postgres", "postgres"),
    ]
    assert manifest.root == manifest.paths[0]
    assert manifest.known_file("pg_data/base/1/101") == File(
        "pg_data/base/1/101", 20000, 1795000000, 0o600, "postgres", "postgres",
        bytes.fromhex("c53d1f45b3d927b822ded0b180432bb4bf932c40"),
        bytes.fromhex("0687502a30e4aeff35a2818c8b29fdbfecc0186b"),
        20038, None, 1, 0, None, None, 8192, 6, 27,
    )  # fmt: skip
    empty = manifest.known_file("pg_data/empty")
    assert (empty.checksum, empty.repo_size, empty.bundle_id) == (EMPTY_SHA1, 0, 0)
    assert hashlib.sha1(b"").digest() == EMPTY_SHA1
    assert manifest.file("pg_data/none") is None


def test_a_running_backup_has_neither_ids_nor_checksums():
    manifest = parse_manifest(load("running.manifest.copy.bin"))
    assert (manifest.pg.id, manifest.pg.system_id, manifest.timestamp_stop) == (0, 0, 0)
    assert all(file.checksum is None for file in manifest.files if file.size)


def test_a_negative_compress_level():
    manifest = parse_manifest(load("zst.incr.manifest.bin"))
    assert manifest.options["option-compress-level"] == -3
    assert b"option-compress-level=4294967293\n" in rendered(manifest)


def test_names_are_kept_to_the_byte():
    names = [file.name for file in parse_manifest(load("gz.full.manifest.bin")).files]
    for name in (
        "a=b.txt",
        "=5=",
        'eq={"x":1}=y',
        "back\\slash",
        "tab\there",
        "bad\udcffname",
        "ctl\x01\x0b",
        "\udcff",
    ):
        assert f"pg_data/weird dir/{name}" in names
    assert names == sorted(names, key=lambda name: name.encode("utf-8", "surrogateescape"))


# -- lines of files

LINES = [
    '{"bi":1,"bim":2470,"checksum":"f5ccd4581f4213b7601960e34bd3654d6fb4ff5c","checksum-page":true,'
    '"rck":"25c3120b04de69af08a37a3806eeea234e5afd8c","repo-size":597323,"size":3350528,"timestamp":1795343258}',
    '{"bi":4,"bic":7,"bim":61,"bni":1,"bno":1272013,"checksum":"68ab0b572821862c845ce852a2c68d07fd30d6cd",'
    '"checksum-page":true,"rck":"da475cb673b24fc0dea0b5484a600fd6e2a3806b","repo-size":82731,"size":204800,'
    '"timestamp":1794047284}',
    '{"checksum":"98cd874373e642662717b5f78f1340d865e393a9","checksum-page":false,"checksum-page-error":[[3,5],9],'
    '"size":139264,"timestamp":1795343284}',
    '{"checksum-page":true,"rck":"46c6643f07aa7f6bfe7118de926b86defc5087c4","repo-size":20,"size":0,'
    '"timestamp":1795343258}',
    '{"checksum":"36090011749a361a4ca732049367319b0fc4ebb7","repo-size":1207,"size":1048576,"timestamp":1795343965}',
    '{"checksum":"11f6ad8ec52a2984abaafd7c3b516503785c2072","group":false,"mode":"0644","size":1,'
    '"timestamp":1795343284,"user":false}',
    '{"bi":1,"bim":40,"bni":1,"bno":471,"checksum":"7c591b473def016163ad7b84b837ebbb160ecd72",'
    '"rck":"b8bef8b5f8ff8ed178447590589855222d7e6f48","reference":"20261122-104141F","repo-size":534,"size":40000,'
    '"timestamp":1795344132}',
    '{"bi":1,"size":0,"szo":300000,"timestamp":1795344132}',
    '{"checksum":"7c591b473def016163ad7b84b837ebbb160ecd72","group":"a\\"b","size":305000,"szo":300000,'
    '"timestamp":-1,"user":"\u00fcn\u00efx"}',
]  # fmt: skip


@pytest.mark.parametrize("text", LINES)
@pytest.mark.parametrize("name", ["pg_data/base/1/2", "pg_data/o=dd"])
def test_lines_seen_in_real_manifests(name, text):
    """The same under a plain name, which the fast way reads, and under one that only the slow way can read."""
    default = Attributes(0o600, "postgres", "postgres")
    reader = FileReader()
    assert reader([f"{name}={text}"]) == [f'"{name}":{text}']
    (file,) = reader.finish(default)
    assert render_file(file, default) == text


def test_both_ways_of_reading_agree():
    default = Attributes(0o600, "postgres", "postgres")
    fast, slow = FileReader(), FileReader()
    fast([f"pg_data/x={text}" for text in LINES])
    slow([f"pg_data/x= {text}" for text in LINES])
    assert fast.finish(default) == slow.finish(default)


@pytest.mark.parametrize(
    "text",
    [
        '{"timestamp":1}',
        '{"size":1}',
        '{"size":-1,"timestamp":1}',
        '{"size":01,"timestamp":1}',
        '{"size":true,"timestamp":1}',
        '{"size":"1","timestamp":1}',
        '{"size":1,"timestamp":"1"}',
        '{"timestamp":1,"size":1}',
        '{"checksum":"98cd","size":1,"timestamp":1}',
        '{"checksum":"98CD874373E642662717B5F78F1340D865E393A9","size":1,"timestamp":1}',
        '{"mode":"644","size":1,"timestamp":1}',
        '{"mode":"0888","size":1,"timestamp":1}',
        '{"mode":420,"size":1,"timestamp":1}',
        '{"size":1,"timestamp":1,"user":true}',
        '{"size":1,"timestamp":1,"user":5}',
        '{"reference":5,"size":1,"timestamp":1}',
        '{"bi":1,"bic":5,"size":1,"timestamp":1}',
        '{"bi":1,"bic":17,"size":1,"timestamp":1}',
        '{"bi":-1,"size":1,"timestamp":1}',
        '{"checksum-page":1,"size":1,"timestamp":1}',
        '{"checksum-page-error":5,"size":1,"timestamp":1}',
        '{"checksum-page-error":["5"],"size":1,"timestamp":1}',
        '{"checksum-page-error":[[1,2,3]],"size":1,"timestamp":1}',
        '{"checksum-page-error":[[2,1]],"size":1,"timestamp":1}',
        '{"checksum-page-error":[-1],"size":1,"timestamp":1}',
        "5",
        "[]",
    ],
)
def test_a_line_that_is_refused(text):
    with pytest.raises(FormatError, match="pg_data/x"):
        FileReader()([f"pg_data/x={text}"])


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ('{"bic":9,"size":1,"timestamp":1}', "block_checksum_size", 6),
        ('{"bno":9,"size":1,"timestamp":1}', "bundle_offset", 0),
        ('{"size":1,"timestamp":1,"zz":5}', "size", 1),
        ('{ "size" : 1 , "timestamp":1}', "size", 1),
        ('{"checksum":null,"size":1,"timestamp":1}', "checksum", None),
    ],
)
def test_what_is_read_over(text, attribute, value):
    reader = FileReader()
    reader([f"pg_data/x={text}"])
    assert getattr(reader.files[0], attribute) == value


# -- whole manifests


@settings(max_examples=60)
@given(strategies.manifests())
def test_round_trip(manifest):
    first = rendered(manifest)
    parsed = parse_manifest(first)
    assert rendered(parsed) == first
    for field in dataclasses.fields(Manifest):
        if not field.name.endswith("_default"):
            if field.name in ("paths", "links"):
                by_name = sorted(getattr(manifest, field.name), key=lambda item: item.name.encode())
                assert getattr(parsed, field.name) == by_name
            else:
                assert getattr(parsed, field.name) == getattr(manifest, field.name), field.name


def test_a_flipped_bit_is_found():
    data = load("reference.manifest.bin")
    for position in range(0, len(data), 7):
        damaged = bytearray(data)
        damaged[position] ^= 1 << position % 8
        with pytest.raises(EngineError):
            parse_manifest(damaged)


def test_sections_and_lines_in_another_order():
    sections = load("reference.manifest.bin").decode().split("\n\n")
    head, files, others, tail = sections[0], sections[6], sections[1:6] + sections[7:-1], sections[-1]
    assert files.startswith("[target:file]")
    title, *lines = files.split("\n")
    mixed = "\n\n".join([head, "\n".join([title, *reversed(lines)]), *reversed(others), tail])
    assert rendered(parse_manifest(resealed(mixed.encode()))) == load("reference.manifest.bin")


def test_of_two_lines_with_one_name_the_last_counts_and_it_is_noted():
    line = 'pg_data/conf={"size":0,"timestamp":5}\n'
    manifest = parse_manifest(edited("pg_data/empty=", f"{line}pg_data/empty="))
    assert manifest.repeated == ["pg_data/conf"]
    assert manifest.known_file("pg_data/conf").timestamp == 5
    assert [file.name for file in manifest.files].count("pg_data/conf") == 1
    path = "pg_data/base={}\n"
    assert parse_manifest(edited("pg_data/base/1={}", f"{path}pg_data/base/1={{}}")).repeated == ["pg_data/base"]


def test_the_minimum_that_readers_need():
    manifest = parse_manifest(
        ini.render(
            {
                "backup": {"backup-label": f"{FULL}_20261122-113300D"},
                "backup:db": {"db-id": 1, "db-system-id": 2, "db-version": "15"},
                "backup:target": {"pg_data": {"path": "/x", "type": "path"}},
                "target:file": {
                    "pg_data/a": {"reference": FULL, "size": 0, "timestamp": 1},
                },
                "target:path": {"pg_data": {}},
            }
        )
    )
    assert (manifest.type, manifest.prior, manifest.writer) == ("diff", None, "")
    assert manifest.reference == [FULL, manifest.label]
    assert (manifest.files[0].mode, manifest.files[0].user) == (0o600, None)
    assert manifest.paths == [Path("pg_data", 0o700, None, None)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('backup-label="20261122-113218F"\n', ""),
        ('backup-label="20261122-113218F"', 'backup-label="../x"'),
        ('backup-type="full"', 'backup-type="other"'),
        ('backup-type="full"', 'backup-prior="x"\nbackup-type="full"'),
        ("backup-bundle=true", "backup-bundle=1"),
        ("backup-block-incr=true", 'backup-archive-stop="../x"'),
        ("db-id=1\n", ""),
        ('db-version="15"', 'db-version="../15"'),
        ('"type":"path"', '"type":"other"'),
        ('"tablespace-name":"ts16384",', ""),
        ("pg_data/base={", 'pg_data/base={"mode":7,'),
        ("pg_data/base/1={}", "pg_data/base/1=5"),
        ('"destination":"/mnt/ts1"', '"other":5'),
        ('"owner":"ops"', '"owner":5'),
        ("option-compress-level=6", "option-compress-level=true"),
    ],
)
def test_what_is_refused(old, new):
    with pytest.raises(FormatError):
        parse_manifest(edited(old, new))


def test_unknown_keys_and_sections_are_read_over():
    known = parse_manifest(load("reference.manifest.bin"))
    for old, new in (
        ("[backup:db]", "[zz]\na=5\n\n[backup:db]"),
        ('backup-type="full"', 'backup-type="full"\nbackup-zz=5'),
        ('db-version="15"', 'db-version="15"\ndb-zz=[1]'),
    ):
        assert parse_manifest(edited(old, new)) == known


def test_files_come_and_go_in_order():
    manifest = parse_manifest(load("reference.manifest.bin"))
    names = ["pg_data/zz", "pg_data/\udcff", "pg_data/a", "pg_data/\ue000", "pg_tblspc/16384/PG_15_202209061/1/3"]
    for name in names:
        manifest.add_file(File(name, 0, 1))
        assert manifest.known_file(name).name == name
    found = [file.name for file in manifest.files]
    assert found == sorted(found, key=lambda name: name.encode("utf-8", "surrogateescape"))
    with pytest.raises(AssertError):
        manifest.add_file(File("pg_data/a", 0, 1))
    manifest.remove_files([*names, "pg_data/never/there"])
    assert manifest.file("pg_data/a") is None
    assert manifest == parse_manifest(load("reference.manifest.bin"))
    with pytest.raises(AssertError):
        manifest.known_file("pg_data/a")


def test_files_are_written_in_order_whatever_happened_to_the_list():
    manifest = parse_manifest(load("gz.full.manifest.bin"))
    manifest.files.reverse()
    assert rendered(manifest) == load("gz.full.manifest.bin")


def test_a_name_with_a_line_feed_cannot_be_written():
    manifest = parse_manifest(load("reference.manifest.bin"))
    manifest.add_file(File("pg_data/a\nb", 0, 1))
    with pytest.raises(FormatError, match="line feed"):
        rendered(manifest)


def test_the_garbage_collector_is_on_again():
    parse_manifest(load("reference.manifest.bin"))
    assert gc.isenabled()
    with pytest.raises(EngineError):
        parse_manifest(b"x")
    assert gc.isenabled()


def test_equal_values_are_shared():
    """What keeps a manifest of a million files small."""
    manifest = parse_manifest(load("gz.incr.manifest.bin"))
    usual = [file for file in manifest.files if "weird" not in file.name and file.checksum_page is None]
    for attribute in ("reference", "timestamp", "bundle_id"):
        values = [getattr(file, attribute) for file in usual]
        assert len({id(value) for value in values}) == len(set(values)) < len(values)
    assert not hasattr(manifest.files[0], "__dict__")


def test_the_passphrase_does_not_show():
    for document in (
        parse_manifest(load("zst.incr.manifest.bin")),
        parse_archive_info(load("zst.archive.info.bin")),
        parse_backup_info(load("zst.backup.info.bin")),
    ):
        assert document.cipher_pass
        assert document.cipher_pass not in repr(document)


def test_a_key_that_comes_twice_is_no_name():
    label = f'backup-label="{FULL}"\n'
    assert parse_manifest(edited(label, label + label)).repeated == []
