# SPDX-License-Identifier: Apache-2.0
"""The spare: a segment file set aside for the time when there is no room, so that what eviction protects can be
carried even then.

Owns that one file; when it is made and spent is the spool's decision. At the cap it is made of what was evicted: a file
whose blocks were written before is synced faster, and nothing is given back to be taken again.
"""

from __future__ import annotations

import errno

from telemd.faultpoint import reached

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.disk import Disk
    from telemd.lane import Lane
    from telemd.segment import Host
    from telemd.segmentfile import Segment

NAME: Final = "spare"


class Spare:
    """bytes: of the file, 0 where there is none. What a former start left is taken over if it is whole."""

    __slots__ = ("_disk", "bytes", "size")

    def __init__(self, disk: Disk, size: int) -> None:
        self._disk = disk
        self.size = size
        self.bytes = 0
        self._take_over()

    def make(self) -> None:
        """Set it aside, if there is none. OSError where it can't be."""
        if self.bytes:
            return
        try:
            self._disk.close_file(self._disk.create(NAME, self.size))
        except FileExistsError:
            self._take_over()
        else:
            self.bytes = self.size

    def make_of(self, done: Segment) -> bool:
        """Set aside the file of a segment that the ledger no longer knows. False where it can't be done: it has its
        name still."""
        if self.bytes or done.size > self.size:
            return False
        try:
            self._disk.recycle(done.name, NAME, self.size)
        except OSError:
            return False
        reached("recycled")
        self.bytes = self.size
        return True

    def give_up(self) -> None:
        """Remove it, and with it what may still be read in it. OSError where that can't be done."""
        if self.bytes:
            self._disk.unlink(NAME)
            self.bytes = 0

    def become_segment(self, lane: Lane, host: Host, now_us: int) -> None:
        """It is the lane's next segment. OSError: it may still be there, and counts until it is known to be gone."""
        try:
            lane.roll(host, now_us, NAME)
        except OSError as error:
            if error.errno == errno.ENOENT:
                self.bytes = 0  # it had become a segment the last time, and then that failed
            raise
        self.bytes = 0

    def _take_over(self) -> None:
        try:
            if self._disk.length_of(NAME) == self.size:
                self.bytes = self.size
            else:
                self._disk.unlink(NAME)
        except OSError as error:
            # It may well be there: it counts, until it is found missing when it is needed.
            self.bytes = 0 if error.errno == errno.ENOENT else self.size
