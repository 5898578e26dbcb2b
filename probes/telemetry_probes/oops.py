# SPDX-License-Identifier: Apache-2.0
"""A kernel report's lines turned into an Oops: what it is, where, in which kernel, and the way there.

Whatever brought the lines (the kernel's log, a dump in pstore) is none of its affair. Pure: lines in, values out.
Imported only once there is a report: re alone takes as much memory as waiting for one.
"""

from __future__ import annotations

import re

from telemetry_probes.kernel import frames, lines, masking, memory
from telemetry_probes.kernel.patterns import BUG, CRITICAL, CUT_HERE, STORAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemetry_probes.crash.jsontext import Value
    from telemetry_probes.kernel.assembly import Report
    from telemetry_probes.kernel.frames import Frame

MODULES_MAX = 256
STACKS_MAX = 4
"""Traces beside the first: where memory was allocated and freed, what another processor did."""
TELLING_FRAMES = 8
COMM_CHARS_MAX = 64

_CPU = re.compile(
    r"^CPU: (?P<cpu>\d{1,5}) (?:UID: \d+ )?PID: \d+ Comm: (?P<comm>.{1,64}?) "
    r"(?P<rest>(?:Not tainted|Tainted: ).*)$"
)
_OLD_CPU = re.compile(r"^P[Ii][Dd]: \d+, comm: (?P<comm>.{1,64}?) (?P<rest>(?:Not tainted|Tainted: ).*)$")
_TAINT = re.compile(r"^Tainted: (?P<letters>[A-Z][A-Z ]{0,40}?)\s+(?P<rest>\d\S*.*)$")
_NAMED_TAINT = re.compile(r"^Tainted: (?P<letters>\[[A-Z]\]=\w+(?:, \[[A-Z]\]=\w+)*)\s*$")
_TASK = re.compile(r"^INFO: task (?P<comm>.{1,64}?):\d+ blocked for more than")
_STUCK = re.compile(r"CPU#(?P<cpu>\d{1,5}) stuck for \d+s! \[(?P<comm>.{1,64}?):\d+\]")
_WARNED = re.compile(r"\bCPU: (?P<cpu>\d{1,5}) ")
_COMM = re.compile(r"\bcomm (?P<comm>[^:]{1,64}):")
_SOURCE = re.compile(r"\b(?:at|in) (?P<file>[\w./+-]{1,200}\.[chSs]):(?P<line>\d{1,7})")
_NUMBER = re.compile(r"\[#(\d{1,9})\]")
_REGISTER = re.compile(
    r"\b(?P<name>E?R?[ABCD]X|[ER]?[SD]I|[ER]?[SB]P|R\d\d?|CR[0-8]|DR[0-7]|[EFGCDS]S|knlGS|[ER]?FLAGS|"
    r"PKRU|x\d\d?|r\d\d?|[pl][cr]|sp)"
    r"\s?: ?(?:[0-9a-f]{4}:)?(?P<value>[0-9a-f]{4,16})\b"
)
_IP = re.compile(r"^(?:RIP|EIP|IP|pc|NIP)\s?:?(?: is at)? (?P<rest>.*)$")
_USER_IP = re.compile(r"^(?:RIP: 0033:|RIP: 002b:|EIP: 0073:)")
_FUNCTION = re.compile(
    r"(?P<frame>[A-Za-z_.$][\w.$]*\+0x[0-9a-f]{1,8}/0x[0-9a-f]{1,8}(?: \[[\w-]+(?: [0-9a-f]{40})?\])?)"
)
_STACK = re.compile(
    r"^(?P<title>(?:Allocated|Freed|allocated|freed) (?:by task|in)|Last potentially related work creation|"
    r"(?:assigned )?(?:write|read)(?: \(marked\))? to|race at unknown origin|Uninit was (?:created|stored)|"
    r"Local variable|(?:Out-of-bounds|Use-after-free|Invalid|Corrupted)[a-z ]* at|Sending NMI from CPU)\b"
)
_FIRST_STACKS = (
    "write",
    "read",
    "race",
    "assigned",
    "Out-of-bounds",
    "Use-after-free",
    "Invalid",
    "Corrupted",
    "Sending",
)
_DIGITS = re.compile(r"\d+")
_KERNEL = re.compile(r"^(?P<kernel>\d\S{0,127})")


class Stack:
    """A trace beside the first. `title`: what it is of."""

    __slots__ = ("frames", "title")

    def __init__(self, title: str) -> None:
        self.title = title
        self.frames: list[Frame] = []


class Oops:
    """One report. Empty text, None or an empty list is what the kernel didn't say.

    `reason`: its first telling line, masked; `tainted`: letters of Documentation/admin-guide/tainted-kernels.rst, or
    empty for none; `at`: the function it happened in; `source`: file and line; `number`: which oops since the
    boot; `registers`: name and value, the value masked; `stacks`: further traces; `text`: all lines, only where the
    filters are lifted; `mixed` and `cut`: see assembly.Report.
    """

    __slots__ = (
        "at", "classification", "comm", "cpu", "cut", "fingerprint", "hardware", "kernel", "kind", "memory", "mixed",
        "modules", "modules_left_out", "number", "reason", "registers", "severity", "source", "stacks", "tainted",
        "text", "time_us", "trace", "trace_left_out",
    )  # fmt: skip

    def __init__(self) -> None:
        self.kind = ""
        self.classification = BUG
        self.severity = CRITICAL
        self.reason = ""
        self.time_us = 0
        self.cpu: int | None = None
        self.comm = ""
        self.tainted = ""
        self.kernel = ""
        self.hardware = ""
        self.at = ""
        self.source = ""
        self.number: int | None = None
        self.modules: list[str] = []
        self.modules_left_out = 0
        self.trace: list[Frame] = []
        self.trace_left_out = 0
        self.stacks: list[Stack] = []
        self.registers: dict[str, str] = {}
        self.memory: dict[str, Value] = {}
        self.text: list[str] = []
        self.fingerprint = ""
        self.cut = False
        self.mixed = False


def parse(report: Report, lifted: bool) -> Oops:
    """`lifted`: the owner lifted the privacy filters."""
    assert report.pattern is not None
    oops = Oops()
    pattern = report.pattern
    oops.kind, oops.classification, oops.severity = pattern.kind, pattern.classification, pattern.severity
    oops.time_us, oops.cut, oops.mixed = report.time_us, report.cut, report.mixed
    said = _message(report)
    oops.reason = masking.reason(said, lifted, pattern.classification == STORAGE)
    reading = _Reading(oops, lifted)
    for line in report.lines:
        reading.line(lines.text_of(line))
    if pattern.kind == "oom":
        oops.memory = memory.read(report.lines, lifted)
    if lifted:
        oops.text = [lines.text_of(line) for line in report.lines]
    oops.fingerprint = fingerprint(oops)
    return oops


def fingerprint(oops: Oops) -> str:
    """Equal for two reports of one fault, wherever the kernel was loaded and whoever built it: 32 hexadecimal digits
    of its kind and the functions on the way there, or of what it says where it has no way."""
    names = frames.telling(oops.trace, TELLING_FRAMES)
    at = frames.plain(oops.at.partition("+")[0])
    if at and at not in names[:1]:
        names = [at, *names]
    if oops.kind == "oom":
        # where memory ran out says little: who was killed is the fault
        names = [str(oops.memory.get("victim", "")), str(oops.memory.get("unit", ""))]
    parts = [oops.kind, oops.source.partition(":")[0], *names]
    if not names:
        parts.append(_DIGITS.sub("0", oops.reason))
    from _blake2 import blake2b  # hashlib loads OpenSSL

    digest: str = blake2b("\n".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
    return digest


def _message(report: Report) -> str:
    """What a report says it is; for a warning with words of its own those words."""
    if report.lines[0] == CUT_HERE and report.reason.startswith("WARNING: "):
        for line in report.lines[1:4]:
            if line.startswith("WARNING: "):
                break
            if line.strip():
                return lines.text_of(line)
    return lines.text_of(report.reason)


class _Reading:
    """The lines one by one."""

    __slots__ = ("_has_trace", "_into", "_is_user", "_lifted", "_oops")

    def __init__(self, oops: Oops, lifted: bool) -> None:
        self._oops = oops
        self._lifted = lifted
        self._into: list[Frame] | None = oops.trace
        self._has_trace = False
        self._is_user = False

    def line(self, line: str) -> None:
        """Each field is what the first line that has it says."""
        oops = self._oops
        text = line.strip()
        sort = lines.kind(line)
        if sort == lines.TRACE:
            self._begin_trace()
            return
        title = _STACK.match(text)
        if title is not None:
            self._begin_stack(title["title"])
            return
        if sort == lines.FRAME:
            self._frame(text)
            return
        if sort == lines.CPU:
            self._where(text)
        elif sort == lines.MODULES:
            self._modules(text)
        elif sort == lines.DETAIL or not oops.number and "[#" in text:
            self._detail(text)
        if not oops.kernel and text.startswith(("Tainted: ", "Not tainted ")):
            self._tainted(text)
        self._named(text)

    def _begin_trace(self) -> None:
        if not self._has_trace:
            self._has_trace = True
            self._oops.trace.clear()
            self._into = self._oops.trace
        else:
            self._begin_stack("another trace")

    def _begin_stack(self, title: str) -> None:
        oops = self._oops
        if title.startswith(_FIRST_STACKS) and not oops.trace and not self._has_trace:
            self._into = oops.trace
            return
        if len(oops.stacks) >= STACKS_MAX:
            self._into = None
            return
        oops.stacks.append(Stack(title))
        self._into = oops.stacks[-1].frames

    def _frame(self, text: str) -> None:
        found = frames.read(text)
        if found is None or self._into is None:
            return
        if len(self._into) < frames.FRAMES_MAX:
            self._into.append(found)
        elif self._into is self._oops.trace:
            self._oops.trace_left_out += 1

    def _where(self, text: str) -> None:
        oops = self._oops
        found = _CPU.match(text) or _OLD_CPU.match(text)
        if found is None or oops.kernel:
            return
        if "cpu" in found.groupdict() and oops.cpu is None:
            oops.cpu = int(found["cpu"])
        oops.comm = oops.comm or found["comm"][:COMM_CHARS_MAX]
        self._tainted(found["rest"])

    def _tainted(self, rest: str) -> None:
        oops = self._oops
        tainted = _TAINT.match(rest)
        if tainted is not None:
            oops.tainted = tainted["letters"].replace(" ", "")
            rest = tainted["rest"]
        else:
            rest = rest.removeprefix("Tainted:").removeprefix("Not tainted").strip()
        kernel = _KERNEL.match(rest)
        oops.kernel = kernel["kernel"] if kernel is not None else ""

    def _modules(self, text: str) -> None:
        oops = self._oops
        if oops.modules:
            return
        listed = text.partition(":")[2].partition("[last unloaded")[0].split()
        oops.modules = [name[:80] for name in listed[:MODULES_MAX]]
        oops.modules_left_out = max(0, len(listed) - MODULES_MAX)

    def _detail(self, text: str) -> None:
        oops = self._oops
        number = _NUMBER.search(text)
        if number is not None and oops.number is None:
            oops.number = int(number[1])
        if text.startswith("Hardware name:"):
            oops.hardware = oops.hardware or text.partition(":")[2].strip()[:200]
            return
        named = _NAMED_TAINT.match(text)
        if named is not None:
            oops.tainted = "".join(re.findall(r"\[([A-Z])\]", named["letters"]))
            return
        if _USER_IP.match(text):
            self._is_user = True
        if self._is_user:
            return  # a user's registers are the user's
        ip = _IP.match(text)
        if ip is not None and not oops.at:
            function = _FUNCTION.search(ip["rest"])
            oops.at = function["frame"] if function is not None else ""
        for register in _REGISTER.finditer(text):
            oops.registers.setdefault(register["name"], self._value(register["value"]))

    def _value(self, value: str) -> str:
        if self._lifted:
            return value
        return "Zero" if not int(value, 16) else "Non-zero"

    def _named(self, text: str) -> None:
        oops = self._oops
        source = _SOURCE.search(text)
        if source is not None and not oops.source:
            oops.source = f"{source['file'].removeprefix('./').replace('../', '')}:{source['line']}"
            place = _FUNCTION.search(text)
            if place is not None and not oops.at:
                oops.at = place["frame"]
        task = _STUCK.search(text) or _TASK.match(text) or _COMM.search(text)
        if task is not None:
            oops.comm = oops.comm or task["comm"]
        cpu = _STUCK.search(text) or _WARNED.search(text)
        if cpu is not None and oops.cpu is None:
            oops.cpu = int(cpu["cpu"])
