# SPDX-License-Identifier: Apache-2.0
"""The spool's directory: every call that touches it, and nothing that knows what the bytes mean.

This is the seam for a disk that fails on purpose. Errors are OSError, as the kernel gave them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time

from telemd.faultpoint import reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.intake import Share


class SpoolDirectoryError(Exception):
    """The directory can't be used; the text says why and what to do."""


class Disk:
    """One spool directory, held under an exclusive lock until close()."""

    __slots__ = ("_directory", "_lock", "path")

    def __init__(self, path: str) -> None:
        """Open or create (0700) the directory; SpoolDirectoryError where it isn't ours alone."""
        self.path = path
        try:
            os.makedirs(path, 0o700, exist_ok=True)
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EEXIST):
                raise SpoolDirectoryError(
                    f"spool_dir {path} is a symbolic link or not a directory: name a directory that is owned by telemd"
                ) from error
            raise SpoolDirectoryError(
                f"spool_dir {path} can't be opened ({error.strerror}): create it for the user that telemd runs as"
            ) from error
        status = os.fstat(self._directory)
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            os.close(self._directory)
            raise SpoolDirectoryError(
                f"spool_dir {path} is another user's, or may be written by others: "
                "chown it to telemd's user and chmod it to 0700"
            )
        try:
            self._lock = os.open(
                "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=self._directory
            )
        except OSError as error:
            os.close(self._directory)
            raise SpoolDirectoryError(
                f"spool_dir {path} can't be written ({error.strerror}): telemd's user must be able to"
                " create files there"
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            os.close(self._directory)
            raise SpoolDirectoryError(
                f"another telemd uses spool_dir {path}: stop it (`telemctl stop`, with its -f FILE if it has one), or"
                " give this one a state_root of its own"
            ) from error

    def close(self) -> None:
        """Let go of the lock."""
        os.close(self._lock)
        os.close(self._directory)

    def capacity_bytes(self) -> int:
        """Of the file system, used or not; a quota doesn't show in it. One that doesn't tell counts as endless."""
        found = os.fstatvfs(self._directory)
        return found.f_blocks * found.f_frsize or 1 << 62

    def names(self) -> list[str]:
        """Every name in the directory."""
        return os.listdir(self._directory)

    def create(self, name: str, size: int) -> int:
        """A new file with size bytes set aside for it; its descriptor."""
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=self._directory)
        try:
            os.posix_fallocate(fd, 0, size)
        except OSError:
            os.close(fd)
            self.unlink(name)
            raise
        return fd

    def rename_open(self, old: str, new: str) -> int:
        """An existing file under another name; its descriptor."""
        fd = self.open(old)
        try:
            os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except OSError:
            os.close(fd)
            raise
        return fd

    def recycle(self, name: str, new: str, size: int) -> None:
        """An existing file of at most size bytes gets that size and another name; what was in it can still be read."""
        fd = self.open(name)
        try:
            os.posix_fallocate(fd, 0, size)
            os.rename(name, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        finally:
            os.close(fd)

    def open(self, name: str) -> int:
        """An existing regular file, for reading and writing."""
        fd = os.open(name, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self._directory)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "not a regular file", name)
        return fd

    def is_deleted(self, fd: int | None = None) -> bool:
        """An open file, or the directory itself, has no name any more."""
        return os.fstat(self._directory if fd is None else fd).st_nlink == 0

    def in_place(self) -> bool:
        """The path still leads to the directory that was opened, and to no other."""
        try:
            there, held = os.stat(self.path, follow_symlinks=False), os.fstat(self._directory)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (held.st_dev, held.st_ino)

    def close_file(self, fd: int) -> None:
        """Forget a descriptor."""
        os.close(fd)

    def length(self, fd: int) -> int:
        """Bytes of the file."""
        return os.fstat(fd).st_size

    def length_of(self, name: str) -> int:
        """Bytes of a regular file by name; 0 where there is none."""
        try:
            status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        except FileNotFoundError:
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) else 0

    def folder_bytes(self, name: str) -> int:
        """Bytes of the regular files in a folder below; 0 where there is none."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return 0
        try:
            with os.scandir(fd) as entries:
                return sum(
                    each.stat(follow_symlinks=False).st_size for each in entries if each.is_file(follow_symlinks=False)
                )
        finally:
            os.close(fd)

    def read(self, fd: int, offset: int, count: int) -> bytes:
        """Up to count bytes; less only at the end of the file."""
        data = os.pread(fd, count, offset)
        while len(data) < count:
            more = os.pread(fd, count - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write(self, fd: int, data: bytes, offset: int) -> None:
        """All of data."""
        done = 0
        while done < len(data):
            done += os.pwrite(fd, data[done:], offset + done)

    def write_share(self, fd: int, share: Share, offset: int) -> int:
        """Frames straight from memory, and their sync; the microseconds that the sync took."""
        share.write(fd, offset)
        reached("frames-written")
        begun_ns = time.monotonic_ns()
        self.sync(fd)
        took_us = (time.monotonic_ns() - begun_ns) // 1000
        reached("frames-synced")
        return took_us

    def sync(self, fd: int) -> None:
        """fdatasync. FileNotFoundError where the file was deleted: nobody would find again what is in it."""
        os.fdatasync(fd)
        if self.is_deleted(fd):
            raise FileNotFoundError(errno.ENOENT, "a file of the spool was deleted by somebody")

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file."""
        os.ftruncate(fd, size)

    def unlink(self, name: str) -> None:
        """Remove a name."""
        os.unlink(name, dir_fd=self._directory)

    def sync_directory(self) -> None:
        """Names created and removed so far become durable."""
        os.fsync(self._directory)

    def quarantine(self, name: str, data: bytes, files_max: int) -> bool:
        """Keep damaged bytes for a look in quarantine/; False where there are files_max already."""
        if not self._quarantine_has_room(files_max):
            return False
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open("quarantine/" + name, flags, 0o600, dir_fd=self._directory)
        try:
            self.write(fd, data, 0)
        finally:
            os.close(fd)
        return True

    def _quarantine_has_room(self, files_max: int) -> bool:
        with contextlib.suppress(FileExistsError):
            os.mkdir("quarantine", 0o700, dir_fd=self._directory)
        fd = os.open("quarantine", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            return len(os.listdir(fd)) < files_max
        finally:
            os.close(fd)
