#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint
short_description: Force a checkpoint
description:
  - Has PostgreSQL write all changed pages to the data files now, so that a backup, a restart or a snapshot that
    follows is quick.
version_added: 1.0.0
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.postgres.engine
  - holdfast.postgres.engine.stanza
  - holdfast.postgres.attributes
  - holdfast.postgres.attributes.local
  - holdfast.postgres.attributes.group
attributes:
  check_mode:
    support: full
    details:
      - Nothing is done.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each run makes a checkpoint.
seealso:
  - module: holdfast.postgres.backup
"""

EXAMPLES = r"""
- name: Force a checkpoint
  holdfast.postgres.checkpoint:
    stanza: main
  become: true
  become_user: postgres
"""

RETURN = r"""
redo_lsn:
  description: Where recovery after this checkpoint would begin.
  returned: success, except in check mode
  type: str
  sample: 0/3000028
checkpoint_lsn:
  description: Where the checkpoint is in the WAL.
  returned: success, except in check mode
  type: str
  sample: 0/3000060
duration:
  description: How long it took, in seconds.
  returned: success, except in check mode
  type: float
  sample: 0.42
cluster:
  description: The cluster, by its options.
  returned: success, except in check mode
  type: str
  sample: pg1
in_recovery:
  description: Whether the cluster is a standby, so that this was a restart point.
  returned: success, except in check mode
  type: bool
  sample: false
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["pg1: checkpoint complete after 0.420s, redo LSN 0/3000028"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec({}), supports_check_mode=True)
    if module.check_mode:
        _face.load_config(module, "checkpoint")
        module.exit_json(changed=True, log=[])
    module.exit_json(**_face.run(module, "checkpoint").result())


if __name__ == "__main__":
    main()
