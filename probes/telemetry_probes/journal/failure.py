# SPDX-License-Identifier: Apache-2.0
"""What an incident of a unit was: the values that are told of it. Pure: an incident in, values out."""

from __future__ import annotations

from telemetry_probes.crash import signals
from telemetry_probes.journal import masking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.crash.jsontext import Value
    from telemetry_probes.journal.incidents import Incident

CLASS = "org.clearlinux/journal/error"
SEVERITY = 2
"""telemetrics-client's."""
KIND = "unit-failed"
_ENDS_MAX = 8
_MAIN = "ExecStart"
_BY_SIGNAL = ("killed", "dumped")


class Failure:
    """`unit` as it may be told; `result` systemd's word, empty where it said none; `ends`: how processes ended, most
    often first; `failures`: how often it failed; `lasted_us`: from the first message to the last."""

    __slots__ = (
        "ends", "failures", "fingerprint", "incident", "lasted_us", "memory", "not_started", "restarts", "result",
        "unit",
    )  # fmt: skip

    def __init__(self, incident: Incident, lifted: bool) -> None:
        """`lifted`: the owner lifted the privacy filters."""
        self.incident = incident
        self.unit = incident.unit[: masking.UNIT_CHARS_MAX] if lifted else masking.unit(incident.unit)
        self.ends = sorted(incident.exits.items(), key=lambda end: -end[1])
        self.result = next(reversed(incident.results)) if incident.results else ""
        self.not_started = incident.not_started
        self.memory = incident.memory or self.result == "oom-kill"
        self.restarts = incident.restarts
        main = sum(count for (command, _, _), count in self.ends if command == _MAIN)
        self.failures = main or sum(incident.results.values()) or 1
        self.lasted_us = max(0, incident.last.monotonic_us - incident.first.monotonic_us)
        self.fingerprint = self._fingerprint()

    @property
    def died_of_a_fault(self) -> bool:
        """A process of it crashed: there may be a report of that."""
        return any(
            code == "dumped" or (code == "killed" and status in (4, 5, 6, 7, 8, 11, 31))
            for (_, code, status), _ in self.ends
        )

    def _fingerprint(self) -> str:
        """32 hexadecimal digits, the same for a unit that fails in the same way, on every machine."""
        from _blake2 import blake2b

        first = self.ends[0][0] if self.ends else ("", "", -1)
        said = f"{masking.unit(self.incident.unit)} {self.result} {first[0]} {first[1]} {first[2]}"
        digest: str = blake2b(said.encode("utf-8", "replace"), digest_size=16).hexdigest()
        return digest

    def fields(self) -> dict[str, Value]:
        """For the payload."""
        found: dict[str, Value] = {"kind": KIND, "unit": self.unit, "failures": self.failures}
        if self.result:
            found["result"] = self.result
        if self.ends:
            found["ends"] = [_end(end, count) for end, count in self.ends[:_ENDS_MAX]]
        if self.restarts is not None:
            found["restarts"] = self.restarts
        if self.not_started:
            found["not_started"] = self.not_started
        if self.memory:
            found["out_of_memory"] = True
        if self.lasted_us:
            found["lasted_ms"] = self.lasted_us // 1000
        found["fingerprint"] = self.fingerprint
        return found

    def sentences(self) -> Sequence[str]:
        """As telemetrics-client sent the messages of systemd."""
        said = []
        for (command, code, status), count in self.ends[:_ENDS_MAX]:
            who = "Main process" if command == _MAIN else "A process"
            often = f" ({count} times)" if count > 1 else ""
            said.append(f"MESSAGE={self.unit}: {who} exited, code={code}, status={_status(code, status)}{often}")
        if self.result:
            said.append(f"MESSAGE={self.unit}: Failed with result '{self.result}'.")
        if self.not_started:
            said.append(f"MESSAGE=Failed to start {self.unit}: {self.not_started}")
        return said or [f"MESSAGE={self.unit}: A process was killed for want of memory."]


def _end(end: tuple[str, str, int], count: int) -> dict[str, Value]:
    command, code, status = end
    told: dict[str, Value] = {"command": command, "code": code, "status": status, "count": count}
    if code in _BY_SIGNAL and status > 0:
        told["signal"] = signals.name(status)
    return told


def _status(code: str, status: int) -> str:
    return signals.name(status) if code in _BY_SIGNAL and status > 0 else str(status)
