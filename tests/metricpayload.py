# SPDX-License-Identifier: Apache-2.0
"""Payloads of metric records as docs/protocol.md, section 10, has them, for tests; written without the project's own
code."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

T0_US = 1_760_000_000_000_000


def group(name: str = "system.cpu.time", *columns: list[Any], **changes: Any) -> dict[str, Any]:
    """Counters in hundredths of a second, one for each column, with the attribute `n`; None leaves a field out."""
    fields = {
        "name": name,
        "unit": "s",
        "kind": "counter",
        "start_us": T0_US,
        "scale": 2,
        "attributes": ["n"],
        "labels": [[str(at)] for at in range(len(columns))],
        "columns": list(columns),
        **changes,
    }
    return {key: value for key, value in fields.items() if value is not None}


def gauge(name: str, *columns: list[Any], **changes: Any) -> dict[str, Any]:
    """Likewise, as plain numbers."""
    return group(name, *columns, kind="gauge", unit="1", start_us=None, scale=None, **changes)


def table(*groups: dict[str, Any], times_us: list[int] | None = None, collector: str = "cpu") -> dict[str, Any]:
    """Three samples 5 s apart, unless said otherwise."""
    return {"collector": collector, "times_us": times_us or [T0_US, 5_000_000, 5_000_000], "groups": list(groups)}


def payload(*tables: dict[str, Any]) -> bytes:
    """Packed."""
    return packed(json.dumps({"tables": list(tables)}))


def packed(text: str) -> bytes:
    """Any text as a payload."""
    return zlib.compress(text.encode())


def record_fields(content: bytes, **changes: Any) -> dict[str, Any]:
    """What a record line of such a payload has beside that of another."""
    return {
        "classification": "org.clearlinux/metric/minute",
        "payload_kind": "metric",
        "payload": None,
        "payload_base64": base64.b64encode(content).decode(),
        **changes,
    }
