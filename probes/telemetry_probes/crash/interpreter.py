# SPDX-License-Identifier: Apache-2.0
"""Python's own frames, read from the memory of a CPython that died: function, file and line, for 3.9 to 3.14.

Each call of the evaluation loop runs Python frames up to the one that it was entered with; `runs` gives them call by
call, so that `naming` can put them where they belong among the native frames. The memory may be damaged, which is why
the process died: every pointer may lead anywhere, and nothing here raises or goes on for ever.
"""

from __future__ import annotations

from telemetry_probes.crash import pythonlayout
from telemetry_probes.crash.model import Place
from telemetry_probes.crash.pythonlines import line_at

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.model import Memory, Thread
    from telemetry_probes.crash.pythonlayout import Layout

INTERPRETERS_MAX = 64
THREADS_MAX = 4096
FRAMES_MAX = 50_000
"""Frames of a thread that are walked; endless recursion ends at 1,000 unless somebody changed the limit."""
KEPT_TOP, KEPT_BOTTOM = 192, 64
"""Of more frames of a thread those at the top and at the bottom are read."""
TEXT_MAX = 4096
"""Characters of a name of a function or file."""
TABLE_MAX = 1 << 20
CODES_KEPT = 4096
SHIM_OWNER = 3
"""FRAME_OWNED_BY_CSTACK in 3.12 and 3.13, FRAME_OWNED_BY_INTERPRETER in 3.14: the frame a loop was entered with."""
TID_IN_PTHREAD = (720, 208)
"""Where glibc's struct pthread has the tid, on x86_64 and on aarch64."""
TAGS = 7
"""Low bits of a reference, which 3.14 uses for itself."""


class Interpreter:
    """The interpreter whose `_PyRuntime` lies at `runtime`, of the version that its module says, if that is known."""

    __slots__ = ("_codes", "_expired", "_layout", "_memory", "_places", "_runtime")

    def __init__(
        self, runtime: int, version: tuple[int, int] | None, memory: Memory, expired: Callable[[], bool]
    ) -> None:
        self._runtime = runtime
        self._memory = memory
        self._expired = expired
        self._layout = pythonlayout.read(memory, runtime)
        if self._layout is None and version is not None:
            self._layout = pythonlayout.LAYOUTS.get(version)
        self._codes: dict[int, tuple[str, str, int, bytes] | None] = {}
        self._places: dict[tuple[int, int], Place | None] = {}

    def runs(self, thread: Thread) -> list[tuple[Place, ...]]:
        """The Python frames of each call of the evaluation loop, both innermost first; empty where it has none."""
        layout = self._layout
        state = self._thread_state(layout, thread) if layout is not None else None
        if layout is None or state is None:
            return []
        runs: list[list[int]] = []
        open_run: list[int] = []
        seen: set[int] = set()
        frame = self._pointer(state + layout.frame)
        if layout.inner_frame is not None and frame:
            frame = self._pointer(frame + layout.inner_frame)
        while frame and frame not in seen and len(seen) < FRAMES_MAX:
            seen.add(frame)
            owner = self._byte(frame + layout.owner) if layout.owner is not None else 0
            if owner is None:
                break
            if layout.owner is not None and owner >= SHIM_OWNER:
                runs.append(open_run)
                open_run = []
            else:
                open_run.append(frame)
                if layout.owner is None and (layout.is_entry is None or self._byte(frame + layout.is_entry)):
                    runs.append(open_run)
                    open_run = []
            frame = self._pointer(frame + layout.previous)
        if open_run:
            runs.append(open_run)
        while runs and not runs[-1]:
            runs.pop()  # the frame that each thread of 3.14 begins with looks as if a loop were entered there
        return self._read(runs, layout)

    def _read(self, runs: list[list[int]], layout: Layout) -> list[tuple[Place, ...]]:
        """Names for the frames, but for those in the middle of a great many."""
        total = sum([len(run) for run in runs])
        left_out = total - KEPT_TOP - KEPT_BOTTOM
        found, count = [], 0
        for run in runs:
            places: list[Place] = []
            for frame in run:
                count += 1
                if left_out > 0 and KEPT_TOP < count <= KEPT_TOP + left_out:
                    if count == KEPT_TOP + 1:
                        places.append(Place(f"<{left_out} frames left out>", None, "", 0, False, "python"))
                    continue
                if not self._expired() and (place := self._place(frame, layout)) is not None:
                    places.append(place)
            found.append(tuple(places))
        return found

    def _place(self, frame: int, layout: Layout) -> Place | None:
        code = self._pointer(frame + layout.code)
        if layout.instructions is None:
            raw = self._memory.read(frame + layout.instruction, 4)
            instruction = int.from_bytes(raw, "little", signed=True) if raw is not None else -1
            if layout.version >= (3, 10):
                instruction *= 2
        else:
            instruction = (self._pointer(frame + layout.instruction) or 0) - ((code or 0) & ~TAGS) - layout.instructions
        if not code:
            return None
        key = code & ~TAGS, instruction
        if key not in self._places:
            if len(self._places) >= CODES_KEPT:
                self._places.clear()
            self._places[key] = self._named(key[0], instruction, layout)
        return self._places[key]

    def _named(self, code: int, instruction: int, layout: Layout) -> Place | None:
        if code not in self._codes:
            if len(self._codes) >= CODES_KEPT:
                self._codes.clear()
            self._codes[code] = self._code(code, layout)
        known = self._codes[code]
        if known is None:
            return None
        name, filename, first_line, table = known
        # Before its first instruction a function is at the line where it begins.
        line = line_at(table, first_line, instruction, layout.version) if instruction >= 0 else first_line
        return Place(name, None, filename, max(line, 0), False, "python")

    def _code(self, code: int, layout: Layout) -> tuple[str, str, int, bytes] | None:
        """Name, file, first line and line table of a code object."""
        name, filename = self._text(code + layout.name, layout), self._text(code + layout.filename, layout)
        first_line = self._memory.read(code + layout.first_line, 4)
        if name is None or filename is None or first_line is None:
            return None
        table = b""
        address = self._pointer(code + layout.line_table)
        size = self._pointer(address + layout.bytes_size) if address else None
        if address and size is not None and size <= TABLE_MAX:
            table = self._memory.read(address + layout.bytes_start, size) or b""
        return name, filename, int.from_bytes(first_line, "little", signed=True), table

    def _text(self, at: int, layout: Layout) -> str | None:
        """The string that the pointer at `at` leads to."""
        address = self._pointer(at)
        if not address:
            return None
        size = self._pointer(address + layout.text_length)
        raw = self._memory.read(address + layout.text_state, 4)
        if size is None or raw is None or size > TEXT_MAX:
            return None
        state = int.from_bytes(raw, "little")
        # Kind, compact and ascii stand above `interned`, of which the width differs: 2 bits, 8 or 16.
        for shift in (2, 8, 16):
            kind, compact, is_ascii = state >> shift & 7, state >> shift + 3 & 1, state >> shift + 4 & 1
            if compact and kind in (1, 2, 4) and not (is_ascii and kind != 1):
                break
        else:
            return None
        content = self._memory.read(address + (layout.ascii_size if is_ascii else layout.compact_size), size * kind)
        if content is None:
            return None
        return content.decode({1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}[kind], "replace")

    def _thread_state(self, layout: Layout, thread: Thread) -> int | None:
        """The PyThreadState of a native thread."""
        states = self._thread_states(layout)
        for state in states:
            thread_id = self._pointer(state + layout.thread_id)
            if thread_id and thread_id == thread.thread_pointer:
                return state
        for state in states:
            if layout.native_id is not None and self._pointer(state + layout.native_id) == thread.tid:
                return state
            thread_id = self._pointer(state + layout.thread_id) or 0
            tids = [self._memory.read(thread_id + offset, 4) for offset in TID_IN_PTHREAD]
            if thread.tid.to_bytes(4, "little") in tids:
                return state
        return None

    def _thread_states(self, layout: Layout) -> list[int]:
        states: list[int] = []
        interpreter = self._pointer(self._runtime + layout.interpreters)
        for _ in range(INTERPRETERS_MAX):
            if not interpreter:
                break
            state = self._pointer(interpreter + layout.threads)
            while state and len(states) < THREADS_MAX:
                states.append(state)
                state = self._pointer(state + layout.next_thread)
            interpreter = self._pointer(interpreter + layout.next_interpreter)
        return states

    def _pointer(self, address: int) -> int | None:
        return self._memory.word(address)

    def _byte(self, address: int) -> int | None:
        raw = self._memory.read(address, 1)
        return raw[0] if raw is not None else None


def version_of(path: str) -> tuple[int, int] | None:
    """The version that a program's or library's name says: `python3.10`, `libpython3.10.so.1.0`."""
    _, found, tail = path.rpartition("/")[2].partition("python3.")
    digits = ""
    for character in tail:
        if character not in "0123456789":
            break
        digits += character
    return (3, int(digits)) if found and 0 < len(digits) < 4 else None
