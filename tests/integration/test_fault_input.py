# SPDX-License-Identifier: Apache-2.0
"""Bad input to a running telemd, in both formats: each is refused for its own reason and counted once, and the next
good record goes through. The bytes are the examples of tests/vectors; trouble of more than one packet is made here.
"""

from __future__ import annotations

import base64
import contextlib
import json
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hubprocess import HubProcess, hub_at
from records import record, record_id
from running import Root, Telemd, running, state_root, wait_until
from senders import DURABLE, REFUSED, connected, is_closed, receive_answer, say, tell

if TYPE_CHECKING:
    from collections.abc import Iterator

VECTORS = Path(__file__).parents[1] / "vectors"
REASONS = {
    "malformed": 1, "too-large": 2, "classification": 3, "severity": 4, "attribute": 5, "payload-kind": 6, "header": 7,
    "timeout": 8, "record-id": 9, "created": 10,
}  # fmt: skip
FORMAT4 = bytes.fromhex(
    next(each["hex"] for each in json.loads((VECTORS / "format4.json").read_text()) if each["name"] == "plain")
)


class Service(NamedTuple):
    root: Root
    telemd: Telemd
    hub: HubProcess


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One telemd for all of this file: it must outlive everything."""
    data = tmp_path_factory.mktemp("hub")
    with (
        hub_at(data) as hub,
        state_root(server=hub.url, spool_max_size=1 << 20, retry_max_s=1) as root,
        running(root) as telemd,
    ):
        yield Service(root, telemd, hub)


class Expected:
    """What a test may change in the account."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.before = service.telemd.account()
        self.number = 10**9 + self.before["received"]
        """Of no record before."""

    def now(self, admitted: int = 0, **refused: int) -> None:
        """Just that was counted, and a good record of either format goes through all the way to the hub. Reasons as in
        docs/protocol.md, with _ for -."""
        telemd, before = self._service.telemd, self.before
        expected = dict(before["refused"])
        for name, count in refused.items():
            reason = name.replace("_", "-")
            if count:
                expected[reason] = expected.get(reason, 0) + count
        assert telemd.account()["refused"] == expected
        good = self.number + 1
        answer = say(self._service.root.socket5, record(good))
        assert answer is not None
        assert (answer.verdict, answer.record_id) == (DURABLE, record_id(good))
        tell(self._service.root.socket4, FORMAT4)
        after = telemd.wait_delivered()
        assert after["refused"] == expected
        assert after["admitted"] == before["admitted"] + admitted + 2
        assert after["delivered"] == before["delivered"] + admitted + 2
        assert self._service.hub.records(id=record_id(good).hex())
        assert telemd.process.poll() is None


@pytest.fixture
def expected(service: Service) -> Expected:
    return Expected(service)


def bad(record_format: int) -> list[Any]:
    """Everything but "empty", where nothing is sent, and the good record with a byte behind it, which has a test of its
    own: on a stream that is a good record and something else."""
    found = json.loads((VECTORS / f"format{record_format}.json").read_text())
    return [
        pytest.param(bytes.fromhex(each["hex"]), each["verdict"], id=each["name"])
        for each in found
        if each["verdict"] != "none" and each["name"] not in ("empty", "one-byte-more")
    ]


@pytest.mark.parametrize(("raw", "reason"), bad(5))
def test_bad_record_of_format_5(service: Service, expected: Expected, raw: bytes, reason: str) -> None:
    answer = say(service.root.socket5, raw, end=True)
    assert answer is not None
    assert (answer.verdict, answer.reason) == (REFUSED, REASONS[reason])
    expected.now(**{reason.replace("-", "_"): 1})


@pytest.mark.parametrize(("raw", "reason"), bad(4))
def test_bad_record_of_format_4(service: Service, expected: Expected, raw: bytes, reason: str) -> None:
    tell(service.root.socket4, raw)
    assert service.telemd.account()["admitted"] == expected.before["admitted"]
    expected.now(**{reason.replace("-", "_"): 1})


def test_wrong_content_leaves_the_conversation_open(service: Service, expected: Expected) -> None:
    wrong = record(1, severity=99)
    with connected(service.root.socket5) as stream:
        for _ in range(20):
            stream.sendall(wrong + record(2) + wrong)
            verdicts = [receive_answer(stream) for _ in range(3)]
            assert [each and (each.verdict, each.reason) for each in verdicts] == [(2, 4), (0, 0), (2, 4)]
    expected.now(admitted=20, severity=40)


def test_wrong_frame_ends_the_conversation_after_the_answers(service: Service, expected: Expected) -> None:
    with connected(service.root.socket5) as stream:
        stream.sendall(record(1) + record(2) + b"TLM4" + bytes(68) + record(3))
        answers = [receive_answer(stream) for _ in range(3)]
        assert [each and (each.verdict, each.reason) for each in answers] == [(0, 0), (0, 0), (2, 1)]
        assert is_closed(stream)
    expected.now(admitted=2, malformed=1)


def test_a_byte_behind_a_good_record(service: Service, expected: Expected) -> None:
    answer = say(service.root.socket5, record(1) + b"\0", end=True)
    assert answer is not None
    assert answer.verdict == DURABLE
    tell(service.root.socket4, FORMAT4 + b"\0")  # one record a connection: what follows is nobody's
    expected.now(admitted=2, malformed=1)


def test_nothing_at_all(service: Service, expected: Expected) -> None:
    assert say(service.root.socket5, end=True) is None
    tell(service.root.socket4)
    expected.now()


def payload_at_the_hub(service: Service, number: int) -> bytes:
    (found,) = service.hub.records(id=record_id(number).hex())
    text = found.get("payload")
    return base64.b64decode(found["payload_base64"]) if text is None else text.encode()


def test_byte_by_byte(service: Service, expected: Expected) -> None:
    one = record(expected.number, b"in many pieces")
    answer = say(service.root.socket5, *(one[i : i + 1] for i in range(len(one))))
    assert answer is not None
    assert (answer.verdict, answer.record_id) == (DURABLE, record_id(expected.number))
    tell(service.root.socket4, *(FORMAT4[i : i + 1] for i in range(len(FORMAT4))))
    expected.now(admitted=2)
    assert payload_at_the_hub(service, expected.number) == b"in many pieces"


@pytest.mark.parametrize("at", [1, 4, 71, 72, 100])
def test_two_pieces(service: Service, expected: Expected, at: int) -> None:
    one = record(8)
    with connected(service.root.socket5) as stream:
        for _ in range(10):
            stream.sendall(one[:at])
            stream.sendall(one[at:] + one)
            assert [each and each.verdict for each in (receive_answer(stream), receive_answer(stream))] == [0, 0]
    expected.now(admitted=20)


def test_oversized(service: Service, expected: Expected) -> None:
    """Refused by what its head says, before the rest has come; the rest is thrown away."""
    head = bytearray(record(1))
    head[8:12] = struct.pack("<I", 131_073)
    answer = say(service.root.socket5, bytes(head), bytes(200_000))
    assert answer is not None
    assert (answer.verdict, answer.reason) == (REFUSED, REASONS["too-large"])
    tell(service.root.socket4, struct.pack("<I", 131_073), bytes(200_000))
    expected.now(too_large=2)


def test_largest_payload(service: Service, expected: Expected) -> None:
    payload = random.Random(3).randbytes(65_536)
    answer = say(service.root.socket5, record(expected.number, payload))
    assert answer is not None
    assert answer.verdict == DURABLE
    expected.now(admitted=1)
    assert payload_at_the_hub(service, expected.number) == payload


@pytest.mark.parametrize("seed", range(5))
def test_garbage(service: Service, expected: Expected, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(20):
        answer = say(service.root.socket5, b"\xff" + chance.randbytes(chance.randrange(4096)), end=True)
        assert answer is not None
        assert answer.verdict == REFUSED
        size = chance.randrange(8, 131_072)
        tell(service.root.socket4, struct.pack("<I", size) + chance.randbytes(size - 5) + b"\xff")
        tell(service.root.socket4, struct.pack("<I", 1 << 31 | size) + chance.randbytes(100))
    expected.now(malformed=40, too_large=20)


@pytest.mark.parametrize("payload", [b"before\0after\0", b"\xff\xfe caf\xe9", "\u0085 \U0001f512".encode(), b""])
def test_any_payload_arrives_byte_for_byte(service: Service, expected: Expected, payload: bytes) -> None:
    answer = say(service.root.socket5, record(expected.number, payload))
    assert answer is not None
    assert answer.verdict == DURABLE
    expected.now(admitted=1)
    assert payload_at_the_hub(service, expected.number) == payload


def test_unfinished_record_has_two_seconds(service: Service, expected: Expected) -> None:
    with connected(service.root.socket5) as five, connected(service.root.socket4) as four:
        began_s = time.monotonic()
        five.sendall(record(1)[:80])
        four.sendall(FORMAT4[:80])
        answer = receive_answer(five)
        assert answer is not None
        assert (answer.verdict, answer.reason) == (REFUSED, REASONS["timeout"])
        assert is_closed(five)
        assert is_closed(four)
        assert time.monotonic() - began_s >= 1
    expected.now(timeout=2)


def test_drip(service: Service, expected: Expected) -> None:
    """A byte now and then doesn't buy more than the two seconds."""
    one = record(1)
    with connected(service.root.socket5) as stream:
        stream.settimeout(0.1)
        answer, sent = None, 0
        while answer is None and sent < len(one):
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its time was over just now
                stream.sendall(one[sent : sent + 1])
            sent += 1
            try:
                answer = receive_answer(stream)
            except TimeoutError:
                continue
        assert answer is not None
        assert (answer.verdict, answer.reason) == (REFUSED, REASONS["timeout"])
    expected.now(timeout=1)


SEND_AND_HOLD = """
import socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.connect(sys.argv[1])
stream.sendall(sys.stdin.buffer.read())
print("sent", flush=True)
stream.recv(1)
"""


@pytest.mark.parametrize("socket_name", ["socket5", "socket4"])
def test_client_killed_in_the_middle(service: Service, expected: Expected, socket_name: str) -> None:
    half = (record(1) if socket_name == "socket5" else FORMAT4)[:90]
    client = subprocess.Popen(
        [sys.executable, "-IS", "-c", SEND_AND_HOLD, str(getattr(service.root, socket_name))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert client.stdin is not None
    assert client.stdout is not None
    with client.stdin as given:
        given.write(half)
    assert client.stdout.readline() == b"sent\n"
    client.send_signal(signal.SIGKILL)
    client.wait()
    client.stdout.close()
    wait_until(lambda: service.telemd.status()["connections"] == 0, "it is gone")
    expected.now(malformed=1)


def test_reader_that_never_reads(service: Service, expected: Expected) -> None:
    """It is let go once its socket is full of answers; what it sent is kept, and nobody else waits for it."""
    several = b"".join(record(number, b"") for number in range(64))
    sent = 0
    with connected(service.root.socket5) as stream:
        try:
            while sent < 256 << 20:
                sent += stream.send(several)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = say(service.root.socket5, record(10**9))
        assert answer is not None
        assert answer.verdict == DURABLE
        wait_until(lambda: service.telemd.status()["connections"] == 0, "it is let go")
    assert sent < 256 << 20
    account = service.telemd.wait_delivered()
    came = account["received"] - expected.before["received"] - 1
    assert 0 < came <= sent // len(record(1, b"")) + 1
    cut = account["refused"].get("malformed", 0) - expected.before["refused"].get("malformed", 0)
    assert cut in (0, 1)  # the record whose end did not come
    expected.now(admitted=came - cut + 1, malformed=cut)
