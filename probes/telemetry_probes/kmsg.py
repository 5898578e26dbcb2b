# SPDX-License-Identifier: Apache-2.0
"""/dev/kmsg, record by record (Linux, Documentation/ABI/testing/dev-kmsg): only what the kernel itself says, in the
order of its sequence numbers, and how much of it was overwritten before it could be read.

What a record means must never come in here.
"""

from __future__ import annotations

import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEVICE = "/dev/kmsg"
RECORD_BYTES_MAX = 16_384
"""Twice the kernel's own limit."""
TRIES_MAX = 1000
"""To read one record, while the kernel overwrites those that come next."""
LINES_MAX = 64
"""Of one record."""
FILE_BYTES_MAX = 32 * 1024 * 1024
"""Of a saved log that is read like the device."""
KERNEL = 0
"""The facility of the kernel's own records; whoever may write to /dev/kmsg gets another."""

_EPIPE, _EAGAIN, _EINVAL, _EINTR = 32, 11, 22, 4
_S_IFMT, _S_IFREG = 0o170000, 0o100000


class Entry:
    """One record. `seq`: its number since the boot; `time_us` since the boot; `caller`: T and a thread's number or C
    and a processor's, empty where the kernel doesn't say; `goes_on`: a piece of the line before."""

    __slots__ = ("caller", "facility", "goes_on", "seq", "text", "time_us")

    def __init__(self, seq: int, time_us: int, facility: int, caller: str, goes_on: bool, text: str) -> None:
        self.seq = seq
        self.time_us = time_us
        self.facility = facility
        self.caller = caller
        self.goes_on = goes_on
        self.text = text

    def lines(self) -> list[str]:
        """Its text in lines: most have one."""
        if "\n" not in self.text:
            return [self.text]
        return self.text.split("\n", LINES_MAX)[:LINES_MAX]


def entry(record: bytes) -> Entry | None:
    """One record as it is read from the device. None for what isn't one."""
    head, semicolon, rest = record.partition(b";")
    fields = head.split(b",")
    if not semicolon or len(fields) < 3 or len(head) > 512:
        return None
    try:
        level, seq, time_us = int(fields[0]), int(fields[1]), int(fields[2])
    except ValueError:
        return None
    if level < 0 or seq < 0 or time_us < 0:
        return None
    caller = ""
    for field in fields[4:]:
        if field.startswith(b"caller="):
            caller = field[len(b"caller=") :][:16].decode("ascii", "replace")
    text = rest.partition(b"\n")[0]  # what follows are the driver's own words, KEY=value
    goes_on = len(fields) > 3 and fields[3] == b"+"
    return Entry(seq, time_us, level >> 3, caller, goes_on, _unescaped(text))


def _unescaped(text: bytes) -> str:
    """What is not printable is written as \\x and two digits."""
    if b"\\x" not in text:
        return text.decode("utf-8", "replace")
    first, *pieces = text.split(b"\\x")
    whole = bytearray(first)
    for piece in pieces:
        try:
            whole.append(int(piece[:2], 16))
            whole += piece[2:]
        except ValueError:
            whole += b"\\x" + piece
    return whole.decode("utf-8", "replace")


class Reader:
    """The device, or what stands for it: a descriptor from which each read gives a record, or a saved log.

    `lost`: records that were overwritten before they were read. `ended`: nothing more will come.
    """

    __slots__ = ("_next_seq", "_saved", "ended", "fd", "lost")

    def __init__(self, fd: int) -> None:
        """Takes the descriptor over. OSError."""
        self.fd = fd
        self.lost = 0
        self.ended = False
        self._next_seq: int | None = None
        self._saved: Iterator[bytes] | None = None
        if posix.fstat(fd).st_mode & _S_IFMT == _S_IFREG:
            self._saved = iter(_all(fd).splitlines())
        else:
            posix.set_blocking(fd, False)

    def read(self, most: int) -> list[Entry]:
        """The next records, the kernel's own alone, at most so many; none where nothing more is there. OSError."""
        found: list[Entry] = []
        for _ in range(most):
            record = self._record()
            if record is None:
                break
            one = entry(record)
            if one is None:
                continue
            if self._next_seq is not None and one.seq > self._next_seq:
                self.lost += one.seq - self._next_seq
            self._next_seq = one.seq + 1
            if one.facility == KERNEL:
                found.append(one)
        return found

    @property
    def is_saved(self) -> bool:
        """A file, not the log of this boot."""
        return self._saved is not None

    @property
    def next_seq(self) -> int:
        """The number of the record after those that were read."""
        return self._next_seq or 0

    def _record(self) -> bytes | None:
        if self._saved is not None:
            record = next(self._saved, None)
            self.ended = record is None
            return record
        tries = 0
        while True:
            try:
                record = posix.read(self.fd, RECORD_BYTES_MAX)
            except OSError as error:
                if error.errno == _EAGAIN:
                    return None
                tries += 1
                if error.errno in (_EPIPE, _EINVAL, _EINTR) and tries < TRIES_MAX:
                    continue  # overwritten meanwhile, or too long: the numbers tell how many
                raise
            self.ended = not record
            return record or None


def opened(path: str) -> Reader:
    """`path`: the device, a saved log, or the number of a descriptor that is open. OSError."""
    if path.isascii() and path.isdigit():
        return Reader(posix.dup(int(path)))
    fd = posix.open(path, posix.O_RDONLY | posix.O_NONBLOCK | posix.O_CLOEXEC)
    try:
        return Reader(fd)
    except BaseException:
        posix.close(fd)
        raise


def _all(fd: int) -> bytes:
    content = bytearray()
    while len(content) < FILE_BYTES_MAX:
        piece = posix.read(fd, 1 << 16)
        if not piece:
            break
        content += piece
    return bytes(content)
