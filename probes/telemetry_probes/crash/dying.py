# SPDX-License-Identifier: Apache-2.0
"""A process that just died and still exists: what has to be opened of it as root, and proof that it is the right one.

Runs as root, so it opens and compares numbers of the kernel's, and nothing more: what is in the files is read after the
rights are gone (`circumstances`, `live`). No path of the program's own choosing is opened, only links of /proc.

A pid is given out again once its process is gone. A pidfd (Linux 6.16) tells whether it still is the same process;
without one, whatever has the pid and began after this handler can't be what crashed, nor what isn't dumping core.
"""

from __future__ import annotations

import posix

from telemetry_probes.crash import privacy

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.kernelsaid import KernelSaid

TEXTS = ("status", "stat", "cgroup", "limits", "cmdline")
"""Files of /proc/PID that say what it was."""
TEXT_BYTES_MAX = 65536
MAPPINGS_MAX = 4096
DELETED_MAX = 64
"""Files that were deleted and are still mapped, of which descriptors are kept: after an upgrade, a few."""

_READ = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NONBLOCK | posix.O_NOCTTY
_S_IFMT, _S_IFREG = 0o170000, 0o100000


class Dying:
    """Descriptors of one process, -1 for what couldn't be opened.

    `mem` is its memory, `root` its root directory (O_PATH), `texts` the files named in TEXTS. `files` maps paths to
    files that can't be had in another way: what it executes (others may not read that), and what has no name any more.
    `own_root`: its paths don't lead to where the host's do; `own_pids`: it has a pid namespace of its own. `executable`
    is as the kernel has it, without ` (deleted)`; the path may be any.
    """

    __slots__ = ("_said", "executable", "files", "mem", "own_pids", "own_root", "root", "texts")

    def __init__(self) -> None:
        self.mem = -1
        self.root = -1
        self.texts: dict[str, int] = {}
        self.files: dict[str, int] = {}
        self.executable = ""
        self._said: dict[str, bytes] = {}
        self.own_root = False
        self.own_pids = False

    def text(self, name: str) -> bytes:
        """What one of the TEXTS said when that was first asked; empty where it can't be read, as of a process that is
        gone. At most TEXT_BYTES_MAX bytes."""
        if name not in self._said:
            self._said[name] = self._text(self.texts.get(name, -1))
        return self._said[name]

    def _text(self, fd: int) -> bytes:
        found = b""
        try:
            while len(found) < TEXT_BYTES_MAX and (more := posix.pread(fd, TEXT_BYTES_MAX - len(found), len(found))):
                found += more
        except OSError:
            pass  # the process is gone
        return found

    def close(self) -> None:
        """Close all of it."""
        for fd in (self.mem, self.root, *self.texts.values(), *self.files.values()):
            if fd >= 0:
                posix.close(fd)
        self.mem = self.root = -1
        self.texts, self.files = {}, {}


def opened(said: KernelSaid, called: int | None) -> Dying | str:
    """The process that crashed; where it can't be proved that /proc/PID is that, why not.

    `called` is when the kernel called, of `own_start` in the process that it made for that.
    """
    doubt = _doubt(said, called)
    if doubt:
        return doubt
    folder = f"/proc/{said.pid}"
    found = Dying()
    found.executable = _link(f"{folder}/exe").removesuffix(privacy.DELETED)
    found.mem = _open(f"{folder}/mem", _READ)
    found.root = _open(f"{folder}/root", posix.O_PATH | posix.O_DIRECTORY | posix.O_CLOEXEC)
    found.texts = {name: _open(f"{folder}/{name}", _READ) for name in TEXTS}
    found.own_root = _link(f"{folder}/root") != "/" or _link(f"{folder}/ns/mnt") != _link("/proc/self/ns/mnt")
    found.own_pids = _link(f"{folder}/ns/pid") != _link("/proc/self/ns/pid")
    found.files = _deleted(folder)
    executed = _regular(f"{folder}/exe")
    if executed >= 0:
        found.files.setdefault(found.executable, executed)
    doubt = _doubt(said, called)  # once more: now what was opened is of the process that was there all the time
    if doubt:
        found.close()
        return doubt
    return found


def own_start() -> int | None:
    """When this process began, in clock ticks since boot; None where that can't be told."""
    try:
        return _start(_whole("/proc/self/stat"))
    except OSError:
        return None


def _doubt(said: KernelSaid, called: int | None) -> str:
    """Why /proc/PID may not be the process that crashed; empty where it is."""
    if said.pidfd >= 0:
        pid = _pid_of(said.pidfd)
        if pid == said.pid:
            return ""
        if pid is not None:
            return "the process that crashed is gone"
    return _doubt_by_time(said.pid, called)


def _pid_of(pidfd: int) -> int | None:
    """The pid that a pidfd stands for, -1 once that process is reaped; None where it is no pidfd."""
    try:
        about = _whole(f"/proc/self/fdinfo/{pidfd}")
    except OSError:
        return None
    for line in about.split(b"\n"):
        if line.startswith(b"Pid:"):
            try:
                return int(line[4:])
            except ValueError:
                return None
    return None


def _doubt_by_time(pid: int, called: int | None) -> str:
    try:
        began = _start(_whole(f"/proc/{pid}/stat"))
        status = _whole(f"/proc/{pid}/status")
    except OSError:
        return "the process that crashed is gone"
    if began is None or called is None or began > called:
        return "another process has the pid of the one that crashed"
    # Since Linux 4.15. The name stands in the first line, and the kernel writes a newline in it as \n.
    if b"\nCoreDumping:\t0\n" in status:
        return "the process with the pid of the one that crashed is dumping no core"
    return ""


def _start(stat: bytes) -> int | None:
    """Clock ticks from boot to start, of /proc/PID/stat. The name in it may have blanks and brackets."""
    fields = stat.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else None


def _whole(path: str) -> bytes:
    fd = posix.open(path, _READ)
    try:
        return posix.read(fd, TEXT_BYTES_MAX)
    finally:
        posix.close(fd)


def _open(path: str, flags: int) -> int:
    try:
        return posix.open(path, flags)
    except OSError:
        return -1


def _link(path: str) -> str:
    try:
        return posix.readlink(path)
    except OSError:
        return ""


def _deleted(folder: str) -> dict[str, int]:
    """Files of the system that are mapped and have no name any more: those of before an upgrade, for one."""
    found: dict[str, int] = {}
    for name in _names(f"{folder}/map_files"):
        path = _link(f"{folder}/map_files/{name}")
        if not path.endswith(privacy.DELETED) or len(found) >= DELETED_MAX:
            continue
        path = path.removesuffix(privacy.DELETED)
        if path in found or not privacy.is_system(path):
            continue
        fd = _regular(f"{folder}/map_files/{name}")
        if fd >= 0:
            found[path] = fd
    return found


def _names(folder: str) -> list[str]:
    found: list[str] = []
    try:
        with posix.scandir(folder) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) >= MAPPINGS_MAX:
                    break
    except OSError:
        pass  # it is gone
    return found


def _regular(link: str) -> int:
    place = _open(link, posix.O_PATH | posix.O_CLOEXEC)
    if place < 0:
        return -1
    try:
        if posix.fstat(place).st_mode & _S_IFMT != _S_IFREG:
            return -1
        return _open(f"/proc/self/fd/{place}", _READ)
    except OSError:
        return -1
    finally:
        posix.close(place)
