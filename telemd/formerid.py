# SPDX-License-Identifier: Apache-2.0
"""The machine id that telemetrics-client left: it goes on as this machine's until it is three days old, and can be
named afterwards. state_dir/former_id keeps it.

Taken over once, before this machine has a secret of its own. Which id holds when is machineid's affair.
"""

from __future__ import annotations

import os
import stat

from telemd import syncedfile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

NAME: Final = "former_id"

LEFT_NAME: Final = "machine_id"
"""telemetrics-client's file, in the same directory."""

LASTS_S: Final = 3 * 24 * 3600
"""How long that program uses an id, from the file's modification time."""

_HEX: Final = frozenset("0123456789abcdef")
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LEFT_BYTES_MAX: Final = 33
_BYTES_MAX: Final = 128


class Former:
    """The id, 32 hex digits, and the seconds since 1970 from and until which it is the machine's."""

    __slots__ = ("machine_id", "since_s", "until_s")

    def __init__(self, machine_id: str, since_s: int, until_s: int) -> None:
        self.machine_id = machine_id
        self.since_s = since_s
        self.until_s = until_s

    def holds(self, now_s: float) -> bool:
        """It is the machine's at that time."""
        return self.since_s <= now_s < self.until_s


def is_id(text: str) -> bool:
    """32 hex digits, in lower case."""
    return len(text) == 32 and set(text) <= _HEX


def parse(text: str) -> Former | None:
    """A line of id, since and until; None for any other."""
    words = text.split()
    if len(words) != 3 or not is_id(words[0]) or not all(each.isdecimal() and len(each) < 16 for each in words[1:]):
        return None
    return Former(words[0], int(words[1]), int(words[2]))


def read(state_dir: str) -> Former | None:
    """None where none was taken over, or nothing usable is there."""
    try:
        fd = os.open(f"{state_dir}/{NAME}", _READ)
    except OSError:
        return None
    try:
        return parse(os.read(fd, _BYTES_MAX).decode("ascii", "replace"))
    except OSError:
        return None
    finally:
        os.close(fd)


def take_over(directory: int, now_s: float, static_id: str | None) -> None:
    """Keep the id that telemetrics-client has left in the state directory, if it holds still; none otherwise, and in
    either case that is settled for good: what the file says later is telemd's own. static_id: the owner's lasting one,
    which is no changing one. OSError where it can't be written."""
    try:
        os.stat(NAME, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        return
    found = _left(directory, now_s)
    line = ""
    if found is not None and found.machine_id != static_id:
        line = _line(found)
    syncedfile.replace(directory, NAME, line.encode(), 0o600)


def end(state_dir: str, former: Former, now_s: float) -> None:
    """From now on it is the machine's no more. OSError."""
    ended = Former(former.machine_id, former.since_s, int(now_s))
    syncedfile.replace_in(state_dir, NAME, _line(ended).encode(), 0o600)


def _line(former: Former) -> str:
    return f"{former.machine_id} {former.since_s} {former.until_s}\n"


def _left(directory: int, now_s: float) -> Former | None:
    """What telemetrics-client's file says, where nobody else can have written it."""
    from telemd import folder, oldspool  # needed once in a machine's life

    try:
        fd = os.open(LEFT_NAME, _READ, dir_fd=directory)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or folder.complaint(status, oldspool.user_ids(), _LEFT_BYTES_MAX):
            return None
        text = os.read(fd, _LEFT_BYTES_MAX + 1).decode("ascii", "replace")
    except OSError:
        return None
    finally:
        os.close(fd)
    since_s = min(int(status.st_mtime), int(now_s))  # a clock that was ahead then gives no longer time
    candidate = text.removesuffix("\n").lower()
    if not is_id(candidate) or since_s < 0 or now_s >= since_s + LASTS_S:
        return None
    return Former(candidate, since_s, since_s + LASTS_S)
