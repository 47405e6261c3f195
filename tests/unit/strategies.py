# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypothesis strategies for the values of the field, shared by all tests."""

from __future__ import annotations

import calendar
import dataclasses
from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st

from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.archive_info import PgHistory
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.backup_info import OPTIONS, BackupEntry
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.block_map import BlockItem
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.label import parse_label
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest import (
    Database,
    File,
    Link,
    Manifest,
    Path,
    Target,
)
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.format.manifest_file import EMPTY_SHA1
from ansible_collections.holdfast.postgres.plugins.module_utils._engine.postgres.lsn import render_lsn


def full_labels() -> st.SearchStrategy[str]:
    return st.from_regex(r"20[0-9]{6}-[0-9]{6}F", fullmatch=True)


def labels() -> st.SearchStrategy[str]:
    """Labels of all three types."""
    return st.from_regex(r"20[0-9]{6}-[0-9]{6}F(_20[0-9]{6}-[0-9]{6}[DI])?", fullmatch=True)


def lsns() -> st.SearchStrategy[int]:
    return st.integers(0, (1 << 64) - 1)


def segment_sizes() -> st.SearchStrategy[int]:
    """Bytes; all sizes that PostgreSQL allows."""
    return st.sampled_from([1 << power for power in range(20, 31)])


# -- backup lists


@st.composite
def backup_chains(draw: st.DrawFn, min_size: int = 0) -> list[BackupEntry]:
    """A list of backups as a stanza collects them, oldest first: diffs on their full, incrs on any of the set."""
    chain: list[BackupEntry] = []
    position = 1
    kinds = st.lists(st.sampled_from(["full", "diff", "incr"]), min_size=min_size, max_size=9)
    for number, kind in enumerate(draw(kinds)):
        fulls = [entry for entry in chain if entry.type == "full"]
        if not fulls:
            kind = "full"
        stamp = f"202611{1 + number:02d}-000000"
        prior = None
        if kind != "full":
            of_set = [entry.label for entry in chain if entry.label.startswith(fulls[-1].label)]
            prior = fulls[-1].label if kind == "diff" else draw(st.sampled_from(of_set))
        label = f"{stamp}F" if kind == "full" else f"{fulls[-1].label}_{stamp}{kind[0].upper()}"
        start = position + draw(st.integers(0, 3))
        stop = start + draw(st.integers(0, 1))
        position = stop + 1
        online = draw(st.integers(0, 5)) > 0
        at = calendar.timegm((2026, 11, 1 + number, 0, 0, 0))
        chain.append(
            BackupEntry(
                label, kind, at, at + 60, 1, 1, 1, 1, 1, prior=prior,
                archive_start=f"{1:08X}{0:08X}{start:08X}" if online else None,
                archive_stop=f"{1:08X}{0:08X}{stop:08X}" if online else None,
            )
        )  # fmt: skip
    return chain


def size_texts() -> st.SearchStrategy[str]:
    """Sizes as people write them: 0, 20MiB, 8gb, 64K."""
    units = st.sampled_from(["", *"bkmgtp", "kb", "mb", "gb", "kib", "mib", "gib", "tib", "pib"])
    return st.builds(
        lambda number, unit, upper: f"{number}{unit.upper() if upper else unit}",
        st.integers(0, 4096),
        units,
        st.booleans(),
    )


def time_texts() -> st.SearchStrategy[str]:
    """Times as people write them: 30, 500ms, 2H."""
    units = st.sampled_from(["", "ms", "s", "m", "h", "d", "w", "MS", "S", "M", "H", "D", "W"])
    return st.builds(lambda number, unit: f"{number}{unit}", st.integers(0, 10**6), units)


# -- bytes


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """What a file may hold: nothing, a few bytes, long runs, noise, and mixtures; up to 300 KB."""
    runs = st.builds(lambda byte, length: bytes([byte]) * length, st.integers(0, 255), st.integers(0, 100_000))
    noise = st.builds(lambda seed, length: Random(seed).randbytes(length), st.integers(0, 99), st.integers(0, 50_000))
    return b"".join(draw(st.lists(st.one_of(st.binary(max_size=300), runs, noise), max_size=3)))


def system_ids() -> st.SearchStrategy[int]:
    return st.integers(1, (1 << 64) - 1)


def versions() -> st.SearchStrategy[str]:
    return st.sampled_from(["9.6", "10", "13", "14", "15", "16", "17", "18"])


def histories() -> st.SearchStrategy[tuple[PgHistory, ...]]:
    """One to four entries with ids from 1 that grow by one."""
    one = st.builds(
        PgHistory, st.just(0), system_ids(), versions(), st.integers(900, 2000), st.integers(201600000, 2**31)
    )
    return st.lists(one, min_size=1, max_size=4).map(
        lambda entries: tuple(dataclasses.replace(entry, id=number) for number, entry in enumerate(entries, 1))
    )


def stored_texts() -> st.SearchStrategy[str]:
    """Strings that a document can hold as values: anything, bytes that are not UTF-8 included."""
    return st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape")) | st.text(
        st.characters(exclude_categories=["Cs"]), max_size=20
    )


def annotation_keys() -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"], exclude_characters='"\\', min_codepoint=32), max_size=16)


def annotations() -> st.SearchStrategy[dict[str, str]]:
    return st.dictionaries(annotation_keys(), stored_texts(), max_size=4)


def passphrases() -> st.SearchStrategy[str]:
    return st.text("abcdefXYZ0123+/=", min_size=1, max_size=64)


def segment_names() -> st.SearchStrategy[str]:
    return st.from_regex(r"[0-9A-F]{24}", fullmatch=True)


def sizes() -> st.SearchStrategy[int]:
    return st.sampled_from([0, 1, 8192]) | st.integers(0, 1 << 50)


def times() -> st.SearchStrategy[int]:
    return st.integers(0, 1 << 33)


@st.composite
def backup_entries(draw: st.DrawFn, pg_id: int = 1) -> BackupEntry:
    label = draw(labels())
    parsed = parse_label(label)
    online = draw(st.booleans())
    block_incr = draw(st.booleans())
    others = sorted(draw(st.sets(labels(), max_size=3)) | {parsed.full}) if parsed.type != "full" else []
    lsn = draw(lsns())
    flags = draw(st.lists(st.booleans(), min_size=7, max_size=7))
    return BackupEntry(
        label,
        parsed.type,
        *draw(st.lists(times(), min_size=2, max_size=2)),
        *draw(st.lists(sizes(), min_size=4, max_size=4)),
        pg_id,
        *(draw(st.lists(sizes(), min_size=2, max_size=2)) if block_incr else (None, None)),
        prior=others[-1] if others else None,
        reference=tuple(others),
        archive_start=draw(segment_names()) if online else None,
        archive_stop=draw(segment_names()) if online else None,
        lsn_start=render_lsn(lsn) if online else None,
        lsn_stop=render_lsn(lsn) if online else None,
        error=draw(st.sampled_from([None, True, False])),
        annotation=draw(annotations()),
        **dict(zip((option.replace("-", "_") for option in OPTIONS), flags)),
        writer=draw(stored_texts()),
    )


def name_components() -> st.SearchStrategy[str]:
    """File names as a Unix file system has them, without the line feed that no manifest can hold; often odd ones."""
    odd = st.sampled_from(
        [
            "a=b.txt",
            "=5=",
            'eq={"x":1}=y',
            "back\\slash",
            "tab\there",
            'q"uote',
            "bad\udcffname",
            "[x]",
            "#",
            "\x01\r",
            " ",
        ]
    )
    plain = st.text("0123456789abc_.", min_size=1, max_size=8)
    raw = st.binary(min_size=1, max_size=10).map(lambda name: name.decode("utf-8", "surrogateescape"))
    return (odd | plain | raw).filter(lambda name: name not in (".", "..") and not set(name) & set("/\x00\n"))


def manifest_names() -> st.SearchStrategy[str]:
    roots = st.sampled_from(["pg_data", "pg_data/base/1", "pg_tblspc/16384/PG_15_202209061"])
    below = st.lists(name_components(), min_size=1, max_size=3)
    return st.tuples(roots, below).map(lambda parts: "/".join([parts[0], *parts[1]]))


def owners() -> st.SearchStrategy[str | None]:
    return st.sampled_from(["postgres", None, "o'wner", "ünïx"])


def modes() -> st.SearchStrategy[int]:
    return st.sampled_from([0o600, 0o640, 0o644]) | st.integers(0, 0o777)


def digests() -> st.SearchStrategy[bytes]:
    return st.binary(min_size=20, max_size=20)


@st.composite
def page_errors(draw: st.DrawFn) -> tuple[int | tuple[int, int], ...] | None:
    pages: list[int | tuple[int, int]] = []
    following = 0
    for gap, length in draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 4)), max_size=4)):
        first = following + gap
        following = first + length
        pages.append(first if length == 1 else (first, following - 1))
    return tuple(pages) or None


@st.composite
def files(draw: st.DrawFn, names: st.SearchStrategy[str], references: Sequence[str]) -> File:
    size = draw(sizes())
    block = draw(st.booleans())
    bundle = draw(st.booleans())
    valid = draw(st.sampled_from([None, True, False]))
    return File(
        draw(names),
        size,
        draw(st.integers(-10, 1 << 33)),
        draw(modes()),
        draw(owners()),
        draw(owners()),
        (draw(digests()) if size else EMPTY_SHA1),
        draw(st.none() | digests()),
        draw(st.none() | sizes()),
        draw(st.none() | st.sampled_from(references)) if references else None,
        draw(st.integers(1, 1 << 40)) if bundle else 0,
        draw(sizes()) if bundle else 0,
        valid,
        draw(page_errors()) if valid is False else None,
        draw(st.integers(1, 11)) * 8192 if block else 0,
        draw(st.integers(6, 16)) if block else 6,
        draw(st.integers(1, 9999)) if block else 0,
        draw(st.none() | sizes().filter(lambda original: original != size)),
    )


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Manifests that check_names accepts, with one tablespace, one linked file and one linked directory at most."""
    label = draw(labels())
    kind = parse_label(label).type
    reference = sorted(draw(st.sets(labels(), max_size=3)) - {label}) if kind != "full" else []
    online = draw(st.booleans())
    root = (draw(st.sampled_from([0o700, 0o750])), draw(owners()), draw(owners()))
    pg = draw(histories())[0] if draw(st.booleans()) else PgHistory(0, 0, "15", 1300, 202209061)
    targets = {"pg_data": Target("pg_data", "path", "/srv/pg/main")}
    links = []
    paths = [Path("pg_data", *root)]
    if draw(st.booleans()):
        targets["pg_tblspc/16384"] = Target("pg_tblspc/16384", "link", "/mnt/ts", None, "16384", draw(stored_texts()))
        links.append(Link("pg_data/pg_tblspc/16384", "/mnt/ts", draw(owners()), draw(owners())))
        paths += [Path("pg_tblspc", *root), Path("pg_tblspc/16384", *root)]
    if draw(st.booleans()):
        targets["pg_data/l.conf"] = Target("pg_data/l.conf", "link", "../etc", "l.conf")
        links.append(Link("pg_data/l.conf", "../etc/l.conf", draw(owners()), draw(owners())))
    taken = {path.name for path in paths}
    found = draw(st.lists(files(manifest_names(), reference), max_size=6, unique_by=lambda file: file.name))
    found.sort(key=lambda file: file.name.encode("utf-8", "surrogateescape"))
    owned = st.builds(Path, st.just("pg_data/base"), modes(), owners(), owners())
    return Manifest(
        label,
        kind,
        pg,
        draw(labels()) if kind != "full" else None,
        [*reference, label],
        *draw(st.lists(times(), min_size=3, max_size=3)),
        *(draw(st.lists(segment_names(), min_size=2, max_size=2)) if online else (None, None)),
        *((render_lsn(draw(lsns())), render_lsn(draw(lsns()))) if online else (None, None)),
        *draw(st.lists(st.booleans(), min_size=3, max_size=3)),
        {"option-compress-type": "zst", "option-compress-level": draw(st.integers(-7, 22)), "option-online": online},
        targets,
        [file for file in found if file.name not in taken],
        [*paths, draw(owned)],
        links,
        {name: Database(oid, 4) for name, oid in draw(databases()).items()} if online else {},
        draw(annotations()),
        draw(st.none() | passphrases()),
        draw(stored_texts()),
    )


def databases() -> st.SearchStrategy[dict[str, int]]:
    """oid by name; names are raw bytes with anything but a line feed."""
    names = st.sampled_from(["postgres", 'o=d"d {x']) | st.binary(min_size=1, max_size=10).map(
        lambda raw: raw.decode("utf-8", "surrogateescape")
    )
    return st.dictionaries(names.filter(lambda name: "\n" not in name), st.integers(1, 1 << 31), max_size=3)


@dataclasses.dataclass(frozen=True)
class BlockFile:
    """A block incremental file after some backups: what its newest map says. Sizes are bytes."""

    items: tuple[BlockItem, ...]
    block_size: int
    checksum_size: int
    size: int
    references: int


@st.composite
def block_files(draw: st.DrawFn) -> BlockFile:
    """Files that were changed, grew and shrank from backup to backup, as section 8.3 of the format stores them."""
    block_size, checksum_size = draw(st.sampled_from([(8192, 6), (16384, 6), (32768, 7), (131072, 8)]))
    backups = draw(st.integers(1, 6))
    items: list[BlockItem] = []
    size = draw(st.integers(8, 24)) * block_size
    for reference in range(backups):
        before = size if reference else 0
        size += draw(st.sampled_from([0, 0, 0, 5, 3 * block_size, -5, -3 * block_size]))
        size = max(size, 1)
        blocks = -(-size // block_size)
        changed = {index for index, is_changed in enumerate(draw(_flags(blocks))) if is_changed}
        # A last block that was or became shorter differs in any case.
        changed.update(edge // block_size for edge in (before, size) if before != size and edge % block_size)
        stored = [index for index in range(blocks) if index >= len(items) or index in changed]
        items = items[:blocks] + [BlockItem(0, 0, 0, 0, 0, 0, b"")] * (blocks - len(items))
        bundle = draw(st.sampled_from([0, 1, 7, 300]))
        offset = draw(st.sampled_from([0, 1, 12345, 1 << 40])) if bundle else 0
        limit = draw(st.integers(1, 6))
        for first in range(0, len(stored), limit):
            inside = stored[first : first + limit]
            plain = sum(min(block_size, size - index * block_size) for index in inside)
            taken = draw(st.integers(1, 2 * plain))
            for number, index in enumerate(inside):
                checksum = index.to_bytes(4, "big") + reference.to_bytes(checksum_size - 4, "big")
                items[index] = BlockItem(reference, bundle, offset, taken, plain, number, checksum)
            offset += taken
    return BlockFile(tuple(items), block_size, checksum_size, size, backups)


def _flags(count: int) -> st.SearchStrategy[list[bool]]:
    return st.integers(0, (1 << count) - 1).map(lambda bits: [bool(bits >> bit & 1) for bit in range(count)])
