# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""backup.manifest: what a backup consists of and where each byte of it is.

A manifest is a value that changes while its backup runs; parsed and rendered again it is the same, byte for byte.
Names in it are data from a repository: call names.check_names before any of them becomes a path.
"""

from __future__ import annotations

import gc
import operator
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Union

from ..errors import AssertError, FormatError
from ..version import WRITER
from . import ini
from .archive_info import PgHistory, parse_cipher_pass, parse_pg, render_cipher_pass
from .backup_info import check_segments, parse_annotation, render_pg
from .label import LETTERS, is_label, parse_label
from .manifest_file import Attributes, File, FileReader, owner_value, parse_mode, parse_owner, render_file

__all__ = ["Attributes", "Database", "File", "Link", "Manifest", "Path", "Target", "parse_manifest", "render_manifest"]

ROOT = "pg_data"  # manifest name of the data directory
FILES = "target:file"
_NAMED = ("backup:target", "target:link", "target:path")  # sections with names that become paths, and FILES
_LEVEL = "option-compress-level"


class Path(NamedTuple):
    """A directory. user, group: None when the id has no name."""

    name: str
    mode: int
    user: str | None
    group: str | None


class Link(NamedTuple):
    """A symbolic link. destination: its text as read, absolute or relative."""

    name: str
    destination: str
    user: str | None
    group: str | None


class Target(NamedTuple):
    """A place with data: the data directory (type path), or what a link leads to (type link).

    path: of the data directory, or the link's text, without the last component where that is file.
    file: last component of a link to a file, else None. tablespace_id, tablespace_name: of a tablespace, else None.
    """

    name: str
    type: str
    path: str
    file: str | None = None
    tablespace_id: str | None = None
    tablespace_name: str | None = None


class Database(NamedTuple):
    """oid: of the database; last_system_id: oid of template0, kept for the format's sake."""

    oid: int
    last_system_id: int


@dataclass
class Manifest:
    """One backup. Times are epoch seconds.

    reference: the prior backup's list, and the own label at its end; never sorted or shortened, since block maps
    contain positions in it. archive_start, archive_stop, lsn_start, lsn_stop: None offline.
    pg: of ids 0 while the backup runs. options: by their names in the format ("option-delta").
    files: in byte order of their names; files come and go by add_file and remove_files only.
    file_default, path_default, link_default: as the document states them; None: those of the data directory.
    repeated: names that came twice in one section of the document; the last record counts.
    """

    label: str
    type: str
    pg: PgHistory
    prior: str | None = None
    reference: list[str] = field(default_factory=list)
    timestamp_start: int = 0
    timestamp_stop: int = 0
    timestamp_copy_start: int = 0
    archive_start: str | None = None
    archive_stop: str | None = None
    lsn_start: str | None = None
    lsn_stop: str | None = None
    bundle: bool = False
    bundle_raw: bool = False
    block_incr: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    targets: dict[str, Target] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    databases: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    annotation: Mapping[str, str] = field(default_factory=dict)
    cipher_pass: str | None = field(default=None, repr=False)
    writer: str = WRITER
    file_default: Attributes | None = None
    path_default: Attributes | None = None
    link_default: Attributes | None = None
    repeated: list[str] = field(default_factory=list, compare=False)

    def __post_init__(self) -> None:
        self._by_name: dict[str, File] | None = None

    def file(self, name: str) -> File | None:
        """The file of that name, None when there is none."""
        return self._index().get(name)

    def known_file(self, name: str) -> File:
        """The file of that name, which must be there."""
        file = self.file(name)
        if file is None:
            raise AssertError(f"{ascii(name)} is not in the manifest")
        return file

    def add_file(self, file: File) -> None:
        """Add a file; an error if there is one of that name."""
        wanted, low, high = _name_bytes(file), 0, len(self.files)
        while low < high:
            middle = (low + high) // 2
            if _name_bytes(self.files[middle]) < wanted:
                low = middle + 1
            else:
                high = middle
        if low < len(self.files) and self.files[low].name == file.name:
            raise AssertError(f"{ascii(file.name)} is in the manifest already")
        self.files.insert(low, file)
        if self._by_name is not None:
            self._by_name[file.name] = file

    def remove_files(self, names: Iterable[str]) -> None:
        """Remove the files of these names; what is not there is not missed."""
        gone = set(names)
        self.files = [file for file in self.files if file.name not in gone]
        self._by_name = None

    def _index(self) -> dict[str, File]:
        if self._by_name is None:
            self._by_name = {file.name: file for file in self.files}
        return self._by_name

    @property
    def root(self) -> Path:
        """The data directory."""
        for path in self.paths:
            if path.name == ROOT:
                return path
        raise FormatError(f"the manifest has no {ROOT}")


def sort_files(files: list[File]) -> None:
    """Bring files into the byte order of their names; cheap when they are."""
    # Text sorts like bytes, except for names that are not UTF-8: then sort again, by bytes.
    files.sort(key=_name)
    if not all(file.name.isascii() for file in files):
        files.sort(key=_name_bytes)


_name = operator.attrgetter("name")


def _name_bytes(item: File | Path | Link) -> bytes:
    return ini.encode(item.name)


# -- reading


def parse_manifest(chunks: Union[ini.Chunk, Iterable[ini.Chunk]]) -> Manifest:
    """A manifest from its plain bytes, whole or in pieces; FormatError or ChecksumError."""
    reader = FileReader()
    pieces = [chunks] if isinstance(chunks, (bytes, bytearray, memoryview)) else chunks
    with _no_collection():
        document = ini.parse_stream(pieces, {FILES: reader})
    manifest = _parse_backup(document)
    sections = document.sections
    manifest.file_default = _stated(sections, FILES, 0o600)
    manifest.files = reader.finish(manifest.file_default)
    manifest.path_default = path_default = _stated(sections, "target:path", 0o700)
    manifest.paths = [
        Path(name, parse_mode(values, where, path_default.mode), *_owners(values, where, path_default))
        for name, values, where in _entries(sections, "target:path")
    ]
    link_default = _stated(sections, "target:link", 0)
    manifest.link_default = link_default if "target:link:default" in sections else None
    manifest.links = [
        Link(name, ini.required(values, "destination", str, where), *_owners(values, where, link_default))
        for name, values, where in _entries(sections, "target:link")
    ]
    manifest.targets = {
        name: _parse_target(name, values, where) for name, values, where in _entries(sections, "backup:target")
    }
    manifest.databases = {
        name: Database(ini.required(values, "db-id", int, where), ini.required(values, "db-last-system-id", int, where))
        for name, values, where in _entries(sections, "db")
    }
    manifest.repeated = [key for section, key in document.repeated if section in _NAMED]
    _settle_files(manifest)
    if not manifest.reference:
        # Manifests before 2.42 have no list; the order matters only for block maps, which are younger.
        used = {file.reference for file in manifest.files if file.reference is not None}
        manifest.reference = [*sorted(used), manifest.label]
    return manifest


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector away while a great many objects come to stay: it would take a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parse_backup(document: ini.Document) -> Manifest:
    backup, where = document.sections.get("backup", {}), "[backup]"
    pg_values = document.sections.get("backup:db", {})
    label = ini.required(backup, "backup-label", str, where)
    prior = ini.optional(backup, "backup-prior", str, where)
    for text in (label, prior):
        if text is not None and not is_label(text):
            raise FormatError(f"{where}: {ascii(text)} is not a backup label")
    kind = ini.optional(backup, "backup-type", str, where) or parse_label(label).type
    if kind not in LETTERS:
        raise FormatError(f"{where}: {ascii(kind)} is not a type of backup")
    archive_start = ini.optional(backup, "backup-archive-start", str, where)
    archive_stop = ini.optional(backup, "backup-archive-stop", str, where)
    check_segments(where, archive_start, archive_stop)
    reference = ini.optional(backup, "backup-reference", str, where)
    metadata = document.sections.get("metadata", {})
    return Manifest(
        label=label,
        type=kind,
        pg=parse_pg(ini.required(pg_values, "db-id", int, "[backup:db]"), pg_values, "db-system-id", "[backup:db]"),
        prior=prior,
        reference=reference.split(",") if reference else [],
        timestamp_start=ini.optional(backup, "backup-timestamp-start", int, where) or 0,
        timestamp_stop=ini.optional(backup, "backup-timestamp-stop", int, where) or 0,
        timestamp_copy_start=ini.optional(backup, "backup-timestamp-copy-start", int, where) or 0,
        archive_start=archive_start,
        archive_stop=archive_stop,
        lsn_start=ini.optional(backup, "backup-lsn-start", str, where),
        lsn_stop=ini.optional(backup, "backup-lsn-stop", str, where),
        bundle=ini.optional(backup, "backup-bundle", bool, where) or False,
        bundle_raw=ini.optional(backup, "backup-bundle-raw", bool, where) or False,
        block_incr=ini.optional(backup, "backup-block-incr", bool, where) or False,
        options=_parse_options(document.sections.get("backup:option", {})),
        annotation=parse_annotation(ini.optional(metadata, "annotation", dict, "[metadata]"), "[metadata]"),
        cipher_pass=parse_cipher_pass(document.sections),
        writer=document.writer,
    )


def _parse_options(options: dict[str, Any]) -> dict[str, Any]:
    level = ini.optional(options, _LEVEL, int, "[backup:option]")
    if level is not None and level >= 1 << 31:
        options[_LEVEL] = level - (1 << 32)
    return options


def _entries(sections: Mapping[str, Mapping[str, Any]], section: str) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(name, object, where for messages) of each line of a section, in byte order."""
    values = sections.get(section, {})
    for name in ini.in_byte_order(values):
        where = f"[{section}] {ascii(name)}"
        if not isinstance(values[name], dict):
            raise FormatError(f"{where}: not an object")
        yield name, values[name], where


def _stated(sections: Mapping[str, dict[str, Any]], section: str, mode: int) -> Attributes:
    """The defaults for the entries of a section; for one that is not stated, the careful choice."""
    where = f"[{section}:default]"
    values = sections.get(f"{section}:default", {})
    return Attributes(parse_mode(values, where, mode), *_owners(values, where, Attributes(mode, None, None)))


def _owners(values: dict[str, Any], where: str, default: Attributes) -> tuple[str | None, str | None]:
    return parse_owner(values, "user", where, default.user), parse_owner(values, "group", where, default.group)


def _parse_target(name: str, values: dict[str, Any], where: str) -> Target:
    kind = ini.required(values, "type", str, where)
    if kind not in ("path", "link"):
        raise FormatError(f"{where}: {ascii(kind)} is not a type of target")
    tablespace_id = ini.optional(values, "tablespace-id", str, where)
    return Target(
        name,
        kind,
        ini.required(values, "path", str, where),
        ini.optional(values, "file", str, where),
        tablespace_id,
        ini.required(values, "tablespace-name", str, where) if tablespace_id is not None else None,
    )


def _settle_files(manifest: Manifest) -> None:
    """Sort the files, and of those with one name keep the last: whoever reads by name would see only this one."""
    files = manifest.files
    sort_files(files)
    repeated = {file.name for file, following in zip(files, files[1:]) if file.name == following.name}
    if repeated:
        manifest.files = list({file.name: file for file in files}.values())
        manifest.repeated.extend(ini.in_byte_order(repeated))


# -- writing


def render_manifest(manifest: Manifest) -> Iterator[bytes]:
    """The bytes of a manifest, checksum included, in pieces; FormatError for a name with a line feed.

    The manifest must not change before the last piece was pulled.
    """
    sort_files(manifest.files)
    files = manifest.file_default or _derived(manifest, 0o640)
    paths = manifest.path_default or _derived(manifest, 0o7777)
    links = manifest.link_default or paths
    has_links = bool(manifest.links) or manifest.link_default is not None
    return ini.render_stream(
        [
            (ini.HEADER, _lines(ini.header(manifest.writer))),
            ("backup", _lines(_render_backup(manifest))),
            ("backup:db", _lines({"db-id": manifest.pg.id, **render_pg(manifest.pg)})),
            ("backup:option", _lines(_render_options(manifest.options))),
            ("backup:target", _lines({name: _render_target(manifest.targets[name]) for name in manifest.targets})),
            ("cipher", _lines(render_cipher_pass(manifest.cipher_pass))),
            ("db", _lines({name: _render_database(*manifest.databases[name]) for name in manifest.databases})),
            ("metadata", _lines({"annotation": manifest.annotation} if manifest.annotation else {})),
            (FILES, ((file.name, render_file(file, files)) for file in manifest.files)),
            ("target:file:default", _lines(_render_default(files))),
            ("target:link", _lines({link.name: _render_link(link, links) for link in manifest.links})),
            ("target:link:default", _lines(_render_owners(*links[1:]) if has_links else {})),
            ("target:path", _lines({path.name: _render_path(path, paths) for path in manifest.paths})),
            ("target:path:default", _lines(_render_default(paths))),
        ]
    )


def _lines(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    return ((key, ini.render_value(values[key])) for key in ini.in_byte_order(values))


def _derived(manifest: Manifest, mask: int) -> Attributes:
    root = manifest.root
    return Attributes(root.mode & mask, root.user, root.group)


def _render_backup(manifest: Manifest) -> dict[str, Any]:
    values = {
        "backup-archive-start": manifest.archive_start,
        "backup-archive-stop": manifest.archive_stop,
        "backup-block-incr": manifest.block_incr or None,
        "backup-bundle": manifest.bundle or None,
        "backup-bundle-raw": manifest.bundle_raw or None,
        "backup-label": manifest.label,
        "backup-lsn-start": manifest.lsn_start,
        "backup-lsn-stop": manifest.lsn_stop,
        "backup-prior": manifest.prior,
        "backup-reference": ",".join(manifest.reference),
        "backup-timestamp-copy-start": manifest.timestamp_copy_start,
        "backup-timestamp-start": manifest.timestamp_start,
        "backup-timestamp-stop": manifest.timestamp_stop,
        "backup-type": manifest.type,
    }
    return {key: value for key, value in values.items() if value is not None}


def _render_options(options: Mapping[str, Any]) -> dict[str, Any]:
    # The reference keeps a negative level as an unsigned number of 32 bits, and so must be written for it.
    level = options.get(_LEVEL)
    return dict(options) if level is None else {**options, _LEVEL: level % (1 << 32)}


def _render_target(target: Target) -> dict[str, Any]:
    values = {
        "file": target.file,
        "path": target.path,
        "tablespace-id": target.tablespace_id,
        "tablespace-name": target.tablespace_name,
        "type": target.type,
    }
    return {key: value for key, value in values.items() if value is not None}


def _render_database(oid: int, last_system_id: int) -> dict[str, Any]:
    return {"db-id": oid, "db-last-system-id": last_system_id}


def _render_default(default: Attributes) -> dict[str, Any]:
    return {"mode": f"{default.mode:04o}", **_render_owners(default.user, default.group)}


def _render_owners(user: str | None, group: str | None) -> dict[str, Any]:
    return {"group": owner_value(group), "user": owner_value(user)}


def _render_path(path: Path, default: Attributes) -> dict[str, Any]:
    values = {} if path.mode == default.mode else {"mode": f"{path.mode:04o}"}
    return {**values, **_render_other_owners(path, default)}


def _render_link(link: Link, default: Attributes) -> dict[str, Any]:
    return {"destination": link.destination, **_render_other_owners(link, default)}


def _render_other_owners(item: Path | Link, default: Attributes) -> dict[str, Any]:
    owners = _render_owners(item.user, item.group)
    return {key: owner for key, owner in owners.items() if owner != owner_value(getattr(default, key))}
