# SPDX-License-Identifier: Apache-2.0
"""A file that a record names, read only where nobody but the machine's owner can have had a hand in it.

The path comes from any program, so it is walked from the root, one directory after the other: each of them and the file
must belong to one of a few users and be writable by nobody else, and no link is followed. What the file says is the
caller's affair.
"""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Final

DEPTH_MAX: Final = 32
"""Directories on the way."""

BYTES_MAX: Final = 64 * 1024
"""As of any configuration file."""

_DIRECTORY: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH  # an ACL that lets somebody write shows in the group's bits


class Distrusted:
    """The file isn't read, and why: the rest of a sentence, without the path."""

    __slots__ = ("why",)

    def __init__(self, why: str) -> None:
        self.why = why


def read(path: bytes, owners: Collection[int]) -> bytes | Distrusted:
    """The whole file. owners: users to whom it and its directories may belong."""
    first, *inner, name = path.split(b"/") if b"/" in path else (b"?", b"")
    if first or not name or len(inner) > DEPTH_MAX or not {b"", b".", b".."}.isdisjoint((*inner, name)):
        return Distrusted("its path isn't absolute and plain")
    try:
        directory = os.open("/", _DIRECTORY)
    except OSError as error:
        return Distrusted(f"it can't be opened ({error.strerror})")
    try:
        for part in inner:
            if why := _complaint(os.fstat(directory), owners, "a directory above it"):
                return Distrusted(why)
            deeper = os.open(part, _DIRECTORY, dir_fd=directory)
            os.close(directory)
            directory = deeper
        return _file(directory, name, owners)
    except NotADirectoryError:
        return Distrusted("what stands in its path is a link, or no directory")
    except OSError as error:
        return Distrusted(f"it can't be opened ({error.strerror})")
    finally:
        os.close(directory)


def _file(directory: int, name: bytes, owners: Collection[int]) -> bytes | Distrusted:
    if why := _complaint(os.fstat(directory), owners, "a directory above it"):
        return Distrusted(why)
    # Looked at before it is opened: a device may do something by that alone. Nobody else can exchange it meanwhile.
    if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
        return Distrusted("it is no regular file")
    fd = os.open(name, _FILE, dir_fd=directory)
    try:
        if why := _complaint(os.fstat(fd), owners, "it"):
            return Distrusted(why)
        data = b""
        while len(data) <= BYTES_MAX and (piece := os.read(fd, BYTES_MAX + 1 - len(data))):
            data += piece
    finally:
        os.close(fd)
    return data if len(data) <= BYTES_MAX else Distrusted(f"it is larger than {BYTES_MAX >> 10} KiB")


def _complaint(status: os.stat_result, owners: Collection[int], what: str) -> str:
    if status.st_uid not in owners:
        return f"{what} belongs to user {status.st_uid}"
    return f"{what} may be written by others" if status.st_mode & _OTHERS_WRITE else ""
