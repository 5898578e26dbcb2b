# SPDX-License-Identifier: Apache-2.0
"""What `telemctl status` is told: figures gathered from the rooms, no payload and no record's content.

Pure but for reading the daemon's fields.
"""

from __future__ import annotations

import os

import libtelemetry.wire
from telemd import __version__
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from telemd.daemon import Daemon
    from telemd.spool import Spool


def percentile(values: list[int], share: float) -> int:
    """Nearest rank; 0 of nothing."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0


def _accounting(spool: Spool) -> dict[str, object]:
    account: dict[str, Any] = dict(spool.accounting())
    account["refused"] = {
        libtelemetry.wire.reason_name(reason): count for reason, count in account["refused"].items()
    }
    return account


def status_report(daemon: Daemon, now_ms: int, now_us: int) -> Mapping[str, object]:
    """docs/protocol.md, section 7."""
    spool, settings = daemon.spool, daemon.settings
    counts = daemon.intake.counts()
    report: dict[str, object] = {
        "version": __version__,
        "pid": os.getpid(),
        "started_us": daemon.started_us,
        "opted_in": daemon.opted_in,
        "server": settings.server,
        "machine_id": daemon.host.machine_id.hex() if daemon.host is not None else "",
        "connections": counts.connections,
        "closed_for_room": counts.closed_for_room,
        "delivery": daemon.outbound.report(now_ms, now_us),
        "spool_max_bytes": settings.spool_max_size * 1024 if settings.spool_max_size >= 0 else -1,
    }
    if spool is None:
        return report
    report["accounting"] = _accounting(spool)
    report["spool_bytes"] = spool.disk_bytes()
    report["lanes"] = {
        LANES[lane.index]: {"pending": lane.pending(), "oldest_us": lane.oldest_us(), "bytes": lane.bytes()}
        for lane in spool.lanes
    }
    report["sync"] = {
        "count": spool.sync_count,
        "p50_us": percentile(spool.sync_us, 0.5),
        "p99_us": percentile(spool.sync_us, 0.99),
    }
    return report
