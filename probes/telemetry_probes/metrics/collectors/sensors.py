# SPDX-License-Identifier: Apache-2.0
"""What the sensors say that Linux shows below /sys/class/hwmon: temperatures, fans, voltages, power.

The kernel's Documentation/hwmon/sysfs-interface.rst has the files and their units. A sensor's name is the chip's and
its label's, as in coretemp_core_0; what has the same name gets _1, _2 behind it. Where no chip has a temperature the
thermal zones are taken (Documentation/driver-api/thermal/sysfs-api.rst).
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.hardware import FAN_SPEED, POWER, TEMPERATURE, VOLTAGE, plain, scaled, temperature, whole
from telemetry_probes.metrics.model import Absent, Choice
from telemetry_probes.metrics.readings import Readings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Metric, Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "temperatures, fans, voltages, power"
INTERVAL_S = 10.0
QUICK = True
METRICS = (TEMPERATURE, FAN_SPEED, VOLTAGE, POWER)
OPTIONS = (
    Choice(
        "sensors",
        ALL,
        "Which sensors, as in `coretemp_*,nvme_*`, or, with a leading `-`, which not. A list of what is taken may also"
        " name drivetemp_* of rotating disks, which are else left alone: reading them may keep a disk awake.",
    ),
)

HWMON = "/sys/class/hwmon"
THERMAL = "/sys/class/thermal"
CHIPS_MAX = 64
SENSORS_MAX = 256
RESCAN_S = 60
"""How often it is looked for chips that came or went."""
SPEED_MAX_RPM = 200_000
VOLTAGE_MAX_V = 10_000
POWER_MAX_W = 1_000_000


class Sensor:
    """One of them. kind: temp, fan, in or power, as its file's name begins."""

    __slots__ = ("kind", "name", "path")

    def __init__(self, kind: str, name: str, path: str) -> None:
        self.kind = kind
        self.name = name
        self.path = path


_METRICS: dict[str, Metric] = {"temp": TEMPERATURE, "fan": FAN_SPEED, "in": VOLTAGE, "power": POWER}
_ORDER = ("temp", "fan", "in", "power")


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        self._places = places
        self._filter = Filter(str(options.get("sensors", ALL)))
        self._seen: list[str] = []
        self._scanned_s: float | None = None
        self._kinds: list[str] = []
        self._readings: Readings | None = None
        self.series: Sequence[Series] = ()
        self._scan()
        if not self.series:
            self.close()
            raise Absent(
                "Linux shows no sensor that is wanted below /sys/class/hwmon: a virtual machine has none; elsewhere"
                " sensors-detect of lm-sensors says which driver is missing"
            )

    def sample(self, now_s: float) -> Sequence[Value]:
        if self._scanned_s is None:
            self._scanned_s = now_s
        elif now_s - self._scanned_s >= RESCAN_S or (self._readings is not None and self._readings.gone):
            self._scanned_s = now_s
            if chips(self._places) != self._seen or (self._readings is not None and self._readings.gone):
                self._scan()
        if self._readings is None:
            return ()
        contents = self._readings.all(now_s)
        return [value(kind, content) for kind, content in zip(self._kinds, contents, strict=True)]

    def close(self) -> None:
        if self._readings is not None:
            self._readings.close()
            self._readings = None

    def _scan(self) -> None:
        self.close()
        self._seen = chips(self._places)
        series: list[Series] = []
        descriptors: list[int] = []
        self._kinds = []
        for sensor in sensors(self._places, self._filter):
            try:
                descriptors.append(self._places.opened(sensor.path))
            except OSError:
                continue
            self._kinds.append(sensor.kind)
            series.append(_METRICS[sensor.kind].series(("hw.id", sensor.name)))
        self._readings = Readings(descriptors)
        self.series = series


def chips(places: Places) -> list[str]:
    """The folders of hwmon. By the device that they are of, so that they are in the same order after a reboot."""
    found = []
    for name in places.listed(HWMON, CHIPS_MAX):
        try:
            device = posix.readlink(places.path(f"{HWMON}/{name}")).rpartition("/hwmon/")[0]
        except OSError:
            device = ""
        found.append((device, name.removeprefix("hwmon").rjust(4), name))
    return [name for _, _, name in sorted(found)]


def sensors(places: Places, wanted: Filter) -> list[Sensor]:
    """All that are wanted, the temperatures first."""
    found = [sensor for chip in chips(places) for sensor in _of_chip(places, f"{HWMON}/{chip}", wanted)]
    if not any(sensor.kind == "temp" for sensor in found):
        found += _of_zones(places)
    found.sort(key=lambda sensor: _ORDER.index(sensor.kind))
    numbered(found)
    return [sensor for sensor in found if wanted.takes(sensor.name)][:SENSORS_MAX]


def numbered(found: Sequence[Sensor]) -> None:
    """Makes the names different within each kind: the second of a name ends in _1, the third in _2."""
    taken: set[tuple[str, str]] = set()
    times: dict[tuple[str, str], int] = {}
    for sensor in found:
        first = (sensor.kind, sensor.name)
        while (sensor.kind, sensor.name) in taken:
            times[first] = times.get(first, 0) + 1
            sensor.name = f"{first[1]}_{times[first]}"
        taken.add((sensor.kind, sensor.name))


def value(kind: str, content: bytes) -> Value:
    """What the file of such a sensor says, in the metric's unit; None: nothing that can be."""
    if kind == "temp":
        return temperature(content)
    if kind == "fan":
        return whole(content, 0, SPEED_MAX_RPM)
    if kind == "in":
        return scaled(content, 1000, -VOLTAGE_MAX_V, VOLTAGE_MAX_V)
    return scaled(content, 1_000_000, 0, POWER_MAX_W)


def _of_chip(places: Places, chip: str, wanted: Filter) -> list[Sensor]:
    name = identifier(places.word(f"{chip}/name"))
    if not name or (name == "drivetemp" and not wanted.takes_listed and _rotates(places, chip)):
        return []
    files = places.listed(chip)
    found = []
    for file in files:
        channel, _, ending = file.partition("_")
        kind = channel.rstrip("0123456789")
        if kind not in _METRICS or channel == kind:
            continue
        # Power has an average, an input, or both.
        if ending != "input" and not (kind == "power" and ending == "average"):
            continue
        if kind == "power" and ending == "input" and f"{channel}_average" in files:
            continue
        label = identifier(places.word(f"{chip}/{channel}_label"))
        if not label and kind != "temp":
            label = channel
        found.append((int(channel[len(kind) :]), Sensor(kind, f"{name}_{label}" if label else name, f"{chip}/{file}")))
    return [sensor for _, sensor in sorted(found, key=lambda each: each[0])]


def _of_zones(places: Places) -> list[Sensor]:
    found = []
    for zone in places.listed(THERMAL):
        if zone.startswith("thermal_zone") and (name := identifier(places.word(f"{THERMAL}/{zone}/type"))):
            found.append(Sensor("temp", name, f"{THERMAL}/{zone}/temp"))
    return found


def _rotates(places: Places, chip: str) -> bool:
    return any(
        places.word(f"{chip}/device/block/{disk}/queue/rotational") != "0"
        for disk in places.listed(f"{chip}/device/block")
    )


def identifier(text: str) -> str:
    """A chip's or label's name as it is in a sensor's: small letters, with _ for blanks."""
    return plain(text).lower().replace(" ", "_")
