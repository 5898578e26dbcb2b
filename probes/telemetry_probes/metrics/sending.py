# SPDX-License-Identifier: Apache-2.0
"""Samples to telemd: a record a minute, and what happens to those that it doesn't take at once.

An outage of the server is telemd's affair. Here wait only the records of the time in which telemd itself isn't there,
the oldest of which go first. What a record looks like is columns' to say, which samples are in it minutes'.
"""

from __future__ import annotations

from time import CLOCK_BOOTTIME, clock_gettime, time
from zlib import crc32

from libtelemetry import METRIC, Record, is_opted_in
from telemetry_probes.consent import static_machine_id
from telemetry_probes.metrics.columns import PAYLOAD_VERSION, packed
from telemetry_probes.metrics.minutes import MINUTE_US, Minutes
from telemetry_probes.offering import DONE, NEVER, offer
from telemetry_probes.program import Mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry_probes.metrics.account import Account
    from telemetry_probes.metrics.columns import Table
    from telemetry_probes.metrics.model import Series, Value

CLASS = "org.clearlinux/metric/minute"
WAITING_BYTES_MAX = 1 << 20
"""Of payloads that wait for telemd: hours, of most machines."""
RETRY_S, RETRY_S_MAX = 5.0, 60.0
LATE_S = 6.0
"""So long after a minute's end it goes, where no sample has come that belongs to the next."""
TIMEOUT_S = 1.0
"""For telemd's answer; nothing is sampled meanwhile."""
AT_A_TIME = 32
"""Records; then there is a look at what is to be sampled."""
LOST = "a minute was lost: telemd did not take it"
NAMELESS = (
    "metrics are sent by a machine with a lasting id alone, or they would join the ids of one whose id changes: write "
    "32 hex digits into {path}, or use --listen"
)


def need_name() -> None:
    """Mistake where telemd would take no metrics of this machine."""
    from libtelemetry import setting

    if not static_machine_id():
        where = setting("opt_in_path").rpartition("/")[0]
        raise Mistake(NAMELESS.format(path=f"{where}/opt-in-static-machine-id"))


class Sending:
    """A sink, and what the loop calls in time. say: to the operator. ended: called where the owner wants no more of
    it."""

    __slots__ = (
        "_account", "_bytes", "_end_s", "_ended", "_minutes", "_retry_s", "_said", "_say", "_try_s", "_waiting",
    )  # fmt: skip

    def __init__(
        self, machine_id: str, account: Account, say: Callable[[str], None], ended: Callable[[], None]
    ) -> None:
        """machine_id: this machine's lasting one, which says at which second of the minute its records go."""
        self._minutes = Minutes(crc32(machine_id.encode()) * 1000 % MINUTE_US)
        self._account = account
        self._say = say
        self._ended = ended
        self._waiting: list[tuple[Record, int]] = []
        self._bytes = 0
        self._retry_s = RETRY_S
        self._try_s: float | None = None
        self._end_s: float | None = None
        self._said = ""

    def take(self, name: str, series: Sequence[Series], time_us: int, row: Sequence[Value]) -> None:
        """A row of that collector."""
        boot_s = clock_gettime(CLOCK_BOOTTIME)
        offset_us = int((time() - boot_s) * 1_000_000)
        self._add(self._minutes.take(name, series, time_us, offset_us, row), boot_s)
        end_us = self._minutes.end_us
        self._end_s = None if end_us is None else (end_us - offset_us) / 1_000_000 + LATE_S

    def next_s(self) -> float | None:
        """When work() is due, in seconds since the boot; None while there is nothing to send."""
        if self._try_s is None or self._end_s is None:
            return self._end_s if self._try_s is None else self._try_s
        return min(self._try_s, self._end_s)

    def work(self, boot_s: float, time_us: int) -> None:
        """End the minute if it is over, and send what waits, as far as telemd takes it."""
        if self._end_s is not None and boot_s >= self._end_s:
            self._end_s = None
            self._add(self._minutes.close(), boot_s)
        if self._try_s is not None and boot_s >= self._try_s:
            self._send(boot_s)

    def _send(self, boot_s: float) -> None:
        self._try_s = None
        if not is_opted_in():
            self._waiting.clear()
            self._say("this machine is not opted in any more: nothing is sampled")
            self._ended()
            return
        for _ in range(min(AT_A_TIME, len(self._waiting))):
            outcome, why = offer(self._waiting[0][0], TIMEOUT_S)
            if outcome not in (DONE, NEVER):
                self._try_s = boot_s + self._retry_s
                self._retry_s = min(RETRY_S_MAX, 2 * self._retry_s)
                self._tell(why)
                return
            self._drop_first()
            self._retry_s = RETRY_S
            if outcome == NEVER:
                self._account.failed("sending", LOST)
            self._tell(why)
        if self._waiting:
            self._try_s = boot_s

    def close(self) -> None:
        """Send the minute as far as it has come, and what else waits, if telemd takes it now."""
        boot_s = clock_gettime(CLOCK_BOOTTIME)
        self._add(self._minutes.close(), boot_s)
        if self._waiting:
            self._send(boot_s)

    def _add(self, tables: Sequence[Table], boot_s: float) -> None:
        event_id: bytes | None = None
        for payload in packed(tables):
            record = Record(
                CLASS,
                payload,
                payload_kind=METRIC,
                payload_version=PAYLOAD_VERSION,
                event_id=event_id,
                created_us=min(table.times_us[0] for table in tables),
            )
            event_id = record.event_id  # the parts of one minute
            self._waiting.append((record, len(payload)))
            if self._try_s is None:
                self._try_s = boot_s
            self._bytes += len(payload)
        while self._bytes > WAITING_BYTES_MAX:
            self._drop_first()
            self._account.failed("sending", LOST)

    def _drop_first(self) -> None:
        record, size = self._waiting.pop(0)
        record.close()
        self._bytes -= size

    def _tell(self, why: str) -> None:
        """Once for each thing that is wrong, and when it is over."""
        if why != self._said:
            self._say(why or "telemd takes what is sent again")
        self._said = why
