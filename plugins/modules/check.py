#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: check
short_description: Prove that archiving and the configuration work
description:
  - Connects to the cluster, compares it with the configuration and with the stanza, switches to a new WAL segment
    and waits until the old one has arrived in every repository.
  - It changes nothing that matters. PostgreSQL gets a restore point and begins a new segment.
version_added: 1.0.0
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.postgres.engine
  - holdfast.postgres.attributes
  - holdfast.postgres.attributes.local
  - holdfast.postgres.attributes.group
attributes:
  check_mode:
    support: partial
    details:
      - Reads the configuration, but does not connect to PostgreSQL. The proof cannot be had without the WAL
        switch.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  stanza:
    description:
      - Name of the cluster configuration to check; all that are configured when it is left out.
    type: str
seealso:
  - module: holdfast.postgres.stanza
  - module: holdfast.postgres.archiving
"""

EXAMPLES = r"""
- name: Prove that WAL reaches the repository
  holdfast.postgres.check:
    stanza: main
  become: true
  become_user: postgres
"""

RETURN = r"""
stanzas:
  description: What was found, by stanza.
  returned: success, except in check mode
  type: list
  elements: dict
  contains:
    stanza:
      description: Name of the stanza.
      type: str
      returned: always
      sample: main
    primary:
      description: The cluster that accepts writes, by its options, for example V(pg1).
      type: str
      returned: always
      sample: pg1
    standby:
      description: A cluster in recovery, by its options.
      type: str
      returned: always
    segment:
      description: The WAL segment that was waited for.
      type: str
      returned: always
      sample: "000000010000000000000005"
    repos:
      description: Where it arrived.
      type: list
      elements: dict
      returned: always
      contains:
        key:
          description: Key of the repository.
          type: int
          returned: always
          sample: 1
        archive_id:
          description: The archive of this version and cluster.
          type: str
          returned: for a primary
          sample: 15-1
        wal:
          description: Path of the segment below the repository.
          type: str
          returned: for a primary
        waited:
          description: How long it took, in seconds.
          type: float
          returned: for a primary
          sample: 0.112
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["repo1: WAL segment 000000010000000000000005 arrived"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec({}, stanza_required=False), supports_check_mode=True)
    if module.check_mode:
        _face.load_config(module, "check")
        module.exit_json(changed=False, log=[])
    # The restore point and the segment that PostgreSQL ends are no change that anybody asked for.
    module.exit_json(**{**_face.run(module, "check").result(), "changed": False})


if __name__ == "__main__":
    main()
