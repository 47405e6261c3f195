# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify finds in a repository, and which backups it holds to be concerned."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import random
import shutil
import sys

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import faults
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command import verify_report, verify_settle
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify_report import (
    BackupResult,
    Report,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.verify_settle import Need, Settlement
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format import layout
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    ArchiveInfo,
    PgHistory,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec
from ansible_collections.holdfast.postgres.tests.support import damage

from .trip import LABEL, LATER, STAMP, pages
from .verified import HISTORY, SEGMENT_SIZE, WAL, Repository, segment_content, segment_name

LAST = "20260131-110000F_20260202-110000I"
PASSPHRASE = "a passphrase"
FORMS = [
    pytest.param(("none", None, {}), id="plain"),
    pytest.param(("zst", None, {}), id="zst"),
    pytest.param(("gz", PASSPHRASE, {"bundle": True, "raw": True}), id="gz-encrypted-bundles"),
    pytest.param(("zst", None, {"bundle": True, "raw": True, "block": True}), id="blocks"),
    pytest.param(("lz4", PASSPHRASE, {"bundle": True, "raw": True, "block": True}), id="encrypted-blocks"),
]


def fill(trip):
    """Files that stay, files that change, empty ones, and one that is too large for a bundle."""
    trip.write("PG_VERSION", b"15\n", STAMP)
    trip.write("base/1/100", b"", STAMP)
    for number in range(5):
        trip.write(f"base/1/20{number}", pages(6, seed=number), STAMP)
    trip.write("base/1/300", pages(60, seed=9), STAMP)


def change(trip, seed):
    """Change two blocks of two files."""
    for name, count in (("base/1/200", 6), ("base/1/300", 60)):
        content = bytearray((trip.data / name).read_bytes())
        block = seed % count * 8192
        content[block : block + 8192] = pages(1, first=seed % count, seed=100 + seed)
        trip.write(name, bytes(content), STAMP + seed)


@pytest.fixture
def chain(tmp_path, request):
    """A full and two incrementals of one form, with the WAL of all."""
    kind, passphrase, options = getattr(request, "param", ("zst", None, {}))
    made = Repository(tmp_path / "x", kind, passphrase, **options)
    fill(made.trip)
    full = made.keep(made.trip.back_up(), (1, 2))
    change(made.trip, 1)
    later = made.keep(made.trip.back_up(full), (3, 3))
    change(made.trip, 2)
    made.keep(made.trip.back_up(later, label=LAST), (4, 4))
    made.archive(1, 2, 3, 4)
    return made


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    monkeypatch.setattr(verify_settle, "PATIENCE", 0.0)


@pytest.fixture
def alone(tmp_path):
    """One backup without bundles, plain."""
    made = Repository(tmp_path / "x")
    fill(made.trip)
    made.keep(made.trip.back_up())
    return made


def is_restorable(made, label):
    """Whether a restore brings the backup back: the judge of what verify says."""
    manifest = made.repo.load_manifest(label, None)
    try:
        made.trip.restore(manifest, made.trip.path / f"restored-{label}-{random.random()}")
    except Exception:
        return False
    return True


# -- what is right


@pytest.mark.parametrize("content", [[], ["--check-content"]], ids=["stored", "content"])
@pytest.mark.parametrize("chain", FORMS, indirect=True)
def test_a_sound_repository(chain, content):
    outcome = chain.verify(*content, "--process-max=2")
    facts = outcome.facts
    assert (facts["status"], facts["errors"], outcome.status, outcome.output) == ("ok", [], 0, "")
    assert {backup["status"] for backup in facts["backups"]} == {"valid"}
    assert [(item["checked"], item["valid"]) for item in facts["backups"]] == [(9, 9)] * 3
    assert facts["archives"][0]["ranges"] == [[segment_name(1), segment_name(4)]]
    assert facts["archives"][0]["segment_size"] == SEGMENT_SIZE
    everything = sum(path.stat().st_size for label in (LABEL, LATER, LAST) for path in chain.stored(label))
    wal = sum(chain.wal(number).stat().st_size for number in (1, 2, 3, 4))
    assert facts["totals"]["bytes"] == everything + wal, "each byte is read once"


def test_nothing_is_written(chain):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in chain.root.rglob("*")}
    damage.flip_bit(chain.stored(LABEL)[0])
    before[chain.stored(LABEL)[0]] = (chain.stored(LABEL)[0].stat().st_mtime_ns, chain.stored(LABEL)[0].stat().st_ino)
    chain.verify("--check-content")
    assert {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in chain.root.rglob("*")} == before


# -- what is damaged


@pytest.mark.parametrize("chain", FORMS, indirect=True)
def test_whatever_bit_is_flipped_exactly_the_backups_that_need_it_are_invalid(chain):
    generator = random.Random(1)
    paths = [path for label in (LABEL, LATER, LAST) for path in chain.stored(label) if path.stat().st_size]
    for path in generator.sample(paths, min(8, len(paths))):
        offset = generator.randrange(path.stat().st_size)
        damage.flip_bit(path, offset, 3)
        facts = chain.verify().facts
        assert facts["status"] == "error" and facts["totals"]["errors"] == 1, (path, offset)
        assert facts["errors"][0]["kind"] == "checksum"
        for backup in facts["backups"]:
            # What only an older map needs is no loss to a later backup.
            restorable = is_restorable(chain, backup["label"])
            assert (backup["status"] == "valid") <= restorable, (path, offset, backup)
            if backup["status"] == "invalid":
                assert backup["checksum_invalid"] == 1 and backup["valid"] == backup["checked"] - 1
        holder = path.relative_to(chain.root / "backup/main").parts[0]
        assert {item["label"]: item["status"] for item in facts["backups"]}[holder] == "invalid"
        damage.flip_bit(path, offset, 3)
    assert chain.verify().facts["status"] == "ok"


@pytest.mark.parametrize("chain", FORMS[3:], indirect=True)
def test_a_later_map_leads_to_the_damage_in_an_older_backup(chain):
    """Both incrementals store blocks of their own, and a map that points into the full."""
    manifest = chain.repo.load_manifest(LAST, None)
    file = manifest.known_file("pg_data/base/1/300")
    assert file.reference is None and file.block_map_size
    (path,) = [path for path in chain.stored(LABEL) if path.name == "300.pgbi"]
    damage.flip_bit(path)
    assert set(chain.status().values()) == {"invalid"}
    assert not is_restorable(chain, LAST)


@pytest.mark.parametrize("chain", FORMS[3:], indirect=True)
def test_damage_that_no_later_map_leads_to_concerns_its_own_backup_only(chain):
    (path,) = [path for path in chain.stored(LATER) if path.name == "300.pgbi"]
    damage.flip_bit(path, -1)  # in the map, which later backups have their own of
    assert chain.status() == {LABEL: "valid", LATER: "invalid", LAST: "valid"}
    assert is_restorable(chain, LAST) and not is_restorable(chain, LATER)


def test_a_bundle_that_is_gone_is_one_finding_and_many_files(tmp_path, caplog):
    made = Repository(tmp_path / "x", "zst", bundle=True, raw=True)
    fill(made.trip)
    full = made.keep(made.trip.back_up())
    change(made.trip, 1)
    made.keep(made.trip.back_up(full))
    (made.root / f"backup/main/{LABEL}/bundle/1").unlink()
    with caplog.at_level(logging.INFO, "holdfast"):
        facts = made.verify().facts
    wrong = [(item["status"], item["checked"], item["valid"], item["missing"]) for item in facts["backups"]]
    assert wrong == [("invalid", 9, 2, 7), ("invalid", 9, 3, 6)], "an empty file is not stored"
    assert facts["errors"] == [{"kind": "missing", "message": f"backup/main/{LABEL}/bundle/1 is missing",
                                "source": f"backup/main/{LABEL}/bundle/1", "files": 7}]  # fmt: skip
    assert facts["totals"]["errors"] == 7
    assert len([record for record in caplog.records if "bundle/1" in record.getMessage()]) == 1


@pytest.mark.parametrize("cut", [True, False], ids=["shorter", "longer"])
def test_another_length(alone, cut):
    path = alone.root / f"backup/main/{LABEL}/pg_data/base/1/300"
    content = path.read_bytes()
    path.write_bytes(content[:-1] if cut else content + b"\0")
    (backup,) = alone.verify().facts["backups"]
    assert (backup["status"], backup["checksum_invalid"]) == ("invalid", 1)


def test_a_file_that_cannot_be_read_is_a_finding_and_the_others_are_still_read(alone, monkeypatch):
    path = alone.root / f"backup/main/{LABEL}/pg_data/base/1/300"
    path.unlink()
    path.mkdir()
    damage.flip_bit(alone.root / f"backup/main/{LABEL}/pg_data/base/1/204")
    (backup,) = alone.verify().facts["backups"]
    assert (backup["other"], backup["checksum_invalid"], backup["valid"]) == (1, 1, 7)


def test_what_was_stored_wrongly_is_found_by_its_content(chain):
    """The checksum of the stored bytes is right, and they are not what the file was made of."""
    manifest = chain.repo.load_manifest(LABEL, None)
    file = manifest.known_file("pg_data/base/1/201")
    path = chain.root / layout.stored_file("main", LABEL, file.name, ".zst")
    for stored, kind in ((codec("zst").compress_one(b"other" * 9000), "checksum_invalid"), (b"no zst at all", "other")):
        path.write_bytes(stored)
        for label in (LABEL, LATER, LAST):
            manifest = chain.repo.load_manifest(label, None)
            file = manifest.known_file("pg_data/base/1/201")
            file.rck, file.repo_size = hashlib.sha1(stored).digest(), len(stored)
            chain.repo.publish_manifest(manifest, None)
        assert chain.verify().facts["status"] == "ok"
        facts = chain.verify("--check-content").facts
        assert [backup[kind] for backup in facts["backups"]] == [1, 1, 1]


@pytest.mark.parametrize("chain", FORMS[3:], indirect=True)
def test_a_super_block_that_was_stored_wrongly_is_found_by_its_content(chain):
    (path,) = [path for path in chain.stored(LATER) if path.name == "300.pgbi"]
    damage.flip_bit(path, 30)
    manifest = chain.repo.load_manifest(LATER, None)
    manifest.known_file("pg_data/base/1/300").rck = hashlib.sha1(path.read_bytes()).digest()
    chain.repo.publish_manifest(manifest, None)
    assert chain.verify().facts["status"] == "ok"
    facts = chain.verify("--check-content").facts
    assert facts["status"] == "error" and facts["errors"][0]["kind"] == "other"
    assert {item["label"]: item["status"] for item in facts["backups"]}[LATER] == "invalid"


def test_without_a_checksum_of_the_stored_bytes_the_content_is_compared(chain):
    for label in (LABEL, LATER, LAST):
        manifest = chain.repo.load_manifest(label, None)
        for file in manifest.files:
            file.rck = None
        chain.repo.publish_manifest(manifest, None)
    assert chain.verify().facts["status"] == "ok"
    name = layout.stored_file("main", LABEL, "pg_data/base/1/202", ".zst")
    (chain.root / name).write_bytes(codec("zst").compress_one(b"something else"))
    assert [item["checksum_invalid"] for item in chain.verify().facts["backups"]] == [1, 1, 1]
    (chain.root / name).write_bytes(b"no zst at all")
    assert [item["other"] for item in chain.verify().facts["backups"]] == [1, 1, 1]


def test_a_manifest_that_says_too_little_is_a_finding(alone):
    manifest = alone.repo.load_manifest(LABEL, None)
    manifest.known_file("pg_data/base/1/201").checksum = None
    alone.keep(manifest)
    (backup,) = alone.verify().facts["backups"]
    assert (backup["status"], backup["other"]) == ("invalid", 1)


def test_an_empty_file_is_looked_at_where_it_is_stored(chain, tmp_path):
    (chain.root / layout.stored_file("main", LABEL, "pg_data/base/1/100", ".zst")).unlink()
    assert [item["missing"] for item in chain.verify().facts["backups"]] == [1, 1, 1]
    made = Repository(tmp_path / "y", "zst", bundle=True)
    made.trip.write("base/1/100", b"", STAMP)
    full = made.keep(made.trip.back_up())
    made.trip.bundle = False
    made.trip.setup = dataclasses.replace(made.trip.setup)
    manifest = made.trip.back_up(full)
    file = manifest.known_file("pg_data/base/1/100")
    file.reference = LABEL  # as pgBackRest writes it when bundles were switched off
    made.keep(manifest)
    assert set(made.status().values()) == {"valid"}


# -- WAL


@pytest.fixture
def wal(tmp_path):
    made = Repository(tmp_path / "x")
    made.archive(1, 2, 3, 4, 5)
    return made


def archive_of(made, *options):
    (archive,) = made.verify(*options).facts["archives"]
    return archive


@pytest.mark.parametrize("kind", ["none", "gz", "bz2", "lz4", "zst"])
def test_segments_of_every_compression(tmp_path, kind):
    made = Repository(tmp_path / "x")
    made.archive(1, 2, compress_type=kind)
    assert (archive_of(made)["checked"], archive_of(made)["valid"]) == (2, 2)
    damage.flip_bit(made.wal(2), 400_000 if kind == "none" else None)
    found = archive_of(made)
    assert found["valid"] == 1 and found["checksum_invalid" if kind == "none" else "other"] == 1


def test_a_gap_is_no_error_and_starts_a_new_range(wal):
    wal.wal(3).unlink()
    facts = wal.verify().facts
    assert facts["status"] == "ok"
    assert facts["archives"][0]["ranges"] == [[segment_name(1), segment_name(2)], [segment_name(4), segment_name(5)]]


def test_a_segment_that_is_there_twice_is_one_error_and_is_not_read(wal):
    shutil.copy(wal.wal(3), wal.wal(3).with_suffix(""))
    facts = wal.verify().facts
    archive = facts["archives"][0]
    assert (facts["totals"]["errors"], archive["duplicates"]) == (1, [segment_name(3)])
    assert (archive["checked"], archive["valid"]) == (6, 4)
    assert len(archive["ranges"]) == 2


def test_a_segment_of_another_size(wal):
    content = segment_content(9)[: SEGMENT_SIZE // 2]
    name = layout.wal_file("main", "15-1", segment_name(9), hashlib.sha1(content).hexdigest())
    (wal.root / name).write_bytes(content)
    found = archive_of(wal)
    assert (found["size_invalid"], found["valid"]) == (1, 5)


def test_the_first_sound_segment_tells_the_size(wal):
    wal.wal(1).write_bytes(b"garbage")
    found = archive_of(wal)
    assert (found["segment_size"], found["other"], found["valid"]) == (SEGMENT_SIZE, 1, 4)


def test_segments_of_an_unknown_version_are_verified_but_for_their_size(tmp_path, caplog):
    made = Repository(tmp_path / "x")
    content = b"\xff\xff" + segment_content(1)[2:SEGMENT_SIZE]
    name = layout.wal_file("main", "15-1", segment_name(1), hashlib.sha1(content).hexdigest())
    (made.root / name).parent.mkdir(parents=True)
    (made.root / name).write_bytes(content)
    found = archive_of(made)
    assert (found["segment_size"], found["valid"]) == (None, 1)
    assert "tells the segment size" in caplog.text
    assert archive_of(made, "--pg-version-force=15")["segment_size"] == SEGMENT_SIZE


def test_what_is_no_segment_is_not_looked_at(wal):
    folder = wal.wal(1).parent
    partial, record = f"{segment_name(6)}.partial-{'0' * 40}", f"{segment_name(1)}.00000028.backup"
    for name in (partial, record, "x", "y.pgbackrest.tmp"):
        (folder / name).write_bytes(b"whatever")
    (folder.parent / "00000002.history").write_bytes(b"whatever")
    (folder.parent / "x").mkdir()
    assert archive_of(wal)["checked"] == 5


def test_archive_ids_that_the_history_does_not_know_are_one_error_and_are_read(wal):
    for name in ("15-2", "14-7"):
        shutil.copytree(wal.root / WAL, wal.root / f"archive/main/{name}")
    facts = wal.verify().facts
    assert [item["archive_id"] for item in facts["archives"]] == ["15-1", "15-2", "14-7"]
    assert facts["totals"]["errors"] == 1 and "14-7, 15-2" in facts["errors"][0]["message"]
    assert all(item["valid"] == 5 for item in facts["archives"])


# -- WAL that a backup needs


def needs(made, label=LABEL):
    return {item["label"]: item["missing_wal"] for item in made.verify().facts["backups"]}[label]


def test_missing_wal_between_start_and_stop_is_an_error_of_the_backup(chain):
    chain.wal(2).unlink()
    chain.wal(4).unlink()
    facts = chain.verify().facts
    assert facts["status"] == "error" and facts["totals"]["errors"] == 2
    assert [item["missing_wal"] for item in facts["backups"]] == [
        [[segment_name(2)] * 2], [], [[segment_name(4)] * 2]
    ]  # fmt: skip
    assert {item["status"] for item in facts["backups"]} == {"valid"}
    assert [item["label"] for item in facts["errors"]] == [LABEL, LAST]


def test_wal_that_nobody_promised_is_not_missed(chain):
    chain.wal(1).unlink()
    manifest = chain.repo.load_manifest(LABEL, None)
    manifest.options["option-archive-check"] = False
    chain.repo.publish_manifest(manifest, None)
    assert needs(chain) == []


def test_wal_that_the_backup_holds_itself_is_not_missed(tmp_path):
    made = Repository(tmp_path / "x")
    fill(made.trip)
    manifest = made.trip.back_up()
    for number in (1, 2):
        name = f"pg_data/pg_wal/{segment_name(number)}"
        content = segment_content(number)[:SEGMENT_SIZE]
        file = dataclasses_copy(manifest.known_file("pg_data/PG_VERSION"), name, content)
        manifest.add_file(file)
        (made.root / f"backup/main/{LABEL}/{name}").parent.mkdir(exist_ok=True)
        (made.root / f"backup/main/{LABEL}/{name}").write_bytes(content)
    made.keep(manifest, (1, 3))
    assert needs(made) == [[segment_name(1), segment_name(3)]]
    manifest.options["option-archive-copy"] = True
    made.repo.publish_manifest(manifest, None)
    assert needs(made) == [[segment_name(3)] * 2]


def dataclasses_copy(file, name, content):
    """Another file with the owner of this one."""
    return type(file)(name, len(content), STAMP, file.mode, file.user, file.group, hashlib.sha1(content).digest())


def test_wal_that_has_arrived_since_it_was_listed_is_not_missed(chain):
    report = Report("main", 1)
    settlement = Settlement(chain.repo, chain.repo.load_backup_info(), report)
    result = BackupResult(LABEL)
    settlement.add_wal("15-1", frozenset(), None)
    settlement.add_need(Need(result, "15-1", (segment_name(1), segment_name(2)), frozenset()))
    settlement.settle()
    assert not report.is_error
    chain.wal(1).unlink()
    settlement.settle()
    assert result.missing_wal == [(segment_name(1), segment_name(1))]


# -- documents


@pytest.mark.parametrize("name", ["backup/main/backup.info", "archive/main/archive.info"])
def test_one_bad_info_file_of_two_is_no_error_and_two_are(chain, name):
    main, copy = chain.root / name, chain.root / f"{name}.copy"
    content = main.read_bytes()
    damage.flip_bit(main)
    assert chain.verify().facts["status"] == "ok"
    copy.unlink()
    facts = chain.verify().facts
    assert facts["status"] == "error" and (facts["archives"], facts["backups"]) == ([], [])
    assert facts["errors"][0]["kind"] == "info" and main.name in facts["errors"][0]["message"]
    main.write_bytes(content)
    assert chain.verify().facts["status"] == "ok"


@pytest.mark.parametrize(
    "info", [ArchiveInfo((PgHistory(1, 2, "15"),), 1), ArchiveInfo((*HISTORY, PgHistory(2, 5, "16")), 2)]
)
def test_info_files_that_disagree_are_an_error_and_nothing_is_read(chain, info):
    chain.repo.save_archive_info(info)
    facts = chain.verify().facts
    assert facts["status"] == "error" and facts["backups"] == [] and facts["totals"]["bytes"] == 0


def test_a_manifest_is_taken_from_its_copy(chain):
    damage.flip_bit(chain.root / f"backup/main/{LABEL}/backup.manifest")
    assert set(chain.status().values()) == {"valid"}
    damage.flip_bit(chain.root / f"backup/main/{LABEL}/backup.manifest.copy")
    facts = chain.verify().facts
    assert facts["status"] == "error" and facts["errors"][0]["kind"] == "manifest"
    states = [(item["status"], item["checked"]) for item in facts["backups"]]
    assert states == [("invalid", 0), ("valid", 9), ("valid", 9)]


def test_a_manifest_with_an_unsafe_name_is_never_followed(alone):
    manifest = alone.repo.load_manifest(LABEL, None)
    manifest.known_file("pg_data/base/1/201").name = "pg_data/../../../../holdfast.conf"
    alone.repo.publish_manifest(manifest, None)
    facts = alone.verify().facts
    assert facts["backups"][0]["status"] == "invalid" and "unsafe" in facts["errors"][0]["message"]


def test_a_backup_of_another_cluster(alone):
    manifest = alone.repo.load_manifest(LABEL, None)
    manifest.pg = PgHistory(1, 99, "15", 1300, 202209061)
    alone.repo.publish_manifest(manifest, None)
    assert alone.status() == {LABEL: "invalid"}


def test_without_manifests_a_listed_backup_is_lost_which_is_no_error_but_told(chain, caplog):
    folder = chain.root / f"backup/main/{LAST}"
    for name in ("backup.manifest", "backup.manifest.copy"):
        (folder / name).unlink()
    outcome = chain.verify("--fail-on-error")
    assert outcome.facts["status"] == "ok" and outcome.facts["lost"] == [LAST] and outcome.status == 104
    assert {item["label"]: item["status"] for item in outcome.facts["backups"]}[LAST] == "manifest missing"
    assert f"backup {LAST} is listed but has no manifest" in caplog.text
    shutil.rmtree(folder)
    assert chain.verify().facts["lost"] == [LAST]
    chain.repo.save_backup_info(chain.repo.load_backup_info().without([LAST]))
    assert chain.verify("--fail-on-error").status == 0


@pytest.mark.parametrize("label", ["20260301-000000F", "20260101-000000F"], ids=["newest", "older"])
def test_an_unfinished_backup_is_left_out(alone, label):
    manifest = alone.repo.load_manifest(LABEL, None)
    manifest.label, manifest.reference = label, [label]
    manifest.pg = PgHistory(0, 0, "15", 1300, 202209061)
    alone.repo.save_manifest_copy(manifest, None)
    facts = alone.verify("--fail-on-error").facts
    assert facts["status"] == "ok"
    assert {item["label"]: item["status"] for item in facts["backups"]} == {LABEL: "valid", label: "in-progress"}


def test_what_an_interrupted_expire_left_is_no_error(alone):
    (alone.root / "backup/main/20260101-000000F").mkdir()
    assert alone.status() == {"20260101-000000F": "manifest missing", LABEL: "valid"}
    assert alone.verify("--fail-on-error").status == 0


def test_a_complete_backup_that_is_not_listed_is_verified(chain, caplog):
    chain.repo.save_backup_info(chain.repo.load_backup_info().without([LAST]))
    assert set(chain.status().values()) == {"valid"}
    assert f"backup {LAST} is complete but not listed" in caplog.text


# -- one backup


def test_one_backup_and_the_wal_that_it_needs(chain):
    facts = chain.verify(f"--set={LATER}").facts
    assert [(item["label"], item["checked"], item["valid"]) for item in facts["backups"]] == [(LATER, 9, 9)]
    assert facts["archives"][0]["ranges"] == [[segment_name(3)] * 2]
    damage.flip_bit(chain.root / layout.stored_file("main", LABEL, "pg_data/base/1/204", ".zst"))
    damage.flip_bit(chain.root / layout.stored_file("main", LAST, "pg_data/base/1/200", ".zst"))
    assert chain.status(f"--set={LATER}") == {LATER: "invalid"}, "what the full holds for it is read, too"
    assert chain.verify(f"--set={LATER}").facts["totals"]["errors"] == 1


@pytest.mark.parametrize("chain", FORMS[3:], indirect=True)
def test_with_block_maps_all_backups_that_they_may_lead_to_are_verified(chain):
    assert chain.status(f"--set={LATER}") == {LABEL: "valid", LATER: "valid"}
    assert chain.status(f"--set={LABEL}") == {LABEL: "valid"}


def test_no_wal_for_an_offline_backup(alone):
    alone.archive(1, 2)
    assert alone.verify(f"--set={LABEL}").facts["archives"] == []


@pytest.mark.parametrize("label", ["latest", "20260131-110000X", "../x", "20200101-000000F"])
def test_a_label_that_is_none(chain, label):
    outcome = chain.verify(f"--set={label}", "--output=text")
    assert outcome.status == 0 and outcome.facts["backups"] == []
    assert outcome.output.startswith("stanza: main\nstatus: error\n  ") and label in outcome.output


def test_the_manifest_of_the_one_backup_is_damaged(chain):
    for name in ("backup.manifest", "backup.manifest.copy"):
        damage.flip_bit(chain.root / f"backup/main/{LATER}/{name}")
    assert chain.status(f"--set={LATER}") == {LATER: "invalid"}


# -- telling


def test_output_and_status(chain):
    assert chain.verify("--output=text").output == ""
    assert chain.verify("--output=text", "--verbose").output.startswith("stanza: main\nstatus: ok\n")
    assert '"status":"ok"' in chain.verify("--output=json").output
    damage.flip_bit(chain.wal(1))
    found = chain.verify("--output=text")
    assert (found.status, found.output.splitlines()[:2]) == (0, ["stanza: main", "status: error"])
    assert chain.verify().output == ""
    failed = chain.verify("--fail-on-error", "--output=json")
    assert (failed.status, failed.output[-1], failed.changed) == (104, "\n", False)


def test_progress_is_told_now_and_then(chain, monkeypatch, caplog):
    monkeypatch.setattr(sys.modules[verify_settle.__package__ + ".verify"], "PROGRESS", 0.0)
    with caplog.at_level(logging.INFO, "holdfast"):
        chain.verify()
    assert "of about" in caplog.text


def test_a_million_findings_do_not_fill_the_log(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(verify_report, "ROOM", 3)
    made = Repository(tmp_path / "x")
    for number in range(6):
        made.trip.write(f"base/1/20{number}", b"x", STAMP)
    made.keep(made.trip.back_up())
    for path in made.stored(LABEL):
        path.unlink()
    with caplog.at_level(logging.INFO, "holdfast"):
        facts = made.verify().facts
    assert (len(facts["errors"]), facts["totals"]["errors"]) == (3, 7)
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 3


def test_a_disk_that_fails_once_is_asked_again(alone):
    try:
        faults.arm("storage.local.read@12=raise:EIO")
        assert alone.verify().facts["status"] == "ok"
        faults.arm("storage.local.read@12=raise:EIO")
        assert alone.verify("--job-retry=0").facts["backups"][0]["other"] == 1
    finally:
        faults.arm("")
