# SPDX-License-Identifier: Apache-2.0
"""What is due in a drop directory: finished files in order, unfinished ones only after a long while."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from telemd import dropbox
from telemd.dropbox import DropBox
from telemd.folder import File, Unfit

NOW_NS = 1_700_000_000 * 10**9
MINUTE_NS = 60 * 10**9


def status(age_ns: int) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | 0o600, 1, 1, 1, 0, 0, 5, 0, 0, 0), {"st_mtime_ns": NOW_NS - age_ns})


def test_finished_files_come_oldest_first_and_a_few_at_a_time() -> None:
    found = dropbox.due([(f"{n}.rec", status(n)) for n in range(65)], NOW_NS)
    assert [name for _, name in found.finished] == [f"{n}.rec" for n in range(64, 0, -1)]
    assert found.more
    assert found.abandoned == []


def test_nothing_is_nothing() -> None:
    found = dropbox.due([], NOW_NS)
    assert (found.finished, found.abandoned, found.more) == ([], [], False)


@pytest.mark.parametrize("name", [".new", "tmp", "tmp.rec", ".rec", "tmpAbC"])
def test_unfinished_files_have_ten_minutes(name: str) -> None:
    found = dropbox.due([(name, status(9 * MINUTE_NS))], NOW_NS)
    assert (found.finished, found.abandoned, found.more) == ([], [], True)
    for age_ns in (11 * MINUTE_NS, -11 * MINUTE_NS):
        found = dropbox.due([(name, status(age_ns))], NOW_NS)
        assert (found.finished, found.abandoned, found.more) == ([], [name], False)


@pytest.mark.parametrize("name", ["a.rec", "a.REC", "x", "a tmp"])
def test_every_other_file_is_finished(name: str) -> None:
    assert [each for _, each in dropbox.due([(name, status(0))], NOW_NS).finished] == [name]


def test_only_rec_is_a_good_name() -> None:
    box = DropBox("/nowhere")
    assert isinstance(box.judge("a.rec", File(b"x", 0)), File)
    judged = box.judge("a.recx", File(b"x", 0))
    assert isinstance(judged, Unfit)
    assert not judged.stays


def test_directory_is_made_once_and_looked_at_only_where_it_changed(tmp_path: Path) -> None:
    box = DropBox(str(tmp_path / "drop"))

    def look(now_ns: int) -> tuple[list[str], bool]:
        directory = box.opened()
        assert directory is not None
        with directory:
            names = [name for _, name in box.pick(directory, now_ns).finished]
            return names, box.idle

    made = box.opened()
    assert made is not None
    with made:
        assert stat.S_IMODE(made.status().st_mode) == 0o700
        # Some kernels count by ticks: what comes within the one in which it was made would leave its time as it is.
        mtime_ns = made.status().st_mtime_ns - 60 * 10**9
    os.utime(tmp_path / "drop", ns=(mtime_ns, mtime_ns))
    assert look(mtime_ns + 10**9) == ([], True)
    assert look(mtime_ns + 3 * 10**9) == ([], True)  # it was too fresh to be trusted
    assert box.opened() is None
    (tmp_path / "drop/a.rec").touch()
    assert look(mtime_ns + 9 * 10**9) == (["a.rec"], False)
    box.give_up("a.rec")
    assert look(mtime_ns + 9 * 10**9) == ([], True)
