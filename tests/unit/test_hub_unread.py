# SPDX-License-Identifier: Apache-2.0
"""Whose unread answer goes where all together are too much."""

from __future__ import annotations

import random

from telemhub.web.unread import Unread


def test_nobody_goes_while_there_is_room() -> None:
    unread: Unread[str] = Unread(100)
    assert unread.add("a", "10.0.0.1", 50) == []
    assert unread.add("b", "10.0.0.1", 50) == []
    unread.forget("a")
    unread.forget("a")
    assert unread.add("c", "10.0.0.2", 50) == []


def test_the_address_with_the_most_makes_room_and_there_the_one_that_waits_longest() -> None:
    unread: Unread[str] = Unread(100)
    for name, address, size in (("honest", "10.0.0.2", 30), ("first", "10.0.0.1", 20), ("second", "10.0.0.1", 20)):
        assert unread.add(name, address, size) == []
    assert unread.add("third", "10.0.0.1", 40) == ["first"]
    assert unread.add("fourth", "10.0.0.1", 70) == ["second", "third"]


def test_one_that_is_larger_than_all_may_have_is_alone() -> None:
    unread: Unread[str] = Unread(100)
    assert unread.add("a", "10.0.0.1", 300) == []
    assert unread.add("b", "10.0.0.2", 300) == ["a"]
    assert unread.add("b", "10.0.0.2", 400) == []


def test_a_network_of_ipv6_is_one_peer() -> None:
    unread: Unread[str] = Unread(100)
    assert unread.add("honest", "2001:db8:0:1::1", 30) == []
    for number in range(7):
        assert unread.add(f"a{number}", f"2001:db8::{number}", 10) == []
    assert unread.add("b", "2001:db8:0:2::1", 10) == ["a0"]


def test_after_any_sequence_the_limit_holds_and_nothing_stays() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        unread: Unread[int] = Unread(100)
        held: dict[int, int] = {}
        for _ in range(200):
            holder, size = chance.randrange(12), chance.randrange(1, 150)
            if chance.random() < 0.3:
                unread.forget(holder)
                held.pop(holder, None)
                continue
            gone = unread.add(holder, f"10.0.0.{holder % 3}", size)
            held[holder] = size
            assert holder not in gone
            for each in gone:
                del held[each]
            assert sum(held.values()) <= 100 or list(held) == [holder]
        for holder in held:
            unread.forget(holder)
        assert not unread._held
        assert not unread._bytes
