# SPDX-License-Identifier: Apache-2.0
"""telemd.courier over real TLS and real proxies: whom it trusts, who it says it is, and which way it goes.

The rows of docs/answers.md that test_hostile_server.py leaves to this file. Certificates are made anew by openssl.
"""

from __future__ import annotations

import ssl
import subprocess
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from courierpeer import DELIVERED, DUPLICATE, OTHER_MACHINE, RETRY, Answer, Courier, courier, free_port, record
from httppeer import Authority, authority, reply, serving
from hubprocess import hub_at
from proxypeer import proxying
from transportpeers import PEERS

from telemd import transport
from telemd.answerrules import FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator

NAMES = transport.names()
each_transport = pytest.mark.parametrize("name", NAMES)
PROXY_NAMES = ("http_proxy", "HTTPS_PROXY", "all_proxy")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture
def one() -> Iterator[Courier]:
    with courier() as running:
        yield running


def assert_failed(got: Answer, kind: str, detail: str = "") -> None:
    """All is kept, for this reason, and the operator reads this row's sentence."""
    rule = FAILURES[kind]
    assert got.pairs == [(RETRY, rule.reason)] * len(got.pairs), got.text
    assert got.text.endswith(rule.sentence.rpartition("}")[2]), got.text
    assert detail in got.text


def mutual(folder: Path, ours: Authority) -> ssl.SSLContext:
    """A server's context that wants a certificate by our authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.certificate, ours.key)
    context.load_verify_locations(ours.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


# ---- whom it trusts -------------------------------------------------------------------------------------------------


@each_transport
def test_https_with_the_owners_ca(name: str, ours: Authority, one: Courier) -> None:
    with serving(PEERS[name].good, ours.server) as server:
        address = server.url + PEERS[name].path
        answer = one.ask([record(1), record(2)], address, transport=name, cainfo=str(ours.ca))
        assert answer.verdicts == [DELIVERED] * 2, answer.text


def test_certificates_that_are_not_trusted(tmp_path: Path, ours: Authority, one: Courier) -> None:
    cases = {
        "signed by somebody else": authority(tmp_path / "a", "other")._replace(ca=ours.ca),
        "for another name": authority(tmp_path / "b", "named", "DNS:elsewhere.example"),
        "for another address": authority(tmp_path / "c", "addressed", "IP:127.0.0.2"),
        "expired": authority(tmp_path / "d", "expired", days=-1),
    }
    for case, theirs in cases.items():
        with serving(tls=theirs.server) as server:
            answer = one.ask([record(1), record(2)], server.url, cainfo=str(theirs.ca))
            assert_failed(answer, "certificate")
            assert ("expired" in answer.text) == (case == "expired"), (case, answer.text)
            assert server.requests == []


def test_a_certificate_that_signed_itself_is_trusted_only_where_it_is_named(tmp_path: Path, one: Courier) -> None:
    authority(tmp_path, "unused")  # skips where there is no openssl
    key, certificate = tmp_path / "key.pem", tmp_path / "own.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=own", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving(tls=context) as server:
        assert_failed(one.ask([record(1)], server.url), "certificate", "self-signed")
        assert one.ask([record(1)], server.url, cainfo=str(certificate)).verdicts == [DELIVERED]


def test_tls_1_1_and_a_plain_server_are_no_tls(ours: Authority, tmp_path: Path, one: Courier) -> None:
    old = authority(tmp_path, "old")
    old.server.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.server.minimum_version = old.server.maximum_version = ssl.TLSVersion.TLSv1_1
    with serving(tls=old.server) as server:
        assert_failed(one.ask([record(1)], server.url, cainfo=str(old.ca)), "tls")
    with serving() as server:
        assert_failed(one.ask([record(1)], server.url.replace("http:", "https:"), cainfo=str(ours.ca)), "tls")


def test_a_ca_file_that_cannot_be_used(tmp_path: Path, one: Courier) -> None:
    (tmp_path / "text.pem").write_text("not a certificate")
    for name in ("missing.pem", "text.pem", ""):
        assert_failed(one.ask([record(1)], "https://127.0.0.1:9", cainfo=f"{tmp_path}/{name}"), "cainfo")


def test_a_real_hub_over_https(tmp_path: Path, ours: Authority, one: Courier) -> None:
    files = ("--tls-cert", str(ours.certificate), "--tls-key", str(ours.key))
    with hub_at(tmp_path / "hub", *files, cainfo=ours.ca) as hub:
        assert hub.url.startswith("https://")
        batch = [record(number) for number in range(1, 201)]
        assert one.ask(batch, hub.url, cainfo=str(ours.ca)).verdicts == [DELIVERED] * 200
        assert one.ask(batch, hub.url, cainfo=str(ours.ca)).verdicts == [DUPLICATE] * 200
        assert_failed(one.ask(batch, hub.url), "certificate")
        assert len(hub.records(limit=500)) == 200


# ---- who it says it is ----------------------------------------------------------------------------------------------


@each_transport
def test_mutual_tls(name: str, tmp_path: Path, ours: Authority, one: Courier) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(ours.certificate.read_bytes() + ours.key.read_bytes())
    with serving(PEERS[name].good, mutual(tmp_path, ours)) as server:
        for way in (
            {"client_certificate": str(ours.certificate), "client_key": str(ours.key)},
            {"client_certificate": str(both)},
        ):
            address = server.url + PEERS[name].path
            answer = one.ask([record(1), record(2)], address, transport=name, cainfo=str(ours.ca), **way)
            assert answer.verdicts == [DELIVERED] * 2, answer.text
        before = len(server.requests)
        refused = one.ask([record(1)], address, transport=name, cainfo=str(ours.ca))
        assert refused.verdicts == [RETRY]
        assert len(server.requests) == before


def test_a_server_that_misses_our_certificate_says_so_where_tls_1_2_lets_it(
    tmp_path: Path, ours: Authority, one: Courier
) -> None:
    """In TLS 1.3 the handshake is over for us before the server has looked: that may end in a lost connection."""
    context = mutual(tmp_path, ours)
    other = authority(tmp_path, "other")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    theirs = {"client_certificate": str(other.certificate), "client_key": str(other.key)}
    with serving(tls=context) as server:
        assert_failed(one.ask([record(1)], server.url, cainfo=str(ours.ca), **theirs), "client-refused", "unknown ca")
        assert server.requests == []


def test_a_client_certificate_that_cannot_be_used(tmp_path: Path, ours: Authority, one: Courier) -> None:
    locked = tmp_path / "locked.pem"
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:hunter2", "-in", ours.key, "-out", locked],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    other = authority(tmp_path, "other")
    certificate = str(ours.certificate)
    for way in (
        {"client_certificate": f"{tmp_path}/missing.pem"},
        {"client_certificate": certificate},  # no key in it
        {"client_certificate": certificate, "client_key": str(other.key)},
        {"client_certificate": certificate, "client_key": str(locked)},
        {"client_key": str(ours.key)},
    ):
        answer = one.ask([record(1), record(2)], "https://127.0.0.1:9", cainfo=str(ours.ca), **way)
        assert_failed(answer, "client")


# ---- which way it goes ----------------------------------------------------------------------------------------------


@each_transport
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_through_a_proxy(name: str, scheme: str, ours: Authority, one: Courier) -> None:
    peer = PEERS[name]
    with serving(peer.good, ours.server if scheme == "https" else None) as server, proxying() as proxy:
        way = {"transport": name, "cainfo": str(ours.ca), "proxy": proxy.url.replace("//", "//us%40er:hunter2@")}
        for number in range(2):
            answer = one.ask([record(number), record(9)], server.url + peer.path, **way)
            assert answer.verdicts == [DELIVERED] * 2, answer.text
        assert len(proxy.heads) == 1
        first, *headers = proxy.heads[0].split("\r\n")
        target = f"127.0.0.1:{server.port}" if scheme == "https" else server.url + peer.target
        assert first.rpartition(" ")[0] == f"{'CONNECT' if scheme == 'https' else 'POST'} {target}"
        assert "proxy-authorization: Basic dXNAZXI6aHVudGVyMg==" in [
            line.replace("Proxy-A", "proxy-a") for line in headers
        ]
        if scheme == "https":
            assert not any("proxy-authorization" in request.headers for request in server.requests)
            assert not any("telemetry" in line.lower() for line in headers)
        _, said = one.leave()
        assert "hunter2" not in said


def test_through_a_proxy_that_speaks_tls(tmp_path: Path, ours: Authority, one: Courier) -> None:
    with serving(tls=ours.server) as server, proxying(tls=authority(tmp_path, "theirs").server) as proxy:
        address = server.url
        both = tmp_path / "both.pem"
        both.write_bytes(ours.ca.read_bytes() + (tmp_path / "theirs.ca.pem").read_bytes())
        assert one.ask([record(1)], address, cainfo=str(both), proxy=proxy.url).verdicts == [DELIVERED]
        answer = one.ask([record(1)], address, cainfo=str(ours.ca), proxy=proxy.url)
        # urllib3 1 doesn't say whose certificate it was.
        assert_failed(answer, "certificate" if version("urllib3").startswith("1.") else "proxy", "certificate")


def test_one_tunnel_a_machine_id(ours: Authority, one: Courier) -> None:
    with serving(tls=ours.server) as server, proxying() as proxy:
        for machine in ("", "", OTHER_MACHINE):
            more = {"machine": machine} if machine else {}
            answer = one.ask([record(1)], server.url, cainfo=str(ours.ca), proxy=proxy.url, **more)
            assert answer.verdicts == [DELIVERED]
        assert len(proxy.heads) == 2


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_lets_nothing_through(scheme: str, ours: Authority, one: Courier) -> None:
    server = f"{scheme}://127.0.0.1:{free_port()}"

    def ask(proxy: str) -> Answer:
        answer = one.ask([record(1), record(2)], server, cainfo=str(ours.ca), proxy=proxy)
        assert "hunter2" not in answer.text
        return answer

    assert_failed(ask(f"http://user:hunter2@127.0.0.1:{free_port()}"), "proxy", "nothing listens there")
    assert_failed(ask("ftp://127.0.0.1:9"), "proxy-address")
    assert_failed(ask("http://"), "proxy-address")
    with proxying(b"not HTTP at all\r\n\r\n") as proxy:
        assert_failed(ask(proxy.url), "not-http")
    with proxying(reply(407)) as proxy:
        answer = ask(proxy.url.replace("//", "//user:hunter2@"))
        assert answer.verdicts == [RETRY] * 2
        assert "407" in answer.text and "USER:PASSWORD" in answer.text
    with proxying(reply(403)) as proxy:
        answer = ask(proxy.url)
        assert answer.verdicts == [RETRY] * 2
        assert "403" in answer.text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_environment_counts_only_where_the_settings_say_so_and_are_silent(scheme: str, ours: Authority) -> None:
    with serving(tls=ours.server if scheme == "https" else None) as server, proxying() as proxy, proxying() as other:
        env = {
            **dict.fromkeys(PROXY_NAMES, proxy.url),
            "REQUESTS_CA_BUNDLE": str(ours.ca),
            "CURL_CA_BUNDLE": "/nowhere",
            "no_proxy": "elsewhere.example",
            "NO_PROXY": "elsewhere.example",
        }
        with courier(env=env) as one:

            def ask(expected: int, **way: str) -> None:
                answer = one.ask([record(1)], server.url, **way)
                assert answer.verdicts == [expected], answer.text

            ask(DELIVERED, cainfo=str(ours.ca))
            assert (len(proxy.heads), len(other.heads)) == (0, 0)
            ask(DELIVERED if scheme == "http" else RETRY)
            assert (len(proxy.heads), len(other.heads)) == (0, 0)
            ask(DELIVERED, use_environment="yes")
            assert (len(proxy.heads), len(other.heads)) == (1, 0)
            ask(DELIVERED, use_environment="yes", proxy=other.url)
            assert (len(proxy.heads), len(other.heads)) == (1, 1)
        with courier(env={**env, "no_proxy": "127.0.0.1"}) as one:
            ask(DELIVERED, use_environment="yes")
            assert (len(proxy.heads), len(other.heads)) == (1, 1)
