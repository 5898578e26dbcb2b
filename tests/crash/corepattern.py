# SPDX-License-Identifier: Apache-2.0
"""Makes the kernel write cores into the folder in which a program dies, and leaves the machine as it was.

/proc/sys/kernel/core_pattern belongs to the whole machine. A plain relative name, such as the kernel's own `core`, is
left alone: each program has a folder of its own. Any other is changed under a lock that every user of this file takes,
and put back by a second process, which does so when its pipe closes: also when the tests are killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

PATTERN = Path("/proc/sys/kernel/core_pattern")
LOCK = Path("/run/lock/telemetrics-core_pattern")
WANTED = "core"

RESTORE = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
os.write(1, b"ready")
while os.read(0, 1):
    pass
with open(sys.argv[1], "w") as file:
    file.write(sys.argv[2])
"""


def is_plain(pattern: str) -> bool:
    """Whether cores land in the dying program's own folder: no pipe, no folder."""
    return bool(pattern) and not pattern.startswith("|") and "/" not in pattern


def open_lock(path: Path) -> int:
    """A descriptor to lock. Reading is enough for that, so that it doesn't matter whose the file is."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)


@contextlib.contextmanager
def plain(path: Path = PATTERN, lock: Path = LOCK) -> Iterator[None]:
    """Within it, cores land in the folder of who dies. Waits while somebody else has another pattern in place.

    Raises PermissionError where the pattern must be changed and this isn't root.
    """
    held = open_lock(lock)
    try:
        fcntl.flock(held, fcntl.LOCK_SH)
        if not is_plain(path.read_text().strip()):
            fcntl.flock(held, fcntl.LOCK_EX)
        before = path.read_text().strip()
        if is_plain(before):
            yield
        else:
            with changed(path, before, held):
                yield
    finally:
        os.close(held)


@contextlib.contextmanager
def changed(path: Path, before: str, held: int) -> Iterator[None]:
    """The watcher has the lock's descriptor too: nobody gets the lock before the pattern is back."""
    watcher = subprocess.Popen(
        [sys.executable, "-IS", "-c", RESTORE, str(path), before], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        pass_fds=(held,), start_new_session=True,
    )  # fmt: skip
    assert watcher.stdin and watcher.stdout
    try:
        if os.read(watcher.stdout.fileno(), 5) != b"ready":
            raise RuntimeError("core_pattern is left alone: what would put it back didn't start")
        path.write_text(WANTED)
        yield
    finally:
        watcher.stdin.close()
        watcher.wait()
        watcher.stdout.close()
