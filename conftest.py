# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a checkout importable as ansible_collections.holdfast.postgres, whatever its folder is called.

Through a link in a temporary directory, because Python and Ansible both find a collection by the names of its
directories. A checkout or copy that already lies in a collections tree needs no link.
"""

from __future__ import annotations

import atexit
import os
import pathlib
import shutil
import signal
import sys
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent


def linked() -> pathlib.Path:
    """A new collections tree that has the checkout as a link; removed when this process ends."""
    tree = pathlib.Path(tempfile.mkdtemp(prefix="holdfast-tree-"))
    owner = os.getpid()

    def remove() -> None:
        # A forked child of a test that ends in the ordinary way comes by here, too.
        if os.getpid() == owner:
            shutil.rmtree(tree, ignore_errors=True)

    atexit.register(remove)
    link = tree / "ansible_collections" / "holdfast" / "postgres"
    link.parent.mkdir(parents=True)
    link.symlink_to(HERE, target_is_directory=True)
    tree.chmod(0o755)  # a test may start programs as another user, and they import from here
    return tree


# nohup, and a shell that starts us in the background, leave these ignored; what the tests start would inherit that.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL if number == signal.SIGHUP else signal.default_int_handler)

TREE = HERE.parents[2] if HERE.parent.parent.name == "ansible_collections" else linked()
sys.path.insert(0, str(TREE))
os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(TREE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that change owners or users need root; 'make unit' runs them in a second pass when root calls it."""
    if os.geteuid() != 0:
        for item in items:
            if item.get_closest_marker("root"):
                item.add_marker(pytest.mark.skip(reason="needs root"))
