# SPDX-License-Identifier: Apache-2.0
"""The hub reads what docs/protocol.md makes of every good example of a record."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hubbatch import host_line, ndjson

from telemhub.ingest import read_batch
from telemhub.records import CREATED_US_END, PAYLOAD_KINDS, Record, Rejected

HERE = Path(__file__).parent
EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    (f"{name}-{vector['name']}", vector["json"])
    for name in ("format4", "format5")
    for vector in json.loads((HERE / f"{name}.json").read_text())
    if "json" in vector
]


def as_json(record: Record) -> dict[str, Any]:
    """What the record was before it was read, as far as the record tells."""
    payload = (
        {"payload": record.payload}
        if isinstance(record.payload, str)
        else {"payload_base64": base64.b64encode(record.payload).decode()}
    )
    shown = {
        "id": record.id.hex(),
        "event_id": record.event_id.hex(),
        "created_us": record.created_us,
        "severity": record.severity,
        "classification": record.classification,
        "payload_version": record.payload_version,
        "payload_kind": PAYLOAD_KINDS[record.payload_kind],
        **payload,
    }
    for name, text in (("facts", record.facts), ("attributes", record.attributes)):
        if text is not None:
            shown[name] = json.loads(text)
    return shown


@pytest.mark.parametrize(("name", "example"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_nothing_of_a_good_record_is_lost(name: str, example: dict[str, Any]) -> None:
    (item,) = read_batch(ndjson(host_line(), example)).items
    if example["created_us"] >= CREATED_US_END:
        assert item == Rejected("created", example["id"])
        return
    assert isinstance(item, Record), item
    assert as_json(item) == example
