# SPDX-License-Identifier: Apache-2.0
"""Which names a filter takes: what people who come from other agents rely on."""

from __future__ import annotations

import time

import pytest

from telemetry_probes.metrics.collectors.network import SKIPPED
from telemetry_probes.metrics.filters import ALL, PATTERNS_MAX, Filter, matches

NAMES = ("eth0", "eth1", "wlan0", "lo", "docker0", "veth12", "wg0", "tailscale0")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        (ALL, ["eth0", "eth1", "wlan0"]),
        ("", []),
        ("  ", []),
        (",", []),
        ("eth0", ["eth0"]),
        ("eth*", ["eth0", "eth1"]),
        ("*", list(NAMES)),
        ("wg0, docker0", ["docker0", "wg0"]),
        ("-eth1", ["eth0", "wlan0"]),
        ("-eth*", ["wlan0"]),
        ("- eth1 , wlan*", ["eth0"]),
        ("-*", []),
        ("-,", ["eth0", "eth1", "wlan0"]),
        ("*th*", ["eth0", "eth1", "veth12"]),
        ("ETH0", []),
    ],
)
def test_interfaces(text: str, taken: list[str]) -> None:
    nics = Filter(text, SKIPPED)
    assert [name for name in NAMES if nics.takes(name)] == taken


def test_a_list_of_what_is_left_out_keeps_what_is_skipped_anyway() -> None:
    assert not Filter("-eth0", ("lo",)).takes("lo")
    assert Filter("lo", ("lo",)).takes("lo")


@pytest.mark.parametrize(
    ("pattern", "name", "fits"),
    [
        ("", "", True), ("", "a", False), ("*", "", True), ("**", "a", True), ("a*", "a", True), ("*a", "a", True),
        ("a*a", "a", False), ("a*a", "aa", True), ("a*b*c", "a1b2c", True), ("a*b*c", "acb", False),
        ("*b*b*", "ab", False), ("*b*b*", "abab", True), ("a?", "ab", False), ("[ab]", "a", False),
        ("a.b", "axb", False),
    ],
)  # fmt: skip
def test_only_the_star_stands_for_others(pattern: str, name: str, fits: bool) -> None:
    assert matches(pattern, name) is fits


def test_hostile_filters_cost_little() -> None:
    began_s = time.process_time()
    assert not matches("*a" * 2000 + "b", "a" * 5000)
    assert not Filter(",".join(["a*" * 50] * 100_000)).takes("b")
    assert time.process_time() - began_s < 2


def test_no_more_patterns_than_the_limit() -> None:
    names = [f"n{number}" for number in range(PATTERNS_MAX + 1)]
    many = Filter(",".join(names))
    assert many.takes(names[PATTERNS_MAX - 1])
    assert not many.takes(names[PATTERNS_MAX])
