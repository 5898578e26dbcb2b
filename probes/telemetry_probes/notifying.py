# SPDX-License-Identifier: Apache-2.0
"""What systemd is told of a probe by sd_notify(3): that it is ready, and, for its watchdog, that it goes on.

Does nothing where no service manager listens. When a probe is ready, or goes on, never comes in here.
"""

from __future__ import annotations

import posix

PATIENCE_S = 1.0
"""For systemd to have room for it; and how soon it is told again where it had none."""
SHARE = 3
"""It is told so often in the time that the unit's WatchdogSec= allows: once may fail."""


def tell(text: bytes) -> str:
    """Why systemd can't be told, as a sentence; empty where it was, or isn't there."""
    path = posix.environ.get(b"NOTIFY_SOCKET", b"")
    if not path:
        return ""
    from _socket import AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, socket

    try:
        notifying = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC)
    except OSError as error:
        return error.strerror or "there is no socket to be had"
    try:
        notifying.settimeout(PATIENCE_S)
        notifying.sendto(text, b"\0" + path[1:] if path.startswith(b"@") else path)
    except OSError as error:
        return error.strerror or "it doesn't listen in time"
    finally:
        notifying.close()
    return ""


class Watchdog:
    """Times are of one clock that the caller chooses, in seconds."""

    __slots__ = ("_due_s", "_every_s")

    def __init__(self) -> None:
        limit_us = posix.environ.get(b"WATCHDOG_USEC", b"")
        whose = posix.environ.get(b"WATCHDOG_PID", b"")
        ours = whose in (b"", b"%d" % posix.getpid())
        self._every_s = int(limit_us) / 1_000_000 / SHARE if ours and limit_us.isdigit() and len(limit_us) < 19 else 0.0
        self._due_s = 0.0

    def next_s(self) -> float | None:
        """When it has to be told again; None: never."""
        return self._due_s if self._every_s else None

    def work(self, now_s: float, _: int = 0) -> None:
        """The probe goes on: tell it where that is due."""
        if self._every_s and now_s >= self._due_s:
            self._due_s = now_s + (min(PATIENCE_S, self._every_s) if tell(b"WATCHDOG=1") else self._every_s)
