# SPDX-License-Identifier: Apache-2.0
"""How many crashes are looked at, and how many reported: a program that dies again and again is counted, not sent.

Kept in one file of a fixed size over restarts and boots, under a lock. Limits protect, they are no record: where the
file can't be used everything is let through. What a crash is, or says, must never come in here.

A handler asks three times: `enter` before anything of the program is read, `turn` before it is looked at, `admit` once
the fingerprint is known.
"""

from __future__ import annotations

import fcntl
import posix
from struct import Struct, error
from time import monotonic, sleep

NAME = "crash-loops"
TURNS_NAME = "crash-turns"
HANDLERS_MAX = 8
"""That work at the same time. The kernel's own limit counts those that still read the core, and no others."""
TURN_WAIT_S = 5.0
TURN_LOOK_S = 0.02
LOCK_WAIT_S = 0.5
LOCK_LOOK_S = 0.002

MAGIC = b"TLMLOOP2"
HEADER_BYTES = 256
SLOT_BYTES = 256
SLOTS = 256
"""Of those that crashed least recently the places are given away."""
FILE_BYTES = HEADER_BYTES + SLOT_BYTES * SLOTS

EXECUTABLE, FINGERPRINT, USER = 1, 2, 3
BURSTS = {EXECUTABLE: (10, 300), FINGERPRINT: (3, 3600), USER: (60, 60)}
"""So many at once, and one more every so many seconds: of a user's program looked at, of one fault of it reported, and
of all that one user's programs do looked at."""

_SLOT = Struct("<BBHIQQQQQQ")
"""Kind, length of the name, 0, uid, due_ms, first_s, last_s, seen, more, closed_ms; then the name. crashgate.c reads it
and counts in it, too: it ends what is one too many before Python is started."""
NAME_BYTES_MAX = SLOT_BYTES - _SLOT.size
_LOCK = Struct("hhqqi4x")  # struct flock of fcntl(2)
_F_OFD_SETLK = 37
_U64_MAX = (1 << 64) - 1


class Admit:
    """The answer. `more`: crashes that were counted and not sent since the last report, this one not among them.
    `seen`: how often this was met before, and `last_s` when (seconds of the clock, 0 for never)."""

    __slots__ = ("last_s", "more", "seen", "send")

    def __init__(self, send: bool, more: int, seen: int = 0, last_s: int = 0) -> None:
        self.send = send
        self.more = more
        self.seen = seen
        self.last_s = last_s


class Counted:
    """One line of what is remembered. `kind`: EXECUTABLE, FINGERPRINT or USER; `name` is the executable's path, or its
    last NAME_BYTES_MAX bytes, the fingerprint, or empty."""

    __slots__ = ("due_ms", "first_s", "kind", "last_s", "more", "name", "seen", "uid")

    def __init__(
        self, kind: int, uid: int, name: bytes, due_ms: int = 0, first_s: int = 0, last_s: int = 0, seen: int = 0,
        more: int = 0,
    ) -> None:  # fmt: skip
        """`due_ms`: when the burst would be whole again."""
        self.kind = kind
        self.uid = uid
        self.name = name
        self.due_ms = due_ms
        self.first_s = first_s
        self.last_s = last_s
        self.seen = seen
        self.more = more

    def take(self, now_ms: int) -> bool:
        """Is it within its burst? If so it is used. A clock that was set back begins anew."""
        burst, every_s = BURSTS[self.kind]
        every_ms = every_s * 1000
        ahead_ms = self.due_ms - now_ms
        if not 0 <= ahead_ms <= burst * every_ms:
            ahead_ms = 0
        if ahead_ms > (burst - 1) * every_ms:
            return False
        self.due_ms = now_ms + ahead_ms + every_ms
        return True

    def met(self, now_s: int) -> None:
        """Once more."""
        self.first_s = self.first_s or now_s
        self.last_s = now_s
        self.seen = min(self.seen + 1, _U64_MAX)

    def packed(self) -> bytes:
        """As it lies in the file."""
        burst, every_s = BURSTS[self.kind]
        closed_ms = max(0, self.due_ms - (burst - 1) * every_s * 1000)
        head = _SLOT.pack(
            self.kind, len(self.name), 0, self.uid, self.due_ms, self.first_s, self.last_s, self.seen, self.more,
            closed_ms,
        )  # fmt: skip
        return (head + self.name).ljust(SLOT_BYTES, b"\0")


def turn(state_dir: str, wait_s: float = TURN_WAIT_S) -> int | None:
    """A place among the handlers that work at the same time: a descriptor that holds it until it is closed, by this
    process and all that inherited it. None where none came free within `wait_s`; -1 where that can't be told."""
    try:
        fd = _opened(state_dir, TURNS_NAME)
    except OSError:
        return -1
    until = monotonic() + wait_s
    while True:
        for place in range(HANDLERS_MAX):
            try:
                fcntl.fcntl(fd, _F_OFD_SETLK, _LOCK.pack(fcntl.F_WRLCK, 0, place, 1, 0))
                return fd
            except OSError:
                continue
        if monotonic() >= until:
            posix.close(fd)
            return None
        sleep(TURN_LOOK_S)


def enter(state_dir: str, executable: str, now_s: float, uid: int = 0, limited: bool = True) -> Admit:
    """May this crash be looked at? Counts it. `uid`: whose process it was; users don't use up each other's limits. One
    that isn't `limited` may, and uses nothing up."""
    table = _Table.opened(state_dir)
    if table is None:
        return Admit(True, 0)
    try:
        now_ms = max(0, int(now_s * 1000))
        program = table.find(EXECUTABLE, uid, _bytes(executable))
        user = table.find(USER, uid, b"")
        seen, last_s, more = program.seen, program.last_s, program.more
        send = not limited or (program.take(now_ms) and user.take(now_ms))
        if not send:
            program.more = min(program.more + 1, _U64_MAX)
        program.met(now_ms // 1000)
        user.met(now_ms // 1000)
        table.keep(user)
        table.keep(program)
        return Admit(send, more, seen, last_s)
    finally:
        table.close()


def admit(
    state_dir: str, executable: str, fingerprint: str, now_s: float, uid: int = 0, limited: bool = True
) -> Admit:  # fmt: skip
    """May this crash, which `enter` let in, be reported? Counts it. Where it may, `more` counts from here anew.

    Without a fingerprint it may; `more` is that of the executable then.
    """
    table = _Table.opened(state_dir)
    if table is None:
        return Admit(True, 0)
    try:
        now_ms = max(0, int(now_s * 1000))
        program = table.find(EXECUTABLE, uid, _bytes(executable))
        if not fingerprint:
            more, program.more = program.more, 0
            table.keep(program)
            return Admit(True, more)
        fault = table.find(FINGERPRINT, uid, _bytes(fingerprint))
        seen, last_s, more = fault.seen, fault.last_s, program.more + fault.more
        send = not limited or fault.take(now_ms)
        fault.more = 0 if send else min(fault.more + 1, _U64_MAX)
        fault.met(now_ms // 1000)
        table.keep(fault)
        if send and program.more:
            program.more = 0
            table.keep(program)
        return Admit(send, more, seen, last_s)
    finally:
        table.close()


def counted(state_dir: str) -> list[Counted]:
    """What is remembered, the latest first; nothing where the file can't be read. Takes no lock and changes nothing."""
    try:
        fd = posix.open(f"{state_dir}/{NAME}", posix.O_RDONLY | _SAFELY)
    except (OSError, ValueError):
        return []
    try:
        return sorted([each for each in _read(fd) if each is not None], key=lambda each: -each.last_s)
    except OSError:
        return []
    finally:
        posix.close(fd)


_SAFELY = posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_S_IFMT, _S_IFREG = 0o170000, 0o100000


class _Table:
    """The file, locked."""

    __slots__ = ("_fd", "_slots")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._slots = _read(fd)

    @classmethod
    def opened(cls, state_dir: str) -> _Table | None:
        """None where it can't be had: then nothing is limited, and no report is lost for it."""
        try:
            fd = _opened(state_dir, NAME)
        except (OSError, ValueError):
            return None
        try:
            if _locked(fd):
                table = cls(fd)
                if table.is_empty():
                    posix.pwrite(fd, MAGIC.ljust(FILE_BYTES, b"\0"), 0)
                return table
        except OSError:
            pass
        posix.close(fd)
        return None

    def is_empty(self) -> bool:
        """New, or no table of this kind."""
        return not any(self._slots)

    def find(self, kind: int, uid: int, name: bytes) -> Counted:
        """A new one where it isn't there."""
        for each in self._slots:
            if each is not None and each.name == name and each.kind == kind and each.uid == uid:
                return each
        return Counted(kind, uid, name)

    def keep(self, one: Counted) -> None:
        """Where it was, in a free place, or in that of the one that was met longest ago; `one` was met just now."""
        slots = self._slots
        place = next((at for at, each in enumerate(slots) if each is one), -1)
        if place < 0:
            place = min(range(SLOTS), key=lambda at: _age(slots[at], one.last_s))
        slots[place] = one
        try:
            posix.pwrite(self._fd, one.packed(), HEADER_BYTES + place * SLOT_BYTES)
        except OSError:
            return  # a full disk: the limit holds no longer, and telemd has no room for what comes of that either

    def close(self) -> None:
        """Others may go on."""
        posix.close(self._fd)


def _age(slot: Counted | None, now_s: int) -> tuple[int, bool]:
    """The least goes first. Of those of the same second a user's own limit goes last: whoever has many programs crash
    can't make it go. What is of the future is of before the clock was set back."""
    if slot is None:
        return -1, False
    return (slot.last_s if slot.last_s <= now_s else 0), slot.kind == USER


def _opened(state_dir: str, name: str) -> int:
    """OSError, or ValueError for no path."""
    fd = posix.open(f"{state_dir}/{name}", posix.O_RDWR | posix.O_CREAT | _SAFELY, 0o600)
    if posix.fstat(fd).st_mode & _S_IFMT != _S_IFREG:
        posix.close(fd)
        raise OSError(f"{name} is no regular file")
    return fd


def _locked(fd: int) -> bool:
    """Not for ever: whoever has it may have been stopped."""
    until = monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if monotonic() >= until:
                return False
            sleep(LOCK_LOOK_S)


def _read(fd: int) -> list[Counted | None]:
    """A file that is new, short or damaged has empty places where it can't be read. OSError."""
    content = posix.pread(fd, FILE_BYTES, 0)
    if content[: len(MAGIC)] != MAGIC:
        content = b""
    return [_unpacked(content, HEADER_BYTES + at * SLOT_BYTES) for at in range(SLOTS)]


def _unpacked(content: bytes, at: int) -> Counted | None:
    try:
        kind, name_len, _, uid, due_ms, first_s, last_s, seen, more, _ = _SLOT.unpack_from(content, at)
    except error:
        return None
    if kind not in BURSTS or name_len > NAME_BYTES_MAX:
        return None
    name = content[at + _SLOT.size : at + _SLOT.size + name_len]
    return Counted(kind, uid, name, due_ms, first_s, last_s, seen, more) if len(name) == name_len else None


def _bytes(name: str) -> bytes:
    """The end of a long one: that tells more than its begin."""
    return name.encode("utf-8", "surrogateescape")[-NAME_BYTES_MAX:]
