# SPDX-License-Identifier: Apache-2.0
"""What systemd is asked, through systemctl: how the machine is going down, and how it came up.

Only asked, never told. Where systemd can't be asked the answer is empty.
"""

from __future__ import annotations

from telemetry_probes.boots import timing

JOBS_S = 5.0
SHOW_S = 20.0
STARTED_S = 900.0
"""How long a start may take; what takes longer is told without its end."""
LOOK_S, LOOK_S_MAX = 0.25, 8.0
"""How often it is looked whether the start is finished: each time twice as late. `systemctl is-system-running --wait`
is no help: systemd sends word of it only where somebody has subscribed, which it doesn't do."""
OUTPUT_MAX = 1 << 20


def jobs() -> str:
    """What systemd is about to do, a line each."""
    return _systemctl(JOBS_S, "list-jobs", "--no-legend", "--no-pager", "--plain", "--full")


def started(patience_s: float = STARTED_S) -> timing.Timing | None:
    """Once all is started that starts with the machine; None where that takes too long, or systemd can't be asked."""
    from time import monotonic, sleep

    until_s, pause_s = monotonic() + patience_s, LOOK_S
    while True:
        shown = _systemctl(SHOW_S, "show", "--no-pager", "-p", ",".join(timing.PROPERTIES))
        found = timing.read(shown)
        if found is not None or not shown or monotonic() + pause_s > until_s:
            return found
        sleep(pause_s)
        pause_s = min(LOOK_S_MAX, pause_s * 2)


def _systemctl(patience_s: float, *arguments: str) -> str:
    from subprocess import DEVNULL, PIPE, SubprocessError, run

    command = ("systemctl", *arguments)
    try:
        done = run(command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, timeout=patience_s, check=False)
    except (OSError, SubprocessError):
        return ""
    return done.stdout[:OUTPUT_MAX].decode("utf-8", "replace")
