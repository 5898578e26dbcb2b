# SPDX-License-Identifier: Apache-2.0
"""A batch to a server that takes one record a request: what the transports to a telemetrics-backend share.

Has libtelemetry read the records, telemd.format4 name the fifteen values, a transport put each into its form, and
telemd.answers read the receipt. Never decides what is sent.
"""

from __future__ import annotations

import time

from libtelemetry import wire
from telemd import format4
from telemd.answers import Outcome, failed, read_receipt, shown_server
from telemd.courierframes import REASON_NOT_CARRIED, REASON_UNREADABLE
from telemd.transport._halving import Halving
from telemd.transport._leftout import LeftOut
from telemd.transport._post import Connection, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from telemd.courierframes import Destination

    Form = Callable[[dict[str, str], str], tuple[bytes, dict[str, str]]]
    """The fifteen values and the payload in, body and headers of the request out."""

POST_LEAST_S: Final = 0.5
"""Less time than this before the deadline, and no further request is begun."""

POST_MOST_S: Final = 10.0
"""For one request, connecting included; as telemetrics-client had it."""

_CARRIED: Final = tuple(wire.PAYLOAD_KINDS.index(kind) for kind in ("text", "json"))


class SingleTransport:
    """See telemd.transport.Transport."""

    __slots__ = ("_connection", "_form", "_server")

    def __init__(self, destination: Destination, form: Form) -> None:
        self._connection = Connection(destination.server, destination)
        self._server = shown_server(destination.server)
        self._form = form

    def close(self) -> None:
        self._connection.close()

    def deliver(self, host: dict[str, str], records: bytes, deadline_s: float) -> Outcome:
        left_out = LeftOut()
        carried = _carried(records, left_out)
        course = Halving(len(carried), self._server, part_max=1)
        while (part := course.part()) is not None:
            now_s = time.monotonic()
            if deadline_s - now_s < POST_LEAST_S:
                course.stop(failed("undecided", 1, self._server, "the time it may take"))
                break
            record = carried[part[0]]
            body, headers = self._form(format4.values(record, host["machine_id"], host), payload_of(record))
            answer = self._connection.post(body, headers, min(deadline_s, now_s + POST_MOST_S))
            if isinstance(answer, Failure):
                course.settle(failed(answer.kind, 1, self._server, answer.detail))
                continue
            course.settle(
                read_receipt(answer.status, answer.headers, answer.body, answer.ended, time.time(), self._server)
            )
        return left_out.among(course.outcome())


def _carried(records: bytes, left_out: LeftOut) -> list[wire.DecodedRecord]:
    carried = []
    for number, each in enumerate(wire.split(records)):
        try:
            record = wire.decode(each)
        except ValueError:
            # telemd checked every record when it took it in: this is a damaged one, or another version of the format.
            left_out.add(number, REASON_UNREADABLE)
            continue
        if record.payload_kind in _CARRIED:
            carried.append(record)
        else:
            left_out.add(number, REASON_NOT_CARRIED)
    return carried


def payload_of(record: wire.DecodedRecord) -> str:
    """As text: these servers keep nothing else. What is not UTF-8, and NUL, which their database refuses for good with
    an answer of 500, becomes U+FFFD."""
    return record.payload.decode("utf-8", "replace").replace("\0", "\ufffd")
