# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What verify looks at, and what it expects to find: plain values, no storage.

A file that is in many backups of a set is stored once, and so is looked at once. Its stored bytes are known by a key, a
hash of their place and of what is expected of them: should two backups expect different things, each gets its answer.
The keys of one set are all that is remembered of a million files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from ..errors import FormatError
from ..format import layout
from ..format.layout import StoredWal
from ..format.manifest import File, Manifest
from ..postgres.lsn import next_segment, parse_segment, segment_name
from ..stream.codec import extension, type_of_name
from .verify_blocks import BlockFile
from .verify_check import ANY, CheckJob, Container, Form, Region

JOB_SIZE = 32 << 20  # stored bytes of a job: enough that handing it out costs nothing, little enough to share evenly
JOB_REGIONS = 2000
LARGE = 4 << 20  # a container of this size comes early, so that it is not what all wait for at the end
WAL_FILES = 4  # in a job
COPIED_WAL = "pg_data/pg_wal/"
Span = tuple[str, str]  # first and last of consecutive WAL segments


# -- backups


class Planner:
    """Makes the jobs of one backup after the other, oldest first, and leaves out what it has made before.

    content: also compare what comes out when the stored bytes are decrypted and decompressed. unknown: the files of the
    last backup of which the manifest says too little, by key.
    """

    def __init__(self, stanza: str, content: bool) -> None:
        self._stanza = stanza
        self._content = content
        self._full = ""
        self._known: set[int] = set()
        self.unknown: dict[int, File] = {}

    def jobs(self, manifest: Manifest) -> Iterator[CheckJob]:
        """What of a backup is still to be looked at; files become jobs one by one, for there may be a great many."""
        full = set_of(manifest.label)
        if full != self._full:
            self._full, self._known = full, set()
        self.unknown = {}
        bundles: dict[tuple[str, int], list[File]] = {}
        large: list[File] = []
        small: list[File] = []
        for file in manifest.files:
            key = key_of(manifest, file)
            if key in self._known or is_never_read(manifest, file):
                continue
            self._known.add(key)
            if self._expected(manifest, file) == (None, None):
                self.unknown[key] = file
            elif file.bundle_id:
                bundles.setdefault((file.reference or manifest.label, file.bundle_id), []).append(file)
            else:
                (large if file.repo_size >= LARGE else small).append(file)
        large.sort(key=lambda file: -file.repo_size)
        return _grouped(manifest.label, self._containers(manifest, large, bundles, small))

    def _containers(
        self, manifest: Manifest, large: list[File], bundles: dict[tuple[str, int], list[File]], small: list[File]
    ) -> Iterator[Container]:
        alone = form_of(manifest)
        in_bundles = Form(alone.compress_type, manifest.bundle_raw, alone.cipher_pass)
        for file in large:
            yield Container(source_of(self._stanza, manifest, file), True, alone, (self._region(manifest, file),))
        for (label, number), files in bundles.items():
            files.sort(key=lambda file: file.bundle_offset)
            regions = tuple(self._region(manifest, file) for file in files)
            yield Container(layout.bundle(self._stanza, label, number), False, in_bundles, regions)
        for file in small:
            yield Container(source_of(self._stanza, manifest, file), True, alone, (self._region(manifest, file),))

    def _region(self, manifest: Manifest, file: File) -> Region:
        stored, content = self._expected(manifest, file)
        blocks = block_file(manifest, file) if self._content and file.block_map_size else None
        return Region(
            key_of(manifest, file), file.name, file.bundle_offset, file.repo_size, stored, content, file.size, blocks
        )

    def _expected(self, manifest: Manifest, file: File) -> tuple[bytes | None, bytes | None]:
        """SHA-1 of the stored and of the plain bytes, None for what is not known or not to be compared."""
        if file.block_map_size:
            return file.rck, None
        if compress_type_of(manifest) == "none" and manifest.cipher_pass is None:
            return file.rck or file.checksum, None
        return file.rck, file.checksum if self._content or file.rck is None else None


def key_of(manifest: Manifest, file: File) -> int:
    """The same for files of two backups of a set that are stored at one place and of which the same is expected."""
    place = file.bundle_id or file.name
    return hash((file.reference or manifest.label, place, file.bundle_offset, file.repo_size, file.rck, file.checksum))


def set_of(label: str) -> str:
    """Label of the full backup of the set: no backup refers to one of another set."""
    return label.partition("_")[0]


def is_never_read(manifest: Manifest, file: File) -> bool:
    """Whether nothing is lost without what is stored: a restore makes an empty file from nothing.

    With bundles it is not stored at all. Nor need one be that refers to another backup: that may have had bundles.
    """
    return file.size == 0 and (manifest.bundle or file.reference is not None)


def source_of(stanza: str, manifest: Manifest, file: File) -> str:
    """Path of the container of a file."""
    label = file.reference or manifest.label
    if file.bundle_id:
        return layout.bundle(stanza, label, file.bundle_id)
    if file.block_map_size:
        return layout.block_file(stanza, label, file.name)
    return layout.stored_file(stanza, label, file.name, extension(compress_type_of(manifest)))


def block_file(manifest: Manifest, file: File) -> BlockFile:
    own = manifest.reference.index(file.reference or manifest.label)
    return BlockFile(
        file.size, file.block_map_size, file.block_size, file.block_checksum_size, len(manifest.reference), own
    )


def form_of(manifest: Manifest) -> Form:
    """Of files outside of bundles."""
    return Form(compress_type_of(manifest), False, manifest.cipher_pass)


def compress_type_of(manifest: Manifest) -> str:
    """Old manifests only say whether there is compression: then it is gz."""
    found = manifest.options.get("option-compress-type")
    return str(found) if found else "gz" if manifest.options.get("option-compress") else "none"


def _grouped(label: str, containers: Iterable[Container]) -> Iterator[CheckJob]:
    batch: list[Container] = []
    size = regions = 0
    for container in containers:
        own_size = sum(region.size for region in container.regions)
        if batch and (size + own_size > JOB_SIZE or regions >= JOB_REGIONS):
            yield CheckJob(label, tuple(batch))
            batch, size, regions = [], 0, 0
        batch.append(container)
        size += own_size
        regions += len(container.regions)
    if batch:
        yield CheckJob(label, tuple(batch))


# -- WAL


class WalPlan(NamedTuple):
    """The segments of an archive id, each ascending by name. listed: how many files there are for them.

    duplicates: segments that are there more than once, of which none is looked at.
    """

    listed: int
    segments: tuple[StoredWal, ...]
    duplicates: tuple[str, ...]


def plan_wal(stored: Iterable[StoredWal], limits: Span | None) -> WalPlan:
    """limits: first and last segment that matter, None for all. Partial segments do not matter."""
    listed = sorted(
        wal for wal in stored if not wal.partial and (limits is None or limits[0] <= wal.name <= limits[1])
    )
    by_name: dict[str, list[StoredWal]] = {}
    for wal in listed:
        by_name.setdefault(wal.name, []).append(wal)
    single = tuple(found[0] for found in by_name.values() if len(found) == 1)
    return WalPlan(len(listed), single, tuple(name for name, found in by_name.items() if len(found) > 1))


def wal_jobs(
    stanza: str, archive_id: str, segments: Sequence[StoredWal], segment_size: int, cipher_pass: str | None
) -> Iterator[CheckJob]:
    """The key of a segment is its position. segment_size: bytes or ANY."""
    for start in range(0, len(segments), WAL_FILES):
        containers = []
        for key, wal in enumerate(segments[start : start + WAL_FILES], start):
            region = Region(key, wal.name, 0, ANY, None, bytes.fromhex(wal.sha1), segment_size)
            source = layout.wal_file(stanza, archive_id, wal.name, wal.sha1, wal.ext)
            form = Form(type_of_name(wal.file_name), False, cipher_pass)
            containers.append(Container(source, True, form, (region,)))
        yield CheckJob(archive_id, tuple(containers))


def spans_of(names: Iterable[str], segment_size: int) -> list[Span]:
    """Runs of consecutive segments of one timeline; names ascending, segment_size in bytes."""
    spans: list[Span] = []
    for name in names:
        if spans and _after(spans[-1][1], segment_size) == name:
            spans[-1] = (spans[-1][0], name)
        else:
            spans.append((name, name))
    return spans


def missing_spans(needed: Span, present: Collection[str], segment_size: int) -> list[Span]:
    """The runs of segments from the first to the last one needed that are not present.

    Of a pair from two timelines, which no program writes, only these two are looked for.
    """
    first, last = needed
    if parse_segment(first).timeline != parse_segment(last).timeline or first > last:
        return [(name, name) for name in sorted({first, last}) if name not in present]
    spans: list[Span] = []
    following = first
    for name in sorted(name for name in present if first <= name <= last and _after(name, segment_size)):
        if following < name:
            spans.append((following, _before(name, segment_size)))
        following = _after(name, segment_size)
    if following <= last:
        spans.append((following, last))
    return spans


def _after(name: str, segment_size: int) -> str:
    """The next segment; empty for a name that no segment of this size can have."""
    try:
        return next_segment(name, segment_size)
    except FormatError:
        return ""


def _before(name: str, segment_size: int) -> str:
    """The segment that comes before one that is not the first."""
    timeline, log, number = parse_segment(name)
    return segment_name(timeline, (log << 32) + (number - 1) * segment_size, segment_size)
