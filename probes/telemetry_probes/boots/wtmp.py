# SPDX-License-Identifier: Apache-2.0
"""The record of boots and shutdowns that systemd keeps in wtmp: was the last end written down, and of which kernel.

Layout: wtmp(5), bits/utmp.h of glibc: 384 bytes a record where 32 and 64 bits share the file (x86, ppc, s390), else
400. systemd-update-utmp writes the kernel's release into `host`. Pure: bytes in, values out.
"""

from __future__ import annotations

from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

BYTES_MAX = 1 << 20
"""From the end of the file: 2,700 records."""
SIZES = (384, 400)
UNIT = 9600
"""Where a piece of the file may begin: a multiple of both sizes."""
RELEASE_MAX = 128

_RUN_LVL, _BOOT_TIME, _TYPES = 1, 2, 10
_HEAD = Struct("=h2xi32s4s32s256s")  # ut_type, ut_pid, ut_line, ut_id, ut_user, ut_host
_TIMES = {384: (Struct("=ii"), 340), 400: (Struct("=qq"), 344)}


class Entry:
    """One record. `kind` is ut_type; `time_us` since 1970."""

    __slots__ = ("host", "kind", "time_us", "user")

    def __init__(self, kind: int, user: str, host: str, time_us: int) -> None:
        self.kind = kind
        self.user = user
        self.host = host
        self.time_us = time_us


class Word:
    """What is written of the last boot. `orderly`: its shutdown was, at `ended_s`, else 0; `release` of its kernel may
    be empty."""

    __slots__ = ("began_s", "ended_s", "orderly", "release")

    def __init__(self, orderly: bool, began_s: int, ended_s: int, release: str) -> None:
        self.orderly = orderly
        self.began_s = began_s
        self.ended_s = ended_s
        self.release = release


def entries(content: bytes) -> list[Entry]:
    """All records, of the size that gives more of them a meaning; a cut one at the end is left out."""
    return max([_entries(content, size) for size in SIZES], key=len)


def last_boot(written: Sequence[Entry], running: Sequence[Entry]) -> Word | None:
    """`running`: records of utmp, which is of this boot alone. Its record of the boot is of the same microsecond in
    wtmp, where that has it, whatever the clock did since. None where nothing is said of a boot before."""
    boots = [entry.time_us for entry in running if entry.kind == _BOOT_TIME]
    this = boots[-1] if boots else None
    end = len(written)
    for at in range(len(written) - 1, -1, -1):
        if written[at].kind == _BOOT_TIME:
            if written[at].time_us == this:
                end = at
            break
    ended_s = 0
    for entry in reversed(written[:end]):
        if entry.kind == _RUN_LVL and entry.user == "shutdown" and not ended_s:
            ended_s = max(1, entry.time_us // 1_000_000)
        if entry.kind == _BOOT_TIME:
            return Word(ended_s > 0, entry.time_us // 1_000_000, ended_s, entry.host)
    return Word(True, 0, ended_s, "") if ended_s else None


def _entries(content: bytes, size: int) -> list[Entry]:
    found: list[Entry] = []
    times, place = _TIMES[size]
    for at in range(0, len(content) - size + 1, size):
        kind, _, _, _, user, host = _HEAD.unpack_from(content, at)
        seconds, micros = times.unpack_from(content, at + place)
        if not 0 < kind < _TYPES or seconds <= 0 or not 0 <= micros < 1_000_000:
            continue
        found.append(Entry(kind, _text(user), _text(host)[:RELEASE_MAX], seconds * 1_000_000 + micros))
    return found


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("ascii", "replace")
