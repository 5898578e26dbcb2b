# SPDX-License-Identifier: Apache-2.0
"""What telemctl may ask about records (docs/protocol.md, section 7): those that wait, what became of one, purging.

Every call does a bounded piece of work and says where the next one goes on: telemctl asks again, and telemd's loop
turns in between. A payload is in an answer only where it was asked for, and never in a message.
"""

from __future__ import annotations

import binascii
import time

from libtelemetry.wire import ATTRIBUTE_NAMES, PAYLOAD_KINDS, REASON_NAMES
from telemd import courierframes, fates, inspection
from telemd.segment import LANES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from telemd.control import Verb
    from telemd.fates import Fate
    from telemd.inspection import Kept
    from telemd.request import Request
    from telemd.running import Running

    Answer = Mapping[str, object]


HOLD_MS: Final = 2000
"""So long after a call of a purge the lane sends nothing, unless the purge says that it is done."""

_NO_SPOOL: Final = {"ok": False, "message": "not opted in: nothing is taken or kept. `telemctl opt-in` changes that"}


def table(daemon: Running) -> dict[str, Verb]:
    """All verbs, by name."""
    own = RecordVerbs(daemon)
    return {
        "spool-list": own.page,
        "spool-count": own.count,
        "spool-show": own.show,
        "spool-purge": own.purge,
        "why": own.why,
    }


class RecordVerbs:
    """Of one daemon."""

    def __init__(self, daemon: Running) -> None:
        self._daemon = daemon

    def page(self, request: Request) -> Answer:
        """A page of a lane, oldest first; next is where the following page begins, 0 for none."""
        lane, from_seq = request.lane(), request.number("from", 0)
        limit = request.number("limit", inspection.PAGE_RECORDS_MAX, inspection.PAGE_RECORDS_MAX)
        request.done()
        spool = self._daemon.spool
        if spool is None:
            return _NO_SPOOL
        try:
            found, next_seq = inspection.page(spool, lane, from_seq, limit)
        except OSError as error:
            return _unreadable(error)
        return {"records": [_described(kept) for kept in found], "next": next_seq}

    def count(self, request: Request) -> Answer:
        """How many waiting records of a lane are of a class."""
        lane, pattern, from_seq = request.lane(), request.pattern() or b"*", request.number("from", 0)
        request.done()
        spool = self._daemon.spool
        if spool is None:
            return _NO_SPOOL
        try:
            counted = inspection.count(spool, lane, pattern, from_seq)
        except OSError as error:
            return _unreadable(error)
        return {
            "matching": counted.matching,
            "total": counted.total,
            "last": counted.last_seq,
            "next": counted.next_seq,
        }

    def show(self, request: Request) -> Answer:
        """A waiting record, whole. record is null where it wasn't found: next says where to look further, if
        anywhere."""
        record_id, place, with_payload = request.record_id(), request.place(), request.truth("payload")
        request.done()
        found = self._found(record_id, place)
        if not isinstance(found, inspection.Kept):
            return found
        described = _described(found)
        record = found.decoded()
        if record is not None:
            described["attributes"] = {
                ATTRIBUTE_NAMES.get(key, str(key)): value.decode("utf-8", "replace")
                for key, value in record.attributes.items()
            }
            if with_payload:
                described["payload_base64"] = binascii.b2a_base64(record.payload, newline=False).decode()
        described["machine_id"] = found.host.machine_id.hex()
        return {"record": described, "next": None}

    def why(self, request: Request) -> Answer:
        """What became of a record, or where it waits. fate is null as long as next says where to look further."""
        record_id, place = request.record_id(), request.place()
        request.done()
        spool = self._daemon.spool
        if spool is None:
            return _NO_SPOOL
        ended = spool.fates.find(record_id)
        if ended is not None:
            return {"next": None, **_ended(ended)}
        found = self._found(record_id, place)
        if isinstance(found, inspection.Kept):
            state = "with-courier" if found.with_courier else "waiting"
            return {"next": None, "fate": state, "record": _described(found)}
        if found.get("ok") is False or found["next"] is not None:
            return {"fate": None, **found}
        refused = self._daemon.inbound.refusals.find(record_id)
        return {"next": None, **(_ended(refused) if refused is not None else {"fate": "unknown"})}

    def purge(self, request: Request) -> Answer:
        """Drop waiting records of a lane: those of a class, or all, that are numbered below until. The first call says
        how far that is."""
        lane, pattern, until_seq = request.lane(), request.pattern(), request.number("until", 0)
        request.done()
        daemon = self._daemon
        if daemon.spool is None:
            return _NO_SPOOL
        until_seq = until_seq or daemon.spool.lanes[lane].ledger.next_seq
        now_ms = time.monotonic_ns() // 1_000_000
        daemon.outbound.hold(lane, now_ms + HOLD_MS)
        try:
            purged = daemon.spool.purge(lane, pattern, until_seq, time.time_ns() // 1000)
        except OSError as error:
            daemon.outbound.hold(lane, 0)
            return {"ok": False, "message": f"{error.strerror}: part of it may be done; status tells how much"}
        if purged.done:
            daemon.outbound.hold(lane, 0)
        batch = daemon.outbound.delivery.in_flight.get(lane)
        return {
            "purged": purged.count,
            "kept": purged.kept,
            "with_courier": batch.waiting.count if batch is not None else 0,
            "until": until_seq,
            "done": purged.done,
        }

    def _found(self, record_id: bytes, place: inspection.Place) -> Kept | Answer:
        spool = self._daemon.spool
        if spool is None:
            return _NO_SPOOL
        try:
            found = inspection.find(spool, record_id, place)
        except OSError as error:
            return _unreadable(error)
        if isinstance(found, inspection.Kept):
            return found
        return {"record": None, "next": None if found is None else list(found)}


def _unreadable(error: OSError) -> Answer:
    return {"ok": False, "message": f"the spool can't be read ({error.strerror}): look at the disk's health"}


def _described(kept: Kept) -> dict[str, object]:
    described: dict[str, object] = {
        "lane": LANES[kept.lane],
        "before": kept.before,
        "with_courier": kept.with_courier,
        "admitted_us": kept.admitted_us,
        "not_before_us": kept.not_before_us,
        "uid": kept.uid,
        "pid": kept.pid,
        "bytes": len(kept.record),
    }
    record = kept.decoded()
    if record is not None:
        described |= {
            "id": record.record_id.hex(),
            "event_id": record.event_id.hex(),
            "classification": record.classification,
            "severity": record.severity,
            "created_us": record.created_us,
            "payload_kind": PAYLOAD_KINDS[record.payload_kind],
            "payload_version": record.payload_version,
            "payload_bytes": len(record.payload),
        }
    return described


def _ended(fate: Fate) -> dict[str, object]:
    names = REASON_NAMES if fate.end == fates.REFUSED else courierframes.REASON_NAMES
    reason = names[fate.reason] if fate.reason < len(names) else "unknown"
    return {"fate": fates.NAMES[fate.end], "when_us": fate.when_us, "reason": reason if fate.reason else ""}
