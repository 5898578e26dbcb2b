# SPDX-License-Identifier: Apache-2.0
"""A mount namespace of a test's own, in which programs can be run and disks come and go. It ends with the test, and
everything mounted in it: nothing of the machine's own mounts is touched.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


class OwnMounts:
    """command, before a program's own, runs it in there."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.command = ["nsenter", f"--mount=/proc/{pid}/ns/mnt", "--"]

    def run(self, *command: str | Path) -> str:
        """What it printed. Fails where it does."""
        done = subprocess.run([*self.command, *map(str, command)], capture_output=True, text=True)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def memory(self, at: Path, kib: int) -> None:
        """A small disk in memory."""
        at.mkdir(parents=True, exist_ok=True)
        self.run("mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0700", "none", at)

    def seen(self, path: Path) -> Path:
        """A path in there, for this process."""
        return Path(f"/proc/{self._pid}/root{path}")


@contextlib.contextmanager
def own_mounts() -> Iterator[OwnMounts]:
    """Skips where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount disks of its own: run it as root, or in CI")
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", "echo ready && read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "ready\n":
            _, why = holder.communicate()
            pytest.skip(f"no mount namespace can be made here: {why.strip()}")
        yield OwnMounts(holder.pid)
    finally:
        holder.kill()
        holder.communicate()


def fill(file: Path, leave_kib: int = 0) -> None:
    """Take all that its disk has, but for so much."""
    status = os.statvfs(file.parent)
    free = status.f_bavail * status.f_frsize - 1024 * leave_kib
    with file.open("wb") as filling:
        if free > 0:
            os.posix_fallocate(filling.fileno(), 0, free // 4096 * 4096)
        if leave_kib == 0:
            with contextlib.suppress(OSError):
                while True:
                    os.posix_fallocate(filling.fileno(), 0, os.fstat(filling.fileno()).st_size + 4096)
