# SPDX-License-Identifier: Apache-2.0
"""Memory and swap: /proc/meminfo (proc(5)), and the cache of ZFS (its kstat arcstats), which the kernel counts as used.

used = total - free - buffers - cached - SReclaimable + Shmem, without the cache of ZFS; used, free, buffers and cached
make up the total, and shared is a part of used. Swap used leaves out what is in memory as well (SwapCached).
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics.model import GAUGE, Absent, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

TITLE = "memory and swap"
INTERVAL_S = 10.0
QUICK = True

USAGE = Metric(
    "system.memory.usage", "By", GAUGE, "Memory by state; shared is a part of used, the others make up the limit"
)
LIMIT = Metric("system.memory.limit", "By", GAUGE, "All memory")
UTILIZATION = Metric("system.memory.utilization", "1", GAUGE, "Share of memory that is used")
AVAILABLE = Metric(
    "system.linux.memory.available", "By", GAUGE, "What programs can have without swapping (MemAvailable)"
)
PAGING = Metric("system.paging.usage", "By", GAUGE, "Swap by state; what is in memory as well is in neither")
ARC = Metric("x.zfs.arc.size", "By", GAUGE, "Cache of ZFS, a part of cached")
METRICS = (USAGE, LIMIT, UTILIZATION, AVAILABLE, PAGING, ARC)

MEMINFO = "/proc/meminfo"
ARCSTATS = "/proc/spl/kstat/zfs/arcstats"
NEEDED = (b"MemTotal:", b"MemFree:", b"Buffers:", b"Cached:", b"SReclaimable:", b"Shmem:")
OPTIONAL = (b"SwapTotal:", b"SwapFree:", b"SwapCached:", b"MemAvailable:")
BYTES_MAX = 16_384
KIB = 1024
STATES = ("used", "free", "buffers", "cached", "shared")


class Collector:
    """One pread, two with ZFS. Where each line stands is remembered."""

    def __init__(self, places: Places, _: Mapping[str, Option]) -> None:
        try:
            self._meminfo = places.opened(MEMINFO)
        except OSError:
            raise Absent(f"{MEMINFO} can't be read: /proc is not mounted") from None
        try:
            self._arc = places.opened(ARCSTATS)
        except OSError:
            self._arc = -1
        self._places: list[int] = []
        self._words = 0
        state, paging = "system.memory.state", "system.paging.state"
        self.series: Sequence[Series] = (
            *(USAGE.series((state, name)) for name in STATES),
            LIMIT.series(),
            UTILIZATION.series(),
            AVAILABLE.series(),
            PAGING.series((paging, "used")),
            PAGING.series((paging, "free")),
            *((ARC.series(),) if self._arc >= 0 else ()),
        )

    def sample(self, _: float) -> Sequence[Value]:
        needed, optional = self._amounts(posix.pread(self._meminfo, BYTES_MAX, 0))
        if self._arc < 0:
            return figures(needed, optional, 0)
        arc = arc_size(posix.pread(self._arc, BYTES_MAX, 0))
        return [*figures(needed, optional, arc or 0), arc]

    def close(self) -> None:
        fds, self._meminfo, self._arc = (self._meminfo, self._arc), -1, -1
        for fd in fds:
            if fd >= 0:
                posix.close(fd)

    def _amounts(self, text: bytes) -> tuple[list[int], Sequence[int | None]]:
        """kB of NEEDED and of OPTIONAL. Once it is known where they stand, no more is taken apart than up to there."""
        places = self._places
        if places:
            words = text.split(None, self._words)
            if len(words) > self._words and [words[place] for place in places] == _NAMES:
                found = [int(words[place + 1]) for place in places]
                if min(found) < 0:
                    raise ValueError("an amount is below 0")
                return found[: len(NEEDED)], found[len(NEEDED) :]
        words = text.split()
        by_name = located(words)
        if len(by_name) == len(_NAMES):
            self._places = [by_name[name] for name in _NAMES]
            self._words = max(self._places) + 3
        return (
            [int(words[by_name[name] + 1]) for name in NEEDED],
            [int(words[by_name[name] + 1]) if name in by_name else None for name in OPTIONAL],
        )


_NAMES = [*NEEDED, *OPTIONAL]


def located(words: list[bytes]) -> dict[bytes, int]:
    """The places of those names among the words that have an amount in kB. ValueError: one of NEEDED is missing."""
    found: dict[bytes, int] = {}
    for place, word in enumerate(words[:-2]):
        if word in _NAMES and words[place + 1].isdigit() and words[place + 2] == b"kB":
            found.setdefault(word, place)
    for name in NEEDED:
        if name not in found:
            raise ValueError("a line is missing")
    return found


def figures(needed: Sequence[int], optional: Sequence[int | None], arc_bytes: int) -> list[Value]:
    """The row, in the order of the series, but for the last. needed and optional in kB."""
    total, free, buffers, cached, reclaimable, shared = needed
    swap, swap_free, swap_cached, available = optional
    cached += reclaimable - shared
    if cached < 0:
        cached = 0
    used = total - free - buffers - cached
    if used < 0:
        used = 0
    if 0 < arc_bytes < used * KIB:
        used -= arc_bytes // KIB
        cached += arc_bytes // KIB
    swapped = None if swap is None or swap_free is None else swap - swap_free - (swap_cached or 0)
    return [
        used * KIB, free * KIB, buffers * KIB, cached * KIB, shared * KIB, total * KIB,
        used / total if total else None,
        None if available is None else available * KIB,
        None if swapped is None else swapped * KIB if swapped > 0 else 0,
        None if swap_free is None else swap_free * KIB,
    ]  # fmt: skip


def arc_size(text: bytes) -> int | None:
    """The line `size 4 BYTES` of arcstats; None where there is none."""
    _, found, rest = text.partition(b"\nsize ")
    words = rest.partition(b"\n")[0].split()
    return int(words[1]) if found and len(words) == 2 and b"\n" in rest and words[1].isdigit() else None
