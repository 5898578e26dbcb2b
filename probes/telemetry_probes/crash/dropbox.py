# SPDX-License-Identifier: Apache-2.0
"""A record is left in the drop directory, where telemd finds it when it comes (docs/protocol.md, section 8).

For a report that can't wait: nobody would make it again. Nothing that somebody else put there is followed or changed.
"""

from __future__ import annotations

import posix

FILES_MAX = 64
BYTES_MAX = 512 * 1024

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_EXCL | posix.O_NOFOLLOW | posix.O_CLOEXEC


def leave(record: bytes, name: str, folder: str) -> str:
    """Make `record` (format 5) durable in `folder`, as `name`.rec. Empty, or why it isn't: the rest of a sentence."""
    try:
        place = _opened(folder)
    except OSError as error:
        return f"{folder} can't be used: {error.strerror}"
    try:
        return _left(record, name, folder, place)
    except OSError as error:
        return f"nothing can be written to {folder}: {error.strerror}"
    finally:
        posix.close(place)


def _left(record: bytes, name: str, folder: str, place: int) -> str:
    """OSError."""
    if posix.fstat(place).st_uid not in (0, posix.geteuid()):
        return f"{folder} belongs to somebody else"
    files, size = 0, len(record)
    for each in posix.listdir(place):
        files += 1
        if files >= FILES_MAX:
            break
        try:
            size += posix.stat(each, dir_fd=place, follow_symlinks=False).st_size
        except FileNotFoundError:
            files -= 1  # telemd just took it
    if files >= FILES_MAX or size > BYTES_MAX:
        return f"{folder} is full: start telemd with `telemctl start`, it empties it"
    unfinished, finished = f".{name}", f"{name}.rec"
    fd = posix.open(unfinished, _NEW, 0o600, dir_fd=place)
    try:
        try:
            rest = memoryview(record)
            while rest:
                rest = rest[posix.write(fd, rest) :]
            posix.fsync(fd)
        finally:
            posix.close(fd)
        posix.rename(unfinished, finished, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        posix.unlink(unfinished, dir_fd=place)
        raise
    posix.fsync(place)
    return ""


def _opened(folder: str) -> int:
    """OSError."""
    try:
        return posix.open(folder, _DIRECTORY)
    except FileNotFoundError:
        posix.mkdir(folder, 0o700)
        return posix.open(folder, _DIRECTORY)
