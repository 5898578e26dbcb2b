# SPDX-License-Identifier: Apache-2.0
"""May a record come in, and into which lane?

Pure: what is decided depends on the arguments alone. One question for each run of like records, not for each record.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

VITAL: Final = 0
EVENT: Final = 1
METRIC: Final = 2

REASON_NOT_OPTED_IN: Final = 18
REASON_ANONYMOUS: Final = 20
PAYLOAD_METRIC: Final = 2

# Second part of a classification whose records tell of a crash of a program or of the kernel.
VITAL_PROBES: Final = frozenset((b"crash", b"kernel", b"bert"))


class Accept:
    """Into this lane."""

    __match_args__ = ("lane",)
    __slots__ = ("lane",)

    def __init__(self, lane: int) -> None:
        self.lane = lane


class Refuse:
    """Not at all; reason as in docs/protocol.md, section 2."""

    __match_args__ = ("reason",)
    __slots__ = ("reason",)

    def __init__(self, reason: int) -> None:
        self.reason = reason


class Policy:
    """What holds for the machine right now. privileged_uids may use the vital lane: the sockets are open to all, and
    the classification is the sender's own word. named: its id is a lasting one."""

    __slots__ = ("named", "opted_in", "privileged_uids")

    def __init__(self, opted_in: bool, privileged_uids: frozenset[int], named: bool = False) -> None:
        self.opted_in = opted_in
        self.privileged_uids = privileged_uids
        self.named = named


def judge(classification: bytes, payload_kind: int, uid: int, policy: Policy) -> Accept | Refuse:
    """The answer for records of one kind from one user."""
    if not policy.opted_in:
        return Refuse(REASON_NOT_OPTED_IN)
    if payload_kind == PAYLOAD_METRIC:
        # What is measured without a break would join the ids of a machine whose id changes.
        return Accept(METRIC) if policy.named else Refuse(REASON_ANONYMOUS)
    if uid in policy.privileged_uids and classification.split(b"/")[1] in VITAL_PROBES:
        return Accept(VITAL)
    return Accept(EVENT)
