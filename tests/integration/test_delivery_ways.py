# SPDX-License-Identifier: Apache-2.0
"""From telemd's settings to the server, by each transport and way: TLS with certificates of both sides, proxies, the
environment. How the courier alone takes all that is tested in test_courier_tls.py.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from httppeer import authority, serving
from proxypeer import proxying
from running import Root, running, state_root
from senders import Burst
from transportpeers import PEERS

if TYPE_CHECKING:
    from pathlib import Path

COUNT = 50


def send(root: Root, numbers: range) -> None:
    """All are durable then."""
    burst = Burst(root.socket5, numbers).start()
    burst.join()
    assert burst.durable == set(numbers)


@pytest.mark.parametrize("name", sorted(PEERS))
def test_every_record_arrives_once_by_a_proxy_and_with_certificates_of_both_sides(name: str, tmp_path: Path) -> None:
    peer = PEERS[name]
    ours = authority(tmp_path, "ours")
    ours.server.load_verify_locations(ours.ca)
    ours.server.verify_mode = ssl.CERT_REQUIRED
    with serving(peer.good, ours.server) as server, proxying() as proxy:
        settings = {
            "server": server.url + peer.path,
            "transport": name,
            "cainfo": str(ours.ca),
            "client_certificate": str(ours.certificate),
            "client_key": str(ours.key),
            "proxy": proxy.url,
            "tidheader": "X-Our-Id: 17",
        }
        with (
            state_root(opted_in=True, **settings) as root,
            running(root, env={"https_proxy": "http://127.0.0.1:9"}) as telemd,
        ):
            send(root, range(COUNT))
            assert telemd.wait_delivered()["delivered"] == COUNT
        seen = [each.payload for request in server.requests for each in peer.read(request)]
        assert len(seen) == COUNT
        assert {request.headers["x-our-id"] for request in server.requests} == {"17"}
        assert server.connections == len(proxy.heads)


def test_the_environment_counts_where_the_settings_say_so(tmp_path: Path) -> None:
    ours = authority(tmp_path, "ours")
    with serving(PEERS["hub"].good, ours.server) as server, proxying() as proxy:
        env = {"HTTPS_PROXY": proxy.url, "https_proxy": proxy.url, "REQUESTS_CA_BUNDLE": str(ours.ca), "no_proxy": ""}
        with state_root(server=server.url, use_environment=True) as root, running(root, env=env) as telemd:
            send(root, range(COUNT))
            assert telemd.wait_delivered()["delivered"] == COUNT
        assert proxy.heads
        before = len(server.requests)
        with state_root(server=server.url, retry_max_s=1) as root, running(root, env=env) as telemd:
            send(root, range(COUNT))
            telemd.wait_log("is not trusted")
            assert telemd.account()["pending"] == COUNT
        assert len(server.requests) == before


def test_one_record_a_request_goes_on_from_batch_to_batch_on_one_connection() -> None:
    peer = PEERS["backend-json"]
    with serving(peer.good) as server:
        settings: dict[str, str | int] = {
            "server": server.url + peer.path,
            "transport": "backend-json",
            "delivery_batch_records": 100,
        }
        with state_root(opted_in=True, **settings) as root, running(root) as telemd:
            send(root, range(1000))
            assert telemd.wait_delivered()["delivered"] == 1000
        assert len(server.requests) == 1000
        assert server.connections == 1
