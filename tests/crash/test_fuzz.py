# SPDX-License-Identifier: Apache-2.0
"""Thousands of hostile cores and files: nothing hangs, nothing raises, time and memory stay within bounds, and what
would be sent is valid and fits. The mutants are those of mutations.py, examined by processes of fuzzing.py.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import random
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fuzzing
import pytest
from handmade import Part, core, mapped, piped, prstatus
from mutations import Maker, Original

from telemetry_probes.crash import examine, report

PER_CASE = 66
MUTANTS = PER_CASE * len(fuzzing.CASES)
LEAST_MUTANTS = 2000
RSS_KB_MAX = 400_000
WAIT_S = 500


def run(first: int, count: int) -> list[str]:
    """What a process said of those mutants."""
    command = [sys.executable, fuzzing.__file__, str(first), str(count), str(PER_CASE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S)
    lines = done.stdout.splitlines()
    return [*lines, f"ended with {done.returncode}: {done.stderr[-2000:]}"] if done.returncode else lines


def complaints(lines: list[str], first: int, count: int) -> list[str]:
    """What is wrong, in words; nothing is right."""
    found, begun, ended = [], "", set()
    for line in lines:
        if line.startswith("ended with "):
            found.append(f"{line} after {begun or 'nothing'}")
            continue
        told: dict[str, Any] = json.loads(line)
        name = f"mutant {told['seed']} of {told['case']}"
        if "s" not in told:
            begun = name
            continue
        ended.add(told["seed"])
        name = f"{name} ({told['what']})"
        if told["error"]:
            found.append(f"{name}: {told['error']}")
        if told["s"] > fuzzing.CPU_S_MAX:
            found.append(f"{name} took {told['s']:.1f} s of a processor")
        if told["kb"] > RSS_KB_MAX:
            found.append(f"{name}: {told['kb']} KB of memory by then")
    left = set(range(first, first + count)) - ended
    if left:
        found.append(f"{len(left)} mutants were not looked at, the first is {min(left)}")
    return found


def test_no_mutant_does_harm() -> None:
    """A finding is repeated with `.venv/bin/python tests/crash/fuzzing.py NUMBER 1 PER_CASE`."""
    assert MUTANTS >= LEAST_MUTANTS
    fuzzing.cases()
    half = len(fuzzing.CASES) // 2 * PER_CASE
    shares = [(0, half), (half, MUTANTS - half)]
    with concurrent.futures.ThreadPoolExecutor(len(shares)) as pool:
        said = list(pool.map(lambda share: run(*share), shares))
    wrong = [text for share, lines in zip(shares, said, strict=True) for text in complaints(lines, *share)]
    assert not wrong, "\n".join(wrong[:20])
    results = [told for lines in said for line in lines if "s" in (told := json.loads(line))]
    assert len(results) == MUTANTS
    # they get far: most still give a report, and not always the same
    assert sum(told["size"] > 0 for told in results) > MUTANTS * 0.8
    of_one = [told["size"] for told in results if told["case"] == fuzzing.CASES[0]]
    assert len(set(of_one)) > PER_CASE / 10


# -- the fuzzer has teeth --


def line(seed: int, **more: Any) -> str:
    return json.dumps({"seed": seed, "case": "x", **more})


def good(seed: int, **more: Any) -> str:
    return line(seed, **{"what": "y", "s": 0.1, "size": 9, "kb": 9, "error": "", **more})


def test_what_went_well_is_no_complaint() -> None:
    assert complaints([line(7), good(7), line(8), good(8)], 7, 2) == []


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([line(7), good(7, error="KeyError")], "KeyError"),
        ([line(7), good(7, s=99.0)], "99.0 s"),
        ([line(7), good(7, kb=RSS_KB_MAX + 1)], "KB of memory"),
        ([line(7), "ended with -11: "], "after mutant 7"),
        ([], "were not looked at"),
    ],
)
def test_what_went_wrong_is_one(lines: list[str], word: str) -> None:
    assert any(word in text for text in complaints(lines, 7, 1))


def test_a_process_that_works_for_ever_is_ended() -> None:
    """The limit of processor time holds also in a loop that no deadline is looked at in."""
    program = (
        f"import sys; sys.path.insert(0, {str(Path(fuzzing.__file__).parent)!r}); import fuzzing;"
        " fuzzing.CPU_S_MAX = 0.1; fuzzing.limit_next()\nwhile True: pass"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=WAIT_S, capture_output=True)
    assert done.returncode == -24  # SIGXCPU


def test_a_seed_makes_the_same_mutant_again() -> None:
    original = Original(fuzzing.cases()[0].core_path)
    for seed in range(50):
        one, other = (Maker(original, random.Random(seed)).core() for _ in range(2))
        assert one == other
    assert len({str(Maker(original, random.Random(seed)).core()) for seed in range(50)}) > 40


# -- what chance wouldn't find --


def examined_in_s(raw: bytes, seconds_max: float, tmp_path: Path, through_pipe: bool = False) -> tuple[float, bytes]:
    """How long it took, and the payload."""
    asked = examine.Asked("program", "/usr/bin/program")
    begun = time.monotonic()
    if through_pipe:
        with piped(raw) as fd:
            examined = examine.examine(fd, asked, True, time.monotonic, "/", seconds_max)
    else:
        (tmp_path / "core").write_bytes(raw)
        fd = os.open(tmp_path / "core", os.O_RDONLY)
        try:
            begun = time.monotonic()
            examined = examine.examine(fd, asked, True, time.monotonic, "/", seconds_max)
        finally:
            os.close(fd)
    assert examined.report is not None
    payload = examined.report.payload()
    taken = time.monotonic() - begun
    assert len(payload) <= report.PAYLOAD_MAX
    json.loads(payload.partition(b"\n")[0])
    return taken, payload


STACK, STACK_SIZE = 0x7FFD_0000_0000, 1 << 20
CODE = 0x7F00_0000_0000
SLOW_S = 20.0
"""Generous: it is to be 0.7 s."""


@pytest.mark.parametrize("through_pipe", [False, True])
def test_as_many_threads_as_can_be_on_stacks_of_lies(tmp_path: Path, through_pipe: bool) -> None:
    """5,000 threads that each find an address of code in every word of their stacks, and a ring of frame pointers."""
    chance = random.Random(1)
    library = Path("/usr/lib/x86_64-linux-gnu/libc.so.6").resolve()
    head = library.read_bytes()[:4096]
    size = library.stat().st_size + 4095 & ~4095
    words = [CODE + 0x26000 + chance.randrange(0x150000) if chance.random() < 0.7 else
             STACK + chance.randrange(STACK_SIZE // 8) * 8 for _ in range(STACK_SIZE // 8)]  # fmt: skip
    notes = b"".join(
        prstatus(1000 + at, STACK + chance.randrange(STACK_SIZE // 16) * 8, CODE + 0x26000 + chance.randrange(0x150000))
        for at in range(5000)
    )
    raw = core(
        [Part(CODE, head, 4, size), Part(STACK, struct.pack(f"<{len(words)}Q", *words))],
        notes + mapped([(CODE, CODE + size, 0, str(library).encode())]),
    )
    taken, payload = examined_in_s(raw, 0.7, tmp_path, through_pipe)
    assert taken < SLOW_S
    told = json.loads(payload.partition(b"\n")[0])
    assert any("no time was left" in flag or "time to read" in flag for flag in told["flags"])
    assert told["stacks"] or any("time to read" in flag for flag in told["flags"])


def test_a_map_of_sixty_thousand_files(tmp_path: Path) -> None:
    files = [(CODE + at * 8192, CODE + at * 8192 + 4096, 0, b"/usr/lib/%d" % at) for at in range(60_000)]
    stack = struct.pack(f"<{STACK_SIZE // 8}Q", *(CODE + at % 60_000 * 8192 + 9 for at in range(STACK_SIZE // 8)))
    raw = core([Part(STACK, stack)], prstatus(7, STACK, CODE + 5) + mapped(files))
    taken, _ = examined_in_s(raw, 3.0, tmp_path)
    assert taken < SLOW_S


def test_names_as_long_as_can_be(tmp_path: Path) -> None:
    """Paths of 64 KiB, in characters that JSON has to escape."""
    files = [(CODE + at * 4096, CODE + at * 4096 + 4096, 0, b'/usr/\xc3\xa4\x01"' * 8000) for at in range(50)]
    stack = struct.pack(f"<{STACK_SIZE // 8}Q", *(CODE + at % 50 * 4096 + 9 for at in range(STACK_SIZE // 8)))
    notes = b"".join(prstatus(at, STACK + 64 * at, CODE + 4096 * (at % 50)) for at in range(1, 200)) + mapped(files)
    taken, _ = examined_in_s(core([Part(STACK, stack)], notes), 3.0, tmp_path)
    assert taken < SLOW_S
