# SPDX-License-Identifier: Apache-2.0
"""journalprobe as installed: a journal in, records at a real hub, nothing twice and nothing missed."""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import hub_at
from journalplace import AGO_S, CLASS, Place, a_place, fields
from journalsource import (
    MANAGER,
    Journal,
    exited,
    failed,
    failure,
    probing,
    read_once,
    restarted,
    said,
)
from running import BIN, TIMEOUT_S, running, state_root, wait_until

from telemetry_probes import eventid

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hubprocess import HubProcess


@pytest.fixture
def place(tmp_path: Path, shared_hub: HubProcess) -> Iterator[Place]:
    with a_place(tmp_path, shared_hub) as made:
        yield made


def test_a_failed_unit_arrives(place: Place) -> None:
    place.journal.add([*failure("backup.service", 3), restarted("backup.service", 1)])
    (record,) = place.read()
    assert (record["classification"], record["severity"], record["payload_version"]) == (CLASS, 2, 2)
    told = fields(record)
    assert (told["unit"], told["result"], told["failures"], told["restarts"]) == ("backup.service", "exit-code", 1, 1)
    assert told["ends"] == [{"command": "ExecStart", "code": "exited", "status": 3, "count": 1}]
    text = record["payload"].partition("\n")[2]
    assert text.startswith("MESSAGE=backup.service: Main process exited, code=exited, status=3\n")


def test_a_signal_has_its_name(place: Place) -> None:
    place.journal.add([exited("a.service", 11, "dumped"), failed("a.service", "core-dump")])
    (record,) = place.read()
    assert fields(record)["ends"][0]["signal"] == "SIGSEGV"


def test_a_unit_that_fails_a_thousand_times_a_minute_is_one_record_that_counts(place: Place) -> None:
    log: list[Any] = []
    for turn in range(1000):
        log += [*failure("flapping.service"), restarted("flapping.service", turn + 1)]
    place.journal.add(log, 20_000 * 59 // 60)
    (record,) = place.read()
    told = fields(record)
    assert (told["failures"], told["restarts"]) == (1000, 1000)
    assert 55_000 < told["lasted_ms"] <= 60_000


def test_flapping_for_hours_is_told_a_few_times(place: Place) -> None:
    for _ in range(40):
        place.journal.add(failure("flapping.service") * 5)
        place.journal.later(120)
    found = [fields(each)["failures"] for each in place.read()]
    assert found == [5, 5, 5]


def test_started_again_it_reads_nothing_twice(place: Place) -> None:
    place.journal.add(failure("one.service"))
    for _ in range(3):
        assert len(place.read()) == 1
    assert place.telemd.account()["received"] == 1
    place.journal.later(60)
    place.journal.add(failure("two.service"))
    assert [fields(each)["unit"] for each in place.read()] == ["one.service", "two.service"]
    assert place.telemd.account()["received"] == 2


def test_what_waits_while_telemd_is_away_comes_when_it_is_back(tmp_path: Path) -> None:
    """More than it holds in memory: the journal holds the rest."""
    journal = Journal(tmp_path / "journal")
    for turn in range(100):
        journal.add(failure(f"unit{turn}.service"))
        journal.later(1)
    journal.later(20)
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root:
        with probing(root, journal, "-t") as probe:
            probe.wait_log("telemd is not running")
            with running(root) as telemd:
                wait_until(lambda: telemd.account()["received"] == 100, "all are sent")
                telemd.wait_delivered()
        assert len({fields(each)["unit"] for each in hub.records()}) == 100


def test_what_telemd_does_not_take_is_left_for_the_next_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.add(failure("one.service"))
    with state_root() as root:
        with probing(root, journal) as probe:
            assert probe.end() == 1
            assert "telemd didn't take all records: 1 left for the next time" in probe.log()
        with running(root) as telemd:
            read_once(root, journal)
            assert telemd.account()["received"] == 1


def test_filters_put_back_take_back_what_waits(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    with state_root() as root:
        lifting = root.opt_in_file.with_name("opt-in-no-privacy-filters")
        lifting.touch()
        journal.add([said("no disk", 2), *failure("one.service")])
        with probing(root, journal, "-t") as probe:
            probe.wait_log("telemd is not running")
            lifting.unlink()
            journal.add_now(failure("two.service"), AGO_S)
            with running(root) as telemd:
                wait_until(lambda: telemd.account()["received"] == 2, "both failures are told")
                wait_until(probe.waits, "and no more")
                assert telemd.account()["received"] == 2


def test_following_tells_what_comes(place: Place) -> None:
    place.journal.add(failure("before.service"))
    with probing(place.root, place.journal, "-t") as probe:
        wait_until(lambda: place.telemd.account()["received"] == 1, "what was there is sent")
        wait_until(probe.waits, "it waits")
        place.journal.add_now(failure("while.service"), AGO_S)
        wait_until(lambda: place.telemd.account()["received"] == 2, "and what came, when it was quiet")
    assert [fields(each)["unit"] for each in place.arrived()] == ["before.service", "while.service"]


def test_lines_before_and_after_as_far_as_privacy_goes(place: Place) -> None:
    unit = "shop@alice.service"
    log: list[Any] = [
        said("the password of alice is 12345", unit=unit),
        {**MANAGER, "UNIT": unit, "MESSAGE": f"Started {unit} - Alice's own shop."},
        {**MANAGER, "UNIT": unit, "MESSAGE": f"{unit}: Killing process 4711 (secretd) with signal SIGKILL."},
        *failure(unit),
        {**MANAGER, "UNIT": unit, "MESSAGE": f"{unit}: Failed to read /home/alice/x: Permission denied"},
        {**MANAGER, "UNIT": unit, "MESSAGE": "Alice's own shop is something else."},
    ]
    place.journal.add(log)
    (record,) = place.read()
    told = fields(record)
    assert told["unit"] == "shop@.service"
    assert [line.partition(" ")[2] for line in told["lines_before"]] == [
        "Started shop@.service",
        "shop@.service: Killing process (number) with signal SIGKILL.",
    ]
    assert [line.partition(" ")[2] for line in told["lines_after"]] == [
        "shop@.service: Failed with result 'exit-code'.",
        "shop@.service: Failed to read (path): Permission denied",
    ]
    for secret in ("alice", "Alice", "secretd", "4711", "12345"):
        assert secret not in record["payload"]


def test_filters_lifted_by_the_owner_tell_the_units_own_lines_and_what_is_urgent(place: Place) -> None:
    place.lift()
    unit = "shop@alice.service"
    place.journal.add([said("about to fail", unit=unit), *failure(unit), said("no disk: 5 errors", 2), said("fine", 5)])
    records = place.read()
    told = {fields(each)["kind"]: fields(each) for each in records}
    assert len(records) == 2
    assert told["unit-failed"]["unit"] == unit
    assert told["unit-failed"]["lines_before"][0].endswith("about to fail")
    urgent = told["message"]
    assert (urgent["priority"], urgent["message"], urgent["comm"]) == (2, "no disk: 5 errors", "talker")
    assert all(each["classification"] == CLASS for each in records)


def test_what_is_urgent_is_nobodys_business_unless_the_owner_says_so(place: Place) -> None:
    place.journal.add([said("no disk", 0), said("no disk", 3)])
    assert place.read() == []


def test_what_speaks_of_one_event_has_its_id(place: Place) -> None:
    """A kill for want of memory, a core, a fault that the kernel logged, a crash that crashprobe reported: the
    process's own event, as everywhere."""
    kernel: dict[str, Any] = {
        "_TRANSPORT": "kernel",
        "SYSLOG_FACILITY": 0,
        "SYSLOG_IDENTIFIER": "kernel",
        "PRIORITY": 6,
    }
    killed = (
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/system.slice,"
        "task_memcg=/system.slice/greedy.service,task=tail,pid=4711,uid=0"
    )
    core: dict[str, Any] = {
        "MESSAGE_ID": "fc2e22bc6ee647b6b90729ab34a250b1", "_TRANSPORT": "journal", "_PID": 99, "COREDUMP_PID": 4712,
        "_SYSTEMD_SLICE": r"system-systemd\x2dcoredump.slice", "COREDUMP_UNIT": "crashing.service",
        "COREDUMP_EXE": "/opt/own/program", "COREDUMP_COMM": "program", "COREDUMP_SIGNAL": 11, "MESSAGE": "dumped",
    }  # fmt: skip
    seen: dict[str, Any] = {
        "_TRANSPORT": "journal", "_UID": os.getuid(), "SYSLOG_IDENTIFIER": "crashprobe", "MESSAGE": "reported",
        "TELEMETRICS_CRASH_UNIT": "quiet.service", "TELEMETRICS_CRASH_PID": 4715,
    }  # fmt: skip
    place.journal.add([
        {**kernel, "SYSLOG_FACILITY": 1, "MESSAGE": killed.replace("4711", "1")},  # from who may write to /dev/kmsg
        {**kernel, "MESSAGE": killed},
        {**exited("greedy.service", 9, "killed")}, failed("greedy.service", "oom-kill"),
        core, exited("crashing.service", 11, "dumped"), failed("crashing.service", "core-dump"),
        {**said("hello", unit="faulty.service"), "_PID": 4713},
        {**kernel, "MESSAGE": "other[4714]: segfault at 0 ip 0 sp 0 error 4"},
        {**kernel, "MESSAGE": "faulty[4713]: segfault at 0 ip 0 sp 0 error 4"},
        exited("faulty.service", 11, "killed"), failed("faulty.service", "signal"),
        seen, exited("quiet.service", 6, "dumped"), failed("quiet.service", "core-dump"),
        {**seen, "TELEMETRICS_CRASH_PID": 1, "_UID": 4711},
    ])  # fmt: skip
    events = {
        (fields(each)["unit"] if "journal" in each["classification"] else "core"): each["event_id"]
        for each in place.read()
    }
    assert events == {
        "greedy.service": eventid.of_crash(place.journal.boot, 4711).hex(),
        "crashing.service": eventid.of_crash(place.journal.boot, 4712).hex(),
        "core": eventid.of_crash(place.journal.boot, 4712).hex(),
        "faulty.service": eventid.of_crash(place.journal.boot, 4713).hex(),
        "quiet.service": eventid.of_crash(place.journal.boot, 4715).hex(),
    }


def test_opted_out_nothing_is_made_or_sent() -> None:
    with state_root(opted_in=False) as root:
        before = root.files()
        done = subprocess.run(
            [BIN / "journalprobe", "-f", root.config_file], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "opt-in" in done.stderr
        assert root.files() == before


def test_what_failed_before_the_owner_opted_in_is_not_told(place: Place) -> None:
    place.journal.add(failure("before.service"))
    place.root.opt_in(place.journal.last_s() + 1)
    assert place.read() == []
    place.journal.add_now(failure("with.service"), AGO_S)
    assert [fields(each)["unit"] for each in place.read()] == ["with.service"]
    place.journal.add(failure("without.service"))
    place.root.opt_in(time.time())
    assert "while the owner had not opted in" in read_once(place.root, place.journal)
    assert [fields(each)["unit"] for each in place.arrived()] == ["with.service"]


def test_opting_out_ends_it(place: Place) -> None:
    place.journal.add([said("hello")])
    with probing(place.root, place.journal, "-t") as probe:
        wait_until(probe.waits, "it waits")
        place.root.opt_out()
        place.journal.add(failure("one.service"))
        assert probe.end() == 0
        assert "opted out" in probe.log()
    assert place.telemd.account()["received"] == 0


def test_help_version_and_mistakes(tmp_path: Path) -> None:
    def said_by(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([BIN / "journalprobe", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
        return done.returncode, done.stdout, done.stderr

    assert said_by("-h")[0] == 0
    assert "journalprobe" in said_by("--help")[1]
    assert said_by("-V")[0] == 0
    assert said_by("--wrong")[0] == 1
    assert said_by("-f", "/no/such/file")[0] == 1
    with state_root() as root:
        code, _, why = said_by("-f", str(root.config_file), "-D", str(tmp_path / "none"))
        assert (code, "can't be opened" in why) == (1, True)
