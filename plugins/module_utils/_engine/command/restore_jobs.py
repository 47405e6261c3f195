# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who restores what: the files of a manifest as jobs, the largest first and those of a bundle together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from ..format import layout
from ..format.manifest import File
from ..format.manifest_file import EMPTY_SHA1
from ..postgres.files import CONTROL
from ..storage.local import TEMP_SUFFIX
from ..stream.codec import extension
from .restore_copy import BlockForm, RestoreFile, RestoreJob, RestorePart, RestoreSetup
from .restore_select import is_zeroed

if TYPE_CHECKING:
    from .restore_plan import Plan

GROUP_BYTES = 8 << 20  # plain bytes of small files in a job: so many that handing it out costs nothing
GROUP_FILES = 512
BUNDLE_BYTES = 64 << 20  # a longer bundle is shared between workers


def restore_setup(plan: Plan) -> RestoreSetup:
    manifest = plan.manifest
    return RestoreSetup(
        plan.repo.settings.path, manifest.options["option-compress-type"], manifest.bundle_raw, manifest.cipher_pass,
        plan.delta, plan.by_time, manifest.timestamp_copy_start, plan.repo.stanza, tuple(manifest.reference),
    )  # fmt: skip


def plan_jobs(plan: Plan, setup: RestoreSetup) -> Iterator[RestoreJob]:
    """Jobs in the order in which workers should take them."""
    alone: list[File] = []
    bundles: dict[tuple[str, int], list[File]] = {}
    manifest = plan.manifest
    for file in manifest.files:
        if file.size == 0 or not file.bundle_id:
            alone.append(file)
        else:
            bundles.setdefault((file.reference or manifest.label, file.bundle_id), []).append(file)
    alone.sort(key=lambda file: (-file.size, file.name))
    for group in _grouped(alone, GROUP_BYTES, GROUP_FILES):
        yield RestoreJob(setup, tuple(_own_part(plan, file) for file in group))
    for (label, number), files in sorted(bundles.items()):
        files.sort(key=lambda file: file.bundle_offset)
        source = layout.bundle(plan.repo.stanza, label, number)
        for group in _grouped(files, BUNDLE_BYTES, None):
            yield RestoreJob(setup, (RestorePart(source, True, tuple(_restore_file(plan, file) for file in group)),))


def _own_part(plan: Plan, file: File) -> RestorePart:
    label = file.reference or plan.manifest.label
    if file.block_map_size:
        source = layout.block_file(plan.repo.stanza, label, file.name)
    else:
        suffix = extension(plan.manifest.options["option-compress-type"])
        source = layout.stored_file(plan.repo.stanza, label, file.name, suffix)
    return RestorePart(source, False, (_restore_file(plan, file),))


def _restore_file(plan: Plan, file: File) -> RestoreFile:
    path = plan.destination.file_path(file.name)
    if file.name == CONTROL:
        path += TEMP_SUFFIX
    block = None
    if file.block_map_size:
        block = BlockForm(file.block_size, file.block_checksum_size, file.block_map_size)
    return RestoreFile(
        file.name, path, file.size, file.timestamp, file.mode, file.checksum or EMPTY_SHA1, file.bundle_offset,
        file.repo_size, plan.destination.owner_of(file),
        is_zeroed(file.name, plan.zeroed), block,
    )  # fmt: skip


def _grouped(files: Iterable[File], size: int, count: int | None) -> Iterator[list[File]]:
    """Consecutive files until their sizes reach size bytes, or there are count of them."""
    group: list[File] = []
    total = 0
    for file in files:
        group.append(file)
        total += file.size
        if total >= size or len(group) == count:
            yield group
            group, total = [], 0
    if group:
        yield group
