# SPDX-License-Identifier: Apache-2.0
"""Files of a system that is looked at, below any root: at most so many bytes of a regular file, and never an exception.

Who wrote them is not known: a FIFO, a device or a link in place of one is as if it weren't there.
"""

from __future__ import annotations

import posix

_SAFELY = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_S_IFMT, _S_IFREG = 0o170000, 0o100000
_SEEK_SET = 0
_PIECE = 1 << 16


def head(path: str, bytes_max: int) -> bytes:
    """The first bytes_max bytes; b"" where it can't be read."""
    return _read(path, bytes_max, False)[0]


def tail(path: str, bytes_max: int, unit: int = 1) -> tuple[bytes, bool]:
    """The last bytes, at most bytes_max, from a multiple of `unit` on; and whether that is all of it."""
    return _read(path, bytes_max, True, unit)


def names(path: str, most: int) -> list[str]:
    """What is in a directory, by name, at most so many; none where it can't be read."""
    try:
        return sorted(posix.listdir(path))[:most]
    except OSError:
        return []


def word(path: str) -> str:
    """A file of one line, as those in /proc and /sys are: what is in it, without blanks around it."""
    return head(path, 4096).decode("utf-8", "replace").strip()


def _read(path: str, bytes_max: int, from_end: bool, unit: int = 1) -> tuple[bytes, bool]:
    found = bytearray()
    try:
        fd = posix.open(path, _SAFELY)
    except (OSError, ValueError):
        return b"", False
    try:
        status = posix.fstat(fd)
        if status.st_mode & _S_IFMT != _S_IFREG:
            return b"", False
        start = 0
        if from_end and status.st_size > bytes_max:
            start = -(-(status.st_size - bytes_max) // unit) * unit
            posix.lseek(fd, start, _SEEK_SET)
        while len(found) < bytes_max:  # those in /proc have no size
            piece = posix.read(fd, min(_PIECE, bytes_max - len(found)))
            if not piece:
                break
            found += piece
        return bytes(found), start == 0
    except OSError:
        return bytes(found), False
    finally:
        posix.close(fd)
