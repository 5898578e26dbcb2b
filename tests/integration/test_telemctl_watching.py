# SPDX-License-Identifier: Apache-2.0
"""telemctl tail, top, selftest and send-now with the real telemd, courier and hub; and servers that are none."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hubprocess import hub_at
from machine import BIN, TIMEOUT_S, Machine, run
from running import wait_until

from telemd.ctl.selftest import CLASS, STATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def machine(machine: Machine) -> Machine:
    """Opted in."""
    machine.good("opt-in")
    return machine


@pytest.fixture
def running(machine: Machine) -> Machine:
    machine.good("start")
    return machine


def configure(machine: Machine, *lines: str) -> None:
    text = "\n".join(["[settings]", f'state_root = "{machine.root.path}"', *lines, ""])
    machine.root.config_file.write_text(text)


def generate(machine: Machine, name: str, payload: str = "x") -> None:
    done = run("telem-record-gen", "-f", str(machine.root.config_file), "-c", name, "-p", payload)
    assert done.returncode == 0, done


@contextlib.contextmanager
def started(machine: Machine, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """telemctl, while it runs."""
    command = [str(BIN / "telemctl"), "-f", str(machine.root.config_file), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def sending(machine: Machine, process: subprocess.Popen[str], *more: tuple[str, str]) -> str:
    """Send until the process has seen enough and ends well; what it printed."""
    end_s = time.monotonic() + TIMEOUT_S
    while process.poll() is None:
        assert time.monotonic() < end_s, "it has not seen what was sent"
        for name, payload in more:
            generate(machine, name, payload)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err) == (0, ""), (out, err)
    return out


def prints(machine: Machine, process: subprocess.Popen[str]) -> bool:
    """It has printed something; one more record is sent."""
    generate(machine, "a/b/c")
    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0)[0])


def test_control_verbs_are_those_of_the_protocol(running: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(running.settings.control_socket_path)
        asking.sendall(b'{"verb": "?"}\n')
        message = json.loads(asking.makefile("rb").readline())["message"]
    known = set(message.partition("known are ")[2].split(", "))
    section = (ROOT / "docs/protocol.md").read_text().partition("\n## 7. Control")[2].partition("\n## 8.")[0]
    assert known == set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))


# ---- tail -----------------------------------------------------------------------------------------------------------


def test_tail_shows_records_and_no_payload(running: Machine) -> None:
    with started(running, "tail", "-n", "2", "-c", "a/b/*") as process:
        shown = sending(running, process, ("x/y/z", "secret"), ("a/b/c", "secret"))
    assert shown.count("\n") == 2
    assert all("durable" in line and line.endswith("a/b/c") for line in shown.splitlines())
    assert "secret" not in shown


def test_tail_with_payload_as_json(running: Machine) -> None:
    with started(running, "tail", "-n", "1", "--payload", "--json") as process:
        found = json.loads(sending(running, process, ("a/b/c", "hello")))
    assert (found["classification"], found["payload_base64"], found["verdict"]) == ("a/b/c", "aGVsbG8=", "durable")
    assert found["uid"] == os.geteuid()
    assert running.good("why", found["id"]).startswith("waiting in lane event")


def test_payload_is_for_those_alone_who_ask_for_it(running: Machine) -> None:
    with started(running, "tail", "--payload") as greedy, started(running, "tail", "-n", "1", "--json") as modest:
        found = sending(running, modest, ("a/b/c", "secret"))
        greedy.kill()
    assert "payload_base64" not in json.loads(found)


def test_tail_that_stands_still_holds_up_nobody_and_is_told_what_it_missed(running: Machine) -> None:
    with started(running, "tail", "--json") as process:
        assert process.stdout is not None
        wait_until(lambda: prints(running, process), "a line")
        process.send_signal(signal.SIGSTOP)
        before = running.status()["telemd"]["accounting"]["received"]
        # 1,000 are kept for it.
        burst(running, 3000)
        assert running.status()["telemd"]["accounting"]["received"] == before + 3000
        process.send_signal(signal.SIGCONT)
        lost = next(found for found in map(json.loads, process.stdout) if "lost" in found)
    assert lost["message"]


def burst(machine: Machine, count: int) -> None:
    import libtelemetry

    libtelemetry.set_config_file(str(machine.root.config_file))
    with libtelemetry.Client(TIMEOUT_S) as client:
        for _ in range(0, count, 1000):
            acks = client.send_many(libtelemetry.Record("a/b/c", "x") for _ in range(1000))
            assert len(acks) == 1000


def test_watch_ends_when_nobody_looks(running: Machine) -> None:
    def asked(verb: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(running.settings.control_socket_path)
            asking.sendall(json.dumps({"verb": verb}).encode() + b"\n")
            answer: dict[str, Any] = json.loads(asking.makefile("rb").readline())
        return answer

    first = asked("top")
    assert asked("tail")["since_us"] == first["since_us"]
    begun_s = time.monotonic()
    # Asking keeps it alive, so that it is asked once, later than its end.
    wait_until(lambda: time.monotonic() > begun_s + 6, "more than WATCH_MS has gone by")
    assert asked("top")["since_us"] > first["since_us"]


WATCHING = pytest.mark.parametrize("words", [["tail"], ["top", "-i", "0.2"]], ids=["tail", "top"])


@WATCHING
def test_watching_ends_with_telemd(running: Machine, words: list[str]) -> None:
    with started(running, *words, "--json") as process:
        assert process.stdout is not None
        wait_until(lambda: prints(running, process), "it has begun")
        running.good("stop")
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 1
    assert err == f"telemctl: telemd is not running: {running.command('start')}\n"


@WATCHING
def test_ctrl_c_is_a_good_end(running: Machine, words: list[str]) -> None:
    with started(running, *words, "--json") as process:
        assert process.stdout is not None
        wait_until(lambda: prints(running, process), "it has begun")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, err.strip()) == (0, "")


# ---- top ------------------------------------------------------------------------------------------------------------


def test_top_adds_up_by_class_and_user(running: Machine) -> None:
    with started(running, "top", "--json", "-i", "0.2") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["sums"] == []
        for name in ("a/b/c", "a/b/c", "x/y/z"):
            generate(running, name)
        sums: dict[str, Any] = {}
        while sum(each["records"] for each in sums.values()) < 3:
            sums = {each["classification"]: each for each in json.loads(process.stdout.readline())["sums"]}
    assert {name: each["records"] for name, each in sums.items()} == {"a/b/c": 2, "x/y/z": 1}
    assert {each["uid"] for each in sums.values()} == {os.geteuid()}


def test_top_once_is_one_page_without_anything_a_terminal_obeys(running: Machine) -> None:
    page = running.good("top", "--once", "-i", "0.1")
    assert "CLASS" in page and "nothing has come yet" in page
    assert "\x1b" not in page


def test_top_leaves_the_terminal_as_it_was(running: Machine) -> None:
    ours, theirs = pty.openpty()
    command = [str(BIN / "telemctl"), "-f", str(running.root.config_file), "top", "-i", "0.1"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""

        def drawn() -> bool:
            nonlocal shown
            if select.select([ours], [], [], 0)[0]:
                shown += os.read(ours, 65_536)
            return shown.count(b"\x1b[H") >= 2

        wait_until(drawn, "two pages")
        os.write(ours, b"q")

        def gone() -> bool:
            with contextlib.suppress(OSError):
                drawn()
            return process.poll() is not None

        wait_until(gone, "q ends it")
        with contextlib.suppress(OSError):
            while select.select([ours], [], [], 0)[0]:
                shown += os.read(ours, 65_536)
    os.close(ours)
    assert process.returncode == 0
    assert shown.startswith(b"\x1b[?1049h\x1b[?25l")
    assert shown.endswith(b"\x1b[?25h\x1b[?1049l")
    assert b"nothing has come yet" in shown


# ---- selftest -------------------------------------------------------------------------------------------------------


def stations(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found = json.loads(done.stdout)
    assert found["ok"] == (done.returncode == 0)
    return {each["name"]: each for each in found["stations"]}


def test_selftest_follows_a_record_to_the_hub(machine: Machine, tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub") as hub:
        configure(machine, f'server = "{hub.url}/"')
        machine.good("start")
        page = machine.good("selftest")
        assert [line.split()[0] for line in page.splitlines()] == [*STATIONS, "all"]
        assert f"the hub at {hub.url}/ has stored it" in page
        done = machine.telemctl("selftest", "--json")
        found = stations(done)
        assert tuple(found) == STATIONS
        times = [each["ms"] for each in found.values()]
        assert times == sorted(times)
        ids = {record["id"] for record in hub.records() if record["classification"] == CLASS}
        assert json.loads(done.stdout)["id"] in ids
        assert len(ids) == 2
        machine.good("stop")


def test_selftest_where_nobody_listens(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    configure(machine, f'server = "http://127.0.0.1:{port}/"')
    machine.good("start")
    done = machine.telemctl("selftest", "--json")
    found = stations(done)
    assert done.returncode == 1
    last = list(found.values())[-1]
    assert not last["ok"]
    assert last["name"] in ("courier", "answered")
    assert "nothing listens" in last["text"]
    shown = machine.telemctl("selftest")
    assert "FAILED" in shown.stdout
    assert "the selftest failed at the station" in shown.stderr


def test_selftest_of_a_server_that_never_answers_has_an_end(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        configure(machine, f'server = "http://127.0.0.1:{listener.getsockname()[1]}/"')
        machine.good("start")
        found = stations(machine.telemctl("selftest", "--wait", "5", "--json"))
        machine.good("stop")
    assert list(found) == ["sent", "durable", "courier", "answered"]
    assert "nothing came within 5 s" in found["answered"]["text"]
    assert machine.command("status") in found["answered"]["text"]


def test_selftest_without_a_server_or_with_delivery_off(running: Machine) -> None:
    found = stations(running.telemctl("selftest", "--json"))
    assert (found["durable"]["ok"], found["courier"]["ok"]) == (True, False)
    assert "no server is named" in found["courier"]["text"]
    configure(running, 'server = "http://127.0.0.1:9/"', "record_server_delivery_enabled = false")
    running.good("restart")
    found = stations(running.telemctl("selftest", "--json"))
    assert "record_server_delivery_enabled is off" in found["courier"]["text"]


def test_selftest_that_is_deferred_by_a_limit(machine: Machine, tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub") as hub:
        configure(machine, f'server = "{hub.url}/"', "record_burst_limit = 1", 'rate_limit_strategy = "spool"')
        machine.good("start")
        machine.good("selftest")
        found = stations(machine.telemctl("selftest", "--json"))
        machine.good("stop")
    assert "a rate limit defers it" in found["courier"]["text"]
    assert machine.command("limits") in found["courier"]["text"]


def test_selftest_without_telemd(machine: Machine) -> None:
    found = stations(machine.telemctl("selftest", "--json"))
    assert list(found) == ["sent"]
    assert machine.command("start") in found["sent"]["text"]


def answering(status: bytes) -> tuple[socket.socket, threading.Thread]:
    """A server of one answer."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                stream, _ = listener.accept()
                with stream:
                    stream.settimeout(TIMEOUT_S)
                    stream.recv(65_536)
                    stream.sendall(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    return listener, thread


@pytest.fixture
def forbidding() -> Iterator[int]:
    listener, thread = answering(b"403 Forbidden")
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(TIMEOUT_S)
    assert not thread.is_alive()


def test_selftest_of_a_server_that_forbids(machine: Machine, forbidding: int) -> None:
    configure(machine, f'server = "http://127.0.0.1:{forbidding}/"')
    machine.good("start")
    found = stations(machine.telemctl("selftest", "--json"))
    assert list(found) == ["sent", "durable", "courier", "answered"]
    assert "403" in found["answered"]["text"]
    machine.good("stop")


# ---- send-now -------------------------------------------------------------------------------------------------------


def test_send_now_overrides_the_backoff(machine: Machine, tmp_path: Path) -> None:
    """While the hub is away delivery waits longer and longer; when it is back nobody has to wait for that."""
    with hub_at(tmp_path / "hub") as hub:
        port = hub.port
    configure(machine, f'server = "http://127.0.0.1:{port}/"')
    machine.good("start")
    for _ in range(3):
        machine.send()
    done = machine.telemctl("send-now")
    assert (done.returncode, done.stdout) == (1, "")
    assert "3 records waited, 0 delivered, 3 left" in done.stderr
    assert "nothing listens" in done.stderr
    failures = [machine.telemctl("send-now").returncode for _ in range(4)]
    assert failures == [1] * 4
    with hub_at(tmp_path / "hub", "--listen", f"127.0.0.1:{port}") as hub:
        found = json.loads(machine.good("send-now", "--json"))
        assert (found["ok"], found["waited"], found["delivered"], found["left"]) == (True, 3, 3, 0)
        assert len(hub.records()) == 3
        assert machine.good("send-now") == "nothing waits\n"
        machine.good("stop")


def test_send_now_without_a_server(running: Machine) -> None:
    running.send()
    done = running.telemctl("send-now")
    assert done.returncode == 1
    assert "no server is named" in done.stderr


def test_send_now_says_what_a_limit_keeps_back(machine: Machine, tmp_path: Path) -> None:
    with hub_at(tmp_path / "hub") as hub:
        configure(machine, f'server = "{hub.url}/"', "record_burst_limit = 2", 'rate_limit_strategy = "spool"')
        machine.good("start")
        for _ in range(3):
            machine.send()
        wait_until(lambda: len(hub.records()) == 2, "what may be sent is")
        shown = machine.good("send-now")
        assert "1 record waited, 0 delivered, 1 left" in shown
        assert "deferred by a rate limit for" in shown
        machine.good("stop")


# ---- why, without telemd --------------------------------------------------------------------------------------------


def test_why_looks_on_disk_while_telemd_is_stopped(machine: Machine, tmp_path: Path) -> None:
    def newest() -> str:
        return str(json.loads(machine.good("journal", "--json"))[-1]["record_id"])

    with hub_at(tmp_path / "hub") as hub:
        configure(machine, f'server = "{hub.url}/"')
        machine.good("start")
        machine.send()
        wait_until(lambda: machine.status()["telemd"]["accounting"]["pending"] == 0, "it is delivered")
        delivered = newest()
        machine.good("stop")
    configure(machine)
    machine.good("start")
    machine.send()
    waiting = newest()
    machine.good("stop")
    assert machine.good("why", waiting).startswith("waiting on disk in lane event, accepted ")
    assert json.loads(machine.good("why", waiting, "--json"))["fate"] == "waiting-on-disk"
    assert "delivered or dropped" in machine.good("why", delivered)
    unknown = machine.telemctl("why", "0" * 32)
    assert unknown.returncode == 1
    assert "telemd is not running" in unknown.stdout
