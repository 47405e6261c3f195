# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for the names in a manifest before any of them becomes a path.

Whoever can write to a repository can write a manifest with a valid checksum. A name that leads out of its target would
let him overwrite any file that the user who restores may write.
"""

from __future__ import annotations

import re

from ..errors import FormatError
from .label import is_label
from .manifest import ROOT, Manifest, Target

_LINKED_TABLESPACE = "pg_data/pg_tblspc/"

_COMPONENT = r"(?!\.{1,2}(?:/|\Z))[^/\x00]+"  # not empty, not . and not ..
_BELOW_ROOT = re.compile(rf"pg_data(?:/{_COMPONENT})+")
_VERSION_DIR = r"PG_[0-9.]+_[0-9]+"  # what PostgreSQL owns of a tablespace's location
_FILE = re.compile(rf"(?:pg_data|pg_tblspc/[0-9]+/{_VERSION_DIR})(?:/{_COMPONENT})+")
_PATH = re.compile(rf"pg_data(?:/{_COMPONENT})*|pg_tblspc(?:/[0-9]+(?:/{_VERSION_DIR}(?:/{_COMPONENT})*)?)?")
_TARGET = re.compile(rf"pg_data(?:/{_COMPONENT})*|pg_tblspc/[0-9]+")
_LAST_COMPONENT = re.compile(_COMPONENT)

_HINT = "the repository was tampered with, or written by a faulty program: do not restore this backup"


def check_names(manifest: Manifest) -> None:
    """FormatError, which names the culprit, unless all names in the manifest are safe to use.

    Safe is: below pg_data or a version directory in pg_tblspc/<digits>; relative, without empty, "." or ".." components
    or zero bytes; no name twice, none both a file and a directory; a link for each target that is one, and the other
    way round; references that are labels and in the manifest's own list.
    """
    files = [file.name for file in manifest.files]
    paths = [path.name for path in manifest.paths]
    links = [link.name for link in manifest.links]
    for kind, allowed, names in (
        ("file", _FILE, files),
        ("path", _PATH, paths),
        ("link", _BELOW_ROOT, links),
        ("target", _TARGET, list(manifest.targets)),
    ):
        for name in names:
            if not allowed.fullmatch(name):
                raise FormatError(f"the manifest has an unsafe {kind} name {ascii(name)}", _HINT)
    _check_unique(manifest, files, paths)
    _check_targets(manifest, links)
    _check_references(manifest)


def _check_unique(manifest: Manifest, files: list[str], paths: list[str]) -> None:
    twice = [*manifest.repeated, *sorted(set(paths).intersection(files))]
    if twice:
        raise FormatError(f"the manifest has two records of the name {ascii(twice[0])}", _HINT)


def _check_targets(manifest: Manifest, links: list[str]) -> None:
    expected = set()
    for target in manifest.targets.values():
        if (target.type == "path") != (target.name == ROOT):
            raise FormatError(f"the manifest's target {ascii(target.name)} is a {target.type}", _HINT)
        if target.type == "link":
            _check_link_target(target)
            expected.add(_LINKED_TABLESPACE + target.tablespace_id if target.tablespace_id else target.name)
    alone = sorted(expected.symmetric_difference(links))
    if alone:
        missing = "link" if alone[0] in expected else "target"
        raise FormatError(f"the manifest has no {missing} for {ascii(alone[0])}", _HINT)
    if ROOT not in manifest.targets:
        raise FormatError(f"the manifest has no target {ROOT}", _HINT)


def _check_link_target(target: Target) -> None:
    is_tablespace = target.name.startswith("pg_tblspc/")
    if target.tablespace_id != (target.name.partition("/")[2] if is_tablespace else None):
        raise FormatError(
            f"the manifest's target {ascii(target.name)} has the tablespace id {ascii(target.tablespace_id)}", _HINT
        )
    if target.file is not None and not _LAST_COMPONENT.fullmatch(target.file):
        raise FormatError(
            f"the manifest's target {ascii(target.name)} has an unsafe file name {ascii(target.file)}", _HINT
        )


def _check_references(manifest: Manifest) -> None:
    for label in manifest.reference:
        if not is_label(label):
            raise FormatError(f"the manifest refers to {ascii(label)}, which is not a backup label", _HINT)
    known = {None, *manifest.reference}
    for file in manifest.files:
        if file.reference not in known:
            raise FormatError(
                f"file {ascii(file.name)} refers to {ascii(file.reference)}, which is not in the manifest's list", _HINT
            )
