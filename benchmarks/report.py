# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures as JSON, as a table for the terminal, and as the tables of README.md.

usage: python3 benchmarks/report.py FILE            prints the table of the figures that run.py --json FILE wrote
       python3 benchmarks/report.py --write FILE    puts it, with the machine's description, into benchmarks/README.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
MB = 1 << 20

HEAD = ("work", "budget", "ratio", "CPU ratio", "pgBackRest", "Holdfast", "peak memory")


def load(path: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return figures


def rows(cases: Iterable[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """A row a case, as text, in the order of HEAD."""
    return [
        (
            case["what"],
            "" if case["budget"] is None else f"{case['budget']:.2f}",
            _spread(case["wall"]["ratio"]),
            _spread(case["cpu"]["ratio"]),
            _seconds(case["wall"]["theirs"], case["cpu"]["theirs"]),
            _seconds(case["wall"]["ours"], case["cpu"]["ours"]),
            f"{case['memory']['theirs'] / MB:.0f} / {case['memory']['ours'] / MB:.0f} MB",
        )
        for case in cases
    ]


def _spread(ratio: Mapping[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['least']:.2f}-{ratio['most']:.2f})"


def _seconds(wall: float, cpu: float) -> str:
    digits = 3 if wall < 1 else 1
    return f"{wall:.{digits}f} s (CPU {cpu:.{digits}f})"


def text_table(cases: Sequence[Mapping[str, Any]]) -> str:
    lines = [HEAD, *rows(cases)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "".join("  ".join(f"{cell:{width}}" for cell, width in zip(line, widths)).rstrip() + "\n" for line in lines)


def markdown(figures: Mapping[str, Any]) -> str:
    """The machine and the table; a ratio beyond its budget is bold."""
    machine = "".join(f"* {name}: {value}\n" for name, value in figures["machine"].items())
    lines = [HEAD, ("---",) * len(HEAD)]
    for case, row in zip(figures["cases"], rows(figures["cases"])):
        missed = case["budget"] is not None and round(case["wall"]["ratio"]["median"], 2) > case["budget"]
        lines.append(tuple(f"**{cell}**" if missed and cell == row[2] else cell for cell in row))
    table = "".join("| " + " | ".join(line) + " |\n" for line in lines)
    return f"{machine}\n{table}"


def write(figures: Mapping[str, Any]) -> None:
    """Replace what is between the marks in README.md."""
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    README.write_text(f"{before}{BEGIN}\n{markdown(figures)}\n{END}{after}", encoding="utf-8")


def main(argv: Sequence[str]) -> int:
    names = [word for word in argv if word != "--write"]
    if len(names) != 1:
        sys.stderr.write(f"{__doc__}")
        return 2
    figures = load(Path(names[0]))
    sys.stdout.write(text_table(figures["cases"]))
    if len(names) < len(argv):
        write(figures)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
