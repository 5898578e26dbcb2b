# SPDX-License-Identifier: Apache-2.0
"""The machine's batteries and mains, as /sys/class/power_supply shows them.

The kernel's Documentation/ABI/testing/sysfs-class-power and Documentation/power/power_supply_class.rst have the names
and the units. A file `uevent` has all of one supply. Batteries of mice and headsets (scope Device) are left out.
"""

from __future__ import annotations

from telemetry_probes.metrics.hardware import POWER, STATUS, plain, uevent, whole
from telemetry_probes.metrics.model import COUNTER, GAUGE, Absent, Metric
from telemetry_probes.metrics.readings import Readings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "charge and state of batteries, mains"
INTERVAL_S = 60.0
QUICK = True

CHARGE = Metric("hw.battery.charge", "1", GAUGE, "How full it is; 1: full")
CAPACITY = Metric(
    "x.battery.capacity", "1", GAUGE, "What a full charge is of what it was when the battery was designed; 1: as new"
)
CYCLES = Metric("x.battery.cycles", "{cycle}", COUNTER, "How often it was charged, as the battery counts")
MAINS = Metric("x.mains.online", "1", GAUGE, "1: the machine gets power from there; 0: it doesn't")
METRICS = (CHARGE, CAPACITY, CYCLES, MAINS, POWER, STATUS)

SUPPLIES = "/sys/class/power_supply"
SUPPLIES_MAX = 32
RESCAN_S = 300
"""How often it is looked for a battery that came or went."""
STATES = ("charging", "discharging", "full", "not_charging")
POWER_MAX_UW = 10_000_000_000
CYCLES_MAX = 1_000_000

_BATTERIES = ("Battery", "UPS")


class Supply:
    """A battery, or where else power comes from."""

    __slots__ = ("is_battery", "name", "path")

    def __init__(self, name: str, path: str, is_battery: bool) -> None:
        self.name = name
        self.path = path
        self.is_battery = is_battery

    def series(self, state: str) -> tuple[Series, ...]:
        """What it gives, in that state."""
        of = ("hw.id", self.name)
        if not self.is_battery:
            return (MAINS.series(of),)
        kind = ("hw.type", "battery")
        return (
            CHARGE.series(of),
            CAPACITY.series(of),
            CYCLES.series(of),
            POWER.series(of, kind),
            STATUS.series(of, kind, ("hw.state", state)),
        )

    def values(self, fields: Mapping[str, str]) -> tuple[Value, ...]:
        """As many, of what its file says."""
        if not self.is_battery:
            return (_number(fields, "ONLINE", 0, 1),)
        return charge(fields), capacity(fields), _number(fields, "CYCLE_COUNT", 1, CYCLES_MAX), power(fields), 1


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._supplies: list[Supply] = []
        self._states: list[str] = []
        self._readings: Readings | None = None
        self._scanned_s: float | None = None
        self.series: Sequence[Series] = ()
        self._scan()
        if not any(supply.is_battery for supply in self._supplies):
            self.close()
            raise Absent("there is no battery below /sys/class/power_supply")

    def sample(self, now_s: float) -> Sequence[Value]:
        if self._scanned_s is None:
            self._scanned_s = now_s
        elif now_s - self._scanned_s >= RESCAN_S or (self._readings is not None and self._readings.gone):
            self._scanned_s = now_s
            if [supply.path for supply in supplies(self._places)] != [supply.path for supply in self._supplies]:
                self._scan()
        if self._readings is None:
            return ()
        said = [uevent(content) for content in self._readings.all(now_s)]
        states = [state(fields) for fields in said]
        if states != self._states:
            self._states = states
            self.series = [
                series for supply, now in zip(self._supplies, states, strict=True) for series in supply.series(now)
            ]
        row: list[Value] = []
        for supply, fields in zip(self._supplies, said, strict=True):
            row += supply.values(fields)
        return row

    def close(self) -> None:
        if self._readings is not None:
            self._readings.close()
            self._readings = None

    def _scan(self) -> None:
        self.close()
        descriptors = []
        self._supplies = []
        self._states = []
        self.series = ()
        for supply in supplies(self._places):
            try:
                descriptors.append(self._places.opened(supply.path))
            except OSError:
                continue
            self._supplies.append(supply)
        self._readings = Readings(descriptors)


def supplies(places: Places) -> list[Supply]:
    """Those that the machine itself runs on."""
    found = []
    for name in places.listed(SUPPLIES, SUPPLIES_MAX):
        folder = f"{SUPPLIES}/{name}"
        kind = places.word(f"{folder}/type")
        if kind and places.word(f"{folder}/scope") != "Device":
            found.append(Supply(plain(name), f"{folder}/uevent", kind in _BATTERIES))
    return found


def state(fields: Mapping[str, str]) -> str:
    """One of STATES, or unknown."""
    found = fields.get("POWER_SUPPLY_STATUS", "").strip().lower().replace(" ", "_")
    return found if found in STATES else "unknown"


def charge(fields: Mapping[str, str]) -> Value:
    """From 0 to 1; None where the battery doesn't tell."""
    for unit in ("ENERGY", "CHARGE"):
        if (ratio := _ratio(fields, f"{unit}_NOW", f"{unit}_FULL")) is not None:
            return min(ratio, 1.0)
    percent = _number(fields, "CAPACITY", 0, 100)
    return None if percent is None else percent / 100


def capacity(fields: Mapping[str, str]) -> Value:
    """What a full charge is of what it was by design."""
    ratio = _ratio(fields, "ENERGY_FULL", "ENERGY_FULL_DESIGN")
    return _ratio(fields, "CHARGE_FULL", "CHARGE_FULL_DESIGN") if ratio is None else ratio


def power(fields: Mapping[str, str]) -> Value:
    """W; some drivers have it below 0 while discharging."""
    found = _number(fields, "POWER_NOW", -POWER_MAX_UW, POWER_MAX_UW)
    if found is not None:
        return abs(found) / 1_000_000
    current_ua = _number(fields, "CURRENT_NOW", -POWER_MAX_UW, POWER_MAX_UW)
    voltage_uv = _number(fields, "VOLTAGE_NOW", 0, POWER_MAX_UW)
    if current_ua is None or voltage_uv is None:
        return None
    return abs(current_ua) * voltage_uv / 1_000_000_000_000


def _ratio(fields: Mapping[str, str], part: str, whole: str) -> float | None:
    """From 0 to 2: a new battery may have more than it was designed for. Else it is nonsense: None."""
    of = _number(fields, part, 0, 1 << 40)
    all_of_it = _number(fields, whole, 1, 1 << 40)
    if of is None or all_of_it is None or of > 2 * all_of_it:
        return None
    return of / all_of_it


def _number(fields: Mapping[str, str], name: str, least: int, most: int) -> int | None:
    return whole(fields.get(f"POWER_SUPPLY_{name}", "").encode(), least, most)
