# SPDX-License-Identifier: Apache-2.0
"""Leave to change kernel.core_pattern, kernel.core_pipe_limit and fs.suid_dumpable, which belong to the whole machine.

One user at a time, under the lock of `corepattern`; a second process puts all back when this one lets go, also when it
is killed. Never changes anything itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import corepattern
import pytest

SUID_DUMPABLE = Path("/proc/sys/fs/suid_dumpable")
FILES = (Path("/proc/sys/kernel/core_pattern"), Path("/proc/sys/kernel/core_pipe_limit"), SUID_DUMPABLE)

RESTORE = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
before = [(path, open(path).read()) for path in sys.argv[1:]]
os.write(1, b"ready")
while os.read(0, 1):
    pass
for path, text in before:
    with open(path, "w") as file:
        file.write(text)
"""


@contextlib.contextmanager
def allowed() -> Iterator[None]:
    """Within it nobody else changes them, and the pattern is a plain one at first. Skips where this isn't root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to change core_pattern: run it as root, or in CI")
    held = corepattern.open_lock(corepattern.LOCK)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        watcher = subprocess.Popen(
            [sys.executable, "-IS", "-c", RESTORE, *map(str, FILES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=(held,), start_new_session=True,
        )  # fmt: skip
        assert watcher.stdin and watcher.stdout
        try:
            assert os.read(watcher.stdout.fileno(), 5) == b"ready", "what would put core_pattern back didn't start"
            if not corepattern.is_plain(FILES[0].read_text().strip()):
                FILES[0].write_text(corepattern.WANTED)
            yield
        finally:
            watcher.stdin.close()
            watcher.wait()
            watcher.stdout.close()
    finally:
        os.close(held)
