# SPDX-License-Identifier: Apache-2.0
"""What telemd has stored on this machine: how much it is, and deleting it at the owner's word.

Touches files with the names telemd gives, and all in its own drop/ and quarantine/; nothing else. Never follows a
symbolic link, and never deletes beneath a telemd that runs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat

from telemd import journalfile, unfinished
from telemd.ctl import lastcrashes
from telemd.ctl.call import Result
from telemd.ctl.words import size, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from telemd.config import Settings

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LEDGER: Final = "ledger"
_SPOOL_FILE: Final = re.compile(r"ledger|spare|(vital|event|metric)-[0-9a-f]{16}\.seg")
_RECORD_FILE: Final = re.compile(r"[0-9a-f]{32}")
_LOCK: Final = "lock"
_CRASH_LOOPS: Final = "crash-loops"
_KERNEL: Final = "-kernel"
_JOURNAL: Final = "-journal"
"""Behind state_dir: systemd's StateDirectory= of those units."""


class _Area:
    """A directory, and which of its files are telemd's. whole: the directory is too, and goes once it is empty."""

    __slots__ = ("is_ours", "path", "whole")

    def __init__(self, path: str, is_ours: Callable[[str], object], *, whole: bool) -> None:
        self.path = path
        self.is_ours = is_ours
        self.whole = whole


def _areas(settings: Settings) -> list[_Area]:
    """The spool's last, so that after a failure the next run finds the ledger again."""
    areas = [
        _Area(settings.records_dir, _RECORD_FILE.fullmatch, whole=True),
        _Area(settings.log_dir, lambda name: name in (journalfile.NAME, journalfile.NEW_NAME), whole=False),
    ]
    # The crash reports that were sent last. The directory may be a link: it lies where root alone can put one.
    last = (*lastcrashes.NAMES, lastcrashes.NEW_NAME)
    areas.append(_Area(os.path.realpath(settings.state_dir), lambda name: name in last, whole=False))
    # What the kernel's probes keep: a secret, how far they have read, dumps that were put aside.
    kernel = f"{settings.state_dir}{_KERNEL}"
    areas += [_Area(f"{kernel}/pstore", lambda name: True, whole=True), _Area(kernel, lambda name: True, whole=True)]
    # What journalprobe keeps: a secret, how far it has read.
    areas.append(_Area(f"{settings.state_dir}{_JOURNAL}", lambda name: True, whole=True))
    # Without a ledger it is no spool of telemd's, whatever spool_dir says, and these two names are nobody's.
    if os.path.isfile(f"{settings.spool_dir}/{_LEDGER}"):
        areas.append(_Area(settings.drop_dir, lambda name: True, whole=True))
        areas.append(_Area(f"{settings.spool_dir}/quarantine", lambda name: True, whole=True))
    areas.append(_spool(settings))
    return areas


def _spool(settings: Settings) -> _Area:
    return _Area(settings.spool_dir, _SPOOL_FILE.fullmatch, whole=False)


def _files(directory: int, area: _Area) -> list[tuple[str, int]]:
    """Names and sizes of the regular files that are telemd's."""
    found = []
    for name in sorted(os.listdir(directory)):
        if area.is_ours(name):
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=directory, follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    found.append((name, status.st_size))
    return found


def _opened(path: str) -> int | None:
    """None where there is no such directory. OSError: a symbolic link in its place, or no right to look."""
    try:
        return os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return None


def stored_bytes(settings: Settings) -> tuple[int, int]:
    """How many files telemd has stored, and their bytes; what can't be looked at counts as nothing."""
    count = total = 0
    for area in _areas(settings):
        with contextlib.suppress(OSError):
            directory = _opened(area.path)
            if directory is not None:
                try:
                    sizes = [each for _, each in _files(directory, area)]
                finally:
                    os.close(directory)
                count += len(sizes)
                total += sum(sizes)
    return count, total


def spool_bytes(settings: Settings) -> int | None:
    """Bytes of the spool directory's own files; None where they can't be looked at."""
    try:
        directory = _opened(settings.spool_dir)
        if directory is None:
            return 0
        try:
            return sum(each for _, each in _files(directory, _spool(settings)))
        finally:
            os.close(directory)
    except OSError:
        return None


def delete(settings: Settings) -> Result:
    """Everything stored; nothing where a telemd still holds the spool."""
    count = total = 0
    try:
        with contextlib.ExitStack() as at_end:
            if not _locked(settings.spool_dir, at_end):
                return Result(False, "telemd still runs and holds the spool: stop it, then run this again")
            for area in _areas(settings):
                files, size_ = _delete_area(area)
                count += files
                total += size_
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{settings.spool_dir}/{_LOCK}")
            for name in (unfinished.NAME, _CRASH_LOOPS):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{settings.state_dir}/{name}")
    except OSError as error:
        path = f" {error.filename}" if isinstance(error.filename, str) else ""
        reason = "it is a symbolic link" if error.errno in (errno.ELOOP, errno.ENOTDIR) else error.strerror
        return Result(False, f"not everything could be deleted:{path}: {reason}; put that right and run this again")
    if count == 0:
        return Result(True, "nothing was stored")
    return Result(True, f"{some(count, 'file')} with stored records were deleted ({size(total)})")


def _locked(spool_dir: str, at_end: contextlib.ExitStack) -> bool:
    """No telemd has the spool, and none can take it until at_end."""
    directory = _opened(spool_dir)
    if directory is None:
        return True
    at_end.callback(os.close, directory)
    try:
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return True
    at_end.callback(os.close, lock)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _delete_area(area: _Area) -> tuple[int, int]:
    directory = _opened(area.path)
    if directory is None:
        return 0, 0
    try:
        files = _files(directory, area)
        for name, _ in reversed(files):  # crash-last-new first: it can't take the place of one that is gone then
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
        os.fsync(directory)
    finally:
        os.close(directory)
    if area.whole:
        with contextlib.suppress(OSError):  # something of somebody else's is in it: it stays
            os.rmdir(area.path)
    return len(files), sum(each for _, each in files)
