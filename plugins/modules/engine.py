#!/usr/bin/python
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: engine
short_description: Install the backup engine on a database host
description:
  - Puts the engine that this collection carries on a host, so that PostgreSQL can call it as C(archive_command) and
    C(restore_command), and people can call it as C(holdfast).
  - The engine goes to a folder of its own per version, with its bytecode and a Python virtual environment for its
    libraries. A new version is complete before it comes into use, and comes into use by turning one link.
  - The other modules of this collection carry the engine with them. They do not need this module, but use the
    libraries of its virtual environment when their own interpreter lacks them.
version_added: 1.0.0
author:
  - Holdfast contributors (@holdfast)
extends_documentation_fragment:
  - holdfast.postgres.attributes
  - holdfast.postgres.attributes.local
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  state:
    description:
      - V(present) installs the engine of this collection and makes it the one in use.
      - V(absent) removes all versions, their virtual environments and the launcher. Configuration, repositories, logs
        and the settings of PostgreSQL stay as they are.
    type: str
    choices:
      - present
      - absent
    default: present
  prefix:
    description:
      - The engine is installed below C(lib/holdfast) of this folder, and its launcher is C(bin/holdfast).
    type: path
    default: /usr/local
  spool_path:
    description:
      - A folder that the user of PostgreSQL may write to. The launcher answers C(archive_command) and
        C(restore_command) by itself when the answer lies in the spool, and what it has to know for that lies in a
        folder C(fast) here.
      - It is best the C(spool-path) of the configuration, but any will do.
    type: path
    default: /var/spool/holdfast
  libraries:
    description:
      - Where the libraries come from.
      - V(venv) makes a virtual environment and lets C(pip) install O(requirements) there.
      - V(interpreter) uses those that O(interpreter) has, for example from packages of the distribution.
    type: str
    choices:
      - venv
      - interpreter
    default: venv
  interpreter:
    description:
      - The Python (3.9 or newer) that the virtual environment is made from, or that runs the engine.
      - By default it is the one that runs this module.
    type: path
  requirements:
    description:
      - What C(pip) installs. With an empty list it installs nothing.
      - By default the ranges which this version of the collection is tested with.
    type: list
    elements: str
  pip_arguments:
    description:
      - Further arguments for C(pip install), for example V(--index-url) or V(--find-links) with a value each.
      - They do not count when the module decides whether the virtual environment is up to date.
    type: list
    elements: str
    default: []
  keep:
    description:
      - How many other versions stay, those that were installed last. A command which still runs needs its version.
    type: int
    default: 1
seealso:
  - module: holdfast.postgres.archiving
notes:
  - On Debian and Ubuntu a virtual environment needs the package C(python3-venv).
"""

EXAMPLES = r"""
- name: Install the engine
  holdfast.postgres.engine:
  become: true

- name: Install the engine with the libraries that the distribution packages
  holdfast.postgres.engine:
    libraries: interpreter
    interpreter: /usr/bin/python3
  become: true

- name: Install the engine for one user, with libraries from a folder
  holdfast.postgres.engine:
    prefix: /home/me/.local
    pip_arguments:
      - --no-index
      - --find-links
      - /srv/wheels

- name: Remove the engine
  holdfast.postgres.engine:
    state: absent
  become: true
"""

RETURN = r"""
version:
  description: The version that is in use after the task, an empty string when none is.
  returned: always
  type: str
  sample: 1.0.0
previous_version:
  description: The version that was in use before.
  returned: always
  type: str
  sample: 0.9.0
command:
  description: The launcher.
  returned: always
  type: str
  sample: /usr/local/bin/holdfast
directory:
  description: The folder of the version.
  returned: always
  type: str
  sample: /usr/local/lib/holdfast/1.0.0
python:
  description: The Python that runs the engine.
  returned: when O(state=present)
  type: str
  sample: /usr/local/lib/holdfast/1.0.0/venv/bin/python
missing_libraries:
  description:
    - Libraries that this Python does not have. What needs them fails with an error that names the library, but C(isal)
      has the standard library for a substitute.
  returned: when O(state=present), except in check mode for a virtual environment that is still to be made
  type: list
  elements: str
  sample: [isal]
changes:
  description: What was done, or would be in check mode.
  returned: always
  type: list
  elements: str
  sample: [sources, virtual environment, launcher, bytecode, version in use]
"""

import os
import shutil
import sys

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _install
from ..module_utils._libraries import REQUIREMENTS, wanted


def main():
    module = AnsibleModule(
        argument_spec=dict(
            state=dict(type="str", choices=["present", "absent"], default="present"),
            prefix=dict(type="path", default="/usr/local"),
            spool_path=dict(type="path", default="/var/spool/holdfast"),
            libraries=dict(type="str", choices=["venv", "interpreter"], default="venv"),
            interpreter=dict(type="path"),
            requirements=dict(type="list", elements="str"),
            pip_arguments=dict(type="list", elements="str", default=[]),
            keep=dict(type="int", default=1),
        ),
        supports_check_mode=True,
    )
    prefix = module.params["prefix"]
    if not os.path.isabs(prefix):
        module.fail_json(msg=f"prefix must be an absolute path, not {prefix!r}: say where the engine shall be.")
    places = _install.Places(os.path.normpath(prefix))
    previous = places.installed_version()
    result = absent(module, places) if module.params["state"] == "absent" else Present(module, places).result()
    if module._diff:
        name = os.path.join(places.root, "current")
        after = _line(result["version"])
        result["diff"] = dict(before=_line(previous), after=after, before_header=name, after_header=name)
    module.exit_json(
        changed=bool(result["changes"]),
        previous_version=previous,
        command=places.command,
        directory=places.home,
        **result,
    )


def _line(version):
    return f"{version}\n" if version else ""


def absent(module, places):
    """Remove the launcher first: what calls it then fails cleanly instead of half-way."""
    doomed = [path for path in (places.command, places.root) if os.path.lexists(path)]
    if not module.check_mode:
        for path in doomed:
            _install.remove(path)
    return dict(version="", changes=[f"remove {path}" for path in doomed])


class Present:
    """Brings one version onto the host, step by step; a step that finds its work done changes nothing."""

    def __init__(self, module, places):
        self.module = module
        self.places = places
        self.package = os.path.join(places.engine, _install.PACKAGE)
        self.interpreter = module.params["interpreter"] or sys.executable
        given = module.params["requirements"]
        self.requirements = REQUIREMENTS if given is None else given
        self.changes = []

    def result(self):
        base = self.probe(self.interpreter)  # before anything is written: the wrong one is the likeliest mistake
        self.write_sources()
        python = self.make_venv(base) if self.module.params["libraries"] == "venv" else base
        known = {"python": self.places.venv_python}
        if python is not None:
            known = {"python": python.path, "missing_libraries": list(python.missing)}
            self.write_texts(python)
            self.compile(python)
        self.switch()
        self.prune()
        return dict(version=self.places.version, changes=self.changes, **known)

    def change(self, text):
        """Note a change; whether it is to be made as well."""
        self.changes.append(text)
        return not self.module.check_mode

    def write_sources(self):
        wanted_sources = _install.payload()
        if _install.read_sources(self.package) != wanted_sources and self.change("sources"):
            _install.write_sources(self.package, wanted_sources)

    def make_venv(self, base):
        """The interpreter of the virtual environment, made anew unless it is whole; None when it would be made."""
        places = self.places
        stamp = self.module.jsonify([base.version, self.requirements]).encode()
        if not _install.holds(places.stamp, stamp, 0o644):
            if not self.change("virtual environment"):
                return None
            _install.remove(places.venv)
            self.run(
                [self.interpreter, "-I", "-m", "venv", places.venv],
                "cannot make the virtual environment: install the package that has Python's venv module "
                "(python3-venv on Debian and Ubuntu), or set libraries to interpreter.",
            )
            if self.requirements:
                self.run(
                    [places.venv_python, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                    + self.module.params["pip_arguments"]
                    + self.requirements,
                    "cannot install the libraries: make a package index reachable with pip_arguments, or set libraries "
                    "to interpreter.",
                )
            _install.write_file(places.stamp, stamp, 0o644)
        return self.probe(places.venv_python)

    def write_texts(self, python):
        for path, (data, mode) in _install.texts(self.places, python, self.module.params["spool_path"]).items():
            if not _install.holds(path, data, mode) and self.change(os.path.relpath(path, self.places.home)):
                _install.write_file(path, data, mode)

    def compile(self, python):
        if "sources" in self.changes or not _install.is_compiled(self.package, python):
            if self.change("bytecode"):
                # Forced: a source replaced within a second by one of equal length would pass for compiled.
                argv = [python.path, "-I", "-m", "compileall", "-f", "-q", self.places.engine]
                self.run(argv, "cannot compile the engine, free space is what it needs.")

    def switch(self):
        """The version's own link first; the launcher's link is the same for all versions."""
        for link, target in (
            (self.places.current, self.places.version),
            (self.places.command, os.path.join("..", "lib", "holdfast", "current", "bin", "holdfast")),
        ):
            if not _install.points_to(link, target) and self.change(f"link {link}"):
                _install.write_link(link, target)

    def prune(self):
        others = [version for version in self.places.versions() if version != self.places.version]
        for version in others[max(self.module.params["keep"], 0) :]:
            if self.change(f"remove version {version}"):
                shutil.rmtree(os.path.join(self.places.root, version))

    def probe(self, interpreter):
        """Ask an interpreter about itself."""
        answer = self.run(
            [interpreter, "-I", "-c", _install.PROBE] + wanted(),
            f"cannot run the interpreter {interpreter}: set interpreter to a Python 3.9 or newer.",
        )
        return _install.Interpreter.of_answer(interpreter, answer)

    def run(self, command, failure):
        """The standard output of a program that must succeed; others must be able to read what it writes."""
        try:
            status, output, errors = self.module.run_command(command, umask=0o022, handle_exceptions=False)
        except OSError as error:
            status, output, errors = 1, "", str(error)
        if status != 0:
            said = (errors or output).strip().splitlines()[-1:] or [f"exit status {status}"]
            self.module.fail_json(msg=f"{said[0]}: {failure}", rc=status, cmd=command, stdout=output, stderr=errors)
        return output


if __name__ == "__main__":
    main()
