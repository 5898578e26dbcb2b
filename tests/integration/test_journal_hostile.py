# SPDX-License-Identifier: Apache-2.0
"""What journalprobe has to live through: journals that are forged, damaged or endless, and being killed any time."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from journalplace import AGO_S, STATE, Place, a_place, fields
from journalsource import (
    MANAGER,
    OTHER_BOOT,
    Journal,
    Probe,
    exited,
    failed,
    failure,
    probing,
    read_once,
    said,
)
from running import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubprocess import HubProcess


@pytest.fixture
def place(tmp_path: Path, shared_hub: HubProcess) -> Iterator[Place]:
    with a_place(tmp_path, shared_hub) as made:
        yield made


FORGED: list[dict[str, Any]] = [
    {"_PID": 500}, {"_UID": 1000, "_PID": 1234}, {"_TRANSPORT": "syslog"}, {"_TRANSPORT": "stdout", "_PID": 77},
]  # fmt: skip


def test_only_systemd_itself_is_believed(place: Place) -> None:
    for who in FORGED:
        place.journal.add([{**each, **who} for each in failure("sshd.service")])
    place.journal.add([said("sshd.service: Failed with result 'exit-code'.", 3)])
    assert place.read() == []


def test_forged_cores_are_no_crash(place: Place) -> None:
    forged: dict[str, Any] = {
        "MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1", "COREDUMP_PID": 1, "COREDUMP_EXE": "/usr/bin/true",
        "_PID": 99, "_UID": 0, "_TRANSPORT": "journal", "_COMM": "systemd-coredum", "MESSAGE": "x",
    }  # fmt: skip
    place.journal.add([forged, {**forged, "_SYSTEMD_SLICE": "user-1000.slice"}])
    assert place.read() == []


DAMAGES = [
    b"", b"\0" * 4096, b"x y z", b"journalprobe 1\nafter s=1\n", b"journalprobe 1\nafter nonsense\nend\n",
    b"journalprobe 1\nfrom s=ffffffffffffffffffffffffffffffff;i=zz\nend\n", b"\xff\xfe" * 30,
]  # fmt: skip


def test_a_damaged_place_brings_nothing_twice_to_the_hub(place: Place) -> None:
    place.journal.add(failure("one.service"))
    place.read()
    for damage in DAMAGES:
        (place.root.path / STATE / "place").write_bytes(damage)
        read_once(place.root, place.journal)
    assert len(place.arrived()) == 1


def test_killed_twenty_times_nothing_is_twice_and_nothing_missing(place: Place) -> None:
    """At any moment, while units fail through each other and one of them all the time."""
    chance = random.Random(20)
    log: list[Any] = []
    for turn in range(40):
        log += failure(f"unit{turn}.service")
        log += failure("always.service")
        log += failure(f"unit{(turn * 7) % 40}.service")
    given = 0
    for turn in range(20):
        upto = len(log) * (turn + 1) // 20
        place.journal.add(log[given:upto], 400_000)
        place.journal.later(11)
        given = upto
        before = place.telemd.account()["received"]
        probe = Probe(place.root, place.journal, "-t" if turn % 2 else "--tail")
        wait_until(
            lambda before=before, probe=probe: (  # type: ignore[misc]
                place.telemd.account()["received"] > before or probe.waits() or chance.random() < 0.02
            ),
            "a moment",
        )
        probe.kill()
        assert "Traceback" not in probe.log()
    read_once(place.root, place.journal)
    found = place.arrived()
    assert len(found) == len({each["id"] for each in found})
    told: dict[str, int] = {}
    for each in found:
        unit = fields(each)["unit"]
        told[unit] = told.get(unit, 0) + fields(each)["failures"]
    expected = {each["UNIT"]: 0 for each in log}
    for each in log:
        expected[each["UNIT"]] += "EXIT_CODE" in each
    always = expected.pop("always.service")
    assert told.pop("always.service") <= always
    assert told == expected


def test_killed_between_answer_and_place_twenty_times(place: Place) -> None:
    """The place can't be written at all: each start sends the record again, with the same id."""
    place.journal.add(failure("one.service"))
    (place.root.path / STATE).mkdir(parents=True)
    (place.root.path / STATE / "place").mkdir()  # nothing can be renamed to it
    for turn in range(20):
        probe = Probe(place.root, place.journal, "-t")
        wait_until(
            lambda turn=turn: place.telemd.account()["received"] > turn,  # type: ignore[misc]
            "telemd has it",
        )
        probe.kill()
    assert len(place.arrived()) == 1
    assert place.telemd.account()["received"] == 20


def test_a_flood_of_urgent_lines_is_counted_and_failures_come_through(place: Place) -> None:
    place.lift()
    log: list[Any] = [said(f"the same with number {turn}", 3) for turn in range(6000)]
    log += [said(f"another one {'x' * turn}", 3) for turn in range(300)]
    place.journal.add(log, 10)
    place.journal.add(failure("real.service"))
    with probing(place.root, place.journal, "-t") as probe:
        wait_until(lambda: "passed over" in probe.log(), "what is passed over is said")
        wait_until(
            lambda: any(fields(each)["kind"] == "unit-failed" for each in place.arrived()), "the failure comes through"
        )
    found = [fields(each) for each in place.arrived()]
    assert sum(each["kind"] == "unit-failed" for each in found) == 1
    assert sum(each["kind"] == "message" for each in found) <= 61


def test_the_journal_cut_behind_the_place_that_was_read(place: Place) -> None:
    """As journalctl --vacuum does: the files that were read are gone, and more has come."""
    place.journal.add(failure("one.service"))
    place.read()
    place.journal.file.unlink()
    place.journal.later(60)
    place.journal.add(failure("two.service"))
    assert "was cut" in read_once(place.root, place.journal)
    assert [fields(each)["unit"] for each in place.arrived()] == ["one.service", "two.service"]


def test_rotated_and_vacuumed_under_the_reader(place: Place) -> None:
    place.journal.add(failure("one.service"))
    with probing(place.root, place.journal, "-t") as probe:
        wait_until(lambda: place.telemd.account()["received"] == 1, "the first is sent")
        place.journal.file.rename(place.journal.folder / "system@1.journal")
        place.journal.add_now(failure("two.service"), AGO_S)
        wait_until(lambda: place.telemd.account()["received"] == 2, "a new file is found")
        (place.journal.folder / "system@1.journal").unlink()
        place.journal.add_now(failure("three.service"), AGO_S)
        wait_until(lambda: place.telemd.account()["received"] == 3, "the old one is not missed")
        assert probe.process.poll() is None


def test_a_damaged_journal_ends_nothing(place: Place, tmp_path: Path) -> None:
    """Bytes changed anywhere in what is used of it, and the end cut off."""
    for seed in range(12):
        chance = random.Random(seed)
        journal = Journal(tmp_path / f"journal{seed}")
        journal.add(failure("one.service") * 50)
        content = bytearray(journal.file.read_bytes())
        filled = 272 + 4096 * 64
        for _ in range(400):
            content[chance.randrange(filled)] = chance.randrange(256)
        journal.file.write_bytes(content[: chance.randrange(filled, len(content))] if seed % 2 else content)
        assert "Traceback" not in read_once(place.root, journal)


def test_an_entry_of_the_future_hides_nothing(place: Place) -> None:
    """One time in a file is damaged: to sd-journal what other files have, and what comes, lies before that."""
    place.journal.add([exited("one.service"), exited("one.service", 2)])
    content = place.journal.file.read_bytes()
    written = place.journal.now_us.to_bytes(8, "little")
    assert written in content
    ahead = (place.journal.now_us + 400 * 86_400_000_000).to_bytes(8, "little")
    place.journal.file.write_bytes(content.replace(written, ahead))
    place.journal.file = place.journal.folder / "other.journal"
    place.journal.later(60)
    place.journal.add(failure("two.service"))
    with probing(place.root, place.journal, "-t") as probe:
        wait_until(lambda: place.telemd.account()["received"] == 2, "what is whole is told")
        assert probe.log().count("is damaged") == 1
        place.journal.add_now(failure("three.service"), AGO_S)
        wait_until(lambda: place.telemd.account()["received"] == 3, "and what comes")
    # what comes is no later than two.service on a machine that was booted a minute ago
    assert sorted(fields(each)["unit"] for each in place.arrived()) == ["one.service", "three.service", "two.service"]


def test_binary_and_long_fields(place: Place) -> None:
    place.lift()
    log: list[Any] = [
        {**MANAGER, **exited("one.service"), "MESSAGE": b"\0\xff" * 40_000_000, "PADDING": b"\xff" * 1000},
        {**failed("one.service"), "UNIT_RESULT": b"\x00\x01\n"},
        {**exited("two.service"), "UNIT": b"two\n.service"},
        {**exited("three.service"), "EXIT_STATUS": "9" * 500, "N_RESTARTS": -1},
        said(b"\x1b[31mred\0\xfe" + b"x" * 3_000_000, 1),
    ]
    log.append(said(random.Random(1).randbytes(90_000_000), 1, "random.service"))  # can't be compressed
    place.journal.add(log)
    with probing(place.root, place.journal, "-t") as probe:
        wait_until(lambda: place.telemd.account()["received"] >= 4, "all are told")
        assert probe.memory_kib("VmHWM") < 64 * 1024
    found = [fields(each) for each in place.arrived()]
    assert sorted(each.get("unit", "?") for each in found if each["kind"] == "unit-failed") == [
        "one.service", "three.service",
    ]  # fmt: skip
    urgent = [each["message"] for each in found if each["kind"] == "message"]
    assert urgent[0].startswith("?[31mred?")
    assert urgent[1] == "(too long to be read)"


def test_a_clock_that_jumps(place: Place) -> None:
    """What belongs together is told by the clock that doesn't."""
    place.journal.add(failure("one.service"))
    place.journal.offset_us -= 86_400_000_000
    place.journal.add(failure("one.service"))
    place.journal.offset_us += 2 * 86_400_000_000
    place.journal.add(failure("one.service"))
    assert sum(fields(each)["failures"] for each in place.read()) == 3


def test_what_lies_too_far_back_is_passed_over_and_counted(place: Place) -> None:
    place.journal.add(failure("one.service"))
    place.journal.offset_us -= 30 * 86_400_000_000
    place.read()
    old = Journal(place.journal.folder)
    old.file = place.journal.file
    text = (place.root.path / STATE / "place").read_text()
    cursor = next(part for part in text.split(";") if part.startswith("t="))
    shifted = f"t={int(cursor[2:], 16) - 30 * 86_400_000_000:x}"
    (place.root.path / STATE / "place").write_text(text.replace(cursor, shifted))
    old.add([said("x")] * 20)
    old.add(failure("two.service"))
    log = read_once(place.root, place.journal)
    assert "passed over: longer ago than 7 days" in log


def test_another_boot_ends_what_was_going_on(place: Place) -> None:
    before = Journal(place.journal.folder, OTHER_BOOT, 5_000_000)
    before.offset_us -= 7200 * 1_000_000
    before.add(failure("one.service"))
    place.journal.add(failure("one.service"))
    first, second = place.read()
    assert fields(first)["earlier_boot"] is True
    assert "earlier_boot" not in fields(second)
