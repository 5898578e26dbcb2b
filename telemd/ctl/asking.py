# SPDX-License-Identifier: Apache-2.0
"""Questions to telemd that take many small answers, asked one after the other until there is no more.

telemd does a bounded piece of work for each; what an answer says is looked at for its type, for it may be of another
version. Nothing is printed here.
"""

from __future__ import annotations

from telemd import controlclient, optin
from telemd.controlclient import Unavailable
from telemd.ctl.statustext import number, text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call

STEP_TIMEOUT_S: Final = 10.0
"""A telemd that works for many takes its time for each."""

STEPS_MAX: Final = 1_000_000
"""No answer goes on for ever: a spool with more steps than that has 4 TB."""


class Failed(Exception):
    """telemd can't be asked, or says no; the text is for the operator. is_away: it doesn't run."""

    def __init__(self, text_: str, *, is_away: bool = False) -> None:
        super().__init__(text_)
        self.is_away = is_away


def one(call: Call, verb: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """One answer. Failed."""
    answer = controlclient.ask(call.settings.control_socket_path, verb, STEP_TIMEOUT_S, arguments)
    if isinstance(answer, Unavailable):
        is_away = answer.kind == controlclient.NOT_RUNNING
        advice = f": {away(call)}" if is_away else ""
        raise Failed(f"{answer.text}{advice}", is_away=is_away)
    return answer


def away(call: Call) -> str:
    """What to call where telemd doesn't run: without the owner's consent it wouldn't start, either."""
    if optin.is_opted_in(call.settings):
        return call.command("start")
    return f"not opted in, so that no record is taken. To opt in: {call.command('opt-in')}"


def until_found(call: Call, verb: str, arguments: Mapping[str, object]) -> dict[str, object]:
    """The first answer without a next. Failed."""
    asked = dict(arguments)
    for _ in range(STEPS_MAX):
        answer = one(call, verb, asked)
        if answer.get("next") is None:
            return answer
        asked["from"] = answer["next"]
    raise Failed("telemd comes to no end: is it of the same version as telemctl?")


def waiting(call: Call, lane: str, records_max: int) -> list[dict[str, object]]:
    """The oldest waiting records of a lane. Failed."""
    found: list[dict[str, object]] = []
    from_seq = 0
    while len(found) < records_max:
        answer = one(call, "spool-list", {"lane": lane, "from": from_seq, "limit": min(100, records_max - len(found))})
        records = answer.get("records")
        found += [each for each in records if isinstance(each, dict)] if isinstance(records, list) else []
        following = number(answer, "next")
        if following <= from_seq:
            break
        from_seq = following
    return found


def matching(call: Call, lane: str, pattern: str) -> tuple[int, int]:
    """How many waiting records of a lane are of a class (* for all), and the number of the last one. Failed."""
    count = last = from_seq = 0
    while True:
        answer = one(call, "spool-count", {"lane": lane, "class": pattern, "from": from_seq})
        count += number(answer, "matching")
        last = max(last, number(answer, "last"))
        following = number(answer, "next")
        if following <= from_seq:
            return count, last
        from_seq = following


def severity(record: Mapping[str, object]) -> str:
    """In a word."""
    return {1: "low", 2: "medium", 3: "high", 4: "critical"}.get(number(record, "severity"), "?")


def shown_id(record: Mapping[str, object]) -> str:
    """Of a record that telemd describes."""
    return text(record, "id") or "unreadable"


def record_id(said: str) -> str:
    """An argument's value: a record's id, as telemd wants it."""
    if found := as_id(said):
        return found
    from argparse import ArgumentTypeError

    raise ArgumentTypeError("expected 32 hex digits, as in `telemctl journal`")


def as_id(said: str) -> str:
    """A record's id as telemd wants it: hyphens and capitals are forgiven. "" where it is none."""
    plain = said.replace("-", "").lower()
    return plain if len(plain) == 32 and set(plain) <= set("0123456789abcdef") else ""
