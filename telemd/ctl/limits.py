# SPDX-License-Identifier: Apache-2.0
"""telemctl limits: how full each window of the rate limits is, and how long surplus waits. Changes nothing."""

from __future__ import annotations

import json
import sys

from telemd.ctl import asking
from telemd.ctl.call import failed, json_option
from telemd.ctl.statustext import number, table, text
from telemd.ctl.users import user_name
from telemd.ctl.words import bar, count, duration, plain, size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Mapping

    from telemd.ctl.call import Call

    UserName = Callable[[str], str]

NEWCOMERS = "-1"
VERB = "limits"
SUMMARY = "show how full each window of the rate limits is"
NEEDS_ROOT = True


def options(parser: ArgumentParser) -> None:
    """--json."""
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0; 1 where telemd can't be asked."""
    try:
        answer = asking.one(call, "limits", {})
    except asking.Failed as error:
        return failed(str(error))
    del answer["ok"]
    if call.arguments.json:
        print(json.dumps(answer, indent=2))
    else:
        print(rendered(answer, sys.stdout.isatty(), _user_name))
    return 0


def rendered(answer: Mapping[str, object], bars: bool, named: UserName) -> str:
    """The whole page, without a newline at its end."""
    if answer.get("enabled") is not True:
        return "There are no rate limits: rate_limit_enabled is off"
    drops = text(answer, "strategy") == "drop"
    lines = [f"What is over a limit {'is refused' if drops else 'is sent later'} (rate_limit_strategy)"]
    for lane, found in table(answer, "lanes").items():
        windows = found if isinstance(found, dict) else {}
        lines.append(_line(plain(lane, 9), "records", table(windows, "records"), bars))
        lines.append(_line("", "bytes", table(windows, "bytes"), bars))
        lines += _of_users(table(windows, "users"))
        deferred_min = number(windows, "deferred_min")
        if deferred_min:
            lines.append(f"{'':<9} what comes now waits for {duration(60 * deferred_min)}")
    sources = table(answer, "sources")
    used = table(sources, "used")
    for uid in used:
        one = {"used": used[uid], "limit": sources.get("limit"), "minutes": sources.get("minutes")}
        lines.append(_line("user", plain(named(uid), 24), one, bars))
    if number(sources, "limit") >= 0 and not used:
        limit, minutes = number(sources, "limit"), number(sources, "minutes")
        lines.append(
            f"{'user':<9} none has sent anything; each may send {count(limit)} in {minutes} min, as shares allow"
        )
    return "\n".join(lines)


def _of_users(shares: Mapping[str, object]) -> list[str]:
    """What users other than root and telemd's own have of a lane, and how much of it one alone may have."""
    lines = []
    for name, what, of in (
        ("records", "records", "records"),
        ("bytes", "bytes", "bytes"),
        ("waiting", "bytes", "spool"),
    ):
        share = table(shares, name)
        if share:
            alone = f"; one alone: {_amount(what, number(share, 'alone'))}" if "alone" in share else ""
            lines.append(f"{'':<9} users' share of {of}: {_fill(what, share, False)}{alone}")
    return lines


def _line(name: str, what: str, window: Mapping[str, object], bars: bool) -> str:
    return f"{name:<9} {what:<8} {_fill(what, window, bars)}"


def _fill(what: str, window: Mapping[str, object], bars: bool) -> str:
    used, limit, minutes = number(window, "used"), number(window, "limit"), number(window, "minutes")
    if limit < 0:
        return f"{_amount(what, used)}, no limit"
    share = used / limit if limit else 1.0
    drawn = f"[{bar(share, 20)}] " if bars else ""
    within = f" in {minutes} min" if minutes else ""
    return f"{drawn}{_amount(what, used)} of {_amount(what, limit)}{within} ({share:.0%})"


def _amount(what: str, amount: int) -> str:
    return size(amount) if what == "bytes" else count(amount)


def _user_name(uid: str) -> str:
    if uid == NEWCOMERS:
        return "too many to tell apart"
    return user_name(int(uid)) if uid.isdecimal() else "?"
