# SPDX-License-Identifier: Apache-2.0
"""Signals as something that a loop can wait for: they are remembered, and a pipe becomes readable.

What a signal means is the daemon's affair.
"""

from __future__ import annotations

import contextlib
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

WATCHED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""SIGCHLD only wakes: whoever started the process looks for it."""

_PIPE_BYTES: Final = 512


class Signals:
    """From watch() on; of one process."""

    __slots__ = ("_received", "_waker", "_woken")

    def __init__(self) -> None:
        self._woken, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._received: set[int] = set()

    def watch(self) -> None:
        """Take them over from what they did before."""
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        for number in WATCHED:
            signal.signal(number, lambda received, _: self._received.add(received))

    def fileno(self) -> int:
        """Readable when there is something to take."""
        return self._woken

    def take(self) -> set[int]:
        """Those that came since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, _PIPE_BYTES)
        received, self._received = self._received, set()
        return received
