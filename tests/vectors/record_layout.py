# SPDX-License-Identifier: Apache-2.0
"""The bytes of docs/protocol.md, sections 1, 3 and 6, written a second time for the examples: with struct alone.

Nothing of the project may be imported here or beside: an example made by the code that it tests proves nothing.
"""

from __future__ import annotations

import base64
import struct
import unicodedata
from typing import Any

Vector = dict[str, Any]

RECORD_ID = bytes.fromhex("000000000000 7123 89ab cdef01234567")
EVENT_ID = bytes.fromhex("00112233445566778899aabbccddeeff")
CREATED_US = 1_760_000_000_123_456
CLASSIFICATION = b"org.clearlinux/hello/world"
PAYLOAD = b"hello\n"
KINDS = ("text", "json", "metric", "json-zstd")
FACTS = (
    "arch", "host_type", "build", "kernel_version", "system_name", "board_name", "cpu_model", "bios_version",
)  # fmt: skip
CONFIG_PATH = 16
CRITICAL = 0x8000
ATTRIBUTES_MAX = 4096
PAYLOAD_MAX = 65_536
RECORD_MAX = 131_072

HOST = dict(
    zip(
        FACTS,
        (
            b"x86_64", b"QEMU|Standard PC|1.0", b'"12"', b"6.1.0-13-amd64", b"debian", b"board|maker",
            b"A CPU @ 2.00GHz", b"1.16.2",
        ),
        strict=True,
    )
)  # fmt: skip


def bad(name: str, verdict: str, raw: bytes) -> Vector:
    return {"name": name, "hex": raw.hex(), "verdict": verdict}


# ---- format 5 -------------------------------------------------------------------------------------------------------


def attribute(key: int, value: bytes) -> bytes:
    return struct.pack("<HH", key, len(value)) + value


def record5(
    *, magic: bytes = b"TLM5", version: int = 5, flags: int = 0, more_header: bytes = b"",
    header_len: int | None = None, total_len: int | None = None, payload_len: int | None = None,
    class_len: int | None = None, attrs_len: int | None = None, record_id: bytes = RECORD_ID,
    event_id: bytes = EVENT_ID, created_us: int = CREATED_US,
    payload_version: int = 1, severity: int = 1, kind: int = 0, classification: bytes = CLASSIFICATION,
    attributes: bytes = b"", payload: bytes = PAYLOAD, reserved: tuple[int, int, int] = (0, 0, 0),
) -> bytes:  # fmt: skip
    """The lengths are right unless given."""
    header = 72 + len(more_header)
    total = header + len(classification) + len(attributes) + len(payload)
    return (
        struct.pack("<4sHBB", magic, header if header_len is None else header_len, version, flags)
        + struct.pack("<I", total if total_len is None else total_len)
        + struct.pack("<I", len(payload) if payload_len is None else payload_len)
        + record_id
        + event_id
        + struct.pack("<qIBB", created_us, payload_version, severity, kind)
        + struct.pack("<BB", len(classification) if class_len is None else class_len, reserved[0])
        + struct.pack("<H", len(attributes) if attrs_len is None else attrs_len)
        + struct.pack("<HI", reserved[1], reserved[2])
        + more_header
        + classification
        + attributes
        + payload
    )


def as_json(fields: Vector, payload: bytes) -> Vector:
    """The record line of section 6."""
    line: Vector = {
        "id": fields["record_id"],
        "event_id": fields["event_id"],
        "created_us": fields["created_us"],
        "severity": fields["severity"],
        "classification": fields["classification"],
        "payload_version": fields["payload_version"],
        "payload_kind": KINDS[fields["payload_kind"]],
    }
    try:
        if b"\0" in payload:
            raise ValueError("a NUL")
        line["payload"] = payload.decode("utf-8")
    except ValueError:
        line["payload_base64"] = base64.b64encode(payload).decode()
    attributes = {int(key): bytes.fromhex(value) for key, value in fields["attributes"].items()}
    facts = {FACTS[key - 1]: value.decode() for key, value in attributes.items() if 1 <= key <= len(FACTS)}
    unknown = {
        str(key): base64.b64encode(value).decode()
        for key, value in attributes.items()
        if key > len(FACTS) and key != CONFIG_PATH or key == 0
    }
    if facts:
        line["facts"] = facts
    if unknown:
        line["attributes"] = unknown
    return line


# ---- format 4 -------------------------------------------------------------------------------------------------------

LINES: dict[str, bytes] = {
    "record_format_version": b"4",
    "classification": CLASSIFICATION,
    "severity": b"2",
    "machine_id": b"FFFFFFFF",
    "creation_timestamp": b"1760000000",
    "arch": HOST["arch"],
    "host_type": HOST["host_type"],
    "build": HOST["build"],
    "kernel_version": HOST["kernel_version"],
    "payload_format_version": b"1",
    "system_name": HOST["system_name"],
    "board_name": HOST["board_name"],
    "cpu_model": HOST["cpu_model"],
    "bios_version": HOST["bios_version"],
    "event_id": EVENT_ID.hex().encode(),
}


def header4(changes: dict[str, bytes] | None = None) -> bytes:
    return b"".join(name.encode() + b": " + value + b"\n" for name, value in (LINES | (changes or {})).items())


def record4(
    header: bytes, *, payload: bytes = PAYLOAD, end: bytes = b"\0", config: bytes = b"", record_size: int | None = None,
    header_size: int | None = None,
) -> bytes:  # fmt: skip
    rest = config + struct.pack("<I", len(header) if header_size is None else header_size) + header + payload + end
    return struct.pack("<I", 4 + len(rest) if record_size is None else record_size) + rest


def clean(fact: bytes) -> bytes:
    """Sections 1.1 and 3: what a fact of a format 4 record becomes."""
    text, at = "", 0
    while at < len(fact):
        for width in (1, 2, 3, 4):
            try:
                char = fact[at : at + width].decode("utf-8")
            except UnicodeDecodeError:
                continue
            break
        else:
            char, width = "?", 1
        if unicodedata.category(char) == "Cc":
            char = "?"
        if len((text + char).encode()) > 256:
            break
        text += char
        at += width
    return text.encode()
