# SPDX-License-Identifier: Apache-2.0
"""Which reports of the kernel share an event, with each other and with what the journal tells."""

from __future__ import annotations

from telemetry_probes import eventid, oops
from telemetry_probes.kernel.assembly import Assembler, Line, Report
from telemetry_probes.kernel.incidents import SAME_INCIDENT_US, Incidents

SECRET = bytes(32)
BOOT = "0b" * 16
KILL = "Out of memory: Killed process 4711 (greedy) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB"
PANIC = "Kernel panic - not syncing: in a test"


def reports(*said: tuple[int, str]) -> list[Report]:
    assembler = Assembler()
    found = [one for seq, (at_us, text) in enumerate(said) for one in assembler.feed(Line(text, at_us, seq, "", True))]
    return found + assembler.flush()


def events(boot: str, *said: tuple[int, str]) -> list[tuple[str, bytes]]:
    incidents = Incidents(SECRET, boot)
    found = [(one, oops.parse(one, False)) for one in reports(*said)]
    return [(parsed.kind, incidents.event(one, parsed)) for one, parsed in found]


def test_a_kill_has_the_event_of_the_process() -> None:
    assert events(BOOT, (1_000_000, KILL)) == [("oom", eventid.of_crash(BOOT, 4711))]
    assert events("", (1_000_000, KILL)) != [("oom", eventid.of_crash("", 4711))]


def test_a_panic_that_follows_has_the_same_event_whether_the_boot_is_known_or_not() -> None:
    said = ((1_000_000, KILL), (20_000_000 - SAME_INCIDENT_US, PANIC))
    assert events(BOOT, *said)[1] == events("", *said)[1]
    assert events("", *said)[0][1] == events("", *said)[1][1]
