# SPDX-License-Identifier: Apache-2.0
"""The last reports stay on this machine for its owner, as they were sent: `telemctl crash show` finds them here when
the server has them already.

For looking at, nothing depends on them: what goes wrong is nobody's affair, and nothing is synced. Never in here:
anything of a crash that wasn't sent. telemd/ctl/lastcrashes.py reads what this writes.
"""

from __future__ import annotations

import fcntl
import posix
from time import sleep, time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = tuple([f"crash-last-{at}" for at in range(8)])
"""Of the oldest the place is given away."""
NEW_NAME = "crash-last-new"
"""Its lock is held by whoever writes; one that a killed handler left is written anew."""
LOOKS_MAX = 50
LOOK_S = 0.002

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC
_NEW = posix.O_WRONLY | posix.O_CREAT | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC


def keep(record: bytes, folder: str, has_consent: Callable[[], bool]) -> None:
    """Keep `record` (format 5, at most 65 KiB with the payload of a report) in `folder`, which has to be this user's
    own. In vain where that can't be done, or the owner has opted out meanwhile: `has_consent` is asked last."""
    try:
        place = posix.open(folder, _DIRECTORY)
    except (OSError, ValueError):
        return
    try:
        if posix.fstat(place).st_uid == posix.geteuid():
            _keep(record, place, has_consent)
    except OSError:
        pass  # a full disk, most likely
    finally:
        posix.close(place)


def _keep(record: bytes, place: int, has_consent: Callable[[], bool]) -> None:
    """OSError."""
    fd = _new(place)
    try:
        posix.ftruncate(fd, 0)  # of a regular file alone
        rest = memoryview(record)
        while rest:
            rest = rest[posix.write(fd, rest) :]
        if not has_consent():  # opt-out takes consent away first, and deletes then
            raise PermissionError
        now_ns = time() * 1e9
        oldest = min(NAMES, key=lambda name: _written_ns(name, place, now_ns))
        posix.rename(NEW_NAME, oldest, src_dir_fd=place, dst_dir_fd=place)
    except OSError:
        posix.unlink(NEW_NAME, dir_fd=place)
        raise
    finally:
        posix.close(fd)


def _new(place: int) -> int:
    """The file to write to, nobody else's until it is closed. OSError where it isn't to be had soon."""
    for _ in range(LOOKS_MAX):
        fd = posix.open(NEW_NAME, _NEW, 0o600, dir_fd=place)
        if _is_free(fd, place):
            return fd
        posix.close(fd)
        sleep(LOOK_S)
    raise BlockingIOError


def _is_free(fd: int, place: int) -> bool:
    """And still of that name: whoever had the lock before has given it another one."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return posix.fstat(fd).st_ino == posix.stat(NEW_NAME, dir_fd=place, follow_symlinks=False).st_ino
    except OSError:
        return False


def _written_ns(name: str, place: int, now_ns: float) -> float:
    """What is of the future is of before the clock was set back."""
    try:
        written_ns = posix.stat(name, dir_fd=place, follow_symlinks=False).st_mtime_ns
    except FileNotFoundError:
        return -1
    return written_ns if written_ns <= now_ns else 0
