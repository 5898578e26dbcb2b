# SPDX-License-Identifier: Apache-2.0
"""The files of pstore, and of the place where they are put to free it: listed, read, copied, removed. Names are the
firmware's word: what isn't a plain file of a name that pstore gives is left alone."""

from __future__ import annotations

import posix

from telemetry_probes import ownstate
from telemetry_probes.pstore import FILE_BYTES_MAX, FILES_MAX, backend_of

PSTORE = "/sys/fs/pstore"
COPIES_MAX = 128
COPIED_BYTES_MAX = 4 << 20
"""Of what is put aside, in all."""

_SAFELY = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_S_IFMT, _S_IFREG = 0o170000, 0o100000


class File:
    """One of them. `size` in bytes, `time_s` when it was last changed."""

    __slots__ = ("folder", "name", "size", "time_s")

    def __init__(self, folder: str, name: str, size: int, time_s: int) -> None:
        self.folder = folder
        self.name = name
        self.size = size
        self.time_s = time_s

    def content(self) -> bytes:
        """At most FILE_BYTES_MAX bytes. OSError."""
        fd = posix.open(f"{self.folder}/{self.name}", _SAFELY)
        try:
            if posix.fstat(fd).st_mode & _S_IFMT != _S_IFREG:
                raise OSError(22, "not a regular file", self.name)
            found = bytearray()
            while len(found) < FILE_BYTES_MAX:
                piece = posix.read(fd, min(1 << 16, FILE_BYTES_MAX - len(found)))
                if not piece:
                    break
                found += piece
            return bytes(found)
        finally:
            posix.close(fd)

    def remove(self) -> None:
        """For pstore: the firmware's room is free again. OSError."""
        posix.unlink(f"{self.folder}/{self.name}")


def listed(folder: str) -> list[File]:
    """Those of the kernel's log, by name; none where there is no such directory. OSError where it can't be read."""
    found: list[File] = []
    try:
        names = posix.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return found
    for name in sorted(names)[: FILES_MAX * 4]:
        if backend_of(name) is None or not name.isprintable() or len(found) >= FILES_MAX:
            continue
        try:
            status = posix.lstat(f"{folder}/{name}")
        except OSError:
            continue
        if status.st_mode & _S_IFMT == _S_IFREG:
            found.append(File(folder, name, status.st_size, int(status.st_mtime)))
    return found


def copy(one: File, into: str, name: str) -> None:
    """A copy of that name that is on disk when this returns, with the time of the original. OSError."""
    ownstate.keep(into, name, one.content(), one.time_s)
