# SPDX-License-Identifier: Apache-2.0
"""What every transport does alike, tried on each that is found; one without a peer or an entry in the docs fails."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from courierpeer import DELIVERED, FACTS, MACHINE, OTHER_MACHINE, REJECTED, RETRY, courier, record
from httppeer import Request, authority, reply, serving
from transportpeers import PEERS, Peer, Seen

from telemd import transport
from telemd.courierframes import REASON_NOT_CARRIED

if TYPE_CHECKING:
    import socket

DOCS = Path(__file__).parents[2] / "docs"
NAMES = transport.names()
each_transport = pytest.mark.parametrize("name", NAMES)
METRIC, JSON_ZSTD = 2, 3


def with_kind(raw: bytes, kind: int) -> bytes:
    return raw[:61] + bytes([kind]) + raw[62:]


def with_facts(raw: bytes, **facts: str) -> bytes:
    """docs/protocol.md, section 1.1."""
    keys = "arch host_type build kernel_version system_name board_name cpu_model bios_version".split()
    encoded = [(keys.index(name) + 1, value.encode()) for name, value in facts.items()]
    attributes = b"".join(struct.pack("<HH", key, len(value)) + value for key, value in encoded)
    at = 72 + raw[62]
    head = bytearray(raw[:72])
    struct.pack_into("<I", head, 8, len(raw) + len(attributes))
    struct.pack_into("<H", head, 64, len(attributes))
    return bytes(head) + raw[72:at] + attributes + raw[at:]


def all_seen(peer: Peer, requests: list[Request]) -> list[Seen]:
    return [seen for request in requests for seen in peer.read(request)]


def test_there_are_the_transports_that_are_promised() -> None:
    assert {"hub", "backend-json", "backend-headers"} <= set(NAMES)


@each_transport
def test_it_has_a_peer_and_an_entry_in_the_docs(name: str) -> None:
    assert name in PEERS, f"tests/integration/transportpeers.py has no peer of {name}"
    assert f"\n## `{name}`\n" in (DOCS / "transports.md").read_text(), f"docs/transports.md has no entry of {name}"
    row = next(line for line in (DOCS / "telemetrics.conf.md").read_text().splitlines() if "| `transport` |" in line)
    assert name in row


@each_transport
def test_records_arrive_whole_once_and_in_order_on_one_connection(name: str) -> None:
    peer = PEERS[name]
    payloads = [b"hello", "größe\n".encode(), b"", b"x" * 65536, b"a\tb\r\nc: d", b"\xff\xfe\0 not text", b'"\\ / "']
    with serving(peer.good) as server, courier() as one:
        sent = [record(number, payload, severity=1 + number % 4) for number, payload in enumerate(payloads, 1)]
        answer = one.ask(sent, server.url + peer.path, transport=name)
        assert answer.pairs == [(DELIVERED, 0)] * len(payloads), answer.text
        assert answer.text == ""
        assert {request.line for request in server.requests} == {f"POST {peer.target} HTTP/1.1"}
        assert server.connections == 1
        assert len(server.requests) == (len(payloads) if peer.single else 1)
        seen = all_seen(peer, server.requests)
    assert [each.number for each in seen] == [*range(1, len(payloads) + 1)]
    assert [each.payload for each in seen] == [peer.text(payload) for payload in payloads]
    assert [each.values["severity"] for each in seen] == [str(1 + number % 4) for number in range(1, len(payloads) + 1)]


@each_transport
def test_values_are_whole_and_the_records_own_hold_over_the_hosts(name: str) -> None:
    peer = PEERS[name]
    own = {"kernel_version": "5.0 of the crashed one", "board_name": "Größe /\u65e5\u672c", "bios_version": "1 | 2: 3"}
    with serving(peer.good) as server, courier() as one:
        sent = [record(1, classification=b"org.a/b.c/d"), with_facts(record(2), **own), record(3)]
        answer = one.ask(sent, server.url + peer.path, transport=name)
        assert answer.verdicts == [DELIVERED] * 3, answer.text
        first, second, third = all_seen(peer, server.requests)
    host = {**FACTS, "board_name": "", "cpu_model": "", "bios_version": ""}
    assert first.values == {
        "record_format_version": "4",
        "classification": "org.a/b.c/d",
        "severity": "1",
        "machine_id": MACHINE,
        "creation_timestamp": "1700000000",
        "payload_format_version": "1",
        "event_id": f"{1:032x}",
        **host,
    }
    assert second.values["kernel_version"] == "5.0 of the crashed one"
    assert second.values["board_name"] == peer.value(own["board_name"])
    assert second.values["bios_version"] == own["bios_version"]
    assert second.values["arch"] == third.values["arch"] == FACTS["arch"]
    assert third.values["kernel_version"] == FACTS["kernel_version"]


@each_transport
@pytest.mark.parametrize("kind", [METRIC, JSON_ZSTD])
def test_a_kind_that_is_not_carried_is_given_up_with_its_reason_and_alone(name: str, kind: int) -> None:
    peer = PEERS[name]
    with serving(peer.good) as server, courier() as one:
        sent = [record(1), with_kind(record(2), kind), with_kind(record(3), 1), with_kind(record(4), kind)]
        answer = one.ask(sent, server.url + peer.path, transport=name)
        arrived = [seen.number for seen in all_seen(peer, server.requests)]
        if peer.single:
            refused = (REJECTED, REASON_NOT_CARRIED)
            assert answer.pairs == [(DELIVERED, 0), refused, (DELIVERED, 0), refused]
            assert arrived == [1, 3]
            assert "2 records of a kind that `transport` doesn't carry" in answer.text
            assert one.ask(sent[1:2], server.url + peer.path, transport=name).pairs == [refused]
        else:
            assert answer.pairs == [(DELIVERED, 0)] * 4
            assert arrived == [1, 2, 3, 4]


@each_transport
def test_a_record_that_cannot_be_read_is_given_up_alone(name: str) -> None:
    peer = PEERS[name]
    with serving(peer.good) as server, courier() as one:
        sent = [record(1), record(2, severity=9), record(3)]
        answer = one.ask(sent, server.url + peer.path, transport=name)
        assert answer.verdicts == [DELIVERED, REJECTED, DELIVERED]
        assert [seen.number for seen in all_seen(peer, server.requests)] == [1, 3]
        assert one.ask([record(2, severity=9)], server.url + peer.path, transport=name).verdicts == [REJECTED]
        assert one.ask([], server.url + peer.path, transport=name).verdicts == []


@each_transport
def test_one_bad_record_does_not_hold_back_the_others(name: str) -> None:
    peer = PEERS[name]

    def script(request: Request, stream: socket.socket) -> bytes:
        bad = any(seen.number == 17 for seen in peer.read(request))
        return reply(400, {"message": "no"}) if bad else peer.good(request, stream)

    with serving(script) as server, courier() as one:
        answer = one.ask([record(number) for number in range(1, 41)], server.url + peer.path, transport=name)
        assert [number for number, verdict in enumerate(answer.verdicts, 1) if verdict == REJECTED] == [17]
        assert answer.verdicts.count(DELIVERED) == 39
        assert server.connections == 1


@each_transport
def test_a_server_that_takes_nothing_costs_eight_records_at_most(name: str) -> None:
    peer = PEERS[name]
    with serving(lambda request, stream: reply(400, {"message": "no"})) as server, courier() as one:
        answer = one.ask([record(number) for number in range(40)], server.url + peer.path, transport=name)
        assert answer.verdicts == [REJECTED] * 8 + [RETRY] * 32
        assert answer.retry_after_s == 300
        assert "one record after another" in answer.text


@each_transport
def test_what_was_taken_before_the_server_went_counts(name: str) -> None:
    peer = PEERS[name]

    def script(request: Request, stream: socket.socket) -> bytes:
        return reply(503, b"", "Retry-After: 9") if len(server.requests) > 3 else peer.good(request, stream)

    with serving(script) as server, courier() as one:
        for _ in range(2 if peer.single else 4):
            answer = one.ask([record(1), record(2)], server.url + peer.path, transport=name)
        last = [DELIVERED, RETRY] if peer.single else [RETRY, RETRY]
        assert (answer.verdicts, answer.retry_after_s) == (last, 9)


@each_transport
def test_a_connection_belongs_to_one_machine_id_and_no_session_is_carried_over(name: str, tmp_path: Path) -> None:
    peer = PEERS[name]
    ours = authority(tmp_path, "ours")
    with serving(peer.good, ours.server) as server, courier() as one:
        for machine in (MACHINE, MACHINE, OTHER_MACHINE, MACHINE):
            sent = [record(number) for number in range(5)]
            answer = one.ask(sent, server.url + peer.path, transport=name, machine=machine, cainfo=str(ours.ca))
            assert answer.verdicts == [DELIVERED] * 5, answer.text
        by_machine = [(request.connection, peer.read(request)[0].values["machine_id"]) for request in server.requests]
        assert sorted(set(by_machine)) == [(1, MACHINE), (2, OTHER_MACHINE), (3, MACHINE)]
        assert not any(request.resumed for request in server.requests)


@each_transport
def test_handshakes_are_not_by_the_record(name: str, tmp_path: Path) -> None:
    """Fault 9 of telemetrics-client: a handshake for every record."""
    peer = PEERS[name]
    ours = authority(tmp_path, "ours")
    with serving(peer.good, ours.server) as server, courier() as one:
        for start in (0, 150):
            sent = [record(number) for number in range(start, start + 150)]
            answer = one.ask(sent, server.url + peer.path, transport=name, cainfo=str(ours.ca))
            assert answer.verdicts == [DELIVERED] * 150
        assert server.connections == 1
        assert len(all_seen(peer, server.requests)) == 300


@each_transport
def test_the_owners_header_goes_with_every_request(name: str) -> None:
    peer = PEERS[name]
    with serving(peer.good) as server, courier() as one:
        for line in ("X-Telemetry-TID: 6907c830-eed9: 4ce9", "Content-Length: 3", "x\u00e4: 1", "X: a\r\nY: b"):
            sent = [record(1), record(2)]
            answer = one.ask(sent, server.url + peer.path, transport=name, tidheader=line)
            assert answer.verdicts == [DELIVERED] * 2, answer.text
        count = 2 if peer.single else 1
        values = [request.headers.get("x-telemetry-tid") for request in server.requests]
        assert values == ["6907c830-eed9: 4ce9"] * count + [None] * 3 * count
        assert not any("y" in request.headers or "x" in request.headers for request in server.requests)


@each_transport
def test_credentials_go_to_the_server_and_nowhere_else(name: str) -> None:
    peer = PEERS[name]
    with serving(lambda request, stream: reply(401)) as server, courier() as one:
        address = server.url.replace("//", "//us%40er:hunter2@") + peer.path
        answer = one.ask([record(1, b"my payload")], address, transport=name)
        assert server.requests[0].headers["authorization"] == "Basic dXNAZXI6aHVudGVyMg=="
        _, said = one.leave()
    for secret in ("hunter2", "my payload"):
        assert secret not in answer.text + said
    assert server.url in said
