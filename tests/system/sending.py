# SPDX-License-Identifier: Apache-2.0
"""What tests send to a telemd in a booted machine, from outside of it, and what they ask it. Nothing of the product is
imported: it is met by its socket and its programs."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

from booted import TIMEOUT_S, wait_until
from records import record, record_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from booted import Machine

ANSWER = struct.Struct("<IBBH16s")  # docs/protocol.md, section 2
DURABLE, DUPLICATE, REFUSED = range(3)
SOCKET = "/run/telemetry/telemd.sock"
SAID_US = "WatchdogTimestampMonotonic"
"""When a service last said that it lives."""
WATCHDOG_S = 5
"""For tests of it: short, and long enough for a live one on a machine that is busy with others."""


def connected(machine: Machine) -> socket.socket:
    """A stream to telemd, or to systemd that listens in its place. OSError."""
    stream = socket.socket(socket.AF_UNIX)
    try:
        stream.settimeout(TIMEOUT_S)
        stream.connect(str(machine.path(SOCKET)))
    except BaseException:
        stream.close()
        raise
    return stream


def answer(stream: socket.socket) -> tuple[int, int] | None:
    """Verdict and reason; None at the end of the stream."""
    data = b""
    while len(data) < ANSWER.size:
        more = b""
        with contextlib.suppress(ConnectionError):
            more = stream.recv(ANSWER.size - len(data))
        if not more:
            return None
        data += more
    _, _, verdict, reason, _ = ANSWER.unpack(data)
    return verdict, reason


def send(machine: Machine, numbers: Iterable[int], payload: bytes = b"x" * 100) -> list[int]:
    """Those of the numbers that are durable now, each record over one connection after the other's answer."""
    durable = []
    with connected(machine) as stream:
        for number in numbers:
            try:
                stream.sendall(record(number, payload))
                said = answer(stream)
            except OSError:
                break
            if said is None:
                break
            if said[0] in (DURABLE, DUPLICATE):
                durable.append(number)
    return durable


def configure(machine: Machine, **settings: str | int | bool) -> None:
    """The owner's file, with these and no limits of rate. What tests do to units is not told: they count records."""
    machine.systemctl("mask", "--quiet", "--runtime", "journalprobe.service")
    values = {"rate_limit_enabled": False, **settings}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    machine.write("/etc/telemetrics/telemetrics.conf", "\n".join(["[settings]", *lines, ""]))


def account(machine: Machine) -> dict[str, Any]:
    """telemd's, after its two equations were checked."""
    found: dict[str, Any] = json.loads(machine.run("telemctl", "status", "--json").stdout)["telemd"]["accounting"]
    refused = sum(found["refused"].values())
    assert found["received"] == refused + found["duplicate"] + found["admitted"], found
    ends = ("delivered", "rejected", "evicted", "expired", "purged", "damaged", "pending")
    assert found["admitted"] == sum(found[name] for name in ends), found
    return found


def wait_told(machine: Machine, unit: str) -> None:
    """Until systemd's watchdog has heard twice more that it goes on."""
    heard: set[str] = set()

    def twice_more() -> bool:
        heard.add(machine.shown(unit, SAID_US))
        return len(heard) > 2

    wait_until(twice_more, f"{unit} says that it goes on")


def starts_after_a_hang(machine: Machine, unit: str) -> int:
    """It says that it goes on, and hangs then: how often systemd has started it anew."""
    machine.drop_in(unit, f"WatchdogSec={WATCHDOG_S}", "RestartSec=1")
    machine.systemctl("restart", unit)
    wait_told(machine, unit)
    return hang(machine, unit)


def hang(machine: Machine, unit: str) -> int:
    """The same of one that runs, with a watchdog that is soon there."""
    since, before = machine.cursor(), machine.main_pid(unit)
    machine.signal(unit, "STOP")
    wait_until(lambda: machine.main_pid(unit) not in (0, before), "systemd has started it anew")
    machine.wait_journal("Watchdog timeout", since, unit=unit)
    return int(machine.shown(unit, "NRestarts"))


class Hub:
    """telemhub.service in the machine. It can be away for a time and keeps what it has."""

    url = "http://127.0.0.1:8080"
    unit = "telemhub.service"

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def start(self) -> None:
        self._machine.systemctl("start", self.unit)

    def stop(self) -> None:
        self._machine.systemctl("stop", self.unit)

    def ids(self) -> set[str]:
        """Of all records it has."""
        found: set[str] = set()
        cursor = ""
        while True:
            url = f"{self.url}/api/v1/records?limit=1000{cursor}"
            page = json.loads(self._machine.run("curl", "--silent", "--fail", url).stdout)
            found |= {each["id"] for each in page["records"]}
            if page["next"] is None:
                return found
            cursor = f"&cursor={page['next']}"

    def wait_for(self, numbers: Iterable[int]) -> None:
        """Until it has the records of all these numbers."""
        wanted = {record_id(number).hex() for number in numbers}
        try:
            wait_until(lambda: wanted <= self.ids(), f"{len(wanted)} records arrive at the hub")
        except AssertionError as error:
            raise AssertionError(f"{error}; {len(wanted - self.ids())} are missing\n{self._machine.tail()}") from None
