# SPDX-License-Identifier: Apache-2.0
"""What `smartctl --json` prints, for ATA, NVMe and SCSI disks, as values with a metric each. smartctl(8).

Fields that are missing, or have another type than they should, give no value: firmware says what it likes. Pure.
"""

from __future__ import annotations

from telemetry_probes.metrics.hardware import TEMPERATURE, TEMPERATURE_MAX_CEL, Point, plain
from telemetry_probes.metrics.jsonfigures import inner, listed, number, parsed, word
from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


DISKS_MAX = 128
ATTRIBUTES_MAX = 64
"""Of a disk; ATA has room for 30."""
COUNT_MAX = (1 << 64) - 1
ASLEEP_STATUS = 3
"""The exit status that smartctl is asked to have for a disk that sleeps; nothing else makes it have that."""
CANT_ASK = 0b011
"""Bits of the exit status: the command line isn't understood, the device can't be opened."""

DEVICE = Metric("x.smart.device", "1", GAUGE, "1 for a disk, with its model, serial number and firmware")
STATE = Metric(
    "x.smart.state", "1", GAUGE, "1 for how it went: answered, asleep (not asked), refused, silent (too slow)"
)
PASSED = Metric("x.smart.passed", "1", GAUGE, "0: the disk says itself that it is failing; 1: it doesn't")
POWERED = Metric("x.smart.powered_time", "s", COUNTER, "How long the disk has been under power")
CYCLES = Metric("x.smart.power_cycles", "{cycle}", COUNTER, "How often the disk was switched on")
REALLOCATED = Metric("x.smart.sectors.reallocated", "{sector}", GAUGE, "Sectors that were replaced by spare ones")
PENDING = Metric("x.smart.sectors.pending", "{sector}", GAUGE, "Sectors that couldn't be read, and wait for a write")
UNCORRECTABLE = Metric("x.smart.sectors.uncorrectable", "{sector}", GAUGE, "Sectors that couldn't be read or written")
LINK_ERRORS = Metric("x.smart.link_errors", "{error}", COUNTER, "Errors on the cable between disk and computer (CRC)")
ERRORS = Metric(
    "x.smart.errors", "{error}", COUNTER, "Errors by what x.smart.error says: read, write, verify, media, log"
)
LIFE_USED = Metric(
    "x.smart.life_used", "1", GAUGE, "The share of its life that flash has used; above 1: more than planned"
)
SPARE = Metric("x.smart.spare", "1", GAUGE, "The share of spare blocks that is left")
SPARE_LEAST = Metric(
    "x.smart.spare.least", "1", GAUGE, "The share of spare blocks below which the disk is to be replaced"
)
WARNING = Metric("x.smart.warning", "1", GAUGE, "NVMe's critical warning: a bit each for what is wrong, 0: nothing")
IO = Metric("x.smart.io", "By", COUNTER, "What was read and written in the disk's life")
UNSAFE = Metric("x.smart.unsafe_shutdowns", "{shutdown}", COUNTER, "How often power went without a notice")
RAW = Metric("x.smart.attribute.raw", "1", GAUGE, "The number behind an ATA attribute, in its maker's own unit")
RATING = Metric("x.smart.attribute.value", "1", GAUGE, "An ATA attribute as its maker rates it: more is better")
THRESHOLD = Metric("x.smart.attribute.threshold", "1", GAUGE, "At or below this the maker calls the disk failing")

METRICS = (
    DEVICE,
    STATE,
    PASSED,
    TEMPERATURE,
    POWERED,
    CYCLES,
    REALLOCATED,
    PENDING,
    UNCORRECTABLE,
    LINK_ERRORS,
    ERRORS,
    LIFE_USED,
    SPARE,
    SPARE_LEAST,
    WARNING,
    IO,
    UNSAFE,
    RAW,
    RATING,
    THRESHOLD,
)

_SECTORS = {5: REALLOCATED, 197: PENDING, 198: UNCORRECTABLE, 199: LINK_ERRORS}
"""ATA attributes that mean the same at all makers."""
_DATA_UNIT = 512_000
"""Bytes of NVMe's data unit."""


class Disk:
    """One that smartctl --scan found: how it is asked, and what it is called."""

    __slots__ = ("name", "path", "type")

    def __init__(self, path: str, kind: str) -> None:
        self.path = path
        self.type = kind
        name = plain(path.removeprefix("/dev/"))
        # Behind a RAID controller many disks share a path.
        self.name = f"{name}:{plain(kind)}" if "," in kind else name


def scanned(output: bytes) -> list[Disk]:
    """What `smartctl --scan --json` found. ValueError: that isn't its output."""
    found: dict[str, Disk] = {}
    for each in listed(parsed(output), "devices")[:DISKS_MAX]:
        path, kind = inner(each, "name"), inner(each, "type")
        if not isinstance(path, str) or not isinstance(kind, str) or not (path + kind).isprintable():
            continue
        if path.startswith("/dev/") and kind and not kind.startswith("-"):
            disk = Disk(path, kind)
            found.setdefault(disk.name, disk)
    return list(found.values())


def points(output: bytes) -> list[Point]:
    """All that it tells of one disk; none where the disk couldn't be asked. ValueError: that isn't its output."""
    said = parsed(output)
    if not isinstance(said, dict) or (_count(said, "smartctl", "exit_status") or 0) & CANT_ASK:
        return []
    return [point for point in _points(said) if point.value is not None]


def _points(said: object) -> Iterator[Point]:
    named = (
        ("hw.model", plain(word(said, "model_name") or word(said, "scsi_model_name"))),
        ("hw.serial_number", plain(word(said, "serial_number"))),
        ("hw.firmware_version", plain(word(said, "firmware_version") or word(said, "scsi_revision"))),
        ("x.smart.protocol", plain(word(said, "device", "protocol"))),
    )
    yield Point(DEVICE, 1, *(each for each in named if each[1]))
    passed = inner(said, "smart_status", "passed")
    yield Point(PASSED, int(passed) if isinstance(passed, bool) else None)
    celsius = _count(said, "temperature", "current")
    yield Point(TEMPERATURE, celsius if celsius is not None and 0 < celsius < TEMPERATURE_MAX_CEL else None)
    yield Point(POWERED, _powered_s(inner(said, "power_on_time")))
    yield Point(CYCLES, _count(said, "power_cycle_count"))
    yield from _of_ata(said)
    yield from _of_nvme(inner(said, "nvme_smart_health_information_log"))
    yield from _of_scsi(said)


def _of_ata(said: object) -> Iterator[Point]:
    seen: set[int] = set()
    for each in listed(said, "ata_smart_attributes", "table")[:ATTRIBUTES_MAX]:
        which_one = _count(each, "id")
        if which_one is None or which_one > 255 or which_one in seen:
            continue
        seen.add(which_one)
        raw = _count(each, "raw", "value")
        if which_one in _SECTORS:
            yield Point(_SECTORS[which_one], raw)
        which = ("x.smart.attribute", f"{which_one:03}_{plain(word(each, 'name')).replace(' ', '_')}")
        yield Point(RAW, raw, which)
        yield Point(RATING, _count(each, "value"), which)
        yield Point(THRESHOLD, _count(each, "thresh"), which)
    yield Point(LIFE_USED, _share(said, 255, "endurance_used", "current_percent"))


def _of_nvme(log: object) -> Iterator[Point]:
    if not isinstance(log, dict):
        return
    yield Point(LIFE_USED, _share(log, 255, "percentage_used"))
    yield Point(SPARE, _share(log, 100, "available_spare"))
    yield Point(SPARE_LEAST, _share(log, 100, "available_spare_threshold"))
    yield Point(WARNING, _count(log, "critical_warning"))
    for name, direction in (("read", "read"), ("written", "write")):
        units = _count(log, f"data_units_{name}")
        yield Point(IO, None if units is None else units * _DATA_UNIT, ("disk.io.direction", direction))
    yield Point(UNSAFE, _count(log, "unsafe_shutdowns"))
    yield Point(ERRORS, _count(log, "media_errors"), ("x.smart.error", "media"))
    yield Point(ERRORS, _count(log, "num_err_log_entries"), ("x.smart.error", "log"))


def _of_scsi(said: object) -> Iterator[Point]:
    yield Point(REALLOCATED, _count(said, "scsi_grown_defect_list"))
    yield Point(LIFE_USED, _share(said, 255, "scsi_percentage_used_endurance_indicator"))
    for kind in ("read", "write", "verify"):
        counter = inner(said, "scsi_error_counter_log", kind)
        yield Point(ERRORS, _count(counter, "total_uncorrected_errors"), ("x.smart.error", kind))
        if kind != "verify":
            yield Point(IO, _gigabytes(word(counter, "gigabytes_processed")), ("disk.io.direction", kind))


def _powered_s(time: object) -> int | None:
    hours, minutes = _count(time, "hours"), _count(time, "minutes") or 0
    return None if hours is None or minutes > 59 else hours * 3600 + minutes * 60


def _gigabytes(text: str) -> int | None:
    """Bytes, of a decimal text."""
    whole, _, part = text.partition(".")
    if not text.isascii() or not whole.isdecimal() or len(whole) > 12 or (part and not part.isdecimal()):
        return None
    return int(whole) * 1_000_000_000 + int(f"{part:0<9}"[:9])


def _share(found: object, percent_max: int, *names: str) -> float | None:
    percent = _count(found, *names)
    return percent / 100 if percent is not None and percent <= percent_max else None


def _count(found: object, *names: str) -> int | None:
    there = number(found, *names)
    return there if isinstance(there, int) and there <= COUNT_MAX else None
