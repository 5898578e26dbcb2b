# SPDX-License-Identifier: Apache-2.0
"""An end to whatever blocks: the only use of signals and timers among the transports. Never anything about HTTP."""

from __future__ import annotations

import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType


class DeadlinePassed(BaseException):
    """Not an Exception, so that no handler inside the HTTP stack takes it for one of its own."""


class Deadline:
    """Ends whatever blocks in the main thread once time.monotonic() passes at_s.

    Socket timeouts start anew with every byte, in the TLS handshake, the answer's headers and its body alike: a server
    that sends one byte a second would hold the courier for hours. An alarm has no such gaps. It repeats, because an
    exception that is raised inside a destructor is lost.
    """

    __slots__ = ("_at_s", "_before", "_on")

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s
        self._on = False

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGALRM, self._ring)
        self._on = True
        signal.setitimer(signal.ITIMER_REAL, max(self._at_s - time.monotonic(), 0.001), 0.5)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._on = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, self._before)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._on:
            raise DeadlinePassed
