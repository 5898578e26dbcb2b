# SPDX-License-Identifier: Apache-2.0
"""The frames of a stack while it is walked: those at both its ends are kept, those between only counted.

Never in here: how the next frame is found (`unwind`).
"""

from __future__ import annotations

from telemetry_probes.crash.model import Frame, Stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.undo import Step


class Limits:
    """Of one stack. `top` frames nearest to the crash and `bottom` ones at its other end are kept."""

    __slots__ = ("bottom", "signals", "steps", "top")

    def __init__(self, top: int = 192, bottom: int = 64, steps: int = 1 << 20, signals: int = 64) -> None:
        """`steps` are frames that are walked: a stack of 8 MiB has half a million at the most. `signals`: handlers,
        and other changes from one stack to another."""
        self.top = max(top, 1)
        self.bottom = max(bottom, 1)
        self.steps = steps
        self.signals = signals


class Walk:
    """A stack so far, of which the frames in the middle fall out."""

    __slots__ = ("_bottom", "_count", "_left_out", "_limits", "_top", "ended")

    def __init__(self, limits: Limits) -> None:
        """`ended` is to be set to why the walk did (`model.Stack`)."""
        self._limits = limits
        self._top: list[tuple[Step, int | None, str]] = []
        self._bottom: list[tuple[Step, int | None, str]] = []
        self._count = self._left_out = 0
        self.ended = ""

    def add(self, step: Step, cfa: int | None, found_by: str) -> None:
        """The next frame outwards."""
        if len(self._top) < self._limits.top:
            self._top.append((step, cfa, found_by))
        elif len(self._bottom) < self._limits.bottom:
            self._bottom.append((step, cfa, found_by))
        else:
            self._bottom[self._count % self._limits.bottom] = (step, cfa, found_by)
            self._count += 1

    def skip(self, count: int) -> bool:
        """`count` frames fall out; after them at least as many are added as are kept of the bottom."""
        if len(self._bottom) < self._limits.bottom:
            return False
        self._left_out += count
        return True

    def stack(self) -> Stack:
        first = self._count % self._limits.bottom
        entries = self._top + self._bottom[first:] + self._bottom[:first]
        frames = [Frame(step.pc, step.lookup_pc, cfa, step.module, found_by) for step, cfa, found_by in entries]
        return Stack(tuple(frames), self._count + self._left_out, self.ended)
