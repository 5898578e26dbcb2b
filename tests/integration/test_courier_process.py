# SPDX-License-Identifier: Apache-2.0
"""telemd.courier as a process: how it comes and goes, what it says, and how much memory it takes."""

from __future__ import annotations

import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from courierpeer import DELIVERED, RETRY, TIMEOUT_S, courier, hasty, memory_kb, record
from httppeer import Request, accept, reply, serving
from notices import Notices
from records import record as metrics

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


BATCH_S = 25.0
"""What the courier has for a batch, and would wait for an answer."""


def test_it_is_ready_for_systemd_on_descriptor_3() -> None:
    program = (
        "import os, sys; fd = int(sys.argv[2]); os.dup2(fd, 3); fd == 3 or os.close(fd); "
        "from telemd.courier import main; sys.exit(main(['telemd-courier']))"
    )
    with serving() as hub, courier(program=program) as one:
        assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]
        assert one.leave()[0] == 0


def test_it_leaves_at_the_end_of_the_stream_before_the_http_stack_is_there() -> None:
    program = (
        "import sys; from telemd.courier import main; status = main(['telemd-courier', *sys.argv[1:]]); "
        "print('requests' in sys.modules, file=sys.stderr); sys.exit(status)"
    )
    with courier(program=program) as one:
        assert one.leave() == (0, "False\n")


def test_batches_that_queue_behind_a_slow_one_are_answered_in_their_own_time() -> None:
    def script(request: Request, stream: socket.socket) -> bytes | None:
        if len(hub.requests) > 1:
            return accept(request, stream)
        stream.recv(1)
        return None

    with serving(script) as hub, courier(program=hasty(3.0)) as one:
        began_s = time.monotonic()
        for _ in range(3):
            one.send([record(1), record(2)], hub.url)
        for batch_id in (1, 2, 3):
            one.batch_id = batch_id
            assert one.answer().verdicts == [RETRY] * 2
        assert time.monotonic() - began_s > 2
        assert len(hub.requests) == 1
        assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]


def test_it_leaves_when_there_is_nothing_to_do() -> None:
    with serving() as hub, courier("--linger", "1") as one:
        assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]
        assert one.stream.recv(1) == b""
        assert one.process.wait(TIMEOUT_S) == 0


def test_it_says_that_it_goes_on_while_it_waits(tmp_path: Path) -> None:
    notices = Notices(tmp_path / "notify")
    env = {"NOTIFY_SOCKET": str(notices.path), "WATCHDOG_USEC": "1000000"}
    try:
        with courier("--linger", "2", env=env) as one:
            for _ in range(3):
                assert notices.next("WATCHDOG")["WATCHDOG"] == "1"
            assert one.stream.recv(1) == b""
            assert one.process.wait(TIMEOUT_S) == 0
        while notices.has_more():
            notices.next("WATCHDOG")
        with courier("--linger", "1", env={**env, "WATCHDOG_PID": "1"}) as one:  # telemd's, which started it
            assert one.stream.recv(1) == b""
        assert not notices.has_more()
    finally:
        notices.close()


def test_it_stays_where_metrics_come_each_minute() -> None:
    with serving() as hub, courier("--linger", "1") as one, courier("--linger", "1") as other:
        assert one.ask([metrics(1, b"m", b"org.test/metric/minute", kind=2)], hub.url).verdicts == [DELIVERED]
        assert other.ask([record(1)], hub.url).verdicts == [DELIVERED]
        assert other.process.wait(TIMEOUT_S) == 0
        assert one.process.poll() is None
        assert one.ask([record(2)], hub.url).verdicts == [DELIVERED]
        assert one.leave()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_leaves_when_told_to_while_idle(number: int) -> None:
    with serving() as hub, courier() as one:
        assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]
        one.process.send_signal(number)
        assert one.stream.recv(1) == b""
        assert one.process.wait(TIMEOUT_S) == 0


def test_it_leaves_when_told_to_in_the_middle_of_a_request() -> None:
    def script(request: Request, stream: socket.socket) -> None:
        one.process.send_signal(signal.SIGTERM)
        stream.recv(1)

    with serving(script) as hub, courier() as one:
        began_s = time.monotonic()
        one.send([record(1)], hub.url)
        assert one.stream.recv(1) == b""
        assert one.process.wait(TIMEOUT_S) == 0
        assert time.monotonic() - began_s < BATCH_S


def test_a_telemd_that_is_gone_is_no_failure() -> None:
    def script(request: Request, stream: socket.socket) -> bytes:
        one.stream.close()
        return accept(request, stream)

    with serving(script) as hub, courier() as one:
        one.send([record(1)], hub.url)
        _, said = one.process.communicate(timeout=TIMEOUT_S)
        assert one.process.returncode == 0
        assert "Traceback" not in said


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, struct.pack("<IBQ", 13, 1, 1) + b"\xff" * 4]
)
def test_one_who_does_not_speak_its_language(data: bytes) -> None:
    with courier() as one:
        one.stream.sendall(data)
        assert one.stream.recv(1) == b""
        status, said = one.leave()
        assert status == 1
        assert said.count("\n") == 1
        assert "same version" in said


def no_stream(kind: str) -> tuple[int, Callable[[], None]]:
    if kind == "closed":
        return 999, lambda: None
    if kind == "file":
        fd = os.open(os.devnull, os.O_RDONLY)
        return fd, lambda: os.close(fd)
    if kind == "listener":
        listener = socket.create_server(("127.0.0.1", 0))
        return listener.fileno(), listener.close
    datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    return datagram.fileno(), datagram.close


@pytest.mark.parametrize("kind", ["closed", "file", "listener", "datagram"])
def test_what_is_no_stream_is_said_so(kind: str) -> None:
    fd, close = no_stream(kind)
    done = subprocess.run(
        [sys.executable, "-m", "telemd.courier", "--fd", str(fd)],
        pass_fds=[] if kind == "closed" else [fd],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    close()
    assert done.returncode == 2
    assert "is not a connected stream socket" in done.stderr
    assert "start telemd" in done.stderr


@pytest.mark.parametrize("arguments", [["--linger", "0"], ["--linger", "x"], ["--fd", "-1"], ["more"]])
def test_bad_options(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "telemd.courier", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 2
    assert "usage: telemd-courier" in done.stderr


def test_it_speaks_when_something_changes_and_not_else() -> None:
    answers = [accept, accept, None, None, None, accept, accept]

    def script(request: Request, stream: socket.socket) -> bytes | None:
        say = answers[len(hub.requests) - 1]
        return say(request, stream) if say else reply(503)

    with serving(script) as hub, courier() as one:
        got = [one.ask([record(1, b"my payload")], hub.url).verdicts[0] for _ in answers]
        assert got == [DELIVERED, DELIVERED, RETRY, RETRY, RETRY, DELIVERED, DELIVERED]
        status, said = one.leave()
        assert status == 0
        lines = said.splitlines()
        assert lines[0] == lines[2] == f"telemd-courier: delivers to {hub.url}"
        assert "(503)" in lines[1]
        assert len(lines) == 3


def test_its_memory_stays_within_60_mb() -> None:
    chance = random.Random(1)
    worst = [bytes(chance.choices(range(1, 32), k=65536)) for _ in range(15)]  # six bytes of JSON for each one
    binary = [chance.randbytes(65536) for _ in range(15)]
    with serving() as hub, courier() as one:
        for round_ in range(6):
            for payloads in (worst, binary):
                sent = [record(15 * round_ + number, payload) for number, payload in enumerate(payloads)]
                assert one.ask(sent, hub.url).verdicts == [DELIVERED] * 15
        peak = memory_kb(one.process.pid, "VmHWM")
        print(f"peak resident memory {peak} kB, now {memory_kb(one.process.pid, 'VmRSS')} kB")
        assert peak <= 60 * 1024
