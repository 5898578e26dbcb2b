# SPDX-License-Identifier: Apache-2.0
"""Records as bytes, for those who pass them on: telemd, its courier and tests. Pure: bytes in, values out.

Every layout is the C core's (wire.c, ndjson.c): offsets, names and sizes come from there and are never written down
again here. Each function is a constant number of calls into C, except where it says otherwise.
"""

from __future__ import annotations

from libtelemetry._native import ffi, lib
from libtelemetry.ack import reason_name
from libtelemetry.errors import RecordError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libtelemetry._native import Chars

RECORD_MAX: int = lib.TM_RECORD_MAX
"""Bytes of one record."""
FLAG_RESEND: int = lib.WIRE5_FLAG_RESEND
"""This id was sent before."""
FLAG_LAST: int = lib.WIRE5_FLAG_LAST
"""No further record comes on this connection."""

_ENDS_AT_A_TIME = 1024


def _name(chars: Chars) -> str:
    return ffi.string(chars).decode("ascii")


ATTRIBUTE_NAMES: dict[int, str] = {
    key: _name(name) for key in range(64) if (name := lib.wire_attribute_name(key)) != ffi.NULL
}
"""Attribute keys that docs/protocol.md names; 1 to 8 are the facts of the host."""
FACT_KEYS: range = range(1, lib.WIRE_FACT_COUNT + 1)
"""The attribute keys of the host's facts."""
PAYLOAD_KINDS: tuple[str, ...] = tuple(
    _name(name) for kind in range(256) if (name := lib.wire_payload_kind_name(kind)) != ffi.NULL
)
"""Names of the payload kinds, by their number."""
REASON_NAMES: tuple[str, ...] = tuple(reason_name(reason) for reason in range(lib.TM_REASON_COUNT))
"""Names of the reasons of a refusal, by their number; "unknown" for numbers not given out."""


class DecodedRecord:
    """One record of format 5 that keeps every rule. Ids are 16 bytes, created_us microseconds since 1970.

    attributes maps keys to bytes; a fact is one only where it differs from the host's.
    """

    __slots__ = (
        "attributes",
        "classification",
        "created_us",
        "event_id",
        "flags",
        "payload",
        "payload_kind",
        "payload_version",
        "record_id",
        "severity",
    )

    record_id: bytes
    event_id: bytes
    created_us: int
    payload_version: int
    severity: int
    payload_kind: int
    flags: int
    classification: str
    attributes: dict[int, bytes]
    payload: bytes


def _broken(reason: int) -> RecordError:
    return RecordError(f"not a record of format 5: {reason_name(reason)}", reason)


def decode(record: bytes | bytearray | memoryview) -> DecodedRecord:
    """Exactly one whole record. RecordError, with the reason, where it breaks a rule of docs/protocol.md, section 1."""
    view = memoryview(record)
    found = ffi.new("struct binding_decoded *")
    reason = lib.binding_decode(ffi.from_buffer("uint8_t[]", view), len(view), found)
    if reason != 0:
        raise _broken(reason)
    ids = bytes(ffi.buffer(found.ids))
    decoded = DecodedRecord()
    decoded.record_id = ids[:16]
    decoded.event_id = ids[16:]
    (
        decoded.created_us,
        decoded.payload_version,
        decoded.severity,
        decoded.payload_kind,
        decoded.flags,
        class_start,
        class_end,
        attributes_start,
        attributes_end,
        payload_start,
        payload_end,
    ) = ffi.unpack(found.fields, 11)
    decoded.classification = str(view[class_start:class_end], "ascii")
    decoded.attributes = _attributes(bytes(view[attributes_start:attributes_end]))
    decoded.payload = bytes(view[payload_start:payload_end])
    return decoded


def _attributes(attributes: bytes) -> dict[int, bytes]:
    if not attributes:
        return {}
    # Every attribute has at least the two numbers before its value: 4 bytes in, at most 3 numbers out.
    room = len(attributes)
    found = ffi.new("uint32_t[]", room)
    count = lib.binding_attributes(attributes, len(attributes), found, room)
    if count < 0:
        raise RecordError("the attributes of a record are malformed")
    numbers = ffi.unpack(found, 3 * count)
    return {
        key: attributes[start:end] for key, start, end in zip(numbers[0::3], numbers[1::3], numbers[2::3], strict=True)
    }


def split(records: bytes | bytearray | memoryview) -> list[memoryview]:
    """Whole records back to back, each as a view of the bytes given. Only their frames are looked at.

    RecordError where a frame can't be trusted or the last record is not whole. One call into C for every 1,024 records.
    """
    view = memoryview(records)
    reason = ffi.new("int *")
    ends = ffi.new("uint64_t[]", _ENDS_AT_A_TIME)
    parts: list[memoryview] = []
    start = 0
    while start < len(view):
        base = start
        rest = view[base:]
        count = lib.binding_split(ffi.from_buffer("uint8_t[]", rest), len(rest), ends, _ENDS_AT_A_TIME, reason)
        if reason[0] != 0:
            raise _broken(reason[0])
        for end in ffi.unpack(ends, count):
            parts.append(view[start : base + end])
            start = base + end
    return parts


def to_ndjson(records: bytes | bytearray | memoryview) -> tuple[bytes, int]:
    """Whole records back to back as the lines of docs/protocol.md, section 6, and how many they are.

    RecordError, with the reason and the record's index, where one is broken; nothing is returned of the others then.
    """
    view = memoryview(records)
    source = ffi.from_buffer("uint8_t[]", view)
    count = ffi.new("size_t *")
    reason = ffi.new("int *")
    # Enough for text that needs few escapes; where it isn't, the first call says how much is.
    size = len(view) + len(view) // 2 + 512
    while True:
        out = bytearray(size)
        needed = lib.binding_ndjson(source, len(view), ffi.from_buffer("char[]", out), size, count, reason)
        if reason[0] != 0:
            raise RecordError(f"record {count[0]} is not one of format 5: {reason_name(reason[0])}", reason[0])
        if needed <= size:
            return bytes(memoryview(out)[:needed]), count[0]
        size = needed
