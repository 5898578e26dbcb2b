# SPDX-License-Identifier: Apache-2.0
"""What the hub speaks of: a host, a record, and the reasons for which one is refused.

Pure: values and the rules that a value alone can answer for. Nothing about JSON lines (ingest) or tables (store)
belongs here. Limits and rules are those of docs/protocol.md, sections 1 and 6.
"""

from __future__ import annotations

import re
from sys import getsizeof
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemhub.points import Points

PAYLOAD_KINDS: Final = ("text", "json", "metric", "json-zstd")
"""A payload kind's number is its place here."""

METRIC: Final = 2

CLASSIFICATION_MAX: Final = 122
"""Bytes."""

FACT_MAX: Final = 256
"""Bytes of UTF-8."""

PAYLOAD_MAX: Final = 65_536
"""Bytes."""

ATTRIBUTES_MAX: Final = 4_096
"""Bytes of all attributes of a record, four of overhead each."""

CREATED_US_END: Final = 7_258_118_400_000_000
"""Microseconds since 1970 at the beginning of 2200: a record from then or later has a broken clock, or a broken
sender."""

BATCH_RECORDS_MAX: Final = 1_000
BATCH_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of one batch, decompressed; compressed too."""

POINTS_OVERHEAD: Final = 500
"""Bytes in memory of some points of a series, beside the points themselves."""

NO_ID: Final = bytes(16)

Reason = Literal[
    "malformed",
    "too-large",
    "classification",
    "severity",
    "attribute",
    "payload-kind",
    "record-id",
    "created",
]
"""Why a record is refused: the names of docs/protocol.md, section 2."""

_CLASSIFICATION = re.compile(r"(?:(?!\.{1,2}(?:/|\Z))[!-.0-~]{1,40}/){2}(?!\.{1,2}\Z)[!-.0-~]{1,40}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class Host(NamedTuple):
    """The machine a record comes from, as it was then."""

    machine_id: bytes
    """16 bytes."""

    facts: str
    """JSON object of strings: arch, host_type, build and so on, only those that are known, in the protocol's order."""


class Record(NamedTuple):
    """One record, valid by docs/protocol.md, ready to be kept."""

    id: bytes
    event_id: bytes
    created_us: int
    severity: int
    classification: str
    payload_version: int
    payload_kind: int
    payload: str | bytes
    """Text where it is UTF-8 without NUL, else bytes."""

    host: Host
    facts: str | None
    """What differs from the host's facts, in the same form; None where nothing does."""

    attributes: str | None
    """JSON object, decimal key to base64; None where there are none."""

    points: Sequence[Points] = ()
    """What a metric record tells; of one that can't be read none."""


class Rejected(NamedTuple):
    """A record that can't be kept: the others of its batch are."""

    reason: Reason
    id: str = ""
    """32 hex digits, where it has a usable one."""


class Batch(NamedTuple):
    """What one request brought, in its order."""

    items: list[Record | Rejected]

    def records(self) -> list[Record]:
        return [item for item in self.items if isinstance(item, Record)]

    def points_bytes(self) -> int:
        """About what the points of its records take in memory."""
        return sum(
            POINTS_OVERHEAD + len(each.data) + getsizeof(each.attributes)
            for item in self.records()
            for each in item.points
        )


def is_classification(text: str) -> bool:
    """domain/probe/kind: two slashes, each part 1 to 40 printable ASCII characters without space, none `.` or `..`."""
    return len(text) <= CLASSIFICATION_MAX and _CLASSIFICATION.fullmatch(text) is not None


def is_fact(text: str) -> bool:
    """At most FACT_MAX bytes of UTF-8 without control characters."""
    if len(text) > FACT_MAX or _CONTROL.search(text) is not None:
        return False
    return text.isascii() or len(text.encode()) <= FACT_MAX
