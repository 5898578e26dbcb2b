# SPDX-License-Identifier: Apache-2.0
"""turns: starts programs one after the other, again and again, and tells how long each took and how much memory.

    python3 turns.py PLAN

PLAN is a file of JSON: `commands` (a name and an argument vector each), `rounds`, `most_s` for one run, and `cover`, a
folder that an empty one is mounted over before, or null. Covering needs a mount namespace of its own: run this within
`unshare -m`. Every program runs once before it counts. Prints a line of JSON: by name, `ms`, `cpu` and `kb` of each
run, from before its start until it was waited for, and its exit codes. A run over its time is killed, and tells null.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any


def run(command: list[str], quiet: int, most_s: float) -> dict[str, float | None]:
    """Milliseconds of the clock (None where it was killed) and of processors, peak memory in KB, exit code."""
    actions = [(os.POSIX_SPAWN_DUP2, quiet, descriptor) for descriptor in (0, 1, 2)]
    start_ns = time.monotonic_ns()
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
    ends = os.pidfd_open(pid)
    late = not select.select([ends], [], [], most_s)[0]
    if late:
        signal.pidfd_send_signal(ends, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    end_ns = time.monotonic_ns()
    os.close(ends)
    return {
        "ms": None if late else (end_ns - start_ns) / 1e6,
        "cpu": (used.ru_utime + used.ru_stime) * 1000,
        "kb": used.ru_maxrss,
        "code": os.waitstatus_to_exitcode(status),
    }


def main() -> None:
    with open(sys.argv[1]) as file:
        plan: dict[str, Any] = json.load(file)
    if plan["cover"] is not None:
        subprocess.run(["mount", "-t", "tmpfs", "none", plan["cover"]], check=True)
    quiet = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    result: dict[str, dict[str, list[Any]]] = {
        name: {"ms": [], "cpu": [], "kb": [], "code": []} for name in plan["commands"]
    }
    for number in range(plan["rounds"] + 1):
        for name, command in plan["commands"].items():
            for what, value in run(command, quiet, plan["most_s"]).items():
                if number:
                    result[name][what].append(value)
    print(json.dumps(result))


main()
