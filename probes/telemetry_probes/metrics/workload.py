# SPDX-License-Identifier: Apache-2.0
"""A container or a guest: what is told of each kind alike. Pure: values only."""

from __future__ import annotations

from telemetry_probes.metrics.model import COUNTER, GAUGE, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from telemetry_probes.metrics.model import Series, Value

STATE: Final = Metric("x.container.state", "1", GAUGE, "1, with its state in the attribute state")
HEALTH: Final = Metric(
    "x.container.health", "1", GAUGE, "1, with what its own check found in the attribute health; none: it has no check"
)
CPU_TIME: Final = Metric("container.cpu.time", "s", COUNTER, "Processor time it used")
CPU_USAGE: Final = Metric("container.cpu.usage", "1", GAUGE, "Share of all processors it used since the last sample")
MEMORY: Final = Metric("container.memory.usage", "By", GAUGE, "Memory it uses, without inactive file cache")
MEMORY_LIMIT: Final = Metric("x.container.memory.limit", "By", GAUGE, "Memory it may use")
NETWORK: Final = Metric("container.network.io", "By", COUNTER, "Bytes over all its networks")
DISK: Final = Metric("container.disk.io", "By", COUNTER, "Bytes from and to disks")

METRICS: Final = (STATE, HEALTH, CPU_TIME, CPU_USAGE, MEMORY, MEMORY_LIMIT, NETWORK, DISK)


class Workload:
    """name and runtime tell it from others. cpu_share: of all processors of this machine, since the last sample."""

    __slots__ = (
        "cpu_s", "cpu_share", "health", "image", "memory_bytes", "memory_limit_bytes", "name", "read_bytes",
        "received_bytes", "runtime", "sent_bytes", "state", "written_bytes",
    )  # fmt: skip

    def __init__(self, name: str, runtime: str, image: str, state: str, health: str) -> None:
        self.name = name
        self.runtime = runtime
        self.image = image
        self.state = state
        self.health = health
        self.cpu_s: Value = None
        self.cpu_share: Value = None
        self.memory_bytes: Value = None
        self.memory_limit_bytes: Value = None
        self.received_bytes: Value = None
        self.sent_bytes: Value = None
        self.read_bytes: Value = None
        self.written_bytes: Value = None

    def key(self) -> tuple[str, ...]:
        """Two with the same one have the same series."""
        return (self.name, self.runtime, self.image, self.state, self.health)

    def series(self) -> list[Series]:
        """In the order of values()."""
        name = (("container.name", self.name), ("container.runtime", self.runtime))
        image = (("container.image.name", self.image),) if self.image else ()
        return [
            STATE.series(*name, *image, ("state", self.state)),
            HEALTH.series(*name, ("health", self.health)),
            *(metric.series(*name) for metric in (CPU_TIME, CPU_USAGE, MEMORY, MEMORY_LIMIT)),
            NETWORK.series(*name, ("network.io.direction", "receive")),
            NETWORK.series(*name, ("network.io.direction", "transmit")),
            DISK.series(*name, ("disk.io.direction", "read")),
            DISK.series(*name, ("disk.io.direction", "write")),
        ]

    def values(self) -> list[Value]:
        """Of now."""
        return [
            1, 1, self.cpu_s, self.cpu_share, self.memory_bytes, self.memory_limit_bytes, self.received_bytes,
            self.sent_bytes, self.read_bytes, self.written_bytes,
        ]  # fmt: skip


def share(used: float, all_of_it: float) -> float | None:
    """None where it can't be: nothing passed, a counter went back, or more was used than there is."""
    if all_of_it <= 0 or not 0 <= used <= all_of_it * 1.1:
        return None
    return min(1.0, used / all_of_it)
