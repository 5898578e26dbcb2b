# SPDX-License-Identifier: Apache-2.0
"""telemctl send-now: what waits is tried now, whatever the last failure said, and what came of it is told.

Nothing is sent from here: telemd's courier does that. A rate limit's deferral holds all the same.
"""

from __future__ import annotations

import json
import time

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option, wait_option
from telemd.ctl.exitcodes import FAILED, GOOD
from telemd.ctl.statustext import ENDS, number, table, text
from telemd.ctl.words import duration, some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call

VERB = "send-now"
SUMMARY = "send what waits now, and tell what came of it"
NEEDS_ROOT = True

WAIT_S: Final = 40
"""A server has 30 s for its answer."""
POLL_S: Final = 0.05
QUIET_POLLS: Final = 4
"""Nothing is under way, so many times in a row: what is left may not be sent now."""


class Outcome:
    """waited: records that waited when it was asked for. why: a sentence where not all of them went."""

    __slots__ = ("delivered", "good", "left", "rejected", "took_s", "waited", "why")

    def __init__(self, waited: int) -> None:
        self.waited = waited
        self.delivered = 0
        self.rejected = 0
        self.left = waited
        self.took_s = 0.0
        self.good = False
        self.why = ""


def options(parser: ArgumentParser) -> None:
    """How long to wait for it."""
    wait_option(parser, "wait at most so many seconds for what comes of it", WAIT_S)
    json_option(parser, "one JSON object: waited, delivered, rejected, left, took_s, ok, why")


def run(call: Call) -> int:
    """0 where all that may be sent went, or nothing waits; 1 where it didn't, or telemd can't be asked."""
    try:
        outcome = _try(call)
    except asking.Failed as error:
        return failed(str(error))
    if call.arguments.json:
        found = {name: getattr(outcome, name) for name in ("waited", "delivered", "rejected", "left", "why")}
        print(json.dumps({"ok": outcome.good, **found, "took_s": round(outcome.took_s, 3)}, indent=2))
    elif outcome.good:
        print(told(outcome))
    else:
        failed(told(outcome))
    return GOOD if outcome.good else FAILED


def told(outcome: Outcome) -> str:
    """In words."""
    if outcome.waited == 0:
        return "nothing waits"
    said = f"{some(outcome.waited, 'record')} waited, {outcome.delivered:,} delivered"
    if outcome.rejected:
        said += f", {outcome.rejected:,} rejected by the server for good"
    if outcome.left:
        said += f", {outcome.left:,} left"
    said += f" after {outcome.took_s:.1f} s"
    return f"{said}: {outcome.why}" if outcome.why else said


def _try(call: Call) -> Outcome:
    before = table(asking.one(call, "status", {}), "accounting")
    waiting = table(asking.one(call, "send-now", {}), "waiting")
    outcome = Outcome(sum(number(waiting, lane) for lane in waiting))
    begin_s = time.monotonic()
    quiet = 0
    while True:
        status = asking.one(call, "status", {})
        accounting, delivery = table(status, "accounting"), table(status, "delivery")
        outcome.took_s = time.monotonic() - begin_s
        outcome.delivered = number(accounting, "delivered") - number(before, "delivered")
        outcome.rejected = number(accounting, "rejected") - number(before, "rejected")
        ended = sum(number(accounting, end) - number(before, end) for end in ENDS if end != "pending")
        outcome.left = min(number(accounting, "pending"), max(0, outcome.waited - ended))
        quiet = 0 if number(delivery, "in_flight") else quiet + 1
        if outcome.left == 0:
            outcome.good = True
            outcome.why = text(delivery, "last_error") if outcome.rejected else ""
            return outcome
        outcome.why = _hindrance(call, delivery, quiet)
        if outcome.why or outcome.took_s >= call.arguments.wait:
            outcome.good = quiet >= QUIET_POLLS and text(delivery, "state") == "idle"
            outcome.why = outcome.why or "that goes on; look again with `telemctl status`, or give it longer: --wait"
            return outcome
        time.sleep(POLL_S)


def _hindrance(call: Call, delivery: Mapping[str, object], quiet: int) -> str:
    """Why what is left doesn't go now; "" while it may."""
    state = text(delivery, "state")
    if state == "disabled":
        return unsent(call)
    if state == "waiting":
        left_s = (number(delivery, "next_try_us") - time.time_ns() // 1000) / 1e6
        return f"{text(delivery, 'last_error')}; telemd tries again in {duration(left_s)}"
    if state == "idle" and quiet >= QUIET_POLLS:
        until_us = number(asking.one(call, "send-now", {}), "deferred_until_us")
        when = f" for {duration(until_us / 1e6 - time.time())}" if until_us else ""
        return f"what is left is deferred by a rate limit{when}: {call.command('limits')}"
    return ""


def unsent(call: Call) -> str:
    """Why nothing is sent at all."""
    if call.settings.server and not call.settings.record_server_delivery_enabled:
        return "record_server_delivery_enabled is off in the settings: nothing is sent anywhere"
    if call.settings.server:
        return f"telemd sends nothing, though a server is named now: {call.command('restart')}"
    return 'no server is named: write server = "https://HOST/" in the settings, then ' + call.command("restart")
