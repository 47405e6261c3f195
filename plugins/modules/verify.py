#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: verify
short_description: Check every file of a repository
description:
  - Reads all backups and all WAL of a stanza in one repository, and compares size and checksum of every file with
    what the manifests say. Also finds WAL that is missing between the start and the stop of a backup.
  - It writes nothing and takes no lock, so backups and expire may run meanwhile.
  - Fails when something is wrong, unless O(fail_on_error=false); the result is the same in both cases.
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
      - Does the same as without, because it changes nothing.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  repo:
    description:
      - Key of the repository to read.
      - By default the one with the lowest key.
    type: int
  set:
    description:
      - Label of a backup. Only what it needs is read, its WAL from start to stop included.
    type: str
  process_max:
    description:
      - How many processes read and compare. It is V(1) unless configured.
    type: int
  check_content:
    description:
      - Whether to also decrypt and decompress every file and to compare what comes out, as a restore would.
      - Without it the stored bytes are compared. That is several times as fast, and finds all damage but not what was
        stored wrongly in the first place.
    type: bool
  fail_on_error:
    description:
      - Whether the task fails when something is wrong.
    type: bool
    default: true
seealso:
  - module: holdfast.postgres.backup_info
  - module: holdfast.postgres.restore
"""

EXAMPLES = r"""
- name: Check all of the first repository with four processes
  holdfast.postgres.verify:
    stanza: main
    process_max: 4
  become: true
  become_user: postgres

- name: Check what one backup needs, down to the content of its files
  holdfast.postgres.verify:
    stanza: main
    set: 20260101-010000F
    check_content: true
  become: true
  become_user: postgres

- name: Look, and go on whatever is found
  holdfast.postgres.verify:
    stanza: main
    repo: 2
    fail_on_error: false
  become: true
  become_user: postgres
  register: verified
"""

RETURN = r"""
stanza:
  description: Name of the stanza.
  returned: always
  type: str
  sample: main
status:
  description: V(error) when something is wrong, else V(ok).
  returned: always
  type: str
  sample: ok
repo:
  description: Key of the repository that was read.
  returned: always
  type: int
  sample: 1
archives:
  description: The WAL, by version and cluster.
  returned: always
  type: list
  elements: dict
  contains:
    archive_id:
      description: The archive of this version and cluster.
      type: str
      returned: always
      sample: 15-1
    checked:
      description: Files of WAL segments.
      type: int
      returned: always
      sample: 18
    valid:
      description: Those that are right.
      type: int
      returned: always
      sample: 18
    missing:
      description: Segments that vanished while they were read. They have expired, so this is no error.
      type: int
      returned: always
      sample: 0
    checksum_invalid:
      description: Segments with another content than their name says.
      type: int
      returned: always
      sample: 0
    size_invalid:
      description: Segments that are not as long as a segment is.
      type: int
      returned: always
      sample: 0
    other:
      description: Segments that cannot be read, decrypted or decompressed.
      type: int
      returned: always
      sample: 0
    duplicates:
      description: Segments that are there more than once. None of their files is read.
      type: list
      elements: str
      returned: always
      sample: []
    ranges:
      description: First and last of each run of segments without a gap. A gap is no error.
      type: list
      elements: list
      returned: always
      sample:
        - ["000000010000000000000001", "000000010000000000000012"]
    segment_size:
      description: Size of a segment in bytes, as far as it is known.
      type: int
      returned: always
      sample: 16777216
backups:
  description: The backups, oldest first.
  returned: always
  type: list
  elements: dict
  contains:
    label:
      description: Label of the backup.
      type: str
      returned: always
      sample: 20260101-010000F
    status:
      description:
        - V(valid), V(invalid), V(in-progress), which is also what an interrupted backup looks like, or V(manifest
          missing), after it has expired or is lost.
      type: str
      returned: always
      sample: valid
    checked:
      description: Files of the backup, with those that an older backup stores for it.
      type: int
      returned: always
      sample: 968
    valid:
      description: Those that are right.
      type: int
      returned: always
      sample: 968
    missing:
      description: Files that are not there.
      type: int
      returned: always
      sample: 0
    checksum_invalid:
      description: Files with a wrong content.
      type: int
      returned: always
      sample: 0
    size_invalid:
      description: Files with a wrong size.
      type: int
      returned: always
      sample: 0
    other:
      description: Files that cannot be read, decrypted or decompressed.
      type: int
      returned: always
      sample: 0
    missing_wal:
      description: First and last of each run of WAL segments without which the backup cannot be restored.
      type: list
      elements: list
      returned: always
      sample: []
errors:
  description: What is wrong, one entry each, but no more than 1000.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description:
        - V(missing), V(checksum), V(size) or V(other) of a file, V(duplicate), V(archive-id), V(manifest),
          V(missing-wal), or V(info) when nothing could be read.
      type: str
      returned: always
      sample: checksum
    message:
      description: The error in words.
      type: str
      returned: always
    source:
      description: Path of the file below the repository.
      type: str
      returned: for files
      sample: backup/main/20260101-010000F/bundle/1
lost:
  description: Labels of backups that are listed but have no manifest any more, so that they cannot be restored.
  returned: always
  type: list
  elements: str
  sample: []
totals:
  description: Sums over all of it.
  returned: always
  type: dict
  contains:
    errors:
      description: How many errors there are.
      type: int
      returned: always
      sample: 0
    wal:
      description: Files of WAL segments.
      type: int
      returned: always
      sample: 18
    wal_valid:
      description: Those that are right.
      type: int
      returned: always
      sample: 18
    files:
      description: Files of backups. One that several backups share counts in each.
      type: int
      returned: always
      sample: 1935
    files_valid:
      description: Those that are right.
      type: int
      returned: always
      sample: 1935
    bytes:
      description: What was read.
      type: int
      returned: always
      sample: 12345678
    duration:
      description: How long it took, in seconds.
      type: float
      returned: always
      sample: 1.25
log:
  description: What the command said, at level info or more serious, oldest first.
  returned: always
  type: list
  elements: str
  sample: ["verified 18 WAL segments and 1935 files, read 11.8MB: no errors"]
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _face

OPTIONS = dict(
    repo=dict(type="int"),
    set=dict(type="str"),
    process_max=dict(type="int"),
    check_content=dict(type="bool"),
    fail_on_error=dict(type="bool", default=True),
)


def main():
    module = AnsibleModule(argument_spec=_face.argument_spec(OPTIONS), supports_check_mode=True)
    run = _face.run(module, "verify", OPTIONS)
    if run.status:
        module.fail_json(msg=failure(run.facts), rc=run.status, error="command", hint="", **run.result())
    module.exit_json(**run.result())


def failure(facts):
    """One text with the first thing that is wrong, for output that shows nothing else."""
    count = facts["totals"]["errors"]
    first = facts["errors"][0]["message"] if facts["errors"] else f"backup {facts['lost'][0]} has no manifest any more"
    others = f", and {count - 1} more errors; see the result" if count > 1 else ""
    return f"Verify of stanza {facts['stanza']} in repo{facts['repo']} found: {first}{others}."


if __name__ == "__main__":
    main()
