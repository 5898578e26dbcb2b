# SPDX-License-Identifier: Apache-2.0
"""Packages that were changed: dpkg's and pacman's log, and rpm's database."""

from __future__ import annotations

import random
import sqlite3
import struct
import sys
from calendar import timegm
from pathlib import Path

import pytest

from telemetry_probes.boots import changes
from telemetry_probes.boots.changes import Change
from telemetry_probes.crash import rpmdb


def to_s(local: tuple[int, int, int, int, int, int]) -> int:
    """A zone of two hours to the east."""
    return timegm((*local, 0, 0, 0)) - 7200


def rows(found: list[Change]) -> list[tuple[int, str, str, str, str]]:
    return [(each.at_s, each.what, each.name, each.before, each.after) for each in found]


NOON = timegm((2026, 11, 21, 12, 0, 0, 0, 0, 0))

DPKG = """\
2026-11-21 14:00:00 startup archives unpack
2026-11-21 14:00:01 upgrade linux-image-amd64:amd64 6.1.1-1 6.1.2-1
2026-11-21 14:00:01 status half-configured linux-image-amd64:amd64 6.1.1-1
2026-11-21 14:00:02 install linux-image-6.1.0-2-amd64:amd64 <none> 6.1.2-1
2026-11-21 14:00:03 remove old-thing:all 1:2.0~rc1 <none>
2026-11-21 14:00:04 purge old-thing:all 1:2.0~rc1 <none>
2026-11-21 14:00:05 configure linux-image-amd64:amd64 6.1.2-1 <none>
"""


def test_dpkg() -> None:
    assert rows(changes.of_dpkg(DPKG, to_s)) == [
        (NOON + 1, "changed", "linux-image-amd64", "6.1.1-1", "6.1.2-1"),
        (NOON + 2, "installed", "linux-image-6.1.0-2-amd64", "", "6.1.2-1"),
        (NOON + 3, "removed", "old-thing", "1:2.0~rc1", ""),
    ]


PACMAN = """\
[2026-11-21T12:00:00+0000] [PACMAN] Running 'pacman -Syu'
[2026-11-21T14:00:01+0200] [ALPM] upgraded linux (6.1.arch1-1 -> 6.2.arch1-1)
[2026-11-21T07:00:02-0500] [ALPM] installed zlib-ng (2.1-1)
[2026-11-21T12:00:03+0000] [ALPM] removed old-thing (1:2-1)
[2026-11-21T12:00:04+0000] [ALPM] downgraded mesa (24-2 -> 24-1)
[2026-11-21T12:00:05+0000] [ALPM] reinstalled bash (5.2-1)
[2026-11-21T12:00:05+0000] [ALPM] running '30-systemd-update.hook'...
[2026-11-21 14:01] [ALPM] upgraded bash (5.1-1 -> 5.2-1)
"""


def test_pacman() -> None:
    assert rows(changes.of_pacman(PACMAN, to_s)) == [
        (NOON + 1, "changed", "linux", "6.1.arch1-1", "6.2.arch1-1"),
        (NOON + 2, "installed", "zlib-ng", "", "2.1-1"),
        (NOON + 3, "removed", "old-thing", "1:2-1", ""),
        (NOON + 4, "changed", "mesa", "24-2", "24-1"),
        (NOON + 5, "changed", "bash", "5.2-1", "5.2-1"),
        (NOON + 60, "changed", "bash", "5.1-1", "5.2-1"),
    ]


@pytest.mark.parametrize("year", [1970, 1999, 2000, 2024, 2026, 2100, 2400])
def test_days_of_the_calendar(year: int) -> None:
    for month, day in ((1, 1), (2, 28), (3, 1), (12, 31)):
        line = f"[{year}-{month:02}-{day:02}T01:02:03+0000] [ALPM] installed a (1)\n"
        (found,) = changes.of_pacman(line, to_s)
        assert found.at_s == timegm((year, month, day, 1, 2, 3, 0, 0, 0))


@pytest.mark.parametrize(
    "line",
    [
        "2026-13-21 14:00:01 upgrade a:amd64 1 2",
        "2026-11-21 24:00:01 upgrade a:amd64 1 2",
        "2026-11-21 14:00:01 upgrade a:amd64 1",
        "2026-11-21 14:00:01 upgrade a/b:amd64 1 2",
        "2026-11-21 14:00:01 upgrade a:amd64 1 \x1b[31m2",
        "2026-11-21 14:00:01 upgrade ü:amd64 1 2",
        f"2026-11-21 14:00:01 upgrade {'a' * 97}:amd64 1 2",
        "٢٠٢٦-11-21 14:00:01 upgrade a:amd64 1 2",
        "",
        "upgrade",
    ],
)
def test_lines_that_are_none(line: str) -> None:
    assert changes.of_dpkg(line, to_s) == []
    assert changes.of_pacman(line, to_s) == []


def test_anything_at_all() -> None:
    dice = random.Random(3)
    for text in (DPKG, PACMAN):
        for _ in range(300):
            letters = list(text)
            for _ in range(dice.randrange(1, 20)):
                letters[dice.randrange(len(letters))] = chr(dice.choice([0, 10, 32, 45, 58, 91, 93, 255, 0x1F600]))
            changes.of_dpkg("".join(letters), to_s)
            changes.of_pacman("".join(letters), to_s)


def test_since_then_and_not_from_the_future() -> None:
    found = changes.of_dpkg(DPKG, to_s)
    told, left_out = changes.since(found, NOON + 1, NOON + 2)
    assert ([each.at_s for each in told], left_out) == ([NOON + 2], 0)


def test_the_newest_are_told_and_the_others_counted() -> None:
    many = [Change(at, "dpkg", changes.CHANGED, f"p{at}", "1", "2") for at in range(1000, 0, -1)]
    told, left_out = changes.since(many, 0, 5000)
    assert (len(told), left_out) == (changes.CHANGES_MAX, 1000 - changes.CHANGES_MAX)
    assert [told[0].at_s, told[-1].at_s] == [801, 1000]


def header(name: str, version: str, release: str) -> bytes:
    """Of a package: two counts, the index, the data (lib/header.c of rpm)."""
    data, index = b"", b""
    for tag, text in ((1000, name), (1001, version), (1002, release)):
        index += struct.pack(">iIiI", tag, 6, len(data), 1)
        data += text.encode() + b"\0"
    return struct.pack(">II", 3, len(data)) + index + data


def rpm(path: Path, *packages: tuple[int, str]) -> tuple[str, ...]:
    """The tables that are read, as rpm 4.18 makes them: a transaction's number is an integer of the machine."""
    with sqlite3.connect(path) as opened:
        opened.execute("CREATE TABLE Packages(hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        opened.execute("CREATE TABLE Installtid(key 'BLOB' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
        for number, (at_s, name) in enumerate(packages, 1):
            opened.execute("INSERT INTO Packages VALUES(?, ?)", (number, header(name, "1.2", "3.fc40")))
            key = at_s.to_bytes(4, sys.byteorder)
            opened.execute("INSERT INTO Installtid VALUES(?, ?, 0)", (key, number))
    opened.close()
    return (str(path.with_name("no-such-database")), str(path))


def test_rpm(tmp_path: Path) -> None:
    databases = rpm(tmp_path / "rpmdb.sqlite", (NOON, "bash"), (NOON + 9, "kernel-core"), (NOON + 5, "glibc"))
    assert rpmdb.installed_since(NOON, 10, databases) == [
        (NOON + 5, "glibc", "1.2-3.fc40"),
        (NOON + 9, "kernel-core", "1.2-3.fc40"),
    ]
    assert rpmdb.installed_since(0, 1, databases) == [(NOON + 9, "kernel-core", "1.2-3.fc40")]
    assert rpmdb.installed_since(NOON + 9, 10, databases) == []


def test_rpm_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rpmdb.sqlite"
    whole = Path(rpm(path, (NOON, "bash"))[1]).read_bytes()
    damaged = tmp_path / "damaged.sqlite"
    for end in range(0, len(whole), 1021):
        damaged.write_bytes(whole[:end])
        rpmdb.installed_since(0, 10, (str(damaged),))
    assert rpmdb.installed_since(0, 10, (str(tmp_path),)) == []
