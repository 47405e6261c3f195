# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection to a running cluster: settings, backup start and stop, WAL switch, and who is primary.

Connections are asynchronous in libpq's sense, so that a signal ends the command while a query is running, and so that
no wait is without a limit: the server cancels a query after db-timeout, and should even that answer stay away, we let
go of the connection a moment later. Only non-exclusive backups are used; the session that starts one must stay open
until it has stopped it, and the server forgets the backup when the session ends early.
"""

from __future__ import annotations

import logging
import select
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import (
    FATAL,
    ArchiveCommandInvalidError,
    ArchiveDisabledError,
    ConfigError,
    DbConnectError,
    DbMismatchError,
    DbQueryError,
    EngineError,
    FeatureNotSupportedError,
)
from ..version import PRODUCT
from .lsn import parse_lsn, parse_segment, segment_name

if TYPE_CHECKING:
    from ..options import Config, Group
    from .control import Control

log = logging.getLogger("holdfast")

GRACE = 10.0  # seconds that the server gets beyond db-timeout to report that it cancelled the query
OLDEST, EXCLUSIVE_UNTIL = 13, 14  # the oldest version served; the last whose start and stop take an exclusive flag
FIRST_NORMAL_OID = 16384  # what initdb creates lies below (FirstNormalObjectId)
# What an archive_command that hands WAL to this repository format must contain.
ARCHIVERS = ("holdfast", "pgbackrest")

_SETTINGS = ("server_version_num", "data_directory", "archive_mode", "archive_command", "checkpoint_timeout",
             "wal_segment_size")  # fmt: skip
# In a database without encoding names are bytes that nothing can be said of; they stay as they are.
_NAME_BYTES = (
    "pg_catalog.convert_to({}::text,"
    " case pg_catalog.getdatabaseencoding() when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end)"
)


@dataclass(frozen=True)
class BackupStop:
    """What the server hands out at the end of a backup.

    segment: the last one that the backup needs, that is the segment of the last byte before lsn.
    label_text, tablespace_map: contents of the two files; the map is None when there are no tablespaces.
    """

    lsn: int
    segment: str
    label_text: str
    tablespace_map: str | None


@dataclass(frozen=True)
class Clusters:
    """The running clusters of a stanza; what is not there or not wanted is None."""

    primary: Session | None
    standby: Session | None

    def close(self) -> None:
        for session in (self.primary, self.standby):
            if session is not None:
                session.close()


class Session:
    """One connection. DbConnectError when it cannot be made, DbQueryError when it cannot be used.

    pg: the option group of the cluster; version: major; checkpoint_timeout: seconds; segment_size: bytes;
    in_recovery: as it was when the connection was made (still_in_recovery() asks again).
    """

    def __init__(self, pg: Group, timeout: float, connect_timeout: float, application: str) -> None:
        """timeout: seconds for each query (db-timeout); application: what pg_stat_activity shows."""
        self.pg = pg
        self._timeout = timeout
        self._connection = _connect(pg, connect_timeout)
        try:
            self._prepare(application)
        except BaseException:
            self.close()
            raise

    def _prepare(self, application: str) -> None:
        # The server cancels by itself: a cancel request of ours could block for ever on a server that is stuck.
        self.query(f"set statement_timeout = {max(1, round(self._timeout * 1000))}")
        self.query("set search_path = 'pg_catalog'")
        settings = self._settings()
        self.query("set application_name = %s", [application])
        self.query("set max_parallel_workers_per_gather = 0")
        self.version = int(settings["server_version_num"]) // 10000
        if self.version < OLDEST:
            raise FeatureNotSupportedError(f"{self.name}: PostgreSQL {self.version} is too old; {OLDEST} is the oldest")
        self.data_directory: str = settings["data_directory"]
        self.archive_mode: str = settings["archive_mode"]
        self.archive_command: str = settings["archive_command"]
        self.checkpoint_timeout = int(settings["checkpoint_timeout"])
        self.segment_size = int(settings["wal_segment_size"])
        self.in_recovery = self.still_in_recovery()

    def _settings(self) -> dict[str, str]:
        rows = self.query("select name, setting from pg_catalog.pg_settings where name = any(%s)", [list(_SETTINGS)])
        settings = dict(rows)
        missing = [name for name in _SETTINGS if settings.get(name) is None]
        if missing:
            raise DbQueryError(
                f"{self.name}: the database role may not read {', '.join(missing)}",
                "grant the role pg_read_all_settings to it",
            )
        return settings

    @property
    def name(self) -> str:
        """How messages call the cluster: pg1, pg2, ..."""
        return f"pg{self.pg.key}"

    def close(self) -> None:
        """Never fails; a backup that is still running is given up by the server."""
        with suppress(Exception):
            self._connection.close()

    # -- backup

    def backup_start(self, label: str, fast: bool) -> tuple[int, str]:
        """Start a backup; returns its start LSN and the segment of that LSN. fast: do not spread the checkpoint."""
        call = "pg_start_backup(%s, %s, false)" if self.version <= EXCLUSIVE_UNTIL else "pg_backup_start(%s, %s)"
        lsn, segment = self._row(
            f"select lsn::text, pg_catalog.pg_walfile_name(lsn) from pg_catalog.{call} as lsn", [label, fast]
        )
        return parse_lsn(lsn), segment

    def backup_stop(self) -> BackupStop:
        """Stop the backup of this session. Does not wait for WAL: the caller looks for it in the repository itself."""
        call = "pg_stop_backup(false, false)" if self.version <= EXCLUSIVE_UNTIL else "pg_backup_stop(false)"
        text, segment, label_text, tablespace_map = self._row(
            f"select lsn::text, pg_catalog.pg_walfile_name(lsn), labelfile, spcmapfile from pg_catalog.{call}"
        )
        lsn = parse_lsn(text)
        # At a segment boundary the versions disagree on the name, and only the segment before is sure to be archived.
        last = segment_name(parse_segment(segment)[0], lsn - 1, self.segment_size)
        return BackupStop(lsn, last, label_text, tablespace_map if tablespace_map and tablespace_map.strip() else None)

    def current_segment(self) -> str:
        """The segment that is being written."""
        return str(self._value("select pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn())"))

    def switch_wal(self) -> str:
        """End the current segment, so that it is archived; returns its name."""
        return str(self._value("select pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal())"))

    def restore_point(self, name: str) -> None:
        """Write a named restore point, which also makes sure that the current segment is not empty."""
        self._value("select pg_catalog.pg_create_restore_point(%s)", [name])

    def checkpoint(self) -> None:
        self.query("checkpoint")

    # -- state

    def checkpoint_lsn(self) -> int:
        """Where the record of the last checkpoint is."""
        return parse_lsn(self._value("select checkpoint_lsn::text from pg_catalog.pg_control_checkpoint()"))

    def redo_lsn(self) -> int:
        """Where recovery after the last checkpoint would begin: all changes before are in the data files."""
        return parse_lsn(self._value("select redo_lsn::text from pg_catalog.pg_control_checkpoint()"))

    def clock_ms(self) -> int:
        """The server's clock, milliseconds since 1970."""
        clock = "extract(epoch from pg_catalog.clock_timestamp()) * 1000"
        return int(self._value(f"select pg_catalog.floor({clock})::bigint"))

    def databases(self) -> tuple[list[tuple[int, str]], int]:
        """(oid, name) of every database in the order of names, and the oid of template0: the last system oid."""
        rows = self.query(f"select oid::bigint, {_NAME_BYTES.format('datname')} from pg_catalog.pg_database")
        found = sorted(((int(oid), _name(raw)) for oid, raw in rows), key=lambda row: row[1])
        template0 = [oid for oid, name in found if name == "template0"]
        system = template0 or [oid for oid, _database in found if oid < FIRST_NORMAL_OID]
        return found, max(system, default=FIRST_NORMAL_OID - 1)

    def tablespaces(self) -> dict[int, str]:
        """Names by oid, those of PostgreSQL itself included."""
        name = _NAME_BYTES.format("spcname")
        rows = self.query(f"select oid::bigint, {name} from pg_catalog.pg_tablespace order by 1")
        return {int(oid): _name(raw) for oid, raw in rows}

    def replay_lsn(self) -> int | None:
        """How far a standby has replayed; None on a server that is not recovering."""
        text = self._value("select pg_catalog.pg_last_wal_replay_lsn()::text")
        return None if text is None else parse_lsn(text)

    def still_in_recovery(self) -> bool:
        return bool(self._value("select pg_catalog.pg_is_in_recovery()"))

    # -- queries

    def _value(self, query: str, params: Sequence[Any] = ()) -> Any:
        return self._row(query, params)[0]

    def _row(self, query: str, params: Sequence[Any] = ()) -> tuple[Any, ...]:
        rows = self.query(query, params)
        if len(rows) != 1:
            raise DbQueryError(f"{self.name}: {len(rows)} rows instead of one from: {query}")
        return rows[0]

    def query(self, query: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of a statement, none when it returns nothing. Each is committed at once: there is no transaction."""
        import psycopg2

        try:
            cursor = self._connection.cursor()
            cursor.execute(query, params or None)
            _wait(self._connection, self._timeout + GRACE)
            return list(cursor.fetchall()) if cursor.description else []
        except psycopg2.errors.QueryCanceled as error:
            raise DbQueryError(
                f"{self.name}: the server cancelled this query, by db-timeout ({self._timeout:g}s) or on request:"
                f" {query}",
                "is something blocking the server? otherwise increase db-timeout",
            ) from error
        except psycopg2.Error as error:
            raise DbQueryError(f"{self.name}: {_text(error)}\nquery: {query}") from error
        except TimeoutError as error:
            self.close()
            raise DbQueryError(
                f"{self.name}: no answer within db-timeout ({self._timeout:g}s) to: {query}",
                "is the server stopped or its host overloaded?",
            ) from error


def _connect(pg: Group, timeout: float) -> Any:
    """A raw connection. timeout: seconds; DbConnectError names host, port and database, and what libpq said."""
    import psycopg2

    wanted = {"host": pg.socket_path, "user": pg.user}
    try:
        connection = psycopg2.connect(
            dbname=pg.database,
            port=pg.port,
            client_encoding="UTF8",
            async_=1,
            **{name: value for name, value in wanted.items() if value is not None},
        )
        try:
            _wait(connection, timeout)
        except BaseException:
            connection.close()
            raise
    except (psycopg2.Error, TimeoutError) as error:
        reason = f"no answer within {timeout:g}s" if isinstance(error, TimeoutError) else _text(error)
        raise DbConnectError(
            f"pg{pg.key}: unable to connect to database '{pg.database}' on port {pg.port}: {reason}",
            f"is PostgreSQL running, and are pg{pg.key}-port, pg{pg.key}-socket-path and pg{pg.key}-user right?",
        ) from error
    return connection


def _wait(connection: Any, timeout: float) -> None:
    """Until connection has finished what it is doing; TimeoutError after timeout seconds."""
    from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE

    deadline = time.monotonic() + timeout
    events = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}
    while True:
        state = connection.poll()
        if state == POLL_OK:
            return
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        # A new poll object each time: libpq may open another socket while it tries the addresses of a host.
        watch = select.poll()
        watch.register(connection.fileno(), events[state])
        watch.poll(remaining * 1000)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _name(raw: Any) -> str:
    return bytes(raw).decode("utf-8", "surrogateescape")


def connect_all(config: Config) -> list[Session]:
    """A session with every configured cluster that answers, in the order of keys; the others are warnings."""
    try:
        import psycopg2
    except ImportError as error:
        raise ConfigError(
            "the Python package psycopg2 is missing; it is needed to talk to the clusters of the pg options",
            "install psycopg2 for this Python, or work without the server where --no-online exists",
        ) from error
    del psycopg2
    sessions: list[Session] = []
    try:
        for pg in config.pgs:
            try:
                application = f"{PRODUCT} [{config.command}]"
                sessions.append(Session(pg, config.db_timeout, config.io_timeout, application))
            except FATAL:
                raise
            except EngineError as error:
                hint = f"\nHINT: {error.hint}" if error.hint else ""
                log.warning("unable to use pg%d: [%s] %s%s", pg.key, error.label, error.message, hint)
    except BaseException:
        for session in sessions:
            session.close()
        raise
    return sessions


def find_clusters(config: Config) -> Clusters:
    """The primary and the first standby among the configured clusters; DbConnectError when there are two primaries."""
    sessions = connect_all(config)
    primaries = [session for session in sessions if not session.in_recovery]
    standbys = [session for session in sessions if session.in_recovery]
    if len(primaries) > 1:
        for session in sessions:
            session.close()
        raise DbConnectError(
            f"more than one primary: {', '.join(session.name for session in primaries)}",
            "only one of the configured clusters may accept writes; was an old primary started again?",
        )
    for session in standbys[1:]:
        session.close()
    return Clusters(next(iter(primaries), None), next(iter(standbys), None))


def connect_clusters(config: Config) -> Clusters:
    """The clusters that a command needs which must have a primary; the standby only as backup-standby wants it.

    DbConnectError: no primary, two primaries, or no standby although backup-standby is y.
    """
    wanted = config.backup_standby if config.command == "backup" else "n"
    clusters = find_clusters(config)
    try:
        if clusters.primary is None:
            raise DbConnectError(
                "no primary found among the configured clusters",
                "see the warnings above; a command on a standby alone is possible with check only",
            )
        if clusters.standby is None and wanted == "y":
            raise DbConnectError(
                "backup-standby is y, but no standby was found", "is it running? backup-standby=prefer does without"
            )
    except BaseException:
        clusters.close()
        raise
    if clusters.standby is None and wanted == "prefer":
        log.warning("no standby found, using the primary")
    if clusters.standby is not None and wanted == "n":
        clusters.standby.close()
        return Clusters(clusters.primary, None)
    return clusters


def check_cluster(session: Session, control: Control, archive_check: bool, archive_mode_check: bool) -> None:
    """The server is the one whose files we see, and it archives to us.

    DbMismatchError: path or version differ. With archive_check: ArchiveDisabledError, FeatureNotSupportedError for
    archive_mode=always unless archive_mode_check is off, ArchiveCommandInvalidError.
    """
    check_identity(session, control)
    if archive_check:
        check_archiving(session, archive_mode_check)


def check_identity(session: Session, control: Control) -> None:
    """control: read from the files of the configured path. A path is compared as text, as the option says."""
    if session.data_directory != session.pg.path or str(session.version) != control.version:
        raise DbMismatchError(
            f"{session.name}: the server has version {session.version} and data directory {session.data_directory},"
            f" the configured path {session.pg.path} has version {control.version}",
            f"do {session.name}-path and {session.name}-port belong to the same cluster?"
            " the path must be spelled as the server's data_directory",
        )


def check_archiving(session: Session, archive_mode_check: bool) -> None:
    if session.archive_mode == "off":
        raise ArchiveDisabledError(f"{session.name}: archive_mode is off", "set archive_mode=on and restart PostgreSQL")
    if session.archive_mode == "always" and archive_mode_check:
        raise FeatureNotSupportedError(
            f"{session.name}: archive_mode=always is not supported: standbys would push the segments of the primary",
            "set archive_mode=on, or archive-mode-check=n if only one server archives to this stanza",
        )
    if not any(archiver in session.archive_command for archiver in ARCHIVERS):
        raise ArchiveCommandInvalidError(
            f"{session.name}: archive_command does not use {ARCHIVERS[0]}: '{session.archive_command}'",
            f"set archive_command = '{ARCHIVERS[0]} --stanza=NAME archive-push %p'; an archive_library must be empty",
        )
