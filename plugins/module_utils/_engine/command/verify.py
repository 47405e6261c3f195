# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""verify: read everything in a repository and compare it with what is known of it.

Writes nothing and takes no lock, so a backup or an expire may run meanwhile: what is missing counts only if the backup
that needs it is still there. Workers do the reading; the parent hands out what there is to read and hears only of what
is wrong, so a sound repository costs it almost nothing.
"""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

from ..errors import CommandError
from ..log import DETAIL
from ..pool import Pool
from ..repo import Repo, open_repo
from ..size import readable_size
from .outcome import Outcome
from .verify_check import MISSING, Checker, CheckJob, Container, Finding, Region, Verdict
from .verify_jobs import Survey, select
from .verify_load import has_manifest, load_infos
from .verify_report import Report, render_text
from .verify_settle import Failure, Settlement

if TYPE_CHECKING:
    from ..options import Config

log = logging.getLogger("holdfast")

PROGRESS = 30.0  # seconds between two lines that tell how far we are


def verify(config: Config) -> Outcome:
    """Verify one repository, or with --set what this backup needs of it.

    Facts: stanza, repo (key), status (ok or error), archives, backups and errors (lists of objects), totals, lost
    (labels). The exit status is 0 whatever was found, but with --fail-on-error 104 for an error or a lost backup.
    """
    began = time.monotonic()
    settings = next(item for item in config.repos if config.repo in (None, item.key))
    checker = Checker(
        lambda: open_repo(config, settings, read_only=True).storage, config.job_retry, config.job_retry_interval
    )
    with Pool(checker, config.process_max, timeout=config.protocol_timeout) as pool:
        report = _Run(config, open_repo(config, settings, read_only=True), pool).verify()
        report.bytes = pool.passed
    report.duration = time.monotonic() - began
    return _outcome(config, report)


def _outcome(config: Config, report: Report) -> Outcome:
    facts, output = report.facts(), ""
    if config.verbose or report.is_error:
        text = render_text(report, config.verbose)
        log.info("%s", text.rstrip("\n"))
        output = text if config.output == "text" else ""
    if config.output == "json":
        output = json.dumps(facts, ensure_ascii=False, separators=(",", ":"), sort_keys=True) + "\n"
    found = _errors(report.error_total)
    log.info(
        "verified %d WAL segments and %d files, read %s: %s",
        facts["totals"]["wal"], facts["totals"]["files"], readable_size(report.bytes), found,
    )  # fmt: skip
    failed = config.fail_on_error and bool(report.is_error or report.lost)
    if failed:
        lost = f", lost backups: {', '.join(report.lost)}" if report.lost else ""
        log.error("verify found %s%s", found, lost, extra={"code": CommandError.code})
    return Outcome(facts, output=output, status=CommandError.code if failed else 0)


def _errors(count: int) -> str:
    return "1 error" if count == 1 else f"{count or 'no'} errors"


class _Run:
    """One run: hands out the jobs, hears the findings, tells how far it is."""

    def __init__(self, config: Config, repo: Repo, pool: Pool[CheckJob, tuple[Finding, ...]]) -> None:
        self._config = config
        self._repo = repo
        self._pool = pool
        self._report = Report(repo.stanza, repo.key)
        self._expired: set[str] = set()
        self._damaged = 0
        self._next_progress = time.monotonic() + PROGRESS

    def verify(self) -> Report:
        config, repo, report = self._config, self._repo, self._report
        archive, backup, lines = load_infos(repo)
        selection = select(repo, backup, config.set) if backup is not None else "no backup.info"
        if archive is None or backup is None or lines or isinstance(selection, str):
            for line in lines or [str(selection)]:
                report.lines.append(line)
                report.add_error("info", line)
            return report
        self._settlement = Settlement(repo, backup, report)
        self._survey = Survey(repo, archive, backup, report, self._settlement)
        jobs = self._survey.jobs(selection, config.check_content, config.pg_version_force)
        for job, findings in self._pool.run(jobs, self._beat):
            self._take(job, findings)
        self._settlement.settle()
        return report

    def _take(self, job: CheckJob, findings: tuple[Finding, ...]) -> None:
        told = ""
        for finding in findings:
            container = job.containers[finding.container]
            region, verdict = container.regions[finding.region], finding.verdict
            self._damaged += 1
            text = _text(container, region, verdict)
            archive = self._report.archive(job.owner)
            if archive is not None:
                archive.wrong[verdict.kind] += 1
                if verdict.kind == MISSING:
                    self._report.tell(logging.WARNING, f"{text}: it may have expired since it was listed")
                    continue
                self._report.add_error(verdict.kind, text, source=container.source)
            else:
                failure = Failure(container.source, region.name, region.offset, region.size, verdict.kind, text)
                self._settlement.add_failure(job.owner, region.key, failure)
                if self._has_expired(job.owner):
                    log.log(DETAIL, "%s: backup %s has expired meanwhile", text, job.owner)
                    continue
            if verdict.kind != MISSING or container.source != told:  # a bundle that is missing is told once
                self._report.tell(logging.ERROR, text, verdict.code)
            told = container.source

    def _has_expired(self, label: str) -> bool:
        if label not in self._expired and not has_manifest(self._repo, label):
            self._expired.add(label)
        return label in self._expired

    def _beat(self) -> None:
        if time.monotonic() >= self._next_progress:
            self._next_progress = time.monotonic() + PROGRESS
            done, expected = self._pool.passed, self._survey.expected
            log.info(
                "verified %s of about %s (%.0f%%), %d findings so far",
                readable_size(done), readable_size(max(done, expected)), min(100.0, 100 * done / (expected or 1)),
                self._damaged,
            )  # fmt: skip


def _text(container: Container, region: Region, verdict: Verdict) -> str:
    if verdict.kind == MISSING:
        files = f", with {len(container.regions)} files in it" if not container.whole else ""
        return f"{container.source} is missing{files}"
    if container.whole:
        return f"{container.source} is not right: {verdict.text}"
    return f"{region.name} in {container.source} at {region.offset} is not right: {verdict.text}"
