# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every option, in one place.

The parsers, the help, the Ansible modules' arguments, the reference page and the redaction of secrets all read this
table. Names, units, ranges and defaults are pgBackRest's, so that its configuration files keep their meaning; the
paths, and compress-type, default to our own. An option that we know but cannot do yet has supported=False: it is
ignored with a warning, or, where ignoring it would do something else than was asked for (essential=True), refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .command_table import (
    ALL,
    ARCHIVE,
    BACKUP,
    DRY_RUN,
    EXPIRE,
    GET,
    IO,
    LOCK,
    NONE,
    ONE_REPO,
    PARALLEL,
    PG,
    PG_LOCAL,
    PUSH,
    RESTORE,
    TARGET_TIME,
    commands,
)
from .option_type import (
    BOOLEAN,
    DAY,
    GIB,
    HOUR,
    KIB,
    LIST,
    MAP,
    MIB,
    MINUTE,
    PATH,
    PIB,
    STRING,
    TIB,
    Boolean,
    Choice,
    Integer,
    Name,
    OptionType,
    Size,
    SizeChoice,
    Time,
)

CONFIG_PATH = "/etc/holdfast"
CONFIG_FILE = "holdfast.conf"
CONFIG_INCLUDE = "conf.d"
KEY_MAX = 256  # highest key of an indexed option

COMMAND_LINE = "command-line"  # only there and in the environment
STANZA = "stanza"  # not in a [global] section
ANYWHERE = "anywhere"


class Depends:
    """An option counts only if another one has one of some values (empty: has any), for some commands or for all."""

    def __init__(self, option: str, *values: str, commands: frozenset[str] = NONE) -> None:
        self.option = option
        self.values = values
        self.commands = commands


Choices = Mapping[str, OptionType]
Defaults = Mapping[str, str]


class Option:
    """One option.

    name: without key; group: "pg" or "repo" for those that carry one. type and default may be mappings, by command
    (by="command") or by the value of the option that this one depends on (by="value"); the key "" serves the rest.
    otherwise: the value while the dependency does not hold. required: the commands that cannot do without.
    default_note: what the default is when it is only found at run time. by_command: help and example where they differ.
    """

    def __init__(
        self,
        name: str,
        type: OptionType | Choices,
        commands: frozenset[str],
        help: str,
        *,
        default: str | Defaults | None = None,
        where: str = ANYWHERE,
        depends: Depends | None = None,
        otherwise: str | None = None,
        required: frozenset[str] = NONE,
        by: str = "command",
        secret: bool = False,
        negate: bool = False,
        internal: bool = False,
        supported: bool = True,
        essential: bool = False,
        deprecated: str = "",
        default_note: str = "",
        example: str = "",
        by_command: Mapping[str, tuple[str, str]] | None = None,
    ) -> None:
        self.name = name
        self.type = type
        self.commands = commands
        self.help = help
        self.default = default
        self.where = where
        self.depends = depends
        self.otherwise = otherwise
        self.required = required
        self.by = by
        self.secret = secret
        self.negate = negate or (isinstance(type, Boolean) and where != COMMAND_LINE)
        self.internal = internal
        self.supported = supported
        self.essential = essential
        self.deprecated = deprecated
        self.default_note = default_note
        self.example = example
        self.by_command = by_command or {}
        self.section = ""
        self.group = ""
        self.attribute = name.replace("-", "_")

    def type_for(self, selector: str) -> OptionType:
        """selector: the command, or the value of the option that this one depends on; see `by`."""
        if isinstance(self.type, OptionType):
            return self.type
        return self.type.get(selector) or self.type.get("") or self.any_type

    def default_for(self, selector: str) -> str | None:
        if self.default is None or isinstance(self.default, str):
            return self.default
        return self.default.get(selector, self.default.get(""))

    def depends_for(self, command: str) -> Depends | None:
        """What the option depends on for this command."""
        depends = self.depends
        return depends if depends and (not depends.commands or command in depends.commands) else None

    def help_for(self, command: str) -> str:
        return self.by_command[command][0] if command in self.by_command else self.help

    def example_for(self, command: str) -> str:
        return self.by_command[command][1] if command in self.by_command else self.example

    @property
    def any_type(self) -> OptionType:
        """The type where only its kind matters: whether it is a switch, a list or a map is the same for all."""
        return self.type if isinstance(self.type, OptionType) else next(iter(self.type.values()))

    def full_name(self, key: int = 0) -> str:
        """The name as a person writes it: repo-path of key 2 is repo2-path."""
        return f"{self.group}{key}{self.name[len(self.group) :]}" if self.group else self.name


LEVELS = Choice("off", "error", "warn", "info", "detail", "debug", "trace")
BACKUP_TYPES = Choice("full", "diff", "incr")
TARGET_TYPES = Choice("default", "preserve", "immediate", "standby", "none", "name", "time", "lsn", "xid")
PORT = Integer(1, 65535)
PORT_OR_ZERO = Integer(0, 65535)
KEEP = Integer(1, 9999999)
RETRIES = Integer(0, 360)
STYLE = Choice("host", "path")
HOST_TYPE = Choice("ssh", "tls")

# Help and example of options that mean something else to each command.
_TYPE_NOTES = {
    "backup": (
        "full copies everything; diff what changed since the last full backup; incr what changed since the last backup"
        " of any type. Without a full backup to rest on, a full one is taken.",
        "full",
    ),
    "info": ("Show only backups of this type.", "full"),
    "restore": (
        "How far to recover. default: to the end of the archive. immediate: only until the data is consistent."
        " time, lsn, xid, name: to --target. standby: follow the primary. preserve: keep the recovery settings that"
        " are there. none: no recovery, only for backups that were taken offline.",
        "time",
    ),
}
_FORCE_NOTES = {
    "backup": (
        "Back up with --no-online although PostgreSQL seems to run. The backup is probably not consistent.", ""
    ),
    "restore": (
        "Restore although there are files in the way: everything is copied again and what is not part of the backup"
        " is removed. With --delta, too, files are compared by size and time only.",
        "",
    ),
    "stanza-create": ("Accepted and without effect.", ""),
    "stanza-delete": ("Delete the stanza although PostgreSQL runs.", ""),
    "stop": ("Also end the commands that run.", ""),
}

_COMMAND = (
    Option("stanza", Name(), ALL, "Name of the cluster's configuration to work on.", where=COMMAND_LINE,
           required=ALL - {"check", "info", "repo-get", "repo-ls", "start", "stop"}, example="main"),
    Option("repo", Integer(1, KEY_MAX), ONE_REPO, "Work with this one of the configured repositories only, named by"
           " its key.", where=COMMAND_LINE, default_note="all repositories, or the one with the lowest key, as the"
           " command needs", example="1"),
    Option("set", STRING, commands("annotate expire info restore verify"), "Label of the backup to act on.",
           default={"restore": "latest"}, where=COMMAND_LINE, depends=Depends("stanza", commands=frozenset({"info"})),
           required=frozenset({"annotate"}), example="20260101-010000F_20260102-010000I"),
    Option("type", {"restore": TARGET_TYPES, "": BACKUP_TYPES}, frozenset({"backup", "info", "restore"}),
           "For backup, the type to take; for restore, how far to recover; for info, the type of backup to show.",
           default={"backup": "incr", "restore": "default"}, where=COMMAND_LINE, example="full",
           by_command=_TYPE_NOTES),
    Option("output", {"verify": Choice("none", "text", "json"), "version": Choice("text", "num"),
                      "": Choice("text", "json")},
           frozenset({"info", "repo-ls", "verify", "version"}), "Form of the result on standard output. For verify,"
           " none stays silent unless something is wrong.", default={"verify": "none", "": "text"},
           where=COMMAND_LINE, example="text"),
    Option("dry-run", BOOLEAN, DRY_RUN, "Say what would be done and change nothing.", default="n", where=COMMAND_LINE),
    Option("force", BOOLEAN, commands("backup restore stanza-create stanza-delete stop"),
           "Override a refusal that protects data: back up offline while PostgreSQL seems to run, restore over files"
           " that are in the way, delete a stanza while PostgreSQL runs, or (stop) end running commands.",
           default="n", where=COMMAND_LINE, depends=Depends("online", "n", commands=BACKUP),
           by_command=_FORCE_NOTES),
    Option("online", BOOLEAN, frozenset({"backup", "stanza-create", "stanza-upgrade"}), "Connect to PostgreSQL. With"
           " --no-online the files alone are used, and PostgreSQL has to be stopped.", default="y",
           where=COMMAND_LINE, negate=True),
    Option("detail-level", Choice("full", "progress"), frozenset({"info"}), "How much info reads and shows; progress"
           " only tells what runs at the moment.", default="full", where=COMMAND_LINE),
    Option("oldest", BOOLEAN, frozenset({"expire"}), "Expire the oldest full backup and all that rests on it, if a"
           " newer full backup remains.", default="n", where=COMMAND_LINE, depends=Depends("stanza")),
    Option("archive-expire-before", STRING, frozenset({"expire"}), "WAL older than this segment may go, unless a"
           " backup that remains needs it.", where=COMMAND_LINE, example="000000010000000A000000FF"),
    Option("target", STRING, RESTORE, "Where recovery stops: a time, an LSN, a transaction id or the name of a restore"
           " point, as --type says.", where=COMMAND_LINE, depends=Depends("type", "lsn", "name", "time", "xid"),
           required=RESTORE, example="2026-01-01 12:00:00+00"),
    Option("target-action", Choice("pause", "promote", "shutdown"), RESTORE, "What PostgreSQL does when it has reached"
           " the target.", default="pause", where=COMMAND_LINE,
           depends=Depends("type", "immediate", "lsn", "name", "time", "xid"), example="promote"),
    Option("target-exclusive", BOOLEAN, RESTORE, "Stop just before the target instead of just after it.",
           default="n", where=COMMAND_LINE, depends=Depends("type", "lsn", "time", "xid")),
    Option("target-timeline", STRING, RESTORE, "Timeline that recovery follows: a number, current or latest.",
           where=COMMAND_LINE, depends=Depends("type", "default", "lsn", "name", "standby", "time", "xid"),
           default_note="as PostgreSQL's version has it", example="latest"),
    Option("filter", STRING, frozenset({"repo-ls"}), "Regular expression that a name has to match to be listed.",
           where=COMMAND_LINE, example="^backup"),
    Option("recurse", BOOLEAN, frozenset({"repo-ls"}), "Go down into all directories.", default="n",
           where=COMMAND_LINE),
    Option("sort", Choice("none", "asc", "desc"), frozenset({"repo-ls"}), "Order of the names.", default="asc",
           where=COMMAND_LINE),
    Option("ignore-missing", BOOLEAN, frozenset({"repo-get"}), "A file that does not exist is no error; the exit"
           " status is 1.", default="n", where=COMMAND_LINE),
    Option("raw", BOOLEAN, frozenset({"repo-get"}), "Do not decrypt.", default="n", where=COMMAND_LINE),
    Option("verbose", BOOLEAN, frozenset({"verify"}), "Report on every backup in full.", default="n",
           where=COMMAND_LINE),
    Option("check-content", BOOLEAN, frozenset({"verify"}), "Also decrypt and decompress every file and compare what"
           " comes out, as a restore would. Without it the stored bytes are compared, which is several times as fast"
           " and finds all damage but not what was stored wrongly in the first place.", default="n",
           where=COMMAND_LINE),
    Option("fail-on-error", BOOLEAN, frozenset({"verify"}), "End with exit status 104 when something is wrong, so that"
           " whoever runs verify on a schedule notices. Without it the status is 0 whatever verify finds.",
           default="n", where=COMMAND_LINE),
    Option("report", BOOLEAN, frozenset({"check"}), "Print the configuration that is in effect as JSON and do nothing"
           " else. Secrets are left out.", default="n", where=COMMAND_LINE, internal=True,
           supported=False, essential=True),
    Option("config", STRING, ALL, "Main configuration file. --no-config reads none.",
           where=COMMAND_LINE, negate=True, default_note=f"{CONFIG_PATH}/{CONFIG_FILE}",
           example="/etc/pgbackrest/pgbackrest.conf"),
    Option("config-include-path", PATH, ALL, "Directory whose *.conf files are read after the main configuration"
           " file.", where=COMMAND_LINE, default_note=f"{CONFIG_PATH}/{CONFIG_INCLUDE}",
           example="/etc/holdfast/extra.d"),
    Option("config-path", PATH, ALL, f"Directory in which {CONFIG_FILE} and {CONFIG_INCLUDE} are looked for.",
           where=COMMAND_LINE, default_note=CONFIG_PATH, example="/srv/holdfast/etc"),
    Option("help", BOOLEAN, frozenset({"help"}), "Show help, for the command if there is one.", default="n",
           where=COMMAND_LINE),
    Option("version", BOOLEAN, frozenset({"help"}), "Show the version.", default="n", where=COMMAND_LINE),
    Option("exec-id", STRING, ALL, "Identifies one run; the asynchronous process inherits it.", where=COMMAND_LINE,
           internal=True, default_note="made for each run"),
)

_GENERAL = (
    Option("process-max", Integer(1, 999), PARALLEL, "Number of worker processes that compress and copy files.",
           default="1", example="4"),
    Option("compress-type", Choice("none", "bz2", "gz", "lz4", "zst"), frozenset({"archive-push", "backup"}),
           "How new files in the repository are compressed. Files that exist stay readable whatever is chosen.",
           default="zst", example="gz"),
    Option("compress-level", {"bz2": Integer(1, 9), "gz": Integer(-1, 9), "lz4": Integer(-5, 12),
                              "zst": Integer(-7, 22), "none": Integer(0, 0)}, frozenset({"archive-push", "backup"}),
           "Compression level. Higher is smaller and slower; the range depends on compress-type.",
           default={"bz2": "9", "gz": "6", "lz4": "1", "zst": "3"}, by="value",
           depends=Depends("compress-type", "bz2", "gz", "lz4", "zst"), otherwise="0", example="3"),
    Option("compress", BOOLEAN, frozenset({"archive-push", "backup"}), "Old switch: compress=n is the same as"
           " compress-type=none.", default="y", internal=True),
    Option("compress-level-network", Integer(-5, 12), IO, "Accepted for the sake of existing files; it has no effect.",
           default="1", internal=True),
    Option("delta", BOOLEAN, frozenset({"backup", "restore"}), "Decide by checksum instead of by time and size what has"
           " to be copied. A restore then keeps the files that are right already.", default="n"),
    Option("archive-async", BOOLEAN, ARCHIVE, "Push and get WAL in the background, ahead of PostgreSQL's requests and"
           " in parallel.", default="n"),
    Option("spool-path", PATH, ARCHIVE | RESTORE, "Local directory for acknowledgements and for WAL that was fetched"
           " ahead. It has to be on the same host as PostgreSQL.", default="/var/spool/holdfast",
           depends=Depends("archive-async", "y", commands=ARCHIVE)),
    Option("lock-path", PATH, LOCK, "Directory for lock files and stop files.", default="/run/holdfast"),
    Option("log-path", PATH, ALL, "Directory for log files. It has to exist; without it there is a warning and no"
           " log file.", default="/var/log/holdfast"),
    Option("log-level-console", LEVELS, ALL, "How much is logged to standard error.", default="warn", example="info"),
    Option("log-level-file", LEVELS, ALL, "How much is logged to the log file.", default="info", example="detail"),
    Option("log-level-stderr", LEVELS, ALL, "Lines up to this level are logged to standard error in a short form,"
           " without time and process.", default="off", example="error"),
    Option("log-timestamp", BOOLEAN, ALL, "Start log lines with date and time, and end a command with its duration.",
           default="y"),
    Option("log-subprocess", BOOLEAN, IO, "Accepted for the sake of existing files; what workers do is always logged"
           " with the command.", default="n", internal=True),
    Option("io-timeout", Time(0.1, HOUR), IO, "Longest wait for a read or write over the network to get on.",
           default="1m", example="30s"),
    Option("db-timeout", Time(0.1, 7 * DAY), PG, "Longest wait for one query. A checkpoint at the start of a backup"
           " has to finish within it.", default="30m", example="10m"),
    Option("protocol-timeout", Time(0.1, 7 * DAY), IO, "Longest wait for an answer of a worker. It has to be longer"
           " than db-timeout.", default="31m", example="11m"),
    Option("job-retry", RETRIES, PARALLEL, "How often a worker tries again when a file fails; the first time at"
           " once.", default={"archive-get": "1", "archive-push": "1", "": "2"}, internal=True, example="3"),
    Option("job-retry-interval", Time(0, 15 * MINUTE), PARALLEL, "Pause before the second and each further retry.",
           default="15s", internal=True, example="30s"),
    Option("buffer-size", SizeChoice(*(16 * KIB << step for step in range(11))), IO, "Size of the buffers for input"
           " and output.", default="1MiB", example="4MiB"),
    Option("allow-root", BOOLEAN, ALL, "Allow root to run the command. Files would then belong to root, which the"
           " other commands cannot work with.", default={"restore": "y", "": "n"}),
    Option("neutral-umask", BOOLEAN, ALL - {"info"}, "Ignore the umask, so that directories get mode 0750 and files"
           " 0640.", default="y"),
    Option("priority", Integer(-20, 19), ALL, "Niceness of the process; more is nicer to others.",
           default_note="unchanged", example="10"),
    Option("cmd", STRING, PARALLEL, "Program to start for background work.", default_note="the running program",
           example="/usr/local/bin/holdfast"),
    Option("cmd-ssh", STRING, IO, "SSH client program.", default="ssh", example="/usr/bin/ssh"),
    Option("sck-keep-alive", BOOLEAN, IO, "Ask the operating system to notice dead network connections.",
           default="y"),
    Option("tcp-keep-alive-count", Integer(1, 32), IO, "Probes that may be lost before a connection is given up.",
           depends=Depends("sck-keep-alive", "y"), default_note="the operating system's", example="3"),
    Option("tcp-keep-alive-idle", Integer(1, 3600), IO, "Seconds of silence before the first probe.",
           depends=Depends("sck-keep-alive", "y"), default_note="the operating system's", example="60"),
    Option("tcp-keep-alive-interval", Integer(1, 900), IO, "Seconds between two probes.",
           depends=Depends("sck-keep-alive", "y"), default_note="the operating system's", example="30"),
    Option("sck-block", BOOLEAN, IO, "Accepted for the sake of existing files; it has no effect.", default="n",
           internal=True),
    Option("beta", BOOLEAN, ALL, "Accepted for the sake of existing files; it has no effect.", default="n",
           internal=True),
    Option("tls-cipher-12", STRING, IO, "Allowed ciphers of TLS 1.2.", supported=False),
    Option("tls-cipher-13", STRING, IO, "Allowed ciphers of TLS 1.3.", supported=False),
    *(
        Option(f"tls-server-{rest}", kind, NONE, "Of pgBackRest's own server, which we do not have.", internal=True)
        for rest, kind in (("address", STRING), ("auth", MAP), ("ca-file", STRING), ("cert-file", STRING),
                           ("crl-file", STRING), ("key-file", STRING), ("port", PORT))
    ),
)

_ARCHIVE = (
    Option("archive-timeout", Time(0.1, DAY), ARCHIVE | {"backup", "check"}, "Longest wait for WAL to arrive in the"
           " archive, or for the background process to push or get it.", default="1m", example="2m"),
    Option("archive-check", BOOLEAN, frozenset({"archive-push", "backup", "check"}), "Make sure that archiving works:"
           " a backup is only good when the WAL that it needs has arrived.", default="y",
           depends=Depends("online", "y", commands=BACKUP), otherwise="n"),
    Option("archive-mode-check", BOOLEAN, frozenset({"archive-push", "backup", "check"}), "Refuse archive_mode=always,"
           " which would archive the same WAL from several hosts.", default="y",
           depends=Depends("archive-check", "y"), otherwise="n"),
    Option("archive-header-check", BOOLEAN, PUSH, "Compare version and system identifier in the header of a segment"
           " with the stanza before it is stored.", default="y"),
    Option("archive-push-queue-max", Size(0), PUSH, "When more WAL than this waits to be archived, drop it and report"
           " success, so that PostgreSQL's disk does not fill up. Recovery past the gap is then impossible; take a"
           " backup afterwards.", default_note="unset: nothing is dropped", example="1TiB"),
    Option("archive-push-batch-size", Size(MIB), PUSH, "Most WAL that one background run pushes.", default="16GiB",
           example="1GiB"),
    Option("archive-async-linger", Time(0, DAY), ARCHIVE, "How long the background process goes on watching when there"
           " is nothing to do: that of archive-push for the next segment, that of archive-get until PostgreSQL has"
           " taken one of those that were fetched ahead. 0 ends it at once.", default="60s", example="10m"),
    Option("fast-path", PATH, ARCHIVE, "Where the launcher looks for what it has to know in order to answer by itself;"
           " the launcher sets it.", where=COMMAND_LINE, internal=True),
    Option("archive-get-queue-max", Size(0), GET, "How much WAL is fetched ahead.", default="128MiB", example="1GiB"),
    Option("archive-missing-retry", BOOLEAN, GET, "Ask the repository again for a segment that an earlier background"
           " run did not find.", default="y"),
)

_BACKUP = (
    Option("annotation", MAP, frozenset({"annotate", "backup"}), "A note to keep with the backup. May be given"
           " several times.", required=frozenset({"annotate"}), example="ticket=4711"),
    Option("archive-copy", BOOLEAN, BACKUP, "Also store the WAL that makes the backup consistent in the backup itself,"
           " so that it can be restored without the archive.", default="n",
           depends=Depends("archive-check", "y"), otherwise="n"),
    Option("backup-standby", Choice("n", "prefer", "y"), frozenset({"backup", "check"}), "Copy files from a standby,"
           " to spare the primary. prefer goes on with the primary when there is no standby.", default="n",
           negate=True, example="prefer"),
    Option("checksum-page", BOOLEAN, BACKUP, "Check the checksum of every page that is copied.",
           default_note="y if the cluster has page checksums"),
    Option("checksum-page-fail", BOOLEAN, BACKUP, "Fail with code 26 at the end of a backup that contains invalid"
           " pages. The backup is complete and kept, but nothing is expired, since older backups may be the last ones"
           " without the damage. Without this option there are only warnings.", default="n"),
    Option("page-header-check", BOOLEAN, BACKUP, "Check the header of pages, too.", default="y"),
    Option("exclude", LIST, BACKUP, "Path below the data directory to leave out, with a trailing / for a directory's"
           " content. May be given several times.", example="junk/"),
    Option("expire-auto", BOOLEAN, BACKUP, "Run expire after a successful backup.", default="y"),
    Option("manifest-save-threshold", Size(1, TIB), BACKUP, "Save the list of copied files whenever this much has been"
           " copied; a backup that was interrupted resumes from there.", default="1GiB", example="8GiB"),
    Option("resume", BOOLEAN, BACKUP, "Use what an interrupted backup has copied already.", default="y"),
    Option("start-fast", BOOLEAN, BACKUP, "Start with an immediate checkpoint instead of waiting for the next one.",
           default="n"),
    Option("stop-auto", BOOLEAN, BACKUP, "Accepted for the sake of existing files; a stale backup of ours is always"
           " stopped.", default="n", internal=True,
           deprecated="it has no effect: what PostgreSQL 9.3 to 9.5 needed it for is always done"),
)

_RESTORE = (
    Option("archive-mode", Choice("preserve", "off"), RESTORE, "off disables archiving in the restored cluster, for a"
           " copy that must not write to the archive.", default="preserve", example="off"),
    Option("db-include", LIST, RESTORE, "Restore only this database; the others become empty files and have to be"
           " dropped. May be given several times.", example="shop"),
    Option("db-exclude", LIST, RESTORE, "Do not restore this database. May be given several times.", example="scratch"),
    Option("link-all", BOOLEAN, RESTORE, "Restore all symbolic links as links.", default="n"),
    Option("link-map", MAP, RESTORE, "Where a symbolic link of the data directory shall lead. May be given several"
           " times.", example="pg_wal=/wal/main"),
    Option("tablespace-map", MAP, RESTORE, "Directory for a tablespace, which is named by its name or OID. May be given"
           " several times.", example="ts_01=/data/ts_01"),
    Option("tablespace-map-all", STRING, RESTORE, "Directory below which all tablespaces go.",
           example="/data/tablespaces"),
    Option("recovery-option", MAP, RESTORE, "A further recovery setting of PostgreSQL. May be given several times.",
           depends=Depends("type", "default", "immediate", "lsn", "name", "time", "standby", "xid"),
           example="primary_conninfo=host=db1"),
)

_CHECK_STANZA = Depends("stanza", commands=frozenset({"check"}))
_PG_PATH = Depends("pg-path")
_PG_HOST = Depends("pg-host")
_PG_SSH = Depends("pg-host-type", "ssh")
_PG_TLS = Depends("pg-host-type", "tls")

_PG = (
    Option("pg-path", PATH, PG_LOCAL, "Data directory of the cluster, as PostgreSQL's data_directory has it.",
           where=STANZA, depends=_CHECK_STANZA, required=PG_LOCAL - PUSH, example="/var/lib/postgresql/15/main"),
    Option("pg-port", PORT_OR_ZERO, PG, "Port of PostgreSQL, which is part of the name of its socket.",
           default="5432", where=STANZA, depends=_PG_PATH, example="5433"),
    Option("pg-socket-path", STRING, PG, "Directory of PostgreSQL's socket, or a host name or address for a"
           " connection over TCP. The data directory must be in sight of this host either way.", where=STANZA,
           depends=_PG_PATH, default_note="as libpq was built", example="/var/run/postgresql"),
    Option("pg-database", STRING, PG, "Database to connect to.", default="postgres", where=STANZA, depends=_PG_PATH),
    Option("pg-user", STRING, PG, "Role to connect as.", where=STANZA, depends=_PG_PATH,
           default_note="the operating system user", example="backup"),
    Option("pg-version-force", STRING, PG_LOCAL | {"verify"}, "Treat the cluster as this major version instead of"
           " asking its control file.", where=STANZA, example="15"),
    Option("pg-local", BOOLEAN, PG_LOCAL, "Accepted for the sake of existing files; it has no effect.", default="n",
           where=STANZA, internal=True),
    Option("pg-host", STRING, PG_LOCAL, "Host of the cluster when it is not this one.", where=STANZA, supported=False,
           essential=True, example="db1"),
    Option("pg-host-type", HOST_TYPE, PG, "How to reach that host.", default="ssh", depends=_PG_HOST,
           supported=False),
    Option("pg-host-user", STRING, PG, "User on that host.", default="postgres", where=STANZA, depends=_PG_SSH,
           supported=False),
    Option("pg-host-port", PORT_OR_ZERO, PG, "Port of that host.", default={"tls": "8432"}, where=STANZA,
           depends=Depends("pg-host-type", "ssh", "tls"), by="value", supported=False, example="2222"),
    Option("pg-host-cmd", STRING, PG, "Program to start on that host.", where=STANZA, depends=_PG_SSH, supported=False,
           default_note="the running program"),
    Option("pg-host-config", PATH, PG, "Configuration file on that host.", default=f"{CONFIG_PATH}/{CONFIG_FILE}",
           where=STANZA, depends=_PG_HOST, supported=False),
    Option("pg-host-config-include-path", PATH, PG, "Include directory on that host.",
           default=f"{CONFIG_PATH}/{CONFIG_INCLUDE}", where=STANZA, depends=_PG_HOST, supported=False),
    Option("pg-host-config-path", PATH, PG, "Configuration directory on that host.", default=CONFIG_PATH, where=STANZA,
           depends=_PG_HOST, supported=False),
    Option("pg-host-ca-file", STRING, PG, "CA file for TLS to that host.", depends=_PG_TLS, supported=False),
    Option("pg-host-ca-path", STRING, PG, "CA directory for TLS to that host.", depends=_PG_TLS, supported=False),
    Option("pg-host-cert-file", STRING, PG, "Client certificate for TLS to that host.", depends=_PG_TLS, required=PG,
           supported=False),
    Option("pg-host-key-file", STRING, PG, "Client key for TLS to that host.", depends=_PG_TLS, required=PG,
           supported=False),
)

_BUNDLE = Depends("repo-bundle", "y")
_BLOCK = Depends("repo-block", "y")
_REPO_HOST = Depends("repo-host")
_REPO_SSH = Depends("repo-host-type", "ssh")
_REPO_TLS = Depends("repo-host-type", "tls")
_OBJECT = Depends("repo-type", "azure", "gcs", "s3")

_REPO = (
    Option("repo-type", Choice("posix", "cifs", "azure", "gcs", "s3", "sftp", later=("azure", "gcs", "s3", "sftp")), IO,
           "Kind of storage: posix is a directory, cifs one without links and directory syncs.", default="posix",
           example="posix"),
    Option("repo-path", PATH, IO, "Directory of the repository.", default="/var/lib/holdfast", example="/backup"),
    Option("repo-cipher-type", Choice("none", "aes-256-cbc"), IO, "Encryption of the repository. It cannot be changed"
           " once the stanza exists.", default="none", example="aes-256-cbc"),
    Option("repo-cipher-pass", STRING, IO, "Passphrase of the repository. Make it long and random, and keep a copy"
           " elsewhere: without it no backup can be restored.", depends=Depends("repo-cipher-type", "aes-256-cbc"),
           required=IO, secret=True, example="(the output of: openssl rand -base64 48)"),
    Option("repo-retention-full", KEEP, EXPIRE, "How many full backups to keep, or for how many days, as"
           " retention-full-type says.", default_note="unset: full backups are kept for ever", example="4"),
    Option("repo-retention-full-type", Choice("count", "time"), EXPIRE, "Whether retention-full counts backups or"
           " days.", default="count", example="time"),
    Option("repo-retention-diff", KEEP, EXPIRE, "How many differential backups to keep; full ones count, too.",
           default_note="unset: they go with their full backup", example="3"),
    Option("repo-retention-archive-type", Choice("full", "diff", "incr"), EXPIRE, "Type of backup that"
           " retention-archive counts.", default="full", example="diff"),
    Option("repo-retention-archive", KEEP, EXPIRE, "For how many backups the WAL is kept without a gap. Older backups"
           " keep only the WAL that makes them consistent.", default_note="retention-full or retention-diff, as"
           " retention-archive-type says", example="2"),
    Option("repo-retention-history", Integer(0, 9999999), EXPIRE, "For how many days the manifests of expired backups"
           " are kept.", default_note="unset: for ever", example="365"),
    Option("repo-bundle", BOOLEAN, BACKUP, "Store small files together, which is much faster and saves space.",
           default="n"),
    Option("repo-bundle-size", Size(MIB, PIB), BACKUP, "Size at which a bundle is full.", default="20MiB",
           depends=_BUNDLE, example="64MiB"),
    Option("repo-bundle-limit", Size(8 * KIB, PIB), BACKUP, "Largest file that goes into a bundle.", default="2MiB",
           depends=_BUNDLE, example="8MiB"),
    Option("repo-block", BOOLEAN, BACKUP, "Store only the changed blocks of large files in diff and incr backups.",
           default="n", depends=_BUNDLE, otherwise="n"),
    Option("repo-block-size-map", MAP, BACKUP, "Block size by file size. May be given several times.", depends=_BLOCK,
           internal=True, example="1GiB=128KiB"),
    Option("repo-block-age-map", MAP, BACKUP, "Factor of the block size by age in days. May be given several times.",
           depends=_BLOCK, internal=True, example="7=2"),
    Option("repo-block-checksum-size-map", MAP, BACKUP, "Size of a block's checksum by block size. May be given several"
           " times.", depends=_BLOCK, internal=True, example="64KiB=8"),
    Option("repo-block-size-super", Size(32 * KIB, 16 * MIB), BACKUP, "Size of a super block in diff and incr backups.",
           default="256KiB", depends=_BLOCK, internal=True, example="512KiB"),
    Option("repo-block-size-super-full", Size(32 * KIB, 16 * MIB), BACKUP, "Size of a super block in full backups.",
           default="1MiB", depends=_BLOCK, internal=True, example="2MiB"),
    Option("repo-hardlink", BOOLEAN, BACKUP, "Hard-link unchanged files from the prior backup, so that every backup"
           " directory is complete.", default="n", depends=Depends("repo-bundle", "n"), otherwise="n"),
    Option("repo-symlink", BOOLEAN, EXPIRE, "Make the link `latest` and the links of tablespaces.", default="y",
           depends=Depends("repo-type", "posix"), otherwise="n"),
    Option("repo-target-time", STRING, TARGET_TIME, "Read a repository with versions as it was at this time.",
           supported=False, essential=True, example="2026-01-01 12:00:00+00"),
    Option("repo-local", BOOLEAN, IO, "Accepted for the sake of existing files; it has no effect.", default="n",
           internal=True),
    Option("repo-host", STRING, IO, "Host of the repository when it is not this one.", supported=False, essential=True,
           example="backup1"),
    Option("repo-host-type", HOST_TYPE, IO, "How to reach that host.", default="ssh", depends=_REPO_HOST,
           supported=False),
    Option("repo-host-user", STRING, IO, "User on that host.", default="pgbackrest", depends=_REPO_SSH,
           supported=False),
    Option("repo-host-port", PORT_OR_ZERO, IO, "Port of that host.", default={"tls": "8432"},
           depends=Depends("repo-host-type", "ssh", "tls"), by="value", supported=False, example="2222"),
    Option("repo-host-cmd", STRING, IO, "Program to start on that host.", depends=_REPO_SSH, supported=False,
           default_note="the running program"),
    Option("repo-host-config", STRING, IO, "Configuration file on that host.", default=f"{CONFIG_PATH}/{CONFIG_FILE}",
           depends=_REPO_HOST, supported=False),
    Option("repo-host-config-include-path", PATH, IO, "Include directory on that host.",
           default=f"{CONFIG_PATH}/{CONFIG_INCLUDE}", depends=_REPO_HOST, supported=False),
    Option("repo-host-config-path", PATH, IO, "Configuration directory on that host.", default=CONFIG_PATH,
           depends=_REPO_HOST, supported=False),
    Option("repo-host-ca-file", STRING, IO, "CA file for TLS to that host.", depends=_REPO_TLS, supported=False),
    Option("repo-host-ca-path", STRING, IO, "CA directory for TLS to that host.", depends=_REPO_TLS, supported=False),
    Option("repo-host-cert-file", STRING, IO, "Client certificate for TLS to that host.", depends=_REPO_TLS,
           required=IO, supported=False),
    Option("repo-host-key-file", STRING, IO, "Client key for TLS to that host.", depends=_REPO_TLS, required=IO,
           supported=False),
)

_S3 = Depends("repo-type", "s3")
_S3_SHARED = Depends("repo-s3-key-type", "shared")
_AZURE = Depends("repo-type", "azure")
_GCS = Depends("repo-type", "gcs")
_GCS_KEY_TYPE = Depends("repo-gcs-key-type")
_SFTP = Depends("repo-type", "sftp")
_AT_LEAST_4M = Size(4 * MIB, GIB)

_OBJECTS = (
    Option("repo-storage-host", STRING, IO, "Host to connect to instead of the endpoint.",
           depends=Depends("repo-type", "azure", "s3"), example="127.0.0.1"),
    Option("repo-storage-port", PORT, IO, "Port of that host.", default="443",
           depends=Depends("repo-type", "azure", "s3"), example="9000"),
    Option("repo-storage-verify-tls", BOOLEAN, IO, "Check the certificate of the server.", default="y",
           depends=_OBJECT),
    Option("repo-storage-ca-file", STRING, IO, "File with certificates of authorities to trust.", depends=_OBJECT,
           default_note="the operating system's", example="/etc/ssl/certs/ca-bundle.crt"),
    Option("repo-storage-ca-path", PATH, IO, "Directory with certificates of authorities to trust.", depends=_OBJECT,
           default_note="the operating system's", example="/etc/ssl/certs"),
    Option("repo-storage-tag", MAP, IO, "Tag of every object that is written. May be given several times.",
           depends=_OBJECT, example="team=dba"),
    Option("repo-storage-upload-chunk-size", {"s3": Size(5 * MIB, GIB), "azure": _AT_LEAST_4M, "gcs": _AT_LEAST_4M}, IO,
           "Size of the parts in which a large object is written.",
           default={"azure": "4MiB", "gcs": "4MiB", "s3": "5MiB"}, by="value", depends=_OBJECT, example="16MiB"),
    Option("repo-storage-prefetch", Integer(0, 1024), IO, "How many requests a read makes ahead.", default="3",
           depends=_OBJECT, example="8"),
    Option("repo-storage-read-over", Size(0, MIB), IO, "Gap up to which a read goes on instead of making a new"
           " request.", default="64KiB", depends=_OBJECT, example="256KiB"),
    Option("repo-s3-bucket", STRING, IO, "Bucket.", depends=_S3, required=IO, example="backup"),
    Option("repo-s3-endpoint", STRING, IO, "Endpoint.", depends=_S3, required=IO,
           example="s3.eu-central-1.amazonaws.com"),
    Option("repo-s3-region", STRING, IO, "Region.", depends=_S3, required=IO, example="eu-central-1"),
    Option("repo-s3-key-type", Choice("shared", "auto", "web-id", "pod-id", "process"), IO, "Where credentials come"
           " from: given here, the instance's role, a web identity, a pod identity or a program.", default="shared",
           depends=_S3, example="auto"),
    Option("repo-s3-key", STRING, IO, "Access key.", depends=_S3_SHARED, required=IO, secret=True),
    Option("repo-s3-key-secret", STRING, IO, "Secret key.", depends=_S3_SHARED, required=IO, secret=True),
    Option("repo-s3-token", STRING, IO, "Session token.", depends=_S3_SHARED, secret=True),
    Option("repo-s3-role", STRING, IO, "Name of the instance's role.", depends=Depends("repo-s3-key-type", "auto"),
           default_note="found out", example="backup"),
    Option("repo-s3-process-cmd", LIST, IO, "Program, and each of its arguments, that prints credentials as JSON.",
           depends=Depends("repo-s3-key-type", "process"), required=IO, example="/usr/local/bin/credentials"),
    Option("repo-s3-sts-host", STRING, IO, "Host of the token service.", default="sts.amazonaws.com",
           depends=Depends("repo-s3-key-type", "web-id")),
    Option("repo-s3-kms-key-id", STRING, IO, "Key of the key service with which the server encrypts.", depends=_S3,
           example="bceb4f13-6939-4be3-910d-df54dee817b7"),
    Option("repo-s3-sse-customer-key", STRING, IO, "Our own key with which the server encrypts.", depends=_S3,
           secret=True),
    Option("repo-s3-uri-style", STYLE, IO, "Whether the bucket is in the host name or in the path.", default="host",
           depends=_S3, example="path"),
    Option("repo-s3-requester-pays", BOOLEAN, IO, "Accept the cost of requests to somebody else's bucket.", default="n",
           depends=_S3),
    Option("repo-s3-service", STRING, IO, "Service name in the signature of requests.", default="s3", depends=_S3),
    Option("repo-azure-account", STRING, IO, "Storage account.", depends=_AZURE, required=IO, secret=True),
    Option("repo-azure-container", STRING, IO, "Container.", depends=_AZURE, required=IO, example="backup"),
    Option("repo-azure-key-type", Choice("shared", "sas", "auto"), IO, "Kind of key: shared key, SAS token or managed"
           " identity.", default="shared", depends=_AZURE, example="sas"),
    Option("repo-azure-key", STRING, IO, "Shared key or SAS token.",
           depends=Depends("repo-azure-key-type", "shared", "sas"), secret=True),
    Option("repo-azure-endpoint", STRING, IO, "Endpoint.", default="blob.core.windows.net", depends=_AZURE,
           secret=True),
    Option("repo-azure-uri-style", STYLE, IO, "Whether the account is in the host name or in the path.",
           default="host", depends=_AZURE, example="path"),
    Option("repo-gcs-bucket", STRING, IO, "Bucket.", depends=_GCS_KEY_TYPE, required=IO, example="backup"),
    Option("repo-gcs-key-type", Choice("service", "token", "auto"), IO, "Kind of key: service key file, token or the"
           " instance's account.", default="service", depends=_GCS, example="auto"),
    Option("repo-gcs-key", STRING, IO, "Service key file or token.", depends=Depends("repo-gcs-key-type", "service",
           "token"), required=IO, secret=True),
    Option("repo-gcs-endpoint", STRING, IO, "Endpoint.", default="storage.googleapis.com", depends=_GCS_KEY_TYPE),
    Option("repo-gcs-user-project", STRING, IO, "Project that pays for requests.", supported=False,
           example="my-project"),
    Option("repo-sftp-host", STRING, IO, "Host.", depends=_SFTP, required=IO, example="backup1"),
    Option("repo-sftp-host-port", PORT, IO, "Port.", default="22", depends=_SFTP, example="2222"),
    Option("repo-sftp-host-user", STRING, IO, "User.", depends=_SFTP, required=IO, example="backup"),
    Option("repo-sftp-private-key-file", STRING, IO, "File with the private key.", depends=_SFTP, required=IO,
           example="/var/lib/postgresql/.ssh/id_ed25519"),
    Option("repo-sftp-private-key-passphrase", STRING, IO, "Passphrase of the private key.", depends=_SFTP,
           secret=True),
    Option("repo-sftp-public-key-file", STRING, IO, "File with the public key.", depends=_SFTP,
           default_note="derived from the private key", example="/var/lib/postgresql/.ssh/id_ed25519.pub"),
    Option("repo-sftp-host-key-hash-type", Choice("md5", "sha1", "sha256"), IO, "Hash in which fingerprints of host"
           " keys are given.", depends=_SFTP, required=IO, example="sha256"),
    Option("repo-sftp-host-key-check-type", Choice("accept-new", "fingerprint", "none", "strict"), IO, "Which host keys"
           " are accepted: known ones (strict), unknown ones, too (accept-new), one fingerprint, or any (none, which"
           " is unsafe).", default="strict", depends=_SFTP, example="accept-new"),
    Option("repo-sftp-host-fingerprint", STRING, IO, "Fingerprint of the only host key to accept.",
           depends=Depends("repo-sftp-host-key-check-type", "fingerprint", "strict"),
           example="f84e172dfead7aeeeae6c1fdfb5aa8cf"),
    Option("repo-sftp-known-host", LIST, IO, "File with known host keys. May be given several times.",
           depends=Depends("repo-sftp-host-key-check-type", "accept-new", "strict"),
           default_note="those of OpenSSH", example="/etc/ssh/ssh_known_hosts"),
)

GROUPS = ("pg", "repo")
UNGROUPED = ("pg-version-force", "repo-target-time", "repo")  # look as if they had a key, but have none
SECTIONS = (
    ("command", _COMMAND),
    ("general", _GENERAL),
    ("archive", _ARCHIVE),
    ("backup", _BACKUP),
    ("restore", _RESTORE),
    ("PostgreSQL", _PG),
    ("repository", _REPO),
    ("remote storage", _OBJECTS),
)


def option_table(sections: Iterable[tuple[str, tuple[Option, ...]]]) -> dict[str, Option]:
    """The options by name, each told its section and its group."""
    table: dict[str, Option] = {}
    for section, options in sections:
        for option in options:
            option.section = section
            if option.name not in UNGROUPED:
                option.group = next((group for group in GROUPS if option.name.startswith(f"{group}-")), "")
            table[option.name] = option
    return table


OPTIONS: dict[str, Option] = option_table(SECTIONS)


def is_usable(option: Option) -> bool:
    """Whether the option can have an effect: it is supported, and so is what it depends on."""
    if option.depends is not None and option.depends.values:
        other = OPTIONS[option.depends.option]
        kind = other.any_type
        if isinstance(kind, Choice) and set(option.depends.values) <= set(kind.later):
            return False
    return option.supported and (option.depends is None or is_usable(OPTIONS[option.depends.option]))


class OldName:
    """A name of former days: what it is called now, and whether it goes with a key, without one, or both."""

    def __init__(self, option: str, bare: bool, keyed: bool) -> None:
        self.option = option
        self.bare = bare
        self.keyed = keyed


def _old_names() -> dict[str, OldName]:
    names = {"archive-queue-max": OldName("archive-push-queue-max", True, False)}
    for old, new in (("path", "path"), ("host", "host"), ("cmd", "host-cmd"), ("config", "host-config"),
                     ("ssh-port", "host-port"), ("user", "host-user"), ("port", "port"),
                     ("socket-path", "socket-path")):
        names[f"db-{old}"] = OldName(f"pg-{new}", True, True)
        if old not in ("path", "port", "socket-path"):
            names[f"backup-{old}"] = OldName(f"repo-{new}", True, False)
    for old in ("hardlink", "retention-full", "retention-diff", "retention-archive", "retention-archive-type"):
        names[old] = OldName(f"repo-{old}", True, False)
    for old in ("type", "path", "cipher-type", "cipher-pass", "s3-bucket", "s3-endpoint", "s3-region", "s3-key",
                "s3-key-secret"):
        names[f"repo-{old}"] = OldName(f"repo-{old}", True, False)
    for old, new, bare in (("s3-host", "host", True), ("azure-host", "host", False), ("s3-port", "port", False),
                           ("azure-port", "port", False), ("s3-verify-ssl", "verify-tls", True),
                           ("s3-verify-tls", "verify-tls", False), ("azure-verify-tls", "verify-tls", False),
                           ("s3-ca-file", "ca-file", True), ("azure-ca-file", "ca-file", False),
                           ("s3-ca-path", "ca-path", True), ("azure-ca-path", "ca-path", False)):
        names[f"repo-{old}"] = OldName(f"repo-storage-{new}", bare, True)
    return names


OLD_NAMES: dict[str, OldName] = _old_names()
