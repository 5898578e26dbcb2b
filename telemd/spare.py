# SPDX-License-Identifier: Apache-2.0
"""The spare: a segment file set aside for the time when there is no room, so that what eviction protects can be
carried even then.

Owns that one file; when it is made and spent is the spool's decision.
"""

from __future__ import annotations

import errno

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.disk import Disk
    from telemd.lane import Lane
    from telemd.segment import Host

NAME: Final = "spare"


class Spare:
    """bytes: of the file, 0 where there is none. What a former start left is taken over if it is whole."""

    __slots__ = ("_disk", "_size", "bytes")

    def __init__(self, disk: Disk, size: int) -> None:
        self._disk = disk
        self._size = size
        self.bytes = 0
        self._take_over()

    def make(self) -> None:
        """Set it aside, if there is none. OSError where it can't be."""
        if self.bytes:
            return
        try:
            self._disk.close_file(self._disk.create(NAME, self._size))
        except FileExistsError:
            self._take_over()
        else:
            self.bytes = self._size

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
            if self._disk.length_of(NAME) == self._size:
                self.bytes = self._size
            else:
                self._disk.unlink(NAME)
        except OSError as error:
            # It may well be there: it counts, until it is found missing when it is needed.
            self.bytes = 0 if error.errno == errno.ENOENT else self._size
