# SPDX-License-Identifier: Apache-2.0
"""Memory of the dead process, as what was kept of it or as a file descriptor that is asked: both are `model.Memory`.

Unwinding reads little else than words on a stack, so `word` is short. Nothing here knows what the bytes mean.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from posix import close, pread
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.loads import Loads
    from telemetry_probes.crash.model import Memory

READ_MAX = 16 << 20
"""Bytes that one `read` gives at the most: a size out of a hostile core is not to become our memory."""
PAGE = 4096
PAGES_MAX = 128
"""Pages of a file descriptor that are remembered: 512 KiB. Of a thread's stack few are read, and those once."""

_word = Struct("<Q").unpack_from


class Windows:
    """Stretches of memory that were kept. They may touch, and are then read across; they must not overlap."""

    __slots__ = ("_buffers", "_starts", "size")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._buffers: dict[int, bytes | bytearray] = {}
        self.size = 0

    def add(self, start: int, content: bytes | bytearray) -> None:
        """Keep `content`, which was at `start`. Of two that begin at one address the first stays."""
        if content and start not in self._buffers:
            insort(self._starts, start)
            self._buffers[start] = content
            self.size += len(content)

    def word(self, address: int) -> int | None:
        """The unsigned 8 byte number at `address`, or None."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        start = self._starts[index]
        content = self._buffers[start]
        if address - start + 8 <= len(content):
            value: int = _word(content, address - start)[0]
            return value
        return _across(self.read(address, 8))

    def read(self, address: int, size: int) -> bytes | None:
        """Exactly `size` bytes, or None."""
        if not 0 <= size <= READ_MAX:
            return None
        found = b""
        while True:
            index = bisect_right(self._starts, address) - 1
            if index < 0:
                return None
            start = self._starts[index]
            content = self._buffers[start]
            inside = address - start
            part = content[inside : inside + size]
            if len(part) == size:
                return found + part
            if not part:
                return None
            found += part
            address += len(part)
            size -= len(part)


class Pages:
    """Memory read from a file descriptor when it is asked for: a core in a regular file, or /proc/PID/mem.

    It owns the descriptor. `loads` say where in the file an address is; what can't be read is absent.
    """

    __slots__ = ("_fd", "_loads", "_pages")

    def __init__(self, fd: int, loads: Loads) -> None:
        self._fd = fd
        self._loads = loads
        self._pages: dict[int, tuple[int, bytes]] = {}

    def word(self, address: int) -> int | None:
        """The unsigned 8 byte number at `address`, or None."""
        start, content = self._pages.get(address // PAGE) or self._page(address)
        if 0 <= address - start <= len(content) - 8:
            value: int = _word(content, address - start)[0]
            return value
        return _across(self.read(address, 8))

    def read(self, address: int, size: int) -> bytes | None:
        """Exactly `size` bytes, or None."""
        if not 0 <= size <= READ_MAX:
            return None
        if size <= PAGE:
            start, content = self._pages.get(address // PAGE) or self._page(address)
            if 0 <= address - start <= len(content) - size:
                return content[address - start : address - start + size]
        found = b""
        while len(found) < size:
            part = self._read(address + len(found), size - len(found))
            if not part:
                return None
            found += part
        return found

    def close(self) -> None:
        """Let go of the descriptor. What wasn't read yet is absent from now on."""
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1

    def _page(self, address: int) -> tuple[int, bytes]:
        """The page that `address` is in, or as much of it as one load has."""
        load = self._loads.at(address)
        if load is None:
            return 0, b""
        start = max(address // PAGE * PAGE, load.start)
        page = start, self._read(start, PAGE - start % PAGE)
        if len(self._pages) >= PAGES_MAX:
            self._pages.clear()
        self._pages[address // PAGE] = page
        return page

    def _read(self, address: int, size: int) -> bytes:
        load = self._loads.at(address)
        if load is None or address >= load.kept_end:
            return b""
        try:
            return pread(self._fd, min(size, load.kept_end - address), load.offset + address - load.start)
        except (OSError, OverflowError):
            return b""  # a page that is gone, a file that was cut, an offset beyond what a file can have


def _across(content: bytes | None) -> int | None:
    """A word of which the parts had to be put together."""
    return None if content is None else int.from_bytes(content, "little")


class Layers:
    """One memory, and where that has nothing, another."""

    __slots__ = ("_above", "_below")

    def __init__(self, above: Memory, below: Memory) -> None:
        self._above = above
        self._below = below

    def word(self, address: int) -> int | None:
        """The unsigned 8 byte number at `address`, or None."""
        value = self._above.word(address)
        return self._below.word(address) if value is None else value

    def read(self, address: int, size: int) -> bytes | None:
        """Exactly `size` bytes, or None. What is partly here and partly there is absent."""
        content = self._above.read(address, size)
        return self._below.read(address, size) if content is None else content
