# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of a crash on the handler's command line: `%P %p %I %s %u %d %c %F %e %E` (core(5)).

Letters by place, since the whole pattern has 127 bytes. The last two are the dead program's words, and hostile. Pure.
"""

from __future__ import annotations

ORDER = "%P %p %I %s %u %d %c %F %e %E"
"""As it stands in core_pattern behind `-k`."""

_FIELDS = 10
_DIGITS_MAX = 20
_PID_MAX = 1 << 22
_SIGNAL_MAX = 64
_UNLIMITED = (1 << 64) - 1


class KernelSaid:
    """One crash. `pid` and `tid` are the host's, `inner_pid` that of the program's own pid namespace."""

    __slots__ = ("comm", "core_limit", "dump_mode", "inner_pid", "path", "pid", "pidfd", "signal", "tid", "uid")

    def __init__(
        self, pid: int, inner_pid: int, tid: int, signal: int, uid: int, dump_mode: int, core_limit: int, pidfd: int,
        comm: str, path: str,
    ) -> None:  # fmt: skip
        """`dump_mode` as in PR_GET_DUMPABLE(2const): 1 for an ordinary program, 0 and 2 for one that was set-id or the
        like. `core_limit` is the soft limit in bytes. `pidfd` is -1 before Linux 6.16. `path` is empty where unknown.
        """
        self.pid = pid
        self.inner_pid = inner_pid
        self.tid = tid
        self.signal = signal
        self.uid = uid
        self.dump_mode = dump_mode
        self.core_limit = core_limit
        self.pidfd = pidfd
        self.comm = comm
        self.path = path

    @property
    def is_guarded(self) -> bool:
        """Others than its owner may have a claim on what is in its memory."""
        return self.dump_mode != 1


def read(arguments: list[str]) -> KernelSaid | str:
    """The arguments behind `-k`; a sentence where they can't be the kernel's.

    Linux before 5.3 made several arguments of a name with blanks in it: those behind the tenth are of no use then, and
    neither are the name and the path.
    """
    if len(arguments) < _FIELDS:
        return f"{len(arguments)} values where core_pattern has to give {_FIELDS}: {ORDER}"
    numbers = [_number(text) for text in arguments[:7]]
    pid, inner, tid, signal, uid, mode, limit = numbers
    if pid is None or not 0 < pid <= _PID_MAX or uid is None or mode is None:
        return f"core_pattern has to give {ORDER}, in this order"
    pidfd = _number(arguments[7])
    split = len(arguments) > _FIELDS
    return KernelSaid(
        pid, inner or 0, tid or pid, signal if signal is not None and signal <= _SIGNAL_MAX else 0, uid, mode,
        _UNLIMITED if limit is None else limit, -1 if pidfd is None or not 3 <= pidfd < 1024 else pidfd,
        "" if split else arguments[8], "" if split else _path(arguments[9]),
    )  # fmt: skip


def _path(text: str) -> str:
    """The kernel writes `!` for `/`, and `comm (path unknown)` where it knows none."""
    return text.replace("!", "/") if text.startswith("!") else ""


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None
