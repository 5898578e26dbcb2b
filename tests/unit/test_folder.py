# SPDX-License-Identifier: Apache-2.0
"""Reading files that others have left: nothing is followed, nothing of a doubtful kind is opened, sizes are bound."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from telemd import folder
from telemd.folder import LINK, File, Folder, Unfit

MAX = 1000
BEGIN = 10
ME = (os.geteuid(),)


def read(directory: Path, name: str, owners: tuple[int, ...] = ME) -> File | Unfit | None:
    with Folder(str(directory)) as opened:
        return opened.read(name, owners, MAX, BEGIN)


def why(directory: Path, name: str, owners: tuple[int, ...] = ME) -> str:
    found = read(directory, name, owners)
    assert isinstance(found, Unfit)
    return found.why


@pytest.mark.parametrize("length", [0, 1, MAX])
def test_whole_file(tmp_path: Path, length: int) -> None:
    (tmp_path / "a").write_bytes(b"x" * length)
    found = read(tmp_path, "a")
    assert isinstance(found, File)
    assert (found.data, found.uid) == (b"x" * length, ME[0])


def test_one_byte_too_many(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"y" * (MAX + 1))
    found = read(tmp_path, "a")
    assert isinstance(found, Unfit)
    assert (found.why, found.begin, found.stays) == ("it has 1001 bytes, and 1000 are allowed", b"y" * BEGIN, False)


def test_no_such_file(tmp_path: Path) -> None:
    assert read(tmp_path, "a") is None


def test_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"secret")
    (tmp_path / "soft").symlink_to("target")
    found = read(tmp_path, "soft")
    assert isinstance(found, Unfit)
    assert (found.why, found.begin) == (LINK, b"target")
    os.link(tmp_path / "target", tmp_path / "hard")
    assert why(tmp_path, "hard") == "it has another name elsewhere"


def test_doubtful_kinds_are_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    for name in ("fifo", "folder", "socket"):
        assert why(tmp_path, name) == "it is not a regular file"


def test_owner_and_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    assert why(tmp_path, "a", (ME[0] + 1,)) == f"its owner is user {ME[0]}"
    (tmp_path / "a").chmod(0o620)
    assert why(tmp_path, "a") == "others may write it"


def test_what_cannot_be_opened_stays(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may open everything: run it as another user")
    (tmp_path / "a").touch(0o000)
    found = read(tmp_path, "a")
    assert isinstance(found, Unfit)
    assert found.stays


def test_directory_must_be_ours_alone(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    with pytest.raises(PermissionError):
        folder.opened(str(shared))
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError):
        folder.opened(str(tmp_path / "link"))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        folder.opened(str(tmp_path / "file"))


def test_removing_what_is_gone_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with Folder(str(tmp_path)) as opened:
        opened.unlink("a")
        opened.unlink("a")
        assert list(opened.entries()) == []


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain.rec", "plain.rec"),
        ("\x1b[2J\n\u202e\udcff", "?[2J???"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 64 + "..."),
    ],
)
def test_names_in_the_log_are_harmless(name: str, expected: str) -> None:
    assert folder.shown(name) == expected
