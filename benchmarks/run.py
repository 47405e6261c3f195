# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compares Holdfast with the installed pgBackRest: same cluster, same settings, two workers, one after the other.

Every case runs both programs in turn, so that whatever slows the machine down meets both. What counts is the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, os.fspath(Path(__file__).resolve().parents[1]))
import conftest  # noqa: F401  # pylint: disable=unused-import  # makes the checkout importable under its full name
from ansible_collections.holdfast.postgres.benchmarks import report
from ansible_collections.holdfast.postgres.benchmarks.cases import CASES, Case
from ansible_collections.holdfast.postgres.benchmarks.data import MB, Scale
from ansible_collections.holdfast.postgres.benchmarks.measure import Pair, Spread, ratios
from ansible_collections.holdfast.postgres.benchmarks.workbench import Workbench
from ansible_collections.holdfast.postgres.tests.support.program import Oracle
from ansible_collections.holdfast.postgres.tests.support.servers import server

PLACE = "/var/tmp"  # on a disk: /tmp may be memory


def parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run.py", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a case; may be repeated")
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--pairs", type=int, default=5, help="measured runs of each program and case (%(default)s)")
    parser.add_argument("--size", type=int, default=2000, help="MB of the large cluster (%(default)s)")
    parser.add_argument("--files", type=int, default=100_000, help="of the cluster with small files (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="little data, two pairs: shows only that everything works")
    parser.add_argument("--work", type=Path, help="directory for everything; by default a new one below /var/tmp")
    parser.add_argument("--keep", action="store_true", help="leave the clusters in --work for the next time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures; cases that are in it already and"
                        " not measured now stay")  # fmt: skip
    return parser.parse_args(argv)


def chosen(names: Sequence[str]) -> list[Case]:
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        raise SystemExit(f"no such case: {', '.join(sorted(unknown))}; --list prints them all")
    return [case for case in CASES if case.name in names or not names]


def scale(options: argparse.Namespace) -> Scale:
    if options.quick:
        return Scale(size=20 * MB, files=400, segments=2)
    factor = max(case.factor for case in CASES)
    return Scale(size=options.size * MB, files=options.files, segments=options.pairs * factor + 1)


def measured(case: Case, bench: Workbench, pairs: int) -> dict[str, Any]:
    """The figures of a case, as report.py wants them."""
    site, once = case.prepare(bench)
    found = list(bench.alternate(once, site, pairs))
    return {
        "name": case.name,
        "what": case.what,
        "budget": case.budget,
        "wall": figures(found, "wall"),
        "cpu": figures(found, "cpu"),
        "memory": {side: max(getattr(pair, side).memory for pair in found) for side in ("ours", "theirs")},
    }


def figures(pairs: Sequence[Pair], name: str) -> dict[str, Any]:
    ours = [getattr(pair.ours, name) for pair in pairs]
    theirs = [getattr(pair.theirs, name) for pair in pairs]
    ratio = ratios(pairs, lambda sample: float(getattr(sample, name)))
    return {
        "ours": Spread.of(ours).median,
        "theirs": Spread.of(theirs).median,
        "ratio": {"median": ratio.median, "least": ratio.least, "most": ratio.most},
        "pairs": list(zip(ours, theirs)),
    }


def machine(work: Path, size: Scale) -> dict[str, str]:
    """What the figures depend on."""
    cpu = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
           if line.startswith("model name")]  # fmt: skip
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    kind = output("findmnt", "--noheadings", "--output", "FSTYPE", "--target", os.fspath(work))
    return {
        "processor": f"{os.cpu_count()} cores, {cpu[0] if cpu else platform.machine()}",
        "memory": f"{memory / (1 << 30):.0f} GB",
        "system": f"{platform.system()} {platform.release()}, file system {kind}",
        "PostgreSQL": output(os.fspath(server().program("postgres")), "--version").split(" ", 2)[-1],
        "pgBackRest": output(Oracle.path, "version").split()[-1],
        "Python": platform.python_version(),
        "data": f"{size.size // MB} MB; {size.files} files",
        "load before": " ".join(f"{value:.1f}" for value in os.getloadavg()),
        "day": time.strftime("%Y-%m-%d"),
    }


def output(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def save(path: Path, about: dict[str, str], cases: Sequence[dict[str, Any]]) -> None:
    """Write the figures so far, so that a long run that is stopped has not been for nothing."""
    known = {case["name"]: case for case in (report.load(path)["cases"] if path.exists() else [])}
    known.update((case["name"], case) for case in cases)
    ordered = [known[case.name] for case in CASES if case.name in known]
    path.write_text(json.dumps({"machine": about, "cases": ordered}, indent=1) + "\n", encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    options = parse(argv)
    if options.list:
        sys.stdout.write("".join(f"{case.name:28}{case.what}\n" for case in CASES))
        return 0
    size = scale(options)
    work = options.work or Path(tempfile.mkdtemp(prefix="holdfast-bench-", dir=PLACE))
    about = machine(work.parent, size)
    bench = Workbench(work.absolute(), size, warm=not options.quick)
    done: list[dict[str, Any]] = []
    try:
        for case in chosen(options.only):
            pairs = 2 if options.quick else options.pairs * case.factor
            done.append(measured(case, bench, pairs))
            sys.stderr.write(f"== {case.name}\n{report.text_table(done[-1:])}")
            if options.json:
                save(options.json, about, done)
    finally:
        bench.close(options.keep)
    sys.stdout.write(report.text_table(done))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
