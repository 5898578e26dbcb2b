# SPDX-License-Identifier: Apache-2.0
"""Leave to use and to change kernel.core_pattern, which belongs to the whole machine, and what else says how a core is
dumped. For benchmarks, the demo and the tests alike.

All take one lock: shared where a plain pattern is enough, alone where it is changed. A second process puts everything
back when its pipe closes, also when this one is killed. What to write there is for the caller.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

PATTERN = Path("/proc/sys/kernel/core_pattern")
LIMIT = Path("/proc/sys/kernel/core_pipe_limit")
SUID_DUMPABLE = Path("/proc/sys/fs/suid_dumpable")
FILES = (PATTERN, LIMIT, SUID_DUMPABLE)
LOCK = Path("/run/lock/telemetrics-core_pattern")
PLAIN = "core"
LOOK_S = 0.01

_PUT_BACK = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
before = [(path, open(path).read()) for path in sys.argv[1:]]
os.write(1, b"ready")
while os.read(0, 1):
    pass
for path, text in before:
    with open(path) as file:
        is_as_before = file.read() == text
    if not is_as_before:
        with open(path, "w") as file:
            file.write(text)
"""


def is_plain(pattern: str) -> bool:
    """Whether cores land in the dying program's own folder: no pipe, no folder."""
    return bool(pattern) and not pattern.startswith("|") and "/" not in pattern


@contextlib.contextmanager
def plain(files: Sequence[Path] = FILES, lock: Path = LOCK) -> Iterator[None]:
    """Within it, cores land in the folder of who dies. Waits while somebody else changes the pattern; those who find a
    plain one, such as the kernel's own `core`, leave it alone and don't wait for each other.

    Raises PermissionError where the pattern must be changed and this isn't root.
    """
    with _open(lock) as held:
        _take(held, fcntl.LOCK_SH)
        if is_plain(files[0].read_text().strip()):
            yield
            return
        _take(held, fcntl.LOCK_EX)
        with _put_back(files, held):
            make_plain(files[0])
            yield


@contextlib.contextmanager
def changing(wait_s: float = math.inf, files: Sequence[Path] = FILES, lock: Path = LOCK) -> Iterator[None]:
    """Within it nobody else uses or changes them, and they are as they were found; afterwards they are so again.

    Raises BlockingIOError when somebody else still has them after so many seconds.
    """
    with _open(lock) as held:
        _take(held, fcntl.LOCK_EX, wait_s)
        with _put_back(files, held):
            yield


def make_plain(pattern: Path = PATTERN) -> None:
    """Only within `changing`."""
    if not is_plain(pattern.read_text().strip()):
        pattern.write_text(PLAIN)


@contextlib.contextmanager
def _open(lock: Path) -> Iterator[int]:
    """A descriptor to lock. Reading is enough for that, so that it doesn't matter whose the file is."""
    try:
        held = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        held = os.open(lock, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield held
    finally:
        os.close(held)


def _take(held: int, kind: int, wait_s: float = math.inf) -> None:
    """Raises BlockingIOError after so many seconds."""
    if math.isinf(wait_s):
        return fcntl.flock(held, kind)  # queues: who only looks now and then rarely meets the moment between two others
    end_s = time.monotonic() + wait_s
    while True:
        try:
            return fcntl.flock(held, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end_s:
                raise
            time.sleep(LOOK_S)


@contextlib.contextmanager
def _put_back(files: Sequence[Path], held: int) -> Iterator[None]:
    """Afterwards they are as they are now. The second process has the lock's descriptor too: nobody gets the lock
    before that. ChildProcessError where it doesn't start, and nothing was changed then, or where it fails."""
    watcher = subprocess.Popen(
        [sys.executable, "-IS", "-c", _PUT_BACK, *map(str, files)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        pass_fds=(held,), start_new_session=True,
    )  # fmt: skip
    assert watcher.stdin and watcher.stdout
    try:
        if os.read(watcher.stdout.fileno(), 5) != b"ready":
            raise ChildProcessError("core_pattern is left alone: what would put it back didn't start")
        yield
    finally:
        watcher.stdin.close()
        watcher.stdout.close()
        failed = watcher.wait()
    if failed:
        raise ChildProcessError(f"not put back as it was: see {', '.join(map(str, files))}")
