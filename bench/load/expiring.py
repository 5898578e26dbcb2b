# SPDX-License-Identifier: Apache-2.0
"""expiring: how long the spool of an installation takes to let go of records that are too old.

    INTERPRETER -IS expiring.py LAUNCHER SPOOL_DIR segments|records

Opens a spool that a telemd has left, as telemd would, a hundred years later. `segments`: what a tick does; `records`:
what delivery does where it meets them one by one. Prints a line of JSON. Waiting for records to get old is what it is
for.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import time
from pathlib import Path

LATER_US = 100 * 365 * 86_400 * 1_000_000


def main() -> None:
    _, launcher, directory, way = sys.argv
    found = re.search(r"^sys\.path \+= (\[.*\])$", Path(launcher).read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{launcher} isn't a launcher of telemetrics")
    sys.path += ast.literal_eval(found[1])
    from telemd.disk import Disk
    from telemd.spool import Spool

    spool = Spool(Disk(directory), -1, 1)
    pending = spool.pending()
    now_us = time.time_ns() // 1000 + LATER_US
    begun_s, begun_cpu_s = time.perf_counter(), time.process_time()
    if way == "segments":
        spool.expire(now_us)
    else:
        for lane in range(len(spool.lanes)):
            if spool.head(lane, 1000, 1 << 20, now_us) is not None:
                raise SystemExit("a record that is a hundred years old is to be sent")
    spool.flush(now_us)
    took_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - begun_cpu_s
    expired = spool.accounting()["expired"]
    spool.close(now_us)
    print(json.dumps({"pending": pending, "expired": expired, "took_s": took_s, "cpu_s": cpu_s}))


main()
