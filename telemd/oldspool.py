# SPDX-License-Identifier: Apache-2.0
"""What telemetrics-client left in the spool's directory: one file a record, under any name (docs/upgrading.md).

Says which files may be that program's, in which order they come and what id a record gets. Their content is the C
codec's to read; nothing is moved or removed here.
"""

from __future__ import annotations

import os
import stat

from telemd import folder, segment
from telemd.dropbox import Due
from telemd.folder import LINK, File, Unfit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Final

    from telemd.folder import Folder, Place
    from telemd.intake import Batch
    from telemd.segment import Host

FILES_A_ROUND: Final = 256
"""So that who sends to the sockets meanwhile doesn't wait long."""

NAMES_MAX: Final = 8192
"""So many are kept in mind; where there are more, the directory is read again after them."""

USER: Final = "telemetry"
"""That program ran as this user."""

SENDER_UID: Final = 65534
"""Nobody's: the file doesn't tell who sent the record, and any user could."""

_OURS: Final = frozenset(("lock", "ledger", "spare", "drop", "quarantine"))
_BEGINS: Final = (b"CFG:", b"record_format_version: ")
_BEGINNING: Final = (-(1 << 63), "")
_ID_CONTEXT: Final = b"telemetrics-client spool\0"


def is_ours(name: str) -> bool:
    """A name of telemd's own, or one that says that its writer is at it still."""
    return name in _OURS or name.startswith(".") or segment.parse_name(name) is not None


def oldest(entries: Iterable[tuple[str, os.stat_result]], after: Place, names_max: int = NAMES_MAX) -> list[Place]:
    """The files that may be taken over, by modification time and name: the first ones behind `after`."""
    from heapq import nsmallest  # needed once, where the directory isn't ours alone

    places = (
        (status.st_mtime_ns, name) for name, status in entries if not is_ours(name) and not stat.S_ISDIR(status.st_mode)
    )
    return nsmallest(names_max, (each for each in places if each > after))


def is_record(begin: bytes) -> bool:
    """A file that begins so is a record of that program, a good or a bad one."""
    return begin.startswith(_BEGINS)


def record_id(mac: Callable[[bytes], bytes], place: Place, data: bytes) -> bytes:
    """The 16 bytes of id that this file's record has whenever it is taken over, so that the hub knows it again. mac:
    bytes that only this machine can make of a message, so that the id tells nothing to others."""
    mtime_ns, name = place
    message = _ID_CONTEXT + os.fsencode(name) + b"\0" + mtime_ns.to_bytes(16, "little", signed=True) + data
    chance = bytearray(mac(message)[:10])
    chance[0] = chance[0] & 0x0F | 0x70
    chance[2] = chance[2] & 0x3F | 0x80
    return bytes(6) + bytes(chance)


def admitted_us(mtime_ns: int, now_us: int) -> int:
    """From when its age counts: since the file was written, unless that is no sensible time; 0 then."""
    mtime_us = mtime_ns // 1000
    return mtime_us if 0 < mtime_us <= now_us else 0


def user_ids() -> tuple[int, ...]:
    """Users who can have written that program's files."""
    from pwd import getpwnam

    try:
        return 0, os.geteuid(), getpwnam(USER).pw_uid
    except KeyError:
        return 0, os.geteuid()


class OldSpool:
    """The spool's directory as telemetrics-client left it. It is gone through once: nobody adds to it any more. idle:
    that is done."""

    label = "spool"
    bytes_max = 128 * 1024

    __slots__ = ("_after", "_mac", "_path", "_waiting", "idle")

    def __init__(self, path: str, mac: Callable[[bytes], bytes]) -> None:
        self.idle = False
        self._path = path
        self._mac = mac
        self._waiting: list[Place] = []
        self._after: Place = _BEGINNING

    def owners(self) -> tuple[int, ...]:
        """Users whose files may be taken."""
        return user_ids()

    def opened(self) -> Folder | None:
        """The directory, or None where all is done. OSError."""
        return None if self.idle else folder.opened(self._path)

    def pick(self, directory: Folder, now_ns: int) -> Due:
        """The files to be taken in this round."""
        if not self._waiting:
            self._waiting = oldest(directory.entries(), self._after)
            self._after = self._waiting[-1] if self._waiting else self._after
        self.idle = not self._waiting
        return Due(self._waiting[:FILES_A_ROUND], [], not self.idle)

    def judge(self, name: str, found: File | Unfit) -> File | Unfit:
        """A record of that program, good or bad, or none of telemd's business."""
        if isinstance(found, File):
            if is_record(found.data) or not found.data:  # a full disk left empty ones
                return found
            return Unfit("it is no record of telemetrics-client", stays=True)
        return Unfit(found.why, found.begin, stays=found.why != LINK and not is_record(found.begin))

    def add(self, batch: Batch, place: Place, file: File, host: Host, now_us: int) -> bool:
        """Put the record into the batch; False where that is full."""
        identity = record_id(self._mac, place, file.data)
        return batch.add_spooled(file.data, host.facts, identity, SENDER_UID, admitted_us(place[0], now_us))

    def passed(self, count: int, kept: list[Place]) -> None:
        """So many of what was picked were looked at; kept ones have to come again."""
        self._waiting[:count] = kept

    def give_up(self, name: str) -> None:
        """It can't be taken away. Behind passed(), nothing comes a second time."""
