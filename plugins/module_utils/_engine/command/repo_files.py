# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""repo-ls and repo-get: look into a repository, whatever it is stored on and whether it is encrypted.

Paths are relative to the root of the repository, or absolute below it. Neither command writes anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..errors import (
    FileMissingError,
    FormatError,
    OptionInvalidValueError,
    ParamInvalidError,
    ParamRequiredError,
)
from ..format import layout
from ..format.label import is_label
from ..repo import Repo, open_repo
from ..storage.base import Entry, Storage, join, walk
from .outcome import Outcome

if TYPE_CHECKING:
    from ..options import Config

SELF = "."  # how a listing calls the path itself


def repo_ls(config: Config) -> Outcome:
    """List a path of a repository, with --recurse all below it. Facts: entries, by name, as in the JSON form."""
    if len(config.params) > 1:
        raise ParamInvalidError(f"repo-ls takes one path, but got: {' '.join(config.params)}")
    repo = _open(config)
    path = repository_path(config.params[0] if config.params else "", repo.settings.path)
    found = list_path(repo.storage, path, config.recurse)
    entries = select_entries(found, config.filter, config.sort)
    facts = {entry.name: entry_facts(entry) for entry in entries}
    if config.output == "json":
        output = json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n"
    else:
        output = "".join(f"{entry.name}\n" for entry in entries if entry.name != SELF or entry.kind != "path")
    return Outcome({"entries": facts}, output=output)


def repo_get(config: Config) -> Outcome:
    """Hand out the content of a file, decrypted unless --raw is given. Facts: path."""
    if len(config.params) != 1:
        raise ParamRequiredError("repo-get needs the path of one file", "for example: repo-get backup/main/backup.info")
    repo = _open(config)
    path = repository_path(config.params[0], repo.settings.path)
    if repo.storage.info(path) is None:
        if config.ignore_missing:
            return Outcome({"path": path}, status=1)
        raise FileMissingError(f"{repo.name} has no file '{path}'", "repo-ls lists what is there")
    if config.raw or repo.cipher_pass is None:
        return Outcome({"path": path}, content=repo.storage.read(path))
    return Outcome({"path": path}, content=repo.read_plain(path, passphrase_of(config, repo, path)))


def _open(config: Config) -> Repo:
    settings = next(item for item in config.repos if config.repo in (None, item.key))
    return open_repo(config, settings, read_only=True)


def repository_path(text: str, root: str) -> str:
    """A parameter as a path relative to the repository, "" for its root; ParamInvalidError when it cannot be one."""
    if "//" in text:
        raise ParamInvalidError(f"path '{text}' has an empty part", "write one slash between two names")
    path = text[:-1] if text.endswith("/") and len(text) > 1 else text
    if path.startswith("/"):
        top = root.rstrip("/")
        if path != top and not path.startswith(f"{top}/"):
            raise ParamInvalidError(f"path '{text}' is not in the repository '{root}'", "write it relative to that")
        path = path[len(top) + 1 :]
    if ".." in path.split("/"):
        raise ParamInvalidError(f"path '{text}' may lead out of the repository", "write it without ..")
    return path


def list_path(storage: Storage, path: str, recurse: bool) -> list[Entry]:
    """The path itself as SELF, and if it is a directory what is in it; what does not exist is an empty directory."""
    found = _followed(storage, path)
    if found is not None and found.kind != "path":
        return [found._replace(name=SELF)]
    inner = walk(storage, path) if recurse else storage.entries(path)
    return [Entry(SELF, "path"), *inner]


def _followed(storage: Storage, path: str) -> Entry | None:
    """What is at a path; in place of a link, as `latest` is one, what it leads to inside the repository."""
    found = storage.info(path) if path else None
    if found is None or found.kind != "link" or found.destination.startswith("/"):
        return found
    target = join(path.rpartition("/")[0], found.destination)
    if ".." in target.split("/"):
        return found
    return storage.info(target) or found


def select_entries(entries: Iterable[Entry], pattern: str | None, order: str) -> list[Entry]:
    """Those whose name matches a regular expression anywhere, all without one; order: asc, desc or none."""
    try:
        matches = re.compile(pattern or "").search
    except re.error as error:
        raise FormatError(f"filter '{pattern}' is not a regular expression: {error}") from error
    found = [entry for entry in entries if matches(entry.name)]
    if order != "none":
        found.sort(key=lambda entry: entry.name.encode("utf-8", "surrogateescape"), reverse=order == "desc")
    return found


def entry_facts(entry: Entry) -> dict[str, Any]:
    """size in bytes and time in epoch seconds of a file, destination of a link."""
    facts: dict[str, Any] = {"type": entry.kind}
    if entry.kind == "file":
        facts.update(size=entry.size, time=entry.timestamp)
    elif entry.kind == "link":
        facts.update(destination=entry.destination)
    return facts


def passphrase_of(config: Config, repo: Repo, path: str) -> str | None:
    """What a file of an encrypted repository is encrypted with (repository format, 9.2); None for a clear one."""
    parts = path.split("/")
    if len(parts) < 3 or parts[0] not in ("archive", "backup"):
        raise OptionInvalidValueError(
            f"no passphrase is known for '{path}'", "it is not below archive/<stanza> or backup/<stanza>; try --raw"
        )
    area, stanza, *below = parts
    if config.stanza not in (None, stanza):
        raise OptionInvalidValueError(f"'{path}' does not belong to stanza {config.stanza}", f"use --stanza={stanza}")
    owner = Repo(repo.settings, stanza, repo.storage)
    infos = {layout.archive_info(stanza), layout.backup_info(stanza)}
    if path in infos | {layout.copy_of(name) for name in infos}:
        return owner.cipher_pass
    if area == "archive":
        return owner.load_archive_info().cipher_pass
    of_manifests = owner.load_backup_info().cipher_pass
    label = below[0]
    if not is_label(label):
        if path.startswith(f"{layout.history_dir(stanza)}/"):
            return of_manifests
        raise OptionInvalidValueError(f"no passphrase is known for '{path}'", "--raw reads it as it is")
    if path == layout.restore_conf(stanza, label):
        return None
    manifest = layout.manifest(stanza, label)
    if path in (manifest, layout.copy_of(manifest)):
        return of_manifests
    return owner.load_manifest(label, of_manifests).cipher_pass
