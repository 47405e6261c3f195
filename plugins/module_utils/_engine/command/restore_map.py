# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a restore puts things: data directory, tablespaces and links of a manifest mapped to this host.

The order matters: data directory, tablespaces, links, then links nobody asked for are dissolved into plain directories
and files. Names in a manifest are data that somebody else may have written; nothing they say may lead out of a target.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import FormatError, LinkMapError, TablespaceMapError
from ..format.manifest import Link, Manifest, Target
from ..postgres.links import LinkTarget, absolute_destination, check_link_targets


class Mapped(NamedTuple):
    """What mapping changed, for the log: notes at info, warnings at warn."""

    notes: list[str]
    warnings: list[str]


def map_manifest(
    manifest: Manifest, pg_path: str, tablespace_map: Mapping[str, str], tablespace_map_all: str | None,
    link_map: Mapping[str, str], link_all: bool,
) -> Mapped:  # fmt: skip
    """Change targets and links of a manifest to where they go on this host, then check that they do not overlap."""
    mapped = Mapped([], [])
    root = manifest.targets["pg_data"]
    if root.path != pg_path:
        mapped.notes.append(f"remap data directory to '{pg_path}'")
        manifest.targets["pg_data"] = root._replace(path=pg_path)
    _map_tablespaces(manifest, tablespace_map, tablespace_map_all, mapped)
    _map_links(manifest, link_map, mapped)
    if not link_all:
        _dissolve_links(manifest, link_map, mapped)
    check_link_targets(pg_path, link_targets(manifest, pg_path))
    return mapped


def link_targets(manifest: Manifest, pg_path: str) -> list[LinkTarget]:
    """All links with the absolute path they lead to."""
    found = []
    for name, target in manifest.targets.items():
        if target.type == "link":
            found.append(LinkTarget(name, target_path(manifest, name, pg_path), target.file is not None))
    return found


def target_path(manifest: Manifest, name: str, pg_path: str) -> str:
    """The absolute path of a target; of a linked file, that of the file itself."""
    target = manifest.targets[name]
    if target.type == "path":
        return target.path
    link = posixpath.join(pg_path, name.partition("/")[2] if name.startswith("pg_data/") else name)
    text = target.path if target.file is None else posixpath.join(target.path, target.file)
    return absolute_destination(link, text)


def _map_tablespaces(manifest: Manifest, by_name: Mapping[str, str], all_path: str | None, mapped: Mapped) -> None:
    used: set[str] = set()
    for name, target in list(manifest.targets.items()):
        if target.tablespace_id is None:
            continue
        oid, label = target.tablespace_id, target.tablespace_name or ""
        wanted = {by_name[key] for key in (oid, label) if key in by_name}
        used.update(key for key in (oid, label) if key in by_name)
        if len(wanted) > 1:
            raise TablespaceMapError(
                f"tablespace {label} is mapped by name and by oid {oid} to different paths", "give one of the two"
            )
        if wanted:
            path = wanted.pop()
        elif all_path is not None:
            if not label or "/" in label or label in (".", ".."):
                raise FormatError(
                    f"tablespace name '{label}' cannot become a directory below {all_path}",
                    f"map this tablespace on its own: --tablespace-map={oid}=<path>",
                )
            path = posixpath.join(all_path, label)
        else:
            continue
        if path != target.path:
            mapped.notes.append(f"map tablespace '{name}' to '{path}'")
        manifest.targets[name] = target._replace(path=path)
        _set_destination(manifest, f"pg_data/{name}", path)
    unknown = sorted(set(by_name) - used)
    if unknown:
        raise TablespaceMapError(
            f"tablespace '{unknown[0]}' is in tablespace-map but not in the backup",
            "use info --set=<label> to see the tablespaces of a backup",
        )


def _map_links(manifest: Manifest, link_map: Mapping[str, str], mapped: Mapped) -> None:
    paths = {path.name for path in manifest.paths}
    for key in sorted(link_map):
        name, destination = f"pg_data/{key}", link_map[key]
        if name.startswith("pg_data/pg_tblspc/"):
            raise LinkMapError(f"'{key}' is a tablespace, which link-map cannot move", "use --tablespace-map")
        known = manifest.targets.get(name)
        if known is None and name not in paths and manifest.file(name) is None:
            raise LinkMapError(
                f"there is no link, directory or file '{key}' in the backup to be mapped to '{destination}'",
                "names in link-map are relative to the data directory, for example pg_wal=/mnt/wal",
            )
        is_file = known.file is not None if known is not None else name not in paths
        if is_file:
            head, tail = posixpath.split(destination)
            if not head or not tail or head == "/":
                raise LinkMapError(
                    f"'{destination}' is not long enough to be the destination of file link '{key}'",
                    "give a directory and a file name, for example /etc/postgresql/pg_hba.conf",
                )
            target = Target(name, "link", head, file=tail)
        else:
            target = Target(name, "link", destination)
        if known is None or target_text(known) != destination:
            mapped.notes.append(f"map link '{key}' to '{destination}'")
        manifest.targets[name] = target
        _set_destination(manifest, name, destination)


def target_text(target: Target) -> str:
    """The text of the link that leads to a target."""
    return target.path if target.file is None else posixpath.join(target.path, target.file)


def _set_destination(manifest: Manifest, name: str, destination: str) -> None:
    for position, link in enumerate(manifest.links):
        if link.name == name:
            manifest.links[position] = Link(name, destination, link.user, link.group)
            return
    owner = manifest.root
    manifest.links.append(Link(name, destination, owner.user, owner.group))


def _dissolve_links(manifest: Manifest, link_map: Mapping[str, str], mapped: Mapped) -> None:
    kept = {f"pg_data/{key}" for key in link_map}
    for name, target in list(manifest.targets.items()):
        if target.type == "link" and target.tablespace_id is None and name not in kept:
            what = "file" if target.file is not None else "contents of directory"
            mapped.warnings.append(
                f"{what} link '{name.partition('/')[2]}' will be restored as a plain item at the same location"
            )
            del manifest.targets[name]
            manifest.links[:] = [link for link in manifest.links if link.name != name]
