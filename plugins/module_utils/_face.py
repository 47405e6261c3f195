# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that run an engine command share. Private to this collection.

A module parameter is the option of the same name, dashes for underscores, and reaches the engine as a command line:
the engine alone knows types, ranges and precedence. Secrets go the way of the environment, which no process list and
no log of the command line shows. Expected failures end the module with the engine's code, name and hint.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ansible.module_utils.common.respawn import has_respawned, respawn_module

from ._libraries import missing

VENV_PYTHON = "/usr/local/lib/holdfast/current/venv/bin/python"
SHORTEST_SECRET = 8  # characters; Ansible masks a secret wherever it occurs, and a short one occurs by chance


def argument_spec(options: Mapping[str, Any], stanza_required: bool = True, **others: Any) -> dict[str, Any]:
    """The arguments of a module: those that all share, options of the command, and what is none of these."""
    return {
        "stanza": {"type": "str", "required": stanza_required},
        "config": {"type": "path"},
        "config_path": {"type": "path"},
        "config_include_path": {"type": "path"},
        "options": {"type": "dict", "default": {}},
        "secrets": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "no_log": False,
            "options": {
                "option": {"type": "str", "required": True},
                "value": {"type": "str", "required": True, "no_log": True},
            },
        },
        **options,
        **others,
    }


SHARED = ("stanza", "config", "config_path", "config_include_path")


def use_libraries() -> None:
    """Go on in the virtual environment of the installed engine when this interpreter lacks libraries."""
    if missing() and os.path.exists(VENV_PYTHON) and not has_respawned():
        respawn_module(VENV_PYTHON)


class Run:
    """What a command left behind.

    facts, changed, status: as in the engine's Outcome; log: the messages of the command, oldest first, warnings among
    them; result(): what the module returns.
    """

    def __init__(self, facts: dict[str, Any], changed: bool, status: int, log: list[str]) -> None:
        self.facts = facts
        self.changed = changed
        self.status = status
        self.log = log

    def result(self) -> dict[str, Any]:
        return {"changed": self.changed, "log": self.log, **self.facts}


def load_config(module: Any, command: str, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> Any:
    """The engine's configuration for a command, from the module's parameters; ends the module when it has a mistake.

    options: names of the parameters that are options of the command; arguments: further command line arguments.
    """
    from ._engine import options as engine_options
    from ._engine.errors import EngineError

    try:
        argv = [command, *option_arguments(module, [*SHARED, *options]), *arguments]
        config = engine_options.load(argv, environment(module))
    except EngineError as error:
        fail(module, error, [])
    for text in config.warnings:
        module.warn(text)
    return config


def run(module: Any, command: str, options: Sequence[str] = (), arguments: Sequence[str] = ()) -> Run:
    """Run an engine command with the module's parameters; ends the module when the command fails."""
    from ._engine import log as logs
    from ._engine import main
    from ._engine.errors import EngineError

    use_libraries()
    config = load_config(module, command, options, arguments)
    main.catch_signals()
    with listening() as heard:
        try:
            main.prepare(config)
            logs.setup_file(config)  # a run by a playbook is in the same log file as one by hand
            outcome = main.run(config)
        except EngineError as error:
            fail(module, error, heard.lines, heard.warnings)
        finally:
            logs.shutdown()
    for text in heard.warnings:
        module.warn(text)
    return Run(dict(outcome.facts), outcome.changed, outcome.status, heard.lines)


def fail(module: Any, error: Any, log: list[str], warnings: Sequence[str] = ()) -> None:
    """End the module; the message is whole by itself, because some output shows nothing else."""
    for text in warnings:
        module.warn(text)
    module.fail_json(msg=sentence(error.message, error.hint), rc=error.code, error=error.name, hint=error.hint, log=log)


def sentence(message: str, hint: str) -> str:
    """One text that says what is wrong and ends with what to do."""
    text = ""
    for part in filter(None, (message.strip(), hint.strip())):
        word = re.match("[a-z]+(?= |$)", part)  # an option or a command stays as it is spelled
        text += (" " if text else "") + (part[0].upper() + part[1:] if word else part)
        text += "" if text.endswith((".", "?", "!")) else "."
    return text


def option_arguments(module: Any, names: Sequence[str]) -> list[str]:
    """The command line for the named parameters, and for what the parameter `options` holds."""
    arguments = []
    for name in names:
        arguments += render_option(name.replace("_", "-"), module.params[name])
    for name, value in module.params["options"].items():
        option = name.replace("_", "-")
        if is_secret(option):
            module.fail_json(
                msg=f"Option {option} is a secret, which the parameter options would show in results and logs. "
                "Give it in the parameter secrets, or in the configuration file."
            )
        arguments += render_option(option, value)
    return arguments


def render_option(option: str, value: Any) -> Iterator[str]:
    """The arguments for one option: none without a value, several for a list or a map."""
    if value is None:
        return
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield f"--{option}={key}={part}"
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield f"--{option}={part}"
    elif isinstance(value, bool):
        yield f"--{option}={'y' if value else 'n'}"
    elif value in ("True", "False"):
        # What a template without native types makes of a boolean; no option takes these words.
        yield f"--{option}={'y' if value == 'True' else 'n'}"
    else:
        yield f"--{option}={value}"


def environment(module: Any) -> dict[str, str]:
    """The environment with the module's secrets in it."""
    found = dict(os.environ)
    for secret in module.params["secrets"]:
        option = secret["option"].replace("_", "-")
        if not is_secret(option):
            module.fail_json(msg=f"Option {option} is not a secret. Give it in the parameter options.")
        if len(secret["value"]) < SHORTEST_SECRET:
            module.fail_json(
                msg=f"The value of secret {option} is shorter than {SHORTEST_SECRET} characters, and to hide it would "
                "hide half of the result. Use a longer one, or give it in the configuration file."
            )
        found["HOLDFAST_" + option.upper().replace("-", "_")] = secret["value"]
    return found


def is_secret(option: str) -> bool:
    """Whether the engine's table says that an option, which may carry a key, is a secret; unknown ones are not."""
    from ._engine.options import OPTIONS

    known = OPTIONS.get(re.sub(r"^(pg|repo)\d+-", r"\1-", option))
    return known is not None and known.secret


@contextmanager
def listening() -> Iterator[_Listener]:
    """Hear what the engine logs; without the engine's own log set-up nothing else does."""
    logger = logging.getLogger("holdfast")
    heard, level = _Listener(), logger.level
    logger.addHandler(heard)
    logger.setLevel(logging.INFO)
    try:
        yield heard
    finally:
        logger.setLevel(level)
        logger.removeHandler(heard)


class _Listener(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []
        self.warnings: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.lines.append(text)
        if record.levelno == logging.WARNING:
            self.warnings.append(text)
