# SPDX-License-Identifier: Apache-2.0
"""Units of systemd, by pattern: their state, what they use, how often they were started anew.

`systemctl show` is asked, once a sample. That a unit failed is told as an event by journalprobe, at once.
"""

from __future__ import annotations

from telemetry_probes.metrics import commands
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

UNITS_MAX: Final = 500
"""That are told one by one; all are counted."""
PATTERNS_MAX: Final = 32
SYSTEMCTL_S: Final = 10.0
OUTPUT_BYTES_MAX: Final = 4 << 20
NAME_CHARS_MAX: Final = 255
RUNNING: Final = "/run/systemd/system"
PROPERTIES: Final = "Id,LoadState,ActiveState,SubState,NRestarts,CPUUsageNSec,MemoryCurrent,TasksCurrent"
STATES: Final = ("active", "reloading", "inactive", "failed", "activating", "deactivating")
_UNSET: Final = 1 << 64
_NS: Final = 1_000_000_000

STATE: Final = Metric(
    "x.systemd.unit.state", "1", GAUGE, "1, with the unit's state in the attributes state and substate"
)
ACTIVE: Final = Metric("x.systemd.unit.active", "1", GAUGE, "1 where the unit is active, else 0")
TIME: Final = Metric(
    "x.systemd.unit.cpu.time", "s", COUNTER, "Processor time of the unit, where systemd accounts for it"
)
MEMORY: Final = Metric("x.systemd.unit.memory.usage", "By", GAUGE, "Memory of the unit, where systemd accounts for it")
TASKS: Final = Metric("x.systemd.unit.tasks", "{task}", GAUGE, "Processes and threads of the unit")
RESTARTS: Final = Metric(
    "x.systemd.unit.restarts", "{restart}", COUNTER, "Times that systemd started the unit anew by itself"
)
COUNT: Final = Metric("x.systemd.unit.count", "{unit}", GAUGE, "Units that fit the patterns, by state")

TITLE = "units of systemd"
INTERVAL_S = 60.0
METRICS = (STATE, ACTIVE, TIME, MEMORY, TASKS, RESTARTS, COUNT)
OPTIONS = (Choice("units", ("*.service",), f"Patterns of units, as systemctl takes them; at most {PATTERNS_MAX}."),)


class Unit:
    """What systemctl says of one."""

    __slots__ = ("cpu_ns", "memory_bytes", "name", "restarts", "state", "substate", "tasks")

    def __init__(self, name: str, said: Mapping[str, str]) -> None:
        self.name = name
        self.state = said.get("ActiveState", "")
        self.substate = said.get("SubState", "")
        self.cpu_ns = _number(said.get("CPUUsageNSec", ""))
        self.memory_bytes = _number(said.get("MemoryCurrent", ""))
        self.tasks = _number(said.get("TasksCurrent", ""))
        self.restarts = _number(said.get("NRestarts", ""))


class Collector:
    """Runs systemctl."""

    __slots__ = ("_command", "_key", "_systemctl", "series")

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        patterns = _patterns(options)
        if not 0 < len(patterns) <= PATTERNS_MAX:
            raise Absent(f"units has to be a list of 1 to {PATTERNS_MAX} patterns, as in units = ['*.service']")
        if not places.listed(RUNNING) and not _is_there(places, RUNNING):
            raise Absent("systemd doesn't run this machine: there is nothing to do")
        self._systemctl = commands.found(
            places, "systemctl", "it is part of systemd; install it again", SYSTEMCTL_S, OUTPUT_BYTES_MAX
        )
        self._command = ("show", "--no-pager", "--property", PROPERTIES, "--", *patterns)
        self._key: tuple[tuple[str, str, str], ...] = ()
        self.series: Sequence[Series] = [COUNT.series(("state", state)) for state in STATES]

    def sample(self, now_s: float) -> Sequence[Value]:
        """All units that fit and are loaded."""
        ran = self._systemctl.run(now_s, *self._command)
        if ran.status and not ran.output:
            raise Absent("systemctl can't ask systemd: is dbus.service running? See `systemctl status dbus`")
        found = units(ran.output)
        row: list[Value] = [sum(unit.state == state for unit in found) for state in STATES]
        told = found[:UNITS_MAX]
        for unit in told:
            row += (
                1,
                int(unit.state in ("active", "reloading")),
                None if unit.cpu_ns is None else unit.cpu_ns / _NS,
                unit.memory_bytes,
                unit.tasks,
                unit.restarts,
            )
        key = tuple((unit.name, unit.state, unit.substate) for unit in told)
        if key != self._key:
            self._key = key
            self.series = [COUNT.series(("state", state)) for state in STATES]
            for unit in told:
                self.series += _series(unit)
        return row

    def close(self) -> None:
        """Nothing is open between two samples."""


def _series(unit: Unit) -> list[Series]:
    name = ("unit", unit.name)
    return [
        STATE.series(name, ("state", unit.state), ("substate", unit.substate)),
        *(metric.series(name) for metric in (ACTIVE, TIME, MEMORY, TASKS, RESTARTS)),
    ]


def units(output: bytes) -> list[Unit]:
    """Those of `systemctl show` that are there, by name, each once: blocks of NAME=VALUE with empty lines between."""
    found: dict[str, Unit] = {}
    for block in output.decode("utf-8", "replace").split("\n\n"):
        said = dict(line.split("=", 1) for line in block.split("\n") if "=" in line)
        name = said.get("Id", "")
        if (
            name.isprintable()
            and 0 < len(name) <= NAME_CHARS_MAX
            and said.get("LoadState") not in ("not-found", None)
            and said.get("ActiveState") in STATES
            and said.get("SubState", "").isprintable()
        ):
            found.setdefault(name, Unit(name, said))
    return [found[name] for name in sorted(found)]


def wrong(options: Mapping[str, Option]) -> Sequence[tuple[str, str, str]]:
    """See model.Collector."""
    if 0 < len(_patterns(options)) <= PATTERNS_MAX:
        return []
    return [("units", f"there have to be 1 to {PATTERNS_MAX} patterns", 'write a list of texts, as in ["*.service"]')]


def _patterns(options: Mapping[str, Option]) -> list[str]:
    given = options["units"]
    patterns = [given] if isinstance(given, str) else list(given) if not isinstance(given, int | float) else []
    return [pattern for pattern in patterns if pattern and pattern.isprintable()]


def _number(text: str) -> int | None:
    """None for `[not set]`, and for 2^64 - 1, by which older ones say the same."""
    if not text.isascii() or not text.isdecimal() or len(text) > 20:
        return None
    found = int(text)
    return found if found < _UNSET - 1 else None


def _is_there(places: Places, name: str) -> bool:
    import posix

    try:
        posix.stat(places.path(name))
    except OSError:
        return False
    return True
