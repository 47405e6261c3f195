# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration files as text: which ones are read, and their sections, keys and values.

What a key means, and whether it is allowed where it stands, is decided by options.py; here is only the syntax:
"#" starts a comment at the start of a line and nowhere else, white space around names and values does not count, and
the key ends at the first "=".
"""

from __future__ import annotations

import errno
import os

from .errors import FileMissingError, FileOpenError, FormatError, PathMissingError, PathOpenError
from .option_table import CONFIG_FILE, CONFIG_INCLUDE, CONFIG_PATH

Sections = dict[str, dict[str, list[str]]]  # section -> key -> the values in the order in which they stand


def load_sections(
    config: str | None, no_config: bool, include: str | None, base: str | None, sources: list[str] | None = None
) -> Sections:
    """All sections of the main file and of the include directory.

    config, include, base: config, config-include-path and config-path, None unless given. no_config: --no-config.
    What was given by name has to exist (FileMissingError, PathMissingError); what is looked for may be missing.
    sources: gets the path of each file and directory that was read or looked for.
    """
    root = base or CONFIG_PATH
    sections: Sections = {}
    sources = [] if sources is None else sources
    if config is not None:
        _add_file(sections, sources, config, required=True)
    elif not no_config:
        _add_file(sections, sources, f"{root}/{CONFIG_FILE}", required=False)

    if include is not None:
        _add_path(sections, sources, include, required=True)
    elif base is not None or (config is None and not no_config):
        _add_path(sections, sources, f"{root}/{CONFIG_INCLUDE}", required=False)
    return sections


def parse_sections(text: str, name: str, sections: Sections) -> None:
    """Add what a file says; name: the file, for errors. FormatError with the line number when it cannot be read."""
    keys: dict[str, list[str]] | None = None
    for number, untrimmed in enumerate(text.split("\n"), start=1):
        line = untrimmed.strip()
        if not line or line[0] == "#":
            continue
        if line[0] == "[":
            section = line[1:-1].strip()
            if line[-1] != "]" or not section:
                raise FormatError(
                    f"{name}, line {number}: a section has to be [name], not {line!r}",
                    "the usual sections are [global], [global:<command>], [<stanza>] and [<stanza>:<command>]",
                )
            keys = sections.setdefault(section, {})
            continue
        key, equals, value = line.partition("=")
        key = key.rstrip()
        if not (key and equals):
            # The line is not shown: a secret may have got there by a slip.
            raise FormatError(f"{name}, line {number}: expected an option as name=value", "comments start with #")
        if keys is None:
            raise FormatError(
                f"{name}, line {number}: option {key} stands before the first section",
                "start the file with [global] or with the name of a stanza in brackets",
            )
        keys.setdefault(key, []).append(value.lstrip())


def _add_file(sections: Sections, sources: list[str], path: str, required: bool) -> None:
    sources.append(path)
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise FileMissingError(
                f"configuration file {path} does not exist", "check --config and HOLDFAST_CONFIG"
            ) from None
        return
    except OSError as error:
        raise FileOpenError(f"cannot read configuration file {path}: {error.strerror}", _access_hint(error)) from error
    parse_sections(text, path, sections)


def _add_path(sections: Sections, sources: list[str], path: str, required: bool) -> None:
    sources.append(path)
    try:
        names = sorted(name for name in os.listdir(os.fsencode(path)) if len(name) > 5 and name.endswith(b".conf"))
    except FileNotFoundError:
        if required:
            raise PathMissingError(
                f"configuration directory {path} does not exist", "check --config-include-path"
            ) from None
        return
    except OSError as error:
        raise PathOpenError(
            f"cannot read configuration directory {path}: {error.strerror}", _access_hint(error)
        ) from error
    for name in names:
        _add_file(sections, sources, f"{path}/{os.fsdecode(name)}", required=False)


def _access_hint(error: OSError) -> str:
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"the command runs as user id {os.geteuid()}; it has to be the user that owns the cluster"
    return ""
