# SPDX-License-Identifier: Apache-2.0
"""The mark that there is something to come back for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from telemd import unfinished


def test_it_is_there_until_the_end(tmp_path: Path) -> None:
    mark = tmp_path / unfinished.NAME
    for _ in range(2):
        unfinished.begin(str(tmp_path))
        assert stat.S_IMODE(mark.stat().st_mode) & 0o022 == 0
    for _ in range(2):
        unfinished.end(str(tmp_path))
        assert not mark.exists()


def test_one_that_may_not_be_written_will_do(tmp_path: Path) -> None:
    mark = tmp_path / unfinished.NAME
    mark.touch(0o444)
    unfinished.begin(str(tmp_path))
    assert mark.stat().st_size == 0


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / unfinished.NAME).symlink_to("elsewhere")
    with pytest.raises(OSError, match=unfinished.NAME):
        unfinished.begin(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [unfinished.NAME]


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unfinished.begin(str(tmp_path / "gone"))
    unfinished.end(str(tmp_path / "gone"))
