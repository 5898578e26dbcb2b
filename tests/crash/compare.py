# SPDX-License-Identifier: Apache-2.0
"""Who is right? `python tests/crash/compare.py [NAME ...]` shows what gdb, eu-stack and crashprobe's own steps make of
each case of the corpus, against what its source says.
"""

from __future__ import annotations

import concurrent.futures
import os
import sys
from collections.abc import Callable

import corpus
import ours
import unwinders
from corpus import Case
from deadprocess import DeadProcess
from judging import Judgement, judge
from seen import Threads


def tools() -> dict[str, Callable[[Case], Threads]]:
    return {**unwinders.OTHERS, "ours": ours.ours}


def judge_all(case: Case) -> dict[str, Judgement]:
    process = DeadProcess(case)
    return {
        name: judge(process, unwinders.kept(case, name, ask) if name in unwinders.OTHERS else ask(case))
        for name, ask in tools().items()
    }


def main(names: list[str]) -> int:
    wanted = [program for program in corpus.programs() if not names or program.name in names]
    cases = corpus.make(wanted)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        judged = dict(zip((case.program.name for case in cases), pool.map(judge_all, cases), strict=True))
    right = {name: [0, 0, 0] for name in tools()}
    for case, verdicts in judged.items():
        for name, verdict in verdicts.items():
            for at, kind in enumerate(("stack", "names", "lines")):
                right[name][at] += not getattr(verdict, kind)
            for line in str(verdict).splitlines():
                print(f"{case:24} {name:10} {line}")
    print(f"{len(judged)} cases; right: " + "; ".join(
        f"{name} stacks {stack}, names {names}, lines {lines}" for name, (stack, names, lines) in right.items()
    ))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
