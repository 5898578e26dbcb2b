# SPDX-License-Identifier: Apache-2.0
"""The ids of a kernel report's record, derived so that one report has one, whoever reads it and however often.

The kernel's log and a dump in pstore tell of one oops with the same lines and times: telemd and the hub then know the
second record for the first. Pure: a secret and values in, ids out.
"""

from __future__ import annotations

from telemetry_probes import derivedids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.oops import Oops


def record_id(secret: bytes, oops: Oops) -> bytes:
    """16 bytes laid out as docs/protocol.md, section 1.2, says."""
    return derivedids.laid_out(digest(secret, b"record", oops))


def event_id(secret: bytes, oops: Oops) -> bytes:
    """16 bytes: the incident that this report began."""
    return digest(secret, b"event", oops)


def digest(secret: bytes, purpose: bytes, oops: Oops) -> bytes:
    """16 bytes."""
    return derivedids.keyed(
        secret, purpose, f"{oops.time_us} {oops.fingerprint} {oops.kernel}".encode("utf-8", "replace")
    )
