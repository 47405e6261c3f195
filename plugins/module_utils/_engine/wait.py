# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for something that another process does: look often at first, then less and less often, never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

FIRST_SLEEP = 0.1  # seconds; the next ones are each the sum of the two before
LONGEST_SLEEP = 5.0  # seconds: with a timeout of an hour, too, the thing is noticed soon
LATE_PASSES = 2  # passes that are made even though the time is up: a stopped process must not time out unseen


def passes(
    timeout: float,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    first: float = FIRST_SLEEP,
    longest: float = LONGEST_SLEEP,
) -> Iterator[int]:
    """Number the passes of a loop that waits for at most timeout seconds; it ends when the time is up.

    Yields 0 at once, then 1, 2, ... after 0.1 s, 0.2 s, 0.3 s, 0.5 s and so on, never sleeping beyond the time that
    remains; a timeout below a second begins with a tenth of it. There are always at least three passes.
    first, longest: seconds, where looking is cheap and somebody waits for us.
    """
    deadline = clock() + timeout
    pause, following = (first, 2 * first) if timeout >= 1 else (timeout / 10, timeout / 5)
    number = late = 0
    while True:
        yield number
        number += 1
        remaining = deadline - clock()
        if remaining <= 0:
            late += 1
            if late > LATE_PASSES:
                return
            continue
        sleep(min(pause, remaining))
        pause, following = following, min(pause + following, longest)
