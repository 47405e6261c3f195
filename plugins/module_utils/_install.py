# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the engine lives on a host, and how it gets there. Private to this collection.

    <prefix>/bin/holdfast                       link to ../lib/holdfast/current/bin/holdfast
    <prefix>/lib/holdfast/current               link to the version in use: the only thing that a switch changes
    <prefix>/lib/holdfast/<version>/
        bin/holdfast                            the launcher; names its own version, so that one run never mixes two
        start.py                                what the launcher runs
        engine/holdfast_engine/                 the package, with bytecode
        venv/                                   the libraries, unless an interpreter was given that has them

A new version is complete before the link points to it. Modules run from an archive that is gone when they end, so the
sources are read from there and nothing on the host refers to it.
"""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from dataclasses import dataclass

# The engine dispatches to everything that it consists of: importing its entry brings all of it into the payload.
from . import _engine
from ._engine import main as _entry  # noqa: F401  # pylint: disable=unused-import
from ._engine.version import VERSION
from ._launcher import SPOOL_PATH, render_launcher

PACKAGE = "holdfast_engine"
STAMP = "holdfast.json"  # in the venv: what it was made of; written last, so a venv without it is not whole

START = """\
# Runs the engine; the launcher beside it starts this file. -S leaves out site-packages, so they are named here.
import gc
import os
import sys

gc.set_threshold(50000)  # a start makes many objects and no garbage
sys.path += {path!r}
sys.argv[0] = {launcher!r}  # what restore_command and the asynchronous archiver run

from {package}.main import main

os._exit(main())  # all is closed and written by now, and the interpreter would take its time to tear itself down
"""

# What an interpreter says about itself: the tag and the magic number that its bytecode carries, and the folders which
# -S leaves out.
PROBE = """\
import importlib.util, json, platform, subprocess, sys
bare = subprocess.run([sys.executable, "-I", "-S", "-c", "import sys; sys.stdout.write(chr(10).join(sys.path))"],
                      check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout.splitlines()
missing = [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None]
sys.stdout.write(json.dumps({"version": platform.python_version(), "tag": sys.implementation.cache_tag,
                             "magic": importlib.util.MAGIC_NUMBER.hex(), "missing": missing,
                             "path": [name for name in sys.path if name not in bare]}))
"""


@dataclass(frozen=True)
class Interpreter:
    """A Python and its answer to PROBE."""

    path: str
    version: str
    tag: str
    magic: str
    site_paths: tuple[str, ...]
    missing: tuple[str, ...]

    @classmethod
    def of_answer(cls, path: str, answer: str) -> Interpreter:
        said = json.loads(answer)
        return cls(path, said["version"], said["tag"], said["magic"], tuple(said["path"]), tuple(said["missing"]))


@dataclass(frozen=True)
class Places:
    """The paths of one version below a prefix."""

    prefix: str
    version: str = VERSION

    @property
    def root(self) -> str:
        return os.path.join(self.prefix, "lib", "holdfast")

    @property
    def home(self) -> str:
        return os.path.join(self.root, self.version)

    @property
    def current(self) -> str:
        return os.path.join(self.root, "current")

    @property
    def command(self) -> str:
        return os.path.join(self.prefix, "bin", "holdfast")

    @property
    def launcher(self) -> str:
        return os.path.join(self.home, "bin", "holdfast")

    @property
    def start(self) -> str:
        return os.path.join(self.home, "start.py")

    @property
    def engine(self) -> str:
        return os.path.join(self.home, "engine")

    @property
    def venv(self) -> str:
        return os.path.join(self.home, "venv")

    @property
    def venv_python(self) -> str:
        return os.path.join(self.venv, "bin", "python")

    @property
    def stamp(self) -> str:
        return os.path.join(self.venv, STAMP)

    def installed_version(self) -> str:
        """The version that is in use, or an empty string."""
        return os.path.basename(os.readlink(self.current)) if os.path.islink(self.current) else ""

    def versions(self) -> list[str]:
        """All versions that are here, the one that was installed last first."""
        names = os.listdir(self.root) if os.path.isdir(self.root) else []
        homes = [os.path.join(self.root, name) for name in names if name != os.path.basename(self.current)]
        homes = [home for home in homes if os.path.isdir(os.path.join(home, "engine"))]
        return [os.path.basename(home) for home in sorted(homes, key=os.path.getmtime, reverse=True)]


def payload() -> dict[str, bytes]:
    """The engine's sources by their path below the package: out of the module's archive, or from the folder."""
    archive = getattr(_engine.__loader__, "archive", None)
    if archive:
        start = _engine.__name__.replace(".", "/") + "/"
        with zipfile.ZipFile(archive) as file:
            names = [name for name in file.namelist() if name.startswith(start) and name.endswith(".py")]
            return {name[len(start) :]: file.read(name) for name in names}
    return read_sources(os.path.dirname(str(_engine.__file__)))


def read_sources(package: str) -> dict[str, bytes]:
    """The sources in a package's folder by their path below it; none when the folder is missing."""
    sources = {}
    for folder, _folders, names in os.walk(package):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, "rb") as file:
                    sources[os.path.relpath(path, package)] = file.read()
    return sources


def write_sources(package: str, wanted: dict[str, bytes]) -> None:
    """Make the package consist of these sources: each replaced whole, those it no longer has removed."""
    present = read_sources(package)
    for name, data in wanted.items():
        if present.get(name) != data:
            write_file(os.path.join(package, name), data, 0o644)
    for name in set(present) - set(wanted):
        os.unlink(os.path.join(package, name))


def texts(places: Places, python: Interpreter, spool_path: str = SPOOL_PATH) -> dict[str, tuple[bytes, int]]:
    """The files beside the package, by path: content and mode. spool_path: where the launcher keeps what it knows."""
    # Isolated (-I) from the caller's environment and without the site module (-S): this runs for WAL segments. UTF-8
    # (-X utf8) whatever the locale: PostgreSQL, cron and a service start it with C, and names of files have to survive.
    launcher = render_launcher([python.path, "-I", "-S", "-X", "utf8", places.start], spool_path)
    path = [places.engine, *python.site_paths]
    start = START.format(path=path, launcher=places.command, package=PACKAGE)
    return {places.launcher: (launcher.encode(), 0o755), places.start: (start.encode(), 0o644)}


def holds(path: str, data: bytes, mode: int) -> bool:
    """Whether a regular file has exactly this content and these permissions."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        return file.read() == data and os.stat(path).st_mode & 0o7777 == mode


def is_compiled(package: str, python: Interpreter) -> bool:
    """Whether every source has bytecode which this interpreter takes without a look at the source's text."""
    for name in read_sources(package):
        folder, base = os.path.split(os.path.join(package, name))
        source = os.stat(os.path.join(folder, base))
        stamp = (int(source.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little") + source.st_size.to_bytes(4, "little")
        try:
            with open(os.path.join(folder, "__pycache__", f"{base[:-3]}.{python.tag}.pyc"), "rb") as file:
                head = file.read(16)
        except FileNotFoundError:
            return False
        if head != bytes.fromhex(python.magic) + bytes(4) + stamp:
            return False
    return True


def points_to(link: str, target: str) -> bool:
    return os.path.islink(link) and os.readlink(link) == target


def write_file(path: str, data: bytes, mode: int) -> None:
    """Put a file in place in one step, whatever the umask; missing folders are made and readable by everybody."""
    make_folder(os.path.dirname(path))
    new = path + ".new"
    with open(new, "wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)
    os.replace(new, path)


def write_link(link: str, target: str) -> None:
    """Make or turn a link in one step."""
    make_folder(os.path.dirname(link))
    new = link + ".new"
    if os.path.lexists(new):
        os.unlink(new)
    os.symlink(target, new)
    os.replace(new, link)


def make_folder(path: str) -> None:
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)


def remove(path: str) -> None:
    """Remove a link, a file or a whole folder; already gone counts as done."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
