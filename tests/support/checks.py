# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What tells whether a restored cluster is the right one: its rows, and PostgreSQL's own checkers."""

from __future__ import annotations

import os
from typing import NamedTuple

from . import account
from .cluster import Cluster

# Partitions count by themselves; unlogged and temporary tables are empty after a restore by design.
TABLES = """
    select quote_ident(nspname) || '.' || quote_ident(relname)
    from pg_class join pg_namespace on pg_namespace.oid = relnamespace
    where relkind in ('r', 'm') and relpersistence = 'p' and nspname !~ '^pg_' and nspname <> 'information_schema'
    order by 1
"""
ROWS = """
    select count(*), coalesce(md5(string_agg(hash, '' order by hash)), '') from (select md5(t::text) hash from {} t) x
"""
LARGE_OBJECTS = """
    select count(*), coalesce(md5(string_agg(md5(data), '' order by loid, pageno)), '') from pg_largeobject
"""


class Rows(NamedTuple):
    """The rows of a table, in whatever order: their number, and the MD5 over the sorted MD5s of their text."""

    total: int
    md5: str


def databases(cluster: Cluster) -> list[str]:
    """The databases that accept connections, template1 among them."""
    return [name for (name,) in cluster.sql("select datname from pg_database where datallowconn order by 1")]


def contents(cluster: Cluster) -> dict[str, Rows]:
    """Every permanent table of every database, by "database schema.table", and the large objects."""
    found: dict[str, Rows] = {}
    for database in databases(cluster):
        for (table,) in cluster.sql(TABLES, database=database):
            (row,) = cluster.sql(ROWS.format(table), database=database)
            found[f"{database} {table}"] = Rows(*row)
        (row,) = cluster.sql(LARGE_OBJECTS, database=database)
        found[f"{database} pg_largeobject"] = Rows(*row)
    return found


def check_relations(cluster: Cluster) -> None:
    """pg_amcheck over all heaps and B-trees, index entries against heap rows; ServerFailedError with what it found.

    Builds without pg_amcheck run the same functions. The extension is installed where it is missing.
    """
    for database in databases(cluster):
        cluster.sql("create extension if not exists amcheck", database=database)
        if cluster.server.has("pg_amcheck"):
            cluster.client("pg_amcheck", "--heapallindexed", "--install-missing", database, database=database)
            continue
        if cluster.server.major >= 14:
            problems = cluster.sql(
                "select c.oid::regclass::text, v.* from pg_class c, lateral verify_heapam(c.oid) v"
                " where c.relkind in ('r', 'm', 't') and c.relpersistence = 'p'",
                database=database,
            )
            if problems:
                raise AssertionError(f"{database}: {problems[:10]}")
        cluster.sql(
            "select bt_index_check(i.indexrelid, true) from pg_index i join pg_class c on c.oid = i.indexrelid"
            " join pg_am a on a.oid = c.relam"
            " where a.amname = 'btree' and i.indisvalid and i.indisready and c.relpersistence = 'p'",
            database=database,
        )


def check_page_checksums(cluster: Cluster) -> None:
    """pg_checksums over a cluster that is shut down cleanly; ServerFailedError names the pages that are wrong."""
    cluster.run("pg_checksums", "--check", "-D", os.fspath(cluster.data))


def verify_backup(cluster: Cluster, path: os.PathLike[str], *argv: str) -> None:
    """pg_verifybackup over a directory with a backup_manifest."""
    cluster.run("pg_verifybackup", *argv, os.fspath(path))


def control_data(cluster: Cluster) -> dict[str, str]:
    """What pg_controldata prints, by its (English) labels."""
    done = account.run([cluster.server.program("pg_controldata"), "-D", cluster.data], environ={"LC_ALL": "C"})
    pairs = (line.partition(":") for line in done.stdout.splitlines())
    return {label: value.strip() for label, _colon, value in pairs}
