# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The retention rules: worked examples that pgBackRest was observed to follow, and what must hold for any list."""

from __future__ import annotations

import calendar
import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.command.expire_plan import (
    DAY,
    ExpirePlan,
    Request,
    Retention,
    State,
    WalTree,
    dependents,
    plan_expire,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.errors import BackupSetInvalidError, FormatError
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import BackupEntry
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.label import is_full
from ansible_collections.holdfast.postgres.tests.unit.strategies import backup_chains

NOW = calendar.timegm((2026, 11, 22, 12, 0, 0))
SHA1 = "0" * 40
PG = PgHistory(1, 7710940437890784280, "15", 1300, 202209061)


def segment(short: str) -> str:
    """'0A' is on timeline 1; '2:0A' on timeline 2; '1:101' in the second directory of timeline 1."""
    timeline, _colon, number = short.rpartition(":")
    value = int(number, 16)
    return f"{int(timeline or '1', 16):08X}{value >> 8:08X}{value & 0xFF:08X}"


def numbers(first: str, last: str, timeline: str = "1") -> list[str]:
    return [segment(f"{timeline}:{number:X}") for number in range(int(first, 16), int(last, 16) + 1)]


def backup(
    label: str, start: str | None, stop: str | None = None, pg_id: int = 1, prior: str | None = None
) -> BackupEntry:
    kind = {"F": "full", "D": "diff", "I": "incr"}[label[-1]]
    day = label.rpartition("_")[2]
    at = calendar.timegm((int(day[:4]), int(day[4:6]), int(day[6:8]), 0, 0, 0))
    return BackupEntry(
        label, kind, at, at + 10, 1, 1, 1, 1, pg_id,
        prior=prior or (label.partition("_")[0] if "_" in label else None),
        archive_start=segment(start) if start else None,
        archive_stop=segment(stop or start) if start else None,
    )  # fmt: skip


def tree(segments: Sequence[str], others: Sequence[str] = ()) -> WalTree:
    files: dict[str, list[str]] = {}
    for name in segments:
        files.setdefault(name[:16], []).append(f"{name}-{SHA1}.zst")
    for name in others:
        files.setdefault(name[:16], []).append(name)
    return WalTree(sorted(files), (), files)


F1, F2, F3 = "20260101-000000F", "20260104-000000F", "20260106-000000F"
D1, I1 = f"{F1}_20260102-000000D", f"{F1}_20260103-000000I"
D2, D3 = f"{F2}_20260105-000000D", f"{F3}_20260107-000000D"
SHORT = {"F1": F1, "F2": F2, "F3": F3, "D1": D1, "D2": D2, "D3": D3, "I1": I1}
COUNTED = [
    backup(F1, "02", "03"), backup(D1, "05"), backup(I1, "07", "08", prior=D1), backup(F2, "0A", "0B"),
    backup(D2, "0D"), backup(F3, "0F", "10"), backup(D3, "12", "13"),
]  # fmt: skip


def state_of(backups: Sequence[BackupEntry], wal: dict[str, WalTree], history: Sequence[PgHistory] = (PG,)) -> State:
    return State(
        {entry.label: entry for entry in backups}, history, history, history[-1].id, [e.label for e in backups], wal=wal
    )


def counted(*without: str) -> State:
    wal = tree(numbers("01", "16"), [f"{segment('02')}.00000028.backup"])
    return state_of([entry for entry in COUNTED if entry.label not in without], {"15-1": wal})


def removed_wal(plan: ExpirePlan, short: bool = True) -> str:
    """The numbers of removed segments, runs joined by a dash; other files do not show."""
    found = [name.partition("/")[2][:24] for removal in plan.wal for name in removal.files if f"-{SHA1}" in name]
    values = sorted({int(name[16:], 16) for name in found})
    runs: list[list[int]] = []
    for value in values:
        if runs and runs[-1][1] == value - 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return " ".join(f"{first:02X}" if first == last else f"{first:02X}-{last:02X}" for first, last in runs)


def retention(text: str) -> tuple[Retention, Request]:
    """'full=3 archive=1 set=F3' and so on; retention-archive follows retention-full and -diff as the options do."""
    given_values = dict(word.partition("=")[::2] for word in text.split())
    full, diff, archive = (int(given_values[n]) if n in given_values else None for n in ("full", "diff", "archive"))
    kind, timed = given_values.get("type", "full"), "time" in given_values
    if archive is None and not timed:
        archive = {"full": full, "diff": diff, "incr": None}[kind]
    label, before = given_values.get("set"), given_values.get("before")
    request = Request(
        SHORT.get(label, label) if label else None, "oldest" in given_values, segment(before) if before else None
    )
    return Retention(full, timed, diff, archive, kind), request


def plan_of(state: State, text: str) -> ExpirePlan:
    return plan_expire(state, *retention(text), NOW)


@pytest.mark.parametrize(
    ("options", "backups", "wal"),
    [
        ("", "", ""),
        ("full=5", "", ""),
        ("full=2", "F1 D1 I1", "01-09"),
        ("full=1", "F1 D1 I1 F2 D2", "01-0E"),
        ("full=3 diff=1", "D1 I1 D2", "01"),
        ("full=3 diff=2", "D1 I1 D2", "01"),
        ("full=3 archive=1", "", "01 04 06 09 0C 0E"),
        ("full=3 archive=9", "", ""),
        ("full=3 type=diff", "", ""),
        ("full=3 diff=3 type=diff", "D1 I1", "01 04-09 0C"),
        ("full=3 type=diff archive=2", "", "01 04 06 09 0C 0E"),
        ("full=3 type=incr", "", ""),
        ("full=3 type=incr archive=1", "", "01 04 06 09 0C 0E 11"),
        ("full=3 oldest", "F1 D1 I1", "01-09"),
        ("full=2 before=06", "F1 D1 I1", "01-05"),
        ("full=3 archive=1 before=06", "", "01 04"),
        ("full=3 before=06", "", "01"),
        ("full=9 before=0C", "", "01"),
        ("full=9 set=D1", "D1 I1", ""),
        ("full=9 set=F2", "F2 D2", ""),
        ("full=1 set=F3", "F3 D3", "01 04 06 09"),
        ("full=2 set=20260201-000000F", "", "01 04 06 09"),
    ],
)
def test_worked_examples_by_count(options: str, backups: str, wal: str) -> None:
    plan = plan_of(counted(), options)
    assert sorted(plan.remove) == sorted(SHORT[name] for name in backups.split())
    assert list(plan.remove) == sorted(plan.remove, reverse=True)
    assert removed_wal(plan) == wal


def test_backup_label_files_go_with_their_segment() -> None:
    label_file = f"{segment('02')[:16]}/{segment('02')}.00000028.backup"
    assert label_file in plan_of(counted(), "full=2").wal[0].files
    assert label_file not in plan_of(counted(), "full=3").wal[0].files


def test_adhoc_expiry_moves_on_until_only_one_full_is_left() -> None:
    first = plan_of(counted(), "full=1 set=F3")
    assert (first.latest, first.relink) == (D2, True)
    assert any(level == logging.WARNING and D3 in text for level, text in first.notes)
    second = plan_of(counted(F3, D3), "full=1 set=F2")
    assert (sorted(second.remove), second.latest) == ([F2, D2], I1)
    with pytest.raises(BackupSetInvalidError, match=F1):
        plan_of(counted(F3, D3, F2, D2), "full=1 set=F1")


def test_the_first_full_of_a_new_cluster_cannot_be_expired_by_name() -> None:
    newer = PgHistory(2, 2, "15", 1300, 202209061)
    state = replace(
        state_of([backup(F1, "02"), backup(F2, "04", pg_id=2)], {}, (PG, newer)), archive_history=(PG, newer)
    )
    with pytest.raises(BackupSetInvalidError):
        plan_of(state, "set=F2")
    assert plan_of(state, "set=F1").remove == (F1,)


def test_an_unknown_label_is_told() -> None:
    assert not plan_of(counted(), "full=2 set=20260201-000000F").found
    assert plan_of(counted(), "full=2 set=F1").found


def test_oldest_spares_the_only_full() -> None:
    plan = plan_of(state_of([backup(F1, "02")], {}), "full=3 oldest")
    assert plan.remove == ()
    assert [level for level, _text in plan.notes][:1] == [logging.WARNING]


T1, T2, T3, T4 = "20261101-000000F", "20261108-000000F", "20261115-000000F", "20261120-000000F"
TI = f"{T1}_20261102-000000I"
TIMED = [backup(T1, "02", "03"), backup(TI, "04"), backup(T2, "06"), backup(T3, "08", "09"), backup(T4, "0C")]


@pytest.mark.parametrize(
    ("options", "backups", "wal"),
    [
        ("time full=10", [T1, TI], "01-05"),
        ("time full=30", [], ""),
        ("time full=1", [T1, TI, T2, T3], "01-0B"),
        ("time full=7 archive=1", [T1, TI, T2], "01-07 0A-0B"),
        ("time full=10 type=diff archive=1", [T1, TI], "01-05 07 0A-0B"),
        ("time", [], ""),
    ],
)
def test_worked_examples_by_time(options: str, backups: list[str], wal: str) -> None:
    plan = plan_of(state_of(TIMED, {"15-1": tree(numbers("01", "0F"))}), options)
    assert sorted(plan.remove) == sorted(backups)
    assert removed_wal(plan) == wal


def timelines() -> State:
    backups = [backup(F1, "02", "03"), backup(F2, "2:09", "2:0A"), backup(F3, "3:0F", "3:10")]
    segments = numbers("01", "08") + numbers("101", "103") + numbers("07", "0E", "2") + numbers("0D", "12", "3")
    wal = replace(tree(segments), histories=("00000002.history", "00000003.history"))
    return state_of(backups, {"15-1": wal})


def by_timeline(plan: ExpirePlan) -> set[str]:
    return {f"{int(n[17:25], 16):X}:{int(n[33:41], 16):02X}" for removal in plan.wal for n in removal.files}


@pytest.mark.parametrize(
    ("options", "backups", "paths", "files", "histories"),
    [
        ("full=1", [F2, F1], ["0000000100000000", "0000000100000001", "0000000200000000"], {"3:0D", "3:0E"},
         ["00000002.history"]),
        ("full=2", [F1], ["0000000100000000", "0000000100000001"], {"2:07", "2:08"}, []),
        ("full=3 archive=1", [], ["0000000100000001"],
         {"1:01", *(f"1:0{digit}" for digit in "45678"), *(f"2:0{digit}" for digit in "78BCDE"), "3:0D", "3:0E"},
         ["00000002.history"]),
    ],
)  # fmt: skip
def test_worked_examples_with_timelines(
    options: str, backups: list[str], paths: list[str], files: set[str], histories: list[str]
) -> None:
    plan = plan_of(timelines(), options)
    assert list(plan.remove) == backups
    (removal,) = plan.wal
    assert list(removal.paths) == paths
    assert by_timeline(plan) == files
    assert list(removal.histories) == histories


def clusters(last_id: int = 2) -> State:
    history = (
        PgHistory(1, 1, "14", 1300, 202107181), PgHistory(2, 2, "15", 1300, 202209061),
        PgHistory(3, 3, "15", 1300, 202209061),
    )  # fmt: skip
    f4 = "20260108-000000F"
    backups = [
        backup(F1, "02", "03"),
        backup(F2, "05"),
        backup(F3, "03", "04", last_id),
        backup(f4, "06", "07", last_id),
    ]
    wal = {"14-1": tree(numbers("01", "08")), "15-2": tree(numbers("01", "09")), "15-3": tree(numbers("01", "03"))}
    return state_of(backups, wal, history)


@pytest.mark.parametrize(
    ("options", "count", "removals"),
    [
        ("full=1", 3, {"14-1": "whole", "15-2": "01-05"}),
        ("full=2", 2, {"14-1": "whole", "15-2": "01-02"}),
        ("full=3", 1, {"14-1": "01-04", "15-2": "01-02"}),
        ("full=4 archive=1", 0, {"14-1": "01 04", "15-2": "01-02 05"}),
        ("full=5", 0, {}),
    ],
)
def test_worked_examples_with_several_clusters(options: str, count: int, removals: dict[str, str]) -> None:
    plan = plan_of(clusters(), options)
    assert len(plan.remove) == count
    found = {
        removal.archive_id: "whole" if removal.whole else removed_wal(replace(plan, wal=(removal,)))
        for removal in plan.wal
    }
    assert found == removals


def test_an_older_archive_without_backups_goes_as_a_whole() -> None:
    wal = {removal.archive_id: removal.whole for removal in plan_of(clusters(last_id=3), "full=4 archive=1").wal}
    assert wal["15-2"]


def test_without_backups_only_the_given_segment_decides() -> None:
    empty = state_of([], {"15-1": tree(numbers("01", "09"))})
    assert plan_of(empty, "full=1").wal == ()
    assert removed_wal(plan_of(empty, "full=1 before=04")) == "01-03"


def test_an_offline_anchor_keeps_all_wal() -> None:
    state = state_of([backup(F1, "02"), backup(F2, None)], {"15-1": tree(numbers("01", "09"))})
    assert plan_of(state, "full=2 archive=1").wal == ()


def test_runs_of_removed_wal_end_at_what_stays() -> None:
    (removal,) = plan_of(counted(), "full=3 archive=1").wal
    assert removal.spans[:2] == ((segment("01"), segment("01")), (segment("04"), segment("04")))
    (removal,) = plan_of(timelines(), "full=1").wal
    assert removal.spans == (("0000000100000000", segment("3:0E")),)


def test_info_files_that_disagree_stop_before_anything_goes() -> None:
    state = replace(counted(), archive_history=(replace(PG, system_id=1),))
    with pytest.raises(FormatError):
        plan_of(state, "full=2")


# -- directories and history manifests


def test_directories_that_the_list_does_not_have_go_but_not_an_unfinished_backup() -> None:
    running = "20260201-000000F"
    state = replace(counted(), on_disk=["20251231-000000F", F1, D1, running], unfinished=running)
    assert plan_of(state, "").directories == ("20251231-000000F",)
    assert plan_of(state, "full=2").directories == (D1, F1, "20251231-000000F")


def test_an_unfinished_backup_goes_with_the_set_that_it_builds_on() -> None:
    running = f"{F2}_20260301-000000I"
    state = replace(counted(), on_disk=[F2, D2, running], unfinished=running, unfinished_prior=D2)
    assert running in plan_of(state, "full=9 set=F2").directories
    assert running not in plan_of(state, "full=9 set=F1").directories


def test_old_history_manifests_go_but_not_those_of_listed_backups() -> None:
    old, other = "20240101-000000F", "20240202-000000F"
    recent = "20261120-000000F"
    state = state_of([backup(old, "02")], {})
    state = replace(
        state,
        manifests={
            "2023": ["20230505-000000F.manifest.gz"],
            "2024": [f"{old}.manifest.gz", f"{other}.manifest.gz", "notes.txt"],
            "2026": [f"{recent}.manifest.gz"],
        },
    )
    plan = plan_expire(state, Retention(history=30), Request(), NOW)
    assert plan.manifests == ("2023/20230505-000000F.manifest.gz", f"2024/{other}.manifest.gz")
    assert plan.years == ("2023",)
    assert plan_expire(state, Retention(), Request(), NOW).manifests == ()
    assert f"2026/{recent}.manifest.gz" in plan_expire(state, Retention(history=0), Request(), NOW).manifests


# -- properties


def retentions() -> st.SearchStrategy[Retention]:
    some = st.none() | st.integers(1, 4)
    return st.builds(Retention, some, st.booleans(), some, some, st.sampled_from(["full", "diff", "incr"]), st.none())


@settings(max_examples=150)
@given(backup_chains(), retentions(), st.booleans())
def test_what_stays_is_complete(chain: list[BackupEntry], keep: Retention, oldest: bool) -> None:
    """No backup loses what it rests on, and no backup that stays loses WAL that makes it consistent."""
    backups = {entry.label: entry for entry in chain}
    needed = [name for entry in chain if entry.archive_start for name in (entry.archive_start, entry.archive_stop)]
    state = state_of(chain, {"15-1": tree(sorted(set(needed)))})
    plan = plan_expire(state, keep, Request(oldest=oldest), NOW)
    kept = {label: entry for label, entry in backups.items() if label not in plan.remove}
    assert all(entry.prior is None or entry.prior in kept for entry in kept.values())
    fulls = [label for label in backups if is_full(label)]
    assert not fulls or fulls[-1] in kept
    assert not set(plan.directories) & set(kept)
    gone = {name.partition("/")[2][:24] for removal in plan.wal for name in removal.files}
    gone_paths = {path for removal in plan.wal for path in removal.paths}
    for entry in kept.values():
        for name in (entry.archive_start, entry.archive_stop):
            assert name is None or (name not in gone and name[:16] not in gone_paths)


@settings(max_examples=100)
@given(backup_chains(), retentions())
def test_a_second_run_finds_nothing_to_do(chain: list[BackupEntry], keep: Retention) -> None:
    state = state_of(chain, {"15-1": tree(numbers("01", "30"))})
    plan = plan_expire(state, keep, Request(), NOW)
    gone = {name for removal in plan.wal for name in removal.files}
    again = state_of(
        [entry for entry in chain if entry.label not in plan.remove],
        {"15-1": tree([n for n in numbers("01", "30") if f"{n[:16]}/{n}-{SHA1}.zst" not in gone])},
    )
    second = plan_expire(again, keep, Request(), NOW)
    assert second.remove == second.directories == second.wal == ()


@settings(max_examples=100)
@given(backup_chains(min_size=1), st.data())
def test_dependents_are_closed(chain: list[BackupEntry], data: st.DataObject) -> None:
    backups = {entry.label: entry for entry in chain}
    label = data.draw(st.sampled_from(sorted(backups)))
    found = dependents(backups, label)
    assert found[0] == label
    assert all((entry.prior in found) == (entry.label in found) for entry in chain if entry.label != label)


def test_retention_by_time_always_leaves_a_backup_older_than_the_period() -> None:
    state = state_of(TIMED, {})
    for days in range(1, 40):
        plan = plan_of(state, f"time full={days}")
        limit = NOW - days * DAY
        older = [entry for entry in TIMED if entry.type == "full" and entry.timestamp_stop < limit]
        kept_older = [entry for entry in older if entry.label not in plan.remove]
        assert len(kept_older) == min(1, len(older))
