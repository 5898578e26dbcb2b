# SPDX-License-Identifier: Apache-2.0
"""Holds what an unwinder saw against what the source says: are the frames the right ones, are the names right, are the
lines, the inlined calls, the interpreter's functions? Judges every unwinder alike.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from binutils import normalised
from deadprocess import DeadProcess, Label
from seen import Seen, Threads
from sources import Part, Program

OUTERMOST = {
    "_start", "clone3", "__clone3", "clone", "__clone", "thread_start", "_dl_start_user", "__start_context",
    "_start_c", "_dl_start", "libc_start_main_stage2",  # musl's; what is below it has no unwind information
}  # fmt: skip


@dataclass
class Judgement:
    """What is wrong, in words: nothing is right. `stack`: frames; `names`, `lines`: what is said of right frames."""

    stack: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return not (self.stack or self.names or self.lines)

    def __str__(self) -> str:
        return "\n".join(f"{kind}: {text}" for kind, texts in vars(self).items() for text in texts)


@dataclass(frozen=True)
class Fact:
    """A frame with what is true of its address. `label` is none for a gap."""

    seen: Seen
    label: Label
    trampoline: bool


def has_names(program: Program) -> bool:
    """Whether the program's own symbols can be found by who looks everywhere."""
    stripped = any(program.step(word) for word in ("strip", "no-sections", "separate-wrong")) or any(
        "-ldflags=-s" in flag for flag in program.flags
    )
    # without the first page of a mapping nobody knows whether the file on disk is the one that was mapped
    unknown = program.step("delete") or program.step("replace") or program.step("truncate") == ("truncate", "notes")
    return not stripped and not unknown


def has_lines(program: Program) -> bool:
    """Whether the program's own lines can be found."""
    debug = (program.compiler == "go" and "-ldflags=-w" not in program.flags) or any(
        flag.startswith("-g") and flag != "-gno" for flag in program.flags
    )
    return debug and has_names(program)


def facts(process: DeadProcess, frames: Sequence[Seen]) -> list[Fact]:
    """pc is exact in the first frame and in what a signal interrupted, else the address behind a call."""
    found = []
    exact = True
    for seen in frames:
        if seen.gap:
            found.append(Fact(seen, Label(), False))
            continue
        trampoline = process.is_trampoline(seen.pc)
        label = process.label(seen.pc)
        # These are returned to without having called; so is what Go's signal handler makes call sigpanic
        if not (exact or trampoline or {"__start_context", "runtime.systemstack_switch"} & label.names):
            label = process.label(seen.pc - 1)
        found.append(Fact(seen, label, trampoline))
        exact = trampoline or "runtime.sigpanic" in label.names
    return found


class Match:
    """One thread's frames against one stack of the source."""

    def __init__(self, program: Program, parts: Sequence[Part], frames: Sequence[Fact]) -> None:
        self.program = program
        # what the compiler or the interpreter put into other frames is judged afterwards
        self.parts = [part for part in parts if part.kind not in ("inlined", "python")]
        self.frames = frames
        self.own = {normalised(name) for name in program.expect.own}
        self.matched: list[tuple[Part, Fact]] = []
        self.furthest = (0, 0)
        self.right = self._match(0, 0)

    def _fits(self, part: Part, fact: Fact) -> bool:
        names, label = {normalised(name) for name in part.names}, fact.label
        if part.kind == "function":
            return bool(names & label.names)
        if part.kind == "nowhere":
            return not label.section and not fact.trampoline
        if part.kind == "plt":
            return label.section.startswith(".plt")
        if part.kind == "trampoline":
            return fact.trampoline
        assert part.kind in ("wild", "outermost")
        return bool(fact.seen.gap) or not (label.own and label.names & self.own)

    def _match(self, at: int, frame: int) -> bool:
        """Whether the parts from `at` on say what the frames from `frame` on are."""
        self.furthest = max(self.furthest, (frame, at))
        if at == len(self.parts):
            return frame == len(self.frames)
        part, rest = self.parts[at], self.frames[frame:]
        if part.kind == "lost" or (rest and rest[0].seen.gap == -1):
            return True
        if part.kind == "outermost":
            pcs = [fact.seen.pc for fact in rest]
            twice = any(one == other for one, other in zip(pcs, pcs[1:], strict=False))  # nothing here calls itself
            return bool(rest) and not twice and all(self._fits(part, one) for one in rest) and is_outermost(rest[-1])
        if part.kind == "wild":
            taken = 0
            while not self._match(at + 1, frame + taken):
                if taken == len(rest) or not self._fits(part, rest[taken]):
                    return False
                taken += 1
            return True
        wanted, had, taken = part.count, 0, 0
        found: list[tuple[Part, Fact]] = []
        while taken < len(rest) and (wanted is None or had < wanted):
            fact = rest[taken]
            if fact.seen.gap == -1:
                break
            if not fact.seen.gap and not self._fits(part, fact):
                break
            had += fact.seen.gap or 1
            taken += 1
            if not fact.seen.gap:
                found.append((part, fact))
        if had == wanted or (wanted is None and had) or (taken < len(rest) and rest[taken].seen.gap == -1):
            before = len(self.matched)
            self.matched.extend(found)
            if self._match(at + 1, frame + taken):
                return True
            del self.matched[before:]
        return False

    def why(self) -> str:
        """Where it went another way than the source says."""
        frame, at = self.furthest
        got = f"{describe(self.frames[frame])}" if frame < len(self.frames) else "the end"
        wanted = str(self.parts[at]) if at < len(self.parts) else "the end"
        return f"frame {frame} should be {wanted}, is {got}; {shown(self.frames)}"


def is_outermost(fact: Fact) -> bool:
    """The first frame of a thread; in a library without symbols nobody can tell."""
    label = fact.label
    return bool(label.names & OUTERMOST) or (bool(label.path) and not label.names and not label.own)


def describe(fact: Fact) -> str:
    if fact.seen.gap:
        return f"[{fact.seen.gap} left out]"
    true = "/".join(sorted(fact.label.names)[:3]) or ("trampoline" if fact.trampoline else hex(fact.seen.pc))
    return true if fact.label.own else f"{true}({Path(fact.label.path).name or 'nowhere'})"


def shown(frames: Sequence[Fact]) -> str:
    text = [describe(fact) for fact in frames]
    return " <- ".join(text if len(text) < 24 else [*text[:12], f"... {len(text) - 20} more ...", *text[-8:]])


def is_called(said: str, true: set[str]) -> bool:
    """Whether a name is one of these. The linker's table leaves out what the types of a Rust function are."""
    if said in true or f"__GI_{said}" in true or said.removeprefix("__GI_") in true:
        return True
    return "::" in said and plain(said) in {plain(name) for name in true}


def plain(name: str) -> str:
    """Without types, and with one form for closures."""
    name = re.sub(r"\{closure#\d+\}", "{{closure}}", name)
    while (shorter := re.sub(r"(?:::)?<[^<>]*>", "", name)) != name and shorter:
        name = shorter
    return name


def judge_names(program: Program, match: Match, judgement: Judgement) -> None:
    """No wrong name anywhere; and one for each function of the program whose symbol is at hand."""
    parts = {id(fact): part for part, fact in match.matched}
    for number, fact in enumerate(match.frames):
        part = parts.get(id(fact))
        said, true = normalised(fact.seen.function), set(fact.label.names)
        if part:
            true |= {normalised(name) for name in part.names}
        if said and fact.trampoline:
            continue  # each has a name of its own for it
        if said and fact.label.section.startswith(".plt"):
            continue  # ditto
        known = fact.label.own or fact.label.names or not fact.label.path
        if said and known and not is_called(said, true):
            judgement.names.append(f"frame {number} is {describe(fact)}, was called {fact.seen.function!r}")
        if not said and part and part.kind == "function" and fact.label.own and has_names(program):
            judgement.names.append(f"frame {number} is {describe(fact)}, got no name")


def logical(parts: Sequence[Part], kind: str) -> list[str]:
    return [part.names[0] for part in parts if part.kind == kind]


def judge_inlined(program: Program, parts: Sequence[Part], match: Match, judgement: Judgement) -> None:
    """Calls that were inlined into the program's functions, where its debug info is at hand."""
    if not has_lines(program):
        return
    wanted = logical(parts, "inlined")
    if wanted:
        got = [
            normalised(place.function)
            for _, fact in match.matched
            for place in fact.seen.places[:-1]
            if place.kind == "native"
        ]
        if got != wanted:
            judgement.names.append(f"inlined should be {wanted}, are {got}")


def judge_python(parts: Sequence[Part], match: Match, judgement: Judgement) -> None:
    wanted = logical(parts, "python")
    got = [place.function for fact in match.frames for place in fact.seen.places if place.kind == "python"]
    # the thread's own start is Python, too: what the script did comes first
    if wanted and got[: len(wanted)] != wanted:
        judgement.names.append(f"Python's functions should be {wanted}, are {got}")


def judge_lines(program: Program, match: Match, judgement: Judgement) -> None:
    """A line that is shown is right; where debug info is at hand there is one."""
    for number, fact in enumerate(match.frames):
        for place in fact.seen.places:
            wanted = next(
                (at for name, at in program.expect.lines.items() if normalised(name) == normalised(place.function)),
                None,
            )
            if wanted is None or not (fact.label.own or place.kind == "python"):
                continue
            got = (Path(place.file).name, place.line)
            if place.line and got not in wanted:
                judgement.lines.append(
                    f"frame {number} {place.function}: {got[0]}:{got[1]}, should be {sorted(wanted)}"
                )
            elif not place.line and has_lines(program):
                judgement.lines.append(f"frame {number} {place.function}: no line, should be {sorted(wanted)}")


def judge(process: DeadProcess, threads: Threads) -> Judgement:
    """Everything that is wrong with what was seen of a process."""
    program, judgement = process.case.program, Judgement()
    expect = program.expect
    if not threads:
        judgement.stack.append("no thread at all")
        return judgement
    stacks = [facts(process, frames) for _, frames in threads]
    first = Match(program, expect.stack, stacks[0])
    if not first.right:
        judgement.stack.append(first.why())
    judge_names(program, first, judgement)
    if first.right:
        judge_inlined(program, expect.stack, first, judgement)
        judge_python(expect.stack, first, judgement)
    judge_lines(program, first, judgement)
    if expect.threads or expect.judge_others:
        judge_others(program, stacks[1:], judgement)
    return judgement


def judge_others(program: Program, stacks: list[list[Fact]], judgement: Judgement) -> None:
    left = stacks
    for count, parts in program.expect.threads:
        fitting: list[list[Fact]] = []
        other: list[list[Fact]] = []
        for stack in left:
            match = Match(program, parts, stack)
            if match.right and len(fitting) < count:
                judge_names(program, match, judgement)
                judge_lines(program, match, judgement)
                fitting.append(stack)
            else:
                other.append(stack)
        if len(fitting) < count:
            wanted = " <- ".join(map(str, parts))
            judgement.stack.append(f"{count} threads should be {wanted}, are {len(fitting)}")
        left = other
    if program.expect.judge_others:
        judgement.stack.extend(f"another thread: {shown(stack)}" for stack in left[:3])
