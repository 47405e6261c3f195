# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every expected failure, one class a kind.

    EngineError
     +- AssertError                 25  internal contradiction: a bug
     +- ChecksumError               26  stored and computed checksum differ
     +- ConfigError                 27  contradictory configuration found while working
     +- FileInvalidError            28  the content of a file is not acceptable here
     +- FormatError                 29  a file or value has the wrong format
     +- CommandRequiredError        30  no command given
     +- OptionInvalidError          31  an option is not allowed here
     +- OptionInvalidValueError     32  the value of an option is not allowed
     +- OptionRequiredError         37  a mandatory option is missing
     +- PgRunningError              38  PostgreSQL runs but must not
     +- ProtocolError               39  unexpected message between processes
     +- PathNotEmptyError           40  a directory should have been empty
     +- FileOpenError               41  cannot open a file
     +- FileReadError               42  cannot read a file
     +- ParamRequiredError          43  a command parameter is missing
     +- ArchiveMismatchError        44  WAL, cluster and stanza disagree on version or system id
     +- ArchiveDuplicateError       45  the same WAL segment with different content
     +- VersionNotSupportedError    46  a PostgreSQL version that is not known
     +- PathCreateError             47  cannot create a directory
     +- CommandInvalidError         48  unknown command or role
     +- HostConnectError            49  cannot connect to a host
     +- LockAcquireError            50  a lock is not available
     +- BackupMismatchError         51  a backup belongs to another cluster
     +- FileSyncError               52  cannot sync a file
     +- PathOpenError               53  cannot open a directory
     +- PathSyncError               54  cannot sync a directory
     +- FileMissingError            55  a file does not exist
     +- DbConnectError              56  cannot connect to PostgreSQL, or no primary or standby found
     +- DbQueryError                57  a query failed
     +- DbMismatchError             58  the cluster's answers do not match its files or what was expected
     +- FileRemoveError             60  cannot remove a file
     +- PathRemoveError             61  cannot remove a directory
     +- StopError                   62  a stop file forbids the command
     +- FileWriteError              64  cannot write a file
     +- FeatureNotSupportedError    67  an unsupported feature is in use
     +- ArchiveCommandInvalidError  68  archive_command does not use the engine
     +- LinkExpectedError           69  a symbolic link was expected
     +- LinkDestinationError        70  the destination of a link is not acceptable
     +- HostInvalidError            72  the command runs on the wrong host
     +- PathMissingError            73  a directory does not exist
     +- FileMoveError               74  cannot move a file
     +- BackupSetInvalidError       75  a backup set cannot be used for the request
     +- TablespaceMapError          76  bad tablespace mapping
     +- LinkMapError                78  bad link mapping
     +- FileCloseError              79  cannot close a file
     +- DbMissingError              80  a database is not in the backup
     +- DbInvalidError              81  a database cannot be selected
     +- ArchiveTimeoutError         82  WAL was not archived in time
     +- FileModeError               83  bad file mode
     +- ArchiveDisabledError        87  archive_mode is off
     +- FileOwnerError              88  bad file owner
     +- UserMissingError            89  a user does not exist
     +- FileExistsInvalidError      93  a file should not exist
     +- MemoryLimitError            94  out of memory
     +- CryptoError                 95  encryption or decryption failed
     +- ParamInvalidError           96  bad or superfluous parameter
     +- FileInfoError               98  cannot stat a file
     +- JsonFormatError             99  bad JSON
     +- KernelError                100  an operating system call failed
     +- ServiceError               101  a remote service failed
     +- ExecuteError               102  cannot run a program
     +- RepoInvalidError           103  no usable repository
     +- CommandError               104  a command collected one or more errors
     +- AccessError                105  authentication or authorisation failed
     +- ClockError                 106  unexpected change of the clock
     +- UnknownError               125  no specific code; an unexpectedly dead worker
    TermError                       63  terminated by a signal; apart, because nobody may go on after it

The class carries what a program needs (exit status, short name, whether to retry), the instance what a person needs
(message, hint). The numbers are pgBackRest's, so that what watches its exit status goes on working. Anything else that
escapes is a bug and keeps its traceback.
"""

from __future__ import annotations


class EngineError(Exception):
    """An expected failure; errors are pickled by workers, so there are no arguments beyond these two."""

    code = 125
    name = "unknown"
    retryable = False  # may the same job succeed if it is simply run again?

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message

    @property
    def label(self) -> str:
        """The kind as messages spell it, for example ArchiveMismatchError."""
        return "".join(part.capitalize() for part in self.name.split("-")) + "Error"


class AssertError(EngineError):
    code = 25
    name = "assert"


class ChecksumError(EngineError):
    code = 26
    name = "checksum"
    retryable = True


class ConfigError(EngineError):
    code = 27
    name = "config"


class FileInvalidError(EngineError):
    code = 28
    name = "file-invalid"


class FormatError(EngineError):
    code = 29
    name = "format"


class CommandRequiredError(EngineError):
    code = 30
    name = "command-required"


class OptionInvalidError(EngineError):
    code = 31
    name = "option-invalid"


class OptionInvalidValueError(EngineError):
    code = 32
    name = "option-invalid-value"


class OptionRequiredError(EngineError):
    code = 37
    name = "option-required"


class PgRunningError(EngineError):
    code = 38
    name = "pg-running"


class ProtocolError(EngineError):
    code = 39
    name = "protocol"
    retryable = True


class PathNotEmptyError(EngineError):
    code = 40
    name = "path-not-empty"


class FileOpenError(EngineError):
    code = 41
    name = "file-open"
    retryable = True


class FileReadError(EngineError):
    code = 42
    name = "file-read"
    retryable = True


class ParamRequiredError(EngineError):
    code = 43
    name = "param-required"


class ArchiveMismatchError(EngineError):
    code = 44
    name = "archive-mismatch"


class ArchiveDuplicateError(EngineError):
    code = 45
    name = "archive-duplicate"


class VersionNotSupportedError(EngineError):
    code = 46
    name = "version-not-supported"


class PathCreateError(EngineError):
    code = 47
    name = "path-create"


class CommandInvalidError(EngineError):
    code = 48
    name = "command-invalid"


class HostConnectError(EngineError):
    code = 49
    name = "host-connect"
    retryable = True


class LockAcquireError(EngineError):
    code = 50
    name = "lock-acquire"


class BackupMismatchError(EngineError):
    code = 51
    name = "backup-mismatch"


class FileSyncError(EngineError):
    code = 52
    name = "file-sync"
    retryable = True


class PathOpenError(EngineError):
    code = 53
    name = "path-open"


class PathSyncError(EngineError):
    code = 54
    name = "path-sync"
    retryable = True


class FileMissingError(EngineError):
    code = 55
    name = "file-missing"


class DbConnectError(EngineError):
    code = 56
    name = "db-connect"


class DbQueryError(EngineError):
    code = 57
    name = "db-query"


class DbMismatchError(EngineError):
    code = 58
    name = "db-mismatch"


class FileRemoveError(EngineError):
    code = 60
    name = "file-remove"


class PathRemoveError(EngineError):
    code = 61
    name = "path-remove"


class StopError(EngineError):
    code = 62
    name = "stop"


class TermError(BaseException):
    """A signal that arrived in the middle of anything.

    Not an Exception, as KeyboardInterrupt is none: who collects the failures of repositories or files must never take
    the wish to end for one of them and go on.
    """

    code = 63
    name = "term"
    retryable = False
    label = "TermError"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class FileWriteError(EngineError):
    code = 64
    name = "file-write"
    retryable = True


class FeatureNotSupportedError(EngineError):
    code = 67
    name = "feature-not-supported"


class ArchiveCommandInvalidError(EngineError):
    code = 68
    name = "archive-command-invalid"


class LinkExpectedError(EngineError):
    code = 69
    name = "link-expected"


class LinkDestinationError(EngineError):
    code = 70
    name = "link-destination"


class HostInvalidError(EngineError):
    code = 72
    name = "host-invalid"


class PathMissingError(EngineError):
    code = 73
    name = "path-missing"


class FileMoveError(EngineError):
    code = 74
    name = "file-move"


class BackupSetInvalidError(EngineError):
    code = 75
    name = "backup-set-invalid"


class TablespaceMapError(EngineError):
    code = 76
    name = "tablespace-map"


class LinkMapError(EngineError):
    code = 78
    name = "link-map"


class FileCloseError(EngineError):
    code = 79
    name = "file-close"


class DbMissingError(EngineError):
    code = 80
    name = "db-missing"


class DbInvalidError(EngineError):
    code = 81
    name = "db-invalid"


class ArchiveTimeoutError(EngineError):
    code = 82
    name = "archive-timeout"


class FileModeError(EngineError):
    code = 83
    name = "file-mode"


class ArchiveDisabledError(EngineError):
    code = 87
    name = "archive-disabled"


class FileOwnerError(EngineError):
    code = 88
    name = "file-owner"


class UserMissingError(EngineError):
    code = 89
    name = "user-missing"


class FileExistsInvalidError(EngineError):
    code = 93
    name = "file-exists"


class MemoryLimitError(EngineError):
    code = 94
    name = "memory"


class CryptoError(EngineError):
    code = 95
    name = "crypto"


class ParamInvalidError(EngineError):
    code = 96
    name = "param-invalid"


class FileInfoError(EngineError):
    code = 98
    name = "file-info"


class JsonFormatError(EngineError):
    code = 99
    name = "json-format"


class KernelError(EngineError):
    code = 100
    name = "kernel"


class ServiceError(EngineError):
    code = 101
    name = "service"
    retryable = True


class ExecuteError(EngineError):
    code = 102
    name = "execute"


class RepoInvalidError(EngineError):
    code = 103
    name = "repo-invalid"


class CommandError(EngineError):
    code = 104
    name = "command"


class AccessError(EngineError):
    code = 105
    name = "access"


class ClockError(EngineError):
    code = 106
    name = "clock"


class UnknownError(EngineError):
    code = 125
    name = "unknown"


# Never collected in order to go on with the next repository or file: a bug, the end of memory.
FATAL = (AssertError, MemoryLimitError)


def kind_of(code: int) -> type[EngineError]:
    """The class of an error that was reported by its code, through a file of another process; UnknownError if none."""
    return next((kind for kind in EngineError.__subclasses__() if kind.code == code), UnknownError)
