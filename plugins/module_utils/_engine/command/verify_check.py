# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a verify worker does: read stored bytes once, in order, and compare them with what is known of them.

A bundle is one stream that is cut into the regions of its files. Damage is a finding, never an exception: whatever is
wrong with one region, all others are still looked at. Only what is right is not reported, so that a job of thousands of
files has a short answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from ..errors import FATAL, ConfigError, CryptoError, EngineError, FileMissingError, FormatError
from ..storage.base import Chunk, Storage
from ..stream.cipher import Cipher
from ..stream.codec import codec
from ..stream.measure import Measure
from ..stream.through import Filter, through
from ..worker import pulse
from .verify_blocks import BlockFile, check_own_blocks, load_map

MISSING, CHECKSUM, SIZE, OTHER = "missing", "checksum", "size", "other"
ANY = -1  # a size that is not known
GAP = 256 << 10  # stored bytes between two regions that are rather read than skipped


@dataclass(frozen=True)
class Form:
    """From stored to plain bytes. raw: the frames of bundles."""

    compress_type: str
    raw: bool
    cipher_pass: str | None = field(default=None, repr=False)


class Region(NamedTuple):
    """The stored bytes of a file, [offset, offset + size) of its container; size ANY: all there are.

    key: what the caller knows the region by. name: of the file, for messages. stored, content: SHA-1 of the stored and
    of the plain bytes, None when it is not to be compared. content_size: ANY or the plain size. blocks: of a block
    incremental file whose content is to be checked.
    """

    key: int
    name: str
    offset: int
    size: int
    stored: bytes | None
    content: bytes | None = None
    content_size: int = ANY
    blocks: BlockFile | None = None


class Container(NamedTuple):
    """A file of the repository. whole: its one region is all of it. regions: in ascending order of their offsets."""

    source: str
    whole: bool
    form: Form
    regions: tuple[Region, ...]


@dataclass(frozen=True)
class CheckJob:
    """owner: label of the backup, or archive id of the WAL, that the containers are checked for."""

    owner: str
    containers: tuple[Container, ...]

    def __str__(self) -> str:
        return f"the check of {self.containers[0].source} and {len(self.containers) - 1} more files of {self.owner}"


class Verdict(NamedTuple):
    """What is wrong with a region: MISSING, CHECKSUM, SIZE or OTHER, and in words; code: of the error that fits."""

    kind: str
    text: str
    code: int


class Finding(NamedTuple):
    """container, region: positions in the job."""

    container: int
    region: int
    verdict: Verdict


class Checker:
    """Checks jobs; the storage is opened by the worker itself.

    retries, interval: how often, after which pause (seconds) from the second time on, a region is read again that could
    not be read. A job waits once only: a broken disk would make it wait for every file.
    """

    def __init__(self, open_storage: Callable[[], Storage], retries: int, interval: float) -> None:
        self._open_storage = open_storage
        self._opened: Storage | None = None
        self._retries = retries
        self._interval = interval
        self._may_wait = True

    def __call__(self, job: CheckJob) -> tuple[Finding, ...]:
        self._may_wait = True
        return tuple(
            Finding(place, number, verdict)
            for place, container in enumerate(job.containers)
            for number, verdict in self._wrong(container)
        )

    @property
    def _storage(self) -> Storage:
        if self._opened is None:
            self._opened = self._open_storage()
        return self._opened

    def _wrong(self, container: Container) -> Iterator[tuple[int, Verdict]]:
        """The positions of the regions that are not right."""
        regions, at = container.regions, 0
        while at < len(regions):
            try:
                for verdict in self._verdicts(container, regions[at:]):
                    if verdict is not None:
                        yield at, verdict
                    at += 1
            except EngineError as error:
                if isinstance(error, FileMissingError):
                    yield from ((number, _unreadable(error)) for number in range(at, len(regions)))
                    return
                verdict = self._again(container, regions[at], error)
                if verdict is not None:
                    yield at, verdict
                at += 1

    def _again(self, container: Container, region: Region, error: EngineError) -> Verdict | None:
        """Read a region again that could not be read; what lies behind it in the container is another matter."""
        for number in range(self._retries if error.retryable else 0):
            if number:
                if not self._may_wait:
                    break
                self._may_wait = False
                time.sleep(self._interval)
            try:
                return next(self._verdicts(container, (region,)))
            except EngineError as again:
                _unreadable(again)
        return _unreadable(error)

    def _verdicts(self, container: Container, regions: Sequence[Region]) -> Iterator[Verdict | None]:
        """One for each region, None for a good one; raises what the storage raises."""
        source = container.source
        if container.whole:
            yield self._verdict(container, regions[0], pulse(self._storage.read(source)))
            return
        for run in _runs(regions):
            start = run[0].offset
            end = run[-1].offset + run[-1].size
            window = Window(pulse(self._storage.read(source, start, end - start)), start)
            for region in run:
                window.skip_to(region.offset)
                yield self._verdict(container, region, window.take(region.size))

    def _verdict(self, container: Container, region: Region, chunks: Iterator[Chunk]) -> Verdict | None:
        stored, plain = Measure(), Measure()
        problem: EngineError | None = None
        if region.content is not None or region.blocks is not None:
            try:
                if region.blocks is not None:
                    self._check_blocks(container, region, region.blocks, stored(chunks))
                else:
                    for _other in through(chunks, stored, *_filters(container.form), plain):
                        pass
            except (FormatError, CryptoError) as error:
                problem = error
        for chunk in chunks:  # all of it without content; what a decoder that gave up has left
            stored.update(chunk)
        return judge(region, stored, plain, problem)

    def _check_blocks(self, container: Container, region: Region, blocks: BlockFile, chunks: Iterator[Chunk]) -> None:
        cipher, end = _raw_cipher(container.form.cipher_pass), region.offset + region.size
        items = load_map(self._storage, container.source, end, blocks, cipher)
        window = Window(chunks, region.offset)
        check_own_blocks(items, blocks, container.form.compress_type, cipher, window, end - blocks.map_size)


class Window:
    """Cuts a stream into pieces; position: of the next byte, in the file that the stream comes from."""

    def __init__(self, chunks: Iterable[Chunk], position: int) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")
        self.position = position

    def take(self, size: int) -> Iterator[Chunk]:
        """The next size bytes, fewer at the end of the stream. They may be taken in part only."""
        while size > 0:
            if not self._rest:
                chunk = next(self._chunks, None)
                if chunk is None:
                    return
                self._rest = memoryview(chunk)
                continue
            piece = self._rest[:size]
            self._rest = self._rest[size:]
            self.position += len(piece)
            size -= len(piece)
            yield piece

    def skip_to(self, position: int) -> None:
        for _other in self.take(position - self.position):
            pass


def judge(region: Region, stored: Measure, plain: Measure, problem: EngineError | None) -> Verdict | None:
    """Compare what was read with what is expected. problem: why the content cannot be told."""
    if region.stored is not None:
        if stored.digest != region.stored:
            return _wrong_checksum(stored, region.stored, region.size)
        if stored.size != region.size:
            return _wrong_size(stored, region.size)
    if problem is not None:
        return Verdict(OTHER, problem.message, problem.code)
    if region.content is not None:
        if plain.digest != region.content:
            return _wrong_checksum(plain, region.content, region.content_size)
        if region.content_size not in (ANY, plain.size):
            return _wrong_size(plain, region.content_size)
    return None


def _wrong_checksum(found: Measure, expected: bytes, size: int) -> Verdict:
    if size not in (ANY, found.size):
        return Verdict(CHECKSUM, f"it has {found.size} bytes instead of {size}, and another checksum", 26)
    return Verdict(CHECKSUM, f"it has checksum {found.hexdigest} instead of {expected.hex()}", 26)


def _wrong_size(found: Measure, size: int) -> Verdict:
    return Verdict(SIZE, f"it has {found.size} bytes instead of {size}", 28)


def _unreadable(error: EngineError) -> Verdict:
    """The finding that a failed read is, unless nothing could be read at all that way."""
    if isinstance(error, (*FATAL, ConfigError)):
        raise error
    return Verdict(MISSING if isinstance(error, FileMissingError) else OTHER, error.message, error.code)


def _runs(regions: Iterable[Region]) -> Iterator[list[Region]]:
    """Regions that are read in one go, because no large gap is between them."""
    run: list[Region] = []
    end = 0
    for region in regions:
        if run and not 0 <= region.offset - end <= GAP:
            yield run
            run = []
        run.append(region)
        end = region.offset + region.size
    if run:
        yield run


@lru_cache(maxsize=8)
def _filters(form: Form) -> list[Filter]:
    filters: list[Filter] = []
    if form.cipher_pass is not None:
        filters.append(Cipher(form.cipher_pass, form.raw).decrypt)
    if form.compress_type != "none":
        filters.append(codec(form.compress_type, None, form.raw).decompress)
    return filters


@lru_cache(maxsize=2)
def _raw_cipher(cipher_pass: str | None) -> Cipher | None:
    return Cipher(cipher_pass, raw=True) if cipher_pass is not None else None
