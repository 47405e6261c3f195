# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Archiving without a server: a data directory that a test plays PostgreSQL for, and what is in an archive."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from . import account
from .cluster import Cluster
from .program import Program, Result


def write_segments(cluster: Cluster, count: int) -> list[Path]:
    """Let a running cluster, which does not archive, complete some segments, and stop it. They are full of content."""
    cluster.sql("create table if not exists wal (n bigint, text text)")
    first = cluster.switch_wal()
    while True:
        cluster.sql("insert into wal select n, md5(random()::text) from generate_series(1, 5000) n")
        cluster.sql("select pg_switch_wal()")
        names = sorted(path.name for path in (cluster.data / "pg_wal").iterdir() if len(path.name) == 24)
        current = cluster.value("select pg_walfile_name(pg_current_wal_lsn())")
        complete = [name for name in names if first <= name < current]
        if len(complete) >= count:
            break
    cluster.stop()
    return [cluster.data / "pg_wal" / name for name in complete[:count]]


class Desk:
    """As much of a cluster's data directory as archiving looks at, with PostgreSQL's part played by the test.

    The cluster is at rest. program: gets pg1-path and the stanza of this directory.
    """

    def __init__(self, base: Path, cluster: Cluster, segments: Sequence[Path]) -> None:
        self.data = account.make_directory(base)
        self.wal = self.data / "pg_wal"
        self.status = self.wal / "archive_status"
        account.make_directory(self.status)
        self.segments = [path.name for path in segments]
        for name in ("PG_VERSION", "global/pg_control"):
            account.make_directory((self.data / name).parent)
            account.write_file(self.data / name, (cluster.data / name).read_bytes())
        for path in segments:
            account.write_file(self.wal / path.name, path.read_bytes())
            os.utime(self.wal / path.name, (1_600_000_000, 1_600_000_000))
        self.run_server(os.getpid())

    def run_server(self, pid: int) -> None:
        """Let it look as if a server ran, or had run, as this process."""
        account.write_file(self.data / "postmaster.pid", f"{pid}\n{self.data}\n")
        for name in ("PG_VERSION", "postmaster.pid"):
            os.utime(self.data / name, (1_600_000_000, 1_600_000_000))

    def mark_ready(self, *names: str) -> None:
        """As PostgreSQL does when a file can be archived; all segments unless some are named."""
        for name in names or self.segments:
            account.write_file(self.status / f"{name}.ready", "")

    def push(self, program: Program, name: str, **options: object) -> Result:
        """Run archive_command, and note its success as PostgreSQL does."""
        done = self.run(program, "archive-push", f"pg_wal/{name}", **options)
        if done.status == 0 and (self.status / f"{name}.ready").exists():
            (self.status / f"{name}.ready").rename(self.status / f"{name}.done")
        return done

    def get(self, program: Program, name: str, **options: object) -> Result:
        """Run restore_command; what it fetched is in self.fetched."""
        self.fetched.unlink(missing_ok=True)
        return self.run(program, "archive-get", name, "pg_wal/RECOVERYXLOG", **options)

    @property
    def fetched(self) -> Path:
        return self.wal / "RECOVERYXLOG"

    def run(self, program: Program, command: str, *parameters: str, **options: object) -> Result:
        """Run a command in the data directory, where PostgreSQL would."""
        argv = program.argv(command, *parameters, pg1_path=self.data, **options)
        script = 'cd "$1" && shift && exec "$@"'
        done = account.run(["/bin/sh", "-c", script, "sh", self.data, *argv], environ=program.environ, timeout=200)
        return Result(done.returncode, done.stdout, done.stderr)


def archived(program: Program, key: int = 1) -> dict[str, Path]:
    """The segments in a repository by name. Fails when one is there twice, or damaged, or something else is."""
    found: dict[str, Path] = {}
    root = Path(str(program.options[f"repo{key}_path"])) / "archive" / program.stanza
    for path in sorted(root.glob("*/????????????????/*")):
        name, _dash, rest = path.name.partition("-")
        sha1, ext = rest[:40], rest[40:]
        if ext.endswith(".tmp"):  # of a process that was killed
            continue
        assert name not in found, f"{name} is there twice"
        if len(name) == 24 or name.endswith(".partial"):
            assert hashlib.sha1(plain(path)).hexdigest() == sha1, f"{path} is damaged"
        found[name] = path
    return found


def plain(path: Path) -> bytes:
    """The content of a file that its extension says to be compressed."""
    data = path.read_bytes()
    if path.suffix == ".zst":
        import zstandard

        return bytes(zstandard.ZstdDecompressor().decompressobj().decompress(data))
    if path.suffix == ".lz4":
        import lz4.frame

        return bytes(lz4.frame.decompress(data))
    return gzip.decompress(data) if path.suffix == ".gz" else bz2.decompress(data) if path.suffix == ".bz2" else data


def assert_no_gap(names: Sequence[str], segment_mb: int) -> None:
    """Fails unless the segments, which are of one timeline, follow each other."""
    per_log = 4096 // segment_mb
    numbers = [int(name[8:16], 16) * per_log + int(name[16:24], 16) for name in sorted(names)]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
