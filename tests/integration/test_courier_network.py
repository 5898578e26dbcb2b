# SPDX-License-Identifier: Apache-2.0
"""telemd.courier's deadlines and its independence of the environment. Hostile servers are in test_hostile_server.py,
TLS and proxies in test_courier_tls.py.
"""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest
from courierpeer import RETRY, TIMEOUT_S, courier, hasty, record
from httppeer import Request, accept, authority, reply, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


ALL_OF_IT_S = 60
"""In which a server that drips has said all."""


def test_an_unknown_transport_names_the_known_ones() -> None:
    for name in ("pigeon", "_post", "../hub", "hub.x", ""):
        with courier() as one:
            answer = one.ask([record(1), record(2)], "http://127.0.0.1:9", transport=name)
            assert answer.verdicts == [RETRY] * 2
            assert "`transport`" in answer.text
            assert "hub" in answer.text


def test_the_time_for_a_batch_is_within_the_lease() -> None:
    from telemd.courier import BATCH_S, SEND_S
    from telemd.delivery import LEASE_MS

    assert BATCH_S + SEND_S < LEASE_MS / 1000


def test_a_server_that_drips_is_left_within_the_time_for_a_batch() -> None:
    def script(request: Request, stream: socket.socket) -> bytes | None:
        with contextlib.suppress(OSError):
            for byte in reply(200, b" " * 5 * ALL_OF_IT_S):
                stream.sendall(bytes([byte]))
                time.sleep(0.2)
        return None

    with serving(script) as hub, courier(program=hasty(2.0)) as one:
        began_s = time.monotonic()
        answer = one.ask([record(1)], hub.url)
        assert 1.5 < time.monotonic() - began_s < ALL_OF_IT_S
        assert answer.verdicts == [RETRY]
        assert "too slow" in answer.text
        assert one.leave()[0] == 0


# The same with a deadline of one second, in this process, where the courier's 25 s would make the suite slow.
STALLS: dict[str, Callable[[socket.socket], None]] = {
    "headers": lambda stream: stream.sendall(b"H"),
    "body": lambda stream: stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n "),
    "chunks": lambda stream: stream.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n \r\n"),
    "nothing": lambda stream: None,
}


@pytest.mark.parametrize("stall", list(STALLS))
def test_the_deadline_holds_wherever_it_stalls(stall: str) -> None:
    from telemd.transport._post import Answer as Answered
    from telemd.transport._post import Connection, Failure

    def script(request: Request, stream: socket.socket) -> bytes | None:
        if len(hub.requests) > 1:
            return reply(204)
        STALLS[stall](stream)
        stream.recv(1)
        return None

    with serving(script) as hub:
        connection = Connection(hub.url + "/v1/records")
        before = signal.getsignal(signal.SIGALRM)
        began_s = time.monotonic()
        failure = connection.post(b"{}", {}, began_s + 1)
        assert isinstance(failure, Failure)
        assert failure.kind == "slow"
        assert 0.9 < time.monotonic() - began_s < TIMEOUT_S / 2
        assert signal.getsignal(signal.SIGALRM) == before
        assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
        answer = connection.post(b"{}", {}, time.monotonic() + TIMEOUT_S)
        assert isinstance(answer, Answered)
        assert answer.status == 204
        connection.close()


# Broken off in the middle of a handshake, a TLS socket is closed by Python itself, which warns of that.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_deadline_holds_for_one_who_never_reads(scheme: str) -> None:
    from telemd.transport._post import Connection, Failure

    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = Connection(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/v1/records")
        began_s = time.monotonic()
        failure = connection.post(b"x" * 20_000_000, {}, began_s + 1)
        assert isinstance(failure, Failure)
        assert failure.kind == "slow"
        assert time.monotonic() - began_s < TIMEOUT_S / 2
        connection.close()


def test_no_other_certificate_is_trusted_whatever_the_environment_says(tmp_path: Path) -> None:
    ours, other = authority(tmp_path, "ours"), authority(tmp_path, "other")
    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    env = {**dict.fromkeys(names, str(ours.ca)), "SSL_CERT_DIR": str(tmp_path)}
    with serving(accept, ours.server) as hub:
        for cainfo in (str(other.ca), ""):
            with courier(env=env) as one:
                answer = one.ask([record(1)], hub.url, cainfo=cainfo)
                assert answer.verdicts == [RETRY]
                assert "is not trusted" in answer.text
                assert "`cainfo`" in answer.text
        assert hub.requests == []
