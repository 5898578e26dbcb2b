# SPDX-License-Identifier: Apache-2.0
"""telemctl spool, why, limits and id, asked of a real telemd: what waits, what became of it, and who the machine is."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import hub_at
from records import record, record_id
from running import BIN, TIMEOUT_S, Root, running, state_root, wait_until
from senders import DURABLE, REFUSED, connected, receive_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "http://127.0.0.1:1/"
EVENT, OTHER = b"org.test/unit/record", b"org.other/unit/record"
UNKNOWN = "f" * 32


@pytest.fixture
def root() -> Iterator[Root]:
    with state_root() as made:
        yield made


def telemctl(root: Root, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / "telemctl"), "-f", str(root.config_file), *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def good(root: Root, *arguments: str) -> str:
    done = telemctl(root, *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def parsed(root: Root, *arguments: str) -> Any:
    return json.loads(good(root, *arguments, "--json"))


def ask(root: Root, request: object) -> dict[str, Any]:
    """One question as bytes, as a program of somebody else's would ask it."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(TIMEOUT_S)
        asking.connect(str(root.control))
        asking.sendall(json.dumps(request).encode() + b"\n")
        with asking.makefile("rb") as answer:
            found: dict[str, Any] = json.loads(answer.readline())
    return found


def hex_id(number: int) -> str:
    return record_id(number).hex()


def sent(root: Root, records: list[bytes]) -> list[int]:
    """The verdicts."""
    found = []
    with connected(root.socket5) as stream:
        for at in range(0, len(records), 50):
            some = records[at : at + 50]
            stream.sendall(b"".join(some))
            answers = [receive_answer(stream) for _ in some]
            found += [answer.verdict for answer in answers if answer is not None]
    assert len(found) == len(records)
    return found


def durable(root: Root, records: list[bytes]) -> None:
    assert set(sent(root, records)) == {DURABLE}


def mixed(count: int, payload: bytes = b"x" * 100) -> list[bytes]:
    return [record(number, payload, (EVENT, OTHER)[number % 2]) for number in range(count)]


# ---- what waits -----------------------------------------------------------------------------------------------------


def test_list_in_pages_oldest_first(root: Root) -> None:
    with running(root):
        durable(root, mixed(250))
        found = parsed(root, "spool", "list", "--limit", "230")
        assert [each["id"] for each in found] == [hex_id(number) for number in range(230)]
        assert {each["lane"] for each in found} == {"event"}
        first = found[1]
        assert (first["classification"], first["severity"], first["before"]) == ("org.other/unit/record", 1, 1)
        assert first["bytes"] == len(record(1, classification=OTHER))
        assert (first["not_before_us"], first["with_courier"], first["uid"]) == (0, False, os.geteuid())
        assert abs(first["admitted_us"] / 1e6 - time.time()) < 3600
        assert len(parsed(root, "spool", "list", "--limit", "1000")) == 250
        assert parsed(root, "spool", "list", "--lane", "vital") == []
        lines = good(root, "spool", "list", "--limit", "2").splitlines()
        assert lines[0].startswith(f"{hex_id(0)} event  low      org.test/unit/record  ")
        assert "--limit" in lines[2]


def test_empty_list(root: Root) -> None:
    with running(root):
        assert parsed(root, "spool", "list") == []
        assert good(root, "spool", "list") == "nothing waits\n"


@pytest.mark.parametrize("limit", ["0", "1001", "-1", "x"])
def test_limit_out_of_range(root: Root, limit: str) -> None:
    assert telemctl(root, "spool", "list", "--limit", limit).returncode == 2


def test_show_escapes_and_keeps_the_payload_for_those_who_ask(root: Root) -> None:
    payload = b"secret \x1b[31m\xff\nline " + b"z" * 65_000
    with running(root):
        durable(root, [*mixed(3), record(7, payload)])
        shown = good(root, "spool", "show", hex_id(7))
        assert "secret" not in shown
        assert "3 of its lane wait before it" in shown
        with_payload = good(root, "spool", "show", "--payload", hex_id(7).upper())
        assert "secret ?[31m\ufffd\nline zzz" in with_payload
        found = parsed(root, "spool", "show", hex_id(7))
        assert "payload_base64" not in found
        assert (found["id"], found["payload_kind"], found["payload_bytes"]) == (hex_id(7), "text", len(payload))


def test_show_of_what_does_not_wait(root: Root) -> None:
    with running(root):
        done = telemctl(root, "spool", "show", UNKNOWN)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"why {UNKNOWN}" in done.stderr


@pytest.mark.parametrize("verb", [("spool", "show"), ("why",)])
@pytest.mark.parametrize("no_id", ["zz", "", "f" * 31, "f" * 33, "\u0663" * 32])
def test_what_is_no_id_is_a_value_that_can_t_be(root: Root, verb: tuple[str, ...], no_id: str) -> None:
    done = telemctl(root, *verb, no_id)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "telemctl: argument ID: expected 32 hex digits, as in `telemctl journal`\n"
        f"try: telemctl help {' '.join(verb)}\n"
    )


def test_a_search_over_many_segments_takes_many_steps_and_finds(root: Root) -> None:
    """Each call is bounded: in 4 MiB and more of segments the last record is not found at once."""
    root.configure(spool_max_size=-1)
    with running(root) as telemd:
        durable(root, mixed(300, b"p" * 60_000))
        at_once = ask(root, {"verb": "why", "id": hex_id(299)})
        assert at_once["fate"] is None and at_once["next"] is not None
        assert parsed(root, "why", hex_id(299))["fate"] == "waiting"
        assert parsed(root, "spool", "show", hex_id(299))["before"] == 299
        assert telemctl(root, "why", UNKNOWN).returncode == 1
        assert parsed(root, "spool", "purge", "--class", "org.other/*") == {"matching": 150, "purged": 0}
        begin = time.monotonic()
        for _ in range(20):
            telemd.ask("ping")
        assert time.monotonic() - begin < TIMEOUT_S


# ---- purge ----------------------------------------------------------------------------------------------------------


def test_purge_tells_first_and_does_it_at_the_word(root: Root) -> None:
    with running(root) as telemd:
        durable(root, mixed(100))
        assert (
            good(root, "spool", "purge", "--class", "org.test/*") == "50 records would be dropped: say --yes to do it\n"
        )
        assert telemd.account()["pending"] == 100
        assert good(root, "spool", "purge", "--class", "org.test/*", "--yes") == "50 records dropped\n"
        account = telemd.account()
        assert (account["purged"], account["pending"]) == (50, 50)
        assert parsed(root, "why", hex_id(0))["fate"] == "purged"
        assert parsed(root, "why", hex_id(1))["fate"] == "waiting"
        assert parsed(root, "spool", "purge", "--lane", "vital", "--yes") == {"matching": 0, "purged": 0}
        assert parsed(root, "spool", "purge", "--all", "--yes") == {"matching": 50, "purged": 50}
        assert telemd.account()["pending"] == 0
        status = parsed(root, "status")
        assert status["account_holds"] is True
        assert "the account adds up" in good(root, "status")


@pytest.mark.parametrize("which", [[], ["--all", "--lane", "event"], ["--lane", "other"]])
def test_purge_wants_to_know_which(root: Root, which: list[str]) -> None:
    assert telemctl(root, "spool", "purge", "--yes", *which).returncode == 2


def test_purge_leaves_to_the_courier_what_it_has(tmp_path: Path) -> None:
    """A server that doesn't answer: what it was given comes back to the spool when the courier gives up."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        with state_root(server=f"http://127.0.0.1:{silent.getsockname()[1]}/") as root, running(root) as telemd:
            durable(root, [record(0)])
            wait_until(lambda: telemd.status()["delivery"]["in_flight"] == 1, "it is being sent")
            durable(root, mixed(10)[1:])
            assert parsed(root, "why", hex_id(0))["fate"] == "with-courier"
            assert ask(root, {"verb": "spool-purge", "lane": "event"})["purged"] == 0
            assert telemd.account()["pending"] == 10
            command = [str(BIN / "telemctl"), "-f", str(root.config_file), "spool", "purge", "--all", "--yes", "--json"]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as purge:
                assert parsed(root, "why", hex_id(0))["fate"] == "with-courier"  # it has asked, too, by now
                silent.close()
                assert json.loads(purge.communicate(timeout=TIMEOUT_S)[0])["purged"] == 10
            account = telemd.account()
            assert (account["purged"], account["delivered"], account["pending"]) == (10, 0, 0)


def test_delivery_goes_on_after_a_purge(tmp_path: Path) -> None:
    with hub_at(tmp_path) as hub, state_root(server=NOWHERE) as root, running(root) as telemd:
        durable(root, mixed(20))
        good(root, "spool", "purge", "--class", "org.test/*", "--yes")
        root.configure(server=hub.url)
        telemd.reload()
        telemd.wait_delivered()
        assert {each["classification"] for each in hub.records()} == {OTHER.decode()}
        assert len(hub.records()) == 10


# ---- why ------------------------------------------------------------------------------------------------------------


def test_why_delivered_rejected_refused_and_unknown(tmp_path: Path) -> None:
    far = 6 * 10**15  # created in the year 2213, which the hub doesn't believe
    with hub_at(tmp_path) as hub, state_root(server=hub.url) as root, running(root) as telemd:
        durable(root, [record(1), record(far), record(2)])
        assert sent(root, [record(3, severity=9)]) == [REFUSED]
        telemd.wait_delivered()
        found = parsed(root, "why", hex_id(1))
        assert found["fate"] == "delivered" and abs(found["when_us"] / 1e6 - time.time()) < 3600
        assert good(root, "why", hex_id(2)).startswith("delivered, and the server has it; ")
        rejected = parsed(root, "why", hex_id(far))
        assert (rejected["fate"], rejected["reason"]) == ("rejected", "invalid")
        refused = parsed(root, "why", hex_id(3))
        assert (refused["fate"], refused["reason"]) == ("refused", "severity")
        done = telemctl(root, "why", UNKNOWN)
        assert done.returncode == 1
        assert "isn't among the last 10,000" in done.stdout


def test_why_deferred() -> None:
    with state_root(rate_limit_enabled=True, record_burst_limit=5) as root, running(root):
        durable(root, mixed(8))
        assert "deferred by a rate limit until" in good(root, "why", hex_id(7))
        found = parsed(root, "why", hex_id(7))["record"]
        assert (found["before"], found["lane"]) == (7, "event")
        assert 0 < found["not_before_us"] / 1e6 - time.time() < 3600
        assert "not before" in good(root, "spool", "list")
        limits = parsed(root, "limits")
        assert limits["lanes"]["event"]["records"] == {"used": 5, "limit": 5, "minutes": 15}
        assert limits["strategy"] == "spool"
        shown = good(root, "limits")
        assert "event     records  5 of 5 in 15 min (100%)" in shown
        assert "what comes now waits for" in shown


def test_why_evicted() -> None:
    with state_root(spool_max_size=1024) as root, running(root) as telemd:
        durable(root, [record(number, b"p" * 60_000) for number in range(40)])
        assert telemd.account()["evicted"] > 0
        found = [parsed(root, "why", hex_id(number))["fate"] for number in (1, 39)]
        assert found == ["evicted", "waiting"]
        assert parsed(root, "why", hex_id(0))["fate"] == "waiting"  # the first of its kind was carried


def test_limits_that_are_off(root: Root) -> None:
    with running(root):
        assert good(root, "limits") == "There are no rate limits: rate_limit_enabled is off\n"


# ---- the socket itself ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        {"verb": "spool-list"},
        {"verb": "spool-list", "lane": "event", "limit": 101},
        {"verb": "spool-list", "lane": "event", "secret": 1},
        {"verb": "spool-purge", "lane": "event", "class": 7},
        {"verb": "spool-purge", "lane": "event", "until": -1},
        {"verb": "why", "id": "x"},
        {"verb": "why", "id": UNKNOWN, "from": [0, 0, 0]},
        {"verb": "status", "lane": "event"},
        {"verb": "stop", "really": True},
        {"verb": ["status"]},
        {"verb": "purge"},
        ["status"],
        7,
        None,
    ],
)
def test_what_makes_no_sense_is_refused_in_words(root: Root, request_: object) -> None:
    with running(root) as telemd:
        durable(root, mixed(5))
        found = ask(root, request_)
        assert found["ok"] is False
        assert found["message"] and "secret" not in found["message"]
        assert telemd.account()["pending"] == 5


def test_nothing_is_known_without_an_opt_in() -> None:
    with state_root(opted_in=False) as root, running(root):
        for words in (["spool", "list"], ["spool", "purge", "--all", "--yes"], ["why", UNKNOWN], ["id", "rotate"]):
            done = telemctl(root, *words)
            assert done.returncode == 1
            assert "not opted in" in done.stderr
        done = telemctl(root, "id", "show")
        assert done.returncode == 1 and "no id yet" in done.stderr


def test_nobody_to_ask(root: Root) -> None:
    for words in (["spool", "list"], ["limits"], ["send-now"], ["tail"], ["top"], ["id", "rotate"]):
        done = telemctl(root, *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "not running" in done.stderr and "start" in done.stderr


# ---- who the machine is ---------------------------------------------------------------------------------------------


def test_id_is_rotated_at_once_and_the_past_ones_stay_nameable(tmp_path: Path) -> None:
    with hub_at(tmp_path) as hub, state_root(server=NOWHERE) as root:
        with running(root) as telemd:
            durable(root, [record(1)])
            first = parsed(root, "id", "show")
            assert first["static"] is False and first["past"] == [] and first["valid_until_s"] > time.time()
            rotated = parsed(root, "id", "rotate")
            assert rotated["before"] == first["machine_id"] != rotated["machine_id"]
            assert telemd.status()["machine_id"] == rotated["machine_id"]
            durable(root, [record(2)])
            shown = parsed(root, "id", "show", "--past", "3")
            assert shown["machine_id"] == rotated["machine_id"]
            assert shown["past"][0] == first["machine_id"] and len(set(shown["past"])) == 3
            root.configure(server=hub.url)
            telemd.reload()
            telemd.wait_delivered()
            ids = {each["id"]: each["machine_id"] for each in hub.records()}
            assert ids == {hex_id(1): first["machine_id"], hex_id(2): rotated["machine_id"]}
        assert parsed(root, "id", "show", "--past", "1")["past"] == [first["machine_id"]]
        with running(root) as telemd:
            assert telemd.status()["machine_id"] == rotated["machine_id"]


def test_lasting_id(root: Root) -> None:
    (root.path / "etc/telemetrics/opt-in-static-machine-id").write_text("ab" * 16)
    with running(root) as telemd:
        assert telemd.status()["machine_id"] == "ab" * 16
        assert good(root, "id", "show").startswith("ab" * 16 + "  lasting")
        done = telemctl(root, "id", "rotate")
        assert done.returncode == 1 and "remove" in done.stderr


# ---- journal and copies ---------------------------------------------------------------------------------------------


def journal(root: Root, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = parsed(root, "journal", *arguments)
    return found


def copies(root: Root) -> set[str]:
    with contextlib.suppress(FileNotFoundError):
        return set(os.listdir(root.path / "var/log/telemetry/records"))
    return set()


def test_journal_and_copies_while_delivery_is_on(tmp_path: Path) -> None:
    payload = b"line one\nline two"
    with hub_at(tmp_path) as hub, state_root(server=hub.url, record_retention_enabled=True) as root:
        with running(root) as telemd:
            durable(root, [record(1, payload), record(2, b"other", OTHER)])
            telemd.wait_delivered()
            wait_until(lambda: len(copies(root)) == 2, "copies are kept")
            (found,) = journal(root, "-i", "-c", "org.test/*")
            assert found["record_id"] == hex_id(1)
            lines = found["record"].split("\n", 15)
            assert lines[:3] == ["record_format_version: 4", "classification: org.test/unit/record", "severity: 1"]
            assert lines[3] == f"machine_id: {telemd.status()['machine_id']}"
            assert lines[4] == "creation_timestamp: 1700000000"
            assert lines[5] == f"arch: {os.uname().machine}"
            assert lines[14] == f"event_id: {bytes(range(16)).hex()}"
            assert lines[15] == payload.decode()
            assert [each["record_id"] for each in journal(root, "-r", hex_id(2))] == [hex_id(2)]
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            assert len(journal(root, "-b", boot, "-e", bytes(range(16)).hex())) == 2
            assert journal(root, "-b", "0" * 32) == []
            copy = root.path / "var/log/telemetry/records" / hex_id(1)
            assert stat.S_IMODE(copy.stat().st_mode) & 0o027 == 0
        assert telemctl(root, "opt-out").returncode == 0
        assert copies(root) == set()


def test_copies_are_cut_with_the_journal(root: Root) -> None:
    root.configure(record_retention_enabled=True)
    with running(root) as telemd:
        durable(root, mixed(400))
        last = hex_id(399)
        wait_until(lambda: last in {each["record_id"] for each in journal(root)} and last in copies(root), "it is kept")
        listed = {each["record_id"] for each in journal(root)}
        wait_until(lambda: copies(root) <= listed, "older ones are gone")
        assert 100 <= len(listed) <= 150
        assert {hex_id(number) for number in range(300, 400)} <= copies(root)
        root.configure()
        telemd.reload()
        wait_until(lambda: "read again" in telemd.log(), "the configuration is in force")
        durable(root, [record(number) for number in range(1000, 1400)])
        wait_until(lambda: not copies(root), "none is kept any more")


def test_nothing_is_kept_unasked(root: Root) -> None:
    with running(root):
        durable(root, mixed(3))
        wait_until(lambda: len(journal(root)) == 3, "the journal is written")
        assert copies(root) == set()
        assert "record_retention_enabled is off" in good(root, "journal", "-i")
