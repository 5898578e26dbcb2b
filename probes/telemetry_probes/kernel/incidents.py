# SPDX-License-Identifier: Apache-2.0
"""Which kernel reports are told as one event: a panic that follows a report is its end, and a kill for want of memory
is the end of a process, of which the journal tells, too.

Whoever reads the reports of one boot in their order (the kernel's log, a dump, the journal) comes to the same ids.
Pure: reports in, ids out.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.kernel.assembly import Report
    from telemetry_probes.oops import Oops

SAME_INCIDENT_US = 10_000_000
"""A panic that follows a report within this is told as the same event."""


class Incidents:
    """What the last report was, and its event."""

    __slots__ = ("_boot", "_ended_us", "_event", "_secret")

    def __init__(self, secret: bytes, boot: str = "") -> None:
        """`boot`: the id of the boot that the reports are of, where it is known."""
        self._secret = secret
        self._boot = boot
        self._ended_us = 0
        self._event = b""

    def event(self, report: Report, found: Oops) -> bytes:
        """The 16 bytes of that report's event. Ask in the order of the reports."""
        from telemetry_probes.kernel import identity  # nothing of it is needed while there is no report

        follows = self._event and 0 <= report.time_us - self._ended_us <= SAME_INCIDENT_US
        if found.kind != "panic" or not follows:
            self._event = identity.event_id(self._secret, found)
        self._ended_us = report.last_us
        return self._kill(report) if found.kind == "oom" and self._boot else self._event

    def _kill(self, report: Report) -> bytes:
        """The event of the process that was killed, as everybody knows it."""
        from telemetry_probes import eventid
        from telemetry_probes.kernel import memory

        pid = memory.victim(report.lines)
        return eventid.of_crash(self._boot, pid) if pid else self._event
