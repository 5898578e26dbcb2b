# SPDX-License-Identifier: Apache-2.0
"""The page at `/record/ID`: all that is kept of one record, its payload as it was sent.

Values in, HTML out; all that came from outside goes through text(). Nothing is read or asked for here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from telemhub.headline import headline
from telemhub.records import NO_ID, PAYLOAD_KINDS
from telemhub.web.document import SEVERITIES, document, text, time_of

if TYPE_CHECKING:
    from telemhub.store import StoredRecord


def one_page(record: StoredRecord) -> str:
    """The whole document."""
    said = headline(record.classification, record.payload)
    head = ""
    if said is not None:
        why = f' <span class="soft">{text(said.why)}</span>' if said.why else ""
        head = f'<h2 class="said">{text(said.what)}{why}</h2>'
    rows = "".join(
        f'<tr><th scope="row">{text(name)}</th><td class="whole">{shown}</td></tr>' for name, shown in _rows(record)
    )
    summary = f"record <code>{record.id.hex()}</code>"
    return document(summary, f'{head}<div class="card"><table><tbody>{rows}</tbody></table></div>{_payload(record)}')


def missing_page() -> str:
    """The same where there is no such record."""
    none = (
        '<p class="empty">There is no such record here: it may have been removed. <a href="/">Show the newest</a></p>'
    )
    return document("no such record", f'<div class="card">{none}</div>')


def _rows(record: StoredRecord) -> list[tuple[str, str]]:
    """Name and HTML."""
    machine, event = record.machine_id.hex(), record.event_id.hex()
    severity = SEVERITIES[record.severity]
    rows = [
        ("created", _moment(record.created_us)),
        ("received", _moment(record.received_us)),
        ("machine", f'<a href="/?machine={machine}"><code>{machine}</code></a>'),
        ("classification", text(record.classification)),
        ("severity", f'<span class="{severity}">{severity}</span>'),
        ("payload", f"{PAYLOAD_KINDS[record.payload_kind]}, version {record.payload_version}"),
    ]
    if record.event_id != NO_ID:
        rows.append(("event", f'<a href="/?event={event}"><code>{event}</code></a>'))
    facts: dict[str, str] = msgspec.json.decode(record.host_facts)
    if record.facts:
        facts |= msgspec.json.decode(record.facts, type=dict[str, str])
    return rows + [(name, text(value)) for name, value in facts.items()]


def _moment(us: int) -> str:
    when = time_of(us)
    return f'<time datetime="{when.isoformat()}">{when:%Y-%m-%d %H:%M:%S} UTC</time>'


def _payload(record: StoredRecord) -> str:
    payload = record.payload
    if isinstance(payload, str):
        return f"<pre>\n{text(payload)}</pre>"  # a browser drops the newline there
    as_json = f'<a href="/api/v1/records?id={record.id.hex()}">in base64</a>'
    return f'<p class="soft">{len(payload):,} bytes that are no text: {as_json}</p>'
