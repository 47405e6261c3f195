# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is backed up: a cluster with gigabytes of ordinary rows, one with very many small files; WAL of ordinary work.

Zeros and random bytes would flatter or insult a compressor, so the rows are of the kind that applications store:
numbers, times, identifiers, words, documents, with the indexes that they get.
"""

from __future__ import annotations

import io
import json
import random
import uuid
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ..tests.support.cluster import Cluster

MB = 1 << 20
BYTES_PER_EVENT = 860  # in the table and its indexes; measured
BYTES_PER_SCALE = 15 * MB  # of pgbench, with its indexes
FILES_PER_TABLE = 6  # heap, index, those of its TOAST table, and their maps; measured

EVENTS = """
    create table events (
        id bigint primary key, at timestamptz not null, session uuid not null, name text not null, body text not null,
        data jsonb not null
    );
    create index on events (at);
    create unique index on events (session);
    create index on events using gin (data jsonb_path_ops);
"""
NAMES = ("login", "logout", "view", "order", "payment", "refund")
BATCH = 20_000  # rows copied at a time

# A transaction for some of the tables: each holds a lock for every one that it creates.
MAKE_TABLES = """
    do $$
    begin
        for n in {first}..{last} loop
            execute format('create table item_%s (id int primary key, label text, at timestamptz default now())', n);
            execute format('insert into item_%s select g, md5(g::text) from generate_series(1, %s) g', n, 20 + n % 150);
        end loop;
    end $$
"""
TABLES_AT_A_TIME = 100
TABLES_PER_DATABASE = 1000


@dataclass(frozen=True)
class Scale:
    """How much there is. size: bytes of the large cluster; files: of the other one; segments: of WAL."""

    size: int
    files: int
    segments: int


def fill_with_rows(cluster: Cluster, size: int) -> None:
    """A quarter of the bytes is pgbench's, the rest events."""
    scale = max(1, size // 4 // BYTES_PER_SCALE)
    cluster.client("pgbench", "--initialize", "--quiet", f"--scale={scale}")
    cluster.sql(EVENTS)
    chance = random.Random(size)
    rows = size * 3 // 4 // BYTES_PER_EVENT
    with closing(cluster.connect()) as connection, connection.cursor() as cursor:
        for first in range(0, rows, BATCH):
            lines = "".join(event(number, chance) for number in range(first, min(rows, first + BATCH)))
            cursor.copy_expert("copy events from stdin", io.StringIO(lines))
    settle(cluster)


def event(number: int, chance: random.Random) -> str:
    """A row of events, as COPY takes it."""
    at = datetime(2026, 1, 1) + timedelta(seconds=1.7 * number)
    session = uuid.UUID(int=chance.getrandbits(128), version=4)
    body = " ".join(words(chance, 20 + number % 80))
    city, street, *tags = words(chance, 2 + number % 5)
    document = {
        "customer": chance.randrange(10**6),
        "amount": chance.randrange(10**5) / 100,
        "tags": tags,
        "address": {"city": city, "street": street, "zip": chance.randrange(10**5)},
        "active": chance.random() < 0.7,
    }
    return f"{number}\t{at}\t{session}\t{chance.choice(NAMES)}\t{body}\t{json.dumps(document)}\n"


def words(chance: random.Random, count: int) -> list[str]:
    """Words as frequent as those of a language: the n-th a n-th time as often as the first."""
    return [VOCABULARY[int(len(VOCABULARY) ** chance.random()) - 1] for _number in range(count)]


def _vocabulary() -> list[str]:
    chance = random.Random(1)
    return ["".join(chance.choices("etaoinshrdlucmfw", k=3 + number % 8)) for number in range(20_000)]


VOCABULARY = _vocabulary()


def fill_with_files(cluster: Cluster, files: int) -> None:
    """Databases with a thousand small tables each, as one for every customer would be."""
    tables = min(TABLES_PER_DATABASE, files // FILES_PER_TABLE)
    cluster.sql("create database customer_1")
    for first in range(1, tables + 1, TABLES_AT_A_TIME):
        last = min(tables, first + TABLES_AT_A_TIME - 1)
        cluster.sql(MAKE_TABLES.format(first=first, last=last), database="customer_1")
    settle(cluster, "customer_1")
    for number in range(2, files // (tables * FILES_PER_TABLE) + 1):
        cluster.sql(f"create database customer_{number} template customer_1 strategy file_copy")
    cluster.sql("checkpoint")


def settle(cluster: Cluster, database: str = "postgres") -> None:
    """Leave nothing for reads to change later, such as hint bits."""
    cluster.sql("vacuum (freeze, analyze)", database=database)
    cluster.sql("checkpoint")


def write_wal(cluster: Cluster, archive: Path, count: int, seconds: int) -> list[Path]:
    """Segments out of pgbench's own mix of transactions; archive: where the cluster's archive_command puts them.

    What lies there already is used first.
    """
    found = segments(archive)
    while len(found) < count:
        cluster.client("pgbench", "--no-vacuum", "--client=4", "--jobs=2", f"--time={seconds}")
        cluster.wait_archived(cluster.switch_wal())
        # The last one was cut short by the switch.
        found = segments(archive)[:-1]
    settle(cluster)
    return found[:count]


def segments(archive: Path) -> list[Path]:
    return sorted(path for path in archive.iterdir() if len(path.name) == 24)
