# SPDX-License-Identifier: Apache-2.0
"""A record on the disk of a telemd that doesn't run: does it wait in the spool, and does the journal know of it?

Reads only, a file at a time; what is damaged is passed over. Nothing is told of a record's content.
"""

from __future__ import annotations

import os

from telemd import frames, journalfile, ledger, segment
from telemd.segment import HEADER_LEN, LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings

SEGMENT_BYTES_MAX: Final = 64 * 1024 * 1024
"""A longer file is no segment of telemd's."""

WAITING: Final = "waiting-on-disk"
ENDED: Final = "ended"
ACCEPTED: Final = "accepted"
UNKNOWN: Final = "unknown"


class Lying:
    """fate: WAITING in that lane; ENDED, its place in the spool is passed; ACCEPTED, the journal alone knows of it; or
    UNKNOWN. when_us: when it was accepted, 0 where that isn't known."""

    __slots__ = ("fate", "lane", "when_us")

    def __init__(self, fate: str, lane: str = "", when_us: int = 0) -> None:
        self.fate = fate
        self.lane = lane
        self.when_us = when_us


def find(settings: Settings, record_id: bytes) -> Lying:
    """What the disk knows of the record. OSError where it can't be read."""
    lying = _in_spool(settings.spool_dir, record_id)
    if lying is not None:
        return lying
    for entry in journalfile.read(settings.log_dir):
        if entry.record_id == record_id.hex():
            return Lying(ACCEPTED, when_us=entry.timestamp_s * 1_000_000)
    return Lying(UNKNOWN)


def _in_spool(spool_dir: str, record_id: bytes) -> Lying | None:
    try:
        names = sorted(os.listdir(spool_dir))
    except FileNotFoundError:
        return None
    account = ledger.parse(_read(f"{spool_dir}/ledger", 2 * ledger.SLOT_LEN))
    ended = None
    for name in names:
        place = segment.parse_name(name)
        found = _in_segment(_read(f"{spool_dir}/{name}", SEGMENT_BYTES_MAX), record_id) if place is not None else None
        if place is None or found is None:
            continue
        seq, admitted_us = found
        line = account.lanes[place[0]] if account is not None else None
        if line is None or (seq >= line.cursor and not line.hole_first <= seq < line.hole_next):
            return Lying(WAITING, LANES[place[0]], admitted_us)
        ended = Lying(ENDED, LANES[place[0]], admitted_us)  # it may have been carried to a later segment
    return ended


def _in_segment(data: bytes, record_id: bytes) -> tuple[int, int] | None:
    """Number and time of admission of the record."""
    header = segment.parse_header(data[:HEADER_LEN])
    if header is None or record_id not in data:
        return None
    offset, floor = HEADER_LEN, header.first_seq - 1
    while offset < len(data):
        spans = frames.scan(data, header.generation, floor, offset)
        if not spans.count:
            offset = frames.find(data, header.generation, floor, offset + 1)
            continue
        ids = spans.ids(0, spans.count)
        for index in range(spans.count):
            if ids[16 * index : 16 * index + 16] == record_id:
                return spans.seq(index), spans.admitted_us(index)
        offset, floor = spans.end, spans.seq(spans.count - 1)
    return None


def _read(path: str, size: int) -> bytes:
    """The first so many bytes; nothing where there is no such file, or a link in its place."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    pieces = []
    try:
        while size > 0 and (piece := os.read(fd, min(size, 1 << 20))):
            pieces.append(piece)
            size -= len(piece)
    finally:
        os.close(fd)
    return b"".join(pieces)
