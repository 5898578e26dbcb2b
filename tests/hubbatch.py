# SPDX-License-Identifier: Apache-2.0
"""Batches as docs/protocol.md, section 6, has them, for tests of the hub; written without the hub's own code."""

from __future__ import annotations

import json
from typing import Any

MACHINE = "c0ffee00c0ffee00c0ffee00c0ffee00"
OTHER_MACHINE = "beefbeefbeefbeefbeefbeefbeefbeef"
CREATED_US = 1_760_000_000_000_000


def record_id(number: int) -> str:
    return f"000000000000700080{number:014x}"


def line(number: int, **changes: Any) -> dict[str, Any]:
    """A good record line; a change to None leaves the field out."""
    fields = {
        "id": record_id(number),
        "event_id": f"{number:032x}",
        "created_us": CREATED_US + number,
        "severity": 1,
        "classification": "org.test/hub/record",
        "payload_version": 1,
        "payload_kind": "text",
        "payload": f"record {number}\n",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def host_line(machine_id: str = MACHINE, **facts: str) -> dict[str, Any]:
    return {"host": {"machine_id": machine_id, "arch": "x86_64", "build": "12", **facts}}


def ndjson(*lines: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(one).encode() + b"\n" for one in lines)


def batch(*numbers: int, **changes: Any) -> bytes:
    """A host line and a good record for each number."""
    return ndjson(host_line(), *(line(number, **changes) for number in numbers))
