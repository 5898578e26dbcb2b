# SPDX-License-Identifier: Apache-2.0
"""What belongs to one failure of a unit, by the entries' own times alone; and the place that is kept."""

from __future__ import annotations

import random

import pytest

from telemetry_probes.journal import place, trusted
from telemetry_probes.journal.failure import Failure
from telemetry_probes.journal.incidents import LONGEST_US, OPEN_MAX, SETTLED_US, SLACK_US, Incident, Incidents
from telemetry_probes.journal.source import Entry

S = 1_000_000
BOOT = "ab" * 16


def entry(at_us: int, unit: str = "a.service", kind: str = trusted.EXITED, boot: str = BOOT, **fields: str) -> Entry:
    said = {
        "MESSAGE_ID": kind,
        "UNIT": unit,
        "COMMAND": "ExecStart",
        "EXIT_CODE": "exited",
        "EXIT_STATUS": "1",
        **fields,
    }
    return Entry(at_us, f"i={at_us}", at_us, at_us, boot, {name: value.encode() for name, value in said.items()})


def spans(incidents: list[Incident]) -> list[tuple[str, int, int]]:
    return [(one.unit, one.first.monotonic_us, one.last.monotonic_us) for one in incidents]


def fed(entries: list[Entry]) -> list[Incident]:
    incidents = Incidents()
    found = [one for each in entries for one in incidents.feed(each)]
    return found + incidents.end()


def test_a_pause_ends_an_incident() -> None:
    times = [0, SETTLED_US, 2 * SETTLED_US + 1, 2 * SETTLED_US + 2]
    assert [(first, last) for _, first, last in spans(fed([entry(at) for at in times]))] == [
        (times[0], times[1]),
        (times[2], times[3]),
    ]


def test_one_that_never_pauses_is_ended() -> None:
    found = spans(fed([entry(at) for at in range(0, 3 * LONGEST_US, S)]))
    assert all(last - first <= LONGEST_US for _, first, last in found)
    assert len(found) == 3


def test_units_are_kept_apart_and_boots_too() -> None:
    found = fed([entry(1), entry(2, "b.service"), entry(3), entry(3, boot="cd" * 16)])
    assert sorted(spans(found)) == [("a.service", 1, 3), ("a.service", 3, 3), ("b.service", 2, 2)]


def test_the_mounts_of_credentials_are_no_failure() -> None:
    gone = entry(1, r"run-credentials-systemd\x2dsysusers.service.mount", EXIT_STATUS="32", COMMAND="ExecUnmount")
    assert fed([gone]) == []
    assert [one.unit for one in fed([gone, entry(2, "run-media.mount")])] == ["run-media.mount"]


def test_a_restart_alone_is_no_failure() -> None:
    assert fed([entry(1, kind=trusted.RESTARTED, N_RESTARTS="4")]) == []


def test_it_is_quiet_only_when_all_was_read() -> None:
    incidents = Incidents()
    incidents.feed(entry(S))
    assert incidents.next_quiet_us() == S + SETTLED_US + SLACK_US
    assert incidents.quiet(S + SETTLED_US + SLACK_US) == []
    assert spans(incidents.quiet(S + SETTLED_US + SLACK_US + 1)) == [("a.service", S, S)]
    assert incidents.oldest() is None


def test_other_boots_have_ended() -> None:
    incidents = Incidents()
    incidents.feed(entry(900 * S))
    assert incidents.quiet(899 * S) == []  # written while the clock was read
    assert len(incidents.quiet(5)) == 1


def test_too_many_units_at_once_end_the_oldest() -> None:
    incidents = Incidents()
    ended = [one for at in range(OPEN_MAX + 3) for one in incidents.feed(entry(at, f"u{at}.service"))]
    assert [one.unit for one in ended] == ["u0.service", "u1.service", "u2.service"]


@pytest.mark.parametrize("unit", ["", "a\nb.service", "x" * 300])
def test_what_is_no_name_of_a_unit_is_left(unit: str) -> None:
    assert fed([entry(1, unit)]) == []


def test_whenever_it_is_read_the_incidents_are_the_same() -> None:
    """Read in one go, or as it comes with the clock going on, and again from the begin after any entry."""
    chance = random.Random(8)
    for _ in range(60):
        at, log = 0, []
        for _ in range(60):
            at += chance.choice([1, 1000, S, 5 * S, SETTLED_US - 1, SETTLED_US + 1, SETTLED_US + 2 * S])
            log.append(entry(at, chance.choice("abc") + ".service"))
        whole = sorted(spans(fed(log)))
        live = Incidents()
        found: list[Incident] = []
        for one, following in zip(log, [*log[1:], None], strict=True):
            found += live.feed(one)
            until = following.monotonic_us if following is not None else one.monotonic_us
            found += live.quiet(chance.randint(one.monotonic_us, until))
        assert sorted(spans(found + live.end())) == whole


def test_how_often_it_failed() -> None:
    def failure(*entries: Entry) -> Failure:
        (one,) = fed(list(entries))
        return Failure(one, False)

    gave_up = [entry(at) for at in range(3)] + [
        entry(9, kind=trusted.FAILED, UNIT_RESULT="exit-code") for _ in range(4)
    ]
    assert failure(*gave_up).failures == 3
    assert failure(entry(1, kind=trusted.FAILED, UNIT_RESULT="timeout")).failures == 1
    assert failure(entry(1, kind=trusted.JOB_FAILED, JOB_RESULT="dependency")).failures == 1
    assert failure(entry(1, kind=trusted.OUT_OF_MEMORY)).memory
    assert failure(entry(1, EXIT_CODE="killed", EXIT_STATUS="11")).died_of_a_fault
    assert not failure(entry(1, EXIT_CODE="killed", EXIT_STATUS="9")).died_of_a_fault


def test_like_failures_have_one_fingerprint() -> None:
    def fingerprint(unit: str, **fields: str) -> str:
        (one,) = fed([entry(1, unit, **fields)])
        return Failure(one, lifted=fields.get("EXIT_CODE") == "x").fingerprint

    assert fingerprint("a@one.service") == fingerprint("a@two.service")
    assert fingerprint("a@one.service") != fingerprint("a@one.service", EXIT_STATUS="2")
    assert fingerprint("a.service") != fingerprint("b.service")


CURSOR = "s=064ad3d9b0164f82b37e6e31f60adf76;i=1f;b=bb;m=f4240;t=60a24181e4000;x=636723601c2db463"


def test_a_place_is_read_as_it_was_written() -> None:
    told = {"a b.service": ("ab" * 16, 5), "\udcff.service": ("ab" * 16, 7)}
    for again in (True, False):
        found = place.read(place.Place(CURSOR, again, told).text())
        assert (found.cursor, found.again, found.told) == (CURSOR, again, told)


def test_a_damaged_place_is_none() -> None:
    whole = place.Place(CURSOR, True, {"a.service": ("ab" * 16, 5)}).text()
    for cut in range(len(whole)):
        assert place.read(whole[:cut]).cursor == ""
    chance = random.Random(3)
    for _ in range(500):
        changed = bytearray(whole)
        changed[chance.randrange(len(changed))] = chance.randrange(256)
        found = place.read(bytes(changed))
        assert found.cursor == "" or place.is_cursor(found.cursor)


def test_what_was_passed_over_is_counted_by_the_writers_own_numbers() -> None:
    assert place.passed_over(CURSOR, CURSOR.replace("i=1f", "i=3f")) == 31
    assert place.passed_over(CURSOR, CURSOR.replace("s=06", "s=07")) is None
    assert place.passed_over("nonsense", CURSOR) is None
    assert place.passed_over(CURSOR, CURSOR.replace("i=1f", "i=zz")) is None
    assert place.realtime_us(CURSOR) == 0x60A24181E4000
