# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk through a data directory that fills a manifest: what there is, with attributes, and nothing is read.

What vanishes between listing and stat is ignored, since the server goes on working. Entries come in the byte order of
their names, which makes warnings and logs repeatable.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
import stat
from collections.abc import Collection, Iterator, Mapping
from functools import cache

from ..errors import (
    AssertError,
    FileInvalidError,
    FileOpenError,
    LinkDestinationError,
    LinkExpectedError,
    PathOpenError,
)
from ..format.manifest import File, Link, Path, Target
from ..postgres import files as rules
from ..postgres.links import LinkTarget, absolute_destination, check_link_target

log = logging.getLogger("holdfast")

TABLESPACES = "pg_data/pg_tblspc"


class ClusterScan:
    """The contents of one data directory: files, paths, links and targets, unordered.

    tablespace_dir: PG_<major>_<catalog version>, the only directory of ours in a tablespace.
    tablespaces: oid to name as the server lists them; None for an offline backup, which has only the links.
    exclude: relative to the data directory; a trailing slash keeps the directory and drops what is in it.
    """

    def __init__(
        self, pg_path: str, tablespace_dir: str, tablespaces: Mapping[int, str] | None, exclude: Collection[str] = ()
    ) -> None:
        self.pg_path = pg_path
        self.files: list[File] = []
        self.paths: list[Path] = []
        self.links: list[Link] = []
        self.targets: dict[str, Target] = {}
        self._tablespace_dir = tablespace_dir
        self._tablespaces = tablespaces
        self._online = tablespaces is not None
        self._exclude = frozenset(f"pg_data/{entry}" for entry in exclude)
        self._link_targets: list[LinkTarget] = []
        self._numbers: dict[int, int] = {}

    def run(self) -> None:
        """Walk everything; PathOpenError, FileOpenError, Link...Error, FileInvalidError name what is in the way."""
        self.targets["pg_data"] = Target("pg_data", "path", self.pg_path)
        self._record_path("pg_data", os.stat(self.pg_path))
        self._walk(self.pg_path, "pg_data")

    def _walk(self, directory: str, path: str) -> None:
        """directory: where it is; path: what the manifest calls it."""
        in_relation_dir = rules.is_relation_dir(path)
        first = len(self.files)
        for entry in _listing(directory):
            name = f"{path}/{entry.name}"
            if entry.name.startswith(rules.TEMPORARY_PREFIX):
                continue
            if name in self._exclude:
                log.info("exclude '%s' from backup using '%s' exclusion", entry.path, name.partition("/")[2])
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if "\n" in entry.name:
                raise FileInvalidError(
                    f"the name of {entry.path!r} contains a line feed, which a manifest cannot hold",
                    "rename or remove the file, or leave its directory out with --exclude",
                )
            if stat.S_ISREG(info.st_mode):
                if path == TABLESPACES:
                    raise _link_expected(entry.path)
                if not rules.skips_file(path, entry.name, self._online, in_relation_dir):
                    self._record_file(name, info)
            elif stat.S_ISDIR(info.st_mode):
                if path == TABLESPACES:
                    raise _link_expected(entry.path)
                self._record_path(name, info)
                self._enter(entry.path, name)
            elif stat.S_ISLNK(info.st_mode):
                self._follow(entry.path, name, info)
            else:
                log.warning("exclude special file '%s' from backup", entry.path)
        if in_relation_dir:
            self._drop_unlogged(path, first)

    def _enter(self, directory: str, path: str) -> None:
        if f"{path}/" in self._exclude:
            log.info("exclude contents of '%s' from backup using '%s/' exclusion", directory, path.partition("/")[2])
        elif not rules.skips_contents(path, self._online):
            self._walk(directory, path)

    def _follow(self, link_path: str, name: str, info: os.stat_result) -> None:
        text = os.readlink(link_path)
        destination = absolute_destination(link_path, text)
        if os.path.islink(destination):
            raise LinkDestinationError(
                f"link {link_path} leads to another link, {destination}",
                "a link in the data directory must lead straight to a directory or file",
            )
        self.links.append(Link(name, text, _user(info.st_uid), _group(info.st_gid)))
        if name.startswith(TABLESPACES + "/") and name.count("/") == 2:
            self._follow_tablespace(link_path, name, text, destination)
            return
        try:
            found: os.stat_result | None = os.stat(destination)
        except FileNotFoundError:
            found = None
        is_file = found is not None and stat.S_ISREG(found.st_mode)
        self._check_target(LinkTarget(name, destination, is_file))
        if found is None:
            raise _dangling(link_path, destination)
        if is_file:
            head, tail = os.path.split(text)
            self.targets[name] = Target(name, "link", head, file=tail)
            self._record_file(name, found)
            return
        self.targets[name] = Target(name, "link", text)
        if stat.S_ISDIR(found.st_mode):
            self._record_path(name, found)
            self._enter(link_path, name)
        else:
            log.warning("exclude special file '%s' from backup", link_path)

    def _follow_tablespace(self, link_path: str, name: str, text: str, destination: str) -> None:
        oid = name.rpartition("/")[2]
        tablespace = f"ts{oid}"
        if self._tablespaces is not None:
            if not oid.isdigit() or int(oid) not in self._tablespaces:
                raise AssertError(
                    f"the server does not know a tablespace with oid {oid}, but there is a link {link_path}",
                    "was a tablespace created or dropped while the backup started? Run the backup again",
                )
            tablespace = self._tablespaces[int(oid)]
        target = f"pg_tblspc/{oid}"
        self._check_target(LinkTarget(name, destination, False))
        self.targets[target] = Target(target, "link", text, tablespace_id=oid, tablespace_name=tablespace)
        real = next(path for path in self.paths if path.name == TABLESPACES)
        if not any(path.name == "pg_tblspc" for path in self.paths):
            root = self.paths[0]
            self.paths.append(Path("pg_tblspc", root.mode, root.user, root.group))
        self.paths.append(Path(target, real.mode, real.user, real.group))
        directory = f"{link_path}/{self._tablespace_dir}"
        try:
            info = os.stat(directory)
        except FileNotFoundError:
            raise _dangling(link_path, directory) from None
        self._record_path(f"{target}/{self._tablespace_dir}", info)
        self._walk(directory, f"{target}/{self._tablespace_dir}")

    def _check_target(self, target: LinkTarget) -> None:
        check_link_target(self.pg_path, target, self._link_targets)
        self._link_targets.append(target)

    def _record_file(self, name: str, info: os.stat_result) -> None:
        self.files.append(
            File(
                name, self._shared(info.st_size), self._shared(int(info.st_mtime)), stat.S_IMODE(info.st_mode) & 0o777,
                _user(info.st_uid), _group(info.st_gid),
            )
        )  # fmt: skip

    def _shared(self, number: int) -> int:
        """The same number; equal ones are one object, since a million objects would be 32 MB."""
        return self._numbers.setdefault(number, number)

    def _record_path(self, name: str, info: os.stat_result) -> None:
        mode = stat.S_IMODE(info.st_mode) & 0o777
        self.paths.append(Path(name, mode, _user(info.st_uid), _group(info.st_gid)))

    def _drop_unlogged(self, path: str, first: int) -> None:
        """Remove what belongs to unlogged relations from the files recorded since index first, all of them in path."""
        strip = len(path) + 1
        doomed = rules.unlogged({file.name[strip:] for file in self.files[first:]})
        if doomed:
            self.files[first:] = [file for file in self.files[first:] if file.name[strip:] not in doomed]


def _listing(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as entries:
            return iter(sorted(entries, key=lambda entry: os.fsencode(entry.name)))
    except FileNotFoundError:
        return iter(())
    except OSError as error:
        raise PathOpenError(
            f"cannot list directory {directory}: {error.strerror}", "is this the user who owns the cluster?"
        ) from error


@cache
def _user(uid: int) -> str | None:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return None


@cache
def _group(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def _link_expected(path: str) -> LinkExpectedError:
    return LinkExpectedError(
        f"{path} is not a symbolic link",
        "only links to tablespaces belong there; leave an in-place tablespace out with --exclude=pg_tblspc/<oid>",
    )


def _dangling(link_path: str, destination: str) -> FileOpenError:
    return FileOpenError(f"link {link_path} leads to {destination}, which does not exist", "repair or remove the link")
