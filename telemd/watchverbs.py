# SPDX-License-Identifier: Apache-2.0
"""What telemctl may ask while it looks on (docs/protocol.md, section 7): records as they pass, their sums, one record's
way out, and that what waits be sent now.

Every answer is of bounded size and is given at once; who wants to see more asks again. A payload is in an answer only
where it was asked for.
"""

from __future__ import annotations

import binascii
import time

from libtelemetry.wire import REASON_NAMES
from telemd import courierframes, watch
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from telemd.control import Verb
    from telemd.request import Request
    from telemd.running import Running
    from telemd.watch import Line, Watch

    Answer = Mapping[str, object]


VERDICTS: Final = ("durable", "duplicate", "refused")
"""Of telemd, by number (docs/protocol.md, section 2)."""

SERVERS_VERDICTS: Final = ("delivered", "duplicate", "rejected", "retry")
"""Of the server, by number (docs/protocol.md, section 5)."""


def table(daemon: Running) -> dict[str, Verb]:
    """All verbs, by name."""
    own = WatchVerbs(daemon)
    return {"tail": own.tail, "top": own.top, "trace": own.trace, "send-now": own.send_now}


class WatchVerbs:
    """Of one daemon."""

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon

    def tail(self, request: Request) -> Answer:
        """Records that passed since the last answer's next; without from: none yet."""
        from_serial, with_payload = request.number("from", watch.NOWHERE), request.truth("payload")
        request.done()
        seen = self._watch(with_payload)
        page = seen.page(None if from_serial == watch.NOWHERE else from_serial)
        records = [_line(line, with_payload) for line in page.lines]
        return {"records": records, "next": page.next_serial, "lost": page.lost, "since_us": seen.since_us}

    def top(self, request: Request) -> Answer:
        """Sums by class and user since the watch began."""
        request.done()
        seen = self._watch(with_payload=False)
        sums = [
            {
                "classification": name,
                "uid": uid,
                "records": each.records,
                "bytes": each.size,
                "refused": each.refused,
                "last_us": each.last_us,
            }
            for (name, uid), each in seen.sums.items()
        ]
        return {"since_us": seen.since_us, "now_us": _now_us(), "passed": seen.passed, "sums": sums}

    def _watch(self, with_payload: bool) -> Watch:
        now_ms = time.monotonic_ns() // 1_000_000
        inbound = self._daemon.inbound
        inbound.unwatch(now_ms)
        if inbound.watch is None:
            inbound.watch = watch.Watch(now_ms, _now_us())
        inbound.watch.asked(now_ms, with_payload)
        return inbound.watch

    def trace(self, request: Request) -> Answer:
        """What is known of a record's way out; noted from the first such question on."""
        record_id = request.record_id()
        request.done()
        way = self._daemon.outbound.traces.follow(record_id, _now_us())
        return {
            "tries": way.tries,
            "taken_us": way.taken_us,
            "answered_us": way.answered_us,
            "gone_us": way.gone_us,
            "verdict": SERVERS_VERDICTS[way.verdict] if way.answered_us else "",
            "reason": courierframes.reason_name(way.reason) if way.reason else "",
            "text": way.text,
        }

    def send_now(self, request: Request) -> Answer:
        """Delivery doesn't wait any longer for its next try; how many waited for it."""
        request.done()
        spool = self._daemon.spool
        if spool is None:
            return {"ok": False, "message": "not opted in: nothing waits. `telemctl opt-in` changes that"}
        deferred = spool.deferred_until_us()
        self._daemon.outbound.delivery.send_now()
        return {
            "waiting": {LANES[lane.index]: lane.pending() for lane in spool.lanes},
            "deferred_until_us": max(deferred, default=0),
        }


def _line(line: Line, with_payload: bool) -> dict[str, object]:
    described: dict[str, object] = {
        "when_us": line.when_us,
        "id": line.record_id.hex() if any(line.record_id) else "",
        "classification": line.classification,
        "severity": line.severity,
        "uid": line.uid,
        "pid": line.pid,
        "bytes": line.size,
        "verdict": VERDICTS[line.verdict],
        "reason": REASON_NAMES[line.reason] if line.reason else "",
        "payload_bytes": line.payload_bytes,
    }
    if with_payload and line.payload is not None:
        described["payload_base64"] = binascii.b2a_base64(line.payload, newline=False).decode()
    return described


def _now_us() -> int:
    return time.time_ns() // 1000
