# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs SQL for the demonstration: SOCKET_DIRECTORY SQL. Prints the rows as JSON, every value as text."""

from __future__ import annotations

import json
import sys

import psycopg2


def main() -> int:
    socket, sql = sys.argv[1:]
    connection = psycopg2.connect(host=socket, user="postgres", dbname="postgres", connect_timeout=10)
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(sql)
    rows = cursor.fetchall() if cursor.description else []
    sys.stdout.write(json.dumps([[str(value) for value in row] for row in rows]) + "\n")
    connection.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
