# SPDX-License-Identifier: Apache-2.0
"""Uptime, users, kernel and distribution, from files of every kind, cut at every byte."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from telemetry_probes.metrics.collectors.system import (
    Collector,
    distribution,
    processor,
    since_boot,
    uptime_s,
    utmp_users,
)
from telemetry_probes.metrics.places import Places

STAT = b"cpu  1 2 3\nctxt 5\nbtime 1700000000\nprocesses 4321\n"
OS_RELEASE = b'PRETTY_NAME="A B"\nNAME="Fedora Linux"\nVERSION_ID=41\n'


def test_the_first_of_uptime() -> None:
    assert uptime_s(b"12.50 3.00\n") == 12.5
    for text in (b"", b"12.5", b"x y\n", b"-1 2\n", b"nan 2\n", b"1e300 2\n", b"12.50 3.0"):
        assert uptime_s(text) is None


def test_boot_and_processes_cut_at_every_byte() -> None:
    assert since_boot(STAT) == (1_700_000_000, 4321)
    for size in range(len(STAT)):
        booted, created = since_boot(STAT[:size])
        assert booted in (None, 1_700_000_000) and created is None


def test_os_release() -> None:
    assert distribution(OS_RELEASE) == {"os.name": "Fedora Linux", "os.version": "41"}
    assert distribution(b"NAME='Arch Linux'\n") == {"os.name": "Arch Linux", "os.version": ""}
    assert distribution(b"\xff\n=\n==") == {"os.name": "", "os.version": ""}


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (b"processor\t: 0\nmodel name\t: AMD EPYC 7763\n\nprocessor: 1\n", "AMD EPYC 7763"),
        (b"Processor\t: ARMv7 rev 4\n", "ARMv7 rev 4"),
        (b"processor\t: 0\n\nmodel name\t: second\n", ""),
        (b"model name\t: cut he", ""),
    ],
)
def test_processor(text: bytes, model: str) -> None:
    assert processor(text) == model


def entry(kind: int, user: bytes) -> bytes:
    return struct.pack("<hxxi32s4s32s256s52x", kind, 1, b"pts/0", b"ts/0", user, b"host")


def test_users_of_utmp() -> None:
    content = entry(2, b"reboot") + entry(7, b"ann") + entry(7, b"ann") + entry(7, b"bob") + entry(8, b"cat")
    assert len(entry(7, b"x")) == 384
    assert utmp_users(content) == 2
    for size in range(0, len(content), 13):
        assert utmp_users(content[:size]) <= 2
    assert utmp_users(content + b"\x07") == 2


def machine(root: Path) -> Places:
    for name, text in {
        "proc/uptime": b"100.00 5.00\n",
        "proc/stat": STAT,
        "proc/sys/kernel/osrelease": b"6.1.0\n",
        "proc/sys/kernel/arch": b"aarch64\n",
        "usr/lib/os-release": OS_RELEASE,
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text)
    return Places(str(root))


def test_all_of_it(tmp_path: Path) -> None:
    collector = Collector(machine(tmp_path), {})
    assert list(collector.sample(1.0)) == [100.0, 1_700_000_000, 4321, None, 1]
    assert dict(collector.series[-1].attributes) == {
        "host.arch": "aarch64", "x.kernel.release": "6.1.0", "os.name": "Fedora Linux", "os.version": "41",
    }  # fmt: skip
    series = collector.series
    collector.sample(300.0)
    assert collector.series is series


def test_users_of_logind(tmp_path: Path) -> None:
    places = machine(tmp_path)
    (tmp_path / "run/systemd/users").mkdir(parents=True)
    assert list(Collector(places, {}).sample(1.0))[3] == 0
    for name in ("1000", "1001", ".#1002abc"):
        (tmp_path / "run/systemd/users" / name).write_text("")
    assert list(Collector(places, {}).sample(1.0))[3] == 2
