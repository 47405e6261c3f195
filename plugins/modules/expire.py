#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: expire
short_description: Remove backups and WAL that the retention lets go of
description:
  - Removes the backups beyond the configured retention, and the WAL that no remaining backup needs.
  - Each backup ends with this, so it is rarely needed by itself. Without a configured retention, nothing is
    removed.
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
  repo:
    description:
      - Key of the repository to use.
      - All by default.
    type: int
  set:
    description:
      - Label of a backup to remove, with those that rest on it, whatever the retention says.
    type: str
  oldest:
    description:
      - Whether to remove the oldest full backup, with those that rest on it, as long as a newer one remains.
    type: bool
  archive_expire_before:
    description:
      - Remove WAL older than this segment, as far as no backup that remains needs it.
    type: str
seealso:
  - module: holdfast.postgres.backup
  - module: holdfast.postgres.backup_info
"""

EXAMPLES = r"""
- name: Keep two full backups
  holdfast.postgres.expire:
    stanza: main
    options:
      repo1-retention-full: 2
  become: true
  become_user: postgres

- name: See what would go if one was kept
  holdfast.postgres.expire:
    stanza: main
    options:
      repo1-retention-full: 1
  become: true
  become_user: postgres
  check_mode: true
"""

RETURN = r"""
repos:
  description: What was removed from each repository, or would be in check mode.
  returned: success
  type: list
  elements: dict
  contains:
    key:
      description: Key of the repository.
      type: int
      returned: always
      sample: 1
    backups:
      description: Labels of the backups.
      type: list
      elements: str
      returned: always
      sample: [20260101-010000F]
    directories:
      description: Labels whose files were removed, with those that an earlier run left.
      type: list
      elements: str
      returned: always
      sample: [20260101-010000F]
    wal:
      description: By C(archive_id), the first and last segment of each run of WAL in C(removed).
      type: list
      elements: dict
      returned: always
      sample:
        - archive_id: 15-1
          whole: false
          removed:
            - ["000000010000000000000001", "000000010000000000000004"]
    manifests:
      description: Files of the history of backups.
      type: list
      elements: str
      returned: always
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["repo1: expire full backup 20260101-010000F"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

OPTIONS = dict(
    repo=dict(type="int"),
    set=dict(type="str"),
    oldest=dict(type="bool"),
    archive_expire_before=dict(type="str"),
)


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec(OPTIONS), supports_check_mode=True)
    module.exit_json(**_face.run(module, "expire", OPTIONS, ["--dry-run"] if module.check_mode else []).result())


if __name__ == "__main__":
    main()
