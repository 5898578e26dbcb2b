# SPDX-License-Identifier: Apache-2.0
"""From root to telemetry's own user, for good: nothing of a crash is read before that.

What isn't needed is given up in the order of what it costs to lose: root, then looking into this process and becoming
anybody else, then files to write and programs to run, then system calls. Some kernels lack the last two; the user alone
is what must not fail.
"""

from __future__ import annotations

import posix

from telemetry_probes._confine import ffi, lib

USER = "telemetry"
NOBODY = 65534
USERS_FILE = "/etc/passwd"
MEMORY_MAX = 2 << 30
"""Bytes of addresses: files are mapped, not read."""
CPU_S_MAX = 20
FILE_BYTES_MAX = 1 << 20
_USERS_BYTES_MAX = 1 << 20


class Account:
    """Who to become. `is_known`: it is telemetry's user; otherwise there is none, and nobody has to do."""

    __slots__ = ("gid", "is_known", "uid")

    def __init__(self, uid: int, gid: int, is_known: bool) -> None:
        self.uid = uid
        self.gid = gid
        self.is_known = is_known


def account(state_dir: str, users_file: str = USERS_FILE) -> Account:
    """The owner of telemd's own directory unless that is root, else the user `telemetry`, else nobody."""
    if (who := telemd_s(state_dir)) is not None:
        return who
    for line in _text(users_file).split("\n"):
        fields = line.split(":")
        if fields[0] == USER and len(fields) >= 4 and fields[2].isdigit() and fields[3].isdigit() and int(fields[2]):
            return Account(int(fields[2]), int(fields[3]), True)
    return Account(NOBODY, NOBODY, False)


def telemd_s(state_dir: str) -> Account | None:
    """The owner of telemd's own directory; None where that is root, or there is none."""
    try:
        about = posix.stat(state_dir)  # also behind a link, which is root's to make
    except (OSError, ValueError):
        return None
    return Account(about.st_uid, about.st_gid, True) if about.st_uid else None


def drop(who: Account, writable: tuple[str, ...]) -> list[str]:
    """Become that user, without any further group, and confine this process and its children to files below `writable`.

    OSError where root can't be left. What the kernel can't do comes back in words; the process is still the user's.
    Does nothing about users where this isn't root.
    """
    if posix.geteuid() == 0:
        posix.setgroups([])
        posix.setresgid(who.gid, who.gid, who.gid)
        posix.setresuid(who.uid, who.uid, who.uid)
        if 0 in posix.getresuid() or 0 in posix.getresgid():
            raise OSError(1, "still root")
    done = lib.confine_rights()
    if done < 0:
        raise OSError(-done, posix.strerror(-done))
    missing = []
    paths = [ffi.new("char[]", path.encode("utf-8", "surrogateescape")) for path in writable]
    files = lib.confine_files(ffi.new("char *[]", paths), len(paths))
    if files <= 0:
        missing.append(f"no Landlock ({posix.strerror(-files) if files else 'not in this kernel'})")
    calls = lib.confine_calls()
    if calls < 0:
        missing.append(f"no filter of system calls ({posix.strerror(-calls)})")
    return missing


def end_after(seconds: int) -> None:
    """By SIGALRM: also out of a file system that never answers."""
    lib.confine_time(seconds)


def limit() -> None:
    """Bounds on memory, processor time and files, for this process and its children. If one of them crashes the kernel
    calls no handler: a core limit of 1 byte means that to it (core(5))."""
    import resource

    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_MAX), (resource.RLIMIT_CPU, CPU_S_MAX), (resource.RLIMIT_FSIZE, FILE_BYTES_MAX),
        (resource.RLIMIT_CORE, 1),
    ):  # fmt: skip
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            pass  # a stricter one holds already


def _text(path: str) -> str:
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return posix.read(fd, _USERS_BYTES_MAX).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        posix.close(fd)
