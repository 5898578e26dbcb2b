# SPDX-License-Identifier: Apache-2.0
"""The fifteen names of record format 4 and their values: for servers and files that have telemetrics-client's form.

Says which value goes under which name, in the order of the format; whoever writes them puts them into a form. Never the
bytes of a record, which are libtelemetry's to read, and never a file or a clock.
"""

from __future__ import annotations

from libtelemetry import wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from libtelemetry.wire import DecodedRecord

VERSION: Final = "4"


def values(record: DecodedRecord, machine_id: str, facts: Mapping[str, str]) -> dict[str, str]:
    """The fifteen, in their order. facts: of the host, by name, empty where one is missing; what the record itself says
    of its host holds over them."""
    own = {
        wire.ATTRIBUTE_NAMES[key]: record.attributes[key].decode("utf-8", "replace")
        for key in wire.FACT_KEYS
        if key in record.attributes
    }

    def fact(name: str) -> str:
        return own.get(name, facts.get(name, ""))

    return {
        "record_format_version": VERSION,
        "classification": record.classification,
        "severity": str(record.severity),
        "machine_id": machine_id,
        "creation_timestamp": str(record.created_us // 1_000_000),
        "arch": fact("arch"),
        "host_type": fact("host_type"),
        "build": fact("build"),
        "kernel_version": fact("kernel_version"),
        "payload_format_version": str(record.payload_version),
        "system_name": fact("system_name"),
        "board_name": fact("board_name"),
        "cpu_model": fact("cpu_model"),
        "bios_version": fact("bios_version"),
        "event_id": record.event_id.hex(),
    }
