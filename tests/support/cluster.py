# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throwaway PostgreSQL clusters.

A cluster listens on a Unix socket in its own directory, so any number of them live side by side under one port number.
Port and socket are given on the server's command line: they win over what a restored configuration says, and a
restored data directory is started unchanged.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from . import account
from .servers import Server

PORT = 54329  # of every cluster; not 5432, so that a forgotten socket directory finds nobody
SOCKET_LIMIT = 107  # bytes that the kernel allows for the path of a Unix socket
WAIT = 60  # seconds for anything that a healthy server does at once

Setting = Any


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def quote(value: Setting) -> str:
    """A value as postgresql.conf spells it; booleans and numbers too may be quoted."""
    text = {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value)
    return "'" + text.replace("'", "''") + "'"


class ServerFailedError(RuntimeError):
    """A program of the server failed; the text has its output and the end of the server's log."""


class Cluster:
    """A data directory, and the server that runs on it.

    base: a short path of its own below which everything lies: data, log, socket directory s, tablespaces ts.
    data: an existing data directory (a restored one) instead of base/data.
    settings: PostgreSQL parameters by name; of a new cluster they go into postgresql.conf, of an existing one on the
    server's command line.
    """

    def __init__(
        self,
        server: Server,
        base: Path,
        *,
        data: Path | None = None,
        tcp: bool = False,
        settings: Mapping[str, Setting] | None = None,
    ) -> None:
        self.server = server
        self.base = account.make_directory(base)
        self.data = data or base / "data"
        self.socket_path = account.make_directory(base / "s")
        self.log = base / "log"
        self.tcp = tcp
        self.port = free_port() if tcp else PORT
        self.settings = dict(settings or {})
        self._adopted = data is not None
        longest = f"{self.socket_path}/.s.PGSQL.{self.port}"
        if len(os.fsencode(longest)) > SOCKET_LIMIT:
            raise ValueError(f"{longest} is too long for a socket; choose a shorter base directory")

    # Life

    def init(self, *, checksums: bool = True, wal_segment_mb: int = 16, arguments: Sequence[str] = ()) -> Cluster:
        """initdb and the settings; fsync is off, because throwaway data needs no disk."""
        argv = ["-D", os.fspath(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
        argv += [f"--wal-segsize={wal_segment_mb}", *arguments]
        if checksums:
            argv.append("-k")
        elif self.server.major >= 18:
            argv.append("--no-data-checksums")
        self.run("initdb", *argv)
        usual = {"fsync": False, "wal_level": "replica", "max_wal_senders": 5, "logging_collector": False}
        self.configure(**{**usual, **self.settings})
        return self

    def configure(self, **settings: Setting) -> None:
        """Append settings to postgresql.conf; a running server takes them at reload() or restart()."""
        lines = [f"{name} = {quote(value)}\n" for name, value in settings.items()]
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as file:
            file.writelines(lines)

    def start(self, *, wait: bool = True) -> Cluster:
        """Start the server and wait until it accepts connections (or, as a standby, until it is consistent)."""
        where = {"port": self.port, "unix_socket_directories": self.socket_path}
        where["listen_addresses"] = "127.0.0.1" if self.tcp else ""
        options = {**(self.settings if self._adopted else {}), **where}
        # pg_ctl hands the options to a shell.
        text = " ".join(f"-c '{name}={_plain(value)}'" for name, value in options.items())
        argv = ["-D", os.fspath(self.data), "-l", os.fspath(self.log), "-t", str(WAIT), "-o", text]
        self.run("pg_ctl", *argv, "-w" if wait else "-W", "start")
        return self

    def stop(self, mode: str = "fast") -> None:
        """mode: smart, fast or immediate."""
        self.run("pg_ctl", "-D", os.fspath(self.data), "-m", mode, "-t", str(WAIT), "-w", "stop")

    def restart(self) -> None:
        self.stop()
        self.start()

    def reload(self) -> None:
        self.run("pg_ctl", "-D", os.fspath(self.data), "reload")

    def promote(self) -> None:
        self.run("pg_ctl", "-D", os.fspath(self.data), "-t", str(WAIT), "-w", "promote")

    @property
    def running(self) -> bool:
        status = account.run([self.server.program("pg_ctl"), "-D", self.data, "status"])
        return status.returncode == 0

    def destroy(self) -> None:
        """Stop the server if it runs and remove everything; for the end of a test, so nothing here fails it."""
        with contextlib.suppress(ServerFailedError, OSError):
            if self.running:
                self.stop("immediate")
        account.remove(self.base)

    def __enter__(self) -> Cluster:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.destroy()

    # Work

    def run(self, program: str, *argv: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> str:
        """Run one of the server's programs; its standard output, or ServerFailedError."""
        done = account.run([self.server.program(program), *argv], environ=environ, timeout=4 * WAIT)
        if done.returncode != 0:
            log = self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""
            raise ServerFailedError(f"{program} ended with {done.returncode}\n{done.stdout}{done.stderr}{log}")
        return done.stdout

    def client(self, program: str, *argv: str | os.PathLike[str], database: str = "postgres") -> str:
        """Run a client program (pgbench, pg_basebackup, psql...) that connects to this cluster."""
        environ = {"PGHOST": os.fspath(self.socket_path), "PGPORT": str(self.port), "PGUSER": "postgres"}
        return self.run(program, *argv, environ={**environ, "PGDATABASE": database})

    def dsn(self, database: str = "postgres") -> str:
        name = database.replace("\\", "\\\\").replace("'", "\\'")
        return f"host={self.socket_path} port={self.port} user=postgres dbname='{name}'"

    def connect(self, database: str = "postgres") -> Any:
        """A psycopg2 connection in autocommit mode; the caller closes it."""
        import psycopg2

        connection = psycopg2.connect(self.dsn(database), connect_timeout=WAIT)
        connection.autocommit = True
        return connection

    def sql(self, query: str, *parameters: Any, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements; the rows of the last one, empty when it returns none. A % is doubled with parameters only."""
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def value(self, query: str, *parameters: Any, database: str = "postgres") -> Any:
        """The one value of the one row that a query returns."""
        ((value,),) = self.sql(query, *parameters, database=database)
        return value

    def wait_for(self, query: str, *, seconds: float = WAIT, database: str = "postgres") -> None:
        """Wait until a query returns true; connection failures meanwhile are part of waiting."""
        import psycopg2

        deadline = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < deadline:
            try:
                last = self.value(query, database=database)
                if last is True:
                    return
            except psycopg2.OperationalError as error:
                last = error
            time.sleep(0.05)
        raise TimeoutError(f"after {seconds} s still {last!r}: {query}")

    # Parts

    def tablespace(self, name: str) -> Path:
        """Create a tablespace in a directory of its own; returns the directory."""
        path = account.make_directory(self.base / "ts" / name)
        self.sql(f"create tablespace {name} location '{path}'")
        return path

    def switch_wal(self) -> str:
        """Make sure that something was written, switch, and return the name of the segment that is now complete."""
        self.sql("select pg_logical_emit_message(true, 'test', 'switch')")
        return str(self.value("select pg_walfile_name(pg_switch_wal())"))

    def wait_archived(self, segment: str) -> None:
        """Wait until archive_command has succeeded for a segment."""
        self.wait_for(f"select coalesce(last_archived_wal >= '{segment}', false) from pg_stat_archiver")

    def standby(self, base: Path, settings: Mapping[str, Setting] | None = None) -> Cluster:
        """A running streaming standby, made through the backup functions: some builds have no pg_basebackup."""
        start, stop = ("pg_backup_start", "pg_backup_stop(true)")
        if self.server.major < 15:
            start, stop = ("pg_start_backup", "pg_stop_backup(false, true)")
        copy = Cluster(self.server, base, data=base / "data", settings=settings)
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f"select {start}('standby', true{'' if self.server.major >= 15 else ', false'})")
            shutil.copytree(self.data, copy.data, symlinks=True, ignore=_not_for_a_copy, copy_function=_copy_file)
            _separate_tablespaces(copy)
            cursor.execute(f"select labelfile from {stop}")
            (copy.data / "backup_label").write_text(cursor.fetchone()[0])
        (copy.data / "standby.signal").touch()
        copy.configure(primary_conninfo=self.dsn())
        account.own(copy.base)
        copy.data.chmod(0o700)
        return copy.start()

    @contextlib.contextmanager
    def busy(self, table: str = "busy") -> Iterator[None]:
        """Keep writing into a table, one small transaction after the other, while the block runs."""
        self.sql(f"create table if not exists {table} (id bigserial primary key, at timestamptz, filler text)")
        touch = f"(select (random() * max(id))::bigint from {table})"  # old rows, too: all pages get dirty
        over = threading.Event()
        failed: list[BaseException] = []

        def write() -> None:
            try:
                with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
                    while not over.wait(0.002):
                        cursor.execute(f"insert into {table} (at, filler) values (clock_timestamp(), repeat('x', 500))")
                        cursor.execute(f"update {table} set filler = md5(filler) where id = {touch}")
            except BaseException as error:  # noqa: B902 - it is raised below, in the thread that can report it
                failed.append(error)

        writer = threading.Thread(target=write, name="busy")
        writer.start()
        try:
            yield
        finally:
            over.set()
            writer.join(WAIT)
        if failed:
            raise failed[0]


def _plain(value: Setting) -> str:
    """A value for a server option inside single quotes of a shell."""
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return text.replace("'", "'\\''")


def _not_for_a_copy(folder: str, names: list[str]) -> set[str]:
    in_wal = os.path.basename(folder) == "pg_wal"
    return {
        name
        for name in names
        if name.startswith(("postmaster.", "pgsql_tmp")) or (in_wal and name not in ("archive_status", "summaries"))
    }


def _copy_file(source: str, destination: str) -> None:
    # What a running server removes while it is copied, it does not need: the WAL brings the rest.
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, destination, follow_symlinks=False)


def _separate_tablespaces(copy: Cluster) -> None:
    # On one host the copy needs directories of its own, or both servers would write the same files.
    for link in (copy.data / "pg_tblspc").iterdir():
        path = copy.base / "ts" / link.name
        shutil.copytree(os.readlink(link), path)
        link.unlink()
        link.symlink_to(path)
