#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_get
short_description: Fetch a WAL file from the repository
description:
  - Copies one WAL segment, or another file of the archive, from the repository to a file. Its content is compared
    with its checksum.
  - PostgreSQL does this itself during recovery, through C(restore_command). The module is for looking into WAL,
    or for feeding a server by hand.
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
    support: partial
    details:
      - Reads the configuration, but does not look into the repository; RV(found) is not returned.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - The file is written each time.
options:
  wal:
    description:
      - Name of the WAL segment or of another file of the archive, for example a history file.
    type: str
    required: true
  dest:
    description:
      - Where it is written, with its full path. The folder has to exist.
    type: path
    required: true
  missing_ok:
    description:
      - Whether it is no failure when no repository has the file. RV(found) tells.
    type: bool
    default: false
  repo:
    description:
      - Key of the repository to use; all are tried by default.
    type: int
seealso:
  - module: holdfast.postgres.archive_push
"""

EXAMPLES = r"""
- name: Fetch a WAL segment to look into it
  holdfast.postgres.archive_get:
    stanza: main
    wal: "0000000100000000000000A1"
    dest: /var/tmp/0000000100000000000000A1
  become: true
  become_user: postgres
"""

RETURN = r"""
found:
  description: Whether a repository has the file.
  returned: success, except in check mode
  type: bool
  sample: true
file:
  description: Name of the file.
  returned: success, except in check mode
  type: str
  sample: "0000000100000000000000A1"
repo:
  description: Key of the repository that had it.
  returned: when RV(found)
  type: int
  sample: 1
archive_id:
  description: The archive of the version and cluster that it is from.
  returned: when RV(found)
  type: str
  sample: 15-1
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["found 0000000100000000000000A1 in repo1"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

OPTIONS = dict(
    repo=dict(type="int"),
)


def main():
    module = AnsibleModule(
        argument_spec=_face.argument_spec(
            OPTIONS,
            wal=dict(type="str", required=True),
            dest=dict(type="path", required=True),
            missing_ok=dict(type="bool", default=False),
        ),
        supports_check_mode=True,
    )
    wal, dest = module.params["wal"], module.params["dest"]
    if module.check_mode:
        _face.load_config(module, "archive-get", OPTIONS, [wal, dest])
        module.exit_json(changed=True, log=[])
    run = _face.run(module, "archive-get", OPTIONS, [wal, dest])
    found = run.status == 0
    if not found and not module.params["missing_ok"]:
        hint = "Is the name right, and has the segment been archived?"
        module.fail_json(
            msg=f"No repository has {wal}. {hint}", rc=run.status, error="file-missing", hint=hint, log=run.log
        )
    module.exit_json(**{**run.result(), "found": found})


if __name__ == "__main__":
    main()
