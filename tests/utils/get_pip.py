# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for the pip installer that ansible-test downloads: the pip that Python itself carries is enough.

ansible-test runs it in a new virtual environment with pip's arguments, and it has to work where only a package index
can be reached.
"""

from __future__ import annotations

import os
import subprocess
import sys

environ = {name: value for name, value in os.environ.items() if name != "GET_PIP"}
arguments = [argument for argument in sys.argv[1:] if argument not in ("--no-setuptools", "--no-wheel")]
subprocess.run([sys.executable, "-m", "ensurepip", "--default-pip"], check=True, env=environ)
subprocess.run([sys.executable, "-m", "pip", "install", *arguments], check=True, env=environ)
