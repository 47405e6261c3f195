# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a worker needs does not grow with its files: a process of its own copies a large one there and back."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

ENGINE = pathlib.Path(__file__).resolve().parents[5] / "plugins" / "module_utils"
SIZE = 300 << 20
COUNT = 600  # of small files in one bundle
LIMIT = 80 << 10  # KiB

WORK = """
import sys
sys.path.insert(0, {engine!r})
from _engine.command.backup_copy import CopyFile, CopyJob, CopySetup, copy_job
from _engine.command.restore_copy import RestoreFile, RestoreJob, RestorePart, RestoreSetup, restore_job

def peak():  # of this program alone: what getrusage() tells begins with the size of the process it was forked from
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))

name, path, size = "pg_data/base/5/16384", {path!r}, {size}
setup = CopySetup(f"{{path}}/data", f"{{path}}/repo", "main", "20260131-110000F", "zst", None, False,
                  "pass", True, True, 8192, None)
(result,) = copy_job(CopyJob(setup, 0, (CopyFile(name, size),)))
assert (result.kind, result.size, result.pages) == ("copied", size, True), result
backup = peak()
source = f"backup/main/20260131-110000F/{{name}}.zst"
file = RestoreFile(name, f"{{path}}/there", size, 1, 0o600, result.checksum, 0, result.repo_size)
for delta in (False, True):
    setup = RestoreSetup(f"{{path}}/repo", "zst", False, "pass", delta, False, 9)
    assert restore_job(RestoreJob(setup, (RestorePart(source, False, (file,)),))) == [delta]
restore = peak()
small = tuple(CopyFile(f"pg_data/base/5/{{number}}", 256 << 10) for number in range({count}))
setup = CopySetup(f"{{path}}/data", f"{{path}}/repo", "main", "20260131-110000F", "zst", None, False,
                  "pass", True, True, 8192, None)
assert [result.kind for result in copy_job(CopyJob(setup, 1, small))] == ["copied"] * {count}
sys.stdout.write(f"{{backup}} {{restore}} {{peak()}}")
"""


def test_neither_a_large_file_nor_many_small_ones_need_much_memory(tmp_path):
    (tmp_path / "data/base/5").mkdir(parents=True)
    with open(tmp_path / "data/base/5/16384", "wb") as file:
        file.truncate(SIZE)  # a hole: pages of zeros are valid, and reading them costs no disk
    for number in range(COUNT):
        with open(tmp_path / f"data/base/5/{number}", "wb") as file:
            file.truncate(256 << 10)
    script = WORK.format(engine=str(ENGINE), path=str(tmp_path), size=SIZE, count=COUNT)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    peaks = [int(number) for number in done.stdout.split()]
    assert len(peaks) == 3 and max(peaks) < LIMIT, peaks
    assert os.stat(tmp_path / "there").st_size == SIZE
