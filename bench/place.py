# SPDX-License-Identifier: Apache-2.0
"""Where the spool lies during a measurement: which file system that is, and whether it may be measured on.

A figure called durable means nothing on a file system in memory, so one is refused. Nothing is started from here.
"""

from __future__ import annotations

import mmap
import re
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

IN_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"})

# sun_path holds 108 bytes with its NUL; below the work directory come "NN" and "/run/telemetry/control.sock".
WORK_DIRECTORY_LENGTH_MAX = 70


class BenchError(Exception):
    """A row can't be measured, or its figure would be wrong; the text says what to do."""


class Place(NamedTuple):
    """The work directory of one run."""

    directory: Path
    file_system: str


class Mount(NamedTuple):
    """One line of /proc/self/mountinfo."""

    mount_point: str
    file_system: str


def mounts(mountinfo: str) -> list[Mount]:
    """The text of /proc/self/mountinfo, in its order: a later mount covers an earlier one (source: proc(5))."""
    found = []
    for line in mountinfo.splitlines():
        before, separator, after = line.partition(" - ")
        fields, rest = before.split(" "), after.split(" ")
        if separator and len(fields) >= 5 and rest[0]:
            point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
            found.append(Mount(point, rest[0]))
    return found


def file_system_of(path: str, mountinfo: str) -> str:
    """The type of the file system an absolute path without symlinks lies on; "unknown" where no mount holds it."""
    best = Mount("", "unknown")
    for mount in mounts(mountinfo):
        prefix = mount.mount_point.rstrip("/") + "/"
        if (path + "/").startswith(prefix) and len(mount.mount_point) >= len(best.mount_point):
            best = mount
    return best.file_system


def touch_memory(size: int) -> None:
    """Take size bytes of memory, have the kernel fill them, give them back; at most half of what is available.

    For just before a measurement that fills as much page cache. A virtual machine gets each page from its host at the
    first use, and with free page reporting it loses what is free again within seconds. A first use was seen to make
    writing to the page cache ten times slower. Anonymous memory, so that the disk has nothing to do with it.
    """
    available = re.search(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    size = min(size, int(available[1]) * 512 if available else size)
    if size >= mmap.PAGESIZE:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


def prepare(parent: Path, free_bytes_min: int) -> Place:
    """A fresh directory below parent. Raises BenchError on a file system in memory, a long path or a full disk."""
    parent = parent.resolve()
    if not parent.is_dir():
        raise BenchError(f"{parent} is not a directory: name one on a disk with --dir.")
    kind = file_system_of(str(parent), Path("/proc/self/mountinfo").read_text())
    if kind in IN_MEMORY:
        raise BenchError(f"{parent} is on {kind}, where nothing is durable: name a directory on a disk with --dir.")
    if len(str(parent)) > WORK_DIRECTORY_LENGTH_MAX - len("/tmb-12345678"):
        raise BenchError(f"{parent} is too long a path for Unix sockets below it: name a shorter one with --dir.")
    free = shutil.disk_usage(parent).free
    if free < free_bytes_min:
        raise BenchError(
            f"{parent} has {free // 1_000_000} MB free and {free_bytes_min // 1_000_000} MB are needed: "
            "name another directory with --dir, or take --quick."
        )
    return Place(Path(tempfile.mkdtemp(prefix="tmb-", dir=parent)), kind)
