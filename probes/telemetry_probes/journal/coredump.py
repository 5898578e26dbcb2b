# SPDX-License-Identifier: Apache-2.0
"""A crash that systemd-coredump looked at becomes a report like crashprobe's: the same rules of privacy, the same form.

Which file a frame is in, and so whether it may be told, is decided by the process's own mappings, never by a name in
the trace. Pure: an entry in, a report out.
"""

from __future__ import annotations

from telemetry_probes.crash import circumstances, privacy
from telemetry_probes.crash import report as reports
from telemetry_probes.crash.model import Frame, Module, Place, SignalInfo, Stack
from telemetry_probes.journal import stacktrace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry_probes.crash.jsontext import Value
    from telemetry_probes.journal.source import Entry
    from telemetry_probes.journal.stacktrace import Line, Trace, Traces

    Readable = Callable[[list[str]], list[str]]
    """Names of functions as the source has them."""

MAPPINGS_MAX = 4096
ERROR_SEVERITY = 4
BY = "systemd-coredump"
OWN_UNIT = "telemd.service"
_AT_SECURE = 23
_AUXV_BYTES = 16
_NO_TRACE = "systemd-coredump made no stack trace"
_SIGNAL_MAX = 64
_CUT = 65_000
"""Of a field that has so many bytes the rest may be missing."""


class Crash:
    """`report` is None where nothing but `text` may be told. `kind` tells like crashes from others."""

    __slots__ = ("classification", "kind", "pid", "report", "severity", "text")

    def __init__(
        self, classification: str, severity: int, pid: int, kind: str, report: reports.Report | None, text: str
    ) -> None:  # fmt: skip
        self.classification = classification
        self.severity = severity
        self.pid = pid
        self.kind = kind
        self.report = report
        self.text = text

    def payload(self, more: int) -> tuple[int, bytes]:
        """Its version and what is sent. `more`: crashes like it that were counted and not sent since the last."""
        if self.report is None:
            return 1, self.text.encode()
        if more:
            self.report.about = {**self.report.about, reports.NOT_SENT: more}
        return reports.VERSION, self.report.payload()


def crash(entry: Entry, lifted: bool, readable: Readable) -> Crash | None:
    """None where the entry doesn't say which process it was."""
    pid = entry.count("COREDUMP_PID")
    if not pid:
        return None
    executable = entry.text("COREDUMP_EXE").removesuffix(privacy.DELETED)
    decision = privacy.decide(executable, lifted)
    who = f"{executable}\n{entry.text('COREDUMP_COMM')}"
    if not decision.backtrace:
        return Crash(decision.classification, decision.severity, pid, who, None, decision.text)
    traces = stacktrace.read(entry.text("MESSAGE"))
    guarded = _is_guarded(entry)
    threads = _Threads(entry, traces, executable, readable)
    named = [_bare(each) for each in threads.named()] if guarded else threads.named()
    subject = reports.Subject(
        entry.text("COREDUMP_COMM"), executable, pid, _signal(entry), traces.machine,
        _thread_count(entry) or len(traces.threads) + traces.threads_left_out,
    )  # fmt: skip
    flags = _flags(entry, traces)
    if guarded:
        flags.append(privacy.RULE_GUARDED)
    report = reports.Report(subject, named, flags, lifted, _about(entry), threads.is_place)
    if not any(each.stack.frames for each in named[:1]):
        return Crash(privacy.ERROR, ERROR_SEVERITY, pid, who, report, "")
    return Crash(decision.classification, decision.severity, pid, report.fingerprint, report, "")


def _flags(entry: Entry, traces: Traces) -> list[str]:
    flags = []
    if not traces.threads:
        flags.append(_NO_TRACE)
    if traces.threads_left_out:
        flags.append(f"{traces.threads_left_out} threads of the trace were not read")
    if len(entry.raw("MESSAGE")) >= _CUT:
        flags.append("the stack trace was cut")
    return flags


def _about(entry: Entry) -> dict[str, Value]:
    about: dict[str, Value] = {"by": BY}
    cgroup = entry.raw("COREDUMP_PROC_CGROUP")
    unit = entry.text("COREDUMP_UNIT") or circumstances.unit(cgroup)
    if unit:
        about["unit"] = unit
    container = circumstances.container(cgroup)
    if container:
        about["container"] = container
    elif entry.text("COREDUMP_CONTAINER_CMDLINE"):
        about["in_container"] = True
    about.update(circumstances.memory(entry.raw("COREDUMP_PROC_STATUS")))
    return about


def _signal(entry: Entry) -> SignalInfo | None:
    number = entry.count("COREDUMP_SIGNAL") or 0
    return SignalInfo(number, 0, None, None) if 0 < number <= _SIGNAL_MAX else None


def _thread_count(entry: Entry) -> int:
    for line in entry.raw("COREDUMP_PROC_STATUS").split(b"\n"):
        if line.startswith(b"Threads:") and line[8:].strip().isdigit():
            return int(line[8:].strip()[:9])
    return 0


def _is_guarded(entry: Entry) -> bool:
    """Had it more rights than its user? Where systemd-coredump doesn't say (before 229) it may have had."""
    status = entry.raw("COREDUMP_PROC_STATUS")
    if not status or circumstances.has_other_rights(status):
        return True
    auxv = entry.raw("COREDUMP_PROC_AUXV")
    for at in range(0, len(auxv) - _AUXV_BYTES + 1, _AUXV_BYTES):
        if int.from_bytes(auxv[at : at + 8], "little") == _AT_SECURE:
            return auxv[at + 8 : at + _AUXV_BYTES] != bytes(8)
    return False


def _bare(named: reports.Named) -> reports.Named:
    """Of each frame the module and the place in it: no name, and no address that isn't a module's."""
    frames = tuple(
        Frame(0, 0, None, None, frame.found_by) if frame.module is None else frame for frame in named.stack.frames
    )
    bare = Stack(frames, named.stack.left_out, named.stack.ended)
    return reports.Named(named.tid, bare, [()] * len(frames), [""] * len(frames))


class _Threads:
    """The threads of a trace with the modules that the process had mapped."""

    def __init__(self, entry: Entry, traces: Traces, executable: str, readable: Readable) -> None:
        self._traces = traces
        self._executable = executable
        self._mappings = _mappings(entry.raw("COREDUMP_PROC_MAPS"))
        self._build_ids = {**traces.build_ids, **_build_ids(entry.text("COREDUMP_PACKAGE_JSON"))}
        self._modules: dict[tuple[str, int], Module] = {}
        names = sorted({line.function for each in traces.threads for line in each.lines if line.function})
        self._names = dict(zip(names, readable(names), strict=True)) if names else {}

    def named(self) -> list[reports.Named]:
        """The first is the one that crashed: systemd-coredump puts it there."""
        return [self._thread(trace) for trace in self._traces.threads]

    def is_place(self, address: int) -> bool:
        """Had the process memory there?"""
        return any(start <= address < end for start, end, _ in self._mappings)

    def _thread(self, trace: Trace) -> reports.Named:
        frames, places, own_names = [], [], []
        for at, line in enumerate(trace.lines):
            lookup = line.pc if at == 0 else max(0, line.pc - 1)
            module = self._module(line)
            frames.append(Frame(line.pc, lookup, None, module, "registers" if at == 0 else "cfi"))
            # a name of code in no file is nobody's that could be asked
            function = self._names.get(line.function, "") if module is not None else ""
            places.append((Place(function, None, "", 0, False, "native"),) if function else ())
            own_names.append(function)
        return reports.Named(trace.tid, Stack(tuple(frames), trace.left_out, "outermost"), places, own_names)

    def _module(self, line: Line) -> Module | None:
        """None for code in no file. Without mappings (before 230) the program alone has a path."""
        path = next((name for start, end, name in self._mappings if start <= line.pc < end), "")
        if not self._mappings and line.module:
            own = line.module in (self._executable, self._executable.rpartition("/")[2])
            path = self._executable if own else line.module
        if not path:
            return None
        offset = line.pc if line.offset is None else line.offset
        bias = line.pc - offset
        key = (path, bias)
        if key not in self._modules:
            name = path.rpartition("/")[2]
            build_id = next(
                (self._build_ids[each] for each in (path, line.module, name) if each in self._build_ids), ""
            )
            self._modules[key] = Module(path, bias, bias, bias, (), build_id, None, "")
        return self._modules[key]


def _mappings(maps: bytes) -> list[tuple[int, int, str]]:
    """Begin, end and file of what /proc/PID/maps says (proc(5)); nothing where it is in no file."""
    found: list[tuple[int, int, str]] = []
    for line in maps.split(b"\n")[:MAPPINGS_MAX]:
        words = line.split(None, 5)
        first, dash, last = words[0].partition(b"-") if len(words) > 4 else (b"", b"", b"")
        if not dash or len(first) > 16 or len(last) > 16:
            continue
        path = words[5].decode("utf-8", "surrogateescape").rstrip("\n") if len(words) > 5 else ""
        if not path.startswith(("/", "[vdso]")):
            path = ""
        try:
            found.append((int(first, 16), int(last, 16), path.removesuffix(privacy.DELETED)))
        except ValueError:
            continue
    return found


def _build_ids(text: str) -> dict[str, str]:
    """Of modules by name, from COREDUMP_PACKAGE_JSON (systemd 248 and later)."""
    if "buildId" not in text:
        return {}
    import json

    try:
        packages = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    if isinstance(packages, dict):
        for name, about in packages.items():
            build_id = about.get("buildId") if isinstance(about, dict) else None
            if isinstance(build_id, str) and len(build_id) <= 64 and not set(build_id) - set("0123456789abcdef"):
                found[name] = build_id
    return found
