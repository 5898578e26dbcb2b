# SPDX-License-Identifier: Apache-2.0
"""telemctl crash test: a child crashes for real, and its report is followed through telemd to the server's answer.

Each station is timed from the crash on; says which one failed and what to do. The child is Python itself.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

from telemd import optin
from telemd.ctl import asking, corepattern, crashes, selftest
from telemd.ctl.call import Result, failed, json_option, whole_number
from telemd.ctl.exitcodes import FAILED, GOOD
from telemd.ctl.screen import in_colour
from telemd.ctl.selftest import Station
from telemd.ctl.statustext import number, table, text
from telemd.ctl.words import Paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call

VERB = "crash test"
SUMMARY = "crash a child, and follow its report to the server"
NEEDS_ROOT = True

WAIT_S: Final = 30
WAIT_S_MAX: Final = 600
POLL_S: Final = 0.01
HEAD_BYTES: Final = 1024
"""Of a payload; the pid stands near its begin."""

CHILD_S: Final = 30.0
"""For the child to be gone: the kernel keeps it until crashprobe has read it."""

_CODE: Final = (
    "import os, resource as r, signal; open('/proc/self/comm', 'w').write('telemctl-test'); "
    "r.setrlimit(r.RLIMIT_CORE, (r.RLIM_INFINITY, r.RLIM_INFINITY)); "
    "os.kill(os.getpid(), signal.SIGSEGV)"
)
"""By that name crashprobe knows it, and never finds it one too many. A hard limit of 0 would be its opt-out."""
STATIONS: Final = ("crashed", "durable", "answered")
_ENDS: Final = ("delivered", "rejected", "evicted", "expired", "purged", "put-away", "refused")


def options(parser: ArgumentParser) -> None:
    """How long to follow it."""
    parser.add_argument(
        "--wait", type=whole_number(1, WAIT_S_MAX), default=WAIT_S, metavar="S",
        help=f"follow it for at most so many seconds; {WAIT_S} if not given",
    )  # fmt: skip
    json_option(parser, "one JSON object: ok, id, stations")


def run(call: Call) -> int:
    """0 where the report passed every station; 1 where one failed."""
    found = corepattern.look(call.settings)
    if isinstance(found, Result):
        return failed(found.text)
    if not optin.is_opted_in(call.settings) or not found.ours:
        return failed(f"crashes are not looked at: see {call.command('crash status')}")
    walk = _Walk(call)
    try:
        walk.go()
    except asking.Failed as error:
        walk.passed(STATIONS[min(len(walk.stations), 2)], False, str(error))
    good = all(each.good for each in walk.stations)
    if call.arguments.json:
        stations = [
            {"name": each.name, "ok": each.good, "ms": round(each.at_us / 1000, 3), "text": each.text}
            for each in walk.stations
        ]
        print(json.dumps({"ok": good, "id": walk.record_id, "stations": stations}, indent=2))
    elif good:
        print("all is well")
    else:
        failed(f"the test failed at the station `{walk.stations[-1].name}`")
    return GOOD if good else FAILED


class _Walk:
    """One crash; stations are told as they are reached."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.stations: list[Station] = []
        self.record_id = ""
        self._begin_us = 0
        self._paint = Paint(not call.arguments.json and in_colour(sys.stdout))

    def passed(self, name: str, good: bool, text_: str, when_us: int = 0) -> None:
        """Say so."""
        at_us = max(0, (when_us or _now_us()) - self._begin_us) if self._begin_us else 0
        station = Station(name, good, at_us, text_)
        self.stations.append(station)
        if not self.call.arguments.json:
            print(selftest.line(station, self._paint), flush=True)

    def go(self) -> None:
        """From the crash to the server's answer. asking.Failed."""
        begin = asking.one(self.call, "tail", {"payload": True})
        self._begin_us = _now_us()
        python = os.path.realpath(sys.executable)
        pid, ended = _crash(python)
        if ended != -signal.SIGSEGV:
            self.passed("crashed", False, f"the child {pid} should have died of SIGSEGV, and ended with {ended}")
            return
        self.passed("crashed", True, f"{python}, pid {pid}, is gone")
        end_s = time.monotonic() + self.call.arguments.wait
        record = self._record_of(pid, number(begin, "next"), end_s)
        if record is None:
            self.passed("durable", False, self._missing(pid))
            return
        self.record_id = text(record, "id")
        if text(record, "verdict") == "refused":
            self.passed("durable", False, selftest.refusal(text(record, "reason"), self.call))
            return
        what = f"{text(record, 'classification')}, record {self.record_id}"
        self.passed("durable", True, what, number(record, "when_us"))
        self._follow(end_s)

    def _record_of(self, pid: int, following: int, end_s: float) -> Mapping[str, object] | None:
        while time.monotonic() < end_s:
            answer = asking.one(self.call, "tail", {"payload": True, "from": following})
            following = number(answer, "next")
            records = answer.get("records")
            for record in records if isinstance(records, list) else []:
                if isinstance(record, dict) and tells_of(record, pid):
                    return record
            if not records:
                time.sleep(POLL_S)
        return None

    def _missing(self, pid: int) -> str:
        counted = crashes.counted(self.call)
        limited = [each for each in counted if each.not_reported] if isinstance(counted, list) else []
        if limited and time.time() - limited[0].last_s < self.call.arguments.wait + 5:
            return f"the crash was counted and not reported, as Python crashed often: {self.call.command('crash list')}"
        return f"no report of pid {pid} came: see the kernel's log, and {self.call.command('crash status')}"

    def _follow(self, end_s: float) -> None:
        if not self.call.settings.server:
            self.passed("answered", True, "no server is set: the report waits in the spool")
            return
        asking.one(self.call, "send-now", {})
        fate = ""
        while time.monotonic() < end_s:
            answer = asking.until_found(self.call, "why", {"id": self.record_id})
            fate = text(answer, "fate")
            if fate in _ENDS:
                good = fate == "delivered"
                self.passed("answered", good, _told(fate, answer), number(answer, "when_us"))
                return
            time.sleep(POLL_S)
        delivery = table(asking.one(self.call, "status", {}), "delivery")
        self.passed("answered", False, text(delivery, "last_error") or f"it is {fate}: {self.call.command('status')}")


def tells_of(record: Mapping[str, object], pid: int) -> bool:
    """A crash report of that process."""
    if not text(record, "classification").startswith(crashes.CLASSES):
        return False
    head = crashes.payload(record)[:HEAD_BYTES]
    return f'"pid":{pid},'.encode() in head or f"\nPID: {pid}\n".encode() in head


def _told(fate: str, answer: Mapping[str, object]) -> str:
    return "the server has it" if fate == "delivered" else f"{fate} ({text(answer, 'reason')})"


def _crash(python: str) -> tuple[int, int]:
    """The child's pid and how it ended, as subprocess has it."""
    from subprocess import DEVNULL, Popen

    child = Popen([python, "-IS", "-c", _CODE], stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL, cwd="/")
    return child.pid, child.wait(CHILD_S)


def _now_us() -> int:
    return time.time_ns() // 1000
