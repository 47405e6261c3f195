# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects of info_facts as text for people: the layout that readers of pgBackRest know by heart."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from ..size import readable_size
from .info_facts import DIFFERENT, MESSAGES, MISMATCH, NO_PATH, OK, OTHER, Facts
from .page_errors import page_text

NOTHING = "No stanzas exist in the repository.\n"


def render_text(stanzas: Sequence[Facts], label: str | None = None) -> str:
    """stanzas: objects of stanza_facts or progress_facts; label: the backup asked for, which is shown in detail."""
    if not stanzas:
        return NOTHING
    return "\n".join("".join(f"{line}\n" for line in _stanza(stanza, label)) for stanza in stanzas)


def _stanza(stanza: Facts, label: str | None) -> Iterator[str]:
    full = "repo" in stanza
    yield f"stanza: {stanza['name']}"
    yield f"    status: {_status(stanza['status'], full)}"
    yield from _backup_progress(stanza["status"]["lock"]["backup"].get("repo", []))
    if not full:
        return
    if stanza["status"]["code"] in (DIFFERENT, MISMATCH, OTHER):
        yield from _repo_status(stanza["repo"])
    if stanza["status"]["code"] != NO_PATH:
        yield f"    cipher: {stanza['cipher']}"
        if stanza["cipher"] == "mixed":
            yield from (f"        repo{repo['key']}: {repo['cipher']}" for repo in stanza["repo"])
    for group in _groups(stanza, label):
        yield from group


def _status(status: Facts, full: bool) -> str:
    details = []
    if status["code"] != OK and not (status["code"] == DIFFERENT and full):
        details.append(status["message"])
    for name, what in (("backup", "backup/expire running"), ("restore", "restore running")):
        lock = status["lock"][name]
        if lock["held"]:
            details.append(f"{what} - {_percent(lock)}" if "size" in lock else what)
    word = "ok" if status["code"] == OK else "mixed" if status["code"] == DIFFERENT and full else "error"
    return f"{word} ({', '.join(details)})" if details else word


def _percent(progress: Facts) -> str:
    share = progress["size-cplt"] * 100 / progress["size"] if progress["size"] else 0.0
    return f"{share:.2f}% complete"


def _backup_progress(repos: Sequence[Facts]) -> Iterator[str]:
    if len(repos) > 1:
        for repo in repos:
            yield f"        repo{repo['key']} backup: {_percent(repo)}"


def _repo_status(repos: Sequence[Facts]) -> Iterator[str]:
    several = len(repos) > 1
    for repo in repos:
        code, message = repo["status"]["code"], repo["status"]["message"]
        if several:
            state = "ok" if code == OK else f"error ({MESSAGES[OTHER] if code == OTHER else message})"
            yield f"        repo{repo['key']}: {state}"
        if code == OTHER:
            indent = " " * (15 if several else 12)
            yield from (f"{indent}{line}" for line in message.splitlines())


# -- database groups


def _groups(stanza: Facts, label: str | None) -> Iterator[Iterator[str]]:
    """One group for each cluster that the repositories know: prior ones that left something, then the current one."""
    of_id = {(db["repo-key"], db["id"]): (db["system-id"], db["version"]) for db in stanza["db"]}
    if not of_id:
        return
    first = stanza["db"][0]["repo-key"]
    current = of_id[first, max(db["id"] for db in stanza["db"] if db["repo-key"] == first)]
    clusters = [cluster for cluster in dict.fromkeys(of_id.values()) if cluster != current] + [current]
    for cluster in clusters:
        backups = [backup for backup in stanza["backup"] if of_id[_database(backup)] == cluster]
        archives = [archive for archive in stanza["archive"] if archive["min"] and of_id[_database(archive)] == cluster]
        shown = bool(backups) if label is not None else cluster == current or bool(backups or archives)
        if shown:
            yield _group(cluster[1], cluster == current, archives, backups, label is not None)


def _database(item: Facts) -> tuple[int, int]:
    return item["database"]["repo-key"], item["database"]["id"]


def _group(
    version: str, current: bool, archives: Sequence[Facts], backups: Sequence[Facts], detailed: bool
) -> Iterator[str]:
    limits = "none present"
    if archives:
        limits = f"{min(archive['min'] for archive in archives)}/{max(archive['max'] for archive in archives)}"
    yield ""
    yield f"    db ({'current' if current else 'prior'})"
    yield f"        wal archive min/max ({version}): {limits}"
    for backup in backups:
        yield ""
        yield from _backup(backup, detailed)


# -- one backup


def _backup(backup: Facts, detailed: bool) -> Iterator[str]:
    indent = " " * 12
    info, stored = backup["info"], backup["info"]["repository"]
    yield f"        {backup['type']} backup: {backup['label']}"
    times = backup["timestamp"]
    yield f"{indent}timestamp start/stop: {render_time(times['start'])} / {render_time(times['stop'])}"
    wal = backup["archive"]
    yield f"{indent}wal start/stop: " + (f"{wal['start']} / {wal['stop']}" if wal["start"] and wal["stop"] else "n/a")
    if detailed and "lsn" in backup:
        yield f"{indent}lsn start/stop: {backup['lsn']['start']} / {backup['lsn']['stop']}"
    yield (
        f"{indent}database size: {readable_size(info['size'])}, database backup size: {readable_size(info['delta'])}"
    )
    whole = f"backup set size: {readable_size(stored['size'])}, " if "size" in stored else ""
    yield f"{indent}repo{backup['database']['repo-key']}: {whole}backup size: {readable_size(stored['delta'])}"
    if backup["reference"]:
        yield indent + (
            f"backup reference list: {', '.join(backup['reference'])}" if detailed
            else f"backup reference total: {_reference_total(backup['reference'])}"
        )  # fmt: skip
    yield from _errors(backup, detailed)
    if detailed:
        yield from _contents(backup)


def _reference_total(references: Sequence[str]) -> str:
    counts = {"full": 0, "diff": 0, "incr": 0}
    for label in references:
        counts[{"D": "diff", "I": "incr"}.get(label[-1], "full")] += 1
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)


def _errors(backup: Facts, detailed: bool) -> Iterator[str]:
    if backup.get("error"):
        files = backup.get("error-list")
        yield " " * 12 + (
            f"error list: {', '.join(files)}" if detailed and files else "error(s) detected during backup"
        )
        for name, pages in (backup.get("error-page") or {}).items() if detailed else ():
            what = "misaligned" if pages is None else f"pages {page_text(pages)}"
            yield f"{' ' * 16}{name}: {what}"


def _contents(backup: Facts) -> Iterator[str]:
    indent = " " * 12
    if "database-ref" in backup:
        databases = [f"{database['name']} ({database['oid']})" for database in backup["database-ref"]]
        yield f"{indent}database list: {', '.join(databases) or 'none'}"
    if backup.get("link"):
        yield f"{indent}symlinks:"
        yield from (f"{indent}    {link['name']} => {link['destination']}" for link in backup["link"])
    if backup.get("tablespace"):
        yield f"{indent}tablespaces:"
        for space in backup["tablespace"]:
            yield f"{indent}    {space['name']} ({space['oid']}) => {space['destination']}"
    if backup.get("annotation"):
        yield f"{indent}annotation(s)"
        yield from (f"{indent}    {key}: {value}" for key, value in sorted(backup["annotation"].items()))


# -- values


def render_time(seconds: int) -> str:
    """Local time with its offset from UTC, +HH or +HH:MM."""
    moment = time.localtime(seconds)
    minutes = abs(moment.tm_gmtoff) // 60
    offset = f"{'-' if moment.tm_gmtoff < 0 else '+'}{minutes // 60:02d}"
    if minutes % 60:
        offset += f":{minutes % 60:02d}"
    return time.strftime("%Y-%m-%d %H:%M:%S", moment) + offset
