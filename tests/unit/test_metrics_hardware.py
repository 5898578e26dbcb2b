# SPDX-License-Identifier: Apache-2.0
"""The small texts that hardware, the kernel and programs say, read by collectors of hardware."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from telemetry_probes.metrics import packages
from telemetry_probes.metrics.collectors import battery, emmc, pi, raid, sensors, wifi
from telemetry_probes.metrics.hardware import Point, Row, plain, scaled, temperature, uevent, whole
from telemetry_probes.metrics.model import GAUGE, Metric
from telemetry_probes.metrics.places import Places

HOSTILE = (
    b"",
    b"\n",
    b"nan\n",
    b"inf\n",
    b"-\n",
    b"0x10\n",
    b"1e5\n",
    b"\xff\n",
    b"\0\0",
    b"9" * 5000,
    b"1 2\n",
    b"1.5\n",
)


@pytest.mark.parametrize(
    ("content", "celsius"),
    [
        (b"45000\n", 45.0),
        (b"1\n", 0.001),
        (b"199999\n", 199.999),
        (b"0\n", None),
        (b"200000\n", None),
        (b"-62000\n", None),
    ],
)
def test_temperatures_that_can_be(content: bytes, celsius: float | None) -> None:
    assert temperature(content) == celsius


@pytest.mark.parametrize("content", [*HOSTILE, b"18446744073709551615\n"])
def test_what_is_no_number_has_no_value(content: bytes) -> None:
    assert temperature(content) is None
    assert scaled(content, 1000, -100, 100) is None
    assert whole(content, 0, 1 << 53) is None
    assert all(sensors.value(kind, content) is None for kind in ("temp", "fan", "in", "power"))


def test_sensors_in_their_units() -> None:
    assert sensors.value("fan", b"1125\n") == 1125
    assert sensors.value("in", b"-5040\n") == -5.04
    assert sensors.value("power", b"143000000\n") == 143.0
    assert sensors.value("fan", b"4294967295\n") is None


def test_sensors_of_one_name_are_numbered() -> None:
    found = [
        sensors.Sensor(kind, name, "") for kind, name in (("temp", "a"), ("temp", "a_1"), ("temp", "a"), ("fan", "a"))
    ]
    sensors.numbered(found)
    assert [sensor.name for sensor in found] == ["a", "a_1", "a_2", "a"]


def test_a_label_as_part_of_a_name() -> None:
    assert sensors.identifier(" Package id 0\n") == "package_id_0"
    assert sensors.identifier("\x1b[2J\ud800évil") == "[2j_évil"


def test_names_are_one_printable_line() -> None:
    assert plain("a\nb\tc\x00d") == "a b c d"
    assert len(plain("x" * 5000)) == 64


def test_row_keeps_its_series_while_they_are_the_same() -> None:
    metric = Metric("x.some", "1", GAUGE, "Something")
    row = Row()
    assert row.of([Point(metric, 1, ("a", "b")), Point(metric, 2), Point(metric, 3)]) == [1, 2]
    series = row.series
    assert row.of([Point(metric, 4, ("a", "b")), Point(metric, None)]) == [4, None]
    assert row.series is series
    row.of([Point(metric, 4, ("a", "c")), Point(metric, None)])
    assert row.series is not series


def test_charge_is_never_more_than_full() -> None:
    assert battery.charge({"POWER_SUPPLY_ENERGY_NOW": "51", "POWER_SUPPLY_ENERGY_FULL": "50"}) == 1.0
    assert battery.charge({"POWER_SUPPLY_CHARGE_NOW": "1", "POWER_SUPPLY_CHARGE_FULL": "4"}) == 0.25
    assert battery.charge({"POWER_SUPPLY_CAPACITY": "79"}) == 0.79


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"ENERGY_NOW": "5", "ENERGY_FULL": "0"},
        {"ENERGY_NOW": "-5", "ENERGY_FULL": "50"},
        {"ENERGY_NOW": str(2**64), "ENERGY_FULL": str(2**64)},
        {"ENERGY_NOW": "500", "ENERGY_FULL": "1"},
        {"CAPACITY": "101"},
        {"CAPACITY": "nan"},
    ],
)
def test_a_charge_that_cannot_be(fields: dict[str, str]) -> None:
    assert battery.charge({f"POWER_SUPPLY_{name}": value for name, value in fields.items()}) is None


def test_power_of_a_battery() -> None:
    assert battery.power({"POWER_SUPPLY_POWER_NOW": "-5064000"}) == 5.064
    both = {"POWER_SUPPLY_CURRENT_NOW": "-12000", "POWER_SUPPLY_VOLTAGE_NOW": "12480000"}
    assert battery.power(both) == 0.14976
    assert battery.power({"POWER_SUPPLY_CURRENT_NOW": "-12000"}) is None


def test_states_of_a_battery() -> None:
    assert battery.state({"POWER_SUPPLY_STATUS": "Not charging"}) == "not_charging"
    assert battery.state({"POWER_SUPPLY_STATUS": "On fire"}) == "unknown"
    assert uevent(b"A=1\nB\nC=2=3\n\xff=x\n") == {"A": "1", "C": "2=3", "\ufffd": "x"}


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("1 / 4", 0.25),
        ("0 / 4", 0.0),
        ("4 / 4", 1.0),
        ("5 / 4", None),
        ("0 / 0", None),
        ("none", None),
        ("-1 / 4", None),
        ("delayed", None),
    ],
)
def test_how_far_a_resync_is(text: str, share: float | None) -> None:
    assert raid.done(text) == share


def test_how_worn_emmc_is() -> None:
    assert emmc.lives("0x01 0x0b") == (0.1, 1.1)
    assert emmc.lives("0x00 0x0c") == (None, None)
    assert emmc.lives("worn") == (None, None)
    assert [emmc.reserve(text) for text in ("0x01", "0x02", "0x03", "0x00", "0x04", "", "x")] == [
        "normal",
        "warning",
        "urgent",
        "",
        "",
        "",
        "",
    ]


WIRELESS = b"""Inter-| sta-|   Quality        |   Discarded packets               | Missed | WE
 face | tus | link level noise |  nwid  crypt   frag  retry   misc | beacon | 22
wlp3s0: 0000   58.  -52.  -256        0      0      0      0   9213        0
  wlan1: 0000    0     0     0        0      0      0      0      0        0
"""


def test_wireless_extensions() -> None:
    assert wifi.received(WIRELESS) == {"wlp3s0": (-52, 58 / 70), "wlan1": (None, 0.0)}


def test_wireless_extensions_cut_anywhere() -> None:
    for size in range(len(WIRELESS)):
        for signal, quality in wifi.received(WIRELESS[:size]).values():
            assert signal is None or -120 <= signal <= 20
            assert quality is None or 0 <= quality <= 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("plain", "plain"),
        ("Caf\\xc3\\xa9", "Café"),
        ("\\x", "\\x"),
        ("\\xzz", "\\xzz"),
        ("a\\x00b", "a b"),
        ("\\xff" * 99, "\ufffd" * 32),
    ],
)
def test_names_of_networks(text: str, name: str) -> None:
    assert wifi.unescaped(text) == name


def test_a_link_and_none() -> None:
    link = wifi.linked(
        b"Connected to 04:18:d6:00:11:22 (on wlan0)\n\tSSID: a: b\n\tfreq: 5180.0\n\tsignal: -52 dBm\n"
        b"\ttx bitrate: 6.5 MBit/s\n"
    )
    assert (link.ssid, link.access_point, link.signal_dbm) == ("a: b", "04:18:d6:00:11:22", -52)
    assert (link.frequency_hz, link.transmit, link.receive) == (5_180_000_000, 6_500_000, None)
    for output in (
        b"Not connected.\n",
        b"Connected to ",
        b"\tsignal: strong\n\tfreq: x\n\ttx bitrate: -1 MBit/s\n",
        b"\xff" * 99,
    ):
        none = wifi.linked(output)
        assert (none.ssid, none.signal_dbm, none.frequency_hz, none.transmit) == ("", None, None, None)


@pytest.mark.parametrize(
    ("said", "bits"),
    [
        (b"50005\n", 0x50005),
        (b"throttled=0x50005\n", 0x50005),
        (b"0\n", 0),
        (b"error=1", None),
        (b"-1", None),
        (b"1" * 9, None),
    ],
)
def test_a_raspberry_pi_is_throttled(said: bytes, bits: int | None) -> None:
    assert pi.throttled(said) == bits


def test_why_a_raspberry_pi_is_throttled() -> None:
    assert pi.reasons(0x50005) == [1, 0, 1, 0, 1, 0, 1, 0]
    assert pi.reasons(None) == [None] * 8


@pytest.mark.parametrize(
    ("said", "hertz", "volts"),
    [
        (b"frequency(48)=1500398464\n", 1_500_398_464, None),
        (b"frequency(46)=0\n", None, None),
        (b"frequency(46)=-1\n", None, None),
        (b"volt=0.8600V\n", None, 0.86),
        (b"volt=V\n", None, None),
        (b"volt=1\n", None, None),
        (b"volt=9999.0V\n", None, None),
        (b"volt=nanV\n", None, None),
        (b"volt=1.0", None, None),
        (b"error=2", None, None),
        (b"", None, None),
    ],
)
def test_clock_and_voltage(said: bytes, hertz: int | None, volts: float | None) -> None:
    assert (pi.clock(said), pi.voltage(said)) == (hertz, volts)


APT = b"""Inst bash [5.2.15-2+b7] (5.2.15-2+b8 Debian:12.8/stable [arm64])
Inst linux-new (6.6.51 Debian:12.8/stable [arm64])
Inst php-security [1] (2 Debian:12.8/stable [all])
Inst openssl [3.0.14] (3.0.15 Debian:12.8/stable, Debian-Security:12/stable-security [arm64]) []
Inst curl [7] (8 Ubuntu:22.04/jammy-updates, Ubuntu:22.04/jammy-security [amd64])
Conf bash (5.2.15-2+b8 Debian:12.8/stable [arm64])
"""


def test_updates_that_wait() -> None:
    assert packages.waiting_of_apt(APT) == (4, 2)
    assert packages.waiting_of_dnf(b"\nbash.x86_64  5.2  baseos\nObsoleting Packages\nnew.x86_64 1 a\n") == 1
    assert packages.waiting_of_zypper(b"S | Repository | Name\n--+---\nv | Main | bash | 5 | 6 | x86_64\n") == 1
    assert packages.waiting_of_pacman(b"a 1-1 -> 2-1\nb 1-1 -> 2-1 [ignored]\n") == 1
    assert packages.waiting_of_apk(b"busybox-1 aarch64 {busybox} (GPL) [upgradable from: busybox-0]\n") == 1


def test_updates_for_security_are_counted_once_a_package() -> None:
    assert (
        packages.security_of_dnf(b"RHSA-1 Important/Sec. a-1.x86_64\nRHSA-2 Low/Sec. a-1.x86_64\nRHBA-3 bugfix b-1\n")
        == 1
    )
    assert packages.security_of_dnf(b"FEDORA-2024-1 security Important a-1.fc41.x86_64 2024-11-01 00:00:00\n") == 1


@pytest.mark.parametrize(
    "understood",
    [
        packages.waiting_of_apt,
        packages.waiting_of_dnf,
        packages.security_of_dnf,
        packages.waiting_of_zypper,
        packages.waiting_of_pacman,
        packages.waiting_of_apk,
    ],
)
def test_output_of_another_form_has_no_updates(understood: Callable[[bytes], object]) -> None:
    for output in (*HOSTILE, b"E: Could not get lock", b"Error: cache is empty\n" * 9):
        assert understood(output) in (0, (0, 0))


@pytest.mark.parametrize("piece", [1, 7, 64, 1 << 16])
def test_lines_are_counted_whatever_the_pieces(tmp_path: object, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    monkeypatch.setattr(packages, "_PIECE_BYTES", piece)
    content = b"P:a\nV:1\n\nP:b\nXP:c\nP:\nP:last"
    places = Places(str(tmp_path))
    with open(f"{tmp_path}/db", "wb") as file:
        file.write(content)
    assert packages.lines_beginning(places, "/db", b"P:") == 4
    assert packages.lines_beginning(places, "/db", b"P:", b"V:") == 5
    assert packages.lines_beginning(places, "/none", b"P:") is None
