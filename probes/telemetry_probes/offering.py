# SPDX-License-Identifier: Apache-2.0
"""Records that must not be lost, handed to telemd: what counts as done, and what is tried again."""

from __future__ import annotations

from time import monotonic

from libtelemetry import DUPLICATE, DURABLE, UNANSWERED, TelemetryError, is_opted_in, send, telemctl
from libtelemetry.client import TIMEOUT_S

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol, TypeVar

    from libtelemetry import Record
    from telemetry_probes.patience import Patience

    class Waits(Protocol):
        """What waits to be sent, with what the probe needs to know of it."""

        record: Record

    W = TypeVar("W", bound=Waits)

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


def dealt_with(waiting: list[W], patience: Patience, say: Callable[[str], None]) -> Iterator[W]:
    """What telemd takes of that, or never will, oldest first; each has left the list when it is given.

    Ends where telemd doesn't take one, which patience is told, or where the owner has opted out. say: to the operator.
    """
    while waiting and is_opted_in():
        outcome, why = offer(waiting[0].record)
        if outcome == LATER:
            if patience.refused(monotonic()):
                say(f"{why}; tried again until it is taken")
            return
        if outcome == NEVER:
            say(why)
        patience.taken()
        yield waiting.pop(0)
