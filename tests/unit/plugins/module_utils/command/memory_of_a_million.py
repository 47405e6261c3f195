# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program: what the parent of an incremental backup does with a million files, all of which have changed.

It reads the manifest of the prior, lists, compares, merges, enters a result for each file and renders; then it prints
the most memory, in bytes, that it ever had. The prior's manifest is made in a child, so that it does not count.
"""

from __future__ import annotations

import hashlib
import os
import resource
import sys
import tempfile
from collections.abc import Iterator

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_copy import Copied
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_manifest import (
    store_result,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_plan import (
    delta_reason,
    merge_prior,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_prior import (
    PackedPrior,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import (
    PgHistory,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    File,
    Manifest,
    Path,
    Target,
    parse_manifest,
    render_manifest,
    sort_files,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.names import (
    check_names,
)

FILES = 1_000_000
FULL, INCR = "20260131-110000F", "20260131-110000F_20260201-110000I"


def listed(label: str, first_time: int) -> Manifest:
    """A manifest as the walk through a cluster leaves it."""
    manifest = Manifest(label, "full" if label == FULL else "incr", PgHistory(1, 7, "15", 1300, 202209061))
    manifest.timestamp_copy_start = 2_000_000_000
    manifest.targets = {"pg_data": Target("pg_data", "path", "/var/lib/postgresql/15/main")}
    manifest.paths = [Path("pg_data", 0o700, "postgres", "postgres")]
    manifest.options = {"option-compress-type": "zst", "option-online": True, "option-checksum-page": True}
    shared: dict[int, int] = {}  # as the walk does it
    for number in range(FILES):
        name = f"pg_data/base/{16384 + number // 1000}/{20000 + number}"
        size, changed = 8192 * (1 + number % 999), first_time + number % 99999
        size, changed = shared.setdefault(size, size), shared.setdefault(changed, changed)
        manifest.files.append(File(name, size, changed, 0o600, "postgres", "postgres"))
    sort_files(manifest.files)
    return manifest


def result(number: int) -> Copied:
    sums = [hashlib.sha1(b"%d %d" % (which, number)).digest() for which in range(2)]
    return Copied(
        "copied", 8192 * (1 + number % 999), sums[0], 100 + number % 90000, sums[1], number * 37 % 100000, True
    )


def write_prior(path: str) -> None:
    manifest = listed(FULL, 1_700_000_000)
    manifest.reference = [FULL]
    for number, file in enumerate(manifest.files):
        store_result(file, 1 + number // 100, result(number))
    with open(path, "wb") as document:
        for piece in render_manifest(manifest):
            document.write(piece)


def pieces(path: str) -> Iterator[bytes]:
    with open(path, "rb") as document:
        while piece := document.read(1 << 20):
            yield piece


def go_on(path: str) -> None:
    loaded = parse_manifest(pieces(path))
    check_names(loaded)
    prior = PackedPrior(loaded)
    manifest = listed(INCR, 1_710_000_000)
    manifest.prior, manifest.reference = FULL, [FULL, INCR]
    if delta_reason(manifest, prior, None, True) is not None:
        raise SystemExit("nothing here is a reason for delta")
    prior.begin_last_pass()
    needs = merge_prior(manifest, prior, False)
    if len(needs) != FILES:
        raise SystemExit(f"{len(needs)} files are needed")
    del prior
    for number, need in enumerate(needs):
        store_result(need.file, 1 + number // 100, result(number + 1))
    for _piece in render_manifest(manifest):
        pass


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "manifest")
        pid = os.fork()
        if pid == 0:
            write_prior(path)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:
            raise SystemExit("the prior could not be made")
        go_on(path)
    sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10))


if __name__ == "__main__":
    main()
