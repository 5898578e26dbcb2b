# SPDX-License-Identifier: Apache-2.0
"""A spool's real directory on which calls fail when a test says so, that may be full, and that knows what was done.

For a spool without a daemon around it; what the spool ought to make of a failure is the tests' affair.
"""

from __future__ import annotations

import errno
import fnmatch
import os
from pathlib import Path
from typing import TYPE_CHECKING

from spooling import EXPIRY_US, on_disk

from telemd.disk import Disk
from telemd.spool import Spool

if TYPE_CHECKING:
    from telemd.intake import Share

FOLDER = "."
EIO = "(Input/output error)"


class Killed(BaseException):
    """The process ends here."""


class AilingDisk(Disk):
    """done: what succeeded and changed something, as "call name". capacity: bytes that all files may have. bytes_most:
    so many they had."""

    def __init__(self, directory: Path) -> None:
        super().__init__(str(directory))
        self.done: list[str] = []
        self.capacity = 1 << 40
        self.bytes_most = 0
        self._directory_path = directory
        self._names: dict[int, str] = {}
        self._ills: dict[tuple[str, str], tuple[int, int]] = {}
        self._ends_at = ("", "")
        self._ended = False

    def fail(self, call: str, name: str = "*", code: int = errno.EIO, times: int = 1 << 30) -> None:
        """That call fails for files of such a name, so many times."""
        self._ills[call, name] = (code, times)

    def heal(self) -> None:
        """Nothing fails any more."""
        self._ills.clear()

    def kill_at(self, call: str, name: str) -> None:
        """Killed comes of the next such call, and of all behind it."""
        self._ends_at = (call, name)

    def create(self, name: str, size: int) -> int:
        self._see_room_for(size)
        self._called("create", name)
        fd = super().create(name, size)
        self.bytes_most = max(self.bytes_most, on_disk(self._directory_path))
        return self._known(fd, name)

    def rename_open(self, old: str, new: str) -> int:
        self._called("rename", old)
        return self._known(super().rename_open(old, new), new)

    def recycle(self, name: str, new: str, size: int) -> None:
        self._see_room_for(size - self.length_of(name))
        self._called("recycle", name)
        super().recycle(name, new, size)
        self.bytes_most = max(self.bytes_most, on_disk(self._directory_path))

    def open(self, name: str) -> int:
        self._may_fail("open", name)
        return self._known(super().open(name), name)

    def length_of(self, name: str) -> int:
        self._may_fail("stat", name)
        return super().length_of(name)

    def write(self, fd: int, data: bytes, offset: int) -> None:
        if data:
            self._called("write", self._names[fd])
        super().write(fd, data, offset)

    def write_share(self, fd: int, share: Share, offset: int) -> int:
        self._called("append", self._names[fd])
        return super().write_share(fd, share, offset)

    def sync(self, fd: int) -> None:
        self._called("sync", self._names[fd])
        super().sync(fd)

    def truncate(self, fd: int, size: int) -> None:
        self._called("truncate", self._names[fd])
        super().truncate(fd, size)

    def unlink(self, name: str) -> None:
        self._called("unlink", name)
        super().unlink(name)

    def sync_directory(self) -> None:
        self._called("sync", FOLDER)
        super().sync_directory()

    def _known(self, fd: int, name: str) -> int:
        self._names[fd] = name
        return fd

    def _called(self, call: str, name: str) -> None:
        self._may_fail(call, name)
        self.done.append(f"{call} {name}")

    def _see_room_for(self, more: int) -> None:
        if on_disk(self._directory_path) + more > self.capacity:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _may_fail(self, call: str, name: str) -> None:
        if self._ended or (call == self._ends_at[0] and fnmatch.fnmatch(name, self._ends_at[1])):
            self._ended = True
            raise Killed
        for (ill, names), (code, times) in self._ills.items():
            if times and ill == call and fnmatch.fnmatch(name, names):
                self._ills[ill, names] = (code, times - 1)
                raise OSError(code, os.strerror(code), name)


def opened_on(disk: AilingDisk, cap_bytes: int = -1) -> Spool:
    """A spool on it."""
    return Spool(disk, cap_bytes, EXPIRY_US)


def open_files(directory: Path) -> list[str]:
    """What this process has open there."""
    found = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return [each.name for each in found if each.is_relative_to(directory)]
