#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archive_push
short_description: Store a WAL file in the repository
description:
  - Copies one WAL segment, or another file of C(pg_wal), to every repository. It is there, and durable, when the
    task ends.
  - PostgreSQL does this itself through C(archive_command), see M(holdfast.postgres.archiving). The module is for
    segments that were left over, for example of a server that cannot be started any more.
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
  wal:
    description:
      - The WAL file, with its full path.
    type: path
    required: true
seealso:
  - module: holdfast.postgres.archive_get
  - module: holdfast.postgres.archiving
"""

EXAMPLES = r"""
- name: Store the last segment of a server that died
  holdfast.postgres.archive_push:
    stanza: main
    wal: /var/lib/postgresql/15/main/pg_wal/0000000100000000000000A1
  become: true
  become_user: postgres
"""

RETURN = r"""
file:
  description: Name of the file.
  returned: success
  type: str
  sample: "0000000100000000000000A1"
dropped:
  description:
    - Whether the file was given up because the queue is longer than the option C(archive-push-queue-max) allows. It is
      in no repository then.
  returned: success
  type: bool
  sample: false
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
      description: V(stored), or V(present) when the same file was there already.
      type: str
      returned: always
      sample: stored
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["pushed WAL file '0000000100000000000000A1' to the archive"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face


def main():
    module = AnsibleModule(
        argument_spec=_face.argument_spec({}, wal=dict(type="path", required=True)), supports_check_mode=True
    )
    dry_run = ["--dry-run"] if module.check_mode else []
    module.exit_json(**_face.run(module, "archive-push", [], [*dry_run, module.params["wal"]]).result())


if __name__ == "__main__":
    main()
