# SPDX-License-Identifier: Apache-2.0
"""What the kernel says when it has run out of memory: who was killed, in which unit, and who held how much.

Pure: lines in, a mapping out. The numbers of processes and users are never told.
"""

from __future__ import annotations

import re

from telemetry_probes.kernel import masking

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry_probes.crash.jsontext import Value

TASKS_MAX = 10
"""Those that held most."""
PAGE_KIB = 4
LINES_MAX = 600

_INVOKED = re.compile(
    r"^(?P<by>.{1,32}) invoked oom-killer: gfp_mask=(?P<gfp>[^,]{1,200}), "
    r"(?:nodemask=[^,]*, )?order=(?P<order>-?\d{1,3})"
)
_KILL = re.compile(r"^oom-kill:constraint=(?P<constraint>\w{1,40}),")
_GROUP = re.compile(r"\btask_memcg=(?P<cgroup>[^,]{1,1024}),task=")
_OLD_GROUP = re.compile(r"^Task in (?P<cgroup>\S{1,1024}) killed as a result of limit of ")
_VICTIM = re.compile(
    r"(?P<memcg>Memory cgroup out of memory|Out of memory).*?: Kill(?:ed)? process \d+ \((?P<name>.{1,64}?)\)"
)
_VICTIMS_PID = re.compile(r"\b(?:Memory cgroup out of memory|Out of memory).*?: Kill(?:ed)? process (\d{1,9}) \(")
_SIZES = re.compile(r"\b(total-vm|anon-rss|file-rss|shmem-rss|pgtables):(\d{1,15})kB")
_LIMIT = re.compile(r"^memory: usage (?P<usage>\d{1,15})kB, limit (?P<limit>\d{1,19})kB")
_FREE = re.compile(r"^\s*free:(\d{1,15})\b")
_TOTAL = re.compile(r"^(\d{1,15}) pages RAM")
_TASK = re.compile(r"^\[\s*\d+\](?P<columns>[\s\d-]+\s\S.*)$")


def read(lines: Sequence[str], lifted: bool) -> dict[str, Value]:
    """Empty where the lines say none of it. The names of those that were not killed are told only where `lifted`."""
    found: dict[str, Value] = {}
    header: list[str] = []
    tasks: list[tuple[int, dict[str, Value]]] = []
    for line in lines[:LINES_MAX]:
        _one(line, found)
        if line.startswith("[") and "total_vm" in line:
            header = line.partition("]")[2].split()
        elif header and line.startswith("["):
            task = _task(line, header, lifted)
            if task is not None:
                tasks.append(task)
    if tasks:
        tasks.sort(key=lambda task: -task[0])
        found["tasks"] = [task for _, task in tasks[:TASKS_MAX]]
        found["tasks_in_all"] = len(tasks)
    return found


def victim(lines: Sequence[str]) -> int:
    """The number of the process that was killed; 0 where the lines don't say."""
    for line in lines[:LINES_MAX]:
        found = _VICTIMS_PID.search(line)
        if found is not None:
            return int(found[1])
    return 0


def _one(line: str, found: dict[str, Value]) -> None:
    invoked = _INVOKED.match(line)
    if invoked is not None:
        found["invoked_by"] = invoked["by"]
        found["gfp"] = invoked["gfp"]
        found["order"] = int(invoked["order"])
    kill = _KILL.match(line)
    if kill is not None:
        found["constraint"] = kill["constraint"]
    group = _GROUP.search(line) or _OLD_GROUP.match(line)
    if group is not None:
        found["unit"] = masking.unit(group["cgroup"])
    victim = _VICTIM.search(line)
    if victim is not None:
        found["victim"] = victim["name"]
        found["scope"] = "cgroup" if victim["memcg"].startswith("Memory") else "machine"
    if "Killed process " in line:
        for name, size in _SIZES.findall(line):
            found[f"{name.replace('-', '_')}_kib"] = int(size)
    limit = _LIMIT.match(line)
    if limit is not None:
        found["usage_kib"] = int(limit["usage"])
        found["limit_kib"] = int(limit["limit"])
    free, total = _FREE.match(line), _TOTAL.match(line)
    if free is not None:
        found["free_kib"] = int(free[1]) * PAGE_KIB
    if total is not None:
        found["ram_kib"] = int(total[1]) * PAGE_KIB


def _task(line: str, header: Sequence[str], lifted: bool) -> tuple[int, dict[str, Value]] | None:
    """One line of the table; its columns are those that the line above the table names."""
    row = _TASK.match(line)
    if row is None:
        return None
    *values, name = row["columns"].split(None, len(header) - 1)
    if len(values) != len(header) - 1 or not all(value.lstrip("-").isdigit() for value in values):
        return None
    column = dict(zip(header, values, strict=False))
    rss_kib = int(column.get("rss", "0")) * PAGE_KIB
    task: dict[str, Value] = {"rss_kib": rss_kib}
    if "swapents" in column:
        task["swap_kib"] = int(column["swapents"]) * PAGE_KIB
    if "oom_score_adj" in column:
        task["oom_score_adj"] = int(column["oom_score_adj"])
    if lifted:
        task["name"] = name[:64]
    return rss_kib, task
