# SPDX-License-Identifier: Apache-2.0
"""What the hub says, as JSON: refusals, verdicts, pages of records, totals.

Values in, responses out; nothing is read or asked for here.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.responses import Response

from telemhub.records import PAYLOAD_KINDS, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from telemhub.records import Batch
    from telemhub.store import Page, Stats, StoredRecord, Unavailable

ACCEPTED: Final = "accepted"
DUPLICATE: Final = "duplicate"

_encode = msgspec.json.Encoder().encode


class HostFacts(msgspec.Struct, omit_defaults=True):
    """What is known of the machine a record came from, the record's own word before the host's."""

    arch: str = ""
    host_type: str = ""
    build: str = ""
    kernel_version: str = ""
    system_name: str = ""
    board_name: str = ""
    cpu_model: str = ""
    bios_version: str = ""


class ShownRecord(msgspec.Struct, omit_defaults=True, kw_only=True):
    """A record of `GET /api/v1/records`. Times in microseconds since 1970; exactly one of the two payloads is there."""

    id: str
    event_id: str
    machine_id: str
    created_us: int
    received_us: int
    classification: str
    severity: int
    payload_version: int
    payload_kind: str
    payload: str | None = None
    payload_base64: str | None = None
    facts: HostFacts
    attributes: dict[str, str] = {}


class ShownPage(msgspec.Struct):
    records: list[ShownRecord]
    next: str | None
    """Give it as `cursor` for the page after this one; null at the end."""


class ClassificationCount(msgspec.Struct):
    classification: str
    records: int


class MachineCount(msgspec.Struct):
    machine_id: str
    records: int


class ShownStats(msgspec.Struct):
    """`GET /api/v1/stats`; the lists name the most frequent only."""

    records: int
    machines: int
    newest_received_us: int | None
    classifications: list[ClassificationCount]
    top_machines: list[MachineCount]


class ShownVerdicts(msgspec.Struct):
    accepted: int
    duplicate: int
    rejected: int
    verdicts: list[str]


class _Message(msgspec.Struct):
    message: str


class Json(Response):
    """content: anything msgspec can write."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return _encode(content)


def refusal(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return Json(_Message(message), status, dict(headers or {}))


def unavailable(error: Unavailable) -> Response:
    return refusal(503, str(error), {"Retry-After": str(error.retry_after_s)})


def verdicts(batch: Batch, news: Iterable[bool]) -> ShownVerdicts:
    """news: for each record that was not rejected, in order, whether it is new."""
    rest = iter(news)
    said = [
        f"rejected: {item.reason}" if isinstance(item, Rejected) else ACCEPTED if next(rest) else DUPLICATE
        for item in batch.items
    ]
    accepted, duplicate = said.count(ACCEPTED), said.count(DUPLICATE)
    return ShownVerdicts(accepted, duplicate, len(said) - accepted - duplicate, said)


def shown_page(page: Page) -> ShownPage:
    return ShownPage([shown_record(record) for record in page.records], page.next.text() if page.next else None)


def shown_record(record: StoredRecord) -> ShownRecord:
    payload = record.payload
    known: dict[str, str] = msgspec.json.decode(record.host_facts)
    own: dict[str, str] = msgspec.json.decode(record.facts) if record.facts else {}
    attributes: dict[str, str] = msgspec.json.decode(record.attributes) if record.attributes else {}
    return ShownRecord(
        id=record.id.hex(),
        event_id=record.event_id.hex(),
        machine_id=record.machine_id.hex(),
        created_us=record.created_us,
        received_us=record.received_us,
        classification=record.classification,
        severity=record.severity,
        payload_version=record.payload_version,
        payload_kind=PAYLOAD_KINDS[record.payload_kind],
        payload=payload if isinstance(payload, str) else None,
        payload_base64=None if isinstance(payload, str) else base64.b64encode(payload).decode(),
        facts=HostFacts(**{**known, **own}),
        attributes=attributes,
    )


def shown_stats(stats: Stats) -> ShownStats:
    return ShownStats(
        stats.records,
        stats.machines,
        stats.newest_us,
        [ClassificationCount(name, count) for name, count in stats.classifications],
        [MachineCount(machine_id.hex(), count) for machine_id, count in stats.top_machines],
    )
