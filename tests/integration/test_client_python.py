# SPDX-License-Identifier: Apache-2.0
"""Client and send() against a peer that behaves, misbehaves or isn't there."""

from __future__ import annotations

import errno
import gc
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from peer import LAST, RESEND, Action, Answer, Close, Garbage, Peer, Pieces, Silence, StateRoot, state_root

import libtelemetry
from libtelemetry import DUPLICATE, DURABLE, REFUSED, UNANSWERED, Ack, Client, Record, TelemetryError, send
from libtelemetry.ack import REASON_RATE_LIMIT
from libtelemetry.record import ATTR_KERNEL_VERSION, HIGH, JSON, METRIC

if TYPE_CHECKING:
    from collections.abc import Iterator

CLASSIFICATION = "example.org/probe/kind"
PATIENT_S = 60.0
HASTY_S = 1.0
"""Where no answer comes in any case; those before it do in far less."""


@pytest.fixture
def root() -> Iterator[StateRoot]:
    with state_root() as found:
        libtelemetry.set_config_file(str(found.config_file))
        yield found


def test_everything_of_a_record_arrives(root: StateRoot) -> None:
    with (
        Peer(root.socket) as peer,
        Client(PATIENT_S) as client,
        Record(
            CLASSIFICATION,
            '{"é": 1}',
            severity=HIGH,
            payload_version=7,
            payload_kind=JSON,
            event_id="ab" * 16,
            record_id=bytes(range(16)),
            created_us=1_600_000_000_000_001,
            attributes={ATTR_KERNEL_VERSION: "6.1", 300: b"\0"},
        ) as record,
    ):
        ack = client.send(record)
    (received,) = peer.received
    assert ack == Ack(DURABLE, 0, bytes(range(16)))
    assert ack.accepted
    assert ack.reason_name == "none"
    assert received.record_id == bytes(range(16))
    assert received.event_id == b"\xab" * 16
    assert received.created_us == 1_600_000_000_000_001
    assert (received.severity, received.payload_version, received.payload_kind) == (3, 7, 1)
    assert received.classification == CLASSIFICATION
    assert received.payload == '{"é": 1}'.encode()
    assert received.attributes == b"\x04\x00\x03\x006.1" + b"\x2c\x01\x01\x00\x00"
    assert received.flags & RESEND == 0


def test_connection_is_kept(root: StateRoot) -> None:
    with Peer(root.socket) as peer, Client(PATIENT_S) as client:
        for _ in range(20):
            assert client.send(Record(CLASSIFICATION)).accepted
    assert peer.connections == 1
    assert len(peer.received) == 20


def test_many_in_flight_come_back_in_order(root: StateRoot) -> None:
    records = [Record(CLASSIFICATION, bytes(1024)) for _ in range(1000)]
    actions: list[Action] = [Answer(DURABLE), Answer(DUPLICATE), Answer(REFUSED, REASON_RATE_LIMIT), Pieces()] * 250
    with Peer(root.socket, actions) as peer, Client(PATIENT_S) as client:
        acks = client.send_many(records)
        assert client.send_many([]) == []
    assert [ack.record_id for ack in acks] == [record.record_id for record in records]
    assert [ack.verdict for ack in acks] == [DURABLE, DUPLICATE, REFUSED, DURABLE] * 250
    assert [ack.accepted for ack in acks[:4]] == [True, True, False, True]
    assert acks[2].reason_name == "rate-limit"
    assert peer.connections == 1


def test_a_refusal_is_a_value(root: StateRoot) -> None:
    with Peer(root.socket, [Answer(REFUSED, REASON_RATE_LIMIT)]):
        ack = send(Record(CLASSIFICATION), PATIENT_S)
    assert (ack.verdict, ack.reason, ack.accepted) == (REFUSED, REASON_RATE_LIMIT, False)
    assert "rate-limit" in repr(ack)


def test_a_close_makes_one_more_try(root: StateRoot) -> None:
    with Peer(root.socket, [Close()]) as peer, Record(CLASSIFICATION) as record:
        assert send(record, PATIENT_S).accepted
        assert [received.record_id for received in peer.received] == [record.record_id] * 2
        assert [received.flags & RESEND for received in peer.received] == [0, RESEND]
        assert peer.connections == 2


@pytest.mark.parametrize("action", [Garbage(b"x" * 24), Answer(record_id=b"\1" * 16)], ids=["garbage", "wrong-id"])
def test_what_is_no_answer_is_not_acceptance(root: StateRoot, action: Action) -> None:
    with Peer(root.socket, [action]), pytest.raises(TelemetryError, match="doesn't speak telemd's protocol") as caught:
        send(Record(CLASSIFICATION), PATIENT_S)
    assert caught.value.errno == errno.EPROTO


def test_silence_is_not_acceptance(root: StateRoot) -> None:
    with Peer(root.socket, [Silence(), Silence()]) as peer:
        with pytest.raises(TelemetryError, match="did not answer") as caught:
            send(Record(CLASSIFICATION), HASTY_S)
        peer.wait_for_received(2, PATIENT_S)
    assert caught.value.errno == errno.ETIMEDOUT
    assert f"telemctl -f {root.config_file} status" in caught.value.strerror
    assert len({received.record_id for received in peer.received}) == 1
    assert [received.flags & RESEND for received in sorted(peer.received)] == [0, RESEND]


def test_close_is_not_acceptance(root: StateRoot) -> None:
    with Peer(root.socket, [Close()] * 10), pytest.raises(TelemetryError):
        send(Record(CLASSIFICATION), PATIENT_S)


def test_what_was_answered_before_the_silence(root: StateRoot) -> None:
    records = [Record(CLASSIFICATION) for _ in range(10)]
    actions: list[Action] = [*[Answer()] * 4, *[Silence()] * 100]
    with Peer(root.socket, actions), Client(HASTY_S) as client, pytest.raises(TelemetryError) as caught:
        client.send_many(records)
    assert [ack.record_id for ack in caught.value.acks] == [record.record_id for record in records[:4]]


def test_no_telemd(root: StateRoot) -> None:
    with pytest.raises(TelemetryError, match=f"telemctl -f {root.config_file} start") as caught:
        send(Record(CLASSIFICATION), HASTY_S)
    assert caught.value.errno == errno.ENOENT
    assert str(root.socket) in caught.value.strerror


def test_nobody_listens(root: StateRoot) -> None:
    Peer(root.socket).__exit__()
    with pytest.raises(TelemetryError, match=f"telemctl -f {root.config_file} start") as caught:
        send(Record(CLASSIFICATION), HASTY_S)
    assert caught.value.errno == errno.ECONNREFUSED


def test_not_opted_in() -> None:
    with state_root(opted_in=False) as root, Peer(root.socket) as peer:
        libtelemetry.set_config_file(str(root.config_file))
        assert not libtelemetry.is_opted_in()
        with pytest.raises(TelemetryError, match=f"telemctl -f {root.config_file} opt-in"):
            send(Record(CLASSIFICATION), PATIENT_S)
        assert peer.received == []
        root.opt_in.touch()
        assert libtelemetry.is_opted_in()
        assert send(Record(CLASSIFICATION), PATIENT_S).accepted


def test_settings(root: StateRoot) -> None:
    assert libtelemetry.setting("state_root") == str(root.path)
    assert libtelemetry.setting("telemd_socket_path") == str(root.socket)
    assert libtelemetry.setting("socket_path") == str(root.path / "run/telem-0")
    assert libtelemetry.setting("opt_in_path") == str(root.opt_in)
    with pytest.raises(KeyError):
        libtelemetry.setting("server")


def test_configuration_that_is_no_use(root: StateRoot) -> None:
    bad = root.path / "bad.conf"
    bad.write_text("[settings]\nstate_root = 5\n")
    libtelemetry.set_config_file(str(bad))
    for failing in (lambda: send(Record(CLASSIFICATION), PATIENT_S), lambda: libtelemetry.setting("state_root")):
        with pytest.raises(TelemetryError, match=f"telemctl -f {bad} config check"):
            failing()
    assert not libtelemetry.is_opted_in()


FROM_NO_FILE = """
import os, resource, sys
import libtelemetry
libtelemetry.set_config_file(sys.argv[1])
free = os.dup(0)
os.close(free)
resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
try:
    open(sys.argv[1])
except OSError:
    print([len(libtelemetry.Record("a/b/c", "x").encoded()) for _ in range(3)])
"""


def test_a_record_is_made_without_opening_a_file(root: StateRoot) -> None:
    command = [sys.executable, "-c", FROM_NO_FILE, str(root.config_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENT_S)
    size = len(Record("a/b/c", "x").encoded())
    assert (done.stdout, done.stderr) == (f"{[size] * 3}\n", "")


def test_an_older_telemd(root: StateRoot) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(root.path / "run/telem-0"))
        listener.listen(4)
        listener.settimeout(PATIENT_S)
        ack = send(Record(CLASSIFICATION, "hello\n"), PATIENT_S)
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as stream:
            sent = stream.read()
        with pytest.raises(TelemetryError, match="can't take this kind of payload"):
            send(Record(CLASSIFICATION, b"x", payload_kind=METRIC), PATIENT_S)
    assert ack.verdict == UNANSWERED
    assert not ack.accepted, "nothing is known of it"
    assert f"\nclassification: {CLASSIFICATION}\n".encode() in sent
    assert sent.endswith(b"hello\n\0")


def test_config_file_must_be_a_file(root: StateRoot) -> None:
    for path in ("relative.conf", str(root.path), str(root.path / "none"), "", "/a\0b"):
        with pytest.raises(TelemetryError):
            libtelemetry.set_config_file(path)
    assert libtelemetry.setting("state_root") == str(root.path), "a refused file changes nothing"


def test_closed_things_say_so(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        client = Client(PATIENT_S)
        record = Record(CLASSIFICATION)
        client.send(record)
        record.close()
        with pytest.raises(ValueError, match="record is closed"):
            client.send(record)
        with pytest.raises(ValueError, match="record is closed"):
            client.send_many([Record(CLASSIFICATION), record])
        client.close()
        client.close()
        with pytest.raises(ValueError, match="client is closed"):
            client.send(Record(CLASSIFICATION))
        assert len(peer.received) == 1


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, 1e9, float("nan")])
def test_timeout_has_limits(timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        Client(timeout_s)


def test_threads_share_a_client(root: StateRoot) -> None:
    failures: list[BaseException] = []

    def some(client: Client) -> None:
        try:
            for _ in range(50):
                records = [Record(CLASSIFICATION) for _ in range(3)]
                assert [ack.record_id for ack in client.send_many(records)] == [record.record_id for record in records]
        except BaseException as failure:
            failures.append(failure)

    with Peer(root.socket) as peer, Client(PATIENT_S) as client:
        threads = [threading.Thread(target=some, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENT_S)
    assert failures == []
    assert len(peer.received) == 600


def test_client_goes_with_its_last_reference(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        client = Client(PATIENT_S)
        client.send(Record(CLASSIFICATION))
        del client
        gc.collect()
        # The peer sees the end of the connection and its thread ends, or __exit__ would have had to cut it off.
        peer.wait_for_end_of_connections(PATIENT_S)
        assert peer.connections == 1


def test_send_ends_its_connection(root: StateRoot) -> None:
    with Peer(root.socket) as peer:
        send(Record(CLASSIFICATION), PATIENT_S)
        peer.wait_for_end_of_connections(PATIENT_S)
    assert len(peer.received) == 1


def test_facts_of_another_root(root: StateRoot) -> None:
    (root.path / "etc/os-release").write_text('ID=example\nVERSION_ID="7"\n')
    facts = libtelemetry.host_facts(str(root.path))
    assert facts["system_name"] == "example"
    assert facts["build"] == '"7"'
    assert facts["bios_version"] == "no_bv_file"
    assert set(facts) == set(libtelemetry.host_facts())


def test_examples_of_the_docstring(root: StateRoot) -> None:
    """The three lines a newcomer reads first work as they stand."""
    lines = [line.strip() for line in (libtelemetry.__doc__ or "").splitlines() if line.startswith("    ")]
    script = f"import libtelemetry\nlibtelemetry.set_config_file({str(root.config_file)!r})\n" + "\n".join(lines)
    with Peer(root.socket) as peer:
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=PATIENT_S)
    assert done.stderr == ""
    assert done.stdout == f"True {peer.received[0].record_id.hex()}\n"
    assert peer.received[0].flags in (0, LAST)
