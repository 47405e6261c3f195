# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a backup worker does: read files of the cluster, check and transform them, store them, say what came out.

A large file is one stream: read, measure, page check, compress, encrypt, measure, write. Small files are read a slab
at a time, because checking the pages of a hundred files in one vectorised call costs little more than those of one.
Nothing is forced to disk here: the parent buys durability once, before it publishes the manifest.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, Union

from ..errors import EngineError, FileMissingError, FileReadError
from ..format import layout
from ..format.block_map import BlockItem
from ..postgres import files as rules
from ..postgres.control_file import read_control
from ..storage.base import Chunk, Storage
from ..storage.local import LocalStorage
from ..stream.block import BlockWriter
from ..stream.cipher import Cipher
from ..stream.codec import codec, extension
from ..stream.measure import Measure
from ..stream.page import PageCheck, check_batch
from ..stream.through import Filter, through
from ..worker import pulse
from .backup_block import BlockPlan, read_block_map

SMALL = 256 << 10  # bytes; a file up to this size is read whole
SLAB = 4 << 20  # bytes of small files in memory at a time
SEGMENT = 1 << 30  # bytes in a segment of a relation


@dataclass(frozen=True)
class CopySetup:
    """What is the same for every file of a backup. cipher_pass: of the backup's files, None in a clear repository.

    raw: bundled files use the raw stream formats (6.3). version_force: for reading pg_control. reference: this backup's
    position in the list of references; super_size: bytes, of a super block.
    """

    pg_path: str
    repo_path: str
    stanza: str
    label: str
    compress_type: str
    compress_level: int | None
    raw: bool
    cipher_pass: str | None = field(repr=False)  # errors name the job
    check_pages: bool
    header_check: bool
    page_size: int
    version_force: str | None
    reference: int = 0
    super_size: int = 0


class CopyFile(NamedTuple):
    """One file to copy. size: when the manifest was built. link: where a linked file really is.

    known: (size, SHA-1) of the content that the prior backup or an interrupted one holds; check: hash the file first,
    and copy it only when it differs (delta). resume: (size, SHA-1) of the stored bytes an interrupted backup left.
    block: how to store it block incrementally, None to store it whole.
    """

    name: str
    size: int
    link: str | None = None
    known: tuple[int, bytes] | None = None
    check: bool = False
    resume: tuple[int, bytes] | None = None
    block: BlockPlan | None = None


@dataclass(frozen=True)
class CopyJob:
    setup: CopySetup
    bundle: int
    files: tuple[CopyFile, ...]


class Copied(NamedTuple):
    """kind: copied, match (the prior backup has it), resumed, skip (gone), or truncated (emptied, nothing stored).

    pages: None when not checked, else whether all are valid; bad_pages: their block numbers, None when misaligned.
    repaired: what an interrupted backup left was not what it said, so the file was copied anew. map_size: of the block
    map, 0 for a file that is stored whole.
    """

    kind: str
    size: int = 0
    checksum: bytes = b""
    repo_size: int = 0
    rck: bytes | None = None
    offset: int = 0
    pages: bool | None = None
    bad_pages: tuple[int, ...] | None = None
    repaired: bool = False
    map_size: int = 0


def copy_job(job: CopyJob) -> list[Copied]:
    """The work of a pool worker: results in the order of job.files."""
    return _copier(job.setup).run(job)


@lru_cache(maxsize=2)  # with a standby there are two clusters to copy from
def _copier(setup: CopySetup) -> Copier:
    return Copier(setup)


class Form:
    """The transformation between plain and stored bytes. plain: there is none, the bytes are stored as they are."""

    def __init__(self, setup: CopySetup, raw: bool) -> None:
        self.plain = setup.compress_type == "none" and setup.cipher_pass is None
        self._codec = codec(setup.compress_type, setup.compress_level, raw)
        self.cipher = Cipher(setup.cipher_pass, raw) if setup.cipher_pass is not None else None
        self._compresses = setup.compress_type != "none"

    def whole(self, data: bytes) -> bytes:
        stored = self._codec.compress_one(data) if self._compresses else data
        return self.cipher.encrypt_one(stored) if self.cipher else stored

    def sealed(self, data: bytes) -> bytes:
        """Encrypted, not compressed: the form of block maps."""
        return self.cipher.encrypt_one(data) if self.cipher else data

    def filters(self) -> list[Filter]:
        filters: list[Filter] = [self._codec.compress] if self._compresses else []
        if self.cipher:
            filters.append(self.cipher.encrypt)
        return filters


class BlockForm:
    """The same for one block incremental file: it is known only at the end whether anything has to be stored."""

    plain = False

    def __init__(self, writer: BlockWriter) -> None:
        self._writer = writer

    @property
    def map_size(self) -> int:
        return self._writer.map_size

    def whole(self, data: bytes) -> bytes:
        return b"".join(bytes(piece) for piece in self._writer((data,)))

    def filters(self) -> list[Filter]:
        return [self._writer]


class Copier:
    """Copies files under one setup; keeps its compressor and its storage between jobs."""

    def __init__(self, setup: CopySetup) -> None:
        self._setup = setup
        self._repo: Storage = LocalStorage(setup.repo_path)
        self._pg = ClusterFiles(setup)
        self._alone = Form(setup, raw=False)
        self._bundled = Form(setup, raw=setup.raw)
        self._blocks = Form(setup, raw=True)
        self._extension = extension(setup.compress_type)

    def run(self, job: CopyJob) -> list[Copied]:
        if not job.bundle:
            return [self._store_alone(unit) for unit in self._units(job.files)]
        results: list[Copied] = []
        chunks = self._bundle_chunks(job, results)
        first = next(chunks, None)
        if first is not None:  # else every file was gone or unchanged: a number is used up, no bundle is written
            name = layout.bundle(self._setup.stanza, self._setup.label, job.bundle)
            self._repo.write(name, itertools.chain([first], chunks), durable=False)
        return results

    def _bundle_chunks(self, job: CopyJob, results: list[Copied]) -> Iterator[Chunk]:
        """The bytes of a bundle, gapless; results fills up on the way."""
        offset = 0
        for unit in self._units(job.files):
            result = unit.early()
            if result is None:
                form = self._block_form(unit.file, job.bundle, offset) or self._bundled
                yield from unit.stored(form, skip_empty=True)
                result = _settled(unit.result(), form)._replace(offset=offset)
                offset += result.repo_size
            results.append(result)

    def _block_form(self, file: CopyFile, bundle: int, offset: int) -> BlockForm | None:
        """None for a file that is stored whole. offset: in the bundle, at which its bytes will begin."""
        plan, setup = file.block, self._setup
        if plan is None:
            return None
        prior: list[BlockItem] = []
        if plan.map_size:
            prior = self._prior_map(file, plan)
        limit = -(-setup.super_size // plan.block_size) * plan.block_size
        return BlockForm(
            BlockWriter(
                plan.block_size,
                plan.checksum_size,
                limit,
                self._blocks.whole,
                self._blocks.sealed,
                setup.reference,
                bundle,
                offset,
                prior,
                # At the size it had when it was listed it was new: there is no record to fall back to.
                always=file.known is None,
            )  # fmt: skip
        )

    def _prior_map(self, file: CopyFile, plan: BlockPlan) -> list[BlockItem]:
        try:
            return read_block_map(
                self._repo, plan.map_name, plan.map_offset, plan.map_size, self._blocks.cipher, plan.block_size,
                plan.checksum_size, plan.prior_size, plan.prior_references,
            )  # fmt: skip
        except EngineError as error:
            raise FileReadError(
                f"cannot read the block map of {file.name} in {plan.map_name} at {plan.map_offset} with "
                f"{plan.map_size} bytes: {error.message}",
                error.hint or "the prior backup is damaged here: run verify, and make a full backup",
            ) from error

    def _store_block_file(self, unit: Unit, form: BlockForm, name: str) -> Copied:
        """A block incremental file outside of bundles; when nothing of it changed, there is no file."""
        chunks = unit.stored(form, skip_empty=True)
        first = next(chunks, None)
        if first is not None:
            self._repo.write(name, itertools.chain([first], chunks), durable=False)
        return _settled(unit.result(), form)

    def _store_alone(self, unit: Unit) -> Copied:
        setup, file = self._setup, unit.file
        name = layout.stored_file(setup.stanza, setup.label, file.name, self._extension)
        if file.block is not None:
            name = layout.block_file(setup.stanza, setup.label, file.name)
        result, repaired = unit.early(), False
        if file.resume is not None:
            # With delta the file was compared with what had been stored of it; else its time and size speak for it.
            if (result is None and not file.check) or (result is not None and result.kind == "match"):
                if self._holds(name, *file.resume):
                    return Copied("resumed")
                result, repaired = None, True
            self._repo.remove(name)
        form = self._block_form(file, 0, 0) if result is None else None
        if form is not None:
            return self._store_block_file(unit, form, name)._replace(repaired=repaired)
        if result is None:
            self._repo.write(name, unit.stored(self._alone), durable=False)
            result = unit.result()._replace(repaired=repaired)
            if result.kind == "skip":  # it went away after it had been seen
                self._repo.remove(name)
        return result

    def _holds(self, name: str, size: int, sha1: bytes) -> bool:
        """Whether the repository really has what an interrupted backup recorded: its bytes are read and compared."""
        measure = Measure()
        try:
            for _chunk in measure(self._repo.read(name)):
                pass
        except FileMissingError:
            return False
        return measure.size == size and measure.digest == sha1

    # -- reading

    def _units(self, files: Sequence[CopyFile]) -> Iterator[Unit]:
        """Every file in its order; small ones are read, and their pages checked, a slab at a time."""
        slab: list[Whole] = []
        held = 0
        for file in files:
            unit = self._open(file)
            if isinstance(unit, Whole):
                slab.append(unit)
                held += len(unit.data or b"")
                if held < SLAB:
                    continue
            yield from self._checked(slab)
            slab, held = [], 0
            if isinstance(unit, Large):
                yield unit
        yield from self._checked(slab)

    def _open(self, file: CopyFile) -> Unit:
        setup = self._setup
        if file.name == rules.CONTROL:
            head = read_control(setup.pg_path, setup.version_force)
            return Whole(file, head + bytes(rules.CONTROL_SIZE - len(head)), self._pg)
        if file.size > SMALL:
            return Large(file, self._pg)
        data = self._pg.get(file, SMALL + 1)
        if data is not None and len(data) > SMALL:  # it has grown past what is kept in memory
            return Large(file, self._pg)
        return Whole(file, data, self._pg)

    def _checked(self, slab: list[Whole]) -> list[Whole]:
        """Check the pages of all files of a slab that have any, in one call."""
        page_size = self._setup.page_size
        if not self._setup.check_pages:
            return slab
        paged = [unit for unit in slab if unit.data is not None and rules.has_pages(unit.file.name)]
        for unit in paged:
            unit.pages = len(unit.data or b"") % page_size == 0
        aligned = [unit for unit in paged if unit.pages]
        pages = [(unit.data or b"", _first_block(unit.file.name, page_size)) for unit in aligned]
        for unit, bad in zip(aligned, check_batch(pages, page_size, self._setup.header_check)):
            unit.judge(bad)
        return slab


class ClusterFiles:
    """Reads files of the cluster.

    One that has become a link since the cluster was listed is not followed: in the data directory of somebody hostile
    it would put a foreign file under the name of one of the cluster's own.
    """

    def __init__(self, setup: CopySetup) -> None:
        self.setup = setup
        self._root = LocalStorage("/", follow=False)

    def read(self, file: CopyFile) -> Iterator[Chunk]:
        """The file to its end, or to the size it had if what came later is in the WAL. FileMissingError when gone."""
        return pulse(self._root.read(self._name(file), 0, file.size if rules.is_replayed(file.name) else None))

    def get(self, file: CopyFile, most: int) -> bytes | None:
        """The same in memory, at most that many bytes; None when the file is gone."""
        content = bytearray()
        try:
            for chunk in self._root.read(self._name(file), 0, file.size if rules.is_replayed(file.name) else most):
                content += chunk
        except FileMissingError:
            return None
        return bytes(content)

    def page(self, file: CopyFile, block: int) -> bytes:
        """A page read anew, by its number in the relation; empty when it is gone."""
        size = self.setup.page_size
        content = bytearray()
        try:
            for chunk in self._root.read(self._name(file), (block - _first_block(file.name, size)) * size, size):
                content += chunk
        except FileMissingError:
            pass
        return bytes(content)

    def _name(self, file: CopyFile) -> str:
        """Where a file of the manifest is; tablespaces are reached through their link in pg_tblspc."""
        if file.link is not None:
            return file.link[1:]
        name = file.name[len("pg_data/") :] if file.name.startswith("pg_data/") else file.name
        return f"{self.setup.pg_path}/{name}"[1:]


class Whole:
    """A small file: its content is in memory. data: None when the file is gone."""

    def __init__(self, file: CopyFile, data: bytes | None, pg: ClusterFiles) -> None:
        self.file = file
        self.data = data
        self.pages: bool | None = None
        self._pg = pg
        self._bad_pages: tuple[int, ...] | None = None
        self._result = Copied("skip")

    def judge(self, bad: Sequence[int]) -> None:
        """Take the verdict on the pages; one that changed since it was read was torn, and its new state is in WAL."""
        size = self._pg.setup.page_size
        first = _first_block(self.file.name, size)
        data = memoryview(self.data or b"")
        still = [
            block for block in bad
            if self._pg.page(self.file, block) == data[(block - first) * size : (block - first + 1) * size]
        ]  # fmt: skip
        self.pages, self._bad_pages = not still, tuple(still) or None

    def early(self) -> Copied | None:
        """The result when nothing has to be stored."""
        if self.data is None:
            return self._result
        known = self.file.known
        if known is not None and known[0] == len(self.data) and known[1] == sha1(self.data):
            return Copied("match")
        return None

    def stored(self, form: Form | BlockForm, skip_empty: bool = False) -> Iterator[Chunk]:
        data = self.data or b""
        checksum = sha1(data)
        if not data and skip_empty:
            self._result = Copied("truncated", 0, checksum, pages=self.pages)
            return
        stored = form.whole(data)
        rck = None if form.plain else sha1(stored)
        self._result = Copied("copied", len(data), checksum, len(stored), rck, 0, self.pages, self._bad_pages)
        if stored:
            yield stored

    def result(self) -> Copied:
        return self._result


class Large:
    """A file that is streamed: in memory there is never more than a chunk of it."""

    def __init__(self, file: CopyFile, pg: ClusterFiles) -> None:
        self.file = file
        self._pg = pg
        self._result = Copied("skip")

    def early(self) -> Copied | None:
        """The result when nothing has to be stored; with delta this reads the file a first time."""
        if not self.file.check or self.file.known is None:
            return None
        measure = Measure()
        try:
            for _other in measure(self._pg.read(self.file)):
                pass
        except FileMissingError:
            return self._result
        return Copied("match") if (measure.size, measure.digest) == self.file.known else None

    def stored(self, form: Form | BlockForm, skip_empty: bool = False) -> Iterator[Chunk]:
        plain, repo, pages = Measure(), Measure(), self._page_check()
        chunks = self._pg.read(self.file)
        try:
            first = next(chunks, None)
        except FileMissingError:
            return
        if first is None and skip_empty:
            self._result = Copied("truncated", 0, plain.digest, pages=True if pages else None)
            return
        checks: list[Filter] = [pages] if pages else []
        stages: list[Filter] = [] if form.plain else [*form.filters(), repo]
        yield from through(itertools.chain(() if first is None else (first,), chunks), plain, *checks, *stages)
        verdict, bad = _verdict(pages, plain.size % self._pg.setup.page_size == 0)
        if form.plain:
            self._result = Copied("copied", plain.size, plain.digest, plain.size, None, 0, verdict, bad)
        else:
            self._result = Copied("copied", plain.size, plain.digest, repo.size, repo.digest, 0, verdict, bad)

    def result(self) -> Copied:
        return self._result

    def _page_check(self) -> PageCheck | None:
        setup = self._pg.setup
        if not setup.check_pages or not rules.has_pages(self.file.name):
            return None
        first = _first_block(self.file.name, setup.page_size)
        return PageCheck(first, setup.page_size, setup.header_check, lambda block: self._pg.page(self.file, block))


Unit = Union[Whole, Large]


def _settled(result: Copied, form: Form | BlockForm) -> Copied:
    """The result of a file that was stored in this form; block incremental, nothing stored means nothing changed."""
    if result.kind != "copied" or not isinstance(form, BlockForm):
        return result
    return result._replace(map_size=form.map_size) if result.repo_size else Copied("match")


def _verdict(pages: PageCheck | None, aligned: bool) -> tuple[bool | None, tuple[int, ...] | None]:
    if pages is None:
        return None, None
    if not aligned:
        return False, None
    return not pages.errors, tuple(pages.errors) or None


def _first_block(name: str, page_size: int) -> int:
    """Block number, counted over all segments of the relation, of the first page of this file."""
    return rules.segment_number(name.rpartition("/")[2]) * (SEGMENT // page_size)


def sha1(data: bytes) -> bytes:
    """Digest of 20 bytes; what the format uses for integrity, not for security."""
    return hashlib.sha1(data, usedforsecurity=False).digest()
