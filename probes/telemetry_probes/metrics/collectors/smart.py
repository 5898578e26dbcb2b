# SPDX-License-Identifier: Apache-2.0
"""How disks say they are: SMART, by smartctl of smartmontools. It needs root, or the right to talk to disks.

A disk that sleeps is left asleep: one that Linux has suspended isn't touched, and smartctl is told to ask whether it is
awake before anything else. What smartctl's output means is in `smartctl`.
"""

from __future__ import annotations

from telemetry_probes.metrics import smartctl
from telemetry_probes.metrics.commands import found, run
from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.hardware import Point, Row
from telemetry_probes.metrics.model import Absent, Choice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "health of disks (SMART)"
INTERVAL_S = 3600.0
METRICS = smartctl.METRICS
OPTIONS = (Choice("disks", ALL, "Which disks, as in `sda,nvme*`, or, with a leading `-`, which not."),)

SECONDS_MAX = 20.0
"""That smartctl may take for one disk."""
INSTALL = "install smartmontools"
RIGHTS = "smartctl finds no disk: it needs root, and disks that have SMART, which those of virtual machines don't"


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._filter = Filter(str(options.get("disks", ALL)))
        self._smartctl = found(places, "smartctl", INSTALL, SECONDS_MAX)
        self._row = Row()
        self.series: Sequence[Series] = ()

    def sample(self, now_s: float) -> Sequence[Value]:
        scan = self._smartctl.run(now_s, "--scan", "--json")
        disks = [disk for disk in smartctl.scanned(scan.output) if self._filter.takes(disk.name)]
        if not disks:
            raise Absent(RIGHTS)
        told = [
            Point(point.metric, point.value, ("hw.id", disk.name), *point.attributes)
            for disk in disks
            for point in self._asked(disk)
        ]
        row = self._row.of(told)
        self.series = self._row.series
        return row

    def close(self) -> None:
        """It keeps nothing open."""

    def _asked(self, disk: smartctl.Disk) -> list[Point]:
        if suspended(self._places, disk.path):
            return [_went("asleep")]
        command = [
            self._smartctl.path,
            f"--nocheck=standby,{smartctl.ASLEEP_STATUS}",
            "--all",
            "--json",
            f"--device={disk.type}",
            disk.path,
        ]
        try:
            ran = run(command, SECONDS_MAX)
        except TimeoutError:  # the others may be in order
            return [_went("silent")]
        if ran.status == smartctl.ASLEEP_STATUS:
            return [_went("asleep")]
        points = smartctl.points(ran.output)
        return [_went("answered" if points else "refused"), *points]


def _went(how: str) -> Point:
    return Point(smartctl.STATE, 1, ("x.smart.state", how))


def suspended(places: Places, path: str) -> bool:
    """Whether Linux itself has put that disk to sleep (runtime power management)."""
    name = path.removeprefix("/dev/")
    return "/" not in name and places.word(f"/sys/block/{name}/device/power/runtime_status") == "suspended"
