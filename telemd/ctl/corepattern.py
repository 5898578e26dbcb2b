# SPDX-License-Identifier: Apache-2.0
"""kernel.core_pattern: whose it is, how it is taken for crashprobe, and how it is given back as it was.

It belongs to the whole machine, and the kernel starts what it names as root: only a program that nobody but root can
change is put there. Whether it ought to be taken is the verbs' affair.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import sys

from telemd.ctl.call import Result
from telemd.ctl.words import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings

PROGRAM: Final = "crashprobe"
GATE: Final = "libexec/crashgate"
"""Below the prefix: ends what crashes too often before crashprobe is started. A wheel hasn't got it."""

LETTERS: Final = "%P %p %I %s %u %d %c %F %e %E"
"""What crashprobe is told behind -k, see core(5)."""

ALONE: Final = "-k"
CHAINED: Final = "-K"
"""crashprobe goes on with the handler that was there before."""

PATTERN_BYTES_MAX: Final = 127
"""CORENAME_MAX_SIZE without the NUL; the kernel cuts what is longer, in silence."""

HANDLERS_MAX: Final = 16
"""kernel.core_pipe_limit: with 0 the kernel lets go of the process at once; of one that crashes above the limit nothing
is kept but a line in the kernel's log."""

KERNEL_FOLDER: Final = "/proc/sys/kernel"
BOOT_FILE: Final = "/etc/sysctl.d/60-telemetrics-crash.conf"
"""Comes after systemd's 50-coredump.conf."""

BEFORE_NAME: Final = "core_pattern.before"
"""In the owner's folder: what stood there before, and the limit, a line each. crashprobe -K goes on with it."""

_LINE_BYTES_MAX: Final = 4096


class Found:
    """How it is. limit: core_pipe_limit, -1 where it can't be read. before: what disable will put back, "" for
    unknown. at_boot: the file for the next boot says the same."""

    __slots__ = ("at_boot", "before", "limit", "pattern")

    def __init__(self, pattern: str, limit: int, before: str, at_boot: bool) -> None:
        self.pattern = pattern
        self.limit = limit
        self.before = before
        self.at_boot = at_boot

    @property
    def ours(self) -> bool:
        """crashprobe has it."""
        return is_ours(self.pattern)

    @property
    def chained(self) -> bool:
        """And hands on to who had it before."""
        return self.pattern.startswith("|/") and self.pattern.endswith(f" {CHAINED} {LETTERS}")

    @property
    def owner(self) -> str:
        """Another program that has it; "" where none does."""
        if self.ours or not self.pattern.startswith(("|", "@")):
            return ""
        return plain(self.pattern[1:].split(" ", 1)[0])


def is_ours(pattern: str) -> bool:
    """It starts crashprobe as wanted() writes it."""
    return pattern.startswith("|/") and pattern.endswith((f" {ALONE} {LETTERS}", f" {CHAINED} {LETTERS}"))


def look(settings: Settings, kernel: str = KERNEL_FOLDER) -> Found | Result:
    """How it is now; Result says why that can't be told."""
    try:
        pattern = _line(f"{kernel}/core_pattern")
    except OSError as error:
        return Result(False, f"{kernel}/core_pattern can't be read ({error.strerror}): is /proc mounted?")
    limit = -1
    with contextlib.suppress(OSError, ValueError):
        limit = int(_line(f"{kernel}/core_pipe_limit"))
    before = _before(settings)
    at_boot = False
    with contextlib.suppress(OSError), open(boot_path(settings), encoding="utf-8", errors="replace") as file:
        at_boot = f"kernel.core_pattern={pattern}" in file.read(_LINE_BYTES_MAX).splitlines()
    return Found(pattern, limit, before[0] if before else "", at_boot)


def gate() -> str | None:
    """What the kernel is to start: crashgate of telemctl's own installation, else crashprobe itself."""
    own = os.path.abspath(shutil.which(sys.argv[0]) or sys.argv[0])
    path = os.path.join(os.path.dirname(os.path.dirname(own)), GATE)
    return path if os.access(path, os.X_OK) else program()


def program() -> str | None:
    """crashprobe beside telemctl itself, else on the search path."""
    own = shutil.which(sys.argv[0]) or sys.argv[0]
    beside = os.path.join(os.path.dirname(os.path.abspath(own)), PROGRAM)
    return beside if os.access(beside, os.X_OK) else shutil.which(PROGRAM)


def wanted(path: str, config_file: str | None, *, chain: bool) -> str | Result:
    """The pattern that starts that program; Result says why there can be none."""
    words = [f"|{path}"]
    if config_file is not None:
        words += ["-f", config_file]
    if any(" " in word or "%" in word or not word.isprintable() for word in words):
        return Result(False, "a path with a blank or % in it can't stand in core_pattern: name another one")
    pattern = " ".join([*words, CHAINED if chain else ALONE, LETTERS])
    size = len(os.fsencode(pattern))
    if size > PATTERN_BYTES_MAX:
        return Result(
            False,
            f"core_pattern would have {size} bytes, and the kernel takes {PATTERN_BYTES_MAX}: make a shorter link to "
            f"{path} in a directory of root's, and name it with --program",
        )
    return pattern


def distrust(path: str, *, starts: bool = True) -> str:
    """Why root must not start this program (or read this file) for every crash: somebody else could change it. "" where
    nobody can."""
    real = os.path.realpath(path)
    for each in (path, real):
        part = each
        while True:
            try:
                status = os.lstat(part)
            except OSError as error:
                return f"{part} can't be looked at ({error.strerror})"
            if status.st_uid != 0:
                return f"{part} belongs to user {status.st_uid}, not to root"
            sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
            if not stat.S_ISLNK(status.st_mode) and status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not sticky:
                return f"{part} may be written by others than root"
            if part == "/":
                break
            part = os.path.dirname(part)
    if not os.path.isfile(real):
        return f"{path} is no file"
    return f"{path} is no program" if starts and not os.access(real, os.X_OK) else ""


def take(settings: Settings, pattern: str, found: Found, kernel: str = KERNEL_FOLDER) -> Result:
    """From now on, and at every boot. What stood there is noted first, so that it can be put back whatever happens."""
    try:
        if not found.ours:
            _write_file(_before_path(settings), f"{found.pattern}\n{max(0, found.limit)}\n")
        _write_file(
            boot_path(settings),
            "# Made by `telemctl crash enable`; `telemctl crash disable` removes it.\n"
            f"kernel.core_pattern={pattern}\nkernel.core_pipe_limit={max(HANDLERS_MAX, found.limit)}\n",
        )
        if found.limit < HANDLERS_MAX:
            _write_kernel(f"{kernel}/core_pipe_limit", str(HANDLERS_MAX))
        _write_kernel(f"{kernel}/core_pattern", pattern)
        if _line(f"{kernel}/core_pattern") != pattern:
            raise OSError(errno.EINVAL, "the kernel took something else")
    except OSError as error:
        _undo(settings, found, kernel)
        return Result(False, f"core_pattern can't be set ({error.strerror}): {_remedy(error)}")
    return Result(True, f"crashes are looked at from now on, and after each boot ({boot_path(settings)})")


def give_back(settings: Settings, kernel: str = KERNEL_FOLDER) -> Result:
    """As it was before; where somebody else has it by now, it stays with him. Good, too, where it never was taken."""
    found = look(settings, kernel)
    if isinstance(found, Result):
        return found
    before = _before(settings)
    try:
        if found.ours:
            pattern, limit = before or ("core", -1)
            _write_kernel(f"{kernel}/core_pattern", pattern)
            if limit >= 0:
                _write_kernel(f"{kernel}/core_pipe_limit", str(limit))
        for path in (boot_path(settings), _before_path(settings)):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                os.unlink(path)
    except OSError as error:
        return Result(False, f"core_pattern can't be given back ({error.strerror}): {_remedy(error)}")
    if not found.ours:
        return Result(True, "crashes are not looked at")
    return Result(True, f"crashes are no longer looked at; core_pattern is {plain(pattern)!r} again")


def is_taken(settings: Settings) -> bool:
    """There is something to be given back: one stat."""
    return any(os.path.lexists(path) for path in (boot_path(settings), _before_path(settings)))


def boot_path(settings: Settings) -> str:
    """What sets it at every boot (sysctl.d(5))."""
    return f"{settings.state_root}{BOOT_FILE}"


def _before_path(settings: Settings) -> str:
    return f"{settings.owners_folder}/{BEFORE_NAME}"


def _before(settings: Settings) -> tuple[str, int] | None:
    try:
        fd = os.open(_before_path(settings), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            pattern, limit = file.read(_LINE_BYTES_MAX).decode("utf-8", "surrogateescape").split("\n")[:2]
        return pattern, int(limit)
    except (OSError, ValueError):
        return None


def _undo(settings: Settings, found: Found, kernel: str) -> None:
    """What can be undone after a failure."""
    with contextlib.suppress(OSError):
        if _line(f"{kernel}/core_pattern") != found.pattern:
            _write_kernel(f"{kernel}/core_pattern", found.pattern)
    with contextlib.suppress(OSError):
        if 0 <= found.limit < HANDLERS_MAX:
            _write_kernel(f"{kernel}/core_pipe_limit", str(found.limit))
    if not found.ours:
        for path in (boot_path(settings), _before_path(settings)):
            with contextlib.suppress(OSError):
                os.unlink(path)


def _remedy(error: OSError) -> str:
    if error.errno == errno.EROFS:
        return "in a container it belongs to the host: run telemetrics there"
    return "only root may do that" if error.errno in (errno.EACCES, errno.EPERM) else "put that right, and try again"


def _line(path: str) -> str:
    with open(path, "rb") as file:
        return file.read(_LINE_BYTES_MAX).decode("utf-8", "surrogateescape").rstrip("\n")


def _write_kernel(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(fd, os.fsencode(text) + b"\n")
    finally:
        os.close(fd)


def _write_file(path: str, text: str) -> None:
    """On disk before what it tells of is done."""
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    new = f"{path}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(new)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(os.fsencode(text))
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(new)
        raise
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
