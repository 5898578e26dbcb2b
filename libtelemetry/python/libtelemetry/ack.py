# SPDX-License-Identifier: Apache-2.0
"""What telemd said about one record (docs/protocol.md, section 2).

A value only: what to do about a refusal is for the program that sent the record to decide.
"""

from __future__ import annotations

from libtelemetry._native import ffi, lib

DURABLE = 0
"""On telemd's disk."""
DUPLICATE = 1
"""This id was accepted before."""
REFUSED = 2
"""Not accepted; the reason says why."""
UNANSWERED = 3
"""Taken by a telemd that speaks format 4 only and never answers: nothing more is known."""

REASON_NONE = 0
REASON_MALFORMED = 1
REASON_TOO_LARGE = 2
REASON_CLASSIFICATION = 3
REASON_SEVERITY = 4
REASON_ATTRIBUTE = 5
REASON_PAYLOAD_KIND = 6
REASON_HEADER = 7
REASON_TIMEOUT = 8
REASON_RECORD_ID = 9
REASON_CREATED = 10
REASON_NO_SPACE = 16
REASON_RATE_LIMIT = 17
REASON_NOT_OPTED_IN = 18
REASON_IO = 19
REASON_ANONYMOUS = 20


def reason_name(reason: int) -> str:
    """The name docs/protocol.md gives a reason; "unknown" for a number it doesn't list (0 to 65,535)."""
    return ffi.string(lib.tm_reason_name(reason)).decode("ascii")


class Ack:
    """One answer: verdict (DURABLE …), reason (REASON_…) and the 16 bytes of the record's id."""

    __slots__ = ("reason", "record_id", "verdict")

    verdict: int
    reason: int
    record_id: bytes

    def __init__(self, verdict: int, reason: int, record_id: bytes) -> None:
        self.verdict = verdict
        self.reason = reason
        self.record_id = record_id

    @property
    def accepted(self) -> bool:
        """True where telemd said that the record is on its disk, now or from an earlier send."""
        return self.verdict in (DURABLE, DUPLICATE)

    @property
    def reason_name(self) -> str:
        """The reason's name, "none" where there is none."""
        return reason_name(self.reason)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ack):
            return NotImplemented
        return (self.verdict, self.reason, self.record_id) == (other.verdict, other.reason, other.record_id)

    def __hash__(self) -> int:
        return hash((self.verdict, self.reason, self.record_id))

    def __repr__(self) -> str:
        names = ("durable", "duplicate", "refused", "unanswered")
        verdict = names[self.verdict] if self.verdict < len(names) else str(self.verdict)
        return f"Ack({verdict}, {self.reason_name}, {self.record_id.hex()})"
