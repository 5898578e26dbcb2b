# SPDX-License-Identifier: Apache-2.0
"""Asks gdb and eu-stack for the frames of a case, and keeps their answers in its folder beside the core."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from corpus import Case
from seen import Place, Seen, Threads

CPU_S = 15
"""Of a processor, so that an answer doesn't depend on who else has it."""
WAIT_S = 600
MOST_FRAMES = 6000
GDB_SCRIPT = Path(__file__).with_name("gdbframes.py")
QUIET = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}


def debug_folder(case: Case) -> str:
    return str(case.sysroot / "usr/lib/debug").replace("//", "/")


def say(case: Case, *command: str | Path) -> str:
    """Standard output; these programs complain and fail about the least thing, and still say what they know. gdb does
    not come back from some, and is ended: that is its answer.
    """
    done = subprocess.run(
        ["/usr/bin/prlimit", f"--cpu={CPU_S}", *command],
        cwd=case.core_path.parent,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=WAIT_S,
        env=QUIET,
    )
    return done.stdout


def gdb(case: Case) -> Threads:
    program = "/usr/bin/gdb-multiarch" if case.program.machine == "aarch64" else "/usr/bin/gdb"
    before = [
        "set auto-load off",
        "set backtrace past-main on",
        f"set debug-file-directory {debug_folder(case)}",
        "set debuginfod enabled off",
    ]
    if case.program.machine == "aarch64":
        before.append(f"set sysroot {case.sysroot}")
    settings = [word for line in before for word in ("-iex", line)]
    text = say(
        case, program, "-nx", "-batch", *settings, str(case.executable), str(case.core_path), "-x", str(GDB_SCRIPT)
    )  # fmt: skip
    found = re.search(r"^JSON (.*)$", text, re.MULTILINE)
    if not found:
        return []
    threads = json.loads(found[1])
    for _, frames in threads:
        if frames and frames[-1][0] == 0:
            del frames[-1]  # its way to say that there is nothing more
    return [
        (tid, tuple(Seen(pc, tuple(Place(*place) for place in places), -1 if pc == -1 else 0) for pc, places in frames))
        for tid, frames in threads
    ]  # fmt: skip


EU_THREAD = re.compile(r"TID (\d+):")
EU_FRAME = re.compile(r"#\d+ +0x([0-9a-f]+)( - 1)?(?: +(.*))?")
EU_LINE = re.compile(r" {4}(\S.*?):(\d+)(?::\d+)?")


def eustack(case: Case) -> Threads:
    """`-i` has inlined calls as frames of the same pc before the function that has the frame; recursion has the same
    pc, too, but the same name.
    """
    text = say(
        case, "/usr/bin/eu-stack", "-n", str(MOST_FRAMES), "-a", "-s", "-i", "--core", str(case.core_path),
        "--executable", str(case.executable), f"--debuginfo-path=:.debug:{debug_folder(case)}",
    )  # fmt: skip
    threads: list[tuple[int, list[Seen]]] = []
    for line in text.splitlines():
        if match := EU_THREAD.fullmatch(line):
            threads.append((int(match[1]), []))
        elif threads and (match := EU_FRAME.fullmatch(line.rstrip())):
            pc, frames = int(match[1], 16), threads[-1][1]
            place = Place(match[3] or "")
            if frames and frames[-1].pc == pc and place.function and frames[-1].function != place.function:
                frames[-1] = Seen(pc, (*frames[-1].places, place))
            else:
                frames.append(Seen(pc, (place,)))
        elif threads and threads[-1][1] and (match := EU_LINE.fullmatch(line)):
            frames = threads[-1][1]
            *before, last = frames[-1].places
            frames[-1] = Seen(frames[-1].pc, (*before, dataclasses.replace(last, file=match[1], line=int(match[2]))))
    for _, frames in threads:
        if len(frames) >= MOST_FRAMES:
            frames.append(Seen(-1, gap=-1))
    return [(tid, tuple(frames)) for tid, frames in threads]


def kept(case: Case, name: str, ask: Callable[[Case], Threads]) -> Threads:
    """The answer of an unwinder that doesn't change, asked for once."""
    asked = hashlib.sha256(Path(__file__).read_bytes() + GDB_SCRIPT.read_bytes()).hexdigest()[:16]
    file = case.core_path.with_name(f"{name}.{asked}.json")
    if not file.exists():
        answer = ask(case)
        file.write_text(json.dumps([(tid, [dataclasses.asdict(frame) for frame in frames]) for tid, frames in answer]))
    return [
        (tid, tuple(Seen(one["pc"], tuple(Place(**place) for place in one["places"]), one["gap"]) for one in frames))
        for tid, frames in json.loads(file.read_text())
    ]


OTHERS: dict[str, Callable[[Case], Threads]] = {"gdb": gdb, "eu-stack": eustack}


def ask_all(cases: Iterable[Case]) -> None:
    """Has the answers of all, several at a time."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done in [pool.submit(kept, case, name, ask) for case in cases for name, ask in OTHERS.items()]:
            done.result()
