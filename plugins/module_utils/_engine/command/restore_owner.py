# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who will own what is restored.

An ordinary user cannot give files away: everything belongs to whoever runs the restore. Root gives each file to its
recorded owner; where that is unknown, here or in the backup, to the owner of the data directory, or to root.
"""

from __future__ import annotations

import grp
import logging
import os
import pwd
from collections.abc import Iterable

from ..format.manifest import Manifest
from .restore_target import Owners

log = logging.getLogger("holdfast")


def survey_owners(manifest: Manifest, pg_path: str) -> Owners:
    """The ids behind every pair of names in the manifest; each name that cannot be honoured is one warning."""
    pairs = {(item.user, item.group) for items in (manifest.files, manifest.paths, manifest.links) for item in items}
    if os.geteuid() != 0:
        _warn_foreign("user", {user for user, _other in pairs}, _user_name(os.geteuid()))
        _warn_foreign("group", {group for _other, group in pairs}, _group_name(os.getegid()))
        return Owners()
    try:
        info = os.stat(pg_path)
        default = (info.st_uid, info.st_gid)
    except FileNotFoundError:
        default = (0, 0)
    users = {user: _user_id(user, default[0]) for user in {user for user, _other in pairs}}
    groups_by_name = {group: _group_id(group, default[1]) for group in {group for _other, group in pairs}}
    return Owners({(user, group): (users[user], groups_by_name[group]) for user, group in pairs})


def _warn_foreign(what: str, names: Iterable[str | None], own: str) -> None:
    for name in sorted({name or "" for name in names} - {own}):
        log.warning("%s %s in backup manifest mapped to '%s'", "unknown" if not name else f"'{name}'", what, own)


def _user_name(uid: int) -> str:
    """The name, or the number where there is none, as in many a container."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _user_id(name: str | None, default: int) -> int:
    try:
        return pwd.getpwnam(name or "").pw_uid
    except (KeyError, ValueError):  # the latter: a name that cannot be one
        log.warning("%s user in backup manifest mapped to uid %d", f"'{name}'" if name else "unknown", default)
        return default


def _group_id(name: str | None, default: int) -> int:
    try:
        return grp.getgrnam(name or "").gr_gid
    except (KeyError, ValueError):
        log.warning("%s group in backup manifest mapped to gid %d", f"'{name}'" if name else "unknown", default)
        return default
