# SPDX-License-Identifier: Apache-2.0
"""What this machine is doing comes to the hub: metricprobe runs for a moment, and the hub is asked for the points.

Chooses what is shown; how samples are taken and sent is metricprobe's affair.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from demo.arrivals import asked, newest
from demo.system import DemoError

if TYPE_CHECKING:
    from demo.arrivals import Arrived
    from demo.system import System

CLASS = "org.clearlinux/metric/minute"
RUNS_S = 3.0
"""Long enough for rates; left alone it sends a record a minute."""
EVERY_S = "1"
ARRIVE_S = 30.0
POLL_S = 0.05
RECORDS_MAX = 50
RATE = "system.cpu.time"
"""A counter of every machine: from its second sample on there are rates."""


class Measured(NamedTuple):
    """What arrived: the record, how many series it has, and a few of them in words."""

    record: Arrived
    series: int
    lines: list[str]


def measure(system: System) -> None:
    """Let metricprobe run for RUNS_S; what it has sampled it sends at its end."""
    environment = {f"TELEMETRICS_{name}_INTERVAL_S": EVERY_S for name in ("CPU", "MEMORY", "NETWORK", "DISKIO")}
    system.run_for("metricprobe", RUNS_S, environment)


def measured(system: System, url: str) -> Measured:
    """What the hub has of it, as soon as there are rates. DemoError where nothing comes.

    Where a minute ended meanwhile there are two records, and the first may have a single sample of each.
    """
    end_s = time.monotonic() + ARRIVE_S
    while time.monotonic() < end_s:
        records = [record for record in newest(system, url, RECORDS_MAX) if record.classification == CLASS]
        if records and _last(system, url, RATE):
            series = asked(system, f"{url}/api/v1/metrics/series?machine={system.machine_id}")["series"]
            return Measured(records[0], len(series), _lines(system, url))
        time.sleep(POLL_S)
    raise DemoError(f"no metrics came to the hub within {ARRIVE_S:.0f} s:\n{system.log_tail('metricprobe')}")


def _lines(system: System, url: str) -> list[str]:
    """Of those that this machine has."""
    lines = []
    busy = [_sum(_last(system, url, RATE), "cpu.mode", mode) for mode in ("user", "system", "idle", "iowait")]
    if sum(busy) > 0:
        lines.append(f"processors: {100 * (busy[0] + busy[1]) / sum(busy):.0f} % busy")
    memory = _last(system, url, "system.memory.usage")
    if memory:
        parts = {each["attributes"].get("system.memory.state", ""): each["points"][-1][1] for each in memory}
        shown = [
            f"{parts[state] / (1 << 30):.1f} GiB {state}" for state in ("used", "cached", "free") if state in parts
        ]
        lines.append(f"memory: {', '.join(shown)}")
    disks = _last(system, url, "system.disk.io")
    if disks:
        lines.append(f"disks: {_sum(disks, 'disk.io.direction', 'write') / 1024:.0f} KiB a second written")
    return lines


def _last(system: System, url: str, name: str) -> list[dict[str, Any]]:
    """The series of that name, of counters the rates."""
    found: list[dict[str, Any]] = asked(
        system, f"{url}/api/v1/metrics?machine={system.machine_id}&name={name}&as=rate"
    )["series"]
    return [each for each in found if each["points"]]


def _sum(series: list[dict[str, Any]], attribute: str, value: str) -> float:
    return sum(float(each["points"][-1][1]) for each in series if each["attributes"].get(attribute) == value)
