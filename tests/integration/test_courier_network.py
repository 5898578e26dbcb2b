# SPDX-License-Identifier: Apache-2.0
"""telemd.courier against what networks, TLS and slow or lying servers do to it."""

from __future__ import annotations

import contextlib
import signal
import socket
import ssl
import time
import warnings
from typing import TYPE_CHECKING

import pytest
from courierpeer import DELIVERED, MACHINE, OTHER_MACHINE, RETRY, TIMEOUT_S, courier, free_port, record
from httppeer import Request, accept, authority, reply, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("http://[fe80::1%25nosuch0]:80", "can't be resolved"),
        ("ftp://127.0.0.1", "correct it in telemetrics.conf"),
        ("127.0.0.1:8080", "correct it in telemetrics.conf"),
        ("", "correct it in telemetrics.conf"),
        ("http://", "correct it in telemetrics.conf"),
        ("http://a..b", "correct it in telemetrics.conf"),
        ("http://127.0.0.1:99999", "correct it in telemetrics.conf"),
        ("http://[::1", "correct it in telemetrics.conf"),
    ],
)
def test_a_server_that_cannot_be_reached(server: str, words: str) -> None:
    with courier() as one:
        answer = one.ask([record(1), record(2)], server)
        assert answer.verdicts == [RETRY] * 2
        assert words in answer.text


def test_nobody_there() -> None:
    with courier() as one:
        answer = one.ask([record(1)], f"http://127.0.0.1:{free_port()}")
        assert answer.verdicts == [RETRY]
        assert "is the server running" in answer.text


def test_an_unknown_transport_names_the_known_ones() -> None:
    for name in ("pigeon", "_post", "../hub", "hub.x", ""):
        with courier() as one:
            answer = one.ask([record(1), record(2)], "http://127.0.0.1:9", transport=name)
            assert answer.verdicts == [RETRY] * 2
            assert "`transport`" in answer.text
            assert "hub" in answer.text


def test_a_connection_that_was_dropped_between_batches_is_made_anew() -> None:
    def script(request: Request, stream: socket.socket) -> bytes | None:
        return None if len(hub.requests) == 2 else accept(request, stream)

    with serving(script) as hub, courier() as one:
        assert one.ask([record(1)], hub.url).verdicts == [DELIVERED]
        assert one.ask([record(2)], hub.url).verdicts == [DELIVERED]
        assert [request.connection for request in hub.requests] == [1, 1, 2]


def test_a_new_connection_that_is_dropped_is_left_to_telemd() -> None:
    with serving(lambda request, stream: None) as hub, courier() as one:
        answer = one.ask([record(1)], hub.url)
        assert answer.verdicts == [RETRY]
        assert "closed the connection" in answer.text
        assert len(hub.requests) == 1


def test_success_that_is_cut_off_is_no_success() -> None:
    whole = {"accepted": 1, "duplicate": 0, "rejected": 0, "verdicts": ["accepted"]}

    def script(request: Request, stream: socket.socket) -> bytes | None:
        stream.sendall(reply(201, whole, length=1000))
        return None

    with serving(script) as hub, courier() as one:
        assert one.ask([record(1)], hub.url).verdicts == [RETRY]


def test_a_server_that_drips_is_left_within_the_lease() -> None:
    def script(request: Request, stream: socket.socket) -> bytes | None:
        with contextlib.suppress(OSError):
            for byte in reply(200, b" " * 500):
                stream.sendall(bytes([byte]))
                time.sleep(1)
        return None

    with serving(script) as hub, courier() as one:
        began_s = time.monotonic()
        answer = one.ask([record(1)], hub.url)
        assert 20 < time.monotonic() - began_s < 30
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
        assert 0.9 < time.monotonic() - began_s < 5
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
        assert time.monotonic() - began_s < 5
        connection.close()


def test_a_certificate_of_the_given_ca_is_trusted_and_no_session_outlives_the_machine_id(tmp_path: Path) -> None:
    ours = authority(tmp_path, "ours")
    with serving(accept, ours.server) as hub, courier() as one:
        for machine in (MACHINE, MACHINE, OTHER_MACHINE, MACHINE):
            answer = one.ask([record(1)], hub.url, machine=machine, cainfo=str(ours.ca))
            assert answer.verdicts == [DELIVERED], answer.text
        assert [request.connection for request in hub.requests] == [1, 1, 2, 3]
        assert not any(request.resumed for request in hub.requests)


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


def test_a_certificate_for_another_name_is_not_trusted(tmp_path: Path) -> None:
    ours = authority(tmp_path, "ours", "DNS:elsewhere.example")
    with serving(accept, ours.server) as hub, courier() as one:
        answer = one.ask([record(1)], hub.url, cainfo=str(ours.ca))
        assert answer.verdicts == [RETRY]
        assert "is not trusted" in answer.text
        assert hub.requests == []


def test_a_ca_file_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("")
    (tmp_path / "text.pem").write_text("not a certificate")
    for name in ("missing.pem", "empty.pem", "text.pem", ""):
        with courier() as one:
            answer = one.ask([record(1)], "https://127.0.0.1:9", cainfo=f"{tmp_path}/{name}")
            assert answer.verdicts == [RETRY]
            assert "the file that `cainfo` names" in answer.text


def test_a_plain_server_at_a_tls_address_and_the_other_way_round(tmp_path: Path) -> None:
    ours = authority(tmp_path, "ours")
    with serving() as plain, serving(accept, ours.server) as tls, courier() as one:
        answer = one.ask([record(1)], plain.url.replace("http:", "https:"), cainfo=str(ours.ca))
        assert answer.verdicts == [RETRY]
        assert "no TLS connection" in answer.text
        assert "is the port right?" in answer.text
        assert one.ask([record(1)], tls.url.replace("https:", "http:")).verdicts == [RETRY]


def test_tls_1_1_is_too_old(tmp_path: Path) -> None:
    ours = authority(tmp_path, "ours")
    ours.server.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        ours.server.minimum_version = ours.server.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(accept, ours.server) as hub, courier() as one:
        answer = one.ask([record(1)], hub.url, cainfo=str(ours.ca))
        assert answer.verdicts == [RETRY]
        assert "TLS 1.2 or newer" in answer.text
        assert hub.requests == []
