# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""WAL goes both ways: what one program pushes the other one fetches, and recognises."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.program import Program

TYPES = ("none", "gz", "bz2", "lz4", "zst")
PASSPHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def stopped(module_workshop):
    """A cluster at rest, and the path of a segment that it wrote."""
    cluster = module_workshop.cluster(settings={"archive_mode": "on", "archive_command": "true"}).start()
    cluster.sql("create table t as select n, md5(n::text) from generate_series(1, 20000) n")
    segment = cluster.switch_wal()
    kept = module_workshop.path("wal")
    account.make_directory(kept)
    account.write_file(kept / segment, (cluster.data / "pg_wal" / segment).read_bytes())
    cluster.stop()
    return cluster, kept / segment


def both(workshop, cluster, **options) -> tuple[Program, Program]:
    ours, theirs = workshop.holdfast(cluster, **options), workshop.oracle(cluster, **options)
    if options.get("repo1_cipher_type"):
        ours.environ["HOLDFAST_REPO1_CIPHER_PASS"] = theirs.environ["PGBACKREST_REPO1_CIPHER_PASS"] = PASSPHRASE
    return ours, theirs


def digest(path: Path) -> str:
    return hashlib.sha1(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("cipher", [None, "aes-256-cbc"], ids=["clear", "encrypted"])
@pytest.mark.parametrize("compression", TYPES)
def test_segments_go_both_ways(stopped, workshop, compression, cipher) -> None:
    cluster, segment = stopped
    ours, theirs = both(workshop, cluster, compress_type=compression, repo1_cipher_type=cipher)
    for creator, pusher, getter, name in ((ours, ours, theirs, "to_them"), (theirs, theirs, ours, "to_us")):
        creator.run("stanza-create", online=False)
        pusher.run("archive-push", segment)
        target = workshop.path(name)
        getter.run("archive-get", segment.name, target)
        assert digest(target) == digest(segment)
        assert getter.attempt("archive-get", "0000000100000000000000FF", workshop.path("missing")).status == 1
        for path in (creator.repository / "archive", creator.repository / "backup"):
            account.remove(path)


@pytest.mark.parametrize("name", ["00000002.history", "000000010000000000000001.00000028.backup", "anything"])
def test_other_files_go_both_ways(stopped, workshop, name) -> None:
    cluster = stopped[0]
    ours, theirs = both(workshop, cluster, repo1_cipher_type="aes-256-cbc")
    ours.run("stanza-create", online=False)
    for pusher, getter, content in ((ours, theirs, b"1\t0/1\tx\n"), (theirs, ours, b"1\t0/2\ty\n")):
        source = account.write_file(account.make_directory(workshop.path("d")) / name, content)
        pusher.run("archive-push", source)
        target = workshop.path("t")
        getter.run("archive-get", name, target)
        assert target.read_bytes() == content


def test_partial_segments_go_both_ways(stopped, workshop) -> None:
    cluster, segment = stopped
    ours, theirs = both(workshop, cluster)
    ours.run("stanza-create", online=False)
    source = account.make_directory(workshop.path("d")) / f"{segment.name}.partial"
    account.write_file(source, segment.read_bytes())
    ours.run("archive-push", source)
    assert "same checksum" in theirs.run("archive-push", source).error
    target = workshop.path("t")
    theirs.run("archive-get", source.name, target)
    assert digest(target) == digest(segment)
    # The partial and the whole segment are two files.
    theirs.run("archive-push", segment)
    ours.run("archive-get", source.name, target)
    ours.run("archive-get", segment.name, target)


def test_each_recognises_what_the_other_has_pushed(stopped, workshop) -> None:
    cluster, segment = stopped
    ours, theirs = both(workshop, cluster, compress_type="gz")
    ours.run("stanza-create", online=False)
    changed = account.make_directory(workshop.path("d")) / segment.name
    data = bytearray(segment.read_bytes())
    data[-1] ^= 1
    account.write_file(changed, bytes(data))

    theirs.run("archive-push", segment)
    assert "same checksum" in ours.run("archive-push", segment).error
    assert ours.attempt("archive-push", changed).status == 45
    (stored,) = (ours.repository / "archive/main/15-1" / segment.name[:16]).iterdir()
    stored.unlink()

    ours.run("archive-push", segment)
    assert "same checksum" in theirs.run("archive-push", segment).error
    assert theirs.attempt("archive-push", changed).status == 45


def test_a_cluster_archives_through_us_and_recovers_through_them(workshop) -> None:
    cluster = workshop.cluster()
    ours, theirs = both(workshop, cluster)
    # Their check wants to see their name.
    cluster.configure(archive_mode=True, archive_command=f"{ours.archive_command} # instead of pgbackrest")
    cluster.start()
    ours.stanza_create()
    theirs.run("check")
    ours.run("check")
    label = theirs.backup()
    cluster.sql("create table late as select 42 as answer")
    cluster.wait_archived(cluster.switch_wal())
    for program in (theirs, ours):
        data = workshop.path("r")
        theirs.restore(data, set=label)
        restored = workshop.restored(data, restore_command=program.line("archive-get", "%f", "%p", pg1_path=data))
        with restored:
            restored.wait_for("select not pg_is_in_recovery()")
            assert restored.value("select answer from late") == 42
