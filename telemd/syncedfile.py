# SPDX-License-Identifier: Apache-2.0
"""Small files of the state directory that must be whole and on disk before anything goes on. Made or replaced in one
step, never through a link.

What they say is their owner's affair; what telemd can do without is statefile's.
"""

from __future__ import annotations

import os


def write_new(directory: int, name: str, data: bytes, mode: int) -> None:
    """A file that is synced when this returns, whose name may still be lost; one of that name is removed. OSError."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass  # the usual case: none was left behind by a kill
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(name, flags, mode, dir_fd=directory)
    try:
        os.fchmod(fd, mode)  # whatever the umask is
        done = 0
        while done < len(data):
            done += os.write(fd, data[done:])
        os.fsync(fd)
    finally:
        os.close(fd)


def replace(directory: int, name: str, data: bytes, mode: int) -> None:
    """The file says that, durably, or what it said before. OSError."""
    new = f"{name}.new"
    write_new(directory, new, data, mode)
    os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)


def replace_in(state_dir: str, name: str, data: bytes, mode: int) -> None:
    """As replace(), by the directory's path."""
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        replace(directory, name, data, mode)
    finally:
        os.close(directory)
