#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: archiving
short_description: Make a cluster hand its WAL to the repository
description:
  - Sets C(archive_mode), C(archive_command) and C(wal_level) in a running cluster with C(ALTER SYSTEM) and has the
    server read its configuration.
  - A change of C(archive_mode) or C(wal_level) counts from the next start of the server. This module never restarts it,
    but says with RV(restart_required) whether that is needed.
  - C(archive_mode=always) and a C(wal_level) above C(replica) stay as they are.
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
    support: full
  idempotent:
    support: full
options:
  command:
    description:
      - The launcher that PostgreSQL runs.
      - The options O(config), O(config_path) and O(config_include_path) and the stanza are given to it.
    type: path
    default: /usr/local/bin/holdfast
seealso:
  - module: holdfast.postgres.engine
  - module: holdfast.postgres.check
notes:
  - The database role has to be a superuser.
"""

EXAMPLES = r"""
- name: Let the cluster archive its WAL
  holdfast.postgres.archiving:
    stanza: main
  become: true
  become_user: postgres
  register: archiving

- name: Restart PostgreSQL when that is needed
  ansible.builtin.service:
    name: postgresql@15-main
    state: restarted
  become: true
  when: archiving.restart_required
"""

RETURN = r"""
settings:
  description: The settings as they are configured after the task.
  returned: success
  type: dict
  sample:
    archive_command: /usr/local/bin/holdfast --stanza=main archive-push "%p"
    archive_mode: "on"
    wal_level: replica
restart_required:
  description: Whether the server has to be restarted before the settings count, for whatever earlier change.
  returned: success
  type: bool
  sample: true
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _archiving, _face


def main():
    module = AnsibleModule(
        argument_spec=_face.argument_spec({}, command=dict(type="path", default="/usr/local/bin/holdfast")),
        supports_check_mode=True,
    )
    _face.use_libraries()
    module.exit_json(**run(module))


def run(module):
    from ..module_utils._engine.errors import EngineError
    from ..module_utils._engine.postgres.control_file import load_control
    from ..module_utils._engine.postgres.server import check_identity, connect_clusters

    params = module.params
    options = {name.replace("_", "-"): params[name] for name in _face.SHARED if name != "stanza"}
    command = _archiving.archive_command(params["command"], params["stanza"], options)
    config = _face.load_config(module, "check")
    with _face.listening() as heard:
        try:
            clusters = connect_clusters(config)
            try:
                session = clusters.primary
                check_identity(session, load_control(session.pg.path, config.pg_version_force))
                return set_up(module, session, command)
            finally:
                clusters.close()
        except EngineError as error:
            _face.fail(module, error, heard.lines, heard.warnings)


def set_up(module, session, command):
    now = _archiving.read_settings(session)
    changes = _archiving.plan_settings(now, command)
    message, hint = _archiving.obstacle(now, changes)
    if message:
        module.fail_json(msg=_face.sentence(message, hint), hint=hint)
    replaced = now["archive_command"].configured
    if "archive_command" in changes and replaced and "holdfast" not in replaced:
        module.warn(f"The cluster no longer archives with: {replaced}")
    if changes and not module.check_mode:
        _archiving.apply_settings(session, changes)
    before = {name: now[name].configured for name in ("archive_command", "archive_mode", "wal_level")}
    result = dict(
        changed=bool(changes),
        settings={**before, **changes},
        restart_required=_archiving.needs_restart(now, changes),
    )
    if module._diff:
        name = f"{session.pg.path}/postgresql.auto.conf"
        result["diff"] = dict(
            before=text(before), after=text(result["settings"]), before_header=name, after_header=name
        )
    return result


def text(settings):
    return "".join(f"{name} = {value}\n" for name, value in sorted(settings.items()))


if __name__ == "__main__":
    main()
