# SPDX-License-Identifier: Apache-2.0
"""What a container API and pvesh say, true and not."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from telemetry_probes.metrics import containerapi, jsonfigures, proxmox
from telemetry_probes.metrics.workload import Workload, share

SCENES = Path(__file__).parents[1] / "golden/metrics"
DOCKER = SCENES / "containers/root/run/docker.sock.d"
STATS = sorted(DOCKER.glob("containers/*/stats"))
ID = "ab" * 32
HOSTILE: tuple[Any, ...] = (
    None, True, -1, 2**64, 2**70, float("nan"), float("inf"), "7", "", [], {}, [[]], {"x": {}}, "\n\x1b", "x" * 10_000,
)  # fmt: skip


def filled(said: object, before: tuple[float, float] | None = None) -> Workload:
    made = Workload("a", "docker", "", "running", "none")
    containerapi.filled(made, said, before, None)
    return made


def test_whose_api_it_is() -> None:
    podman = json.loads((SCENES / "containers/root/run/podman/podman.sock.d/version").read_text())
    assert containerapi.runtime(json.loads((DOCKER / "version").read_text())) == "docker"
    assert containerapi.runtime(podman) == "podman"
    with pytest.raises(ValueError, match="isn't that of a container API"):
        containerapi.runtime({"hello": "world"})


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 2 hours (healthy)", "healthy"),
        ("Up About a minute (unhealthy)", "unhealthy"),
        ("Up 3 seconds (health: starting)", "starting"),
        ("Up 2 hours (Paused)", "none"),
        ("", "none"),
    ],
)
def test_health(status: str, health: str) -> None:
    assert containerapi.health(status) == health


def test_a_list_that_lies_has_few_containers() -> None:
    listed = [
        {"Id": ID, "Names": ["/a\n\x1b[2J"], "Image": "i" * 10_000, "State": 7, "Status": []},
        {"Id": "../../images/json?x=" + ID, "Names": ["/path"]},
        {"Id": ID.upper(), "Names": ["/upper"]},
        {"Id": "12" * 32, "Names": []},
        {"Id": "34" * 32, "Names": [None]},
        {"Id": "56" * 32, "Names": ["/"]},
        {"Id": "78" * 32, "Names": ["/twice"]},
        {"Id": "9a" * 32, "Names": ["/twice"]},
        *HOSTILE,
    ]
    found = containerapi.containers(listed, "docker")
    assert [each.name for each in found.values()] == ["a??[2J", "twice"]
    assert found[ID].state == "unknown"
    assert len(found[ID].image) == jsonfigures.TEXT_CHARS_MAX
    many = [{"Id": f"{number:064x}", "Names": [f"/c{number}"]} for number in range(100_000)]
    assert len(containerapi.containers(many, "docker")) <= 4 * containerapi.CONTAINERS_MAX
    with pytest.raises(ValueError, match="no list"):
        containerapi.containers({"message": "no"}, "docker")


def test_memory_leaves_out_what_is_only_cached() -> None:
    usage = {"usage": 1000}
    assert filled({"memory_stats": usage}).memory_bytes == 1000
    assert filled({"memory_stats": {**usage, "stats": {"inactive_file": 400}}}).memory_bytes == 600
    old = {"total_inactive_file": 300, "inactive_file": 1}
    assert filled({"memory_stats": {**usage, "stats": old}}).memory_bytes == 700, "of cgroup v1 the total counts"
    assert filled({"memory_stats": {**usage, "stats": {"inactive_file": 2000}}}).memory_bytes == 1000


def test_processors_are_shares_of_the_system() -> None:
    said = {"cpu_stats": {"cpu_usage": {"total_usage": 3_000_000_000}, "system_cpu_usage": 50_000_000_000}}
    assert filled(said).cpu_share is None
    assert filled(said, (1_000_000_000, 42_000_000_000)).cpu_share == 0.25
    assert filled(said, (4_000_000_000, 42_000_000_000)).cpu_share is None, "it was started anew"
    assert filled(said, (1_000_000_000, 50_000_000_000)).cpu_share is None, "no time has passed"
    assert filled(said, (1_000_000_000, 49_000_000_000)).cpu_share is None, "more than there is"
    assert filled(said).cpu_s == 3.0


@pytest.mark.parametrize(("used", "of_all", "found"), [(0, 1, 0), (1, 1, 1), (1.05, 1, 1), (2, 1, None), (-1, 1, None)])
def test_share(used: float, of_all: float, found: float | None) -> None:
    assert share(used, of_all) == found


def changed(value: Any, chance: random.Random) -> Any:
    """The same with something in it that nobody would say."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        return {**value, key: changed(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        return [*value[:at], changed(value[at], chance), *value[at + 1 :]]
    return chance.choice(HOSTILE)


def test_figures_that_lie_are_none() -> None:
    chance = random.Random(4)
    for path in STATS:
        for _ in range(200):
            found = filled(changed(json.loads(path.read_text()), chance), (0, 0))
            for value in found.values():
                assert value is None or 0 <= value < 1 << 64


def test_guests_that_lie() -> None:
    said = (SCENES / "proxmox/root/usr/bin/pvesh.said").read_bytes()
    listed = json.loads(said)
    assert [each.name for each in proxmox.guests(said, "pve2", 4)] == ["elsewhere-200"]
    chance = random.Random(5)
    read = 0
    for _ in range(300):
        try:
            guests = proxmox.guests(json.dumps(changed(listed, chance)).encode(), "pve1", 8)
        except ValueError:
            continue  # what is no list
        read += 1
        for guest in guests:
            assert all(value is None or 0 <= value < 1 << 64 for value in guest.values())
    assert read > 200
    for bad in (b"", b"{}", b"[" * 100_000, said[:-9], b"\xff"):
        with pytest.raises(ValueError, match="."):
            proxmox.guests(bad, "pve1", 8)


def test_no_processors_no_share() -> None:
    [guest] = proxmox.guests(b'[{"type":"lxc","vmid":7,"node":"n","cpu":0.5,"maxcpu":2}]', "n", 0)
    assert (guest.name, guest.cpu_share) == ("lxc-7", None)
