# SPDX-License-Identifier: Apache-2.0
"""What systemd is told of us, by sd_notify(3), and how often its watchdog wants to hear from us.

Does nothing where no service manager listens.
"""

from __future__ import annotations

import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sdnotify import SystemdNotifier


class ServiceState:
    """READY, STATUS, RELOADING, STOPPING, WATCHDOG."""

    __slots__ = ("_notifier", "_status", "watchdog_ms")

    def __init__(self) -> None:
        self._notifier: SystemdNotifier | None = None
        self._status = ""
        self.watchdog_ms: int | None = None  # half of what systemd allows
        if "NOTIFY_SOCKET" in os.environ:
            from sdnotify import SystemdNotifier

            self._notifier = SystemdNotifier()
            if os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
                limit_us = os.environ.get("WATCHDOG_USEC", "")
                self.watchdog_ms = max(1, int(limit_us) // 2000) if limit_us.isdecimal() and int(limit_us) else None

    @property
    def listens(self) -> bool:
        """A service manager has started us, and wants to hear from us."""
        return self._notifier is not None

    def _say(self, text: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(text)

    def ready(self) -> None:
        """Sockets are open, the spool is usable."""
        self._say("READY=1")

    def reloading(self) -> None:
        """SIGHUP is being worked on; ready() ends it."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """SIGTERM, or idle for long enough."""
        self._say("STOPPING=1")

    def watchdog(self) -> None:
        """Still alive."""
        self._say("WATCHDOG=1")

    def status(self, sentence: str) -> None:
        """For `systemctl status`; said only when it changes."""
        if sentence != self._status:
            self._status = sentence
            self._say(f"STATUS={sentence}")
