# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""archive-get with archive-async: take a segment that was fetched ahead, and see to it that the next ones are.

A segment that is not there is not waited for, unless it is being written: the caller fetches it from the repository, as
fast as the background could. So nothing here can fail a recovery; what is wrong with the spool is a warning.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import EngineError, FileReadError
from ..log import failure_text
from ..postgres.lsn import next_segment
from ..spool import GetSpool, origin
from ..stream.through import CHUNK, Chunk
from ..wait import passes
from .archive_get import not_found
from .duty import is_on_duty, start
from .fast_path import leave_get_facts
from .outcome import Outcome
from .wal_get import Source, find_file, write_destination

if TYPE_CHECKING:
    from ..options import Config
    from ..postgres.control import Control

log = logging.getLogger("holdfast")

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.1  # seconds; a segment takes a tenth of a second


def open_spool(config: Config, control: Control, data_directory: str) -> Ahead | None:
    """The spool of the stanza, emptied first if what is in it cannot be trusted; None when it cannot be used."""
    spool = GetSpool(config.spool_path, config.stanza)
    of = origin(control.system_id)
    try:
        if not spool.is_of(of):
            if not of or is_on_duty(config, "archive-get"):  # for another cluster: its process ends with that server
                return None
            spool.claim(of)
    except EngineError as error:
        _complain(error)
        return None
    leave_get_facts(config, data_directory, spool)
    return Ahead(config, spool, control.segment_size)


def queue_length(queue_max: int, segment_size: int) -> int:
    """How many segments are fetched ahead. queue_max: bytes (archive-get-queue-max)."""
    return max(2, queue_max // segment_size)


class Ahead:
    """Segments that were or will be fetched ahead, as the foreground sees them."""

    def __init__(self, config: Config, spool: GetSpool, segment_size: int) -> None:
        self._config, self._spool, self._segment_size = config, spool, segment_size

    def take(self, segment: str, destination: str) -> Outcome | None:
        """Move the segment to its destination; None when it has to be looked for in the repositories."""
        try:
            for _pass in passes(self._config.archive_timeout, first=FIRST_PAUSE, longest=LONGEST_PAUSE):
                if self._spool.holds(segment):
                    return self._move(segment, destination)
                if not (self._spool.is_coming(segment) and is_on_duty(self._config, "archive-get")):
                    break
            if not self._config.archive_missing_retry and self._spool.is_missing(segment):
                return not_found(segment)
        except EngineError as error:
            _complain(error)
        return None

    def go_on(self, segment: str, sources: Sequence[Source]) -> None:
        """Have the segments after this one fetched, which the spool did not have, if there are any in sources."""
        try:
            if is_on_duty(self._config, "archive-get"):
                self._spool.ask_for(segment)
                return
            following = next_segment(segment, self._segment_size)
            if find_file(sources, following, ()).copies:
                self._start(following)
        except EngineError as error:
            _complain(error)

    def _move(self, segment: str, destination: str) -> Outcome | None:
        warnings = self._spool.warnings(segment)
        place = self._spool.place(segment)
        try:
            os.rename(place, destination)
        except FileNotFoundError:
            if not os.path.exists(place):
                return None
            raise
        except OSError:  # another file system, or a pipe
            write_destination(destination, _chunks(place))
            os.unlink(place)
        for text in filter(None, [warnings]):
            log.warning("%s", text)
            self._spool.remove(f"{segment}.ok")
        log.info("found %s in the archive asynchronously", segment)
        with suppress(EngineError):
            self._refill(segment)
        return Outcome({"file": segment, "found": True, "repo": None, "archive_id": None}, changed=True)

    def _refill(self, taken: str) -> None:
        left = len(self._spool.segments())
        half = self._config.archive_get_queue_max / 2
        if left * self._segment_size <= half and not is_on_duty(self._config, "archive-get"):
            self._start(next_segment(taken, self._segment_size))

    def _start(self, first: str) -> None:
        self._spool.forget_errors(first)
        start(self._config, first, str(queue_length(self._config.archive_get_queue_max, self._segment_size)))


def _chunks(path: str) -> Iterator[Chunk]:
    buffer = memoryview(bytearray(CHUNK))
    try:
        with open(path, "rb", buffering=0) as file:
            while size := file.readinto(buffer):
                yield buffer[:size]
    except OSError as error:
        raise FileReadError(f"cannot read '{path}': {error.strerror}") from error


def _complain(error: EngineError) -> None:
    log.warning("archive-async does not work: %s", failure_text(error))
