# SPDX-License-Identifier: Apache-2.0
"""The guests of a Proxmox machine, as pvesh tells them. Pure: bytes in, values out."""

from __future__ import annotations

from telemetry_probes.metrics import jsonfigures
from telemetry_probes.metrics.workload import Workload, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

ARGUMENTS: Final = ("get", "/cluster/resources", "--type", "vm", "--output-format", "json")
"""Of pvesh."""
GUESTS_MAX: Final = 500
KINDS: Final = ("qemu", "lxc")


def guests(output: bytes, node: str, processors: int) -> list[Workload]:
    """Those of this node, which has so many processors; templates aren't told. ValueError: it isn't what pvesh says."""
    number, word = jsonfigures.number, jsonfigures.word
    listed = jsonfigures.parsed(output)
    if not isinstance(listed, list):
        raise ValueError("pvesh gives no list")
    found: dict[str, Workload] = {}
    for each in listed[: 4 * GUESTS_MAX]:
        kind, number_of_it = word(each, "type"), number(each, "vmid")
        if kind not in KINDS or number_of_it is None or word(each, "node") != node or number(each, "template"):
            continue
        name = f"{word(each, 'name') or kind}-{number_of_it:.0f}"
        guest = Workload(name, kind, "", word(each, "status") or "unknown", "none")
        busy, its_processors = number(each, "cpu"), number(each, "maxcpu")
        if busy is not None and its_processors:
            guest.cpu_share = share(busy * its_processors, processors)
        guest.memory_bytes = number(each, "mem")
        guest.memory_limit_bytes = number(each, "maxmem")
        guest.received_bytes, guest.sent_bytes = number(each, "netin"), number(each, "netout")
        guest.read_bytes, guest.written_bytes = number(each, "diskread"), number(each, "diskwrite")
        found.setdefault(name, guest)
    return list(found.values())[:GUESTS_MAX]


def processors(stat: bytes) -> int:
    """How many /proc/stat has."""
    return sum(line.startswith(b"cpu") and line[3:4].isdigit() for line in stat.split(b"\n"))
