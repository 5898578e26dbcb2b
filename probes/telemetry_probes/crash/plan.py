# SPDX-License-Identifier: Apache-2.0
"""Which parts of a core's memory to keep as it passes, under a budget. Decides from program headers and notes alone.

In this order, until the budget is out:
1. the first page of each mapped file (ELF header, build-id), the vdso;
2. round sp of the thread that crashed, first in the notes;
3. above each thread's sp, an equal share for each;
4. the rest of the first thread's stack, and the process's main stack: endless recursion fills 8 MiB;
5. other writable memory, the smallest stretch first: data of modules (`_PyRuntime`, the link map), interpreters' heaps,
   and what was made constant once it was relocated, up to `constant_bytes` each.
A stretch that doesn't fit is left out whole and counted; one above `stretch_bytes` is taken for a program's own data.
What a signal handler interrupted on another stack is known only once the handler's stack was read: `reserve_bytes` wait
for that.
"""

from __future__ import annotations

from bisect import bisect_right

from telemetry_probes.crash.elf import PAGE, PF_W
from telemetry_probes.crash.model import AARCH64, X86_64

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_probes.crash.loads import Load, Loads
    from telemetry_probes.crash.model import Machine, Notes

AT_PHDR, AT_RANDOM, AT_SYSINFO_EHDR = 3, 25, 33

# Of struct rt_sigframe, in words from uc_stack.ss_sp: where the interrupted sp is (arch/*/kernel/signal.c)
_SAVED_SP = {X86_64: 18, AARCH64: 52}
_SIGNAL_STACK_MAX = 1 << 30
_NO_OFFSET = 1 << 65


class Limits:
    """How much of a core is kept; bytes, if nothing else is said."""

    __slots__ = (
        "constant_bytes", "first_stack_bytes", "headers_bytes", "heads", "kept_bytes", "note_bytes", "notes",
        "red_zone_bytes", "reserve_bytes", "stacks_bytes", "stretch_bytes", "under_sp_bytes", "vdso_bytes",
        "window_bytes",
    )  # fmt: skip

    def __init__(
        self, *, kept_bytes: int = 16 << 20, headers_bytes: int = 8 << 20, notes: int = 1 << 18,
        note_bytes: int = 8 << 20, heads: int = 512, vdso_bytes: int = 64 << 10, red_zone_bytes: int = 256,
        under_sp_bytes: int = 256 << 10, window_bytes: int = 128 << 10, stacks_bytes: int = 5 << 20,
        first_stack_bytes: int = 8448 << 10, reserve_bytes: int = 1 << 20, stretch_bytes: int = 6 << 20,
        constant_bytes: int = 64 << 10,
    ) -> None:  # fmt: skip
        """`kept_bytes` of memory in all. Of those: `heads` first pages; `under_sp_bytes` below the first thread's sp,
        since Go runs a signal handler on a stack beside the one it interrupted; `window_bytes` above each sp, for all
        threads together `stacks_bytes`; `first_stack_bytes` of the first thread's stack and of the main one.

        Beside them `headers_bytes` of program headers, `notes` notes looked at and `note_bytes` of them kept.
        """
        self.kept_bytes = kept_bytes
        self.headers_bytes = headers_bytes
        self.notes = notes
        self.note_bytes = note_bytes
        self.heads = heads
        self.vdso_bytes = vdso_bytes
        self.red_zone_bytes = red_zone_bytes
        self.under_sp_bytes = under_sp_bytes
        self.window_bytes = window_bytes
        self.stacks_bytes = stacks_bytes
        self.first_stack_bytes = first_stack_bytes
        self.reserve_bytes = reserve_bytes
        self.stretch_bytes = stretch_bytes
        self.constant_bytes = constant_bytes


class Plan:
    """The pieces of a core that are wanted, handed out in the order of the file."""

    __slots__ = ("_loads", "_pieces", "left_out", "room")

    def __init__(self, loads: Loads, budget: int) -> None:
        """`room` is what is left of the budget; `left_out` says in words what didn't fit."""
        self._loads = loads
        self._pieces: list[tuple[int, int, int]] = []  # offset, offset of the end, address - offset
        self.room = budget
        self.left_out: tuple[str, ...] = ()

    def add(self, start: int, end: int) -> None:
        """Want the memory from `start` to `end`, as far as it is in one load and the budget."""
        load = self._loads.at(start)
        if load is None:
            return
        end = min(end, load.kept_end)
        if start < end:
            self._insert(load.offset + start - load.start, load.offset + end - load.start, load.start - load.offset)

    def next(self, position: int) -> tuple[int, int, int] | None:
        """The next piece at or after an offset, no longer wanted then: (offset, size, address)."""
        while self._pieces:
            start, end, shift = self._pieces.pop(0)
            start = max(start, position)
            if start < end:
                return start, end - start, start + shift
        return None

    def next_offset(self) -> int | None:
        """Where the next piece begins."""
        return self._pieces[0][0] if self._pieces else None

    def _insert(self, start: int, end: int, shift: int) -> None:
        pieces = self._pieces
        first = bisect_right(pieces, (start, _NO_OFFSET, 0))  # of two that lie at one place the first asked for wins
        while first and pieces[first - 1][1] >= start and pieces[first - 1][2] == shift:
            first -= 1
        last = first
        had = 0
        low, high = start, end
        while last < len(pieces) and pieces[last][0] <= high and pieces[last][2] == shift:
            low, high = min(low, pieces[last][0]), max(high, pieces[last][1])
            had += pieces[last][1] - pieces[last][0]
            last += 1
        more = high - low - had
        if more > self.room:
            return
        self.room -= more
        pieces[first:last] = [(low, high, shift)]


def choose(loads: Loads, notes: Notes, machine: Machine | None, limits: Limits, budget: int) -> Plan:
    """What to keep of `loads`, at most `budget` bytes. Notes without threads or mappings are valid."""
    plan = Plan(loads, budget)
    _heads(plan, loads, notes, limits)
    stacks = [sp for thread in notes.threads if machine and (sp := thread.registers[machine.sp]) is not None]
    if stacks:
        load = loads.at(stacks[0])
        if load is not None:
            plan.add(max(load.start, stacks[0] - limits.under_sp_bytes), stacks[0] + limits.window_bytes)
    share = min(limits.window_bytes, limits.stacks_bytes // max(len(stacks), 1))
    for sp in stacks:
        add_stack(plan, loads, sp, share, limits)
    for sp in stacks[:1]:
        add_stack(plan, loads, sp, limits.first_stack_bytes, limits)
    main = loads.at(notes.auxv.get(AT_RANDOM, 0))  # the kernel put those bytes at the stack's end
    if main is not None:
        size = min(main.kept_end - main.start, limits.first_stack_bytes, max(plan.room, 0))
        plan.add(main.kept_end - size, main.kept_end)
    _others(plan, loads, limits, stacks)
    return plan


def add_stack(plan: Plan, loads: Loads, sp: int, size: int, limits: Limits) -> None:
    """Want `size` bytes from `sp` up, and the red zone below it."""
    load = loads.at(sp)
    if load is not None:
        size = min(size, max(plan.room, 0))
        plan.add(max(load.start, sp - limits.red_zone_bytes), sp + size)


def interrupted_stacks(content: memoryview, address: int, machine: Machine | None) -> Iterator[int]:
    """The sp that each signal handler on this piece of a stack interrupted, if the handler has a stack of its own.

    The kernel writes into the signal's frame which alternate stack there is; a word is taken for that when the stack it
    tells of contains the word.
    """
    saved = _SAVED_SP.get(machine) if machine else None
    if saved is None:
        return
    skipped = -address % 8
    words = content[skipped : skipped + (len(content) - skipped) // 8 * 8].cast("Q")
    start, end = address + skipped, address + len(content)
    for at, word in enumerate(words[: max(len(words) - saved, 0)]):
        if start - _SIGNAL_STACK_MAX < word < end and word <= start + 8 * at < word + words[at + 2] < end + (1 << 30):
            yield words[at + saved]


def _heads(plan: Plan, loads: Loads, notes: Notes, limits: Limits) -> None:
    starts = [mapping.start for mapping in notes.mappings if mapping.offset == 0]
    if not starts:  # no list of files: any memory that isn't written to can be the start of one
        starts = [load.start for load in loads if not load.flags & PF_W and load.kept_end > load.start]
    for start in starts[: limits.heads]:
        plan.add(start, start + PAGE)
    vdso = notes.auxv.get(AT_SYSINFO_EHDR, 0)
    plan.add(vdso, vdso + limits.vdso_bytes)
    headers = notes.auxv.get(AT_PHDR, 0) & -PAGE
    plan.add(headers, headers + PAGE)


def _others(plan: Plan, loads: Loads, limits: Limits, stacks: list[int]) -> None:
    big: list[Load] = []
    small: list[tuple[int, int]] = []
    of_stacks = {load.start for sp in stacks if (load := loads.at(sp)) is not None}
    for load in loads:
        size = load.kept_end - load.start
        if load.flags & PF_W and size > limits.stretch_bytes:
            if load.start not in of_stacks:
                big.append(load)
        elif size and (load.flags & PF_W or size <= limits.constant_bytes):
            small.append((size, load.start))
    if not stacks:
        for load in big[-limits.heads :]:
            plan.add(load.kept_end - limits.window_bytes, load.kept_end)
    left_out = [load.kept_end - load.start for load in big]
    small.sort()
    for size, start in small:
        if size > plan.room - limits.reserve_bytes:
            left_out.append(size)
        else:
            plan.add(start, start + size)
    if left_out:
        amount = (sum(left_out) + (1 << 20) - 1) >> 20
        plan.left_out = (f"{len(left_out)} stretches of writable memory, {amount} MiB, above what is kept",)
