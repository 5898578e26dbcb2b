# SPDX-License-Identifier: Apache-2.0
"""What a start finds in the spool's directory: segments, the ledger, and what a kill or a bad disk left of them
(docs/protocol.md, section 4.4).

Reads every header and footer; scans only segments without a good footer. Damage in the middle of a segment is not
counted here but where the reader meets it, so that it is counted once.
"""

from __future__ import annotations

import errno

from telemd import frames, salvage, segment
from telemd.ledgerfile import LedgerFile
from telemd.segment import FOOTER_LEN, HEADER_LEN
from telemd.segmentfile import Segment
from telemd.useless import NEVER_BEGUN, NO_HEADER, Useless

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.disk import Disk
    from telemd.ledger import LaneLedger, Ledger
    from telemd.quarantine import Quarantine

SEQ_MAX = 2**64 - 1
SEGMENT_LEN_MAX = 64 * 1024 * 1024  # far over SIZE_MAX; a longer file isn't ours


class Found:
    """What there was. useless: files that can't be removed now. notes are sentences for the log."""

    __slots__ = ("ledger_file", "notes", "segments", "useless")

    def __init__(self, ledger_file: LedgerFile) -> None:
        self.ledger_file = ledger_file
        self.segments: list[list[Segment]] = [[] for _ in segment.LANES]
        self.notes: list[str] = []
        self.useless: list[Useless] = []


def _scan(disk: Disk, fd: int, found: Segment, ceiling: int) -> bool:
    """Find the segment's last good frame up to that number; whether more was being written. Behind that may lie what an
    evicted segment held whose file this was."""
    generation = found.header.generation
    data = salvage.read(disk, fd, HEADER_LEN, found.size - HEADER_LEN)
    offset, floor = 0, found.header.first_seq - 1
    while True:
        spans = frames.scan(data, generation, floor, offset)
        count = spans.count_up_to(ceiling)
        if count:
            if found.admitted_us_min == 0:
                found.admitted_us_min = spans.admitted_us(0)
            floor, offset = spans.seq(count - 1), spans.offset(count)
            found.admitted_us_max = spans.admitted_us(count - 1)
            found.last_seq, found.end = floor, HEADER_LEN + offset
        if count < spans.count:
            return True
        if count:
            continue
        further = frames.find(data, generation, floor, offset)
        if further == len(data):
            return frames.is_begun(data, offset, floor + 1)
        offset = further


def _ceiling(line: LaneLedger, first_seq: int, newer: list[Segment]) -> int:
    """The last number that this segment may hold. After a failed write its number was given again, to the next segment:
    one that is there, or that was evicted. A footer may have been written when that one couldn't be read. And what was
    evicted is evicted whole."""
    ceiling = newer[0].first_seq - 1 if newer else SEQ_MAX
    if first_seq < line.hole_first:
        return min(ceiling, line.hole_first - 1)
    return min(ceiling, line.hole_next - 1) if first_seq < line.hole_next else ceiling


def _read_segment(disk: Disk, name: str, found: Found) -> Segment | str:
    """What it holds, or why it is of no use."""
    lane, generation = segment.parse_name(name) or (0, 0)
    newer = found.segments[lane]
    fd = disk.open(name)
    try:
        length = disk.length(fd)
        header = segment.parse_header(salvage.read(disk, fd, 0, HEADER_LEN))
        if header is None or length > SEGMENT_LEN_MAX:
            return NO_HEADER
        if (header.lane, header.generation) != (lane, generation):
            return NEVER_BEGUN if found.ledger_file.account.lanes[header.lane].is_past(header.first_seq) else NO_HEADER
        read = Segment(header, length)
        ceiling = _ceiling(found.ledger_file.account.lanes[lane], header.first_seq, newer)
        footer = segment.parse_footer(
            salvage.read(disk, fd, max(0, length - FOOTER_LEN), FOOTER_LEN), generation, length
        )
        if footer is not None and footer.last_seq <= ceiling:
            read.last_seq, read.end = footer.last_seq, footer.frames_end
            read.admitted_us_min, read.admitted_us_max = footer.admitted_us_min, footer.admitted_us_max
            read.sealed = True
            return read
        if _scan(disk, fd, read, ceiling):
            found.notes.append(f"the last bytes of segment {name} were not acknowledged to anybody and are cut off")
        return read
    finally:
        disk.close_file(fd)


def _read_stubbornly(disk: Disk, name: str, found: Found) -> Segment | str:
    """A file that can't be opened once may well be there. Why, where it is of no use."""
    for left in reversed(range(salvage.TRIES)):
        try:
            return _read_segment(disk, name, found)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            if left == 0:
                return f"can't be read ({error.strerror})"
    raise AssertionError


def recover(disk: Disk, quarantine: Quarantine, continued: Ledger | None = None) -> Found:
    """Read the directory. Segments without a footer come back unsealed, for the caller to seal. continued: the account
    that holds where there are neither segments nor a ledger."""
    names = sorted((name for name in disk.names() if segment.parse_name(name) is not None), reverse=True)
    ledger_file = LedgerFile(disk)
    found = Found(ledger_file)
    if not ledger_file.was_readable and names:
        found.notes.append(
            "the spool has no readable ledger: it begins a new account, and everything in it is sent again"
        )
    elif not ledger_file.was_readable and continued is not None:
        ledger_file.account = continued
    for name in names:  # the newest first: it has the numbers that two of them hold
        lane, generation = segment.parse_name(name) or (0, 0)
        found.ledger_file.account.segment_generation = max(found.ledger_file.account.segment_generation, generation)
        try:
            read = _read_stubbornly(disk, name, found)
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
                raise
            found.notes.append(f"{name} in the spool can't be read ({error.strerror}), ignoring")
            continue
        if isinstance(read, str):
            _see_off(Useless(name, read), disk, quarantine, found)
        else:
            found.segments[lane].insert(0, read)
    for lane, segments in enumerate(found.segments):
        _reconcile(found, lane, segments)
    return found


def _see_off(useless: Useless, disk: Disk, quarantine: Quarantine, found: Found) -> None:
    gone, sentence = useless.remove(disk, quarantine)
    if sentence:
        found.notes.append(sentence)
    if not gone:
        useless.bytes = disk.length_of(useless.name)
        found.useless.append(useless)


def _reconcile(found: Found, lane: int, segments: list[Segment]) -> None:
    """Where ledger and segments tell of different numbers, the higher ones hold: what was numbered but is in no segment
    is a gap, which Lane.missing() tells and the reader counts as it passes."""
    line = found.ledger_file.account.lanes[lane]
    if segments and line.next_seq == 1 and line.cursor == 1:
        line.cursor = segments[0].first_seq  # a new account over old segments
        line.carried = line.cursor - 1
    last_seq = max((each.last_seq for each in segments), default=0)
    line.next_seq = max(line.next_seq, last_seq + 1)
    line.cursor = min(line.cursor, line.next_seq)
    lost = line.next_seq - 1 - max(last_seq, line.cursor - 1)
    if lost > 0:
        found.notes.append(f"{lost} records at the end of lane {segment.LANES[lane]} are lost: their frames are gone")
