# SPDX-License-Identifier: Apache-2.0
"""A record that must not be lost, handed to telemd: what counts as done, and what is tried again."""

from __future__ import annotations

from libtelemetry import DUPLICATE, DURABLE, UNANSWERED, TelemetryError, send, telemctl
from libtelemetry.client import TIMEOUT_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libtelemetry import Record

DONE, LATER, NEVER = range(3)
"""telemd has it; it may take it another time; it won't."""
REASONS_LATER = (16, 17, 19)
"""docs/protocol.md, section 2: no space, a rate limit, a failing disk."""


def offer(record: Record, timeout_s: float = TIMEOUT_S) -> tuple[int, str]:
    """DONE, LATER or NEVER, and a sentence for the operator where it isn't done. timeout_s: for the answer, twice."""
    try:
        ack = send(record, timeout_s)
    except TelemetryError as error:
        return LATER, error.strerror
    if ack.verdict in (DURABLE, DUPLICATE, UNANSWERED):
        return DONE, ""
    why = f"telemd refused the report ({ack.reason_name}): see `{telemctl('status')}`"
    return (LATER if ack.reason in REASONS_LATER else NEVER), why
