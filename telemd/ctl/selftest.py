# SPDX-License-Identifier: Apache-2.0
"""telemctl selftest: a marked record is sent as any program's and followed to the server's answer, each station timed.

Says which station failed and what to do. The record says nothing but that it is one of these.
"""

from __future__ import annotations

import json
import sys
import time

from telemd.answers import shown_server
from telemd.ctl import asking
from telemd.ctl.call import failed, json_option, wait_option
from telemd.ctl.exitcodes import FAILED, GOOD
from telemd.ctl.screen import in_colour
from telemd.ctl.send_now import unsent
from telemd.ctl.statustext import number, table, text
from telemd.ctl.words import Paint, duration, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call

VERB = "selftest"
SUMMARY = "follow a record to the server, each station timed"
NEEDS_ROOT = True

CLASS: Final = "telemetrics/selftest/record"
WAIT_S: Final = 30
POLL_S: Final = 0.01
LOOK_S: Final = 0.25
"""How often it is asked why nothing happens."""

STATIONS: Final = ("sent", "durable", "courier", "answered", "gone")
HUB: Final = "hub"
_GOOD_ENDS: Final = ("delivered", "duplicate")
_GOES_ON: Final = "undecided"


class Station:
    """One of STATIONS. at_us: microseconds after the first; text: what happened there, or what is wrong and what to
    do."""

    __slots__ = ("at_us", "good", "name", "text")

    def __init__(self, name: str, good: bool, at_us: int, text_: str) -> None:
        self.name = name
        self.good = good
        self.at_us = at_us
        self.text = text_


def options(parser: ArgumentParser) -> None:
    """How long to follow it."""
    wait_option(parser, "follow it for at most so many seconds", WAIT_S)
    json_option(parser, "one JSON object: ok, id, class, server, stations")


def run(call: Call) -> int:
    """0 where it passed every station; 1 where one failed."""
    walk = _Walk(call)
    try:
        walk.go()
    except asking.Failed as error:
        walk.passed(STATIONS[len(walk.stations)], False, _now_us(), str(error))
    good = all(each.good for each in walk.stations)
    if call.arguments.json:
        print(json.dumps(_object(walk, good), indent=2))
    elif good:
        print("all is well")
    else:
        failed(f"the selftest failed at the station `{walk.stations[-1].name}`")
    return GOOD if good else FAILED


def _object(walk: _Walk, good: bool) -> dict[str, object]:
    return {
        "ok": good,
        "id": walk.record_id,
        "class": CLASS,
        "server": shown_server(walk.call.settings.server),
        "stations": [
            {"name": each.name, "ok": each.good, "ms": round(each.at_us / 1000, 3), "text": each.text}
            for each in walk.stations
        ],
    }


def _now_us() -> int:
    return time.time_ns() // 1000


class _Walk:
    """One record on its way; stations are told as they are reached."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.stations: list[Station] = []
        self.record_id = ""
        self._begin_us = _now_us()
        self._paint = Paint(not call.arguments.json and in_colour(sys.stdout))

    def passed(self, name: str, good: bool, when_us: int, text_: str) -> None:
        """Say so."""
        station = Station(name, good, max(0, when_us - self._begin_us), text_)
        self.stations.append(station)
        if not self.call.arguments.json:
            print(line(station, self._paint), flush=True)

    def go(self) -> None:
        """From the first station to the last, or to the one that fails. asking.Failed."""
        if self._hand_over():
            self._follow()

    def _hand_over(self) -> bool:
        import libtelemetry

        if self.call.config_file is not None:
            libtelemetry.set_config_file(self.call.config_file)
        payload = "a record of telemctl selftest, which says nothing else\n"
        with libtelemetry.Record(CLASS, payload) as record:
            self.record_id = record.record_id.hex()
            asking.one(self.call, "trace", {"id": self.record_id})
            self._begin_us = _now_us()
            try:
                ack = libtelemetry.send(record)
            except libtelemetry.TelemetryError as error:
                self.passed("sent", False, _now_us(), error.strerror)
                return False
        durable_us = _now_us()
        # telemd answers before it gives anything to the courier, however long we took to read that.
        taken_us = number(asking.one(self.call, "trace", {"id": self.record_id}), "taken_us")
        durable_us = min(durable_us, taken_us or durable_us)
        self.passed("sent", True, self._begin_us, f"a record of class {CLASS}, id {self.record_id}")
        if not ack.accepted:
            self.passed("durable", False, durable_us, refusal(ack.reason_name, self.call))
            return False
        self.passed("durable", True, durable_us, f"telemd has it on disk, in {self.call.settings.spool_dir}")
        asking.one(self.call, "send-now", {})  # or a failure before would keep it back
        return True

    def _follow(self) -> None:
        end_s = time.monotonic() + self.call.arguments.wait
        look_s = time.monotonic() + LOOK_S
        while True:
            way = asking.one(self.call, "trace", {"id": self.record_id})
            if self._passed(way):
                return
            if time.monotonic() >= look_s:
                look_s = time.monotonic() + LOOK_S
                trouble = self._trouble(time.monotonic() >= end_s)
                if trouble:
                    self.passed(STATIONS[len(self.stations)], False, _now_us(), trouble)
                    return
            time.sleep(POLL_S)

    def _passed(self, way: Mapping[str, object]) -> bool:
        """Tell of the stations it has reached; whether that was the last one."""
        if number(way, "taken_us") and len(self.stations) == STATIONS.index("courier"):
            self.passed("courier", True, number(way, "taken_us"), "the courier has it")
        at_answer = len(self.stations) == STATIONS.index("answered")
        if number(way, "answered_us") and at_answer and text(way, "reason") != _GOES_ON:
            good = text(way, "verdict") in _GOOD_ENDS
            self.passed("answered", good, number(way, "answered_us"), answer(way, self.call))
            if not good:
                return True
        if number(way, "gone_us") and len(self.stations) == STATIONS.index("gone"):
            self.passed("gone", True, number(way, "gone_us"), "the spool has let go of it")
            return True
        return False

    def _trouble(self, out_of_time: bool) -> str:
        """Why it doesn't get on, and what to do; "" while it may."""
        delivery = table(asking.one(self.call, "status", {}), "delivery")
        state = text(delivery, "state")
        if state == "disabled":
            return unsent(self.call)
        if state == "waiting" and len(self.stations) == STATIONS.index("courier"):
            return f"{text(delivery, 'last_error')}"
        record = table(asking.until_found(self.call, "why", {"id": self.record_id}), "record")
        deferred_s = (number(record, "not_before_us") - _now_us()) / 1e6
        if deferred_s > 0:
            return f"a rate limit defers it for {duration(deferred_s)}: {self.call.command('limits')}"
        if not out_of_time:
            return ""
        before = number(record, "before")
        queue = f", {before:,} wait before it" if before else ""
        seconds = self.call.arguments.wait
        return f"nothing came within {seconds} s{queue}: {self.call.command('status')}, or give it longer: --wait"


def line(station: Station, paint: Paint) -> str:
    """One station."""
    if station.good:
        return f"{station.name:<9} {milliseconds(station.at_us):>10}  {station.text}"
    return f"{station.name:<9} {paint.bad('FAILED'.rjust(10))}  {station.text}"


def refusal(reason: str, call: Call) -> str:
    """What to do about a refusal of telemd's."""
    advice = {
        "not-opted-in": call.command("opt-in"),
        "rate-limit": call.command("limits"),
        "no-space": f"look at {call.command('status')}: the spool or its disk is full",
        "io": f"look at the kernel's log: {call.settings.spool_dir} can't be written",
    }
    return f"telemd refused it ({reason}): {advice.get(reason, call.command('status'))}"


def answer(way: Mapping[str, object], call: Call) -> str:
    """What the server said, and what follows from it."""
    server = shown_server(call.settings.server)
    verdict, said = text(way, "verdict"), text(way, "text")
    if verdict in _GOOD_ENDS:
        return f"the hub at {server} has stored it" if call.settings.transport == HUB else f"{server} has accepted it"
    if verdict == "rejected":
        return f"the server rejects it for good ({text(way, 'reason')}): {said or 'see docs/answers.md'}"
    return f"{said or text(way, 'reason')}; the record waits, and telemd goes on trying"
