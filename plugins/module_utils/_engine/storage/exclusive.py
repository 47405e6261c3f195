# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a file for one process alone.

Only the kernel's lock counts, never that the file exists: it dies with its holder, however that ended.
"""

from __future__ import annotations

import errno
import os

# Network file systems without a lock service: nobody can hold a lock there, so nobody is in our way.
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def open_exclusive(path: str | bytes, mode: int, shared: bool = False) -> int | None:
    """A descriptor for reading and writing that has the file's flock, or None while another process has it.

    The file is created with mode (less the umask) when missing; its content is kept. OSError as open() raises it.
    shared: others that want it shared may have it, too.
    """
    import fcntl

    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                os.close(fd)
                raise
        if is_at(fd, path):
            return fd
        os.close(fd)  # its holder renamed or removed it between our open and our lock: we have locked nobody's file


def is_at(fd: int, path: str | bytes) -> bool:
    """Whether the open file is still the one that has this name."""
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), there)
