#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup
short_description: Back up a cluster
description:
  - Takes a full, differential or incremental backup of a running cluster. The backup is in the repository, with
    the WAL that it needs, when the task ends.
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
      - Says what would be copied. PostgreSQL is asked, but no backup is started.
  diff_mode:
    support: none
  idempotent:
    support: none
    details:
      - Each run makes a backup.
options:
  type:
    description:
      - Type of the backup. A V(diff) or V(incr) becomes a V(full) when there is none to rest on.
      - The default is V(incr).
    type: str
    choices:
      - full
      - diff
      - incr
  repo:
    description:
      - Key of the repository to use.
      - By default the one with the lowest key.
    type: int
  annotation:
    description:
      - Notes that are stored with the backup.
    type: dict
  start_fast:
    description:
      - Whether PostgreSQL makes the checkpoint at the start of the backup at once, instead of at its own
        pace.
    type: bool
  delta:
    description:
      - Whether checksums decide which files an incremental backup copies, instead of size and time.
    type: bool
  compress_type:
    description:
      - How files are compressed. The default is V(zst).
    type: str
    choices:
      - none
      - bz2
      - gz
      - lz4
      - zst
  process_max:
    description:
      - How many workers copy files at the same time.
    type: int
  expire_auto:
    description:
      - Whether what the retention lets go of is removed after the backup. The default is V(true).
    type: bool
  online:
    description:
      - Whether PostgreSQL runs. With V(false) it has to be stopped.
    type: bool
  force:
    description:
      - With O(online=false) back up although PostgreSQL seems to run.
    type: bool
seealso:
  - module: holdfast.postgres.backup_info
  - module: holdfast.postgres.restore
  - module: holdfast.postgres.expire
"""

EXAMPLES = r"""
- name: Take a full backup
  holdfast.postgres.backup:
    stanza: main
    type: full
    start_fast: true
    annotation:
      reason: before the upgrade
  become: true
  become_user: postgres

- name: Take an incremental backup with options that have no parameter of their own
  holdfast.postgres.backup:
    stanza: main
    options:
      repo1-bundle: true
      exclude:
        - pg_log/
  become: true
  become_user: postgres
  register: backup

- name: Show its label
  ansible.builtin.debug:
    msg: "{{ backup.label }}"
"""

RETURN = r"""
label:
  description: The label of the backup.
  returned: success, except in check mode
  type: str
  sample: 20260101-010000F
type:
  description: The type of the backup.
  returned: success
  type: str
  sample: full
prior:
  description: The backup that this one rests on; none for a V(full).
  returned: success
  type: str
repo:
  description: Key of the repository.
  returned: success
  type: int
  sample: 1
size:
  description: Size of the cluster, in bytes.
  returned: success
  type: int
  sample: 30939542
size_delta:
  description: How much of that was copied, in bytes.
  returned: success
  type: int
  sample: 30939542
repo_size:
  description: What a restore of this backup reads from the repository, in bytes.
  returned: success, except in check mode
  type: int
  sample: 4739774
repo_size_delta:
  description: What this backup added to the repository, in bytes.
  returned: success, except in check mode
  type: int
  sample: 4739774
files:
  description: Files of the cluster.
  returned: success
  type: int
  sample: 971
files_copied:
  description: Files that were copied.
  returned: success
  type: int
  sample: 971
start_time:
  description: When the backup began, in seconds since 1970.
  returned: success, except in check mode
  type: int
  sample: 1795343559
stop_time:
  description: When the backup ended, in seconds since 1970.
  returned: success, except in check mode
  type: int
  sample: 1795343561
duration:
  description: How long it took, in seconds.
  returned: success, except in check mode
  type: float
  sample: 2.012
archive_start:
  description: The first WAL segment that the backup needs; none for one made offline.
  returned: success, except in check mode
  type: str
  sample: "000000010000000000000011"
archive_stop:
  description: The last WAL segment that the backup needs.
  returned: success, except in check mode
  type: str
  sample: "000000010000000000000011"
lsn_start:
  description: Where the backup starts in the WAL.
  returned: success, except in check mode
  type: str
  sample: 0/11000028
lsn_stop:
  description: Where the backup ends in the WAL, so that it is consistent from there.
  returned: success, except in check mode
  type: str
  sample: 0/11000408
page_errors:
  description:
    - Pages whose checksum is wrong, by file, as numbers or first and last number; none for a file that does not consist
      of pages.
  returned: success, except in check mode
  type: dict
  sample: {}
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["new backup label = 20260101-010000F"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

OPTIONS = dict(
    type=dict(type="str", choices=["full", "diff", "incr"]),
    repo=dict(type="int"),
    annotation=dict(type="dict"),
    start_fast=dict(type="bool"),
    delta=dict(type="bool"),
    compress_type=dict(type="str", choices=["none", "bz2", "gz", "lz4", "zst"]),
    process_max=dict(type="int"),
    expire_auto=dict(type="bool"),
    online=dict(type="bool"),
    force=dict(type="bool"),
)


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec(OPTIONS), supports_check_mode=True)
    module.exit_json(**_face.run(module, "backup", OPTIONS, ["--dry-run"] if module.check_mode else []).result())


if __name__ == "__main__":
    main()
