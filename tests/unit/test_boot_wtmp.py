# SPDX-License-Identifier: Apache-2.0
"""wtmp and wtmpdb: whole, cut anywhere, of both sizes, with a clock that jumped. Records are laid out here by
bits/utmp.h of glibc, not by our reader."""

from __future__ import annotations

import random
import sqlite3
import struct
from pathlib import Path

import pytest

from telemetry_probes.boots import wtmp, wtmpdb
from telemetry_probes.boots.wtmp import Word

RUN_LVL, BOOT, USER = 1, 2, 7


def record(kind: int, user: str, seconds: int, micros: int = 0, host: str = "", size: int = 384) -> bytes:
    """struct utmp."""
    head = struct.pack("=hxxi32s4s32s256shh", kind, 0, b"~", b"~~", user.encode(), host.encode(), 0, 0)
    rest = struct.pack("=iii", 0, seconds, micros) if size == 384 else struct.pack("=qqq", 0, seconds, micros)
    return (head + rest).ljust(size, b"\0")


def boot(seconds: int, micros: int = 7, host: str = "6.1.0", size: int = 384) -> bytes:
    return record(BOOT, "reboot", seconds, micros, host, size)


def shutdown(seconds: int, size: int = 384) -> bytes:
    return record(RUN_LVL, "shutdown", seconds, 1, "6.1.0", size)


def told(content: bytes, running: bytes = b"") -> tuple[bool, int, int, str] | None:
    word = wtmp.last_boot(wtmp.entries(content), wtmp.entries(running))
    return None if word is None else (word.orderly, word.began_s, word.ended_s, word.release)


LOGIN = record(USER, "somebody", 1500, 5, "host.example")


@pytest.mark.parametrize("size", [384, 400])
def test_in_order_and_cut(size: int) -> None:
    this = boot(3000, 42, size=size)
    assert told(boot(1000, size=size) + shutdown(2000, size) + this, this) == (True, 1000, 2000, "6.1.0")
    assert told(boot(1000, size=size) + this, this) == (False, 1000, 0, "6.1.0")


def test_logins_in_between_are_nothing() -> None:
    assert told(boot(1000) + LOGIN + LOGIN + shutdown(2000) + boot(3000) + LOGIN, boot(3000)) == (
        True, 1000, 2000, "6.1.0")  # fmt: skip


def test_this_boot_is_not_in_it() -> None:
    """What is last is the boot before, where utmp knows of no boot or of another."""
    assert told(boot(1000)) == (False, 1000, 0, "6.1.0")
    assert told(boot(1000) + shutdown(2000), boot(3000)) == (True, 1000, 2000, "6.1.0")


def test_first_boot_and_empty() -> None:
    assert told(boot(1000), boot(1000)) is None
    assert told(b"") is None
    assert told(shutdown(2000) + boot(3000), boot(3000)) == (True, 0, 2000, "")


def test_a_clock_that_was_wrong_at_the_start() -> None:
    """This boot began in 1970 and both files say so; the boot before it is the one before."""
    assert told(boot(1000) + shutdown(2000) + boot(12), boot(12)) == (True, 1000, 2000, "6.1.0")
    assert told(boot(1000) + boot(12), boot(12)) == (False, 1000, 0, "6.1.0")


def test_runlevels_are_no_shutdown() -> None:
    assert told(boot(1000) + record(RUN_LVL, "runlevel", 1100) + boot(3000), boot(3000)) == (False, 1000, 0, "6.1.0")


@pytest.mark.parametrize("size", [384, 400])
def test_cut_anywhere(size: int) -> None:
    this = boot(3000, 42, size=size)
    whole = boot(1000, size=size) + shutdown(2000, size) + this
    for end in range(0, len(whole) + 1, 7):
        found = told(whole[:end], this)
        if found is not None and end >= size:
            assert found[1] in (0, 1000)


def test_anything_at_all() -> None:
    dice = random.Random(8)
    for _ in range(200):
        wtmp.last_boot(wtmp.entries(dice.randbytes(dice.randrange(3000))), wtmp.entries(dice.randbytes(800)))


def test_release_is_bounded_and_printable_ascii() -> None:
    found = told(boot(1000, host="\xff" * 120 + "a" * 100))
    assert found is not None
    assert len(found[3]) <= wtmp.RELEASE_MAX


def database(path: Path, *rows: tuple[int, int, int | None, str]) -> str:
    """As wtmpdb's lib/sqlite.c makes it: type, login, logout and host of each row."""
    with sqlite3.connect(path) as opened:
        opened.execute(
            "CREATE TABLE wtmp(ID INTEGER PRIMARY KEY, Type INTEGER, User TEXT NOT NULL, Login INTEGER, "
            "Logout INTEGER, TTY TEXT, RemoteHost TEXT, Service TEXT)"
        )
        for kind, login, logout, host in rows:
            opened.execute(
                "INSERT INTO wtmp(Type, User, Login, Logout, TTY, RemoteHost) VALUES(?, 'reboot', ?, ?, '~', ?)",
                (kind, login * 1_000_000, None if logout is None else logout * 1_000_000, host),
            )
    opened.close()
    return str(path)


THIS = (1, 3000, None, "6.2.0")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(1, 1000, 2000, "6.1.0"), THIS], (True, 1000, 2000, "6.1.0")),
        ([(1, 1000, None, "6.1.0"), (3, 1500, 1600, "host"), THIS], (False, 1000, 0, "6.1.0")),
        ([(1, 2900, None, "6.1.0"), THIS], (False, 2900, 0, "6.1.0")),
        ([(1, 1000, 2000, "6.1.0")], (True, 1000, 2000, "6.1.0")),
        ([(1, 1000, None, "6.1.0")], None),
        ([THIS], None),
        ([], None),
    ],
)
def test_wtmpdb(tmp_path: Path, rows: list[tuple[int, int, int | None, str]], expected: object) -> None:
    word = wtmpdb.last_boot(database(tmp_path / "wtmp.db", *rows), 3005)
    assert (None if word is None else (word.orderly, word.began_s, word.ended_s, word.release)) == expected


def test_wtmpdb_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "wtmp.db"
    assert wtmpdb.last_boot(str(path), 3005) is None
    path.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert wtmpdb.last_boot(str(path), 3005) is None
    whole = Path(database(tmp_path / "other.db", (1, 1000, 2000, "x"), THIS)).read_bytes()
    for end in range(0, len(whole), 517):
        path.write_bytes(whole[:end])
        found = wtmpdb.last_boot(str(path), 3005)
        assert found is None or isinstance(found, Word)
