# SPDX-License-Identifier: Apache-2.0
"""Reads many small files whose drivers may be slow, or never answer, without waiting for them.

A thread reads, for whoever asks; what isn't there in time is there the next time. A file that holds the thread up is
left out, with the thread that it holds, until it has answered and some time has passed. What a file says is never
looked at here.
"""

from __future__ import annotations

import _thread
import posix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

WAIT_S = 0.1
"""How long all() waits for a round of reading to end."""
STUCK_S = 5.0
"""A file that is being read when all() is called, and still is this long afterwards, is left out."""
AGAIN_S = 600.0
"""It is read again after this long, if it has answered meanwhile."""
STUCK_MAX = 8
"""Files that are left out; with more nothing is read any longer."""
FILE_BYTES_MAX = 4096
_ENODEV, _ETIMEDOUT = 19, 110


class Readings:
    """descriptors: of the files, owned by this from now on."""

    __slots__ = ("_descriptors", "_held", "_read", "_round", "_stuck", "_wait_s")

    def __init__(
        self,
        descriptors: Sequence[int],
        wait_s: float = WAIT_S,
        read: Callable[[int, int, int], bytes] = posix.pread,
    ) -> None:
        self._descriptors = tuple(descriptors)
        self._wait_s = wait_s
        self._read = read
        self._stuck: dict[int, tuple[float, _Thread]] = {}
        self._held: tuple[int, float] | None = None
        """The file that a round was found to be at before it ended, and when."""
        self._round: _Thread | None = None

    @property
    def gone(self) -> bool:
        """Whether a file's device has been taken away."""
        return self._round is not None and self._round.gone

    def all(self, now_s: float) -> list[bytes]:
        """What each file has, in their order; b"" for one that can't be read, or isn't at once. Where the drivers are
        slow a content may be that of the round before. now_s: seconds since the boot."""
        thread = self._round
        if thread is not None and thread.busy:
            if self._held is None or self._held[0] != thread.at:
                self._held = (thread.at, now_s)
            if now_s - self._held[1] < STUCK_S:
                return [b""] * len(self._descriptors)
            thread.left = True
            self._stuck[self._held[0]] = (now_s, thread)
            thread = self._round = None
        self._held = None
        for at, (since_s, held) in tuple(self._stuck.items()):
            if not held.busy and now_s - since_s >= AGAIN_S:
                del self._stuck[at]
        if len(self._stuck) > STUCK_MAX:
            raise TimeoutError(
                _ETIMEDOUT, f"{len(self._stuck)} files of the kernel never answer: look at dmesg for their driver"
            )
        if thread is None:
            thread = self._round = _Thread(self._descriptors, self._read, self._stuck)
        return thread.round(self._wait_s)

    def close(self) -> None:
        """Gives the files back. A thread that is being held up ends by itself, if ever."""
        if self._round is not None:
            self._round.end()
            self._round = None
        for descriptor in self._descriptors:
            posix.close(descriptor)
        self._descriptors = ()


class _Thread:
    """It reads round after round, each when it is told to. out: the files that are left out, by their places."""

    __slots__ = ("_begin", "_contents", "_descriptors", "_ended", "_out", "_read", "at", "busy", "gone", "left")

    def __init__(
        self, descriptors: tuple[int, ...], read: Callable[[int, int, int], bytes], out: Mapping[int, object]
    ) -> None:
        self._descriptors = descriptors
        self._read = read
        self._out = out
        self._contents = [b""] * len(descriptors)
        self._begin = _thread.allocate_lock()
        self._ended = _thread.allocate_lock()
        self._begin.acquire()
        self._ended.acquire()
        self.at = 0
        self.busy = self.gone = self.left = False
        _thread.start_new_thread(self._run, ())

    def round(self, wait_s: float) -> list[bytes]:
        """Not while it is busy."""
        self._ended.acquire(blocking=False)  # a round that ended after its wait was over
        self.busy = True
        self._begin.release()
        self._ended.acquire(timeout=wait_s)
        return self._contents.copy()

    def end(self) -> None:
        self.left = True
        if not self.busy:
            self._begin.release()
            self._ended.acquire(timeout=1.0)

    def _run(self) -> None:
        while True:
            self._begin.acquire()
            for at, descriptor in enumerate(self._descriptors):
                if self.left:
                    break
                self.at = at
                self._contents[at] = b"" if at in self._out else self._content(descriptor)
            self.busy = False
            # Open still where nobody waited for the round before; nobody else opens it.
            if self._ended.locked():
                self._ended.release()
            if self.left:
                return

    def _content(self, descriptor: int) -> bytes:
        try:
            return self._read(descriptor, FILE_BYTES_MAX, 0)
        except OSError as error:
            self.gone = self.gone or error.errno == _ENODEV
            return b""
