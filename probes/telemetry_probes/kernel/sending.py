# SPDX-License-Identifier: Apache-2.0
"""The record of a kernel report."""

from __future__ import annotations

from libtelemetry import Record
from telemetry_probes.kernel import identity, payload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.oops import Oops

ATTR_KERNEL_VERSION = 4


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
