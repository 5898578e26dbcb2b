# SPDX-License-Identifier: Apache-2.0
"""When telemd has nothing to do: it gives memory back, and leaves where systemd will call it again; and the mark by
which systemd knows that it isn't done.

Ends nothing itself: the loop is told.
"""

from __future__ import annotations

import logging

from telemd import unfinished

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemd.config import Settings
    from telemd.inbound import Inbound
    from telemd.outbound import Outbound
    from telemd.spoolplace import SpoolPlace

log = logging.getLogger("telemd")

TRIM_AFTER_MS: Final = 5000


class Idleness:
    """busy_ms: when something happened last, monotonic. called_again: systemd holds the sockets, and starts telemd when
    somebody connects."""

    __slots__ = ("_inbound", "_outbound", "_place", "busy_ms", "called_again")

    def __init__(self, inbound: Inbound, outbound: Outbound, place: SpoolPlace, now_ms: int) -> None:
        self._inbound = inbound
        self._outbound = outbound
        self._place = place
        self.busy_ms = now_ms
        self.called_again = False

    def due_ms(self, settings: Settings) -> int | None:
        """When look() is to be called."""
        times = []
        if not self._inbound.trimmed:
            times.append(self.busy_ms + TRIM_AFTER_MS)
        if self._may_leave(settings):
            times.append(self.busy_ms + settings.idle_exit_s * 1000)
        return min(times, default=None)

    def look(self, settings: Settings, now_ms: int) -> bool:
        """Give memory back when it is time; whether it is time to leave."""
        if not self._inbound.trimmed and now_ms >= self.busy_ms + TRIM_AFTER_MS:
            self._inbound.trim()
        return now_ms >= self.busy_ms + settings.idle_exit_s * 1000 and self._may_leave(settings)

    def mark_begun(self, settings: Settings) -> None:
        """For systemd's telemd.path: there is something to come back for."""
        try:
            unfinished.begin(settings.state_dir)
        except OSError as error:
            log.warning("%s can't be made (%s), ignoring", f"{settings.state_dir}/{unfinished.NAME}", error.strerror)

    def mark_left(self, settings: Settings) -> None:
        """There is nothing to come back for any more, if that is so."""
        if not self._has_finished():
            return
        try:
            unfinished.end(settings.state_dir)
        except OSError as error:
            path = f"{settings.state_dir}/{unfinished.NAME}"
            log.warning("%s can't be removed (%s), ignoring", path, error.strerror)

    def _may_leave(self, settings: Settings) -> bool:
        """systemd will start us again, and nothing here waits for being sent."""
        if not settings.daemon_recycling_enabled or settings.idle_exit_s == 0 or not self.called_again:
            return False
        return self._has_finished()

    def _has_finished(self) -> bool:
        spool, importer = self._place.spool, self._place.importer
        nothing_waits = spool is None or self._outbound.destination is None or spool.pending() == 0
        nothing_lies_there = importer is None or importer.idle
        return nothing_waits and nothing_lies_there and not self._outbound.delivery.in_flight
