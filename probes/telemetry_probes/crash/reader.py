# SPDX-License-Identifier: Apache-2.0
"""Bytes of a file descriptor in the order of the file: taken, or dropped without being looked at.

What is dropped of a pipe goes through splice(2) to /dev/null and is never copied. Nothing here knows what a core is,
and nothing raises: where the bytes end early, `ended` says why and fewer come.
"""

from __future__ import annotations

import posix
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from select import poll

CUT = "the core ended early"
LATE = "the time to read the core was over"
FAILED = "the core couldn't be read further"

CHUNK = 64 << 10
DROPPED_AT_ONCE = 1 << 20
"""Also what a pipe is asked to hold (fs.pipe-max-size is 1 MiB unless someone changed it)."""
_F_SETPIPE_SZ = 1031
_S_IFMT, _S_IFREG, _S_IFIFO = 0o170000, 0o100000, 0o010000


class Reader:
    """Reads from the start of a regular file (`regular`), or onwards from anything else.

    `ended` is empty, or why nothing more comes; `size` is that of a regular file, otherwise 0.
    """

    __slots__ = ("_at", "_chunk", "_deadline", "_fd", "_next", "_null", "_poll", "ended", "regular", "size")

    def __init__(self, fd: int, deadline: float | None = None) -> None:
        """`deadline` in seconds of time.monotonic(), None for none."""
        self._fd = fd
        self._deadline = deadline
        self._chunk = b""
        self._at = 0
        self._next = 0  # offset of the first byte that isn't in the chunk
        self._null = -1
        self._poll: poll | None = None
        self.ended = ""
        self.regular = False
        self.size = 0
        try:
            about = posix.fstat(fd)
        except OSError:
            self.ended = FAILED
            return
        self.regular = about.st_mode & _S_IFMT == _S_IFREG
        if self.regular:
            self.size = about.st_size
        else:
            self._prepare(about.st_mode & _S_IFMT == _S_IFIFO)

    @property
    def position(self) -> int:
        """The offset of the byte that comes next."""
        return self._next - len(self._chunk) + self._at

    def take(self, size: int) -> bytes | bytearray:
        """The next `size` bytes; fewer where they end."""
        at = self._at
        if at + size > len(self._chunk):
            if size >= CHUNK:
                return self.take_all(size)
            rest = self._chunk[at:]
            while len(rest) < size and (more := self._more()):
                rest += more
            self._chunk, at = rest, 0
        self._at = min(at + size, len(self._chunk))
        return self._chunk[at : self._at]

    def take_all(self, size: int) -> bytearray:
        """As `take`, without a copy: for what is big and kept."""
        content = bytearray(size)
        had = self._chunk[self._at : self._at + size]
        content[: len(had)] = had
        self._at += len(had)
        done = len(had)
        with memoryview(content) as view:
            while done < size:
                with view[done:] as rest:
                    count = self._into(rest)
                if not count:
                    break
                done += count
        del content[done:]
        return content

    def skip_to(self, offset: int) -> bool:
        """Go on at `offset`; False where that can't be: it has passed by, or the bytes end before it."""
        distance = offset - self.position
        if self.regular:
            if not distance:
                return True
            if offset > self.size:
                return False  # there is more before that, so this is no end
            if 0 <= self._at + distance <= len(self._chunk):
                self._at += distance
            else:
                self._chunk, self._at, self._next = b"", 0, offset
            return True
        if distance < 0:
            return False
        at_hand = min(distance, len(self._chunk) - self._at)
        self._at += at_hand
        return self._drop(distance - at_hand)

    def close(self) -> None:
        """Let go of what this opened; the descriptor itself is the caller's."""
        if self._null >= 0:
            posix.close(self._null)
            self._null = -1

    def _prepare(self, pipe: bool) -> None:
        from select import POLLIN, poll

        self._poll = poll()
        self._poll.register(self._fd, POLLIN)
        if not pipe:
            return
        from fcntl import fcntl

        try:
            fcntl(self._fd, _F_SETPIPE_SZ, DROPPED_AT_ONCE)
        except OSError:
            pass  # above the user's share of pipes: it works with 64 KiB too
        try:
            self._null = posix.open("/dev/null", posix.O_WRONLY | posix.O_CLOEXEC)
        except OSError:
            pass  # then what is dropped is copied

    def _ready(self) -> bool:
        """Wait until there is something to read; False when the time was over before that."""
        wait_ms: float | None = None
        if self._deadline is not None:
            wait_ms = (self._deadline - time.monotonic()) * 1000
            if wait_ms <= 0:
                self.ended = self.ended or LATE
        if not self.ended and self._poll is not None and not self._poll.poll(wait_ms):
            self.ended = LATE
        return not self.ended

    def _more(self) -> bytes:
        if not self._ready():
            return b""
        try:
            more = posix.pread(self._fd, CHUNK, self._next) if self.regular else posix.read(self._fd, CHUNK)
        except (OSError, OverflowError):
            self.ended = FAILED
            return b""
        if not more:
            self.ended = CUT
        self._next += len(more)
        return more

    def _into(self, view: memoryview) -> int:
        if not self._ready():
            return 0
        try:
            count = posix.preadv(self._fd, [view], self._next) if self.regular else posix.readv(self._fd, [view])
        except (OSError, OverflowError):
            self.ended = FAILED
            return 0
        if not count:
            self.ended = CUT
        self._next += count
        return count

    def _drop(self, size: int) -> bool:
        while size and self._null >= 0:
            if not self._ready():
                return False
            try:
                count = posix.splice(self._fd, self._null, min(size, DROPPED_AT_ONCE))
            except OSError:
                self.close()  # no splice here: copy
                break
            if not count:
                self.ended = CUT
                return False
            self._next += count
            size -= count
        if size:
            with memoryview(bytearray(min(size, CHUNK))) as scratch:
                while size:
                    with scratch[: min(size, CHUNK)] as part:
                        count = self._into(part)
                    if not count:
                        return False
                    size -= count
        return True
