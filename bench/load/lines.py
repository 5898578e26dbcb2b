# SPDX-License-Identifier: Apache-2.0
"""lines.py RATE SECONDS: entries of the journal in its export format on standard output, so many a second, none of them
a failure. What they are written with, systemd-journal-remote, is journald's own writer.
"""

from __future__ import annotations

import sys
import time

STEP_S = 0.05
WORDS = "one of the many lines that a busy machine writes about nothing in particular"


def main(rate: int, seconds: float) -> None:
    """On schedule, however long a write takes."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip().replace("-", "")
    head = (
        f"_BOOT_ID={boot}\n_PID=4242\n_UID=1000\n_TRANSPORT=syslog\n_COMM=talker\n_SYSTEMD_UNIT=talker.service\n"
        f"PRIORITY=6\nSYSLOG_IDENTIFIER=talker\nMESSAGE={WORDS} "
    )
    begun = time.monotonic()
    written = 0
    while (passed := time.monotonic() - begun) < seconds:
        due = int(passed * rate)
        now_us, monotonic_us = time.time_ns() // 1000, time.monotonic_ns() // 1000
        sys.stdout.write(
            "".join(
                f"__REALTIME_TIMESTAMP={now_us + at - due}\n__MONOTONIC_TIMESTAMP={monotonic_us + at - due}\n"
                f"{head}{at}\n\n"
                for at in range(written, due)
            )
        )
        sys.stdout.flush()
        written = due
        time.sleep(STEP_S)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
