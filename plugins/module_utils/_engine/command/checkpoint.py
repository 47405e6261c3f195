# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""checkpoint: force a checkpoint, so that what follows (a backup, a restart, a snapshot) is quick."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ..errors import DbConnectError
from ..postgres.lsn import render_lsn
from ..postgres.server import find_clusters
from .outcome import Outcome

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")


def checkpoint(config: Config) -> Outcome:
    """Run CHECKPOINT on the primary; where only a standby is configured, there (it is a restart point).

    Facts: cluster (pg1), in_recovery, redo_lsn and checkpoint_lsn (text), duration (seconds).
    """
    clusters = find_clusters(config)
    try:
        session = clusters.primary or clusters.standby
        if session is None:
            raise DbConnectError("no cluster to run a checkpoint on", "see the warnings above; is PostgreSQL running?")
        start = time.monotonic()
        session.checkpoint()
        duration = round(time.monotonic() - start, 3)
        redo, record = render_lsn(session.redo_lsn()), render_lsn(session.checkpoint_lsn())
        log.info("%s: checkpoint complete after %.3fs, redo LSN %s", session.name, duration, redo)
        facts = {
            "cluster": session.name,
            "in_recovery": session.in_recovery,
            "redo_lsn": redo,
            "checkpoint_lsn": record,
            "duration": duration,
        }
        return Outcome(facts, changed=True, output=f"{redo}\n")
    finally:
        clusters.close()
