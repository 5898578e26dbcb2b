# SPDX-License-Identifier: Apache-2.0
"""What the spool may take on the disk, and what each of its files takes of that.

Counts and removes nothing: how room is made is the room's affair.
"""

from __future__ import annotations

from telemd import segment
from telemd.ledger import SLOT_LEN
from telemd.quarantine import FILE_BYTES_MAX, FILES_MAX, Quarantine
from telemd.spare import Spare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from telemd.disk import Disk
    from telemd.lane import Lane
    from telemd.segmentfile import Segment
    from telemd.useless import Useless

QUARANTINE_SHARE: Final = 8
"""It may take such a part of the cap."""

DROP_BYTES_MAX: Final = 512 * 1024
"""More in drop/ counts for no more than that, or it would keep itself from being taken in."""


class Cap:
    """bytes: the cap, below 0 for none. lanes: those whose segments count; none while they are being recovered. doomed:
    segments that are no lane's any more, and whose files wait for the ledger. useless: files that can't be removed
    now."""

    __slots__ = (
        "_disk",
        "_drop_bytes",
        "bytes",
        "doomed",
        "lanes",
        "quarantine",
        "segment_size",
        "spare",
        "useless",
    )

    def __init__(self, disk: Disk, cap_bytes: int) -> None:
        self._disk = disk
        self.bytes = cap_bytes
        self.lanes: Sequence[Lane] = ()
        self.doomed: list[Segment] = []
        self.useless: list[Useless] = []
        self.segment_size = segment.size_for(cap_bytes, disk.capacity_bytes())
        self.spare = Spare(disk, self.segment_size)
        self.count_drop()
        self.quarantine = Quarantine(disk, self._quarantine_room)

    def is_over(self, more: int) -> bool:
        """So many bytes more would be too many."""
        return self.bytes >= 0 and self.used() + more > self.bytes

    def used(self) -> int:
        """Bytes of all files of the directory."""
        doomed = sum(each.size for each in self.doomed)
        lanes = sum(lane.disk_bytes() for lane in self.lanes)
        others = self.quarantine.bytes + sum(each.bytes for each in self.useless) + self._drop_bytes
        return lanes + doomed + self.spare.bytes + others + 2 * SLOT_LEN

    def sweep(self) -> list[str]:
        """Remove what is of no use and could not be removed before; sentences for the log about those that went."""
        said = []
        for each in list(self.useless):
            gone, sentence = each.remove(self._disk, self.quarantine)
            if gone:
                self.useless.remove(each)
                if sentence:
                    said.append(sentence)
        return said

    def count_drop(self) -> None:
        """See anew how much lies in drop/."""
        self._drop_bytes = min(self._disk.folder_bytes("drop"), DROP_BYTES_MAX)

    def _quarantine_room(self) -> int:
        if self.bytes < 0:
            return FILES_MAX * FILE_BYTES_MAX - self.quarantine.bytes
        return min(self.bytes // QUARANTINE_SHARE - self.quarantine.bytes, self.bytes - self.used())
