# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The libraries of the engine and their ranges: the only place that names them. Private to this collection.

A range starts at the oldest version that a supported distribution packages and ends before the next major version.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

# (name to import, what pip installs, oldest version, first version that is too new, environment marker)
_LIBRARIES = (
    ("psycopg2", "psycopg2-binary", "2.8.6", "3", ""),
    ("numpy", "numpy", "1.23", "3", ""),
    ("zstandard", "zstandard", "0.18", "1", "python_version < '3.14'"),  # from 3.14 on in the standard library
    ("isal", "isal", "1.6", "2", ""),
    ("lz4", "lz4", "4.0", "5", ""),
    ("xxhash", "xxhash", "2.0.2", "5", ""),
    ("cryptography", "cryptography", "36", "51", ""),
)

REQUIREMENTS = [
    f"{package}>={oldest},<{too_new}" + (f"; {marker}" if marker else "")
    for _name, package, oldest, too_new, marker in _LIBRARIES
]


def wanted() -> list[str]:
    """The modules that this interpreter should be able to import."""
    return [name for name, *_rest, marker in _LIBRARIES if not marker or sys.version_info < (3, 14)]


def missing() -> list[str]:
    """Those of them that it cannot; they are looked for, not loaded."""
    return [name for name in wanted() if find_spec(name) is None]
