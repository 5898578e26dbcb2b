# SPDX-License-Identifier: Apache-2.0
"""Arrays of Linux's md: their state, the disks they miss, how far a resync is.

From /sys/block/md*/md; the kernel's Documentation/admin-guide/md.rst has the files. They are opened anew each time:
arrays and their disks come and go.
"""

from __future__ import annotations

from telemetry_probes.metrics.hardware import Point, Row, integer, plain, whole
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "md RAID: state, missing disks, resync"
INTERVAL_S = 60.0
QUICK = True

STATE = Metric("x.md.state", "1", GAUGE, "1 for the state that x.md.state names, which is the kernel's array_state")
DISKS = Metric("x.md.disks", "{disk}", GAUGE, "Disks that the array has when it is whole")
MISSING = Metric("x.md.disks.missing", "{disk}", GAUGE, "Disks that it misses now: above 0 it is degraded")
FAULTY = Metric("x.md.disks.faulty", "{disk}", GAUGE, "Disks that failed and are still in it")
SPARE = Metric("x.md.disks.spare", "{disk}", GAUGE, "Disks that stand by, or are being filled")
ERRORS = Metric("x.md.disks.errors", "{error}", COUNTER, "Read errors of its disks that the array corrected")
SYNC = Metric(
    "x.md.sync", "1", GAUGE, "How far what x.md.sync.action names is (resync, recover, check, repair, reshape); 1: done"
)
SPEED = Metric("x.md.sync.speed", "By/s", GAUGE, "How fast that goes")
MISMATCHES = Metric("x.md.mismatches", "{sector}", GAUGE, "Sectors that differed in the last check or repair")
METRICS = (STATE, DISKS, MISSING, FAULTY, SPARE, ERRORS, SYNC, SPEED, MISMATCHES)

BLOCK = "/sys/block"
ARRAYS_MAX = 64
DISKS_MAX = 4096
"""Of one array: more the kernel doesn't take."""
COUNT_MAX = 1 << 53
IDLE = ("", "idle", "none", "frozen")


class Array:
    """What the kernel says of one. Numbers are None where it doesn't tell."""

    __slots__ = (
        "action",
        "degraded",
        "disks",
        "errors",
        "faulty",
        "level",
        "mismatches",
        "name",
        "spare",
        "speed",
        "state",
        "sync",
    )

    def __init__(self, places: Places, name: str) -> None:
        folder = f"{BLOCK}/{name}/md"
        self.name = plain(name)
        self.level = plain(places.word(f"{folder}/level")) or "unknown"
        self.state = plain(places.word(f"{folder}/array_state")) or "unknown"
        self.disks = _count(places, f"{folder}/raid_disks", DISKS_MAX)
        self.degraded = _count(places, f"{folder}/degraded", DISKS_MAX)
        self.mismatches = _count(places, f"{folder}/mismatch_cnt", COUNT_MAX)
        action = plain(places.word(f"{folder}/sync_action"))
        self.action = "" if action in IDLE else action
        self.sync = done(places.word(f"{folder}/sync_completed")) if self.action else None
        speed_kib = _count(places, f"{folder}/sync_speed", 1 << 40) if self.action else None
        self.speed = None if speed_kib is None else speed_kib * 1024
        self.faulty = self.spare = self.errors = 0
        for disk in places.listed(folder, 2 * DISKS_MAX):
            if disk.startswith("dev-"):
                # A disk has several states, as in "faulty,write_error".
                states = places.word(f"{folder}/{disk}/state").split(",")
                self.faulty += "faulty" in states
                self.spare += "spare" in states
                self.errors += _count(places, f"{folder}/{disk}/errors", COUNT_MAX) or 0

    def points(self) -> list[Point]:
        of = ("hw.id", self.name)
        found = [
            Point(STATE, 1, of, ("x.md.level", self.level), ("x.md.state", self.state)),
            Point(DISKS, self.disks, of),
            Point(MISSING, self.degraded, of),
            Point(FAULTY, self.faulty, of),
            Point(SPARE, self.spare, of),
            Point(ERRORS, self.errors, of),
            Point(MISMATCHES, self.mismatches, of),
        ]
        if self.action:
            found += [Point(SYNC, self.sync, of, ("x.md.sync.action", self.action)), Point(SPEED, self.speed, of)]
        return found


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._row = Row()
        self.series: Sequence[Series] = ()
        if not arrays(places):
            raise Absent("there is no md array below /sys/block")

    def sample(self, now_s: float) -> Sequence[Value]:
        row = self._row.of([point for array in arrays(self._places) for point in array.points()])
        self.series = self._row.series
        return row

    def close(self) -> None:
        """It keeps nothing open."""


def arrays(places: Places) -> list[Array]:
    """Those that there are now."""
    found: dict[str, Array] = {}
    for name in places.listed(BLOCK):
        if name.startswith("md") and len(found) < ARRAYS_MAX and places.word(f"{BLOCK}/{name}/md/array_state"):
            array = Array(places, name)
            found[array.name] = array
    return list(found.values())


def done(text: str) -> float | None:
    """The share of `sync_completed`, as in "1234 / 5678" sectors; None where there is none."""
    part, slash, whole = text.partition(" / ")
    of, all_of_it = integer(part.encode()), integer(whole.encode())
    if not slash or of is None or all_of_it is None or not 0 <= of <= all_of_it or not all_of_it:
        return None
    return of / all_of_it


def _count(places: Places, path: str, most: int) -> int | None:
    return whole(places.word(path).encode(), 0, most)
