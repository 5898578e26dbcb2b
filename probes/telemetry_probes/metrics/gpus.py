# SPDX-License-Identifier: Apache-2.0
"""Graphics cards: what is told of each, and how programs' output about them is understood.

nvidia-smi (CSV), tegrastats (a line), rocm-smi and nvtop (JSON). What isn't a number there, as in [N/A], gives no
value. Pure: bytes in, cards out.
"""

from __future__ import annotations

from telemetry_probes.metrics.hardware import ENERGY, FAN_SPEED, POWER, TEMPERATURE, TEMPERATURE_MAX_CEL, Point, plain
from telemetry_probes.metrics.jsonfigures import inner, number, parsed, word
from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.metrics.model import Value

CARDS_MAX = 64
POWER_MAX_W = 100_000
MEMORY_MAX_BYTES = 1 << 53
FREQUENCY_MAX_HZ = 100_000_000_000
_MIB = 1 << 20

DEVICE = Metric("x.gpu.device", "1", GAUGE, "1 for a card, with its maker and model")
UTILIZATION = Metric("hw.gpu.utilization", "1", GAUGE, "The share of the time in which it was at work")
MEMORY = Metric("hw.gpu.memory.usage", "By", GAUGE, "Memory of its own that is in use")
MEMORY_LIMIT = Metric("hw.gpu.memory.limit", "By", GAUGE, "Memory that it has")
FREQUENCY = Metric("x.gpu.frequency", "Hz", GAUGE, "How fast it runs")
IDLE = Metric("x.gpu.idle_time", "s", COUNTER, "How long it has been idle enough to be without power (Intel's RC6)")
METRICS = (DEVICE, UTILIZATION, MEMORY, MEMORY_LIMIT, POWER, ENERGY, TEMPERATURE, FAN_SPEED, FREQUENCY, IDLE)

NVIDIA_FIELDS = (
    "pci.bus_id",
    "name",
    "utilization.gpu",
    "memory.used",
    "memory.total",
    "power.draw",
    "temperature.gpu",
    "clocks.current.graphics",
)
"""What nvidia-smi is asked for, in this order."""
ROCM_FLAGS = (
    "--showid",
    "--showuse",
    "--showmeminfo",
    "vram",
    "--showpower",
    "--showtemp",
    "--showproductname",
    "--showbus",
    "--json",
)


class Card:
    """id: its place on the bus, or what there is instead. values: a metric each, None where it doesn't say now."""

    __slots__ = ("id", "model", "values", "vendor")

    def __init__(self, identifier: str, vendor: str, model: str, values: list[tuple[Metric, Value]]) -> None:
        self.id = plain(identifier)
        self.vendor = vendor
        self.model = plain(model)
        self.values = values

    def silent(self) -> Card:
        """The same, saying nothing."""
        return Card(self.id, self.vendor, self.model, [(metric, None) for metric, _ in self.values])

    def points(self) -> list[Point]:
        """As a row has them."""
        of = ("hw.id", self.id)
        named = [each for each in (("hw.vendor", self.vendor), ("hw.model", self.model)) if each[1]]
        found = [Point(DEVICE, 1, of, *named)]
        for metric, value in self.values:
            # Other collectors have these metrics too.
            common = metric in (POWER, ENERGY, TEMPERATURE, FAN_SPEED)
            found.append(Point(metric, value, of, *((("hw.type", "gpu"),) if common else ())))
        return found


def of_nvidia(line: bytes) -> Card | None:
    """A line of `nvidia-smi --query-gpu=NVIDIA_FIELDS --format=csv,noheader,nounits`; None: it is none."""
    fields = [field.strip() for field in line.decode("utf-8", "replace").split(",")]
    if len(fields) != len(NVIDIA_FIELDS) or ":" not in fields[0]:
        return None
    domain, _, rest = fields[0].lower().partition(":")
    return Card(
        # The kernel writes the domain with four digits, nvidia-smi with eight.
        f"{domain[-4:]}:{rest}",
        "NVIDIA",
        fields[1],
        [
            (UTILIZATION, share(fields[2])),
            (MEMORY, scaled(fields[3], _MIB, MEMORY_MAX_BYTES)),
            (MEMORY_LIMIT, scaled(fields[4], _MIB, MEMORY_MAX_BYTES)),
            (POWER, power(fields[5])),
            (TEMPERATURE, celsius(fields[6])),
            (FREQUENCY, scaled(fields[7], 1_000_000, FREQUENCY_MAX_HZ)),
        ],
    )


def of_tegra(line: bytes, model: str) -> Card | None:
    """A line of tegrastats, of a Jetson; None: it says nothing of a GPU. Its memory is the machine's."""
    words = line.decode("utf-8", "replace").split()
    follows = dict(zip(words, words[1:], strict=False))
    if "GR3D_FREQ" not in follows:
        return None
    percent, _, rest = follows["GR3D_FREQ"].partition("%")
    used, _, of_all = follows.get("RAM", "").partition("/")
    temperature: Value = None
    watts: Value = None
    for each in words:
        if each.lower().startswith("gpu@") and each.endswith("C"):
            temperature = celsius(each[4:-1])
    for name in ("VDD_GPU", "VDD_GPU_SOC", "VDD_CPU_GPU_CV", "VDD_SYS_GPU", "POM_5V_GPU"):
        if name in follows:
            milliwatts = power(follows[name].partition("/")[0].removesuffix("mW"))
            watts = None if milliwatts is None else milliwatts / 1000
            break
    clock = rest.removeprefix("@").removeprefix("[").partition(",")[0].removesuffix("]")
    return Card(
        "gr3d",
        "NVIDIA",
        model,
        [
            (UTILIZATION, share(percent)),
            (MEMORY, scaled(used, _MIB, MEMORY_MAX_BYTES)),
            (MEMORY_LIMIT, scaled(of_all.removesuffix("MB"), _MIB, MEMORY_MAX_BYTES)),
            (POWER, watts),
            (TEMPERATURE, temperature),
            (FREQUENCY, scaled(clock, 1_000_000, FREQUENCY_MAX_HZ)),
        ],
    )


def of_rocm(output: bytes) -> list[Card]:
    """Of `rocm-smi` with ROCM_FLAGS. ValueError: that isn't its output."""
    said = parsed(output)
    found = []
    for name in sorted(said)[:CARDS_MAX] if isinstance(said, dict) else ():
        if not name.startswith("card"):
            continue
        of = inner(said, name)
        watts = (
            _field(of, "Average Graphics Package Power (W)")
            or _field(of, "Current Socket Graphics Package Power (W)")
            or _field(of, "Average Socket Power (W)")
        )
        found.append(
            Card(
                _field(of, "PCI Bus").lower() or name,
                "AMD",
                _field(of, "Card Series") or _field(of, "Card series") or _field(of, "Card model"),
                [
                    (UTILIZATION, share(_field(of, "GPU use (%)"))),
                    (MEMORY, scaled(_field(of, "VRAM Total Used Memory (B)"), 1, MEMORY_MAX_BYTES)),
                    (MEMORY_LIMIT, scaled(_field(of, "VRAM Total Memory (B)"), 1, MEMORY_MAX_BYTES)),
                    (POWER, power(watts)),
                    (TEMPERATURE, celsius(_field(of, "Temperature (Sensor edge) (C)"))),
                ],
            )
        )
    return found


def of_nvtop(output: bytes) -> list[Card]:
    """Of `nvtop --snapshot`. ValueError: that isn't its output."""
    said = parsed(output)
    found = []
    for at, of in enumerate(said[:CARDS_MAX] if isinstance(said, list) else ()):
        found.append(
            Card(
                str(at),
                "",
                word(of, "device_name"),
                [
                    (UTILIZATION, share(word(of, "gpu_util").removesuffix("%"))),
                    (MEMORY, scaled(word(of, "mem_used"), 1, MEMORY_MAX_BYTES)),
                    (MEMORY_LIMIT, scaled(word(of, "mem_total"), 1, MEMORY_MAX_BYTES)),
                    (POWER, power(word(of, "power_draw").removesuffix("W"))),
                    (TEMPERATURE, celsius(word(of, "temp").removesuffix("C"))),
                    (FREQUENCY, scaled(word(of, "gpu_clock").removesuffix("MHz"), 1_000_000, FREQUENCY_MAX_HZ)),
                ],
            )
        )
    return found


def _field(of: object, name: str) -> str:
    """A text, or, since ROCm 6, a number."""
    found = number(of, name)
    return word(of, name) if found is None else str(found)


def decimal(text: str) -> float | None:
    """A number as in 37.5, of no more than 18 digits and not below 0; None: it is something else."""
    whole, dot, part = text.partition(".")
    digits = whole + part
    if not whole or (dot and not part) or len(digits) > 18 or not digits.isascii() or not digits.isdigit():
        return None
    return float(text)


def share(text: str) -> Value:
    """From 0 to 1, of a percentage."""
    percent = decimal(text)
    return None if percent is None or percent > 100 else percent / 100


def scaled(text: str, each: int, most: int) -> int | None:
    """Whole ones, of a number of units that have so many of them."""
    found = decimal(text)
    return None if found is None or found * each > most else round(found * each)


def power(text: str) -> Value:
    """W, or mW, of a number."""
    found = decimal(text)
    return None if found is None or found > POWER_MAX_W else found


def celsius(text: str) -> Value:
    """None: no sensor measures that."""
    found = decimal(text)
    return None if found is None or not 0 < found < TEMPERATURE_MAX_CEL else found
