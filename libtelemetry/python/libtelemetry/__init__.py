# SPDX-License-Identifier: Apache-2.0
r"""libtelemetry: build a record and hand it to telemd.

    from libtelemetry import Record, send
    ack = send(Record("example.org/probe/hello", "hello\n"))
    print(ack.accepted, ack.record_id.hex())

A thin binding of the C core: no rule and no layout of its own may come in here, and nothing that makes the import slow,
since every probe pays for it.
"""

from __future__ import annotations

from libtelemetry.ack import (
    DUPLICATE,
    DURABLE,
    REFUSED,
    UNANSWERED,
    Ack,
    reason_name,
)
from libtelemetry.client import Client, is_opted_in, send, set_config_file, setting, telemctl
from libtelemetry.errors import RecordError, TelemetryError
from libtelemetry.record import (
    CRITICAL,
    HIGH,
    JSON,
    JSON_ZSTD,
    LOW,
    MEDIUM,
    METRIC,
    PAYLOAD_MAX,
    TEXT,
    Record,
)

__all__ = [
    "CRITICAL",
    "DUPLICATE",
    "DURABLE",
    "HIGH",
    "JSON",
    "JSON_ZSTD",
    "LOW",
    "MEDIUM",
    "METRIC",
    "PAYLOAD_MAX",
    "REFUSED",
    "TEXT",
    "UNANSWERED",
    "Ack",
    "Client",
    "Record",
    "RecordError",
    "TelemetryError",
    "host_facts",
    "is_opted_in",
    "reason_name",
    "send",
    "set_config_file",
    "setting",
    "telemctl",
]


def host_facts(root: str = "") -> dict[str, str]:
    """The eight facts of a host that telemd adds to every record, by name; see libtelemetry.facts."""
    # Here, not above: probes send records far more often than they ask for facts.
    from libtelemetry.facts import host_facts as read

    return read(root)
