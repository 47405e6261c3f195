# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes the reference pages of docs/ that come from the engine's tables: options.md and errors.md.

usage: docs.py write     writes them
       docs.py check     names the ones that are not what write would write; status 1 if there are any

Needs nothing but Python's standard library.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Iterator, Mapping

sys.dont_write_bytecode = True  # the checkout may be read-only, or somebody else's
CHECKOUT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
from _engine import errors  # noqa: E402
from _engine.command_table import ALL, COMMANDS  # noqa: E402
from _engine.option_table import COMMAND_LINE, SECTIONS, STANZA, Option, is_usable  # noqa: E402
from _engine.option_type import OptionType  # noqa: E402

NOTE = "<!-- Generated from the engine's tables. Do not edit: change the table and run tests/utils/docs.py write -->"

OPTIONS_HEAD = f"""\
{NOTE}

# Options

The names, units and ranges are those of `pgbackrest.conf`. [differences.md](differences.md) lists the defaults that
differ.

* **Where**: the command line (`--process-max=4`), then the environment (`HOLDFAST_PROCESS_MAX=4`), then the
  configuration file (`process-max=4`). The first one that has the option wins.
* **File**: `/etc/holdfast/holdfast.conf`, then `/etc/holdfast/conf.d/*.conf`. Sections: `[global]`, `[global:backup]`,
  `[main]`, `[main:backup]`, where `main` is a stanza. The more special section wins.
* **Keys**: `repo1-...` to `repo256-...`, `pg1-...` to `pg256-...`. The tables show key 1.
* **Switches**: `y` or `n` in the file, `--delta` or `--no-delta` on the command line.
* **Sizes**: bytes, or with `KiB`, `MiB`, `GiB`, `TiB`, `PiB`.
* **Times**: seconds, or with `ms`, `s`, `m`, `h`, `d`, `w`.
* **Lists and maps** (`key=value`): give the option several times.

One option in full, on the host: `holdfast help backup compress-level`.
"""

ERRORS_HEAD = f"""\
{NOTE}

# Exit status

0 is success. `archive-get` ends with 1 when no repository has the file. Everything else is one of the numbers below,
which are pgBackRest's. The log line of an error has the number: `ERROR: [050]: ...`, and most have a `HINT:` that says
what to do with this very file, option or label. The modules return the number as `rc` and the hint as `hint`.

`archive-get` as `restore_command` of a recovering cluster that is no standby ends with 128 + the number, so 183 is 55.
PostgreSQL takes any status up to 125 for the end of the archive, and would open for business without the rest of the
WAL. From 126 on it stops instead.

**Again** says whether simply running the same command again may help.

| status | error | what it means | again | what to do |
|---|---|---|---|---|
"""

ADVICE: Mapping[int, str] = {
    25: "A bug. Report it with the log.",
    26: "The bytes are damaged. Run `verify`; restore another set, or from another repository with `--repo`.",
    27: "Read the message: two settings contradict each other, or a Python library is missing.",
    28: "Compare the file that is named with the cluster: is the stanza that of this cluster?",
    29: "A damaged or foreign file, or a value in the wrong form. For a repository file, run `verify`.",
    30: "Name a command: `holdfast help`.",
    31: "The option does not belong to this command, or not into this section. `holdfast help <command>`.",
    32: "The message says which values are allowed.",
    37: "Give the option; `--stanza` is the usual one.",
    38: "Stop PostgreSQL. Remove `postmaster.pid` by hand only when you are sure that no server runs.",
    39: "Run it again. If it stays, a bug.",
    40: "Give `--delta` or `--force`, or empty the directory. Make sure that it is the right one first.",
    41: "Look at owner and mode of the file. Is it the right user?",
    42: "Look at the disk and at the kernel's log.",
    43: "Give the parameter: `holdfast help <command>`.",
    44: "This WAL is of another cluster. Wrong `pg1-path`, or `stanza-upgrade` is due after `pg_upgrade`.",
    45: "Two clusters archive into one stanza, or one was restored and archives over its own past. Stop one of them. "
    "Compare both files before you remove any.",
    46: "PostgreSQL 13 to 18 are supported. Is the file damaged?",
    47: "Look at owner and mode of the directory above.",
    48: "`holdfast help` lists the commands.",
    49: "Is the host up, and its name right?",
    50: "Another command works on the stanza. Wait for it; `holdfast info` shows it.",
    51: "The repository is of another cluster. Wrong `pg1-path` or `repo1-path`, or `stanza-upgrade` is due.",
    52: "The disk did not confirm the write. Look at the disk.",
    53: "Is the directory there, and yours?",
    54: "The disk did not confirm the write. Look at the disk.",
    55: "For an info file: `stanza-create` first, or wrong `repo1-path`. For another: run `verify`.",
    56: "Does PostgreSQL run? `pg1-port`, `pg1-socket-path` and `pg1-user` have to fit.",
    57: "The message has PostgreSQL's own words. The role has to be a superuser.",
    58: "`pg1-path` is not the directory of the server that answers, or the target timeline does not fit the backup.",
    60: "Look at owner and mode.",
    61: "Look at owner and mode.",
    62: "Somebody ran `stop`. `holdfast start` when it is safe.",
    63: "A signal ended it. Run it again; a backup resumes.",
    64: "Is the disk full? Then look at owner and mode.",
    67: "Not built yet. README.md has the list.",
    68: "Set `archive_command` to `holdfast --stanza=<stanza> archive-push %p`.",
    69: "An entry of `pg_tblspc` is not a link. Look at it.",
    70: "A link or a mapped tablespace leads into the data directory, or two lead to the same place.",
    72: "Run it on the host of the cluster.",
    73: "Make the directory, or correct the path.",
    74: "Look at owner and mode of both directories.",
    75: "`holdfast info` shows the labels and when each backup ended. For a time, the backup has to end before it.",
    76: "`holdfast --set=<label> info` shows the tablespaces.",
    78: "Names are relative to the data directory: `--link-map=pg_wal=/wal/main`.",
    79: "Look at the disk.",
    80: "`holdfast --set=<label> info` shows the databases.",
    81: "System databases are always included; name a database once.",
    82: "WAL does not arrive. Look at PostgreSQL's log: why does `archive_command` fail? Then `holdfast check`.",
    83: "Correct the mode.",
    87: "`archive_mode = on`, and restart PostgreSQL.",
    88: "Run it as the owner of the files, or a restore as root.",
    89: "Make the user, or run it as another.",
    93: "Give `--delta` or `--force`, or remove the file.",
    94: "Give it more memory, or a smaller `process-max`.",
    95: "Wrong passphrase, wrong `cipher-type`, or damaged bytes.",
    96: "`holdfast help <command>` shows the parameters.",
    98: "Look at owner and mode of the directories above.",
    99: "A damaged or foreign file. Run `verify`.",
    100: "The message has the call. Look at the kernel's log.",
    101: "Run it again later.",
    102: "Is the program there, and executable?",
    103: "The lines before it say what is wrong with each repository.",
    104: "The lines before it name every error.",
    105: "Look at user, key and rights.",
    106: "The clock went back. Let time synchronisation settle.",
    125: "A worker died: look for the kernel's out-of-memory killer. A traceback is a bug: report it.",
}


def cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def row(*cells: str) -> str:
    return f"| {' | '.join(cell(text) for text in cells)} |"


# -- options.md


def values(option: Option) -> str:
    """What a person may write."""
    if isinstance(option.type, OptionType):
        return kind(option.type)
    return "; ".join(f"{kind(part)}{f' for {name}' if name else ''}" for name, part in option.type.items())


def kind(of: OptionType) -> str:
    return of.allowed() or of.kind


def default(option: Option) -> str:
    if isinstance(option.default, str):
        return f"`{option.default}`"
    if option.default is None:
        return option.default_note or ("required" if option.required else "none")
    named = [f"`{text}` for {name}" if name else f"else `{text}`" for name, text in option.default.items()]
    return ", ".join(named)


def where(option: Option) -> str:
    if option.secret:
        return "never the command line: a secret"
    return {COMMAND_LINE: "command line, environment", STANZA: "not in `[global]`"}.get(option.where, "")


def commands(option: Option) -> str:
    missing = sorted(ALL - option.commands)
    if not missing:
        return "all"
    if len(missing) <= 3:
        return f"all but {', '.join(missing)}"
    return ", ".join(name for name in COMMANDS if name in option.commands)


def meaning(option: Option) -> str:
    parts = [option.help]
    if option.depends is not None:
        needs = " or ".join(option.depends.values)
        parts.append(f"Needs `{option.depends.option}`{f' = {needs}' if needs else ''}.")
    note = where(option)
    if note:
        parts.append(f"Where: {note}.")
    return " ".join(parts)


def options_page() -> Iterator[str]:
    yield OPTIONS_HEAD
    later, without_effect = [], []
    for section, options in SECTIONS:
        rows = []
        for option in options:
            if not is_usable(option):
                later.append(option)
            elif option.internal:
                without_effect.append(option)
            else:
                name = f"`{option.full_name(1)}`"
                rows.append(row(name, default(option), values(option), meaning(option), commands(option)))
        if rows:
            yield f"\n## {section[0].upper()}{section[1:]}\n\n| option | default | values | what | commands |\n"
            yield "|---|---|---|---|---|\n" + "".join(f"{line}\n" for line in rows)
    yield "\n## For experts and for existing files\n\nKnown, and rarely of use.\n\n"
    yield "| option | default | what |\n|---|---|---|\n"
    for option in without_effect:
        yield row(f"`{option.full_name(1)}`", default(option), meaning(option)) + "\n"
    yield (
        "\n## Known and not supported yet\n\nThey are ignored with a warning. Those in bold are refused with status 67,"
        " because ignoring them would do something else than was asked for.\n\n"
    )
    for option in later:
        name = f"`{option.full_name(1)}`"
        yield f"* {f'**{name}**' if option.essential else name}: {cell(option.help)}\n"


# -- errors.md


def meanings() -> dict[int, str]:
    """Code to meaning, as the tree in the docstring of errors.py has them."""
    found = {}
    for line in (errors.__doc__ or "").splitlines():
        words = line.replace("+-", "").split(maxsplit=2)
        if len(words) == 3 and words[0].endswith("Error") and words[1].isdigit():
            found[int(words[1])] = words[2]
    return found


def errors_page() -> Iterator[str]:
    yield ERRORS_HEAD
    known = {item.code: item for item in vars(errors).values() if isinstance(item, type) and hasattr(item, "retryable")}
    texts = meanings()
    for code in sorted(known.keys() | ADVICE.keys() | texts.keys()):
        item = known[code]  # a KeyError here and below is a table that lacks a code, or has one too many
        name = "".join(part.capitalize() for part in item.name.split("-"))
        yield row(str(code), name, texts[code], "yes" if item.retryable else "", ADVICE[code]) + "\n"


PAGES = {"options.md": options_page, "errors.md": errors_page}


def main(task: str) -> int:
    stale = []
    for name, page in PAGES.items():
        path, text = CHECKOUT / "docs" / name, "".join(page())
        if task == "write":
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
    for name in stale:
        sys.stderr.write(f"docs/{name} is not what the tables say: run python3 tests/utils/docs.py write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    if sys.argv[1:] not in (["write"], ["check"]):
        raise SystemExit(__doc__)
    raise SystemExit(main(sys.argv[1]))
