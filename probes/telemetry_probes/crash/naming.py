# SPDX-License-Identifier: Apache-2.0
"""Frames get their names: function, file and line, calls that were inlined, Python's and Go's frames, JIT, signals.

A name comes from a file only when its build-id is that of what was mapped, which `modules` and `debugfiles` see to.
What takes long (debug information, interpreters) is imported and read only when a stack needs it, each address once,
and not after the deadline: then frames keep the names they have.
"""

from __future__ import annotations

from telemetry_probes.crash import pclntab, sysroot
from telemetry_probes.crash.debugfiles import DebugFiles
from telemetry_probes.crash.demangle import SECONDS_MAX, Demangler
from telemetry_probes.crash.elf import PF_X
from telemetry_probes.crash.model import Place
from telemetry_probes.crash.symbols import Symbols

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry_probes.crash.elf import Image
    from telemetry_probes.crash.gotable import GoTable
    from telemetry_probes.crash.interpreter import Interpreter
    from telemetry_probes.crash.lines import Call, Lines
    from telemetry_probes.crash.loads import Loads
    from telemetry_probes.crash.model import Frame, Memory, Module, Now, Stack, Thread
    from telemetry_probes.crash.modules import Modules
    from telemetry_probes.crash.symbols import Found

VDSO = "[vdso]"
TRAMPOLINE = "<signal handler called>"
"""What gdb calls the frame between a handler and what it interrupted; it has no name without libc's debug file."""
NATIVE, PYTHON, GO, JIT, KERNEL, SIGNAL = "native", "python", "go", "jit", "vdso", "signal"
EVALUATORS = ("_PyEval_EvalFrameDefault", "_TAIL_CALL_")
"""Functions that run Python code: the loop, or since 3.14 a function for each instruction."""


FRAMES_AT_THE_TOP = 192
"""Of a stack of which frames were left out, how many come before the gap."""


class Names:
    """The names of one process: what was found for one thread is there for the next."""

    __slots__ = (
        "_deadline", "_demangler", "_files", "_interpreter", "_interpreter_searched", "_loads", "_memory", "_modules",
        "_now", "_unnamed", "_workers",
    )  # fmt: skip

    def __init__(
        self, modules: Modules, memory: Memory, loads: Loads, now: Now, deadline: float,
        open_file: sysroot.OpenFile | None = None,
    ) -> None:  # fmt: skip
        """`open_file` opens debug files, as in `modules.find`; `loads` tell which memory may hold code."""
        self._modules = modules
        self._memory = memory
        self._loads = loads
        self._now = now
        self._deadline = deadline
        self._files = DebugFiles(open_file or sysroot.opener())
        self._demangler = Demangler()
        self._workers: dict[int, _ModuleNames] = {}
        self._unnamed: dict[str, tuple[Place, ...]] = {}
        self._interpreter: Interpreter | None = None
        self._interpreter_searched = False

    def places(self, stack: Stack, thread: Thread) -> list[tuple[Place, ...]]:
        """The places of each frame, never none, innermost first: inlined calls, then the function itself.

        Python's frames come before the function of the interpreter that runs them.
        """
        self._look_up(stack)
        places = [self._places(stack, index) for index in range(len(stack.frames))]
        evaluators = [index for index, frame in enumerate(stack.frames) if self._raw_name(frame).startswith(EVALUATORS)]
        if evaluators and not self._expired():
            for index, run in self._python(stack, thread, evaluators):
                places[index] = (*run, *places[index])
        return places

    def own_names(self, stack: Stack) -> list[str]:
        """The function of each frame as its module itself names it, or empty.

        The same whether or not debug files are installed, so that a fingerprint may be made of it.
        """
        self._look_up(stack)
        return [self._own_name(frame) for frame in stack.frames]

    def _python(self, stack: Stack, thread: Thread, evaluators: list[int]) -> Iterator[tuple[int, tuple[Place, ...]]]:
        """Which Python frames each of the native frames in `evaluators` runs."""
        interpreter = self._interpreter_of(stack.frames[evaluators[0]].module)
        runs = interpreter.runs(thread) if interpreter is not None else []
        if len(runs) == len(evaluators):
            yield from zip(evaluators, runs, strict=True)
            return
        # Some are missing on one side: what is certain is counted from the ends.
        whole = stack.ended == "outermost"
        if whole and not stack.left_out:
            # A loop that was just entered, or is being left, has no Python frame of its own yet, or any more.
            yield from zip(reversed(evaluators), reversed(runs), strict=False)
            return
        before = (
            len([index for index in evaluators if index < FRAMES_AT_THE_TOP]) if stack.left_out else len(evaluators)
        )
        yield from zip(evaluators[:before], runs, strict=False)
        if whole:
            yield from zip(reversed(evaluators[before:]), reversed(runs[before:]), strict=False)

    def _interpreter_of(self, module: Module | None) -> Interpreter | None:
        if self._interpreter is None and not self._interpreter_searched and module is not None:
            self._interpreter_searched = True
            from telemetry_probes.crash.interpreter import Interpreter, version_of

            symbols = self._worker(module).symbols
            runtime = symbols.value_of("_PyRuntime")
            if runtime is not None:
                version = version_of(module.path)
                stated = symbols.value_of("Py_Version")  # since 3.11: PY_VERSION_HEX
                if stated is not None and (number := self._memory.word(module.bias + stated)) is not None:
                    version = number >> 24 & 255, number >> 16 & 255
                self._interpreter = Interpreter(module.bias + runtime, version, self._memory, self._expired)
        return self._interpreter

    def _expired(self) -> bool:
        return self._now() >= self._deadline

    def _worker(self, module: Module) -> _ModuleNames:
        worker = self._workers.get(id(module))
        if worker is None:
            worker = self._workers[id(module)] = _ModuleNames(module, self)
        return worker

    def _look_up(self, stack: Stack) -> None:
        """Find symbols and lines of all frames, those of a module together, and make all names readable together."""
        wanted: dict[int, list[int]] = {}
        workers = {}
        for frame in stack.frames:
            if frame.module is not None and frame.module.image is not None:
                worker = self._worker(frame.module)
                address = frame.lookup_pc - frame.module.bias
                if address not in worker.known:
                    workers[id(worker)] = worker
                    wanted.setdefault(id(worker), []).append(address)
        names: list[str] = []
        for key, addresses in wanted.items():
            names += workers[key].find(addresses)
        if names:
            left = self._deadline - self._now()
            self._demangler.readable(names, min(max(left, 0.0), SECONDS_MAX))

    def _raw_name(self, frame: Frame) -> str:
        known = self._known(frame)
        return known.symbol.name if known is not None and known.symbol is not None else ""

    def _own_name(self, frame: Frame) -> str:
        known = self._known(frame)
        if known is None:
            return ""
        if not known.go_name and known.symbol is not None and known.symbol.own:
            return self._demangler.readable([known.symbol.name])[0]
        return known.go_name  # which a stripped program has, too; its symbol may be another (`.abi0`)

    def _known(self, frame: Frame) -> _Known | None:
        if frame.module is None or frame.module.image is None:
            return None
        return self._worker(frame.module).known.get(frame.lookup_pc - frame.module.bias)

    def _places(self, stack: Stack, index: int) -> tuple[Place, ...]:
        frame = stack.frames[index]
        if index + 1 < len(stack.frames) and stack.frames[index + 1].found_by == "signal":
            return (Place(TRAMPOLINE, None, "", 0, False, SIGNAL),)
        module = frame.module
        if module is None:
            load = self._loads.at(frame.lookup_pc)
            return self._empty(JIT if load is not None and load.flags & PF_X else NATIVE)
        kind = KERNEL if module.path == VDSO else NATIVE
        known = self._known(frame)
        if known is None:
            return self._empty(kind)
        places = known.places.get(frame.pc)
        if places is None:
            places = known.places[frame.pc] = self._named(frame, known, module.bias, kind)
        return places

    def _named(self, frame: Frame, known: _Known, bias: int, kind: str) -> tuple[Place, ...]:
        readable = self._demangler.readable
        places = []
        calls = known.calls
        if known.go_name:
            kind = GO
        for call in calls[:-1]:
            places.append(Place(readable([call.function])[0], None, call.file, call.line, True, kind))
        file, line = (calls[-1].file, calls[-1].line) if calls else (known.go_file, known.go_line)
        offset = None
        function = known.go_name
        if known.symbol is not None:
            function = function or readable([known.symbol.name])[0]
            offset = frame.pc - bias - known.symbol.start
        elif not function and calls and calls[-1].function:
            function = readable([calls[-1].function])[0]
        places.append(Place(function, offset, file, line, False, kind))
        return tuple(places)

    def _empty(self, kind: str) -> tuple[Place, ...]:
        if kind not in self._unnamed:
            self._unnamed[kind] = (Place("", None, "", 0, False, kind),)
        return self._unnamed[kind]


class _Known:
    """What was found for one address."""

    __slots__ = ("calls", "go_file", "go_line", "go_name", "places", "symbol")

    def __init__(self) -> None:
        self.symbol: Found | None = None
        self.calls: list[Call] = []
        self.go_name = ""
        self.go_file = ""
        self.go_line = 0
        self.places: dict[int, tuple[Place, ...]] = {}


class _ModuleNames:
    """Symbols, lines and Go's table of one module, each opened when it is first needed."""

    __slots__ = ("_debug_image", "_go", "_lines", "_module", "_names", "_searched", "known", "symbols")

    def __init__(self, module: Module, names: Names) -> None:
        assert module.image is not None
        self._module = module  # also keeps its id() from being another module's
        self._names = names
        self.symbols = Symbols(module.image, module.bias)
        self._searched = False
        self._debug_image: Image | None = None
        self._lines: Lines | None = None
        self._go: GoTable | None = None
        self.known: dict[int, _Known] = {}

    def find(self, addresses: list[int]) -> list[str]:
        """Look up addresses of the file; the names that are to be made readable."""
        names = []
        found = self.symbols.find(addresses, self._debug_file)
        for address in addresses:
            known = self.known[address] = _Known()
            known.symbol = found.get(address)
            if known.symbol is not None:
                names.append(known.symbol.name)
        self._find_go(addresses)
        if not self._names._expired() and (lines := self._line_reader()) is not None:
            for address in addresses:
                if self._names._expired():
                    break
                calls = self.known[address].calls = lines.at(address)
                names += [call.function for call in calls if call.function]
        return names

    def _find_go(self, addresses: list[int]) -> None:
        image = self._module.image
        assert image is not None
        if self._go is None:
            if not pclntab.is_go(image):
                return
            from telemetry_probes.crash.gotable import GoTable

            self._go = GoTable(image)
        for address in addresses:
            function = self._go.function(address)
            if function is not None:
                known = self.known[address]
                known.go_name = function.name
                if not self._go.is_inlined(function, address):
                    known.go_file, known.go_line = self._go.line(function, address)

    def _debug_file(self) -> Image | None:
        if not self._searched:
            self._searched = True
            module = self._module
            if module.image is not None and module.path.startswith("/"):
                self._debug_image = self._names._files.of(module.image, module.path, module.build_id)
        return self._debug_image

    def _line_reader(self) -> Lines | None:
        if self._lines is None and (image := self._debug_file()) is not None:
            from telemetry_probes.crash.lines import Lines

            self._lines = Lines(image, self._names._files.alternate(image), self._names._expired)
        return self._lines
