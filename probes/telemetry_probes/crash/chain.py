# SPDX-License-Identifier: Apache-2.0
"""Go before another crash handler: the core's head is copied for a child that makes our report, then the other handler
takes this process's place and finds standard input as the kernel left it.

Runs as root, so nothing of the core is looked at here; the child gives its rights away before it does. What the other
handler was, core_pattern of before, stands in a file that is root's alone.
"""

from __future__ import annotations

import fcntl
import posix
from time import monotonic, sleep, time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from telemetry_probes.crash.kernelsaid import KernelSaid

BEFORE_NAME = "core_pattern.before"
"""Beside the opt-in: `telemctl crash enable` writes it."""
BEFORE_BYTES_MAX = 4096
HEAD_BYTES = 4 << 20
"""The notes of some 350 threads. The kernel waits with the rest of the core until the other handler reads."""
HEAD_WAIT_S = 1.0
HEAD_LOOK_S = 0.001
STILL_LOOKS = 8
"""The head is there when so many looks find no more of it."""
CHILD_WAIT_S = 12.0
CHILD_LOOK_S = 0.002
WORDS_MAX = 64

_F_SETPIPE_SZ = 1031
_FIONREAD = 0x541B
_S_IFMT, _S_IFREG = 0o170000, 0o100000
_OTHERS_WRITE = 0o022
_SIGKILL = 9
_WNOHANG = 1


def ahead(work: Callable[[], int], said: KernelSaid, folder: str) -> int:
    """Let a child do `work`, which finds the head of the core on descriptor 0, then become the handler named in
    `folder`. The exit code, where there is no such handler: `work` was done in this process then."""
    command = expanded(before(f"{folder}/{BEFORE_NAME}"), said, int(time()), posix.uname().nodename)
    if not command:
        return work()
    child = _started(work)
    if child > 0:
        _finished(child)
    return _become(command)


def before(path: str) -> str:
    """core_pattern as it was; empty where it names no program, or the file is not to be trusted."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        status = posix.fstat(fd)
        if status.st_mode & _S_IFMT != _S_IFREG or status.st_uid != 0 or status.st_mode & _OTHERS_WRITE:
            return ""
        line = posix.read(fd, BEFORE_BYTES_MAX).partition(b"\n")[0].decode("utf-8", "surrogateescape")
    except OSError:
        return ""
    finally:
        posix.close(fd)
    return line if line.startswith("|/") else ""


def expanded(pattern: str, said: KernelSaid, now_s: int, host: str) -> list[str]:
    """The command line as the kernel makes it (core(5)): split at blanks first, so that a name with blanks in it stays
    one argument. What only the kernel knows, the processor's number for one, is empty."""
    command = []
    for word in pattern.removeprefix("|").split()[:WORDS_MAX]:
        parts = word.split("%")
        text = [parts[0]]
        at = 1
        while at < len(parts):
            part = parts[at]
            if part:
                text.append(_value(part[0], said, now_s, host) + part[1:])
            elif at + 1 < len(parts):
                at += 1
                text.append("%" + parts[at])
            at += 1
        command.append("".join(text))
    return command


def _value(letter: str, said: KernelSaid, now_s: int, host: str) -> str:
    name = said.path.rpartition("/")[2]
    values: dict[str, Callable[[], str | int]] = {
        "P": lambda: said.pid, "p": lambda: said.inner_pid or said.pid, "I": lambda: said.tid, "u": lambda: said.uid,
        "i": lambda: _of_status(f"task/{said.tid}/status", said.pid, b"NSpid:", -1) or said.tid,
        "g": lambda: _of_status("status", said.pid, b"Gid:", 0), "d": lambda: said.dump_mode,
        "s": lambda: said.signal, "c": lambda: said.core_limit, "t": lambda: now_s, "h": lambda: host.replace("/", "!"),
        "e": lambda: said.comm, "f": lambda: name or said.comm,
        "E": lambda: said.path.replace("/", "!") or f"{said.comm} (path unknown)",
        "F": lambda: said.pidfd if said.pidfd >= 0 else "",
    }  # fmt: skip
    found = values.get(letter)
    return str(found()) if found is not None else ""


def _of_status(name: str, pid: int, field: bytes, place: int) -> str:
    try:
        fd = posix.open(f"/proc/{pid}/{name}", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        for line in posix.read(fd, 8192).split(b"\n"):
            if line.startswith(field):
                return line.split()[1:][place].decode("ascii", "replace")
    except (OSError, IndexError):
        pass
    finally:
        posix.close(fd)
    return ""


def _started(work: Callable[[], int]) -> int:
    """The child; 0 where there can be none: then the other handler has the crash for itself."""
    try:
        head = _head()
        if head < 0:
            return 0
        child = posix.fork()
    except OSError:
        return 0
    if child == 0:
        code = 1
        try:
            posix.dup2(head, 0)
            posix.close(head)
            code = work()
        finally:
            posix._exit(code)
    posix.close(head)
    return child


def _head() -> int:
    """A pipe with a copy of what standard input begins with, and an end behind that; -1 where it can't be copied."""
    from ctypes import CDLL, c_int, c_size_t, c_ssize_t, c_uint

    _widen(0)
    size = _waiting()
    if size <= 0:
        return -1
    reads, writes = posix.pipe2(posix.O_CLOEXEC)
    _widen(writes)
    tee = CDLL(None).tee
    tee.restype, tee.argtypes = c_ssize_t, (c_int, c_int, c_size_t, c_uint)
    copied = tee(0, writes, size, 0)
    posix.close(writes)
    if copied > 0:
        return reads
    posix.close(reads)
    return -1


def _widen(fd: int) -> None:
    try:
        fcntl.fcntl(fd, _F_SETPIPE_SZ, HEAD_BYTES)
    except OSError:
        return  # it keeps its 64 KiB, enough for a few threads


def _waiting() -> int:
    """Bytes on standard input, once the kernel can't write more, or has no more."""
    until = monotonic() + HEAD_WAIT_S
    size = still = 0
    while still < STILL_LOOKS and monotonic() < until:
        sleep(HEAD_LOOK_S)
        found = int.from_bytes(fcntl.ioctl(0, _FIONREAD, b"\0\0\0\0"), "little")
        still = still + 1 if found == size and found else 0
        size = found
    return size


def _finished(child: int) -> None:
    """It has its time: the dead process, and who waits for the other handler, wait too."""
    until = monotonic() + CHILD_WAIT_S
    while posix.waitpid(child, _WNOHANG)[0] == 0:
        if monotonic() >= until:
            posix.kill(child, _SIGKILL)
            posix.waitpid(child, 0)
            return
        sleep(CHILD_LOOK_S)


def _become(command: list[str]) -> int | NoReturn:
    try:
        posix.execv(command[0], command)
    except (OSError, ValueError):
        return 1
