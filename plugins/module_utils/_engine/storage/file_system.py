# Copyright (c) 2026, Holdfast contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making everything that was written to a file system durable at once.

One syncfs() instead of an fsync() a file: that is most of the difference on a hundred thousand small files. It can be
had when the kernel reports through it what could not be written (Linux 5.8 and later), and when the file system is
itself the one that writes: layered and user-space ones pass the request on without the answer.
"""

from __future__ import annotations

import os

_NO_ANSWER = (
    0x65735546,  # FUSE
    0x794C7630,  # overlayfs
    0x01021997,  # 9p
)


def sync_file_system(fd: int) -> bool:
    """Write out the file system that holds the open file; OSError when something could not be written.

    Errors since fd was opened are told, so it should be older than the writes. False: the answer cannot be relied on.
    """
    try:
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        syncfs, fstatfs = libc.syncfs, libc.fstatfs
    except (ImportError, OSError, AttributeError):
        return False
    if syncfs(fd) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    status = ctypes.create_string_buffer(512)  # struct statfs: 120 bytes or less, its first long is the type
    if fstatfs(fd, status) != 0:
        return False
    return _kernel() >= (5, 8) and ctypes.c_long.from_buffer(status).value not in _NO_ANSWER


def _kernel() -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    except ValueError:
        return (0, 0)
