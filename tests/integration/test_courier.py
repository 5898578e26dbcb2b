# SPDX-License-Identifier: Apache-2.0
"""telemd.courier: batches in, requests and verdicts out, and what each answer of a server does on that way.

What every transport does alike is tested in test_transport_conformance.py, what servers, networks and TLS do to it in
test_hostile_server.py and test_courier_tls.py, and how the process comes and goes in test_courier_process.py.
"""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from courierpeer import (
    DELIVERED,
    DUPLICATE,
    FACTS,
    MACHINE,
    OTHER_MACHINE,
    REJECTED,
    TIMEOUT_S,
    courier,
    record,
    record_id,
)
from httppeer import Request, accept, reply, serving, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def test_a_batch_arrives_as_the_hub_wants_it() -> None:
    with serving() as hub, courier() as one:
        answer = one.ask([record(1), record(2, b"\xff\0"), record(3, "größe\n".encode())], hub.url + "/")
        assert answer == (1, 0, [(DELIVERED, 0)] * 3, "")
        (request,) = hub.requests
        assert request.line == "POST /v1/records HTTP/1.1"
        assert request.headers["content-type"] == "application/x-ndjson"
        assert request.headers["content-encoding"] == "zstd"
        assert set(request.headers) == {
            "host", "user-agent", "accept-encoding", "content-type", "content-encoding", "content-length",
        }  # fmt: skip
        assert request.host == {"machine_id": MACHINE, **FACTS}
        assert [line["id"] for line in request.records] == [record_id(number) for number in (1, 2, 3)]
        assert [line.get("payload") for line in request.records] == ["hello", None, "größe\n"]
        assert request.records[1]["payload_base64"] == "/wA="
        assert one.leave() == (0, f"telemd-courier: delivers to {hub.url}/\n")


def test_gzip_where_zstandard_is_missing() -> None:
    program = "import sys; sys.modules['zstandard'] = None; from telemd.courier import main; sys.exit(main(sys.argv))"
    with serving() as hub, courier(program=program) as one:
        assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]
        assert hub.requests[0].headers["content-encoding"] == "gzip"
        assert hub.requests[0].records[0]["id"] == record_id(1)


def test_verdicts_stay_with_their_records() -> None:
    said = ["accepted", "rejected: severity", "duplicate", "accepted"]
    with serving(lambda request, stream: verdicts(*said)) as hub, courier() as one:
        answer = one.ask([record(number) for number in range(4)], hub.url)
        assert answer.verdicts == [DELIVERED, REJECTED, DUPLICATE, DELIVERED]
        assert "(severity)" in answer.text


def test_one_connection_for_one_machine_and_destination() -> None:
    with serving() as hub, serving() as elsewhere, courier() as one:
        for machine, server in [
            (MACHINE, hub), (MACHINE, hub), (MACHINE, hub), (OTHER_MACHINE, hub), (MACHINE, hub), (MACHINE, elsewhere),
        ]:  # fmt: skip
            assert one.ask([record(1)], server.url, machine=machine).verdicts == [DELIVERED]
        assert [request.connection for request in hub.requests] == [1, 1, 1, 2, 3]
        assert [request.host["machine_id"] for request in hub.requests] == [MACHINE] * 3 + [OTHER_MACHINE, MACHINE]
        assert elsewhere.connections == 1


def test_a_thousand_records_go_at_once() -> None:
    with serving() as hub, courier() as one:
        answer = one.ask([record(number, b"x" * 900) for number in range(1000)], hub.url)
        assert answer.verdicts == [DELIVERED] * 1000
        assert len(hub.requests) == 1


def test_a_frame_in_small_pieces_and_batches_back_to_back() -> None:
    with serving() as hub, courier() as one:
        whole, theirs = one.stream, socket.socketpair()
        one.stream = theirs[0]
        for _ in range(3):
            one.send([record(1), record(2)], hub.url)
        one.stream = whole
        data = theirs[1].recv(1 << 20)
        for end in theirs:
            end.close()
        for at in range(0, len(data), 100):
            one.stream.sendall(data[at : at + 100])
        for batch_id in (1, 2, 3):
            one.batch_id = batch_id
            assert one.answer().verdicts == [DELIVERED] * 2


def test_a_record_that_cannot_be_read_is_given_up_alone() -> None:
    with serving() as hub, courier() as one:
        answer = one.ask([record(1), record(2, severity=9), record(3)], hub.url)
        assert answer.verdicts == [DELIVERED, REJECTED, DELIVERED]
        assert [line["id"] for line in hub.requests[0].records] == [record_id(1), record_id(3)]
        assert one.ask([record(2, severity=9)], hub.url).verdicts == [REJECTED]
        assert one.ask([], hub.url).verdicts == []
        assert len(hub.requests) == 1


def test_a_batch_that_is_too_large_goes_in_parts() -> None:
    def script(request: Request, stream: socket.socket) -> bytes:
        return accept(request, stream) if len(request.records) <= 30 else reply(413, b"<html>too large</html>")

    with serving(script) as hub, courier() as one:
        answer = one.ask([record(number) for number in range(100)], hub.url)
        assert answer.verdicts == [DELIVERED] * 100
        taken = [line["id"] for request in hub.requests if len(request.records) <= 30 for line in request.records]
        assert taken == [record_id(number) for number in range(100)]
        assert hub.connections == 1


def test_one_record_that_is_refused_does_not_hold_back_the_others() -> None:
    bad = record_id(617)

    def script(request: Request, stream: socket.socket) -> bytes:
        refused = any(line["id"] == bad for line in request.records)
        return reply(422, {"message": "no"}) if refused else accept(request, stream)

    with serving(script) as hub, courier() as one:
        answer = one.ask([record(number) for number in range(1000)], hub.url)
        assert [number for number, verdict in enumerate(answer.verdicts) if verdict == REJECTED] == [617]
        assert answer.verdicts.count(DELIVERED) == 999
        assert len(hub.requests) <= 21


def test_nothing_of_the_environment_decides_where_it_goes(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password something\n")
    (tmp_path / ".netrc").chmod(0o600)
    with serving() as hub, serving() as proxy:
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        env = {**dict.fromkeys(names, proxy.url), "HOME": str(tmp_path), "no_proxy": "", "NO_PROXY": ""}
        with courier(env=env) as one:
            assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]
        assert proxy.connections == 0
        assert "authorization" not in hub.requests[0].headers


@contextlib.contextmanager
def telemhub(data: Path) -> Iterator[str]:
    pytest.importorskip("telemhub.main", reason="needs telemhub, which is not installed here")
    process = subprocess.Popen(
        [sys.executable, "-m", "telemhub", "serve", "--data", str(data), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "http://" in line, line
        yield line[line.index("http://") :].split()[0]
    finally:
        process.terminate()
        process.communicate(timeout=TIMEOUT_S)


def test_a_real_hub_takes_it_once(tmp_path: Path) -> None:
    import requests

    chance = random.Random(7)
    payloads = [chance.randbytes(chance.randrange(1000)) for _ in range(998)] + ["größe\n".encode(), b""]
    batch = [record(number, payload) for number, payload in enumerate(payloads, 1)]
    with telemhub(tmp_path / "hub") as url, courier() as one:
        assert one.ask(batch, url).verdicts == [DELIVERED] * 1000
        assert one.ask(batch, url).verdicts == [DUPLICATE] * 1000
        assert one.ask([record(5), record(5000)], url, machine=OTHER_MACHINE).verdicts == [DUPLICATE, DELIVERED]
        stored: list[dict[str, Any]] = []
        with requests.Session() as session:
            session.trust_env = False
            cursor = None
            while cursor or not stored:
                page = session.get(f"{url}/api/v1/records", params={"limit": 500, "cursor": cursor}, timeout=30).json()
                stored += page["records"]
                cursor = page["next"]
        assert sorted(each["id"] for each in stored) == [record_id(number) for number in [*range(1, 1001), 5000]]
