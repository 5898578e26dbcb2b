# SPDX-License-Identifier: Apache-2.0
"""telemhub.headline with payloads that nobody's probe made: it says something short and harmless, or nothing."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from telemhub.headline import WHAT_MAX, WHY_MAX, headline

BOOT, UNIT = "org.clearlinux/boot/end", "org.clearlinux/journal/error"
KERNEL, CRASH = "org.clearlinux/kernel/bug", "org.clearlinux/crash/clr"
FORMS: dict[str, dict[str, Any]] = {
    BOOT: {
        "end": {"reason": "clean", "how": "reboot", "confidence": "certain", "because": ["x"], "lasted_s": 5},
        "kernel": {"release": "6", "release_before": "5"},
        "timing": {"total_ms": 5000},
    },
    UNIT: {
        "kind": "unit-failed", "unit": "a.service", "failures": 2, "result": "timeout", "not_started": "dependency",
        "ends": [{"command": "ExecStart", "code": "killed", "status": 9, "signal": "SIGKILL"}], "more": 1,
        "out_of_memory": True,
    },
    KERNEL: {"kind": "oom", "reason": "r", "comm": "c", "memory": {"victim": "v", "unit": "u", "limit_kib": 5}},
    CRASH: {
        "process": "p", "executable": "/usr/bin/p", "signal": {"number": 11, "name": "SIGSEGV", "reason": "r"},
        "stacks": [{"crashed": True, "frames": [{}, {"function": "f", "file": "/a/f.c", "line": 3}]}],
        "not_sent_since": 7,
    },
}  # fmt: skip
HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 2**63, 10**400, 1e308, "", "x" * 65_000, "\x1b[2J\r\n", "\u202e<script>", "\x00",
    [], [[[]]], {}, {"": ""},
)  # fmt: skip


def said(classification: str, fields: object) -> tuple[str, str] | None:
    return headline(classification, json.dumps(fields))


def test_each_form() -> None:
    assert said(BOOT, FORMS[BOOT]) == (
        "The last boot ended in order (reboot)", "Linux 5 before, 6 now; it had lasted 5 s; this start took 5 s"
    )  # fmt: skip
    assert said(UNIT, FORMS[UNIT]) == (
        "a.service failed 2 times",
        "ExecStart was killed by SIGKILL; timeout; out of memory; starting it: dependency; and 1 more like it",
    )
    assert said(KERNEL, FORMS[KERNEL]) == ("v was killed for want of memory", "the limit of u is 5 KiB; asked for by c")
    assert said(CRASH, FORMS[CRASH]) == ("p crashed: SIGSEGV", "r; in f (f.c:3); and 7 more like it")
    assert said(UNIT, {"kind": "message", "message": "it is\nbad", "identifier": "sshd"}) == (
        "it is bad",
        "said by sshd",
    )
    assert said(CRASH, {"process": "p", "signal": {"number": 65}}) == ("p crashed: signal 65", "")
    assert said(BOOT, {"end": {"reason": "aliens", "confidence": "guess"}}) == (
        "The last boot ended by aliens, guess",
        "",
    )


@pytest.mark.parametrize(
    "text", ["", "{", "{}", "[]", "null", "Crash Report:\nReason: x", "{" * 60_000, '{"a":' * 12_000]
)
@pytest.mark.parametrize("classification", FORMS)
def test_what_is_not_of_the_form_has_none(classification: str, text: str) -> None:
    assert headline(classification, text) is None


def test_what_is_not_ours_has_none() -> None:
    for classification in (
        "example.org/boot/end",
        "org.clearlinux/hello/world",
        "org.clearlinux/",
        "org.clearlinux/boots/end",
    ):
        assert said(classification, FORMS[BOOT]) is None
    assert headline(BOOT, json.dumps(FORMS[BOOT]).encode()) is None
    assert said(UNIT, {"kind": "another", "unit": "a.service"}) is None


def places(value: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def changed(value: Any, path: tuple[Any, ...], to: object) -> Any:
    if not path:
        return to
    copy = value.copy()
    copy[path[0]] = changed(value[path[0]], path[1:], to)
    return copy


@pytest.mark.parametrize("classification", FORMS)
def test_any_value_anywhere_is_short_and_printable(classification: str) -> None:
    form = FORMS[classification]
    for path in places(form):
        for value in HOSTILE:
            found = said(classification, changed(form, path, value))
            if found is not None:
                what, why = found
                assert len(what) <= WHAT_MAX and len(why) <= WHY_MAX
                assert (what + why).isprintable()


def test_any_bytes_are_no_fault() -> None:
    seeded = random.Random(5)
    for classification, form in FORMS.items():
        good = json.dumps(form)
        for _ in range(500):
            text = list(good)
            for _ in range(seeded.randint(1, 4)):
                text[seeded.randrange(len(text))] = seeded.choice('{}[]",:\\ux0-9\ud800é')
            headline(classification, "".join(text))
