# SPDX-License-Identifier: Apache-2.0
"""How a frame is undone that stands at a pc: what is learned once for each pc, and made simple where it can be.

Pure. Never in here: registers and memory of a thread (`unwind` applies a step).
"""

from __future__ import annotations

from telemetry_probes.crash import rules
from telemetry_probes.crash.guesses import CFI

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.model import Machine, Module
    from telemetry_probes.crash.rules import Row

TABLE, TRAMPOLINE, GUESS, NOWHERE, LAST, NOT_A_FRAME, SWITCHED = range(7)
"""By a row of rules; a signal's frame; nothing is known; no code is there; nobody called; nobody returns there; a
function that went on on another stack."""


class Step:
    """How a frame at a pc is undone. `saved` are (register, distance from the CFA) where that is all there is to do."""

    __slots__ = (
        "by_hand", "cfa_offset", "cfa_register", "finds_by", "kind", "lookup_pc", "module", "pc", "row", "saved",
        "simple",
    )  # fmt: skip

    def __init__(self, kind: int, pc: int, lookup_pc: int, module: Module | None, row: Row | None = None) -> None:
        """`by_hand`: no call led here. `finds_by` is what the caller was found by (`model.Frame`)."""
        self.kind = kind
        self.pc = pc
        self.lookup_pc = lookup_pc
        self.module = module
        self.row = row
        self.by_hand = False
        self.finds_by = CFI
        self.simple = False
        self.cfa_register = self.cfa_offset = 0
        self.saved: tuple[tuple[int, int], ...] = ()


def by_row(pc: int, lookup_pc: int, module: Module | None, row: Row, machine: Machine, exact: bool) -> Step:
    """The step by a row of rules: a simple one, where all it does is to add and to read words.

    `exact`: the frame was interrupted anywhere, so that on aarch64 it may be a leaf.
    """
    step = Step(TABLE, pc, lookup_pc, module, row)
    count, returns = machine.register_count, row.return_register
    if not row.signal and any(register == returns and kind == rules.UNDEFINED for register, kind, _given in row.rules):
        step.kind = LAST
        return step
    if row.cfa_expression is not None or row.signal or row.cfa_register >= count:
        return step
    if returns != (machine.pc if machine.link is None else machine.link):
        return step
    saved = []
    for register, kind, given in row.rules:
        if register >= count:
            continue
        if kind != rules.OFFSET or not isinstance(given, int) or register == machine.sp:
            return step
        saved.append((register, given))
    if all(register != returns for register, _given in saved) and not (exact and machine.link is not None):
        return step
    step.simple = True
    step.cfa_register, step.cfa_offset, step.saved = row.cfa_register, row.cfa_offset, tuple(saved)
    return step
