# SPDX-License-Identifier: Apache-2.0
"""Leave to change kernel.core_pattern, which belongs to the whole machine: under the lock that the tests take, too, and
put back by a process of its own, also when the benchmark (or the demo) is killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PATTERN = Path("/proc/sys/kernel/core_pattern")
LIMIT = Path("/proc/sys/kernel/core_pipe_limit")
LOCK = "/run/lock/telemetrics-core_pattern"

_RESTORE = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
before = [(path, open(path).read()) for path in sys.argv[1:]]
os.write(1, b"ready")
while os.read(0, 1):
    pass
for path, text in before:
    open(path, "w").write(text)
"""


LOOK_S = 0.05


@contextlib.contextmanager
def changing(wait_s: float = math.inf) -> Iterator[None]:
    """Waits until nobody else does; BlockingIOError after so many seconds."""
    held = os.open(LOCK, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        end_s = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= end_s:
                    raise
                time.sleep(LOOK_S)
        watcher = subprocess.Popen(
            [sys.executable, "-IS", "-c", _RESTORE, str(PATTERN), str(LIMIT)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, pass_fds=(held,), start_new_session=True,
        )  # fmt: skip
        assert watcher.stdin and watcher.stdout
        try:
            os.read(watcher.stdout.fileno(), 5)
            yield
        finally:
            watcher.stdin.close()
            watcher.wait()
            watcher.stdout.close()
    finally:
        os.close(held)
