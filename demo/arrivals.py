# SPDX-License-Identifier: Apache-2.0
"""What has arrived, as the hub's API tells it. Only asks; never looks into the hub's files."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

from demo.system import DemoError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from demo.system import System

ARRIVE_S = 60.0
"""For all that was sent to be there."""

ANSWER_S = 10.0
ANSWER_BYTES_MAX = 64 << 20
POLL_S = 0.05
RECORDS_MAX = 1000
"""The most that one question may ask for."""

# Loopback is never behind a proxy, whatever the environment says.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Arrived(NamedTuple):
    """One record as the hub has it. Times in microseconds since 1970, by the clocks of the sender and of the hub."""

    record_id: str
    classification: str
    severity: int
    payload: str
    """"" where it isn't text."""

    created_us: int
    received_us: int

    @property
    def text(self) -> str:
        """For people: behind the line of JSON that reports of crashes begin with."""
        behind = self.payload.partition("\n")[2] if self.payload.startswith("{") else ""
        return behind or self.payload


def newest(system: System, url: str, limit: int) -> list[Arrived]:
    """The newest records, newest first. DemoError where the hub doesn't answer."""
    return [_arrived(record) for record in asked(system, f"{url}/api/v1/records?limit={limit}")["records"]]


def asked(system: System, url: str) -> dict[str, Any]:
    """What the hub's API says there. DemoError where it doesn't answer."""
    try:
        with _opener.open(url, timeout=ANSWER_S) as answer:
            found: dict[str, Any] = json.loads(answer.read(ANSWER_BYTES_MAX))
    except (OSError, urllib.error.URLError, ValueError) as error:
        raise DemoError(f"the hub doesn't answer ({error}):\n{system.log_tail('telemhub')}") from None
    return found


def wait_for(
    system: System, url: str, ids: Sequence[str], progress: Callable[[int, int], None] | None
) -> list[Arrived]:
    """Those of the ids that are there, in the order of ids: all of them, or what came in time."""
    end_s = time.monotonic() + ARRIVE_S
    while True:
        there = {record.record_id: record for record in newest(system, url, RECORDS_MAX)}
        found = [there[record_id] for record_id in ids if record_id in there]
        if progress is not None:
            progress(len(found), len(ids))
        if len(found) == len(ids) or time.monotonic() > end_s:
            return found
        system.check_running()
        time.sleep(POLL_S)


def _arrived(record: dict[str, Any]) -> Arrived:
    return Arrived(
        record["id"],
        record["classification"],
        record["severity"],
        record.get("payload", ""),
        record["created_us"],
        record["received_us"],
    )
