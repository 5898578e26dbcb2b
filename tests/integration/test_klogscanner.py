# SPDX-License-Identifier: Apache-2.0
"""klogscanner as installed: a kernel's log in, records at a real hub, nothing twice and nothing missed."""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import HubProcess, hub_at
from kernelsource import Scanner, records_of, scanning
from running import BIN, TIMEOUT_S, Root, Telemd, running, state_root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

STATE = "var/lib/telemetry-kernel"


def fields(record: dict[str, Any]) -> dict[str, Any]:
    """The JSON line of a payload."""
    found: dict[str, Any] = json.loads(record["payload"].partition("\n")[0])
    return found


class Place:
    """A machine with a hub."""

    def __init__(self, root: Root, telemd: Telemd, hub: HubProcess) -> None:
        self.root = root
        self.telemd = telemd
        self.hub = hub

    def arrived(self) -> list[dict[str, Any]]:
        """All kernel records at the hub, once nothing waits any more."""
        self.telemd.wait_delivered()
        found = self.hub.records(machine=self.telemd.status()["machine_id"])
        return [each for each in found if each["classification"].startswith("org.clearlinux/kernel/")]


@pytest.fixture
def place(shared_hub: HubProcess) -> Iterator[Place]:
    with state_root(server=shared_hub.url) as root:
        root.name(os.urandom(16).hex())  # one of its own on a hub that others share, and it doesn't change meanwhile
        with running(root) as telemd:
            yield Place(root, telemd, shared_hub)


def cursor(root: Root) -> int:
    path = root.path / STATE / "cursor"
    return int(path.read_text().split()[1]) if path.exists() else 0


def test_report_arrives_as_it_was_said(place: Place) -> None:
    records = records_of("debian-6.1-null")
    with scanning(place.root, records) as scanner:
        wait_until(lambda: place.telemd.account()["received"] == 1, "telemd has the report")
        assert scanner.end() == 0
    (record,) = place.arrived()
    assert record["classification"] == "org.clearlinux/kernel/bug"
    assert (record["severity"], record["payload_version"]) == (4, 2)
    told = fields(record)
    assert told["kind"] == "null-pointer"
    assert told["trace"][0].startswith("written+0x")
    assert told["registers"]["RAX"] == "Zero"
    assert (
        record["payload"].partition("\n")[2].startswith("Crash Report:\nReason: BUG: kernel NULL pointer dereference")
    )
    assert cursor(place.root) == len(records)


def test_filters_lifted_by_the_owner_tell_the_registers(place: Place) -> None:
    place.root.opt_in_file.with_name("opt-in-no-privacy-filters").touch()
    with scanning(place.root, records_of("debian-6.1-null")) as scanner:
        assert scanner.end() == 0
    (record,) = place.arrived()
    assert len(fields(record)["registers"]["RSP"]) == 16


def test_only_the_kernel_itself_is_believed(place: Place) -> None:
    """Who may write to /dev/kmsg gets another facility."""
    forged = [b"12,%d,%d,-;%s\n" % (n, n * 10, b"BUG: unable to handle page fault for address: 0") for n in range(50)]
    with scanning(place.root, forged) as scanner:
        assert scanner.end() == 0
    assert place.arrived() == []


def test_started_again_it_reads_nothing_twice(place: Place) -> None:
    records = records_of("debian-6.1-warn")
    for _ in range(3):
        with scanning(place.root, records) as scanner:
            assert scanner.end() == 0
    assert place.telemd.account()["received"] == 1
    more = records_of("debian-6.1-gpf", len(records))
    with scanning(place.root, records + more) as scanner:
        assert scanner.end() == 0
    assert sorted(fields(each)["kind"] for each in place.arrived()) == ["general-protection", "warning"]


@pytest.mark.parametrize("damage", [b"", b"\0" * 4096, b"x y z", b"- 99999999999999999999999 end\n", b"boot 5"])
def test_damaged_cursor_brings_nothing_twice_to_the_hub(place: Place, damage: bytes) -> None:
    records = records_of("debian-6.1-warn")
    with scanning(place.root, records) as scanner:
        assert scanner.end() == 0
    (place.root.path / STATE / "cursor").write_bytes(damage)
    with scanning(place.root, records) as scanner:
        assert scanner.end() == 0
    assert len(place.arrived()) == 1


def test_damaged_secret_is_made_anew(place: Place) -> None:
    (place.root.path / STATE).mkdir(parents=True)
    (place.root.path / STATE / "secret").write_bytes(b"short")
    with scanning(place.root, records_of("debian-6.1-warn")) as scanner:
        assert scanner.end() == 0
    assert len((place.root.path / STATE / "secret").read_bytes()) == 32
    assert (place.root.path / STATE / "secret").stat().st_mode & 0o777 == 0o600


def test_killed_twenty_times_nothing_is_twice_and_nothing_missing(place: Place) -> None:
    """At any moment, also between telemd's answer and the cursor: telemd's count goes up before the cursor does."""
    names = ["warn", "message", "null", "page", "gpf", "divide", "ud2", "bug", "refcount", "vfree"]
    log: list[bytes] = []
    for name in names:
        log += records_of(f"debian-6.1-{name}", len(log))
    chance = random.Random(20)
    for turn in range(20):
        scanner = Scanner(place.root, log[: len(log) * (turn + 1) // 20])
        if turn % 2:
            before = cursor(place.root)
            received = place.telemd.account()["received"]
            wait_until(
                lambda before=before, received=received, scanner=scanner: (  # type: ignore[misc]
                    place.telemd.account()["received"] > received or cursor(place.root) > before or not waits(scanner)
                ),
                "something happened",
            )
        else:
            wait_until(lambda scanner=scanner: waits(scanner) or chance.random() < 0.05, "a moment")  # type: ignore[misc]
        scanner.kill()
        assert "Traceback" not in scanner.log()
    with scanning(place.root, log) as last:
        assert last.end() == 0
    found = place.arrived()
    assert len(found) == len({each["id"] for each in found})
    kinds = sorted(fields(each)["at"].partition("+")[0] for each in found)
    expected = ["__vunmap", "provoke_bug", "provoke_divide", "provoke_gpf", "provoke_message", "provoke_null"]
    assert kinds == [*expected, "provoke_page", "provoke_ud2", "provoke_warn", "refcount_warn_saturate"]


def waits(scanner: Scanner) -> bool:
    """Has it read all there is, or ended?"""
    try:
        return "poll" in Path(f"/proc/{scanner.process.pid}/wchan").read_text()
    except OSError:
        return True


def test_killed_between_answer_and_cursor_twenty_times(tmp_path: Path) -> None:
    """The cursor can't be written at all: each start sends the report again, with the same id."""
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root, running(root) as telemd:
        records = records_of("debian-6.1-bug")
        (root.path / STATE).mkdir(parents=True)
        (root.path / STATE / "cursor").mkdir()  # nothing can be renamed to it
        for turn in range(20):
            scanner = Scanner(root, records)
            wait_until(lambda turn=turn: telemd.account()["received"] > turn, "telemd has it")  # type: ignore[misc]
            scanner.kill()
        account = telemd.wait_delivered()
        assert account["received"] == 20
        assert len(hub.records()) == 1


def test_what_waits_while_telemd_is_away_comes_when_it_is_back(tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub") as hub, state_root(server=hub.url) as root:
        with scanning(root, records_of("debian-6.1-warn")) as scanner:
            scanner.wait_log("telemd is not running")
            assert cursor(root) == 0
            with running(root) as telemd:
                wait_until(lambda: telemd.account()["received"] == 1, "it is tried again")
                telemd.wait_delivered()
                wait_until(lambda: cursor(root) > 0, "the cursor moves")
        assert len(hub.records()) == 1


def test_a_flood_of_one_fault_is_counted(place: Place) -> None:
    log: list[bytes] = []
    for _ in range(300):
        log += records_of("debian-6.1-io", len(log))
    log += records_of("debian-6.1-divide", len(log))
    with scanning(place.root, log) as scanner:
        assert scanner.end() == 0
    kinds = [fields(each)["kind"] for each in place.arrived()]
    assert kinds.count("divide-error") == 1
    assert 2 <= kinds.count("io-error") <= 6


def test_overwritten_records_are_counted(place: Place) -> None:
    records = records_of("debian-6.1-warn")
    with scanning(place.root, [records[0], *records_of("debian-6.1-bug", 5000)]) as scanner:
        assert scanner.end() == 0
        assert "4999 records of the log were overwritten" in scanner.log()


def test_a_line_cut_anywhere_and_binary_ends_nothing(place: Place) -> None:
    chance = random.Random(4)
    log = [chance.randbytes(chance.randrange(1, 300)) for _ in range(500)]
    log += [record[: chance.randrange(1, len(record))] for record in records_of("debian-6.1-list", 1)]
    log += records_of("debian-6.1-divide", 1000)
    with scanning(place.root, log) as scanner:
        assert scanner.end() == 0
    assert "divide-error" in [fields(each)["kind"] for each in place.arrived()]


def test_opted_out_nothing_is_made_or_sent() -> None:
    with state_root(opted_in=False) as root:
        before = root.files()
        done = subprocess.run(
            [BIN / "klogscanner", "-f", root.config_file, "-k", "0"], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert "opt-in" in done.stderr
        assert root.files() == before


def test_opting_out_ends_it(place: Place) -> None:
    with scanning(place.root) as scanner:
        wait_until(lambda: waits(scanner), "it waits for the first line")
        place.root.opt_out()
        scanner.feed(records_of("debian-6.1-warn"))
        assert scanner.process.wait(TIMEOUT_S) == 0
        assert "opted out" in scanner.log()
    assert place.telemd.account()["received"] == 0


def test_this_machines_own_log(place: Place) -> None:
    """All of /dev/kmsg is read and then waited for more, without working."""
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        pytest.skip(f"/dev/kmsg can't be read here ({error.strerror}): run it as root")
    log = place.root.path / "own.log"
    with log.open("wb") as said:
        process = subprocess.Popen([BIN / "klogscanner", "-f", place.root.config_file], stderr=said)
    try:
        wait_until(lambda: b"poll" in Path(f"/proc/{process.pid}/wchan").read_bytes(), "it waits for more")
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait(TIMEOUT_S)
    assert log.read_bytes() == b""
    (rss_kib,) = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")]
    assert rss_kib <= 16 * 1024


def test_saved_log_is_read_to_its_end(place: Place, tmp_path: Path) -> None:
    saved = tmp_path / "kmsg"
    saved.write_bytes(b"".join(records_of("debian-6.1-two-processors")))
    command: list[str | Path] = [BIN / "klogscanner", "-f", place.root.config_file, "-k", saved]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(fields(each)["comm"] for each in place.arrived()) == ["first", "second"]
    assert not (place.root.path / STATE / "cursor").exists()


def test_a_log_that_isnt_there_is_none_that_root_could_read(place: Place) -> None:
    command: list[str | Path] = [BIN / "klogscanner", "-f", place.root.config_file, "-k", "/no/such/log"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 1
    assert done.stderr == "klogscanner: /no/such/log can't be read (No such file or directory)\n"


@pytest.mark.parametrize("program", ["klogscanner", "pstoreprobe", "pstoreclean"])
def test_help_version_and_mistakes(program: str) -> None:
    def said(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, timeout=TIMEOUT_S)
        return done.returncode, done.stdout, done.stderr

    assert said("-h")[0] == 0
    assert program in said("--help")[1]
    assert said("-V")[0] == 0
    assert said("--wrong")[0] == 1
    assert said("-f", "/no/such/file")[0] == 1
