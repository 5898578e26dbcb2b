# SPDX-License-Identifier: Apache-2.0
"""What a Raspberry Pi's firmware says: whether it is throttled, and why, its clocks and voltages.

The bits are those of `vcgencmd get_throttled` (Raspberry Pi documentation, vcgencmd); its kernel shows them in
soc:firmware/get_throttled too. Clocks and voltages are asked of vcgencmd, once a minute at most; between that the last
are told again.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.commands import Program
from telemetry_probes.metrics.model import GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "Raspberry Pi: throttled, clocks, voltages"
INTERVAL_S = 10.0

THROTTLED = Metric(
    "x.pi.throttled", "1", GAUGE, "1: what x.pi.reason says holds now, or did since the boot, as x.pi.when says; 0: not"
)
CLOCK = Metric("x.pi.clock", "Hz", GAUGE, "How fast a part runs, as the firmware measures")
VOLTAGE = Metric("x.pi.voltage", "V", GAUGE, "What a part is given")
METRICS = (THROTTLED, CLOCK, VOLTAGE)

MODEL = "/proc/device-tree/model"
BITS = (
    "/sys/devices/platform/soc/soc:firmware/get_throttled",
    "/sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled",
)
REASONS = ("under_voltage", "frequency_capped", "throttled", "soft_temperature_limit")
"""Bits 0 to 3; the same 16 higher since the boot."""
SINCE_BOOT = 16
CLOCKS = ("arm", "core", "v3d")
VOLTAGES = ("core", "sdram_c", "sdram_i", "sdram_p")
ASK_EVERY_S = 60
SECONDS_MAX = 3.0
ANSWER_BYTES_MAX = 4096


class Collector:
    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        if not places.word(MODEL).startswith("Raspberry Pi"):
            raise Absent("this isn't a Raspberry Pi")
        path = places.program("vcgencmd")
        self._vcgencmd = Program(path, SECONDS_MAX, ANSWER_BYTES_MAX) if path else None
        self._fd = -1
        for file in BITS:
            try:
                self._fd = places.opened(file)
                break
            except OSError:
                continue
        if self._fd < 0 and self._vcgencmd is None:
            raise Absent("the kernel has no get_throttled, and there is no vcgencmd: install libraspberrypi-bin")
        self._asked_s: float | None = None
        self._bits: int | None = None
        self._slow: list[Value] = [None] * len(CLOCKS + VOLTAGES)
        self.series: Sequence[Series] = [
            *(
                THROTTLED.series(("x.pi.reason", reason), ("x.pi.when", when))
                for when in ("now", "since_boot")
                for reason in REASONS
            ),
            *(CLOCK.series(("x.pi.part", part)) for part in CLOCKS),
            *(VOLTAGE.series(("x.pi.part", part)) for part in VOLTAGES),
        ]

    def sample(self, now_s: float) -> Sequence[Value]:
        if self._vcgencmd is not None and (self._asked_s is None or now_s - self._asked_s >= ASK_EVERY_S - 1):
            self._asked_s = now_s
            self._ask(now_s, self._vcgencmd)
        bits = self._bits if self._fd < 0 else throttled(posix.pread(self._fd, 64, 0))
        return [*reasons(bits), *self._slow]

    def close(self) -> None:
        if self._fd >= 0:
            posix.close(self._fd)
            self._fd = -1

    def _ask(self, now_s: float, vcgencmd: Program) -> None:
        self._slow = [None] * len(self._slow)
        self._bits = None
        if self._fd < 0:
            self._bits = throttled(vcgencmd.run(now_s, "get_throttled").output)
        self._slow = [
            *(clock(vcgencmd.run(now_s, "measure_clock", part).output) for part in CLOCKS),
            *(voltage(vcgencmd.run(now_s, "measure_volts", part).output) for part in VOLTAGES),
        ]


def throttled(said: bytes) -> int | None:
    """The bits, of the kernel's "50005" or vcgencmd's "throttled=0x50005"; None: it says something else."""
    text = said.strip().removeprefix(b"throttled=")
    try:
        found = int(text, 16)
    except ValueError:
        return None
    return found if 0 <= found < 1 << 32 else None


def reasons(bits: int | None) -> list[Value]:
    """One for each of REASONS now, and one for each since the boot."""
    if bits is None:
        return [None] * (2 * len(REASONS))
    return [bits >> (first + at) & 1 for first in (0, SINCE_BOOT) for at in range(len(REASONS))]


def clock(said: bytes) -> int | None:
    """Hz, of "frequency(48)=1500398464"; 0, and so None, is a part that isn't there."""
    name, _, number = said.strip().partition(b"=")
    if not name.startswith(b"frequency(") or not number.isdigit() or len(number) > 12:
        return None
    return int(number) or None


def voltage(said: bytes) -> float | None:
    """V, of "volt=0.8500V"."""
    name, _, number = said.strip().partition(b"=")
    whole, dot, part = number.removesuffix(b"V").partition(b".")
    if name != b"volt" or not (whole + part).isdigit() or len(whole) > 3 or len(part) > 6:
        return None
    return float(number[:-1]) if dot and number.endswith(b"V") else None
