# SPDX-License-Identifier: Apache-2.0
"""A segment file as telemd knows it while it runs: where it ends, what is in it, whether it is open.

A value that its lane, the reader and recovery share; the bytes are segment.py's, the calls disk.py's.
"""

from __future__ import annotations

from telemd import segment
from telemd.segment import HEADER_LEN


class Segment:
    """A segment file as it is known: last_seq below first_seq while it is empty; end is the offset behind the
    last frame."""

    __slots__ = ("admitted_us_max", "admitted_us_min", "end", "fd", "header", "last_seq", "name", "sealed", "size")

    def __init__(self, header: segment.Header, size: int) -> None:
        self.header = header
        self.name = segment.name_of(header.lane, header.generation)
        self.size = size
        self.end = HEADER_LEN
        self.last_seq = header.first_seq - 1
        self.sealed = False
        self.fd: int | None = None
        self.admitted_us_min = 0
        self.admitted_us_max = 0

    @property
    def first_seq(self) -> int:
        """Number of the first frame."""
        return self.header.first_seq

    @property
    def count(self) -> int:
        """Frames in it."""
        return self.last_seq - self.header.first_seq + 1
