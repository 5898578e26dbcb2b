# SPDX-License-Identifier: Apache-2.0
"""Every case of the corpus: what crashprobe's steps see is what the source says, and where gdb or eu-stack see the
whole stack, it is the same one. Also that the judge isn't blind.
"""

from __future__ import annotations

import dataclasses
import functools
from pathlib import Path

import corpus
import pytest
import unwinders
from corpus import Case
from deadprocess import DeadProcess
from judging import judge
from ours import ours
from seen import Place, Threads

PROGRAMS = {program.name: program for program in corpus.programs()}
LEAST_PROGRAMS = 64
CLEAR = "signal_alternate"  # a case that gdb and eu-stack see in full


@functools.cache
def process(name: str) -> DeadProcess:
    return DeadProcess(case_of(name))


@functools.cache
def cases(source: Path) -> dict[str, Case]:
    """Those of a source, made before the first is looked at: several at a time. All sources at once would be minutes on
    a slow machine, and a test that takes as long is taken for one that hangs."""
    found = corpus.make([program for program in PROGRAMS.values() if program.source == source])
    unwinders.ask_all(found)
    return {case.program.name: case for case in found}


def case_of(name: str) -> Case:
    return cases(PROGRAMS[name].source)[name]


@functools.cache
def by_us(name: str) -> Threads:
    return ours(case_of(name))


def test_there_are_enough() -> None:
    assert len(PROGRAMS) >= LEAST_PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_seen_is_what_the_source_says(name: str) -> None:
    judgement = judge(DeadProcess(case_of(name)), by_us(name))
    assert judgement, str(judgement)


@pytest.mark.parametrize("name", PROGRAMS)
def test_frames_are_those_of_gdb_or_eu_stack(name: str) -> None:
    """Address by address, where one of the two gets it right by the source; where neither does, the source stands."""
    case = case_of(name)
    dead = DeadProcess(case)
    own = addresses(by_us(name))
    right = {
        other: addresses(threads)
        for other, ask in unwinders.OTHERS.items()
        if not judge(dead, threads := unwinders.kept(case, other, ask)).stack
    }
    if right and "lost" not in {part.kind for part in case.expect.stack}:
        assert any(agree(own, other) for other in right.values()), {"ours": own, **right}


def addresses(threads: Threads) -> list[int]:
    """Of the thread that died, up to the first gap."""
    found: list[int] = []
    for frame in threads[0][1] if threads else ():
        if frame.gap:
            break
        found.append(frame.pc)
    return found


def agree(one: list[int], other: list[int]) -> bool:
    """As far as both go; how far the very bottom is shown differs."""
    least = min(len(one), len(other))
    return least > 0 and one[:least] == other[:least]


# -- the judge has teeth --


def told(name: str) -> Threads:
    return unwinders.kept(case_of(name), "gdb", unwinders.OTHERS["gdb"])


def test_what_is_right_is_right() -> None:
    assert judge(process(CLEAR), told(CLEAR)), str(judge(process(CLEAR), told(CLEAR)))


@pytest.mark.parametrize("at", range(9))
def test_a_frame_that_is_missing_is_noticed(at: int) -> None:
    (tid, frames), *_ = told(CLEAR)
    own = {"handler", "fault", "cause", "main", "abort"}
    if frames[at].function.removeprefix("__GI_") in own:
        assert judge(process(CLEAR), [(tid, frames[:at] + frames[at + 1 :])]).stack


def test_an_end_before_the_end_is_noticed() -> None:
    (tid, frames), *_ = told(CLEAR)
    assert judge(process(CLEAR), [(tid, frames[:-1])]).stack
    assert judge(process(CLEAR), []).stack


def test_a_frame_too_many_is_noticed() -> None:
    (tid, frames), *_ = told(CLEAR)
    assert judge(process(CLEAR), [(tid, (*frames, frames[-2]))]).stack
    assert judge(process(CLEAR), [(tid, (*frames[:7], frames[6], *frames[7:]))]).stack


def test_a_wrong_name_is_noticed_also_in_a_library() -> None:
    (tid, frames), *_ = told(CLEAR)
    for at in (0, 3, len(frames) - 1):
        wrong = dataclasses.replace(frames[at], places=(Place("another"),))
        assert judge(process(CLEAR), [(tid, (*frames[:at], wrong, *frames[at + 1 :]))]).names


def test_a_wrong_line_and_no_line_are_noticed() -> None:
    (tid, frames), *_ = told(CLEAR)
    at = next(at for at, frame in enumerate(frames) if frame.function == "cause")
    (place,) = frames[at].places
    for line in (place.line + 1, 0):
        wrong = dataclasses.replace(frames[at], places=(dataclasses.replace(place, line=line),))
        assert judge(process(CLEAR), [(tid, (*frames[:at], wrong, *frames[at + 1 :]))]).lines


def test_an_inlined_call_that_is_missing_is_noticed() -> None:
    (tid, frames), *_ = told("inline_gcc")
    bare = tuple(dataclasses.replace(frame, places=frame.places[-1:]) for frame in frames)
    assert judge(process("inline_gcc"), [(tid, bare)]).names


def test_a_thread_that_is_missing_is_noticed() -> None:
    threads = told("threads_8")
    assert judge(process("threads_8"), threads), str(judge(process("threads_8"), threads))
    assert judge(process("threads_8"), threads[:-1]).stack
    assert judge(process("threads_8"), [*threads, threads[1]]).stack
