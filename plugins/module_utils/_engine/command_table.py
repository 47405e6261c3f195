# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every command, and the sets of commands that options are for."""

from __future__ import annotations


class Command:
    """A command: what help and the parsers need to know of it.

    parameters: how usage shows them, empty when it takes none. quiet: its begin and end are debug lines, because its
    output is for programs. log_file: it writes one unless told otherwise. roles: besides the main one.
    """

    def __init__(
        self,
        name: str,
        summary: str,
        description: str,
        example: str,
        *,
        parameters: str = "",
        quiet: bool = False,
        log_file: bool = False,
        roles: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.summary = summary
        self.description = description
        self.example = example
        self.parameters = parameters
        self.quiet = quiet
        self.log_file = log_file
        self.roles = roles


COMMANDS: dict[str, Command] = {
    command.name: command
    for command in (
        Command(
            "annotate",
            "change the annotations of a backup",
            "Adds, changes or (with an empty value) removes key=value notes on a backup that exists.",
            "holdfast --stanza=main --set=20260101-010000F --annotation=ticket=4711 annotate",
        ),
        Command(
            "archive-get",
            "fetch a WAL file from the archive; PostgreSQL's restore_command",
            "Copies one WAL segment or history file from the repository to the given place. The exit status is 1 when"
            " no repository has it, which tells PostgreSQL that recovery has reached the end of the archive.",
            "restore_command = 'holdfast --stanza=main archive-get %f \"%p\"'",
            parameters="<WAL file name> <destination>",
            roles=("async",),
        ),
        Command(
            "archive-push",
            "store a WAL file in the archive; PostgreSQL's archive_command",
            "Copies one WAL segment or history file to every repository. It reports success only when the file is"
            " durable in all of them, so PostgreSQL may recycle it.",
            "archive_command = 'holdfast --stanza=main archive-push %p'",
            parameters="<WAL file>",
            roles=("async",),
        ),
        Command(
            "backup",
            "back up a cluster",
            "Takes a full, differential or incremental backup while the cluster runs, then expires what the retention"
            " lets go of.",
            "holdfast --stanza=main --type=full backup",
            log_file=True,
        ),
        Command(
            "check",
            "prove that archiving and the configuration work",
            "Connects to the cluster, compares it with the stanza, switches WAL and waits until the segment has"
            " arrived in every repository. Without --stanza, all configured stanzas are checked.",
            "holdfast --stanza=main check",
        ),
        Command(
            "checkpoint",
            "force a checkpoint",
            "Runs CHECKPOINT on the primary, so that a backup, a restart or a snapshot that follows is quick.",
            "holdfast --stanza=main checkpoint",
        ),
        Command(
            "expire",
            "remove backups and WAL that the retention lets go of",
            "Removes the backups beyond the configured retention, and the WAL that no remaining backup needs. Every"
            " backup ends with it, so it is rarely run by hand.",
            "holdfast --stanza=main --dry-run expire",
            log_file=True,
        ),
        Command(
            "help",
            "show help for a command or an option",
            "Shows all commands, one command with its options, or one option in full.",
            "holdfast help backup compress-type",
            parameters="[<command> [<option>]]",
            quiet=True,
        ),
        Command(
            "info",
            "show backups and archived WAL",
            "Shows for each stanza its state, its backups and the WAL range in the archive, as text or as JSON.",
            "holdfast --output=json info",
            quiet=True,
        ),
        Command(
            "repo-get",
            "print a file of the repository",
            "Writes one file of the repository to standard output, decrypted unless --raw is given. Nothing is"
            " decompressed.",
            "holdfast repo-get backup/main/backup.info",
            parameters="<file>",
            quiet=True,
        ),
        Command(
            "repo-ls",
            "list files of the repository",
            "Lists a directory of the repository, relative to its root.",
            "holdfast --recurse repo-ls backup/main",
            parameters="[<path>]",
            quiet=True,
        ),
        Command(
            "restore",
            "bring back a cluster from a backup",
            "Restores a backup into the data directory and writes the recovery settings, so that PostgreSQL recovers"
            " to the wanted moment when it is started. PostgreSQL has to be stopped. A directory that is not empty is"
            " refused unless --delta or --force says what to do with it. At a target, PostgreSQL pauses, so that you"
            " can look; --target-action=promote lets it go on.",
            'holdfast --stanza=main --delta --type=time --target="2026-01-01 12:00:00+00" restore',
            log_file=True,
        ),
        Command(
            "stanza-create",
            "make a stanza in the repository",
            "Creates the stanza's archive.info and backup.info in every repository, after checking the cluster. Safe"
            " to run again.",
            "holdfast --stanza=main stanza-create",
            log_file=True,
        ),
        Command(
            "stanza-delete",
            "delete a stanza with all its backups",
            "Removes all backups and all WAL of a stanza from one repository. The stanza has to be stopped first.",
            "holdfast --stanza=main stop && holdfast --stanza=main --repo=1 stanza-delete",
            log_file=True,
        ),
        Command(
            "stanza-upgrade",
            "adapt a stanza to an upgraded cluster",
            "Records the new version and system identifier of the cluster after pg_upgrade or a new initdb.",
            "holdfast --stanza=main stanza-upgrade",
            log_file=True,
        ),
        Command(
            "start",
            "allow commands again after stop",
            "Removes the stop file that `stop` made, of one stanza or, without --stanza, the one for all stanzas.",
            "holdfast --stanza=main start",
            log_file=True,
        ),
        Command(
            "stop",
            "forbid commands that change the repository",
            "From now on, backup, archive-push, expire and the stanza commands refuse to run, for one stanza or,"
            " without --stanza, for all. With --force, running commands are ended, too.",
            "holdfast --stanza=main stop",
            log_file=True,
        ),
        Command(
            "verify",
            "check every file of the repository",
            "Reads the backups and the WAL of a repository and compares size and checksum of every file.",
            "holdfast --stanza=main --output=text verify",
            log_file=True,
        ),
        Command(
            "version",
            "show the version",
            "Shows the name and version of the program.",
            "holdfast version --output=num",
            quiet=True,
        ),
    )
}


def commands(names: str) -> frozenset[str]:
    return frozenset(names.split())


ALL = frozenset(COMMANDS) - {"help", "version"}
IO = ALL - {"start", "stop"}
LOCK = commands(
    "annotate archive-get archive-push backup expire info restore stanza-create stanza-delete stanza-upgrade start stop"
)
PARALLEL = commands("archive-get archive-push backup restore verify")
PG = commands("backup check checkpoint stanza-create stanza-delete stanza-upgrade")
PG_LOCAL = PG | {"archive-get", "archive-push", "restore"}
TARGET_TIME = commands("archive-get info repo-get repo-ls restore verify")
ARCHIVE = frozenset({"archive-get", "archive-push"})
PUSH = frozenset({"archive-push"})
GET = frozenset({"archive-get"})
BACKUP = frozenset({"backup"})
RESTORE = frozenset({"restore"})
EXPIRE = frozenset({"backup", "expire"})
DRY_RUN = commands("annotate archive-push backup expire restore stanza-create stanza-delete stanza-upgrade")
# Those that accept --repo.
ONE_REPO = commands("annotate archive-get backup expire info repo-get repo-ls restore stanza-delete verify")
NONE: frozenset[str] = frozenset()
