# SPDX-License-Identifier: Apache-2.0
"""Graphics cards of AMD and Intel, as Linux shows them below /sys/class/drm.

The kernel's Documentation/gpu/amdgpu/thermal.rst and Documentation/gpu/i915.rst, and the drivers' own
Documentation/ABI/testing entries, have the files. A card that Linux has suspended isn't asked: that would wake it.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.gpus import (
    CARDS_MAX,
    FREQUENCY,
    FREQUENCY_MAX_HZ,
    IDLE,
    MEMORY,
    MEMORY_LIMIT,
    MEMORY_MAX_BYTES,
    POWER_MAX_W,
    UTILIZATION,
    Card,
)
from telemetry_probes.metrics.hardware import ENERGY, FAN_SPEED, POWER, TEMPERATURE, integer, scaled, temperature, whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry_probes.metrics.model import Metric, Value
    from telemetry_probes.metrics.places import Places

DRM = "/sys/class/drm"
PCI = "/sys/bus/pci/devices"
VENDORS = {"0x1002": "AMD", "0x8086": "Intel"}
NVIDIA = "0x10de"
SUSPENDED = b"suspended"
ENERGY_MAX_UJ = 1 << 64
SPEED_MAX_RPM = 200_000

_AMD_FILES = (
    ("gpu_busy_percent", UTILIZATION),
    ("mem_info_vram_used", MEMORY),
    ("mem_info_vram_total", MEMORY_LIMIT),
)
_INTEL_FILES = (
    # Since Linux 5.18, before, and those of the driver xe.
    ("gt/gt0/rps_act_freq_mhz", FREQUENCY),
    ("gt_act_freq_mhz", FREQUENCY),
    ("device/tile0/gt0/freq0/act_freq", FREQUENCY),
    ("gt/gt0/rc6_residency_ms", IDLE),
    ("power/rc6_residency_ms", IDLE),
    ("device/tile0/gt0/gtidle/idle_residency_ms", IDLE),
)
_HWMON_FILES = (
    ("power1_average", POWER),
    ("power1_input", POWER),
    ("energy1_input", ENERGY),
    ("temp1_input", TEMPERATURE),
    ("fan1_input", FAN_SPEED),
)


class FileCard:
    """One of them, with its files open."""

    __slots__ = ("_files", "_id", "_model", "_power", "_vendor")

    def __init__(self, places: Places, folder: str, vendor: str) -> None:
        self._id = address(places, f"{folder}/device") or folder.rpartition("/")[2]
        self._vendor = vendor
        product = places.word(f"{folder}/device/product_name")
        self._model = product or f"{vendor} {places.word(f'{folder}/device/device')}"
        self._files: list[tuple[Metric, int]] = []
        self._power = _opened(places, f"{folder}/device/power/runtime_status")
        for path, metric in _files(places, folder, vendor):
            if all(metric is not other for other, _ in self._files) and (descriptor := _opened(places, path)) >= 0:
                self._files.append((metric, descriptor))

    @property
    def is_told(self) -> bool:
        """Whether it says anything."""
        return bool(self._files)

    def card(self) -> Card:
        """What it says now; nothing while it is suspended."""
        asleep = self._power >= 0 and _content(self._power).strip() == SUSPENDED
        values: list[tuple[Metric, Value]] = [
            (metric, None if asleep else _PARSED[metric.name](_content(descriptor)))
            for metric, descriptor in self._files
        ]
        return Card(self._id, self._vendor, self._model, values)

    def close(self) -> None:
        """Gives the files back."""
        for descriptor in (self._power, *(descriptor for _, descriptor in self._files)):
            if descriptor >= 0:
                posix.close(descriptor)
        self._power = -1
        self._files = []


def file_cards(places: Places) -> list[FileCard]:
    """Those of AMD and Intel, open."""
    found: list[FileCard] = []
    for name in places.listed(DRM):
        # card0-DP-1 is where a screen is connected.
        if not name.startswith("card") or not name[4:].isdecimal() or len(found) >= CARDS_MAX:
            continue
        vendor = VENDORS.get(places.word(f"{DRM}/{name}/device/vendor"))
        if vendor is None:
            continue
        card = FileCard(places, f"{DRM}/{name}", vendor)
        if card.is_told:
            found.append(card)
        else:
            card.close()
    return found


def nvidia_devices(places: Places) -> list[str]:
    """Where the kernel has NVIDIA's graphics cards, as folders below /sys."""
    return [
        f"{PCI}/{name}"
        for name in places.listed(PCI)
        if places.word(f"{PCI}/{name}/vendor") == NVIDIA and places.word(f"{PCI}/{name}/class").startswith("0x03")
    ]


def address(places: Places, device: str) -> str:
    """Its place on the PCI bus, as in 0000:03:00.0; "" where it has none."""
    try:
        name = posix.readlink(places.path(device)).rpartition("/")[2]
    except OSError:
        name = ""
    if not name:
        for line in places.word(f"{device}/uevent").split("\n"):
            if line.startswith("PCI_SLOT_NAME="):
                name = line.partition("=")[2]
    return name if name.count(":") == 2 else ""


def _files(places: Places, folder: str, vendor: str) -> Iterator[tuple[str, Metric]]:
    if vendor == "AMD":
        for name, metric in _AMD_FILES:
            yield f"{folder}/device/{name}", metric
    else:
        for name, metric in _INTEL_FILES:
            yield f"{folder}/{name}", metric
    for chip in places.listed(f"{folder}/device/hwmon", 1):
        for name, metric in _HWMON_FILES:
            yield f"{folder}/device/hwmon/{chip}/{name}", metric
        if vendor == "AMD":
            yield f"{folder}/device/hwmon/{chip}/freq1_input", FREQUENCY


def _opened(places: Places, path: str) -> int:
    try:
        return places.opened(path)
    except OSError:
        return -1


def _content(descriptor: int) -> bytes:
    try:
        return posix.pread(descriptor, 4096, 0)
    except OSError:
        return b""


def _frequency(content: bytes) -> Value:
    """AMD's hwmon has Hz, Intel's files MHz: no card runs at less than 100 kHz or more than 100 GHz."""
    found = integer(content)
    if found is None or found < 0:
        return None
    hertz = found if found >= 100_000 else found * 1_000_000
    return hertz if hertz <= FREQUENCY_MAX_HZ else None


_PARSED: dict[str, Callable[[bytes], Value]] = {
    UTILIZATION.name: lambda content: scaled(content, 100, 0, 1),
    MEMORY.name: lambda content: whole(content, 0, MEMORY_MAX_BYTES),
    MEMORY_LIMIT.name: lambda content: whole(content, 0, MEMORY_MAX_BYTES),
    POWER.name: lambda content: scaled(content, 1_000_000, 0, POWER_MAX_W),
    ENERGY.name: lambda content: scaled(content, 1_000_000, 0, ENERGY_MAX_UJ // 1_000_000),
    TEMPERATURE.name: temperature,
    FAN_SPEED.name: lambda content: whole(content, 0, SPEED_MAX_RPM),
    FREQUENCY.name: _frequency,
    IDLE.name: lambda content: scaled(content, 1000, 0, 1 << 53),
}
