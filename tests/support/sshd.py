# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real sshd on a free port of loopback, for one user: the one who runs the tests' programs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import account
from .cluster import free_port

PROGRAM = "/usr/sbin/sshd"
WAIT = 20  # seconds until it listens, and until it has gone

CONFIGURATION = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {base}/host
PidFile none
AuthorizedKeysFile {base}/authorized
# The keys lie below a directory that everybody may write to.
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {user}
MaxStartups 100
Subsystem sftp {sftp}
LogLevel VERBOSE
{extra}
"""


class Sshd:
    """base: a directory of its own. Afterwards .port, .user, .key (the client's private key), .known_hosts and .log.

    sftp: what serves SFTP, for example "internal-sftp -P remove". extra: more lines of sshd_config.
    """

    host = "127.0.0.1"

    def __init__(self, base: Path, sftp: str = "internal-sftp", extra: str = "") -> None:
        self.base = account.make_directory(base)
        self.user = account.account().pw_name
        self.port = free_port()
        self.key, self.known_hosts, self.log = base / "client", base / "known_hosts", base / "log"
        for name in ("host", "client"):
            self._run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"test-{name}", "-f", base / name)
        account.write_file(base / "authorized", (base / "client.pub").read_bytes())
        kind, key, *_comment = (base / "host.pub").read_text().split()
        account.write_file(self.known_hosts, f"[{self.host}]:{self.port} {kind} {key}\n")
        text = CONFIGURATION.format(port=self.port, base=base, user=self.user, sftp=sftp, extra=extra)
        self.configuration = account.write_file(base / "sshd_config", text)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Sshd:
        self._run(PROGRAM, "-t", "-f", self.configuration)
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-D", "-e", "-f", self.configuration],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=account.environment(),
                start_new_session=True,
                **account.credentials(),
            )
        deadline = time.monotonic() + WAIT
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection((self.host, self.port), timeout=WAIT).close()
                return self
            except ConnectionRefusedError:
                time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"sshd did not start: {self.log.read_text(errors='replace')}")

    def stop(self) -> None:
        """Stop the server and the sessions that it started: they share its process group unless they left it."""
        if self._process is None:
            return
        try:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait(WAIT)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(WAIT)
        self._process = None

    def __enter__(self) -> Sshd:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()
        account.remove(self.base)

    @classmethod
    def is_here(cls) -> bool:
        return shutil.which(PROGRAM) is not None

    def _run(self, *argv: str | os.PathLike[str]) -> None:
        done = account.run(argv)
        if done.returncode != 0:
            raise RuntimeError(f"{argv[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
