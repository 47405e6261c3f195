# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What workers are given is named in errors, so it must not show a passphrase."""

from __future__ import annotations

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.backup_copy import CopySetup
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.restore_copy import RestoreSetup


def test_no_passphrase_shows_in_what_a_worker_is_given() -> None:
    backup = CopySetup("/pg", "/repo", "main", "label", "zst", 3, False, "topsecret", True, True, 8192, None)
    restore = RestoreSetup("/repo", "zst", False, "topsecret", False, False, 0)
    assert backup.cipher_pass == restore.cipher_pass == "topsecret"
    assert "topsecret" not in repr(backup) + repr(restore)
