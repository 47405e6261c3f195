#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_info
short_description: Get backups and archived WAL
description:
  - Gathers what the repositories hold of each stanza, its state, its backups and its WAL, and what is at work at
    the moment.
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
    support: full
  diff_mode:
    support: N/A
  idempotent:
    support: full
options:
  stanza:
    description:
      - Name of the stanza; all in the repositories when it is left out.
    type: str
  repo:
    description:
      - Key of the repository to use.
      - All by default.
    type: int
  set:
    description:
      - Label of one backup, to know its databases, tablespaces, links and damaged files as well. Needs O(stanza).
    type: str
  type:
    description:
      - Only backups of this type.
    type: str
    choices:
      - full
      - diff
      - incr
seealso:
  - module: holdfast.postgres.backup
"""

EXAMPLES = r"""
- name: See what the repositories hold
  holdfast.postgres.backup_info:
    stanza: main
  become: true
  become_user: postgres
  register: info

- name: Insist on a backup from the last day
  ansible.builtin.assert:
    that: info.stanzas[0].backup[-1].timestamp.stop > (now(utc=true).timestamp() - 86400)
"""

RETURN = r"""
stanzas:
  description:
    - What the repositories hold, by stanza. It is the JSON of the C(info) command, with underscores in the names.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the stanza.
      type: str
      returned: always
      sample: main
    status:
      description:
        - The C(code) and C(message) of its state, and in C(lock) whether a backup or a restore is at work and how far
          it is. The code is 0 when all is well, 1 for V(missing stanza path), 2 for V(no valid backups).
      type: dict
      returned: always
      sample:
        code: 0
        message: ok
        lock:
          backup:
            held: false
          restore:
            held: false
    cipher:
      description: The encryption of the repositories, V(mixed) when they differ.
      type: str
      returned: always
      sample: none
    repo:
      description: The state of each repository.
      type: list
      elements: dict
      returned: always
      sample:
        - key: 1
          cipher: none
          status:
            code: 0
            message: ok
    db:
      description: The clusters that the stanza has had, the newest last, by repository.
      type: list
      elements: dict
      returned: always
      sample:
        - id: 1
          repo_key: 1
          system_id: 7710939714520404989
          version: "15"
    archive:
      description: The first and last WAL segment of each archive.
      type: list
      elements: dict
      returned: always
      sample:
        - id: 15-1
          min: "000000010000000000000008"
          max: "00000001000000000000001B"
          database:
            id: 1
            repo_key: 1
    backup:
      description: The backups, the newest last.
      type: list
      elements: dict
      returned: always
      contains:
        label:
          description: Its label.
          type: str
          returned: always
          sample: 20260101-010000F
        type:
          description: Its type.
          type: str
          returned: always
          sample: full
        prior:
          description: The backup that it rests on.
          type: str
          returned: always
        reference:
          description: All backups that it takes files from.
          type: list
          elements: str
          returned: always
        timestamp:
          description: Its C(start) and C(stop), in seconds since 1970.
          type: dict
          returned: always
          sample:
            start: 1795343559
            stop: 1795343561
        archive:
          description: The first and last WAL segment that it needs, as C(start) and C(stop).
          type: dict
          returned: always
        lsn:
          description: Where it starts and ends in the WAL, as C(start) and C(stop).
          type: dict
          returned: if known
        info:
          description:
            - Sizes in bytes. C(size) of the cluster, C(delta) of what was copied, and the same for the C(repository).
          type: dict
          returned: always
        database:
          description: The history entry C(id) and the key C(repo_key) of the repository.
          type: dict
          returned: always
        backrest:
          description: The C(format) of the repository and the C(version) of the program that made the backup.
          type: dict
          returned: always
        annotation:
          description: Its notes.
          type: dict
          returned: if it has any
        error:
          description: Whether pages with wrong checksums were found.
          type: bool
          returned: if known
        error_list:
          description: The files that have such pages.
          type: list
          elements: str
          returned: with O(set), if there are any
        database_ref:
          description: Its databases, as C(name) and C(oid).
          type: list
          elements: dict
          returned: with O(set)
        tablespace:
          description: Its tablespaces, as C(name), C(oid) and C(destination).
          type: list
          elements: dict
          returned: with O(set)
        link:
          description: The links of its data directory, as C(name) and C(destination).
          type: list
          elements: dict
          returned: with O(set)
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: []
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

OPTIONS = dict(
    repo=dict(type="int"),
    set=dict(type="str"),
    type=dict(type="str", choices=["full", "diff", "incr"]),
)


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec(OPTIONS, stanza_required=False), supports_check_mode=True)
    module.exit_json(**_face.run(module, "info", OPTIONS).result())


if __name__ == "__main__":
    main()
