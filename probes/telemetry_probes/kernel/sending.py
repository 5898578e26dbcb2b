# SPDX-License-Identifier: Apache-2.0
"""A kernel report handed to telemd: what counts as done, and what is tried again."""

from __future__ import annotations

import posix

from libtelemetry import DUPLICATE, DURABLE, UNANSWERED, Record, TelemetryError, is_opted_in, send, setting, telemctl
from telemetry_probes.kernel import identity, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.oops import Oops

ATTR_KERNEL_VERSION = 4
DONE, LATER, NEVER = range(3)
"""telemd has it; it may take it another time; it won't."""
REASONS_LATER = (16, 17, 19)
"""docs/protocol.md, section 2: no space, a rate limit, a failing disk."""


def privacy_is_lifted() -> bool:
    """The owner's file stands beside the opt-in, and counts for nothing without that."""
    where = setting("opt_in_path").rpartition("/")[0]
    try:
        posix.stat(f"{where}/opt-in-no-privacy-filters")
    except OSError:
        return False
    return is_opted_in()


def record(oops: Oops, secret: bytes, created_us: int, event_id: bytes, more: int = 0, old_kernel: str = "") -> Record:
    """The record of a report. `old_kernel`: the release of the kernel it is of, where that isn't the one that runs."""
    return Record(
        oops.classification,
        payload.payload(oops, more),
        severity=oops.severity,
        payload_version=payload.VERSION,
        record_id=identity.record_id(secret, oops),
        event_id=event_id,
        created_us=max(0, created_us),
        attributes={ATTR_KERNEL_VERSION: old_kernel} if old_kernel else None,
    )


def offer(one: Record) -> tuple[int, str]:
    """DONE, LATER or NEVER, and a sentence for the operator where it isn't done."""
    try:
        ack = send(one)
    except TelemetryError as error:
        return LATER, error.strerror
    if ack.verdict in (DURABLE, DUPLICATE, UNANSWERED):
        return DONE, ""
    why = f"telemd refused the report ({ack.reason_name}): see `{telemctl('status')}`"
    return (LATER if ack.reason in REASONS_LATER else NEVER), why
