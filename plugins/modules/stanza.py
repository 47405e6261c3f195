#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stanza
short_description: Make, adapt or delete a stanza in the repository
description:
  - A stanza is the place of one cluster in a repository. It has to be there before WAL can be archived and
    backups can be made.
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
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) makes the stanza in every repository, and does nothing when it is there and fits the
        cluster.
      - V(upgraded) adapts it to a cluster that was upgraded or made anew.
      - V(absent) deletes it with all its backups and all its WAL. The stanza has to be stopped first, with
        C(holdfast stop) on the host, and PostgreSQL must not run unless O(force=true).
    type: str
    choices:
      - present
      - upgraded
      - absent
    default: present
  repo:
    description:
      - Key of the repository to delete the stanza from, with O(state=absent) only.
      - It is required there when there are several repositories.
    type: int
  online:
    description:
      - Whether to ask PostgreSQL about the cluster. Without it the files of the data directory have to do.
      - Not with O(state=absent).
    type: bool
  force:
    description:
      - With O(state=absent) delete the stanza although PostgreSQL runs.
    type: bool
seealso:
  - module: holdfast.postgres.check
  - module: holdfast.postgres.archiving
  - module: holdfast.postgres.backup
"""

EXAMPLES = r"""
- name: Make the stanza
  holdfast.postgres.stanza:
    stanza: main
  become: true
  become_user: postgres

- name: Adapt the stanza after an upgrade of PostgreSQL
  holdfast.postgres.stanza:
    stanza: main
    state: upgraded
  become: true
  become_user: postgres
"""

RETURN = r"""
version:
  description: Major version of the cluster.
  returned: success, except with O(state=absent)
  type: str
  sample: "15"
system_id:
  description: System identifier of the cluster.
  returned: success, except with O(state=absent)
  type: int
  sample: 7710939714520404989
repos:
  description: What was done in each repository, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: Key of the repository.
      type: int
      returned: always
      sample: 1
    action:
      description:
        - V(created), V(completed) when a lost copy was made again, V(upgraded), V(deleted), V(valid) or V(absent).
      type: str
      returned: always
      sample: created
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["stanza main was created in repo1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

COMMANDS = dict(present="stanza-create", upgraded="stanza-upgrade", absent="stanza-delete")
OPTIONS = dict(
    repo=dict(type="int"),
    online=dict(type="bool"),
    force=dict(type="bool"),
)


def main():
    module = AnsibleModule(
        argument_spec=_face.argument_spec(OPTIONS, state=dict(type="str", choices=list(COMMANDS), default="present")),
        supports_check_mode=True,
    )
    dry_run = ["--dry-run"] if module.check_mode else []
    module.exit_json(**_face.run(module, COMMANDS[module.params["state"]], OPTIONS, dry_run).result())


if __name__ == "__main__":
    main()
