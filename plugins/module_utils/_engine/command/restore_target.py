# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The destination of a restore: first looked at, then cleaned and built; nothing is removed before all was checked.

What the manifest does not know is removed from the targets in delta mode only, links without touching what they lead
to. pg_control goes first and comes last, so that a server can never be started on half a restore.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import (
    FileExistsInvalidError,
    FileOwnerError,
    FileRemoveError,
    PathCreateError,
    PathNotEmptyError,
    PathOpenError,
    PathRemoveError,
)
from ..format.manifest import File, Manifest
from ..postgres.files import CONTROL
from .recovery import AUTO_CONF, RECOVERY_SIGNAL, STANDBY_SIGNAL
from .restore_map import target_path

log = logging.getLogger("holdfast")

MANIFEST_FILE = "backup.manifest"  # in the data directory while a restore is under way


@dataclass(frozen=True)
class Owners:
    """Who owns what is restored. As an ordinary user nothing is given away: default is None and names is empty."""

    names: Mapping[tuple[str | None, str | None], tuple[int, int]] = field(default_factory=dict)

    def of(self, user: str | None, group: str | None) -> tuple[int, int] | None:
        return self.names.get((user, group))


class Destination:
    """The targets of a mapped manifest on this host. preserved: names at the top of pg_data that stay."""

    def __init__(self, manifest: Manifest, pg_path: str, delta: bool, preserve: bool, owners: Owners) -> None:
        self._manifest = manifest
        self._pg_path = pg_path
        self._delta = delta
        self._owners = owners
        kept = {MANIFEST_FILE}
        if preserve:
            kept.update([AUTO_CONF, RECOVERY_SIGNAL, STANDBY_SIGNAL])
        self._preserved = frozenset(kept)
        self._roots = self._target_roots()
        link_names = self._link_names()
        self._links = {link.name: link for link in manifest.links if link.name in link_names}
        self._attributes = {path.name: path for path in manifest.paths}
        self._paths = {name: path for name, path in self._attributes.items() if name not in self._links}

    # -- where things are

    def _link_names(self) -> set[str]:
        return {
            f"pg_data/{name}" if target.tablespace_id is not None else name
            for name, target in self._manifest.targets.items()
            if target.type == "link"
        }

    def _target_roots(self) -> dict[str, str]:
        """Manifest name of each directory target, deepest first, and where it is."""
        roots = {
            name: target_path(self._manifest, name, self._pg_path)
            for name, target in self._manifest.targets.items()
            if target.file is None
        }
        return dict(sorted(roots.items(), key=lambda item: -len(item[0])))

    def path_of(self, name: str) -> str:
        """Where a file, path or link of the manifest is on this host."""
        for root, path in self._roots.items():
            if name == root:
                return path
            if name.startswith(root + "/"):
                return f"{path}{name[len(root) :]}"
        return f"{self._pg_path}/{name}"  # a link in pg_tblspc: only pg_data/... names come here

    def file_path(self, name: str) -> str:
        """Where a file goes; a linked file goes to the end of its link."""
        target = self._manifest.targets.get(name)
        return target_path(self._manifest, name, self._pg_path) if target is not None else self.path_of(name)

    def owner_of(self, file: File) -> tuple[int, int] | None:
        return self._owners.of(file.user, file.group)

    def _link_path(self, name: str) -> str:
        """Where a link itself is: in the data directory, even when a target of that name lies elsewhere."""
        return f"{self._pg_path}/{name.partition('/')[2]}"

    def _scopes(self) -> list[tuple[str, str]]:
        """(manifest name, path) of every directory that belongs to the restore as a whole.

        A tablespace is only its version directory: others may belong to other clusters.
        """
        scopes = []
        for name, path in self._roots.items():
            target = self._manifest.targets[name]
            if target.tablespace_id is None:
                scopes.append((name, path))
                continue
            prefix = f"{name}/"
            version = next((item.name for item in self._manifest.paths
                            if item.name.startswith(prefix) and item.name.count("/") == 2), None)  # fmt: skip
            if version is not None:
                scopes.append((version, f"{path}/{version[len(prefix) :]}"))
        return scopes

    # -- looking

    def check(self) -> None:
        """Errors before anything is changed: not ours, not accessible, or not empty without delta mode."""
        for name, path in self._scopes():
            info = _status(path)
            if info is None:
                continue
            user = os.geteuid()
            if user not in (0, info.st_uid):
                raise PathOpenError(
                    f"cannot restore to {path}: it belongs to another user (uid {info.st_uid})",
                    "run restore as the owner of the directory, or remove it",
                )
            if user != 0 and info.st_mode & 0o700 != 0o700:
                raise PathOpenError(f"cannot restore to {path}: its owner may not read, write and search it")
            if not self._delta:
                self._check_empty(name, path)
        for name, target in self._manifest.targets.items():
            if target.file is not None and not self._delta:
                path = target_path(self._manifest, name, self._pg_path)
                if os.path.lexists(path):
                    raise FileExistsInvalidError(f"cannot restore to file {path}: it exists", _NOT_EMPTY_HINT)

    def _check_empty(self, name: str, path: str) -> None:
        for entry in os.listdir(path):
            if name != "pg_data" or entry not in self._preserved:
                raise PathNotEmptyError(
                    f"cannot restore to {path}: it is not empty ('{entry}' is there)", _NOT_EMPTY_HINT
                )

    def unwanted(self) -> list[str]:
        """Paths that clean() would remove, directories without what is in them."""
        found: list[str] = []
        for name, path in self._scopes():
            if os.path.isdir(path):
                self._clean(name, path, self._known_files(), found, dry_run=True)
        return found

    # -- changing

    def disarm(self) -> None:
        """Remove pg_control: from now on the server refuses to start until the restore is whole."""
        path = self.path_of(CONTROL)
        directory = os.path.dirname(path)
        if os.path.islink(directory) and os.path.dirname(CONTROL) not in self._links:
            return  # not ours what it leads to; clean() removes the link
        if os.path.lexists(path):
            try:
                os.unlink(path)
            except OSError as error:
                raise FileRemoveError(f"cannot remove {path}: {error.strerror}") from error
            sync_path(directory)

    def clean(self) -> list[str]:
        """Remove what the manifest does not know, put right mode and owner of the rest; returns what was removed."""
        removed: list[str] = []
        known = self._known_files()
        for name, path in self._scopes():
            if os.path.isdir(path):
                self._set_path(name, path)
                self._clean(name, path, known, removed, dry_run=False)
        return removed

    def _known_files(self) -> dict[str, tuple[int, tuple[int, int] | None]]:
        linked = {name for name, target in self._manifest.targets.items() if target.file is not None}
        return {
            file.name: (file.mode, self._owners.of(file.user, file.group))
            for file in self._manifest.files
            if file.name not in linked
        }

    def _clean(
        self, name: str, path: str, files: Mapping[str, tuple[int, tuple[int, int] | None]], removed: list[str],
        dry_run: bool,
    ) -> None:  # fmt: skip
        for entry in _listing(path):
            child = f"{name}/{entry.name}"
            if name == "pg_data" and entry.name in self._preserved:
                continue
            try:
                info = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(info.st_mode) and child in self._paths:
                if not dry_run:
                    self._set_path(child, entry.path)
                self._clean(child, entry.path, files, removed, dry_run)
            elif stat.S_ISREG(info.st_mode) and child in files:
                if not dry_run:
                    _set_attributes(entry.path, info, *files[child])
            elif stat.S_ISLNK(info.st_mode) and child in self._links and self._is_link(child, entry.path):
                if not dry_run:
                    self._own_link(child, entry.path)
            else:
                removed.append(entry.path)
                if not dry_run:
                    _remove(entry.path, info)

    def _is_link(self, name: str, path: str) -> bool:
        return os.readlink(path) == self._links[name].destination

    def _set_path(self, name: str, path: str) -> None:
        item = self._attributes.get(name)
        if item is not None:
            _set_attributes(path, os.stat(path), item.mode | 0o700, self._owners.of(item.user, item.group))

    def build(self) -> None:
        """Make the targets, then every directory and link of the manifest that is not there yet.

        Their owner may write to all of them until finish().
        """
        for name, path in reversed(list(self._roots.items())):
            self._make_root(name, path)
        for name, target in self._manifest.targets.items():
            if target.file is not None:
                self._make_root(name, os.path.dirname(self.file_path(name)))
        for item in self._manifest.paths:
            if item.name in self._links or item.name == "pg_tblspc":
                if item.name in self._links:
                    self._make_link(item.name)
                continue
            self._make_path(item.name, self.path_of(item.name))
        for name in self._links:
            self._make_link(name)

    def _make_root(self, name: str, path: str) -> None:
        """A target and what is missing above it, all with the target's owner and mode: the server must get there."""
        missing = []
        current = path
        while not os.path.isdir(current):
            missing.append(current)
            current = os.path.dirname(current)
        item = self._attributes.get(name) or self._manifest.root
        for directory in reversed(missing):
            _make_directory(directory, item.mode | 0o700, self._owners.of(item.user, item.group))
        if missing:
            sync_path(current)

    def _make_path(self, name: str, path: str) -> None:
        item = self._paths[name]
        if not os.path.isdir(path):
            _make_directory(path, item.mode | 0o700, self._owners.of(item.user, item.group))

    def _make_link(self, name: str) -> None:
        path, link = self._link_path(name), self._links[name]
        if os.path.islink(path) and os.readlink(path) == link.destination:
            return
        try:
            os.symlink(link.destination, path)
        except OSError as error:
            raise PathCreateError(f"cannot create link {path} to {link.destination}: {error.strerror}") from error
        self._own_link(name, path)

    def _own_link(self, name: str, path: str) -> None:
        link = self._links[name]
        owner = self._owners.of(link.user, link.group)
        if owner is not None:
            os.lchown(path, *owner)

    def finish(self) -> None:
        """Give directories in which their owner may not write their own mode, now that everything is in them."""
        for item in reversed(self._manifest.paths):
            if item.mode & 0o700 != 0o700 and item.name != "pg_tblspc":
                path = self.path_of(item.name)
                _set_attributes(path, os.stat(path), item.mode, None)

    def sync_roots(self) -> list[str]:
        """The directories whose file systems hold what was restored."""
        linked = [os.path.dirname(target_path(self._manifest, name, self._pg_path))
                  for name, target in self._manifest.targets.items() if target.file is not None]  # fmt: skip
        return [*self._roots.values(), *linked]


_NOT_EMPTY_HINT = (
    "give --delta to change only what differs, or --force to write all files anew: both remove files that are not in "
    "the backup. Or empty the directory yourself"
)


def _status(path: str) -> os.stat_result | None:
    """Of a directory, links followed; None when nothing is there. PathOpenError when it cannot be used as one."""
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PathOpenError(f"cannot restore to {path}: {error.strerror}") from error
    if not stat.S_ISDIR(info.st_mode):
        raise PathOpenError(f"cannot restore to {path}: it is not a directory", "remove it, or restore to another path")
    return info


def _listing(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as listing:
            return sorted(listing, key=lambda entry: os.fsencode(entry.name))
    except OSError as error:
        raise PathOpenError(f"cannot list directory {path}: {error.strerror}") from error


def _make_directory(path: str, mode: int, owner: tuple[int, int] | None) -> None:
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)
        if owner is not None:
            os.chown(path, *owner)
    except OSError as error:
        raise PathCreateError(f"cannot create directory {path}: {error.strerror}") from error


def _set_attributes(path: str, info: os.stat_result, mode: int, owner: tuple[int, int] | None) -> None:
    try:
        if owner is not None and owner != (info.st_uid, info.st_gid):
            os.chown(path, *owner)
        if stat.S_IMODE(info.st_mode) != mode:
            os.chmod(path, mode)
    except OSError as error:
        raise FileOwnerError(
            f"cannot set owner and mode of {path}: {error.strerror}", "run restore as the owner of the cluster's files"
        ) from error


def _remove(path: str, info: os.stat_result) -> None:
    import shutil

    try:
        if stat.S_ISDIR(info.st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError as error:
        raise PathRemoveError(f"cannot remove {path}: {error.strerror}") from error


def sync_path(path: str) -> None:
    """fsync a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
