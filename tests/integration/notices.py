# SPDX-License-Identifier: Apache-2.0
"""A socket that stands for systemd's, to which services say how they are (sd_notify(3))."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

from running import TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path


class Notices:
    """A NOTIFY_SOCKET; what came, by assignment, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.received: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.bind(str(path))

    def next(self, *names: str) -> dict[str, str]:
        """The next message with one of these names in it, others read on the way."""
        while True:
            text = self._socket.recv(65536).decode()
            message = dict(line.split("=", 1) for line in text.splitlines())
            self.received.append(message)
            if message.keys() & set(names):
                return message

    def has_more(self) -> bool:
        """Something has come that wasn't read."""
        return bool(select.select([self._socket], [], [], 0)[0])

    def close(self) -> None:
        self._socket.close()
