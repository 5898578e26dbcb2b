# SPDX-License-Identifier: Apache-2.0
"""A file is read only where nobody but its owners can have had a hand in it, whatever the path looks like."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from ownersplace import owners_place

from telemd import namedfile
from telemd.namedfile import BYTES_MAX, Distrusted

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNERS = (0, os.geteuid())


@pytest.fixture
def place() -> Iterator[Path]:
    with owners_place() as own:
        (own / "inner").mkdir(mode=0o755)
        (own / "inner/a.conf").write_text("text")
        (own / "inner/a.conf").chmod(0o644)
        yield own


def read(path: Path | str) -> bytes | str:
    """What is in the file, or why it isn't read."""
    found = namedfile.read(os.fsencode(path), OWNERS)
    return found.why if isinstance(found, Distrusted) else found


def test_an_owners_file_is_read(place: Path) -> None:
    assert read(place / "inner/a.conf") == b"text"
    (place / "inner/a.conf").write_bytes(b"")
    assert read(place / "inner/a.conf") == b""


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_not(place: Path, mode: int) -> None:
    (place / "inner/a.conf").chmod(mode)
    assert read(place / "inner/a.conf") == "it may be written by others"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
@pytest.mark.parametrize("inner", ["", "inner"])
def test_a_directory_that_others_may_write_spoils_what_is_below(place: Path, mode: int, inner: str) -> None:
    (place / inner).chmod(mode)
    assert read(place / "inner/a.conf") == "a directory above it may be written by others"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_whose_file_and_directory_it_is(place: Path) -> None:
    os.chown(place / "inner/a.conf", 65534, -1)
    assert read(place / "inner/a.conf") == "it belongs to user 65534"
    assert namedfile.read(os.fsencode(place / "inner/a.conf"), (*OWNERS, 65534)) == b"text"
    os.chown(place / "inner/a.conf", 0, -1)
    os.chown(place / "inner", 65534, -1)
    assert read(place / "inner/a.conf") == "a directory above it belongs to user 65534"


def test_no_link_is_followed(place: Path) -> None:
    (place / "link.conf").symlink_to(place / "inner/a.conf")
    (place / "linked").symlink_to(place / "inner")
    assert read(place / "link.conf") == "it is no regular file"
    assert read(place / "linked/a.conf") == "what stands in its path is a link, or no directory"
    assert read(place / "inner/a.conf/b.conf") == "what stands in its path is a link, or no directory"


def test_what_is_no_regular_file_is_not_even_opened(place: Path) -> None:
    os.mkfifo(place / "fifo.conf")
    assert read(place / "fifo.conf") == read(place / "inner") == read("/dev/null") == "it is no regular file"


def test_what_is_not_there(place: Path) -> None:
    assert str(read(place / "none.conf")).startswith("it can't be opened (")
    assert str(read(place / "none/a.conf")).startswith("it can't be opened (")
    assert str(read(place / ("n" * 300))).startswith("it can't be opened (")


@pytest.mark.parametrize(
    "path", ["", "a.conf", "/", "//", "/a//b", "/a/./b", "/a/../b", "/..", "/a/", "./a", "../a", "/d" * 34]
)
def test_paths_of_other_forms(path: str) -> None:
    assert read(path) == "its path isn't absolute and plain"


def test_a_large_file(place: Path) -> None:
    (place / "inner/a.conf").write_bytes(b"x" * BYTES_MAX)
    assert read(place / "inner/a.conf") == b"x" * BYTES_MAX
    (place / "inner/a.conf").write_bytes(b"x" * (BYTES_MAX + 1))
    assert read(place / "inner/a.conf") == "it is larger than 64 KiB"


def test_no_descriptor_is_left_open(place: Path) -> None:
    (place / "link.conf").symlink_to(place / "inner/a.conf")
    before = len(os.listdir("/proc/self/fd"))
    for path in ("inner/a.conf", "link.conf", "none", "inner/a.conf/b", "inner"):
        read(place / path)
    assert len(os.listdir("/proc/self/fd")) == before
