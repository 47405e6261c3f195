# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Going on with a full backup that was interrupted: what of it can be trusted stays, with its checksums.

The manifest copy of the interrupted backup tells what had been stored. A file is trusted when that copy has a checksum
for it and nothing speaks against it; even then its stored bytes are read and compared before it counts. Everything else
in the directory is removed, so that the finished backup holds nothing but its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import EngineError
from ..format import layout
from ..format.manifest import File, Manifest
from ..log import DETAIL
from ..repo import Repo
from ..storage.base import Entry, walk
from ..stream.codec import extension
from ..version import WRITER
from .backup_plan import Need

log = logging.getLogger("holdfast")


def find_interrupted(
    repo: Repo, labels: Sequence[str], manifest: Manifest, enabled: bool, passphrase: str | None
) -> Manifest | None:
    """The manifest of the interrupted backup that this one goes on with; any other that was interrupted is removed.

    labels: of all directories, ascending; enabled: the option resume.
    """
    if not labels or repo.is_complete(labels[-1]):
        return None
    label = labels[-1]
    old: Manifest | None = None
    reason = ""
    try:
        old = repo.load_manifest_copy(label, passphrase)
    except EngineError as error:
        reason = f"its manifest cannot be used: {error.message}"
    if old is not None:
        reason = refusal(old, manifest, enabled) if old.label == label else f"its manifest is that of {old.label}"
    if old is not None and not reason:
        log.warning("resumable backup %s of same type exists: files already copied are verified and kept", label)
        return old
    level = logging.WARNING if enabled and manifest.type == "full" else logging.INFO
    log.log(level, "backup %s was interrupted and cannot be resumed (%s): it is removed", label, reason)
    repo.storage.remove_tree(layout.backup_dir(repo.stanza, label))
    return None


def refusal(old: Manifest, manifest: Manifest, enabled: bool) -> str:
    """Why an interrupted backup cannot be gone on with; empty when it can."""
    if not enabled:
        return "resume is disabled"
    if manifest.type != "full" or old.type != "full":
        return "only a full backup can be resumed, by a full backup"
    if old.writer != WRITER:
        return f"it was made by {old.writer}"
    theirs, ours = (item.options.get("option-compress-type") for item in (old, manifest))
    if theirs != ours:
        return f"its compress-type is {theirs}, not {ours}"
    if bool(old.cipher_pass) != bool(manifest.cipher_pass):
        return "its encryption is different"
    return ""


@dataclass(frozen=True)
class Cleanup:
    """remove: names below the backup directory with the reason for each; keep: file of the old manifest by name."""

    remove: tuple[tuple[str, str], ...]
    keep: Mapping[str, File]


def plan_cleanup(
    entries: Iterable[Entry], manifest: Manifest, old: Manifest, delta: bool, bundle_limit: int
) -> Cleanup:
    """Judge what lies in the directory of an interrupted backup.

    entries: a directory comes before what is in it. bundle_limit: bytes; up to this size a file goes into a bundle, and
    bundles are not gone on with. -1 without bundles.
    """
    suffix = extension(str(manifest.options["option-compress-type"]))
    paths = {path.name for path in manifest.paths}
    remove: list[tuple[str, str]] = []
    keep: dict[str, File] = {}
    gone: tuple[str, ...] = ()
    for entry in entries:
        if entry.name.startswith(gone) and gone:
            continue
        if entry.name == layout.copy_of(layout.MANIFEST):
            continue
        if entry.kind == "path":
            if entry.name not in paths:
                remove.append((entry.name, "directory missing in manifest"))
                gone += (f"{entry.name}/",)
        elif entry.kind != "file":
            remove.append((entry.name, f"a {entry.kind}, not a file"))
        else:
            before = _stored_as(entry.name, suffix, old)
            reason = "not in resumed manifest" if before is None else _distrust(before, manifest, delta, bundle_limit)
            if before is None or reason:
                remove.append((entry.name, reason))
            else:
                keep[before.name] = before
    return Cleanup(tuple(remove), keep)


def _stored_as(name: str, suffix: str, old: Manifest) -> File | None:
    """The file of the old manifest that was stored under this name, whole or block incrementally."""
    for ending, in_blocks in ((suffix, False), (layout.BLOCK_EXTENSION, True)):
        if name.endswith(ending):
            file = old.file(name[: len(name) - len(ending)])
            if file is not None and bool(file.block_map_size) == in_blocks:
                return file
    return None


def _distrust(before: File, manifest: Manifest, delta: bool, bundle_limit: int) -> str:
    new = manifest.file(before.name)
    if new is None:
        return "file missing in manifest"
    if before.checksum is None:
        return "no checksum in resumed manifest"
    if before.bundle_id or new.size <= bundle_limit or (before.block_map_size and not manifest.block_incr):
        return "stored in another form"
    if new.size != (before.size if before.size_original is None else before.size_original):
        return "mismatched size"
    if not delta and new.timestamp != before.timestamp:
        return "mismatched timestamp"
    return "zero size" if new.size == 0 else ""


def clean_interrupted(repo: Repo, manifest: Manifest, old: Manifest) -> Mapping[str, File]:
    """Remove what cannot be trusted; returns the files that can, by name, as the interrupted backup recorded them."""
    root = layout.backup_dir(repo.stanza, old.label)
    limit = repo.settings.bundle_limit if manifest.bundle else -1
    plan = plan_cleanup(walk(repo.storage, root), manifest, old, bool(manifest.options["option-delta"]), limit)
    for name, reason in plan.remove:
        log.log(DETAIL, "remove '%s/%s' from resumed backup (%s)", root, name, reason)
        if repo.storage.info(f"{root}/{name}"):
            repo.storage.remove_tree(f"{root}/{name}")
    return plan.keep


def resume_needs(needs: Sequence[Need], kept: Mapping[str, File], delta: bool) -> list[Need]:
    """The needs with what was stored already: results take over what the interrupted backup found out."""
    resumed: list[Need] = []
    for need in needs:
        before = kept.get(need.file.name)
        if before is None:
            resumed.append(need)
            continue
        file = need.file
        if before.size != file.size:
            file.size_original, file.size = file.size, before.size
        file.checksum, file.rck, file.repo_size = before.checksum, before.rck, before.repo_size
        file.checksum_page, file.checksum_page_error = before.checksum_page, before.checksum_page_error
        file.block_size, file.block_checksum_size = before.block_size, before.block_checksum_size
        file.block_map_size = before.block_map_size
        resumed.append(need._replace(check=delta, resume=True))
    return resumed
