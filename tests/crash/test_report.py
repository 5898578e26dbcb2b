# SPDX-License-Identifier: Apache-2.0
"""What is sent: JSON that fits, lines as telemetrics-client had them, nothing that the rules keep back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from telemetry_probes.crash import privacy
from telemetry_probes.crash.model import Frame, Module, Place, SignalInfo, Stack
from telemetry_probes.crash.report import PAYLOAD_MAX, TEXT_MAX, Named, Report, Subject

LIBC = Module("/usr/lib/libc.so.6", 0x7000, 0x9000, 0x7000, ((0x7000, 0x9000),), "c0ffee", None, "")
PROGRAM = Module("/usr/bin/prog", 0x1000, 0x3000, 0x1000, ((0x1000, 0x3000),), "abcdef", None, "")
PRIVATE = Module("/home/me/plugin.so", 0x4000, 0x5000, 0x4000, ((0x4000, 0x5000),), "beef", None, "deleted")
FRAME_OF_A_SERVER = re.compile(r"^(#\d+ )(.+)( - \[(.*)\](.*))$")
SUBJECT = Subject("prog", "/usr/bin/prog", 42, SignalInfo(11, 1, 0x10, None), "x86_64", 1)


def place(function: str, file: str = "", line: int = 0, kind: str = "native", inlined: bool = False) -> Place:
    return Place(function, 4 if function else None, file, line, inlined, kind)


def thread(tid: int, *frames: tuple[int, Module | None, tuple[Place, ...]], ended: str = "outermost") -> Named:
    stack = Stack(tuple(Frame(pc, pc, None, module, "cfi") for pc, module, _ in frames), 0, ended)
    return Named(tid, stack, [places for _, _, places in frames], [""] * len(frames))


def simple(tid: int = 42) -> Named:
    return thread(
        tid,
        (0x7100, LIBC, (place("raise", "./signal/raise.c", 26),)),
        (0x1200, PROGRAM, (place("inner", "/home/me/src/p.c", 7, inlined=True), place("outer", "p.c", 12))),
        (0x1300, PROGRAM, (place(""),)),
        (0x99, None, (place(""),)),
    )


def report(*threads: Named, flags: tuple[str, ...] = (), lifted: bool = False) -> Report:
    return Report(SUBJECT, threads, flags, lifted)


def parsed(made: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made.payload().partition(b"\n")[0])
    return found


def test_json_comes_first_and_the_lines_of_a_server_behind_it() -> None:
    head, _, text = report(simple()).payload().partition(b"\n")
    told = json.loads(head)
    assert told["process"] == "prog" and told["pid"] == 42 and told["arch"] == "x86_64"
    assert told["signal"] == {
        "number": 11, "name": "SIGSEGV", "code": 1, "reason": "nothing is mapped at that address", "address": "0x10"
    }  # fmt: skip
    assert told["modules"] == [
        {"path": "/usr/lib/libc.so.6", "build_id": "c0ffee"}, {"path": "/usr/bin/prog", "build_id": "abcdef"}
    ]  # fmt: skip
    assert [frame.get("function") for frame in told["stacks"][0]["frames"]] == ["raise", "inner", "outer", None, None]
    assert told["stacks"][0]["frames"][1]["inlined"] is True
    assert text.decode().splitlines() == [
        "Process: /usr/bin/prog",
        "PID: 42",
        "Signal: 11",
        "",
        "Backtrace (TID 42):",
        "#0 raise() - [/usr/lib/libc.so.6] - ./signal/raise.c:26",
        "#1 inner() - [/usr/bin/prog] - p.c:7",
        "#2 outer() - [/usr/bin/prog] - p.c:12",
        "#3 ??? - [/usr/bin/prog]",
        "#4 (no symbols)",
    ]


def test_a_server_finds_the_frames() -> None:
    lines = report(simple()).payload().decode().splitlines()
    found = [match for line in lines if (match := FRAME_OF_A_SERVER.match(line))]
    assert [(match[2], match[4]) for match in found[:2]] == [
        ("raise()", "/usr/lib/libc.so.6"), ("inner()", "/usr/bin/prog")
    ]  # fmt: skip


def test_stacks_that_are_the_same_are_told_once() -> None:
    waiting = [thread(100 + at, (0x7200, LIBC, (place("poll"),)), (0x1400, PROGRAM, ())) for at in range(299)]
    payload = report(simple(), *waiting).payload()
    told = json.loads(payload.partition(b"\n")[0])
    assert len(payload) < 8192 and len(told["stacks"]) == 2
    assert told["stacks"][1]["count"] == 299 and told["stacks"][1]["tids"][0] == 100
    assert "crashed" not in told["stacks"][1] and told["stacks"][0]["crashed"] is True


def test_a_thread_at_the_place_of_the_crash_is_another_stack() -> None:
    assert len(parsed(report(simple(), simple(43)))["stacks"]) == 2


def test_what_does_not_fit_is_left_out_and_counted() -> None:
    others = [
        thread(at, *((0x1000 + at + step, PROGRAM, (place("f" * 100),)) for step in range(40))) for at in range(300)
    ]
    payload = report(simple(), *others).payload()
    told = json.loads(payload.partition(b"\n")[0])
    assert PAYLOAD_MAX * 0.8 < len(payload) <= PAYLOAD_MAX
    assert told["threads_left_out"] == told["stacks_left_out"] == 301 - len(told["stacks"])


def test_a_deep_stack_keeps_its_ends() -> None:
    deep = thread(42, *((0x1000 + at, PROGRAM, (place("g" * 500),)) for at in range(256)))
    payload = report(deep).payload()
    told = json.loads(payload.partition(b"\n")[0])
    frames = told["stacks"][0]["frames"]
    assert len(payload) <= PAYLOAD_MAX and told["stacks"][0]["frames_left_out"] == 256 - len(frames)
    assert frames[0]["offset"] == "0x0" and frames[-1]["offset"] == "0xff"


def test_the_text_is_cut_at_a_frame_with_a_mark() -> None:
    deep = thread(42, *((0x1000 + at, PROGRAM, (place("g" * 500),)) for at in range(256)))
    text = report(deep).text(TEXT_MAX, 1)
    *whole, last = text.decode().splitlines()
    assert len(text) <= TEXT_MAX and all(line.endswith("[/usr/bin/prog]") for line in whole[5:])
    assert last == f"(cut here: {256 - len(whole[5:])} more frames)"


def test_the_text_alone_has_the_other_threads() -> None:
    text = report(simple(), simple(43)).text(TEXT_MAX, 9).decode()
    assert "Backtrace (TID 42):" in text and "Backtrace (TID 43):" in text


def test_what_is_not_the_systems_is_not_named() -> None:
    private = thread(42, (0x4100, PRIVATE, (place("secret_function", "/home/me/secret.c", 1),)))
    made = report(private)
    assert b"secret" not in made.payload() and b"/home" not in made.payload()
    frame = parsed(made)["stacks"][0]["frames"][0]
    assert frame == {"module": 0, "offset": "0x100"}
    assert parsed(made)["modules"] == [{"path": privacy.HIDDEN, "build_id": "beef"}]
    assert privacy.RULE_MODULE in made.rules
    assert b"secret_function() - [/home/me/plugin.so] - /home/me/secret.c:1" in report(private, lifted=True).payload()


def test_a_users_script_is_not_named() -> None:
    script = thread(42, (0x7100, LIBC, (place("run", "/srv/app.py", 3, "python"), place("eval_frame"))))
    made = report(script)
    assert b"app.py" not in made.payload() and b'"run"' not in made.payload() and b"eval_frame" in made.payload()
    assert privacy.RULE_SCRIPT in made.rules
    assert [frame.get("kind") for frame in parsed(made)["stacks"][0]["frames"]] == ["python", None]
    plugin = report(thread(42, (0x4100, PRIVATE, (place("main.run", kind="go"),))))
    assert parsed(plugin)["stacks"][0]["frames"] == [{"module": 0, "offset": "0x100"}]


def test_a_developers_folder_is_left_out() -> None:
    made = report(simple())
    assert b"/home/me" not in made.payload() and b"p.c" in made.payload() and privacy.RULE_SOURCE in made.rules


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "\udcffx", "é\u202e", "x" * 5000])
def test_hostile_names_stay_on_their_line(name: str) -> None:
    payload = report(thread(42, (0x1100, PROGRAM, (place(name, name, 1),)))).payload()
    head, _, text = payload.partition(b"\n")
    json.loads(head)
    assert len(text.splitlines()) == 6 and text.isascii() and len(payload) < 4096
    assert all(32 <= char < 127 or char == 10 for char in text)


def test_crashes_that_were_only_counted_are_told() -> None:
    made = report(simple())
    assert b" more " not in made.payload()
    made.about = {"not_sent_since": 4112}
    head, _, text = made.payload().partition(b"\n")
    assert json.loads(head)["not_sent_since"] == 4112
    assert text.decode().splitlines()[2:5] == ["Signal: 11", "and 4,112 more since the last report", ""]


def test_doubts_are_told() -> None:
    assert parsed(report(simple(), flags=("the core was cut",)))["flags"] == ["the core was cut"]
    assert parsed(report(thread(42, (0x1100, PROGRAM, ()), ended="no rule for pc")))["stacks"][0]["ended"]


def test_no_frame_at_all() -> None:
    told = parsed(report())
    assert told["stacks"] == [] and "fingerprints" not in told
