# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """The options that every module which runs an engine command has; module_utils/_face.py has their argument spec."""

    DOCUMENTATION = r"""
options:
  config:
    description:
      - The configuration file.
      - By default C(/etc/holdfast/holdfast.conf) and the files in C(/etc/holdfast/conf.d), where they exist.
      - The configuration of pgBackRest can be given as it is.
    type: path
  config_path:
    description:
      - Folder of the configuration file C(holdfast.conf) and its include directory C(conf.d), instead of
        C(/etc/holdfast).
    type: path
  config_include_path:
    description:
      - Folder of further configuration files; those that end in C(.conf) are read.
    type: path
  options:
    description:
      - Any other options of the command by their name, for example V(repo1-path) or V(process-max).
      - Booleans become V(y) and V(n), lists and dictionaries are given item by item.
      - What is given here or in another parameter wins over the environment and the configuration file.
      - Secrets are refused here; they belong into O(secrets) or into the configuration file.
    type: dict
    default: {}
  secrets:
    description:
      - Options that must not be seen, for example the passphrase of a repository. Their values are never part of a
        command line, a log or a result.
      - They win over the configuration file.
    type: list
    elements: dict
    default: []
    suboptions:
      option:
        description: Name of the option, for example V(repo1-cipher-pass).
        type: str
        required: true
      value:
        description: Its value, eight characters or more.
        type: str
        required: true
requirements:
  - python >= 3.9
  - psycopg2, numpy, zstandard, isal, lz4 and cryptography, as far as the options ask for them
notes:
  - The engine runs as the user of the task. That has to be the owner of the data directory and of the repository, so
    V(postgres) as a rule. Only a restore may run as V(root).
  - When the interpreter of the task lacks libraries and the C(install) role has made its virtual environment below
    C(/usr/local/lib/holdfast), the module goes on with the interpreter of that environment.
"""

    STANZA = r"""
options:
  stanza:
    description:
      - Name of the cluster configuration to work on.
    type: str
    required: true
"""
