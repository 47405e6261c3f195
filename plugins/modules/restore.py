#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore
short_description: Bring back a cluster from a backup
description:
  - Restores a backup into the data directory of the stanza and writes the recovery settings, so that PostgreSQL
    recovers to the wanted moment when it is started.
  - PostgreSQL has to be stopped, and is not started.
  - The checksum of each file is compared. An interrupted restore leaves a data directory that PostgreSQL refuses
    to start from, and can be run again with O(delta=true).
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
      - Says which backup would be restored and how much of it would be copied.
  diff_mode:
    support: none
  idempotent:
    support: full
    details:
      - With O(delta=true), as long as PostgreSQL has not been started in between.
options:
  set:
    description:
      - Label of the backup to restore.
      - By default the newest one, or for a O(type) of V(time) or V(lsn) the newest one from before O(target).
    type: str
  repo:
    description:
      - Key of the repository to use.
      - By default they are tried in the order of their keys.
    type: int
  type:
    description:
      - How far PostgreSQL recovers when it is started.
      - V(default) to the end of the WAL.
      - V(immediate) only until the backup is consistent.
      - V(time), V(lsn), V(xid) and V(name) (of a restore point) to O(target).
      - V(standby) as a standby.
      - V(preserve) as the recovery settings say that the data directory has already.
      - V(none) not at all. PostgreSQL takes the backup for a crashed server.
    type: str
    choices:
      - default
      - immediate
      - time
      - lsn
      - xid
      - name
      - standby
      - preserve
      - none
  target:
    description:
      - The time, LSN, transaction id or name of O(type). A time without an offset is local to the host.
    type: str
  target_action:
    description:
      - What PostgreSQL does when it has reached the target. The default is V(pause).
    type: str
    choices:
      - pause
      - promote
      - shutdown
  target_exclusive:
    description:
      - Whether recovery stops just before O(target) instead of just after it.
    type: bool
  target_timeline:
    description:
      - The timeline to follow, as a number, V(current) or V(latest).
    type: str
  delta:
    description:
      - Whether files that are already there and are right, by their checksum, stay; what does not belong
        there is removed.
      - Without it, and without O(force), the data directory has to be empty.
    type: bool
  force:
    description:
      - Whether to restore over what is in the data directory. Together with O(delta), size and time decide
        which files stay.
    type: bool
  tablespace_map:
    description:
      - New directories of tablespaces, by their name or OID.
    type: dict
  tablespace_map_all:
    description:
      - Directory below which all tablespaces are restored that O(tablespace_map) does not name.
    type: str
  link_map:
    description:
      - New destinations of the links in the data directory, by their name.
    type: dict
  link_all:
    description:
      - Whether links of the data directory are made again. By default their content is restored in their
        place.
    type: bool
  recovery_option:
    description:
      - Further recovery settings for PostgreSQL.
    type: dict
  archive_mode:
    description:
      - V(off) disables archiving in the restored cluster, so that a test does not write into the archive. The
        default is V(preserve).
    type: str
    choices:
      - preserve
      - "off"
  db_include:
    description:
      - Restore only these databases, and the system's own. The files of others are filled with zeros.
    type: list
    elements: str
  db_exclude:
    description:
      - Do not restore these databases. Their files are filled with zeros.
    type: list
    elements: str
  process_max:
    description:
      - How many workers copy files at the same time.
    type: int
seealso:
  - module: holdfast.postgres.backup
  - module: holdfast.postgres.backup_info
"""

EXAMPLES = r"""
- name: Restore to the end of the WAL, into an empty data directory
  holdfast.postgres.restore:
    stanza: main
  become: true
  become_user: postgres

- name: Restore to a moment, keeping the files that are right
  holdfast.postgres.restore:
    stanza: main
    type: time
    target: "2026-01-01 12:00:00+00"
    target_action: promote
    delta: true
  become: true
  become_user: postgres

- name: Restore a copy for a test, elsewhere
  holdfast.postgres.restore:
    stanza: main
    archive_mode: "off"
    tablespace_map_all: /srv/copy/tablespaces
    options:
      pg1-path: /srv/copy/data
  become: true
  become_user: postgres
"""

RETURN = r"""
label:
  description: The backup that was restored, or would be.
  returned: success
  type: str
  sample: 20260101-010000F
repo:
  description: Key of the repository.
  returned: success
  type: int
  sample: 1
data_directory:
  description: Where it was restored.
  returned: success
  type: str
  sample: /var/lib/postgresql/15/main
type:
  description: How far PostgreSQL will recover.
  returned: success
  type: str
  sample: time
files:
  description: Files of the backup.
  returned: success
  type: int
  sample: 971
size:
  description: Size of the cluster, in bytes.
  returned: success
  type: int
  sample: 30939542
files_restored:
  description: Files that were copied.
  returned: success, except in check mode
  type: int
  sample: 3
files_kept:
  description: Files that were right already.
  returned: success, except in check mode
  type: int
  sample: 968
files_removed:
  description: Files and directories that did not belong there.
  returned: success, except in check mode
  type: int
  sample: 2
removed:
  description: What would be removed.
  returned: in check mode
  type: list
  elements: str
  sample: [/var/lib/postgresql/15/main/base/5/2345]
duration:
  description: How long it took, in seconds.
  returned: success, except in check mode
  type: float
  sample: 2.012
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["repo1: restore backup set 20260101-010000F"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

OPTIONS = dict(
    set=dict(type="str"),
    repo=dict(type="int"),
    type=dict(
        type="str",
        choices=["default", "immediate", "time", "lsn", "xid", "name", "standby", "preserve", "none"],
    ),
    target=dict(type="str"),
    target_action=dict(type="str", choices=["pause", "promote", "shutdown"]),
    target_exclusive=dict(type="bool"),
    target_timeline=dict(type="str"),
    delta=dict(type="bool"),
    force=dict(type="bool"),
    tablespace_map=dict(type="dict"),
    tablespace_map_all=dict(type="str"),
    link_map=dict(type="dict"),
    link_all=dict(type="bool"),
    recovery_option=dict(type="dict"),
    archive_mode=dict(type="str", choices=["preserve", "off"]),
    db_include=dict(type="list", elements="str"),
    db_exclude=dict(type="list", elements="str"),
    process_max=dict(type="int"),
)


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec(OPTIONS), supports_check_mode=True)
    result = _face.run(module, "restore", OPTIONS, ["--dry-run"] if module.check_mode else []).result()
    # Ansible would add the owner and mode of whatever is called path.
    result["data_directory"] = result.pop("path")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
