# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cluster that is backed up: a running one, asked over its connection, or a stopped one that only has files.

Both answer the same questions, so that a backup is written once: whose files are these, what time is it, what
tablespaces and databases are there, where does recovery start and end.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..errors import (
    ArchiveTimeoutError,
    AssertError,
    BackupMismatchError,
    DbMismatchError,
    KernelError,
    PgRunningError,
)
from ..postgres.control import Control
from ..postgres.control_file import load_control
from ..postgres.lsn import render_lsn
from ..version import PRODUCT
from ..wait import passes

if TYPE_CHECKING:
    from ..format.archive_info import PgHistory
    from ..options import Config
    from ..postgres.server import Session

log = logging.getLogger("holdfast")

ROLE_PAUSE = 30.0  # seconds between two looks at whether the server still is what it was


@dataclass(frozen=True)
class Start:
    """lsn, segment: where recovery starts; checked_segment: its arrival in the archive proves that archiving works."""

    lsn: int
    segment: str
    checked_segment: str


@dataclass(frozen=True)
class Stop:
    """lsn, segment: where recovery may end; label, tablespace_map: contents of those files, None without a map."""

    lsn: int
    segment: str
    label: str
    tablespace_map: str | None


class Source(Protocol):
    """The cluster of a backup. online: it runs; tablespaces, databases are known only then.

    path: its data directory. standby_path: that of the standby which the files come from that it may be read from, None
    when all come from path.
    """

    control: Control

    @property
    def online(self) -> bool: ...

    @property
    def path(self) -> str: ...

    @property
    def standby_path(self) -> str | None: ...

    def clock(self) -> float:
        """Epoch seconds by the cluster's clock."""

    def start(self) -> Start | None:
        """Begin the backup in the server; None offline."""

    def wait_for_standby(self, start: Start) -> None:
        """Until the files of the standby, if there is one, hold all that was written before the start."""

    def tablespaces(self) -> dict[int, str] | None:
        """Names by oid; None offline."""

    def databases(self) -> dict[str, tuple[int, int]]:
        """(oid, oid of template0) by name; empty offline."""

    def beat(self) -> None:
        """Called often while files are copied; looks at the roles now and then."""

    def check_roles(self) -> None:
        """DbMismatchError when the server is no longer what it was."""

    def stop(self) -> Stop | None:
        """End the backup in the server; None offline."""

    def close(self) -> None:
        """Let go of the connection; a backup that is still running is given up by the server."""


class RunningCluster:
    """A cluster that serves connections: the primary among the configured ones, and the standby if one is used."""

    online = True

    def __init__(self, config: Config) -> None:
        from ..postgres.server import check_cluster, connect_clusters

        self._config = config
        self._next_look = time.monotonic() + ROLE_PAUSE
        clusters = connect_clusters(config)
        if clusters.primary is None:
            raise AssertError("connect_clusters() returned no primary")
        self._session = clusters.primary
        self._standby = Standby(config, clusters.standby) if clusters.standby is not None else None
        self.standby_path = clusters.standby.pg.path if clusters.standby is not None else None
        try:
            self.path = self._session.pg.path
            self.control = load_control(self.path, config.pg_version_force)
            check_cluster(self._session, self.control, config.archive_check, config.archive_mode_check)
        except BaseException:
            self.close()
            raise

    def clock(self) -> float:
        return self._session.clock_ms() / 1000

    def start(self) -> Start:
        session, config = self._session, self._config
        if not config.start_fast and config.db_timeout <= session.checkpoint_timeout:
            log.warning(
                "start-fast is disabled and db-timeout (%gs) is not longer than the server's checkpoint_timeout (%gs)\n"
                "HINT: enable start-fast, or the backup may time out waiting for a checkpoint.",
                config.db_timeout, session.checkpoint_timeout,
            )  # fmt: skip
        before = session.current_segment() if config.archive_check else ""
        stamp = time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(self.clock()))
        log.info("execute %s backup start: backup begins after the %s checkpoint completes",
                 "non-exclusive", "requested immediate" if config.start_fast else "next regular")  # fmt: skip
        lsn, segment = session.backup_start(f"{PRODUCT} backup started at {stamp}", config.start_fast)
        log.info("backup start archive = %s, lsn = %s", segment, render_lsn(lsn))
        self._check_start(lsn, segment)
        if config.archive_check and before == segment:
            # Nothing was written since the last switch: without a record of ours there would be nothing to archive.
            session.restore_point(f"{PRODUCT} Archive Check")
            session.switch_wal()
        return Start(lsn, segment, before or segment)

    def wait_for_standby(self, start: Start) -> None:
        if self._standby is not None:
            self._standby.wait_for(start.lsn, self.control.timeline)

    def _check_start(self, lsn: int, segment: str) -> None:
        control = load_control(self.path, self._config.pg_version_force)
        if control.checkpoint < lsn:
            raise DbMismatchError(
                f"the checkpoint in the control file of {self.path} ({render_lsn(control.checkpoint)}) is before the "
                f"start of the backup ({render_lsn(lsn)})",
                "is pg1-path the data directory of this very server, on a file system that is up to date?",
            )
        if int(segment[:8], 16) != self.control.timeline:
            raise DbMismatchError(
                f"the backup starts on timeline {int(segment[:8], 16)}, the control file of {self.path} says "
                f"{self.control.timeline}",
                "was the server promoted while the backup started? Run it again",
            )

    def tablespaces(self) -> dict[int, str]:
        return self._session.tablespaces()

    def databases(self) -> dict[str, tuple[int, int]]:
        rows, last_system = self._session.databases()
        return {name: (oid, last_system) for oid, name in rows}

    def beat(self) -> None:
        if time.monotonic() >= self._next_look:
            self.check_roles()

    def check_roles(self) -> None:
        self._next_look = time.monotonic() + ROLE_PAUSE
        if self._session.still_in_recovery():
            raise DbMismatchError("the primary has become a standby during the backup", "run the backup again")
        if self._standby is not None:
            self._standby.check_role()

    def stop(self) -> Stop:
        log.info("execute non-exclusive backup stop and wait for all WAL segments to archive")
        stop = self._session.backup_stop()
        log.info("backup stop archive = %s, lsn = %s", stop.segment, render_lsn(stop.lsn))
        return Stop(stop.lsn, stop.segment, stop.label_text, stop.tablespace_map)

    def close(self) -> None:
        self._session.close()
        if self._standby is not None:
            self._standby.close()


class Standby:
    """A standby whose files are copied in place of the primary's.

    Its data directory must be in sight, like the primary's. What it has not replayed yet, the WAL of the backup brings:
    so all that is asked of it is to have replayed, and written, everything before the start.
    """

    def __init__(self, config: Config, session: Session) -> None:
        self._config = config
        self._session = session
        self.path: str = session.pg.path

    def wait_for(self, lsn: int, timeline: int) -> None:
        """lsn: start of the backup. DbMismatchError: another cluster or timeline; ArchiveTimeoutError: no progress."""
        from ..postgres.server import check_identity as check_files

        session, name = self._session, self._session.name
        control = self._control()
        check_files(session, control)
        if control.checkpoint > lsn:
            raise DbMismatchError(
                f"the checkpoint of standby {name} ({render_lsn(control.checkpoint)}) is after the start of the backup "
                f"({render_lsn(lsn)})",
                f"does {name} follow this primary?",
            )
        log.info("wait for replay on the standby %s to reach %s", name, render_lsn(lsn))
        self._wait_for_replay(lsn)
        session.checkpoint()
        for _pass in passes(self._config.archive_timeout):
            control = self._control()
            if control.checkpoint >= lsn:
                break
        else:
            raise ArchiveTimeoutError(
                f"the checkpoint of standby {name} ({render_lsn(control.checkpoint)}) did not reach "
                f"{render_lsn(lsn)} within {self._config.archive_timeout:g}s",
                "is replay paused, or the standby overloaded? archive-timeout can be increased",
            )
        if control.timeline != timeline:
            raise DbMismatchError(
                f"standby {name} is on timeline {control.timeline}, the primary on {timeline}",
                "does it follow this primary? Is recovery_target_timeline = 'latest'?",
            )
        log.info("replay on the standby %s reached %s", name, render_lsn(lsn))

    def _wait_for_replay(self, lsn: int) -> None:
        """Until replay is past lsn; as long as it advances, however slowly, the time limit counts anew."""
        reached = -1
        while True:
            before = reached
            for _pass in passes(self._config.archive_timeout):
                replayed = self._session.replay_lsn()
                if replayed is None:
                    raise ArchiveTimeoutError(
                        f"{self._session.name} has no replay position: it is not a standby", "was it promoted?"
                    )
                if replayed > lsn:
                    return
                if replayed > reached:
                    reached = replayed
            if reached == before:
                raise ArchiveTimeoutError(
                    f"replay on standby {self._session.name} stopped at {render_lsn(reached)}, the backup starts at "
                    f"{render_lsn(lsn)}: no progress within {self._config.archive_timeout:g}s",
                    "is replication interrupted, or replay paused? archive-timeout can be increased",
                )

    def _control(self) -> Control:
        return load_control(self.path, self._config.pg_version_force)

    def check_role(self) -> None:
        if not self._session.still_in_recovery():
            raise DbMismatchError(
                f"standby {self._session.name} was promoted during the backup", "run the backup again"
            )

    def close(self) -> None:
        self._session.close()


class StoppedCluster:
    """A data directory that no server uses: everything needed to start again is in its files."""

    online = False
    standby_path = None

    def __init__(self, config: Config) -> None:
        if config.backup_standby != "n":
            log.warning("--no-online was given together with backup-standby: files are copied from the primary")
        self.path = config.pgs[0].path
        self.control = load_control(self.path, config.pg_version_force)
        self._force = config.force

    def check_stopped(self) -> None:
        """PgRunningError when there is a postmaster.pid; with --force only a warning."""
        pid_file = os.path.join(self.path, "postmaster.pid")
        if not os.path.lexists(pid_file):
            return
        if not self._force:
            raise PgRunningError(
                f"--no-online was given but {pid_file} is there: the server seems to run",
                "stop the server, or leave out --no-online; --force makes a backup that is probably inconsistent",
            )
        log.warning(
            "--no-online was given and %s is there but --force too: the backup is probably inconsistent", pid_file
        )

    def clock(self) -> float:
        return time.time()

    def start(self) -> None:
        self.check_stopped()

    def wait_for_standby(self, start: Start) -> None:
        return None

    def tablespaces(self) -> None:
        return None

    def databases(self) -> dict[str, tuple[int, int]]:
        return {}

    def beat(self) -> None:
        return None

    def check_roles(self) -> None:
        return None

    def stop(self) -> None:
        return None

    def close(self) -> None:
        return None


def open_source(config: Config) -> RunningCluster | StoppedCluster:
    return RunningCluster(config) if config.online else StoppedCluster(config)


def check_identity(control: Control, current: PgHistory, path: str) -> None:
    """BackupMismatchError unless the cluster is the one the stanza was made (or upgraded) for."""
    if (control.version, control.system_id) != (current.version, current.system_id):
        raise BackupMismatchError(
            f"the cluster in {path} is PostgreSQL {control.version} with system id {control.system_id}, the stanza "
            f"belongs to {current.version} with system id {current.system_id}",
            "is this the right stanza? After an upgrade of PostgreSQL run stanza-upgrade",
        )


def next_second(clock: Callable[[], float], online: bool) -> tuple[int, int]:
    """Wait until the clock's second is over; returns (that second, start of copying).

    Times of files have a granularity of a second: what is changed later in the second in which it was listed would look
    unchanged to the next backup. Offline nothing changes, so nothing is waited for.
    """
    now = clock()
    second = int(now)
    if not online:
        return second, second
    for _other in range(3):
        time.sleep(max(0.0, second + 1 - now) + 0.005)
        now = clock()
        if int(now) > second:
            return second, second + 1
    raise KernelError(
        f"the server's clock did not advance past {second} in three tries", "is its clock stopped or set back?"
    )
