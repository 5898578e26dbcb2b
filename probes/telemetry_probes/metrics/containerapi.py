# SPDX-License-Identifier: Apache-2.0
"""Containers, as the API of Docker and Podman tells them over a Unix socket.

Asked are the list of those that run and the figures of each. What a container was started with (its environment, its
labels, its command) is never asked for, or never looked at.
"""

from __future__ import annotations

import time

from telemetry_probes.metrics import jsonfigures, webget
from telemetry_probes.metrics.workload import Workload, share

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

CONTAINERS_MAX: Final = 200
ANSWER_S: Final = 3.0
ALL_S: Final = 20.0
"""For all questions of a sample; the containers that weren't reached come first in the next."""
LIST_BYTES_MAX: Final = 2 << 20
"""What hostile JSON of that size can be in memory is 20 times as much."""
STATS_BYTES_MAX: Final = 1 << 20
AT_A_TIME: Final = 16
GOOD: Final = 200
DOCKER, PODMAN = "docker", "podman"
_NS: Final = 1_000_000_000
_HEX: Final = frozenset("0123456789abcdef")


class Api:
    """One socket. path: as the system knows it."""

    __slots__ = ("_before", "_next", "_place", "runtime")

    def __init__(self, path: str) -> None:
        """OSError, ValueError: nobody answers there as Docker does."""
        self._place = webget.Place(unix=path)
        self._before: dict[str, tuple[float, float]] = {}
        self._next = 0
        self.runtime = runtime(self._asked("/version", time.monotonic() + ANSWER_S, STATS_BYTES_MAX))

    def workloads(self, now_s: float, takes: Callable[[str], bool]) -> list[Workload]:
        """The containers that run and whose name is taken. now_s: seconds since the boot. OSError, ValueError."""
        end_s = time.monotonic() + ALL_S
        found = containers(self._asked("/containers/json", end_s, LIST_BYTES_MAX), self.runtime)
        named = [(key, each) for key, each in found.items() if takes(each.name)][:CONTAINERS_MAX]
        said = self._figures([key for key, _ in named], end_s)
        before, self._before = self._before, {}
        for key, each in named:
            spent = before.get(key)
            if key in said:
                spent = filled(each, said[key], spent, now_s if self.runtime == PODMAN else None)
            if spent is not None:
                self._before[key] = spent
        return [each for _, each in named]

    def _figures(self, keys: list[str], end_s: float) -> dict[str, object]:
        """By id, what the API says in time. Docker takes a second for each, so several are asked at a time."""
        first = self._next % max(1, len(keys))
        order = keys[first:] + keys[:first]
        said: dict[str, object] = {}
        self._next = 0
        for at in range(0, len(order), AT_A_TIME):
            if time.monotonic() >= end_s:
                self._next = first + at
                break
            for key, answer in self._answers(order[at : at + AT_A_TIME], min(end_s, time.monotonic() + ANSWER_S)):
                try:
                    said[key] = jsonfigures.parsed(answer)
                except ValueError:
                    continue
        return said

    def _answers(self, keys: list[str], end_s: float) -> Iterator[tuple[str, bytes]]:
        """What it says of those, by id. One that ended just now has no answer."""
        asked: list[tuple[str, webget.Question]] = []
        try:
            for key in keys:
                target = f"/containers/{key}/stats?stream=false&one-shot=true"
                asked.append((key, webget.Question(self._place, target, end_s)))
            for key, question in asked:
                try:
                    answer = question.answer(end_s, STATS_BYTES_MAX)
                except (OSError, ValueError):
                    continue
                if answer.status == GOOD:
                    yield key, answer.body
        except OSError:
            return  # it takes no more questions
        finally:
            for _, question in asked:
                question.close()

    def _asked(self, target: str, end_s: float, bytes_max: int) -> object:
        answer = webget.get(self._place, target, min(end_s, time.monotonic() + ANSWER_S), bytes_max)
        if answer.status != GOOD:
            raise ValueError(f"the container API answers with {answer.status}")
        return jsonfigures.parsed(answer.body)


def runtime(version: object) -> str:
    """Whose API it is, by its answer to /version. ValueError: nobody's."""
    if not jsonfigures.word(version, "ApiVersion"):
        raise ValueError("the socket isn't that of a container API")
    names = [jsonfigures.word(each, "Name") for each in jsonfigures.listed(version, "Components")]
    return PODMAN if any(name.startswith("Podman") for name in names) else DOCKER


def containers(found: object, its_runtime: str) -> dict[str, Workload]:
    """By id, those of /containers/json. One without a name or an id as they have to be isn't taken. ValueError: it is
    no list."""
    if not isinstance(found, list):
        raise ValueError("the container API gives no list")
    listed: dict[str, Workload] = {}
    names: set[str] = set()
    for each in found[: 4 * CONTAINERS_MAX]:
        key = jsonfigures.word(each, "Id")
        given = jsonfigures.listed(each, "Names")
        name = jsonfigures.one_line(given[0].removeprefix("/")) if given and isinstance(given[0], str) else ""
        if not 12 <= len(key) <= 64 or not _HEX.issuperset(key) or not name or name in names:
            continue
        names.add(name)
        image, state = jsonfigures.word(each, "Image"), jsonfigures.word(each, "State")
        listed[key] = Workload(name, its_runtime, image, state or "unknown", health(jsonfigures.word(each, "Status")))
    return listed


def health(status: str) -> str:
    """From a status as in `Up 2 hours (healthy)`."""
    for word, text in (("healthy", "(healthy)"), ("unhealthy", "(unhealthy)"), ("starting", "(health: starting)")):
        if text in status:
            return word
    return "none"


def filled(
    each: Workload, said: object, before: tuple[float, float] | None, podman_now_s: float | None
) -> tuple[float, float] | None:
    """Put the figures of /stats into it. What it and all processors used goes in as it was before and comes back as it
    is now, in nanoseconds. podman_now_s: Podman's own figure of the system leaves out idle time, so time is taken."""
    number = jsonfigures.number
    used_ns = number(said, "cpu_stats", "cpu_usage", "total_usage")
    system_ns = number(said, "cpu_stats", "system_cpu_usage")
    if podman_now_s is not None:
        processors = number(said, "cpu_stats", "online_cpus")
        system_ns = podman_now_s * _NS * processors if processors else None
    if used_ns is not None:
        each.cpu_s = used_ns / _NS
        if system_ns is not None and before is not None:
            each.cpu_share = share(used_ns - before[0], system_ns - before[1])
    usage = number(said, "memory_stats", "usage")
    if usage is not None:
        inactive = number(said, "memory_stats", "stats", "total_inactive_file")
        if inactive is None:
            inactive = number(said, "memory_stats", "stats", "inactive_file") or 0
        each.memory_bytes = usage - inactive if inactive < usage else usage
    each.memory_limit_bytes = number(said, "memory_stats", "limit")
    networks = jsonfigures.inner(said, "networks")
    if isinstance(networks, dict):
        each.received_bytes = _sum([number(one, "rx_bytes") for one in networks.values()])
        each.sent_bytes = _sum([number(one, "tx_bytes") for one in networks.values()])
    transfers = jsonfigures.listed(said, "blkio_stats", "io_service_bytes_recursive")
    if transfers:
        by_kind: dict[str, list[int | float | None]] = {"read": [], "write": []}
        for one in transfers:
            by_kind.setdefault(jsonfigures.word(one, "op").lower(), []).append(number(one, "value"))
        each.read_bytes, each.written_bytes = _sum(by_kind["read"]), _sum(by_kind["write"])
    return None if used_ns is None or system_ns is None else (used_ns, system_ns)


def _sum(values: list[int | float | None]) -> int | float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known and sum(known) < jsonfigures.LARGEST else None
