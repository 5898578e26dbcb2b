# SPDX-License-Identifier: Apache-2.0
"""How long a boot took, by what systemd says of itself: org.freedesktop.systemd1(5), properties of the manager.

Times on the monotonic clock, in microseconds. Firmware and loader ran before it, and their numbers say how long before;
a container has none of them, and its kernel is somebody else's. Pure: text in, values out.
"""

from __future__ import annotations

PROPERTIES = (
    "FirmwareTimestampMonotonic", "LoaderTimestampMonotonic", "KernelTimestampMonotonic", "InitRDTimestampMonotonic",
    "UserspaceTimestampMonotonic", "FinishTimestampMonotonic", "Virtualization", "NFailedUnits", "SystemState",
)  # fmt: skip
"""What to ask for."""
CONTAINERS = (
    "systemd-nspawn", "docker", "podman", "lxc", "lxc-libvirt", "openvz", "rkt", "wsl", "proot", "pouch",
    "container-other",
)  # fmt: skip
STATES = ("running", "degraded", "maintenance", "starting", "stopping")
DAY_US = 86_400_000_000
"""A phase that took longer is no phase."""


class Timing:
    """Milliseconds of each phase, by name, in their order; `state` as in systemctl(1), is-system-running, or empty;
    `failed`: units, None where it isn't known."""

    __slots__ = ("failed", "phases", "state")

    def __init__(self, phases: dict[str, int], state: str, failed: int | None) -> None:
        self.phases = phases
        self.state = state
        self.failed = failed


def read(shown: str) -> Timing | None:
    """Of what `systemctl show` prints for PROPERTIES; None before the start is finished."""
    values = {name: value for name, _, value in [line.partition("=") for line in shown.splitlines()]}

    def at(name: str) -> int:
        text = values.get(f"{name}TimestampMonotonic", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else 0

    firmware, loader, initrd, userspace, finish = map(at, ("Firmware", "Loader", "InitRD", "Userspace", "Finish"))
    if not 0 < userspace < finish:
        return None
    phases = {"userspace": finish - userspace}
    if values.get("Virtualization") not in CONTAINERS:
        phases = {
            "firmware": max(0, firmware - loader),
            "loader": loader,
            "kernel": min(initrd or userspace, userspace),
            "initrd": userspace - initrd if 0 < initrd < userspace else 0,
            **phases,
        }
    phases = {name: value // 1000 for name, value in phases.items() if 0 < value <= DAY_US}
    phases["total"] = sum(phases.values())
    failed = values.get("NFailedUnits", "")
    count = int(failed) if failed.isascii() and failed.isdigit() and len(failed) < 9 else None
    state = values.get("SystemState", "")
    return Timing(phases, state if state in STATES else "", count)
