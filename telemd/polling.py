# SPDX-License-Identifier: Apache-2.0
"""What the loop waits for: descriptors, some for ever and the courier's for as long as there is one (epoll(7)).

Reads and writes none of them.
"""

from __future__ import annotations

import contextlib
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.courierport import CourierPort


class Polling:
    """courier_fd: of the courier that is watched, -1 where there is none. One that is closed is no longer watched."""

    __slots__ = ("_epoll", "courier_fd")

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.courier_fd = -1

    def watch(self, fd: int) -> None:
        """Wait for it to become readable, until it is closed."""
        self._epoll.register(fd, select.EPOLLIN)

    def watch_courier(self, port: CourierPort) -> None:
        """As it is now: another process than before, or none, or one to which more is to be written."""
        if not port.running:
            self.courier_fd = -1
            return
        mask = select.EPOLLIN | (select.EPOLLOUT if port.wants_to_write else 0)
        if self.courier_fd == port.fileno():
            with contextlib.suppress(FileNotFoundError):
                self._epoll.modify(self.courier_fd, mask)
                return
        self.courier_fd = port.fileno()
        self._epoll.register(self.courier_fd, mask)

    def wait(self, seconds: float) -> list[int]:
        """Those that are ready, after so many seconds at most; below 0: however long it takes."""
        return [fd for fd, _ in self._epoll.poll(seconds)]
