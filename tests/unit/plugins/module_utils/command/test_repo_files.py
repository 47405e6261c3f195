# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""repo-ls and repo-get: what may be looked at, under which name, and with which passphrase."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine import options as engine_options
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.repo_files import (
    repo_get,
    repo_ls,
    repository_path,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import (
    CryptoError,
    EngineError,
    FileMissingError,
    FormatError,
    OptionInvalidValueError,
    ParamInvalidError,
    ParamRequiredError,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    ArchiveInfo,
    PgHistory,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupInfo
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.options import load
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.repo import open_repo
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.storage.base import get, put
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.stream.cipher import Cipher

from .builders import LABEL, Made

HISTORY = (PgHistory(1, 7_000_000_001, "15", 1300, 202209061),)
ENGINE = str(pathlib.Path(engine_options.__file__).parents[1])
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from _engine.main import main; raise SystemExit(main())"
USER, WAL, MANIFESTS, FILES = "of the user", "of the archive", "of the manifests", "of the files"


class Look:
    """A repository, and the two commands on it."""

    def __init__(self, path, encrypted=False):
        self.path = path / "repo"
        self.encrypted = encrypted
        config = self.config("backup", "--stanza=main", f"--pg1-path={path}/data")
        self.repo = open_repo(config, config.repos[0])
        self.storage = self.repo.storage

    def config(self, command, *words):
        cipher = ["--repo1-cipher-type=aes-256-cbc"] if self.encrypted else []
        argv = ["--no-config", f"--repo1-path={self.path}", *cipher, *words, command]
        parameters = [word for word in words if not word.startswith("--")]
        argv = [word for word in argv if word not in parameters] + parameters
        return load(argv, {"HOLDFAST_REPO1_CIPHER_PASS": USER} if self.encrypted else {})

    def ls(self, *words):
        return repo_ls(self.config("repo-ls", *words)).output

    def json(self, *words):
        return json.loads(self.ls("--output=json", *words))

    def get(self, *words):
        return b"".join(map(bytes, repo_get(self.config("repo-get", *words)).content))


@pytest.fixture
def look(tmp_path):
    made = Look(tmp_path)
    for name in ("backup/main/backup.info", "backup/main/20260101-010000F/bundle/1", "archive/main/archive.info"):
        put(made.storage, name, name.encode())
        os.utime(made.path / name, (1_700_000_000, 1_700_000_000))
    made.storage.make_link("backup/main/latest", "20260101-010000F")
    return made


# -- repo-ls


def test_a_directory(look):
    assert look.ls() == "archive\nbackup\n"
    assert look.ls("backup/main") == look.ls("backup/main/") == "20260101-010000F\nbackup.info\nlatest\n"
    assert look.ls(f"{look.path}/backup") == "main\n"
    assert look.ls(f"{look.path}/") == look.ls(str(look.path)) == look.ls()


def test_all_below_a_directory(look):
    assert look.ls("--recurse", "backup") == (
        "main\nmain/20260101-010000F\nmain/20260101-010000F/bundle\nmain/20260101-010000F/bundle/1\n"
        "main/backup.info\nmain/latest\n"
    )


def test_json(look):
    assert look.json("backup/main") == {
        ".": {"type": "path"},
        "20260101-010000F": {"type": "path"},
        "backup.info": {"type": "file", "size": 23, "time": 1_700_000_000},
        "latest": {"type": "link", "destination": "20260101-010000F"},
    }
    assert look.ls("--output=json").count("\n") == 1


def test_a_file_a_link_and_nothing(look):
    assert look.ls("backup/main/backup.info") == ".\n"
    assert look.json("backup/main/backup.info") == {".": {"type": "file", "size": 23, "time": 1_700_000_000}}
    assert look.ls("backup/main/latest") == "bundle\n"
    assert look.ls("nothing") == ""
    assert look.json("nothing") == {".": {"type": "path"}}


def test_a_link_that_leads_out_is_not_followed(look):
    for number, destination in enumerate(("/etc", "../../..")):
        os.symlink(destination, look.path / f"backup/out{number}")
        assert look.json(f"backup/out{number}") == {".": {"type": "link", "destination": destination}}


def test_order_and_filter(look):
    assert look.ls("--sort=desc", "backup/main") == "latest\nbackup.info\n20260101-010000F\n"
    assert sorted(look.ls("--sort=none", "backup/main").split()) == ["20260101-010000F", "backup.info", "latest"]
    assert look.ls("--filter=info$", "backup/main") == "backup.info\n"
    assert list(look.json("--recurse", "--filter=bundle/", "backup")) == ["main/20260101-010000F/bundle/1"]
    with pytest.raises(FormatError, match=r"filter '\['"):
        look.ls("--filter=[")


def test_names_are_bytes(look):
    (look.path / os.fsdecode(b"backup/\xff")).write_bytes(b"")
    assert look.ls("backup").encode("utf-8", "surrogateescape") == b"main\n\xff\n"
    assert list(look.json("--sort=desc", "backup"))[0] == os.fsdecode(b"\xff")


# -- paths


@pytest.mark.parametrize("text", ["/etc", "/", "a//b", "..", "../x", "a/../b", "/srv/repository", "//"])
def test_paths_that_are_none(text):
    with pytest.raises(ParamInvalidError):
        repository_path(text, "/srv/repo")


@given(st.text(st.sampled_from("ab./"), max_size=12))
def test_a_path_never_leads_out(text):
    for candidate in (text, f"/srv/repo/{text}"):
        try:
            path = repository_path(candidate, "/srv/repo")
        except ParamInvalidError:
            continue
        assert not path.startswith("/") and ".." not in path.split("/") and not path.endswith("//")


def test_the_wrong_number_of_paths(look):
    with pytest.raises(ParamInvalidError):
        look.ls("a", "b")
    for words in ((), ("a", "b")):
        with pytest.raises(ParamRequiredError):
            look.get(*words)


# -- repo-get


def test_a_file_comes_as_it_is(look):
    assert look.get("backup/main/backup.info") == b"backup/main/backup.info"
    with pytest.raises(FileMissingError):
        look.get("backup/main/nothing")
    assert repo_get(look.config("repo-get", "--ignore-missing", "nothing")).status == 1


def test_a_directory_is_no_file(look):
    with pytest.raises(EngineError):
        look.get("backup/main")


def shell(look, *words, **options):
    """The program in a process of its own."""
    fixed = ["--no-config", f"--repo1-path={look.path}", "--allow-root"]
    argv = [sys.executable, "-I", "-c", START, ENGINE, *fixed, *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_any_bytes_reach_standard_output(look):
    content = bytes(range(256)) * 9000
    put(look.storage, "backup/x", content)
    process = shell(look, "repo-get", "backup/x")
    assert process.communicate(timeout=30) == (content, b"") and process.returncode == 0


def test_who_has_read_enough_may_go(look):
    put(look.storage, "backup/x", bytes(8 << 20))
    process = shell(look, "repo-get", "backup/x")
    assert process.stdout.read(10) == bytes(10)
    process.stdout.close()
    assert (process.wait(30), process.stderr.read()) == (0, b"")
    process.stderr.close()


def test_a_file_that_is_missing_is_told_by_the_exit_status(look):
    for words, status in ((["nothing"], 55), (["--ignore-missing", "nothing"], 1)):
        process = shell(look, "repo-get", *words)
        output, error = process.communicate(timeout=30)
        assert (process.returncode, output) == (status, b"") and bool(error) == (status != 1)


@pytest.fixture
def locked(tmp_path):
    """An encrypted repository with one file of every kind."""
    made = Look(tmp_path, encrypted=True)
    made.repo.save_archive_info(ArchiveInfo(HISTORY, 1, WAL))
    made.repo.save_backup_info(BackupInfo(HISTORY, 1, {}, MANIFESTS))
    manifest = Made("/srv/pg").files({"pg_data/a": b"x"}).manifest
    manifest.cipher_pass = FILES
    made.repo.publish_manifest(manifest, MANIFESTS)
    put(made.storage, "archive/main/15-1/00000002.history", Cipher(WAL).encrypt_one(b"history"))
    put(made.storage, f"backup/main/{LABEL}/pg_data/a", Cipher(FILES).encrypt_one(b"x"))
    put(made.storage, f"backup/main/{LABEL}/restore.conf", b"in the clear")
    put(made.storage, "backup/other/x/y", b"x")
    put(made.storage, "elsewhere/x/y", b"x")
    return made


def test_each_file_is_decrypted_with_its_own_passphrase(locked):
    assert locked.get("archive/main/archive.info").startswith(b"[backrest]")
    assert locked.get("backup/main/backup.info.copy").startswith(b"[backrest]")
    assert locked.get(f"backup/main/{LABEL}/backup.manifest").startswith(b"[backrest]")
    assert locked.get(f"backup/main/{LABEL}/backup.manifest.copy").startswith(b"[backrest]")
    assert locked.get(f"backup/main/backup.history/{LABEL[:4]}/{LABEL}.manifest.gz").startswith(b"\x1f\x8b")
    assert locked.get("archive/main/15-1/00000002.history") == b"history"
    assert locked.get(f"backup/main/{LABEL}/pg_data/a") == b"x"
    assert locked.get(f"backup/main/{LABEL}/restore.conf") == b"in the clear"
    assert locked.get("--stanza=main", f"backup/main/{LABEL}/pg_data/a") == b"x"


def test_raw_comes_as_it_is_stored(locked):
    name = f"backup/main/{LABEL}/pg_data/a"
    assert locked.get("--raw", name) == get(locked.storage, name)
    assert locked.get("--raw", "elsewhere/x/y") == b"x"


@pytest.mark.parametrize("path", ["elsewhere/x/y", "backup/other/x/y"])
def test_a_file_without_a_known_passphrase(locked, path):
    with pytest.raises((OptionInvalidValueError, FileMissingError)):
        locked.get(path)


def test_the_stanza_has_to_be_that_of_the_path(locked):
    with pytest.raises(OptionInvalidValueError):
        locked.get("--stanza=other", "archive/main/archive.info")


def test_what_is_not_encrypted_as_expected(locked):
    put(locked.storage, "archive/main/15-1/00000003.history", b"in the clear, and long enough")
    with pytest.raises(CryptoError):
        locked.get("archive/main/15-1/00000003.history")
