# SPDX-License-Identifier: Apache-2.0
"""The body of `POST /v1/records` to records: docs/protocol.md, section 6.

Pure: bytes in, values out; no clock, no log, no store. Whether a record is a duplicate is not known here. A line
that isn't a JSON object, or a host line that is wrong, spoils the batch (NotBatch), for then nobody knows what the
lines after it mean; a record that breaks a rule is Rejected alone.
"""

from __future__ import annotations

import base64
import re
from typing import Annotated, Final, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from telemhub.points import PAYLOAD_VERSION, Points, Unreadable, count_of, plain_of, points_of
from telemhub.records import (
    ATTRIBUTES_MAX,
    BATCH_RECORDS_MAX,
    CREATED_US_END,
    METRIC,
    NO_ID,
    PAYLOAD_KINDS,
    PAYLOAD_MAX,
    Batch,
    Host,
    Reason,
    Record,
    Rejected,
    is_classification,
    is_fact,
)

LINES_MAX: Final = 2 * BATCH_RECORDS_MAX
"""Host lines count too: a batch in which every record has a host of its own is the most that makes sense."""

POINTS_MAX: Final = 2_000_000
"""Of all metric records of a batch; a record alone always has fewer."""

SERIES_MAX: Final = 200_000
"""Ditto, columns."""

PLAIN_MAX: Final = 32 * 1024 * 1024
"""Ditto, bytes of their payloads, decompressed: what can't be read takes time, too."""

ATTRIBUTES_BYTES_MAX: Final = 16 * 1024 * 1024
"""Ditto, written out for each column."""

ATTRIBUTE_OVERHEAD: Final = 4
NAMED_ATTRIBUTES: Final = frozenset({*range(1, 9), 16})
"""Keys that have a name, and so never come as a number."""

CRITICAL: Final = 0x8000
"""Keys from here on mean: whoever doesn't know me must refuse the record."""


class NotBatch(Exception):
    """The body is no batch. The text says why, for the one who sent it, and quotes nothing of it."""


class TooMany(Exception):
    """More records, lines or points than a batch may have."""


class _Facts(Struct, omit_defaults=True):
    arch: str | UnsetType = UNSET
    host_type: str | UnsetType = UNSET
    build: str | UnsetType = UNSET
    kernel_version: str | UnsetType = UNSET
    system_name: str | UnsetType = UNSET
    board_name: str | UnsetType = UNSET
    cpu_model: str | UnsetType = UNSET
    bios_version: str | UnsetType = UNSET


class _HostFacts(_Facts, omit_defaults=True, kw_only=True):
    machine_id: str


class _HostLine(Struct):
    host: _HostFacts


class _Shape(Struct):
    """Enough of any object to tell a host line from a record."""

    host: msgspec.Raw | UnsetType = UNSET
    id: msgspec.Raw | UnsetType = UNSET


_Id = Annotated[str, Meta(min_length=32, max_length=32)]


class _RecordLine(Struct):
    id: _Id
    event_id: _Id
    created_us: Annotated[int, Meta(ge=0, lt=CREATED_US_END)]
    severity: Annotated[int, Meta(ge=1, le=4)]
    classification: str
    payload_version: Annotated[int, Meta(ge=0, lt=2**32)]
    payload_kind: Literal["text", "json", "metric", "json-zstd"]
    payload: str | UnsetType = UNSET
    payload_base64: bytes | UnsetType = UNSET
    facts: _Facts | UnsetType = UNSET
    attributes: dict[str, bytes] | UnsetType = UNSET
    host: msgspec.Raw | UnsetType = UNSET


_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_decode_record = msgspec.json.Decoder(_RecordLine).decode
_decode_host = msgspec.json.Decoder(_HostLine).decode
_decode_shape = msgspec.json.Decoder(_Shape).decode
_encode = msgspec.json.Encoder().encode

_KIND_NUMBER: Final = {name: number for number, name in enumerate(PAYLOAD_KINDS)}

_QUOTED_ID = re.compile(rb'"([0-9a-fA-F]{32})"')
_FIELD = re.compile(r"(?:required field `|at `\$\.)(\w+)")
_REASONS: Final[dict[str, Reason]] = {
    "id": "record-id",
    "created_us": "created",
    "severity": "severity",
    "classification": "classification",
    "payload_kind": "payload-kind",
    "facts": "attribute",
    "attributes": "attribute",
}


def read_batch(body: bytes) -> Batch:
    """The records of a decompressed body. Raises NotBatch or TooMany; nothing of the batch counts then."""
    if body.count(b"\n") > LINES_MAX:
        raise TooMany
    lines = body.split(b"\n")
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise NotBatch("the body is empty: the first line must be a host line")
    host: Host | None = None
    items: list[Record | Rejected] = []
    known_good: set[str] = set()
    room = _Room()
    for number, line in enumerate(lines, 1):
        try:
            read = _decode_record(line)
        except _NOT_JSON as error:
            found = _read_other(line, number, error)
            if isinstance(found, Host):
                host = found
                continue
            item: Record | Rejected = found
        else:
            if read.host is not UNSET:
                raise NotBatch(f"line {number} is a host line and a record in one")
            item = Rejected("malformed") if host is None else _check(read, host, known_good)
            if isinstance(item, Record) and item.payload_kind == METRIC:
                item = item._replace(points=_points(item, room))
        if host is None:
            raise NotBatch("the first line is not a host line")
        if len(items) == BATCH_RECORDS_MAX:
            raise TooMany
        items.append(item)
    if host is None:
        raise NotBatch("the first line is not a host line")
    return Batch(items)


class _Room:
    """For the points of a batch. TooMany where it is used up: the sender sends less at a time then."""

    def __init__(self) -> None:
        self._plain = PLAIN_MAX
        self._points = POINTS_MAX
        self._series = SERIES_MAX
        self._attributes = ATTRIBUTES_BYTES_MAX

    def read(self, plain: bytes) -> bytes:
        """The same, counted, before anything is made of it."""
        self._plain -= len(plain)
        if self._plain < 0:
            raise TooMany
        return plain

    def taken(self, points: list[Points]) -> list[Points]:
        """The same, counted."""
        self._series -= len(points)
        self._points -= sum(count_of(each.data) for each in points)
        self._attributes -= sum(len(each.attributes) for each in points)
        if min(self._points, self._series, self._attributes) < 0:
            raise TooMany
        return points


def _points(record: Record, room: _Room) -> list[Points]:
    """None where the payload is of another version, or can't be read: the record is kept all the same."""
    if record.payload_version != PAYLOAD_VERSION or not isinstance(record.payload, bytes):
        return []
    try:
        return room.taken(points_of(room.read(plain_of(record.payload))))
    except Unreadable:
        return []


def _read_other(line: bytes, number: int, error: Exception) -> Host | Rejected:
    """A line that is no valid record: a host line, an invalid record, or not even an object."""
    try:
        if isinstance(error, UnicodeDecodeError):
            raise error  # what is skipped below isn't looked at so closely
        shape = _decode_shape(line)
    except _NOT_JSON:
        raise NotBatch(f"line {number} is not a JSON object") from None
    if shape.host is UNSET:
        quoted = _QUOTED_ID.fullmatch(bytes(shape.id)) if shape.id is not UNSET else None
        return Rejected(_reason(error), quoted.group(1).decode() if quoted else "")
    try:
        facts = _decode_host(line).host
        machine_id = bytes.fromhex(facts.machine_id)
    except (*_NOT_JSON, ValueError):
        raise NotBatch(f"line {number} is a host line without a usable host") from None
    if len(facts.machine_id) != 32 or len(machine_id) != 16:
        raise NotBatch(f"line {number} is a host line whose machine_id isn't 32 hex digits")
    text = _facts_text(facts)
    if text is None:
        raise NotBatch(f"line {number} is a host line with a fact that is too long or holds control characters")
    return Host(machine_id, text)


def _reason(error: Exception) -> Reason:
    """What the protocol calls that which msgspec found wrong."""
    found = _FIELD.search(str(error))
    return _REASONS.get(found.group(1), "malformed") if found else "malformed"


def _check(line: _RecordLine, host: Host, known_good: set[str]) -> Record | Rejected:
    """The rules that types don't say. known_good: classifications of this batch that were looked at already."""
    try:
        record_id = bytes.fromhex(line.id)
    except ValueError:
        record_id = NO_ID
    if len(record_id) != 16 or record_id == NO_ID:
        return Rejected("record-id")
    try:
        event_id = bytes.fromhex(line.event_id)
    except ValueError:
        event_id = b""
    if len(event_id) != 16:
        return Rejected("malformed", line.id)
    classification = line.classification
    if classification not in known_good:
        if not is_classification(classification):
            return Rejected("classification", line.id)
        known_good.add(classification)
    if (wrong := _payload_wrong(line)) is not None:
        return Rejected(wrong, line.id)
    facts = _facts_text(line.facts) if line.facts is not UNSET else "{}"
    if facts is None:
        return Rejected("attribute", line.id)
    attributes = line.attributes or None
    if attributes and not _attributes_good(attributes):
        return Rejected("attribute", line.id)
    return Record(
        record_id,
        event_id,
        line.created_us,
        line.severity,
        classification,
        line.payload_version,
        _KIND_NUMBER[line.payload_kind],
        line.payload if line.payload is not UNSET else cast("bytes", line.payload_base64),
        host,
        facts if facts != "{}" else None,
        _attributes_text(attributes) if attributes else None,
    )


def _payload_wrong(line: _RecordLine) -> Reason | None:
    """Exactly one of the two forms, within the limit."""
    text, raw = line.payload, line.payload_base64
    if isinstance(text, str):
        if raw is not UNSET or "\0" in text:
            return "malformed"
        return "too-large" if len(text) * 4 > PAYLOAD_MAX and len(text.encode()) > PAYLOAD_MAX else None
    if isinstance(raw, bytes):
        return "too-large" if len(raw) > PAYLOAD_MAX else None
    return "malformed"


def _facts_text(facts: _Facts) -> str | None:
    """The facts as they are kept; None where one breaks the rules."""
    known = {name: value for name in _Facts.__struct_fields__ if (value := getattr(facts, name)) is not UNSET}
    return _encode(known).decode() if all(is_fact(value) for value in known.values()) else None


def _attributes_good(attributes: dict[str, bytes]) -> bool:
    if sum(ATTRIBUTE_OVERHEAD + len(value) for value in attributes.values()) > ATTRIBUTES_MAX:
        return False
    return all(
        key.isascii()
        and key.isdigit()
        and len(key) <= 5
        and str(int(key)) == key
        and int(key) < CRITICAL
        and int(key) not in NAMED_ATTRIBUTES
        for key in attributes
    )


def _attributes_text(attributes: dict[str, bytes]) -> str:
    in_order = sorted(attributes.items(), key=lambda item: int(item[0]))
    return _encode({key: base64.b64encode(value).decode() for key, value in in_order}).decode()
