# SPDX-License-Identifier: Apache-2.0
"""What `telemctl status` is told: figures gathered from the rooms (docs/protocol.md, section 7).

Pure: reads values, asks nobody. No payload and no record's content in it.
"""

from __future__ import annotations

from libtelemetry.wire import REASON_NAMES
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemd.spool import Spool


def percentile(values: list[int], share: float) -> int:
    """Nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def spool_report(spool: Spool) -> Mapping[str, object]:
    """The account, the lanes, and how long the disk takes."""
    by_reason = {REASON_NAMES[reason]: count for reason, count in spool.refused().items()}
    return {
        "accounting": {**spool.accounting(), "refused": by_reason},
        "spool_bytes": spool.disk_bytes(),
        "spool_max_bytes": spool.cap.bytes,
        "lanes": {
            LANES[lane.index]: {"pending": lane.pending(), "oldest_us": lane.oldest_us(), "bytes": lane.disk_bytes()}
            for lane in spool.lanes
        },
        "sync": {
            "count": spool.sync_count,
            "p50_us": percentile(spool.sync_us, 0.5),
            "p99_us": percentile(spool.sync_us, 0.99),
        },
    }


def status_sentence(spool: Spool | None, opted_in: bool, delivery: Mapping[str, object]) -> str:
    """One line for `systemctl status`."""
    if not opted_in or spool is None:
        return "not opted in: every record is refused"
    waiting = spool.pending()
    error = delivery["last_error"]
    return f"{waiting} records wait; delivery {delivery['state']}" + (f": {error}" if error else "")
