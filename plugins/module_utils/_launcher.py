# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program that people and PostgreSQL start: a shell script, because a shell starts in a millisecond.

PostgreSQL asks for each WAL segment, and mostly the answer lies in the spool already. The script gives it, and starts
the engine for everything else. It decides nothing: the engine leaves a file that says under which circumstances the
script may answer (command/fast_path.py), and the script compares, with nothing but what a shell has built in. Of other
programs it runs mv, and sleep while a segment is on its way, only.

Failing is never left to it. Where a comparison, a file, even mv fails, the engine runs and says what is wrong; so no
other exit status than 0 comes from here. That matters: PostgreSQL ends a recovery when restore_command fails with 1.
"""

from __future__ import annotations

import shlex

from ._engine.command.fast_path import ENVIRONMENT, FORM
from ._engine.spool import BOOT_ID

SPOOL_PATH = "/var/spool/holdfast"  # the default of the engine's option

_TEXT = """\
#!/bin/sh
# Starts the backup engine. The holdfast.postgres.engine module wrote this file and replaces it with each version.
# -nt, -ef and -O are in dash, bash and busybox; where they are not, they fail, and the engine does the work. The file
# of facts is read and looked at, but not written.
# shellcheck disable=SC3013,SC3067,SC2094

# Succeeds when the answer lay in the spool. The engine wrote the file of facts, which is read line by line.
fast() {
    stanza='' options=''
    while [ $# -gt 1 ]; do
        case $1 in
            archive-push | archive-get) break ;;
            --stanza=*) stanza=${1#*=} ;;
        esac
        options="$options$1	"
        shift
    done
    case $1$# in
        archive-push2) segment=${2#pg_wal/} file=$2 ;;
        archive-get3) segment=$2 file=$3 ;;
        *) return 1 ;;
    esac
    case $segment in
        *[!0123456789ABCDEF]*) return 1 ;;
        ????????????????????????) ;;
        *) return 1 ;;
    esac
    case $file in
        pg_wal/*/*) return 1 ;;
        pg_wal/*) ;;
        *) return 1 ;;
    esac
    facts=@FAST@/$stanza-$1
    case $stanza in
        '' | */*) return 1 ;;
    esac
    [ -O "$facts" ] || return 1
    [ -z "@VARIABLES@" ] || return 1
    {
        IFS= read -r form && IFS= read -r words && IFS= read -r data && IFS= read -r spool && IFS= read -r more &&
            [ "$form" = @FORM@ ] && [ "$words" = "$options" ] && [ . -ef "$data" ] || return 1
        while IFS= read -r path; do
            [ ! "$path" -nt "$facts" ] || return 1
        done
    } <"$facts"
    if [ "$1" = archive-push ]; then
        [ ! -e "${more%/*}/$stanza.stop" ] && [ ! -e "${more%/*}/all.stop" ] || return 1
        # Where a background process is at it, a wait of half a second spares the start of the engine.
        for pause in .02 .02 .03 .03 .05 .05 .05 .05 .1 .1 0; do
            [ ! -e "$spool/$segment.ok" ] || break
            [ -e "$more" ] && [ ! -e "$spool/$segment.error" ] && sleep "$pause" || return 1
        done
        # An acknowledgement with content is a warning; one that is older than the segment is of another one.
        [ -f "$spool/$segment.ok" ] && [ ! -s "$spool/$segment.ok" ] && [ ! "$file" -nt "$spool/$segment.ok" ]
    else
        # What was fetched before the machine crashed may be there by half.
        IFS= read -r booted <@BOOT_ID@ && [ "$booted" = "$more" ] || return 1
        [ -f "$spool/$segment" ] && [ ! -e "$spool/$segment.ok" ] && [ ! -d "$file" ] && mv -f "$spool/$segment" "$file"
    fi
}

fast "$@" 2>/dev/null && exit 0
export HOLDFAST_FAST_PATH=@FAST@
exec @PROGRAM@ "$@"
"""

_PG_PATHS = ("pg1-path", "db-path", "db1-path")  # of old, too


def render_launcher(program: list[str], spool_path: str = SPOOL_PATH) -> str:
    """The text of the script. program: words that start the engine; spool_path: where the script finds its facts."""
    variables = [f"HOLDFAST_{name.upper().replace('-', '_')}" for name in (*ENVIRONMENT, *_PG_PATHS)]
    words = {
        "FAST": shlex.quote(f"{spool_path}/fast"),
        "VARIABLES": "".join(f"${{{name}+x}}" for name in variables),
        "FORM": FORM,
        "BOOT_ID": BOOT_ID,
        "PROGRAM": " ".join(map(shlex.quote, program)),
    }
    text = _TEXT
    for name, value in words.items():
        text = text.replace(f"@{name}@", value)
    return text
