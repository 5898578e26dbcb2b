# SPDX-License-Identifier: Apache-2.0
"""A record is left for telemd: whole or not at all, within the limits of docs/protocol.md, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from libtelemetry import Record
from libtelemetry.wire import decode
from telemetry_probes.crash import dropbox

NAME = "0f" * 16


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "drop"


def test_a_record_comes_back_as_it_was(folder: Path) -> None:
    with Record("org.test/crash/drop", b"\0\xff" * 30_000, severity=3, payload_version=7, event_id=b"e" * 16) as record:
        assert dropbox.leave(record.encoded(), record.record_id.hex(), str(folder)) == ""
        name = f"{record.record_id.hex()}.rec"
        left = decode((folder / name).read_bytes())
        assert (left.record_id, left.event_id) == (record.record_id, b"e" * 16)
    assert (left.classification, left.severity, left.payload_version) == ("org.test/crash/drop", 3, 7)
    assert left.payload == b"\0\xff" * 30_000
    assert left.flags == 0
    assert (folder.stat().st_mode & 0o777, (folder / name).stat().st_mode & 0o777) == (0o700, 0o600)
    assert os.listdir(folder) == [name]


def test_no_more_files_than_the_protocol_allows(folder: Path) -> None:
    folder.mkdir()
    for number in range(63):
        (folder / f"{number}.rec").touch()
    assert dropbox.leave(b"x", NAME, str(folder)) == ""
    assert "is full" in dropbox.leave(b"x", NAME[::-1], str(folder))
    assert len(os.listdir(folder)) == 64


def test_no_more_bytes_than_the_protocol_allows(folder: Path) -> None:
    folder.mkdir()
    (folder / "1.rec").write_bytes(bytes(512 * 1024 - 10))
    assert "is full" in dropbox.leave(bytes(11), NAME, str(folder))
    assert dropbox.leave(bytes(10), NAME, str(folder)) == ""


@pytest.mark.parametrize("kind", ["link", "file", "missing"])
def test_a_folder_that_is_none(folder: Path, tmp_path: Path, kind: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if kind == "link":
        folder.symlink_to(elsewhere)
    elif kind == "file":
        folder.touch()
    where = folder if kind != "missing" else tmp_path / "none/drop"
    assert "can't be used" in dropbox.leave(b"x", NAME, str(where))
    assert list(elsewhere.iterdir()) == []


def test_somebody_else_s_folder(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, to make another user's folder: run it as root, or in CI")
    folder.mkdir()
    os.chown(folder, 61_734, 61_734)
    assert "belongs to somebody else" in dropbox.leave(b"x", NAME, str(folder))
    assert os.listdir(folder) == []


@pytest.mark.parametrize("planted", ["link", "fifo", "folder"])
def test_what_lies_under_the_unfinished_name_is_not_touched(folder: Path, tmp_path: Path, planted: str) -> None:
    folder.mkdir()
    target = tmp_path / "target"
    target.write_text("as it was")
    unfinished = folder / f".{NAME}"
    if planted == "link":
        unfinished.symlink_to(target)
    elif planted == "fifo":
        os.mkfifo(unfinished)
    else:
        unfinished.mkdir()
    assert "nothing can be written" in dropbox.leave(b"x", NAME, str(folder))
    assert target.read_text() == "as it was"
    assert os.listdir(folder) == [unfinished.name]
