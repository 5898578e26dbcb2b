# SPDX-License-Identifier: Apache-2.0
"""The library's exceptions: whose fault something is, and what to do next.

A refusal by telemd is no exception but an Ack. No payload, attribute or other content of a record may get into a
message.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from libtelemetry.ack import Ack


class RecordError(ValueError):
    """A record, or bytes that should be one, break a rule of docs/protocol.md, section 1.

    `reason` is the number of the reason (section 2) where the C core named one, else 0.
    """

    reason: int

    def __init__(self, message: str, reason: int = 0) -> None:
        super().__init__(message)
        self.reason = reason


class TelemetryError(OSError):
    """A record could not be handed over, or telemd did not answer: it counts as not accepted.

    `errno` is that of the C core and `strerror` a sentence for the operator. `acks` holds the answers that came before
    the failure; they belong to the first records of a `Client.send_many`.
    """

    acks: list[Ack]
    strerror: str

    def __init__(self, errno: int, message: str) -> None:
        super().__init__(errno, message)
        self.acks = []
