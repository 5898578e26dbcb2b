# SPDX-License-Identifier: Apache-2.0
"""/proc/net/dev and sysfs: which interfaces, those that come, go or are renamed, hundreds of them; and sockstat."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors import connections
from telemetry_probes.metrics.collectors.network import Collector, counters, head, name_in, whole
from telemetry_probes.metrics.lines import LOOK_AGAIN_S
from telemetry_probes.metrics.places import Places

HEAD = """Inter-|   Receive                       |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes  packets errs drop fifo colls carrier compressed
"""


def nic(name: str, received: int = 1000, packets: int = 10) -> str:
    return f"{name:>6}: {received} {packets} 1 2 0 0 0 0 {min(2000, received * 2)} {packets * 2} 3 4 0 0 0 0\n"


def machine(root: Path, *lines: str) -> Places:
    (root / "proc/self/net").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/net/dev").write_text(HEAD + "".join(lines))
    return Places(str(root))


def says(root: Path, name: str, **files: str) -> None:
    folder = root / "sys/class/net" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        (folder / file).write_text(f"{text}\n")


def values(collector: Collector, now_s: float) -> dict[str, object]:
    row = collector.sample(now_s)
    return {
        " ".join([series.metric.name, *(value for _, value in series.attributes)]): value
        for series, value in zip(collector.series, row, strict=True)
    }


def interfaces(collector: Collector, now_s: float) -> set[str]:
    collector.sample(now_s)
    return {dict(series.attributes)["network.interface.name"] for series in collector.series}


def test_units_and_directions(tmp_path: Path) -> None:
    says(tmp_path, "eth0", address="02:00:00:00:00:01", operstate="up", mtu="1500", speed="10000")
    collector = Collector(machine(tmp_path, nic("lo"), nic("eth0")), {"nics": "-"})
    assert values(collector, 1.0) == {
        "system.network.io eth0 receive": 1000,
        "system.network.packet.count eth0 receive": 10,
        "system.network.errors eth0 receive": 1,
        "system.network.packet.dropped eth0 receive": 2,
        "system.network.io eth0 transmit": 2000,
        "system.network.packet.count eth0 transmit": 20,
        "system.network.errors eth0 transmit": 3,
        "system.network.packet.dropped eth0 transmit": 4,
        "x.network.mtu eth0": 1500,
        "x.network.speed eth0": 10_000_000_000,
        "x.network.interface eth0 02:00:00:00:00:01 up": 1,
    }
    collector.close()


@pytest.mark.parametrize(
    ("nics", "found"),
    [
        ("-", {"eth0", "wlan0"}),
        ("-wlan*", {"eth0"}),
        ("", set()),
        ("lo,veth*", {"lo", "veth1a"}),
        ("*", {"lo", "eth0", "wlan0", "docker0", "veth1a", "br-12", "tailscale0"}),
    ],
)
def test_which_interfaces(tmp_path: Path, nics: str, found: set[str]) -> None:
    names = ("lo", "eth0", "wlan0", "docker0", "veth1a", "br-12", "tailscale0")
    collector = Collector(machine(tmp_path, *map(nic, names)), {"nics": nics})
    assert interfaces(collector, 1.0) == found
    collector.close()


def test_interfaces_that_come_and_go(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, nic("lo")), {"nics": "-"})
    assert collector.sample(1.0) == []
    machine(tmp_path, nic("lo"), nic("eth0"))
    assert interfaces(collector, 2.0) == {"eth0"}
    machine(tmp_path, nic("lo"), nic("eth1"))
    assert interfaces(collector, 3.0) == {"eth1"}
    machine(tmp_path, nic("eth0"), nic("lo"), nic("eth1"))
    assert interfaces(collector, 4.0) == {"eth0", "eth1"}
    machine(tmp_path)
    assert collector.sample(5.0) == []
    collector.close()


def test_one_that_is_made_anew_begins_anew(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, nic("ppp0", 2**32 - 5, 100)), {"nics": "-"})
    collector.sample(1.0)
    machine(tmp_path, nic("ppp0", 7, 101))
    assert values(collector, 2.0)["system.network.io ppp0 receive"] == 2**32 + 7
    machine(tmp_path, nic("ppp0", 9, 2))
    assert values(collector, 3.0)["system.network.io ppp0 receive"] == 9
    collector.close()


def test_sysfs_is_read_again_every_minute(tmp_path: Path) -> None:
    says(tmp_path, "eth0", operstate="up", mtu="1500", speed="1000")
    collector = Collector(machine(tmp_path, nic("eth0")), {"nics": "-"})
    collector.sample(100.0)
    series = collector.series
    says(tmp_path, "eth0", operstate="up", mtu="9000", speed="-1")
    assert values(collector, 101.0)["x.network.mtu eth0"] == 1500
    later = values(collector, 100.0 + LOOK_AGAIN_S)
    assert (later["x.network.mtu eth0"], later["x.network.speed eth0"]) == (9000, None)
    assert collector.series is series
    says(tmp_path, "eth0", operstate="down")
    assert "x.network.interface eth0 down" in values(collector, 100.0 + 2 * LOOK_AGAIN_S)
    collector.close()


def test_500_interfaces_of_which_one_is_wanted(tmp_path: Path) -> None:
    many = [nic(f"veth{number}") for number in range(500)]
    collector = Collector(machine(tmp_path, *many, nic("eth0")), {"nics": "-"})
    assert interfaces(collector, 1.0) == {"eth0"}
    began_s = time.process_time()
    for turn in range(100):
        collector.sample(1.0 + turn / 100)
    assert time.process_time() - began_s < 2
    collector.close()


def test_500_interfaces_that_are_all_wanted(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path, *(nic(f"veth{number}") for number in range(500))), {"nics": "*"})
    assert len(collector.sample(1.0)) == 500 * 11
    collector.close()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    places = machine(tmp_path)
    dev = tmp_path / "proc/self/net/dev"
    dev.write_bytes(dev.read_bytes() + nic("X").encode().replace(b"X", b"\xff\xfe"))
    collector = Collector(places, {"nics": "-"})
    assert interfaces(collector, 1.0) == {"\\xff\\xfe"}
    collector.close()


def test_heads_cut_at_every_byte() -> None:
    line = nic("eth0").rstrip("\n").encode()
    beginning = head(line)
    assert (beginning, name_in(beginning)) == (b"  eth0:", b"eth0")
    assert counters(line[len(beginning) :]) == [1000, 10, 1, 2, 2000, 20, 3, 4]
    for size in range(len(line)):
        assert head(line[:size]) in (b"", beginning)


@pytest.mark.parametrize(("text", "number"), [("", None), ("-1", None), ("10", 10), ("1e3", None), ("9" * 20, None)])
def test_small_numbers(text: str, number: int | None) -> None:
    assert whole(text) == number


# ---- connections ----------------------------------------------------------------------------------------------------

SOCKSTAT = b"sockets: used 21\nTCP: inuse 2 orphan 1 tw 40 alloc 3 mem 245\nUDP: inuse 3 mem 0\n"
SNMP = b"Ip: A B\nIp: 1 2\nTcp: RtoMin MaxConn CurrEstab InSegs\nTcp: 200 -1 17 99\nUdp: X\nUdp: 1\n"


def test_sockets() -> None:
    assert connections.sockets(SOCKSTAT, b"TCP:")[b"tw"] == 40
    assert connections.sockets(SOCKSTAT, b"UDP:")[b"inuse"] == 3
    assert connections.sockets(SOCKSTAT, b"UDPLITE:") == {}
    assert connections.established(SNMP) == 17


def test_connections_cut_at_every_byte() -> None:
    for size in range(len(SOCKSTAT)):
        assert connections.sockets(SOCKSTAT[:size], b"TCP:").get(b"tw") in (None, 40)
    for size in range(len(SNMP)):
        assert connections.established(SNMP[:size]) in (None, 17)


def test_both_kinds_of_udp_and_a_machine_without_ipv6(tmp_path: Path) -> None:
    net = tmp_path / "proc/self/net"
    net.mkdir(parents=True)
    (net / "sockstat").write_bytes(SOCKSTAT)
    (net / "snmp").write_bytes(SNMP)
    collector = connections.Collector(Places(str(tmp_path)), {})
    assert list(collector.sample(1.0)) == [17, 40, 1, 3]
    collector.close()
    (net / "sockstat6").write_bytes(b"TCP6: inuse 1\nUDP6: inuse 4\n")
    collector = connections.Collector(Places(str(tmp_path)), {})
    assert list(collector.sample(1.0)) == [17, 40, 1, 7]
    collector.close()
