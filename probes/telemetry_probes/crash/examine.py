# SPDX-License-Identifier: Apache-2.0
"""A crash is looked at, step by step, within its time: reading, the rule of privacy, unwinding, names, the report.

The wiring diagram of this folder: it decides what comes after what, and knows of each step only its result. Those that
come when a dying process was let go are imported then: it waits for every import before.
"""

from __future__ import annotations

from telemetry_probes.crash import modules as modules_step
from telemetry_probes.crash import privacy, stream, sysroot, unwind
from telemetry_probes.crash.model import Frame, SignalInfo, Stack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry_probes.crash.elf import Image
    from telemetry_probes.crash.live import Live
    from telemetry_probes.crash.loads import Loads
    from telemetry_probes.crash.model import Module, Notes, Now, Thread
    from telemetry_probes.crash.modules import Modules
    from telemetry_probes.crash.privacy import Decision
    from telemetry_probes.crash.report import Named, Report
    from telemetry_probes.crash.stream import Core

SECONDS_MAX = 10.0
"""For all of it: the process that died waits meanwhile."""
READING_SHARE, UNWINDING_SHARE, NAMING_SHARE = 0.6, 0.75, 0.95
"""Parts of the time at which a step has to have ended; what it has then is what is sent."""
AT_ENTRY, AT_SECURE = 9, 23
SIGNAL_MAX = 64
NULL_END, NEAR_BYTES = 64 << 10, 1 << 20
"""Offsets from a NULL pointer; what an overrun stack or array misses its memory by."""


class Asked:
    """What the command line says of the crash; empty or None for what it doesn't."""

    __slots__ = ("executable", "process", "signal")

    def __init__(self, process: str = "", executable: str = "", signal: int | None = None) -> None:
        self.process = process
        self.executable = executable
        self.signal = signal


class Examined:
    """What came of it. `report` is None where nothing but `decision.text` may be told, or where there is no core:
    `failure` says why then."""

    __slots__ = ("decision", "failure", "report")

    def __init__(self, decision: Decision, report: Report | None, failure: str = "") -> None:
        self.decision = decision
        self.report = report
        self.failure = failure

    @property
    def classification(self) -> str:
        """With crash/error for a system's program of which no frame could be found."""
        return privacy.ERROR if self.found_nothing else self.decision.classification

    @property
    def severity(self) -> int:
        """1 to 4."""
        return 4 if self.found_nothing else self.decision.severity

    @property
    def found_nothing(self) -> bool:
        """There should be a backtrace, and there is none."""
        if not self.decision.backtrace:
            return False
        return self.report is None or not self.report.groups or not self.report.groups[0].named.stack.frames


def foregone(asked: Asked, lifted: bool) -> Examined | None:
    """What is reported of a program whose path alone says that nothing may be looked at; None of any other."""
    if not asked.executable:
        return None
    decision = privacy.decide(asked.executable, lifted)
    return None if decision.backtrace else Examined(decision, None)


def examine(
    core_fd: int, asked: Asked, lifted: bool, now: Now, root: str = "/", seconds_max: float = SECONDS_MAX,
    live: Live | None = None,
) -> Examined:  # fmt: skip
    """Read the core from `core_fd`, which may be a pipe, and find out what the rules allow. `root`: where the files are
    that the core names. `live`: the process itself, where it still exists; then there always is a report, if only of
    what couldn't be read. Never raises for what a core or a file on disk says."""
    begun = now()
    if (known := foregone(asked, lifted)) is not None:
        return known
    core = stream.read(
        core_fd, deadline=begun + seconds_max * READING_SHARE, live_fd=live.memory if live is not None else -1
    )  # fmt: skip
    try:
        return _examine(core, asked, lifted, now, root, begun, seconds_max, live)
    finally:
        core.close()


def _examine(
    core: Core, asked: Asked, lifted: bool, now: Now, root: str, begun: float, seconds_max: float, live: Live | None
) -> Examined:  # fmt: skip
    executable = asked.executable or _executable(core.notes)
    decision = privacy.decide(executable, lifted)
    if core.is_none and live is None:
        return Examined(decision, None, core.unread)
    if not decision.backtrace:
        return Examined(decision, None)
    open_file = live.open_file if live is not None else sysroot.opener(root)
    found = modules_step.find(core, root, open_file)
    guarded = (live is not None and live.guarded) or bool(core.notes.auxv.get(AT_SECURE, live is not None))
    named, flags = _named(core, found, open_file, now, begun, seconds_max, live, guarded)
    from telemetry_probes.crash.report import Report, Subject

    signal = _signal(core.notes, asked.signal)
    subject = Subject(
        asked.process or core.notes.comm, executable, live.pid if live is not None else core.notes.pid,
        _bare_signal(signal) if guarded else signal, core.machine.name if core.machine is not None else "",
        len(core.notes.threads),
    )  # fmt: skip
    if guarded:
        flags.append(privacy.RULE_GUARDED)
    return Examined(decision, Report(
        subject, named, flags, lifted, live.about if live is not None else None, _places(core.loads)
    ))  # fmt: skip


def _named(
    core: Core, found: Modules, open_file: sysroot.OpenFile, now: Now, begun: float, seconds_max: float,
    live: Live | None, guarded: bool,
) -> tuple[Sequence[Named], list[str]]:  # fmt: skip
    """Each thread's frames with their names, the crashing one's first, as far as the time goes."""
    flags = [*core.notes.missing, *core.left_out]
    if core.truncated:
        flags.append("the core was cut")
    if core.unread:
        flags.append(core.unread)
    if core.machine is None:
        return [], flags
    memory = modules_step.memory(core, found)
    separate = _separate_files(open_file)
    unwinder = unwind.Unwinder(found, memory, core.machine, unwind.Limits(), now, core.loads, separate)
    stacks: list[Stack] = []
    unwound_until = begun + seconds_max * UNWINDING_SHARE
    for thread in core.notes.threads:
        if stacks and now() >= unwound_until:
            flags.append(f"no time was left for {len(core.notes.threads) - len(stacks)} threads")
            break
        stacks.append(unwinder.stack(thread, unwound_until))
    # Frames of Python are read from memory as they are named; all other names come out of files.
    needs_memory = not guarded and any("python" in mapping.path for mapping in core.notes.mappings)
    if live is not None and not needs_memory:
        live.let_go()
    if guarded:
        return [_bare(thread, stack) for thread, stack in zip(core.notes.threads, stacks, strict=False)], flags
    from telemetry_probes.crash.naming import Names
    from telemetry_probes.crash.report import Named

    names_until = begun + seconds_max * NAMING_SHARE
    names = Names(found, memory, core.loads, now, names_until, open_file)
    named: list[Named] = []
    for thread, stack in zip(core.notes.threads, stacks, strict=False):
        own_names = names.own_names(stack) if not named else ()
        named.append(Named(thread.tid, stack, names.places(stack, thread), own_names))
    if now() >= names_until:
        flags.append("no time was left to find all names")
    return named, flags


def _separate_files(open_file: sysroot.OpenFile) -> Callable[[Module], Image | None]:
    """Debug information that lies in a file of its own, for those modules whose rules are nowhere else."""

    def of(module: Module) -> Image | None:
        from telemetry_probes.crash.debugfiles import DebugFiles

        if module.image is None:
            return None
        return DebugFiles(open_file).of(module.image, module.path, module.build_id)

    return of


def _bare(thread: Thread, stack: Stack) -> Named:
    """Of each frame the module and the place in it: no name, and no address that isn't a module's."""
    frames = tuple(
        Frame(0, 0, None, None, frame.found_by) if frame.module is None else frame for frame in stack.frames
    )  # fmt: skip
    from telemetry_probes.crash.report import Named

    bare = Stack(frames, stack.left_out, stack.ended)
    return Named(thread.tid, bare, [()] * len(frames), [""] * len(frames))


def _bare_signal(signal: SignalInfo | None) -> SignalInfo | None:
    """Without the address: it may have been calculated from a secret."""
    return None if signal is None else SignalInfo(signal.number, signal.code, None, signal.sender_pid)


def _places(loads: Loads) -> Callable[[int], bool]:
    """Whether an address is near NULL, in memory of the process, or not far off."""
    return lambda address: address < NULL_END or any(loads.at(address + way) for way in (0, NEAR_BYTES, -NEAR_BYTES))


def _executable(notes: Notes) -> str:
    """The file that the process began in; empty where the core doesn't say."""
    entry = notes.auxv.get(AT_ENTRY, 0)
    path = next((each.path for each in notes.mappings if each.start <= entry < each.end), "")
    return path.removesuffix(privacy.DELETED)


def _signal(notes: Notes, asked: int | None) -> SignalInfo | None:
    """The core's own word, else that of the first thread, else the command line's."""
    if notes.signal is not None:
        return notes.signal
    number = (notes.threads[0].signal if notes.threads else 0) or asked or 0
    return SignalInfo(number, 0, None, None) if 0 < number <= SIGNAL_MAX else None
