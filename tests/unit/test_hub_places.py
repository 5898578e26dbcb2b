# SPDX-License-Identifier: Apache-2.0
"""Who loses a place when all are taken."""

from __future__ import annotations

import pytest

from telemhub.web.places import Places, network


def full(*peers: str) -> Places[int]:
    """Holders 0, 1, ... of these addresses have all the places."""
    places: Places[int] = Places(len(peers))
    for holder, peer in enumerate(peers):
        assert places.enter(holder, peer) is None
    return places


def test_the_address_with_the_most_loses_the_one_that_waits_longest() -> None:
    places = full("10.0.0.1", "10.0.0.2", "10.0.0.2")
    assert places.enter(9, "10.0.0.3") == 1
    assert len(places) == 3


def test_who_asked_lately_waits_shorter() -> None:
    places = full("10.0.0.2", "10.0.0.2")
    places.waits(0)
    assert places.enter(9, "10.0.0.3") == 1


def test_a_complete_request_is_never_displaced() -> None:
    places = full("10.0.0.2", "10.0.0.2", "10.0.0.1")
    places.is_answered(0)
    places.is_answered(1)
    assert places.enter(9, "10.0.0.3") == 2
    places.is_answered(9)
    assert places.enter(10, "10.0.0.4") == 10
    places.waits(0)
    assert places.enter(10, "10.0.0.4") == 0


def test_who_has_gone_makes_room() -> None:
    places = full("10.0.0.1", "10.0.0.1")
    places.leave(0)
    places.leave(0)
    assert places.enter(9, "10.0.0.3") is None and len(places) == 2


def test_who_has_no_place_is_not_counted() -> None:
    places = full("10.0.0.1")
    assert places.enter(9, "10.0.0.3") == 0
    places.waits(0)
    places.is_answered(0)
    places.leave(0)
    assert places.enter(10, "10.0.0.4") == 9


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9%eth0", "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("", ""),
        ("/run/hub.sock", "/run/hub.sock"),
    ],
)
def test_what_counts_as_one(address: str, peer: str) -> None:
    assert network(address) == peer
