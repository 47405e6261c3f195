# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of files are bytes: the locale of whoever starts the engine changes none of them."""

from __future__ import annotations

import os
import shutil

import pytest

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import parse_manifest
from ansible_collections.holdfast.postgres.tests.support import account
from ansible_collections.holdfast.postgres.tests.support.fixtures import Workshop

NAMES = [b"\xc3\xa4 in utf-8", b"\xe4 in latin-1", b"\xff\xfe"]
LOCALE = "en_US.ISO-8859-1"


@pytest.mark.skipif(shutil.which("localedef") is None, reason="needs localedef to make a locale")
def test_names_are_the_same_bytes_in_a_repository_and_after_a_restore_in_another_locale(workshop: Workshop) -> None:
    cluster = workshop.cluster()
    for name in NAMES:
        path = os.path.join(os.fsencode(cluster.data), name)
        with open(path, "wb") as file:
            file.write(name)
        shutil.chown(path, cluster.data.owner(), cluster.data.group())
    places = account.make_directory(workshop.path("locale"))
    made = account.run(["localedef", "-i", "en_US", "-f", "ISO-8859-1", places / LOCALE])
    if not (places / LOCALE).exists():
        pytest.skip(f"localedef cannot make {LOCALE}: {made.stderr}")
    program = workshop.holdfast(cluster, repo1_retention_full=9)
    program.stanza_create(online=False)
    labels = [program.backup("full", online=False)]
    program.environ = {"LOCPATH": str(places), "LC_ALL": LOCALE}
    labels.append(program.backup("full", online=False))
    for label in labels:
        path = program.repository / f"backup/main/{label}/backup.manifest"
        names = {file.name.encode("utf-8", "surrogateescape") for file in parse_manifest(path.read_bytes()).files}
        assert {b"pg_data/" + name for name in NAMES} < names
        data = workshop.path("r")
        program.restore(data, set=label)
        assert all((data / os.fsdecode(name)).read_bytes() == name for name in NAMES)
