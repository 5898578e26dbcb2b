# SPDX-License-Identifier: Apache-2.0
"""A directory in which others have left files for telemd: what is there, read with suspicion, and taken away.

Every name, kind, owner, link and size is looked at before a byte is read, and nothing is followed. What the bytes mean,
and what becomes of them, is the caller's affair.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from itertools import islice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import TracebackType
    from typing import Final

    from typing_extensions import Self

    Place = tuple[int, str]
    """A file's modification time in nanoseconds, and its name: the order in which files are taken."""

LINK: Final = "it is a symbolic link"
"""Why a file is unfit that may not even be opened."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_SHOWN: Final = 64


class File:
    """A whole file that may be trusted to be what its owner wrote."""

    __slots__ = ("data", "uid")

    def __init__(self, data: bytes, uid: int) -> None:
        self.data = data
        self.uid = uid


class Unfit:
    """Not a file that may be taken, and why: the rest of a sentence. begin: its first bytes, or where a link points to.
    stays: it isn't telemd's to take away."""

    __slots__ = ("begin", "stays", "why")

    def __init__(self, why: str, begin: bytes = b"", *, stays: bool = False) -> None:
        self.why = why
        self.begin = begin
        self.stays = stays


def complaint(status: os.stat_result, owners: Collection[int], bytes_max: int) -> str:
    """What speaks against a regular file, as the rest of a sentence; "" for nothing."""
    if status.st_nlink != 1:
        return "it has another name elsewhere"
    if status.st_uid not in owners:
        return f"its owner is user {status.st_uid}"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write it"
    if status.st_size > bytes_max:
        return f"it has {status.st_size} bytes, and {bytes_max} are allowed"
    return ""


def shown(name: str) -> str:
    """A file's name for the log: short, and nothing in it that a terminal obeys."""
    plain = "".join(each if each.isascii() and each.isprintable() else "?" for each in name[:_SHOWN])
    return plain + "..." if len(name) > _SHOWN else plain


class Folder:
    """An open directory. OSError where it can't be opened, or is a symbolic link."""

    __slots__ = ("_fd",)

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, _DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def status(self) -> os.stat_result:
        """Of the directory."""
        return os.fstat(self._fd)

    def entries(self, entries_max: int | None = None) -> Iterator[tuple[str, os.stat_result]]:
        """Names with what they are, in no order, at most so many; links are not followed."""
        with os.scandir(self._fd) as found:
            for each in islice(found, entries_max):
                with contextlib.suppress(FileNotFoundError):
                    yield each.name, os.stat(each.name, dir_fd=self._fd, follow_symlinks=False)

    def read(self, name: str, owners: Collection[int], bytes_max: int, begin_bytes: int) -> File | Unfit | None:
        """A file of one of these owners; None where there is none. Of an unfit one so many bytes are read; where that
        can't be done it stays."""
        try:
            mode = os.stat(name, dir_fd=self._fd, follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                return Unfit(LINK, os.fsencode(os.readlink(name, dir_fd=self._fd)))
            if not stat.S_ISREG(mode):
                return Unfit("it is not a regular file")
            fd = os.open(name, _FILE, dir_fd=self._fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Unfit(f"it can't be opened ({error.strerror})", stays=True)
        try:
            return _read(fd, owners, bytes_max, begin_bytes)
        except OSError as error:
            return Unfit(f"it can't be read ({error.strerror})", stays=True)
        finally:
            os.close(fd)

    def unlink(self, name: str) -> None:
        """Remove a name. OSError, but not where it is gone already."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._fd)


def _read(fd: int, owners: Collection[int], bytes_max: int, begin_bytes: int) -> File | Unfit:
    status = os.fstat(fd)
    if not stat.S_ISREG(status.st_mode):
        return Unfit("it is not a regular file")
    why = complaint(status, owners, bytes_max)
    if why:
        return Unfit(why, os.pread(fd, begin_bytes, 0))
    data = b""
    while len(data) <= status.st_size and (more := os.pread(fd, status.st_size + 1 - len(data), len(data))):
        data += more
    if len(data) != status.st_size:
        return Unfit("it changed while it was read", data[:begin_bytes])
    return File(data, status.st_uid)


def opened(path: str) -> Folder:
    """A directory that nobody but telemd and root may write, made (0700) where there is none. OSError for any other."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    folder = Folder(path)
    status = folder.status()
    if status.st_uid in (0, os.geteuid()) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return folder
    folder.__exit__(None, None, None)
    raise PermissionError(errno.EPERM, "others may write it", path)
