# SPDX-License-Identifier: Apache-2.0
"""What containers use, those of Docker and of Podman, and guests of Proxmox: all as one kind of workload.

What a container was started with, as its environment, is never asked for.
"""

from __future__ import annotations

import posix

from telemetry_probes.metrics import commands, containerapi, proxmox, workload
from telemetry_probes.metrics.filters import ALL, Filter
from telemetry_probes.metrics.model import GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

SOCKETS: Final = ("/run/docker.sock", "/run/podman/podman.sock")
SOCKETS_MAX: Final = 8
PVESH_S: Final = 15.0
HOST_NAME: Final = "/proc/sys/kernel/hostname"
STAT: Final = "/proc/stat"
PROXMOX: Final = "proxmox"

UP: Final = Metric("x.container.runtime.up", "1", GAUGE, "1 where who runs the containers answers, else 0")

TITLE = "containers of Docker and Podman, guests of Proxmox"
INTERVAL_S = 60.0
METRICS = (UP, *workload.METRICS)
OPTIONS = (
    Choice("sockets", SOCKETS, f"Sockets of Docker or Podman; at most {SOCKETS_MAX}."),
    Choice("names", ALL, "Which containers, by name: `web*,db`, or `-test*` for all but those."),
)


class Collector:
    """Asks all that are there, one after the other."""

    __slots__ = ("_apis", "_key", "_names", "_places", "_pvesh", "_sockets", "series")

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        given = options["sockets"]
        sockets = [given] if isinstance(given, str) else list(given) if not isinstance(given, int | float) else []
        self._sockets = sockets[:SOCKETS_MAX]
        self._names = Filter(str(options["names"]))
        self._places = places
        self._apis: dict[str, containerapi.Api] = {}
        pvesh = places.program("pvesh")
        self._pvesh = commands.Program(pvesh, PVESH_S) if pvesh else None
        self._key: tuple[object, ...] = ()
        self.series: Sequence[Series] = ()
        if self._pvesh is None and not any(_is_there(places, path) for path in self._sockets):
            raise Absent("neither Docker nor Podman has a socket here, nor is there pvesh: nothing to do")

    def sample(self, now_s: float) -> Sequence[Value]:
        """All workloads that run. Absent where there is but one who runs them, and it isn't for us."""
        found: list[workload.Workload] = []
        up: dict[str, int] = {}
        refused = ""
        for path in self._sockets:
            if not _is_there(self._places, path):
                continue
            try:
                if path not in self._apis:
                    self._apis[path] = containerapi.Api(self._places.path(path))
                found += self._apis[path].workloads(now_s, self._names.takes)
                up[path] = 1
            except PermissionError:
                refused = f"{path} isn't for this user: docs/metrics.md says how to allow it, and what that means"
            except (OSError, ValueError):
                self._apis.pop(path, None)
                up[path] = 0
        if self._pvesh is not None:
            try:
                found += self._guests(self._pvesh, now_s)
                up[PROXMOX] = 1
            except (OSError, ValueError):
                up[PROXMOX] = 0
        if not up:
            raise Absent(refused or "Docker and Podman have gone")
        return self._row(up, found)

    def close(self) -> None:
        """Nothing is open between two samples."""

    def _guests(self, pvesh: commands.Program, now_s: float) -> list[workload.Workload]:
        ran = pvesh.run(now_s, *proxmox.ARGUMENTS)
        if ran.status:
            raise ValueError(f"pvesh ended with {ran.status}")
        node = self._places.word(HOST_NAME).partition(".")[0]
        found = proxmox.guests(ran.output, node, proxmox.processors(self._places.read(STAT)))
        return [guest for guest in found if self._names.takes(guest.name)]

    def _row(self, up: dict[str, int], found: list[workload.Workload]) -> list[Value]:
        once = {(each.name, each.runtime): each for each in found}
        key = (*up, *(each.key() for each in once.values()))
        if key != self._key:
            self._key = key
            self.series = [
                *(UP.series(("container.runtime.socket", path)) for path in up),
                *(series for each in once.values() for series in each.series()),
            ]
        return [*up.values(), *(value for each in once.values() for value in each.values())]


def _is_there(places: Places, path: str) -> bool:
    try:
        posix.stat(places.path(path))
    except (OSError, ValueError):
        return False
    return True
