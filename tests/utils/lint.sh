#!/bin/sh
# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every check of the source that needs no server; all of them run, and the last line tells which ones failed.
# "make lint" runs it in a copy of the checkout that is laid out as a collection.
set -u

failed=
check() {
    echo "-- $*"
    "$@" || failed="$failed $1"
}

check ruff check .
check mypy
# Python 3.9 is the floor on a host, and nothing else looks at what is called rather than how it is written.
# (compression.zstd, of Python 3.14, has a fallback.)
check vermin --quiet --no-tips --target=3.9- --exclude compression --exclude compression.zstd --violations plugins
check shellcheck tests/utils/*.sh .ci/run
check ansible-lint --offline -q
check antsibull-changelog lint
check antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all --check-extra-docs-refs .

if [ -n "$failed" ]; then
    echo "failed:$failed"
    exit 1
fi
