# SPDX-License-Identifier: Apache-2.0
"""What is sent of a crash: one line of JSON with everything, then the crashing thread in telemetrics-client's lines.

Stacks that are the same are told once, with their threads, so that hundreds fit; what doesn't is left out from the end,
and the report says how much. Pure: values in, bytes out; what may be told at all is privacy's decision.
"""

from __future__ import annotations

from telemetry_probes.crash import fingerprint, jsontext, privacy, signals
from telemetry_probes.crash.fingerprint import Point

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from telemetry_probes.crash.model import Frame, Module, Place, SignalInfo, Stack

VERSION = 2
"""Of the payload: 1 is the text alone, as telemetrics-client sent it."""
PAYLOAD_MAX = 65536
TEXT_MAX = 8191
"""Of a record of format 4, and of the text behind the JSON."""
TIDS_MAX = 32
FUNCTION_CHARS_MAX = 512
PATH_CHARS_MAX = 512
NAME_CHARS_MAX = 64
NOWHERE = "nowhere"
"""Instead of an address that isn't told."""
ABOUT_CHARS_MAX = 2048
NOT_SENT = "not_sent_since"
"""In `about`: how many crashes like it were counted and not sent since the last report."""


class Subject:
    """Which process it was."""

    __slots__ = ("arch", "executable", "pid", "process", "signal", "threads")

    def __init__(
        self, process: str, executable: str, pid: int, signal: SignalInfo | None, arch: str, threads: int
    ) -> None:  # fmt: skip
        """`process` is its name, `executable` its path or empty, `threads` how many it had."""
        self.process = process
        self.executable = executable
        self.pid = pid
        self.signal = signal
        self.arch = arch
        self.threads = threads


class Named:
    """One thread with its frames and what they are called: `places` has an entry for each frame."""

    __slots__ = ("own_names", "places", "stack", "tid")

    def __init__(
        self, tid: int, stack: Stack, places: Sequence[tuple[Place, ...]], own_names: Sequence[str] = ()
    ) -> None:  # fmt: skip
        """`own_names`: the function of each frame as its module itself has it, whatever debug files are installed;
        the crashing thread's are needed."""
        self.tid = tid
        self.own_names = own_names
        self.stack = stack
        self.places = places


class Group:
    """Threads that stand at the same place all the way up."""

    __slots__ = ("crashed", "named", "tids")

    def __init__(self, named: Named, crashed: bool) -> None:
        self.named = named
        self.tids = [named.tid]
        self.crashed = crashed


class Report:
    """All of it. `flags` are sentences on what was cut or is doubtful."""

    __slots__ = ("_is_place", "_lifted", "about", "flags", "groups", "rules", "subject")

    def __init__(
        self, subject: Subject, threads: Sequence[Named], flags: Sequence[str], lifted: bool,
        about: Mapping[str, jsontext.Value] | None = None, is_place: Callable[[int], bool] | None = None,
    ) -> None:  # fmt: skip
        """The first of `threads` is the one that crashed. `lifted`: the owner lifted the privacy filters. `about`: what
        else is known of the process, at most 8 KiB of it in JSON; its text is made printable here. `is_place` says of
        an address whether the program had memory there or nearly; without it all are told."""
        self._is_place = is_place
        self.about = about or {}
        self.subject = subject
        self.flags = tuple(flags)
        self.groups = _folded(threads)
        self._lifted = lifted
        self.rules = self._rules_used()

    @property
    def fingerprint(self) -> str:
        """The same for the same fault of the same files; empty where no frame was found."""
        points = self._points()
        return fingerprint.by_offset(points) if points else ""

    def payload(self) -> bytes:
        """JSON and text, at most PAYLOAD_MAX bytes."""
        text = self.text(TEXT_MAX, 1)
        return self.json(PAYLOAD_MAX - 1 - len(text)).encode() + b"\n" + text

    # -- JSON --

    def json(self, bytes_max: int) -> str:
        """One line. Of too many stacks those of the fewest threads are left out, then frames of the crashing one."""
        crashed, others = self.groups[:1], sorted(self.groups[1:], key=lambda group: -len(group.tids))
        modules = _ModuleTable(self._lifted)
        stacks = [jsontext.write(self._stack(group, modules, 0)) for group in crashed]
        head = self._head()
        left = bytes_max - len(jsontext.write(head)) - sum(map(len, stacks)) - _AROUND_LEN
        for at, group in enumerate(others):
            before = modules.count()
            stack = jsontext.write(self._stack(group, modules, 0))
            if len(stack) + 1 > left - len(modules.text()):
                modules.cut(before)
                head["stacks_left_out"] = len(others) - at
                head["threads_left_out"] = sum([len(each.tids) for each in others[at:]])
                break
            stacks.append(stack)
            left -= len(stack) + 1
        line = _assembled(head, stacks, modules)
        frames_max = len(crashed[0].named.stack.frames) if crashed else 0
        while len(line) > bytes_max and frames_max > 2:
            frames_max = frames_max * 2 // 3
            modules = _ModuleTable(self._lifted)
            line = _assembled(head, [jsontext.write(self._stack(crashed[0], modules, frames_max))], modules)
        return line

    def _head(self) -> dict[str, jsontext.Value]:
        subject = self.subject
        head: dict[str, jsontext.Value] = {"version": VERSION, "process": clean(subject.process, NAME_CHARS_MAX)}
        if subject.executable:
            head["executable"] = clean(subject.executable, PATH_CHARS_MAX)
        head["pid"] = subject.pid
        head["arch"] = subject.arch
        if subject.signal is not None:
            head["signal"] = _signal(subject.signal, self._tells)
        head["threads"] = subject.threads
        for name, value in self.about.items():
            head[name] = clean(value, ABOUT_CHARS_MAX) if isinstance(value, str) else value
        points = self._points()
        if points:
            head["fingerprints"] = {"offset": fingerprint.by_offset(points), "name": fingerprint.by_name(points)}
        if self.flags:
            head["flags"] = [clean(flag, PATH_CHARS_MAX) for flag in self.flags]
        return head

    def _points(self) -> list[Point]:
        if not self.groups:
            return []
        named = self.groups[0].named
        return [_point(frame, name) for frame, name in zip(named.stack.frames, named.own_names, strict=True)]

    def _stack(self, group: Group, modules: _ModuleTable, frames_max: int) -> dict[str, jsontext.Value]:
        """frames_max 0: all of them; otherwise the innermost ones and the outermost."""
        stack, frames = group.named.stack, []
        for frame, places in zip(stack.frames, group.named.places, strict=True):
            number = modules.number_of(frame.module)
            frames += [self._frame(frame, place, number) for place in places] or [self._frame(frame, None, number)]
        left_out = stack.left_out
        if frames_max and len(frames) > frames_max:
            left_out += len(frames) - frames_max
            frames = frames[: frames_max - frames_max // 4] + frames[len(frames) - frames_max // 4 :]
        told: dict[str, jsontext.Value] = {"tids": group.tids[:TIDS_MAX]}
        if len(group.tids) > 1:
            told["count"] = len(group.tids)
        if group.crashed:
            told["crashed"] = True
        told["frames"] = frames
        if left_out:
            told["frames_left_out"] = left_out
        if stack.ended and stack.ended != "outermost":
            told["ended"] = stack.ended
        return told

    def _frame(self, frame: Frame, place: Place | None, number: int | None) -> dict[str, jsontext.Value]:
        told: dict[str, jsontext.Value] = {}
        if number is not None and frame.module is not None:
            told["module"] = number
            told["offset"] = hex((frame.pc - frame.module.bias) & _ADDRESS_MASK)
        else:
            told["pc"] = hex(frame.pc) if self._tells(frame.pc) else NOWHERE
        if place is not None and not self._hides(frame.module, place):
            if place.function:
                told["function"] = clean(place.function, FUNCTION_CHARS_MAX)
            if place.offset is not None:
                told["function_offset"] = place.offset
            if place.file:
                told["file"] = clean(privacy.source_name(place.file, self._lifted), PATH_CHARS_MAX)
                told["line"] = place.line
            if place.inlined:
                told["inlined"] = True
        if place is not None and place.kind not in ("", "native") and not self._hides(frame.module, None):
            told["kind"] = place.kind  # that it is Python is told of a script without a name, too
        if frame.found_by not in ("registers", "cfi"):
            told["found_by"] = frame.found_by
        return told

    def _tells(self, address: int) -> bool:
        """What a garbled pointer says are bytes of the program, perhaps of a password."""
        return self._lifted or self._is_place is None or self._is_place(address)

    def _hides(self, module: Module | None, place: Place | None) -> bool:
        if module is not None and privacy.module_name(module.path, self._lifted) == privacy.HIDDEN:
            return True
        return place is not None and self._hides_script(place)

    def _hides_script(self, place: Place) -> bool:
        return place.kind == "python" and not self._lifted and privacy.is_own_script(place.file)

    def _rules_used(self) -> tuple[str, ...]:
        """The rules of privacy that kept something back, in words."""
        used = [privacy.RULE_ARGUMENTS]
        frames = [frame for group in self.groups for frame in group.named.stack.frames]
        addresses = [frame.pc for frame in frames if frame.module is None]
        if self.subject.signal is not None and self.subject.signal.address is not None:
            addresses.append(self.subject.signal.address)
        if not all(map(self._tells, addresses)):
            used.append(privacy.RULE_ADDRESS)
        if any(self._hides(frame.module, None) for frame in frames):
            used.append(privacy.RULE_MODULE)
        places = [place for group in self.groups for each in group.named.places for place in each]
        if any(self._hides_script(place) for place in places):
            used.append(privacy.RULE_SCRIPT)
        if any(privacy.source_name(place.file, self._lifted) != place.file for place in places):
            used.append(privacy.RULE_SOURCE)
        return tuple(used)

    # -- text --

    def text(self, bytes_max: int, groups_max: int) -> bytes:
        """telemetrics-client's lines, in ASCII, of as many groups of threads at most. Cut behind a whole line."""
        subject = self.subject
        head = [f"Process: {subject.executable or subject.process}", f"PID: {subject.pid}"]
        if subject.signal is not None:
            head.append(f"Signal: {subject.signal.number}")
        more = self.about.get(NOT_SENT)
        if isinstance(more, int):
            head.append(f"and {more:,} more since the last report")
        lines = [_plain(line) for line in head]
        for group in self.groups[:groups_max]:
            lines += ["", f"Backtrace (TID {group.tids[0]}):", *self._lines(group)]
            if len(group.tids) > 1:
                lines.append(f"(and {len(group.tids) - 1} more threads at the same place)")
        return _cut(lines, bytes_max)

    def _lines(self, group: Group) -> list[str]:
        lines: list[str] = []
        named = group.named
        for frame, places in zip(named.stack.frames, named.places, strict=True):
            for place in places or (None,):
                lines.append(_plain(f"#{len(lines)} {self._line(frame, place)}"))
        if named.stack.left_out:
            lines.append(f"({named.stack.left_out} frames are left out between the innermost and the outermost)")
        return lines

    def _line(self, frame: Frame, place: Place | None) -> str:
        module = frame.module
        if module is None and (place is None or not place.function):
            return "(no symbols)"
        path = privacy.module_name(module.path, self._lifted) if module is not None else "???"
        where = f" - [{clean(path, PATH_CHARS_MAX)}]"
        if place is None or not place.function or self._hides(module, place):
            return "???" + where
        called = clean(place.function, FUNCTION_CHARS_MAX)
        called = called if called.endswith((")", ">")) else f"{called}()"
        source = clean(privacy.source_name(place.file, self._lifted), PATH_CHARS_MAX)
        return f"{called}{where}" + (f" - {source}:{place.line}" if source else "")


_ADDRESS_MASK = (1 << 64) - 1
_AROUND_LEN = 96
"""The names of stacks and modules, and what `stacks_left_out` and `threads_left_out` may take."""


class _ModuleTable:
    """The modules that frames point into, each told once."""

    def __init__(self, lifted: bool) -> None:
        self._lifted = lifted
        self._numbers: dict[int, int] = {}
        self._told: list[str] = []

    def number_of(self, module: Module | None) -> int | None:
        if module is None:
            return None
        if id(module) not in self._numbers:
            self._numbers[id(module)] = len(self._told)
            told: dict[str, jsontext.Value] = {
                "path": clean(privacy.module_name(module.path, self._lifted), PATH_CHARS_MAX)
            }
            if module.build_id:
                told["build_id"] = module.build_id
            if module.why_unread and told["path"] != privacy.HIDDEN:
                told["unread"] = clean(module.why_unread, PATH_CHARS_MAX)
            self._told.append(jsontext.write(told))
        return self._numbers[id(module)]

    def count(self) -> int:
        return len(self._told)

    def cut(self, count: int) -> None:
        """Forget those that came after the first `count`."""
        del self._told[count:]
        self._numbers = {module: number for module, number in self._numbers.items() if number < count}

    def text(self) -> str:
        """As JSON."""
        return f"[{','.join(self._told)}]"


def _assembled(head: dict[str, jsontext.Value], stacks: Sequence[str], modules: _ModuleTable) -> str:
    return f'{jsontext.write(head)[:-1]},"stacks":[{",".join(stacks)}],"modules":{modules.text()}}}'


def _folded(threads: Sequence[Named]) -> list[Group]:
    groups: dict[tuple[int, ...], Group] = {}
    for at, named in enumerate(threads):
        key = tuple([frame.pc for frame in named.stack.frames])
        if at == 0:
            groups[()] = Group(named, True)
        elif key in groups and key:
            groups[key].tids.append(named.tid)
        else:
            groups[key or (-at,)] = Group(named, False)
    return list(groups.values())


def _point(frame: Frame, name: str) -> Point:
    module = frame.module
    if module is None:
        return Point("", 0, name)
    return Point(module.build_id or module.path, (frame.pc - module.bias) & _ADDRESS_MASK, name)


def _signal(info: SignalInfo, tells: Callable[[int], bool]) -> dict[str, jsontext.Value]:
    told: dict[str, jsontext.Value] = {"number": info.number, "name": signals.name(info.number), "code": info.code}
    words = signals.reason(info)
    if words:
        told["reason"] = words
    if info.address is not None:
        told["address"] = hex(info.address) if tells(info.address) else NOWHERE
    return told


def clean(text: str, chars_max: int) -> str:
    """Hostile text on one line: what isn't printable becomes `?`."""
    if len(text) > chars_max:
        text = text[: chars_max - 3] + "..."
    return text if text.isprintable() else "".join([char if char.isprintable() else "?" for char in text])


def _plain(line: str) -> str:
    """A line of a record of format 4, which takes printable ASCII alone."""
    if line.isascii() and line.isprintable():
        return line
    return "".join([char if char.isascii() and char.isprintable() else "?" for char in line])


def _cut(lines: list[str], bytes_max: int) -> bytes:
    whole = "\n".join(lines) + "\n"
    if len(whole) <= bytes_max:
        return whole.encode()
    kept, used = 0, 0
    while used + len(lines[kept]) + 1 <= bytes_max - _MARK_LEN:
        used += len(lines[kept]) + 1
        kept += 1
    left = sum(line.startswith("#") for line in lines[kept:])
    return ("\n".join(lines[:kept]) + f"\n(cut here: {left} more frames)\n").encode()


_MARK_LEN = 48
