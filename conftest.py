# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a checkout importable as ansible_collections.holdfast.postgres, whatever its folder is called.

A link in a temporary directory, because Python and Ansible both find a collection by the names of its directories.
Where the checkout already lies in a collections tree (ansible-test, an installed collection) there is nothing to do.
"""

from __future__ import annotations

import atexit
import os
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def make_importable() -> None:
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
    sys.path.insert(0, str(tree))
    os.environ["ANSIBLE_COLLECTIONS_PATH"] = str(tree)


if HERE.parent.parent.name != "ansible_collections":
    make_importable()
