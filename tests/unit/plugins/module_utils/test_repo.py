# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents and the WAL of a repository: what is written, and what is read when something is missing or damaged."""

from __future__ import annotations

import gzip
import hashlib
import os

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    ArchiveDuplicateError,
    AssertError,
    ChecksumError,
    CryptoError,
    FileMissingError,
    FileOpenError,
    FormatError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    ArchiveInfo,
    PgHistory,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupInfo, entry_of
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    parse_manifest,
    render_manifest,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.repo import open_repo, open_repos
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import put
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.cipher import Cipher
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.codec import codec

from .command.builders import LABEL, Made

HISTORY = (PgHistory(1, 7_000_000_001, "15", 1300, 202209061),)
PASS, WAL_PASS = "of the user", "of the archive"
SEGMENT = "000000010000000000000005"
SEGMENT_DIR = "archive/main/15-1/0000000100000000"


def configured(tmp_path, *options):
    file = tmp_path / "holdfast.conf"
    file.write_text(f"[main]\npg1-path={tmp_path}/data\nrepo1-path={tmp_path}/repo\n")
    return load([f"--config={file}", "--stanza=main", *options, "backup"], {"HOLDFAST_REPO1_CIPHER_PASS": PASS})


@pytest.fixture(params=["clear", "encrypted"])
def repo(request, tmp_path):
    """A repository with both info files, in the clear and encrypted."""
    encrypted = request.param == "encrypted"
    config = configured(tmp_path, *(["--repo1-cipher-type=aes-256-cbc"] if encrypted else []))
    repo = open_repo(config, config.repos[0])
    repo.save_archive_info(ArchiveInfo(HISTORY, 1, WAL_PASS if encrypted else None))
    repo.save_backup_info(BackupInfo(HISTORY, 1, {}, "of the backups" if encrypted else None))
    return repo


@pytest.fixture
def root(tmp_path):
    return tmp_path / "repo"


def flip(path):
    """Change one bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# -- info files


@pytest.mark.parametrize("name", ["archive/main/archive.info", "backup/main/backup.info"])
def test_main_file_and_copy_are_the_same_bytes_and_secret_when_they_should_be(repo, root, name):
    main, copy = (root / name).read_bytes(), (root / f"{name}.copy").read_bytes()
    assert main == copy
    encrypted = repo.cipher_pass is not None
    assert main.startswith(b"Salted__") == encrypted
    assert (b"db-system-id" in main) != encrypted


@pytest.mark.parametrize("damage", ["missing", "flipped", "cut", "empty"])
@pytest.mark.parametrize("kind", ["archive", "backup"])
def test_one_good_file_of_the_two_is_enough(repo, root, kind, damage):
    loaded = repo.load_archive_info() if kind == "archive" else repo.load_backup_info()
    for suffix in ("", ".copy"):
        path = root / f"{kind}/main/{kind}.info{suffix}"
        good = path.read_bytes()
        if damage == "missing":
            path.unlink()
        elif damage == "flipped":
            flip(path)
        else:
            path.write_bytes(good[: len(good) // 2 if damage == "cut" else 0])
        assert (repo.load_archive_info() if kind == "archive" else repo.load_backup_info()) == loaded
        path.write_bytes(good)


def test_the_error_for_two_bad_files_tells_about_both(repo, root):
    main, copy = root / "backup/main/backup.info", root / "backup/main/backup.info.copy"
    flip(main)
    flip(copy)
    with pytest.raises((ChecksumError, FormatError, CryptoError, FileOpenError)) as caught:
        repo.load_backup_info()
    assert "repo1" in caught.value.message and caught.value.message.count("\n") == 2
    main.unlink()
    with pytest.raises((ChecksumError, FormatError, CryptoError)):  # damage tells more than that one is missing
        repo.load_backup_info()
    copy.unlink()
    with pytest.raises(FileMissingError, match=r"backup\.info") as caught:
        repo.load_backup_info()
    assert "stanza-create" in caught.value.hint


def test_two_kinds_of_damage(tmp_path):
    config = configured(tmp_path)
    repo = open_repo(config, config.repos[0])
    put(repo.storage, "archive/main/archive.info", b"no document at all")
    put(repo.storage, "archive/main/archive.info.copy", Cipher("x").encrypt_one(b"x"))
    with pytest.raises(FileOpenError, match="encrypted"):
        repo.load_archive_info()


def test_a_wrong_passphrase_and_the_wrong_kind_of_repository(repo, tmp_path):
    if repo.cipher_pass is None:
        config = configured(tmp_path, "--repo1-cipher-type=aes-256-cbc")
        message = "not encrypted"
    else:
        config = configured(tmp_path)
        message = "is encrypted"
    with pytest.raises(CryptoError, match=message) as caught:
        open_repo(config, config.repos[0]).load_archive_info()
    assert "cipher" in caught.value.hint or "encrypted" in caught.value.hint
    assert PASS not in str(caught.value) + caught.value.hint


def test_a_repository_for_a_dry_run_cannot_be_changed(repo, tmp_path):
    config = configured(tmp_path)
    reader = open_repos(config, read_only=True)[0]
    with pytest.raises(AssertError):
        reader.save_archive_info(ArchiveInfo(HISTORY, 1))


def test_one_repository_or_all(tmp_path):
    config = configured(tmp_path, f"--repo2-path={tmp_path}/two")
    assert [repo.name for repo in open_repos(config)] == ["repo1", "repo2"]
    assert [repo.key for repo in open_repos(config.replace(repo=2))] == [2]


# -- manifests


@pytest.fixture
def manifest(tmp_path):
    made = Made(str(tmp_path / "data")).files({"pg_data/PG_VERSION": b"15", "pg_data/base/5/16384": b"x" * 100})
    made.manifest.timestamp_stop = 1_769_860_800
    return made.manifest


def secret(repo):
    return repo.load_backup_info().cipher_pass


def test_a_published_manifest_is_there_twice_with_the_same_bytes_and_once_in_the_history(repo, root, manifest):
    repo.publish_manifest(manifest, secret(repo))
    main, copy = (root / f"backup/main/{LABEL}/backup.manifest{suffix}" for suffix in ("", ".copy"))
    history = root / f"backup/main/backup.history/2026/{LABEL}.manifest.gz"
    assert main.read_bytes() == copy.read_bytes()
    expected = b"".join(render_manifest(manifest))
    stored, compressed = main.read_bytes(), history.read_bytes()
    if secret(repo):
        assert stored.startswith(b"Salted__") and compressed.startswith(b"Salted__")
        stored, compressed = (Cipher(secret(repo)).decrypt_one(data) for data in (stored, compressed))
    assert stored == expected and gzip.decompress(compressed) == expected
    assert repo.is_complete(LABEL) and repo.labels() == [LABEL] and repo.history_labels() == [LABEL]
    loaded = repo.load_manifest(LABEL, secret(repo))
    assert b"".join(render_manifest(loaded)) == expected
    assert entry_of(loaded) == entry_of(manifest)


@pytest.mark.parametrize("suffix", ["", ".copy"])
def test_one_good_manifest_of_the_two_is_enough(repo, root, manifest, suffix):
    repo.publish_manifest(manifest, secret(repo))
    path = root / f"backup/main/{LABEL}/backup.manifest{suffix}"
    flip(path)
    assert repo.load_manifest(LABEL, secret(repo)).label == LABEL
    path.unlink()
    assert repo.load_manifest(LABEL, secret(repo)).label == LABEL


def test_no_manifest_at_all(repo, manifest):
    with pytest.raises(FileMissingError, match=LABEL):
        repo.load_manifest(LABEL, secret(repo))
    with pytest.raises(FileMissingError, match=LABEL):
        repo.load_manifest_copy(LABEL, secret(repo))


def test_while_a_backup_runs_there_is_only_the_copy(repo, manifest):
    repo.save_manifest_copy(manifest, secret(repo))
    assert not repo.is_complete(LABEL) and repo.labels() == [LABEL] and repo.history_labels() == []
    assert repo.load_manifest_copy(LABEL, secret(repo)).label == LABEL


def test_what_is_no_label_is_no_backup(repo, root):
    for name in ("20260131-110000F_20260131-120000I", "20260131-110000F", "latest", "backup.history", "x"):
        (root / "backup/main" / name).mkdir()
    (root / "backup/main/20260131-130000F").write_bytes(b"")
    assert repo.labels() == ["20260131-110000F", "20260131-110000F_20260131-120000I"]


def test_only_the_newest_year_of_the_history_counts(repo, root):
    for year, name in (("2025", "20251231-110000F"), ("2026", "20260131-110000F"), ("2026", "note")):
        (root / f"backup/main/backup.history/{year}").mkdir(parents=True, exist_ok=True)
        (root / f"backup/main/backup.history/{year}/{name}.manifest.gz").write_bytes(b"")
    (root / "backup/main/backup.history/2027").write_bytes(b"")
    assert repo.history_labels() == ["20260131-110000F"]


def test_the_link_to_the_latest_backup(repo, root, tmp_path, caplog):
    link = root / "backup/main/latest"
    repo.link_latest("20260131-110000F")
    assert os.readlink(link) == "20260131-110000F"
    repo.link_latest(LABEL)
    assert os.readlink(link) == LABEL
    repo.link_latest(None)
    assert not os.path.lexists(link)
    config = configured(tmp_path, "--no-repo1-symlink")
    open_repo(config, config.repos[0]).link_latest(LABEL)
    assert not os.path.lexists(link)
    link.mkdir()  # as copying a repository with the wrong options makes it
    repo.link_latest(LABEL)
    assert link.is_dir() and not link.is_symlink()
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# -- write-ahead log


def archive(repo, content, name=SEGMENT, compress_type="none", archive_id="15-1"):
    data = codec(compress_type).compress_one(content)
    if repo.cipher_pass is not None:
        data = Cipher(WAL_PASS).encrypt_one(data)
    ending = {"none": "", "zst": ".zst", "gz": ".gz"}[compress_type]
    sha1 = hashlib.sha1(content).hexdigest()
    put(repo.storage, f"archive/main/{archive_id}/{name[:16]}/{name}-{sha1}{ending}", data)


def test_a_segment_is_found_and_read(repo):
    assert repo.find_one_wal("15-1", SEGMENT) is None
    archive(repo, b"one" * 1000, compress_type="zst")
    archive(repo, b"other", "000000010000000000000006")
    archive(repo, b"part", f"{SEGMENT}.partial")
    put(repo.storage, f"{SEGMENT_DIR}/{SEGMENT}-{'0' * 40}.zst.pgbackrest.tmp", b"")
    put(repo.storage, f"{SEGMENT_DIR}/{SEGMENT}.00000028.backup", b"")
    stored = repo.find_one_wal("15-1", SEGMENT)
    assert stored is not None
    assert (stored.name, stored.ext, stored.partial) == (SEGMENT, ".zst", False)
    passphrase = repo.load_archive_info().cipher_pass
    assert b"".join(bytes(chunk) for chunk in repo.read_wal("15-1", stored, passphrase)) == b"one" * 1000
    partial = repo.find_one_wal("15-1", f"{SEGMENT}.partial")
    assert partial is not None and partial.partial


def test_a_segment_with_two_contents_is_an_error_that_names_them(repo):
    archive(repo, b"one")
    archive(repo, b"other", compress_type="gz")
    assert len(repo.find_wal(["15-1"], SEGMENT)) == 2
    with pytest.raises(ArchiveDuplicateError, match=SEGMENT) as caught:
        repo.find_one_wal("15-1", SEGMENT)
    assert hashlib.sha1(b"other").hexdigest() + ".gz" in caught.value.message and caught.value.hint


def test_archive_ids_are_searched_in_the_order_given(repo):
    archive(repo, b"old", archive_id="14-1")
    archive(repo, b"new")
    for ids in (["15-1", "14-1"], ["14-1", "15-1"]):
        assert [archive_id for archive_id, _stored in repo.find_wal([*ids, "16-3"], SEGMENT)] == ids


def test_a_history_file_is_read(repo):
    text = b"1\t0/5000000\tno recovery target specified\n"
    data = text if repo.cipher_pass is None else Cipher(WAL_PASS).encrypt_one(text)
    put(repo.storage, "archive/main/15-1/00000002.history", data)
    passphrase = repo.load_archive_info().cipher_pass
    assert repo.read_archived("15-1", "00000002.history", passphrase) == text
    with pytest.raises(FileMissingError, match=r"00000003\.history"):
        repo.read_archived("15-1", "00000003.history", passphrase)


def test_manifests_of_an_interrupted_write_are_not_mistaken_for_whole_ones(repo, root, manifest):
    """The main file is copied from the copy: the copy must be read before a crash could have cut it."""
    repo.save_manifest_copy(manifest, secret(repo))
    whole = (root / f"backup/main/{LABEL}/backup.manifest.copy").read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 20)):
        (root / f"backup/main/{LABEL}/backup.manifest.copy").write_bytes(whole[:size])
        with pytest.raises((FormatError, ChecksumError, CryptoError)):
            repo.load_manifest_copy(LABEL, secret(repo))
    assert parse_manifest(b"".join(render_manifest(manifest))).label == LABEL
