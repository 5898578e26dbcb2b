# SPDX-License-Identifier: Apache-2.0
"""Whose file is it: dpkg's lists and rpm's database, whole, merged and damaged. The headers of rpm are laid out here by
the description of their format, not by our reader."""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

import pytest

from telemetry_probes.crash import packages, rpmdb

STATUS = """Package: bash-completion
Version: 9

Package: bash
Status: install ok installed
Depends: Version: 4
Version: 5.2-1
Description: a shell
 Version: none

Package: last
Version: 1:2.0~rc1"""


@pytest.fixture
def dpkg(tmp_path: Path) -> str:
    info = tmp_path / "dpkg/info"
    info.mkdir(parents=True)
    (info / "bash.list").write_text("/.\n/bin\n/bin/bash\n/usr/share/doc/bash\n")
    (info / "bash-completion.list").write_text("/.\n/usr/share/bash-completion/bash\n")
    (info / "last:amd64.list").write_text("/.\n/usr/lib/x86_64-linux-gnu/lib last.so\n")
    (info / "unknown.list").write_text("/.\n/usr/sbin/unknown\n")
    (tmp_path / "dpkg/status").write_text(STATUS)
    return str(tmp_path / "dpkg")


@pytest.mark.parametrize(
    ("path", "name", "version"),
    [
        ("/usr/bin/bash", "bash", "5.2-1"),
        ("/bin/bash", "bash", "5.2-1"),
        ("/usr/share/bash-completion/bash", "bash-completion", "9"),
        ("/usr/lib/x86_64-linux-gnu/lib last.so", "last", "1:2.0~rc1"),
        ("/lib/x86_64-linux-gnu/lib last.so", "last", "1:2.0~rc1"),
        ("/usr/sbin/unknown", "unknown", ""),
    ],
)
def test_dpkg(dpkg: str, path: str, name: str, version: str) -> None:
    found = packages.owner(path, dpkg, ())
    assert found is not None
    assert (found.manager, found.name, found.version) == ("dpkg", name, version)


@pytest.mark.parametrize("path", ["/usr/bin/bas", "/usr/bin", "", "/usr/bin/bash\n/x", "/opt/bash", "/\udcff", "bash"])
def test_a_file_of_no_package(dpkg: str, path: str) -> None:
    assert packages.owner(path, dpkg, ()) is None


def test_no_database_at_all(tmp_path: Path) -> None:
    assert packages.owner("/usr/bin/bash", str(tmp_path / "none"), (str(tmp_path / "none"),)) is None


def header(name: str, version: str, release: str, epoch: int | None, files: list[tuple[str, str]]) -> bytes:
    """(folder, name) of each file."""
    folders = sorted({folder for folder, _ in files})
    entries, data = [], b""

    def add(tag: int, kind: int, count: int, value: bytes) -> None:
        nonlocal data
        if kind == 4:
            data += bytes(-len(data) % 4)
        entries.append(struct.pack(">iIiI", tag, kind, len(data), count))
        data += value

    for tag, text in ((1000, name), (1001, version), (1002, release)):
        add(tag, 6, 1, text.encode() + b"\0")
    if epoch is not None:
        add(1003, 4, 1, struct.pack(">I", epoch))
    add(1116, 4, len(files), b"".join(struct.pack(">I", folders.index(folder)) for folder, _ in files))
    add(1117, 8, len(files), b"".join(base.encode() + b"\0" for _, base in files))
    add(1118, 8, len(folders), b"".join(folder.encode() + b"\0" for folder in folders))
    return struct.pack(">II", len(entries), len(data)) + b"".join(entries) + data


def rpm(file: Path, *blobs: tuple[bytes, list[str]]) -> tuple[str, ...]:
    """A database: each package's header, and the names of its files."""
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)")
        database.execute("CREATE TABLE Basenames (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL)")
        for number, (blob, names) in enumerate(blobs, 1):
            database.execute("INSERT INTO Packages VALUES (?, ?)", (number, blob))
            for index, name in enumerate(names):
                database.execute("INSERT INTO Basenames VALUES (?, ?, ?)", (name, number, index))
    database.close()
    return (str(file),)


def test_rpm(tmp_path: Path) -> None:
    shell = [("/usr/share/bash/", "bash"), ("/usr/bin/", "bash")]
    other = [("/usr/sbin/", "bash"), ("/opt/", "x")]
    database = rpm(
        tmp_path / "rpmdb.sqlite",
        (header("other", "1", "2", 3, other), [name for _, name in other]),
        (header("bash", "5.2.26", "3.fc40", None, shell), [name for _, name in shell]),
    )
    assert rpmdb.owner(["/usr/bin/bash"], database) == ("bash", "5.2.26-3.fc40")
    assert rpmdb.owner(["/sbin/bash", "/usr/sbin/bash"], database) == ("other", "3:1-2")
    assert rpmdb.owner(["/usr/local/bin/bash", "/bash", "bash", "", "/usr/bin/\udcff"], database) is None
    found = packages.owner("/bin/bash", str(tmp_path), database)
    assert found is not None
    assert (found.manager, found.name) == ("rpm", "bash")


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_damaged_header_is_no_answer(tmp_path: Path, cut: int) -> None:
    whole = header("bash", "5", "1", 1, [("/usr/bin/", "bash")])
    assert len(whole) < 200
    for at, blob in enumerate((whole[:cut], whole[:cut] + b"\xff" * 8 + whole[cut + 8 :])):
        database = rpm(tmp_path / f"{at}.sqlite", (blob, ["bash"]))
        found = rpmdb.owner(["/usr/bin/bash"], database)
        assert found is None or found[0] == "bash" or at == 1


def test_what_is_no_database(tmp_path: Path) -> None:
    file = tmp_path / "rpmdb.sqlite"
    file.write_bytes(b"SQLite format 3\0" + bytes(5000))
    assert rpmdb.owner(["/usr/bin/bash"], (str(file),)) is None
    file.write_text("something else")
    assert rpmdb.owner(["/usr/bin/bash"], (str(file),)) is None
