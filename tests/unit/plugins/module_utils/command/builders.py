# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Made-up manifests of small clusters."""

from __future__ import annotations

import grp
import hashlib
import os
import pwd
from collections.abc import Mapping

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    File,
    Link,
    Manifest,
    Path,
    Target,
)

LABEL = "20260131-110000F"
VERSION_DIR = "PG_15_202209061"
USER = pwd.getpwuid(os.geteuid()).pw_name
GROUP = grp.getgrgid(os.getegid()).gr_name
STAMP = 1_700_000_000


def made_file(name: str, content: bytes = b"", mode: int = 0o600, stamp: int = STAMP) -> File:
    digest = hashlib.sha1(content).digest()
    return File(name, len(content), stamp, mode, USER, GROUP, digest)


class Made:
    """A manifest in the making: files and paths by name, with the directories above each of them."""

    def __init__(self, pg_path: str, label: str = LABEL, kind: str = "full") -> None:
        self.manifest = Manifest(label, kind, PgHistory(1, 7_000_000_001, "15", 1300, 202209061), reference=[label])
        self.manifest.targets["pg_data"] = Target("pg_data", "path", str(pg_path))
        self.manifest.options = {"option-compress-type": "none", "option-online": True}
        self.paths("pg_data", "pg_data/global", "pg_data/base", "pg_data/pg_tblspc")

    def paths(self, *names: str, mode: int = 0o700) -> Made:
        for name in names:
            parts = name.split("/")
            for length in range(1, len(parts) + 1):
                above = "/".join(parts[:length])
                if all(path.name != above for path in self.manifest.paths):
                    self.manifest.paths.append(Path(above, mode if length == len(parts) else 0o700, USER, GROUP))
        self.manifest.paths.sort(key=lambda path: path.name.encode("utf-8", "surrogateescape"))
        return self

    def files(self, contents: Mapping[str, bytes], mode: int = 0o600, stamp: int = STAMP) -> Made:
        for name, content in contents.items():
            self.paths(name.rpartition("/")[0])
            self.manifest.add_file(made_file(name, content, mode, stamp))
        return self

    def link(self, name: str, destination: str, *, file: bool = False, mode: int = 0o700) -> Made:
        head, _other, tail = destination.rpartition("/")
        target = Target(name, "link", head, file=tail) if file else Target(name, "link", destination)
        self.manifest.targets[name] = target
        self.manifest.links.append(Link(name, destination, USER, GROUP))
        if not file:
            self.manifest.paths = [path for path in self.manifest.paths if path.name != name]
            self.paths(name, mode=mode)
        return self

    def tablespace(self, oid: int, name: str, path: str, *names: str, version_dir: str = VERSION_DIR) -> Made:
        self.manifest.targets[f"pg_tblspc/{oid}"] = Target(
            f"pg_tblspc/{oid}", "link", path, tablespace_id=str(oid), tablespace_name=name
        )
        self.manifest.links.append(Link(f"pg_data/pg_tblspc/{oid}", path, USER, GROUP))
        self.paths(f"pg_tblspc/{oid}/{version_dir}")
        return self.files({f"pg_tblspc/{oid}/{version_dir}/{name}": name.encode() for name in names})
