# SPDX-License-Identifier: Apache-2.0
"""telemd's own account: what it received, what became of it, what waits, how long its disk takes.

Asked over its control socket, which root and telemd's own user may use. It tells numbers, and no record.
"""

from __future__ import annotations

from telemetry_probes.metrics import controlsocket, jsonfigures
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

SOCKET: Final = "/run/telemetry/control.sock"
LANES: Final = ("vital", "event", "metric")
REASONS_MAX: Final = 64
ENDS: Final = (
    "received", "duplicate", "admitted", "delivered", "rejected", "evicted", "expired", "purged", "damaged",
)  # fmt: skip

RECORDS: Final = Metric(
    "x.telemd.records", "{record}", COUNTER, "Records that were received, and what became of them, as telemd counts"
)
REFUSED: Final = Metric("x.telemd.refused", "{record}", COUNTER, "Records that were refused, by reason")
PENDING: Final = Metric("x.telemd.pending", "{record}", GAUGE, "Records that wait, by lane")
OLDEST: Final = Metric("x.telemd.oldest", "s", GAUGE, "When the oldest record that waits was taken in, since 1970")
LANE_BYTES: Final = Metric("x.telemd.lane.usage", "By", GAUGE, "Disk space of a lane")
SPOOL: Final = Metric("x.telemd.spool.usage", "By", GAUGE, "Disk space of all that waits")
LIMIT: Final = Metric("x.telemd.spool.limit", "By", GAUGE, "What it may have at most; none where there is no limit")
SYNCS: Final = Metric(
    "x.telemd.syncs", "{sync}", COUNTER, "Times that records were brought to the disk, since its start"
)
SYNC_TIME: Final = Metric("x.telemd.sync_time", "s", GAUGE, "How long that took of late: the median, and 99 of 100")
DELIVERED: Final = Metric("x.telemd.delivery.last_success", "s", GAUGE, "When records were last delivered, since 1970")
FAILING: Final = Metric("x.telemd.delivery.failing", "1", GAUGE, "1 where the last try to deliver failed, else 0")

TITLE = "telemd: what it received, delivered and keeps"
INTERVAL_S = 60.0
METRICS = (RECORDS, REFUSED, PENDING, OLDEST, LANE_BYTES, SPOOL, LIMIT, SYNCS, SYNC_TIME, DELIVERED, FAILING)
OPTIONS = (Choice("socket", "", "telemd's control socket; empty: where it is by telemd's own settings."),)

_US: Final = 1_000_000


class Collector:
    """Asks at each sample. Absent while telemd doesn't run: it comes with the next record."""

    __slots__ = ("_fixed", "_path", "_reasons", "series")

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._path = _path(places, str(options["socket"]))
        self._fixed: list[Series] = [
            *(RECORDS.series(("outcome", end)) for end in ENDS),
            *(metric.series(("lane", lane)) for lane in LANES for metric in (PENDING, OLDEST, LANE_BYTES)),
            *(metric.series() for metric in (SPOOL, LIMIT, SYNCS)),
            SYNC_TIME.series(("quantile", "0.5")),
            SYNC_TIME.series(("quantile", "0.99")),
            DELIVERED.series(),
            FAILING.series(),
        ]
        self._reasons: tuple[str, ...] = ()
        self.series: Sequence[Series] = self._fixed
        self._answer()

    def sample(self, now_s: float) -> Sequence[Value]:
        """As telemd says. A reason to refuse for which it did so is a series from then on."""
        found = self._answer()
        refused = jsonfigures.inner(found, "accounting", "refused")
        by_reason = refused if isinstance(refused, dict) else {}
        reasons = tuple(sorted(str(reason)[:100] for reason in by_reason)[:REASONS_MAX])
        if reasons != self._reasons:
            self._reasons = reasons
            self.series = [*self._fixed, *(REFUSED.series(("reason", reason)) for reason in reasons)]
        return [*figures(found), *(jsonfigures.number(by_reason, reason) for reason in reasons)]

    def close(self) -> None:
        """Nothing is open between two samples."""

    def _answer(self) -> object:
        try:
            found = jsonfigures.parsed(controlsocket.status(self._path))
        except TimeoutError:
            raise
        except (FileNotFoundError, ConnectionRefusedError):
            raise Absent("telemd is not running: it comes with the next record, see `telemctl status`") from None
        except (PermissionError, ConnectionResetError, BrokenPipeError):
            raise Absent("telemd's control socket is for root and user telemetry: run this as one of them") from None
        if jsonfigures.inner(found, "ok") is not True:
            raise ValueError("telemd doesn't answer: see `telemctl status`")
        return found


def figures(found: object) -> list[Value]:
    """The fixed part of a row from telemd's status."""
    row: list[Value] = [jsonfigures.number(found, "accounting", end) for end in ENDS]
    for lane in LANES:
        oldest_us = jsonfigures.number(found, "lanes", lane, "oldest_us")
        row += (
            jsonfigures.number(found, "lanes", lane, "pending"),
            oldest_us / _US if oldest_us else None,
            jsonfigures.number(found, "lanes", lane, "bytes"),
        )
    success_us = jsonfigures.number(found, "delivery", "last_success_us")
    said = jsonfigures.inner(found, "delivery", "last_error")
    row += (
        jsonfigures.number(found, "spool_bytes"),
        jsonfigures.number(found, "spool_max_bytes"),
        jsonfigures.number(found, "sync", "count"),
        _seconds(jsonfigures.number(found, "sync", "p50_us")),
        _seconds(jsonfigures.number(found, "sync", "p99_us")),
        success_us / _US if success_us else None,
        int(bool(said)) if isinstance(said, str) else None,
    )
    return row


def _seconds(us: int | float | None) -> float | None:
    return None if us is None else us / _US


def _path(places: Places, wanted: str) -> str:
    if wanted:
        return places.path(wanted)
    if places.root:
        return places.path(SOCKET)
    from libtelemetry import TelemetryError, setting

    try:
        return setting("telemd_socket_path").rpartition("/")[0] + "/control.sock"
    except TelemetryError:
        return SOCKET
