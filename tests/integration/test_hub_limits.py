# SPDX-License-Identifier: Apache-2.0
"""telemhub and clients that are slow, many or rude: each is bounded, and others are served meanwhile."""

from __future__ import annotations

import contextlib
import resource
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hubbatch import batch, host_line, line, ndjson
from hubprocess import TIMEOUT_S, HubClient, HubProcess, hub_at, request_head

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HASTY = (
    "import sys; from telemhub.main import main; from telemhub.web import connection; "
    "connection.HEAD_DEADLINE_S = 2.0; sys.exit(main())"
)
"""A hub that waits so long for a head, instead of 10 s."""
CONNECTIONS_MAX = 512
UNREAD_BYTES_MAX = 64 << 20


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with hub_at(tmp_path_factory.mktemp("limits") / "hub") as one:
        yield one


def connect(hub: HubProcess, from_address: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", hub.port), TIMEOUT_S, (from_address, 0))


def read_to_end(connection: socket.socket) -> bytes:
    """All that comes until the hub closes; a reset is an end too."""
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65_536):
            said += piece
    return said


def test_a_head_that_is_not_complete_in_time_ends_the_connection(tmp_path: Path) -> None:
    """Nothing at all; a first head that stops; a second one, on a connection that was good before."""
    with (
        hub_at(tmp_path / "hub", program=("-c", HASTY)) as hub,
        connect(hub) as silent, connect(hub) as begun, connect(hub) as kept,
    ):  # fmt: skip
        begun.sendall(HEAD[:-5])
        kept.sendall(HEAD + HEAD[:-5])
        assert hub.get("/healthz").status_code == 200
        assert read_to_end(silent) == b""
        assert read_to_end(begun) == b""
        said = read_to_end(kept)
        assert said.count(b"HTTP/1.1 200 OK") == 1
        assert b'{"status":"ok"}' in said


def test_a_head_that_is_too_long_is_refused(hub: HubProcess) -> None:
    with connect(hub) as connection:
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                connection.sendall(b"GET / HTTP/1.1\r\n" if _ == 0 else b"X-Long: " + b"x" * 1000 + b"\r\n")
        said = read_to_end(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 400")
    assert hub.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 100, b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST / HTTP/9.9\r\n\r\n"],
    ids=["zeros", "tls", "no-version", "no-such-version"],
)
def test_what_is_not_http_is_refused(hub: HubProcess, garbage: bytes) -> None:
    with connect(hub) as connection:
        connection.sendall(garbage)
        connection.shutdown(socket.SHUT_WR)
        said = read_to_end(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")
    assert hub.get("/healthz").status_code == 200


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("begun", [b"", HEAD[:-5], request_head(1000) + b"{"], ids=["silent", "head", "body"])
def test_a_crowd_of_slow_clients_shuts_nobody_out(hub: HubProcess, begun: bytes) -> None:
    """More than there are places for, from two addresses; those of the greedier one make room."""
    with contextlib.ExitStack() as stack:
        modest = [stack.enter_context(connect(hub, "127.0.0.3")) for _ in range(20)]
        crowd = [stack.enter_context(connect(hub, "127.0.0.2")) for _ in range(CONNECTIONS_MAX + 100)]
        for one in crowd[-CONNECTIONS_MAX // 2 :]:
            one.sendall(begun)
        with HubClient(hub.url) as courier:
            for first in range(0, 1000, 100):
                lines = [line(700_000 + first + number) for number in range(100)]
                assert courier.post(ndjson(host_line(), *lines)).status_code == 200
        assert read_to_end(crowd[0]) == b""
        for one in modest:
            one.sendall(HEAD)
            assert one.recv(15) == b"HTTP/1.1 200 OK"
    with HubClient(hub.url) as later:
        wait_until_served(later)


def wait_until_served(client: HubClient) -> None:
    """The hub learns of closed connections one by one."""
    for _ in range(1000):
        if client.get("/healthz").status_code == 200:
            return
    raise AssertionError("the hub doesn't serve again")


def test_many_slow_bodies_keep_nobody_waiting(hub: HubProcess) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            connection = stack.enter_context(connect(hub))
            connection.sendall(request_head(1_000_000) + b"x")
        assert hub.post(batch(1)).status_code == 200
        assert hub.get("/api/v1/stats").status_code == 200


def test_a_client_that_never_reads_stops_nobody(hub: HubProcess) -> None:
    hub.post(ndjson(host_line(), *(line(number, payload="x" * 60_000) for number in range(100, 200))))
    ask = b"GET /api/v1/records?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            connection = stack.enter_context(connect(hub))
            connection.sendall(ask * 20)
        for _ in range(5):
            assert len(hub.get("/api/v1/records", limit=1).json()["records"]) == 1


def test_answers_that_nobody_takes_have_a_bound(tmp_path: Path) -> None:
    """Pages of 4 MiB whose JSON is twice as large, and clients that read no more than the beginning of each."""
    with hub_at(tmp_path / "hub") as hub, contextlib.ExitStack() as stack:
        hub.post(ndjson(host_line(), *(line(number, payload='"' * 60_000) for number in range(1, 80))))
        page = len(hub.get("/api/v1/records", limit=1000).content)
        assert page > 8_000_000
        ask = b"GET /api/v1/records?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(80):
            connection = stack.enter_context(connect(hub))
            connection.sendall(ask * 3)
            assert connection.recv(12) == b"HTTP/1.1 200"
        # What waits stands twice in memory, as an answer and in asyncio's buffer; and some answers are being made.
        assert resident(hub) < 2 * UNREAD_BYTES_MAX + 24 * page
        # Who reads gets all of it.
        assert len(hub.get("/api/v1/records", limit=1000).content) == page


def resident(hub: HubProcess) -> int:
    """Bytes."""
    status = Path(f"/proc/{hub.process.pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def test_clients_that_vanish_leave_nothing_behind(hub: HubProcess) -> None:
    body = batch(*range(3000, 3100))
    for cut in range(0, len(body), len(body) // 20):
        with connect(hub) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(request_head(len(body)) + body[:cut])
    assert hub.records(since=1_760_000_000_003_000, until=1_760_000_000_003_100) == []
    assert hub.post(body).json()["accepted"] == 100


def test_many_senders_at_once_are_all_answered(hub: HubProcess) -> None:
    accepted: list[int] = []

    def send(first: int) -> None:
        with HubClient(hub.url) as client:
            for start in range(first, first + 1000, 100):
                while (answer := client.post(batch(*range(start, start + 100)))).status_code == 503:
                    assert int(answer.headers["retry-after"]) > 0
                accepted.append(answer.json()["accepted"])

    senders = [threading.Thread(target=send, args=(first,)) for first in range(100_000, 116_000, 1000)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(TIMEOUT_S)
    assert sum(accepted) == 16_000
