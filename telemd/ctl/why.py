# SPDX-License-Identifier: Apache-2.0
"""telemctl why: what became of a record. Changes nothing, shows nothing of its content."""

from __future__ import annotations

import json
import time

from telemd.ctl import asking, ondisk
from telemd.ctl.call import failed, json_option
from telemd.ctl.exitcodes import FAILED, GOOD
from telemd.ctl.statustext import number, table, text
from telemd.ctl.words import count, duration, utc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping
    from typing import Final

    from telemd.ctl.call import Call

VERB = "why"
SUMMARY = "tell what became of a record"
NEEDS_ROOT = True

_ENDED: Final = {
    "delivered": "delivered, and the server has it",
    "rejected": "rejected by the server for good",
    "evicted": "dropped to make room in a full spool (spool_max_size)",
    "expired": "dropped because it became too old before it could be sent (record_expiry)",
    "purged": "dropped by `telemctl spool purge`",
    "put-away": "no longer sent: it ended the courier again and again, and lies in quarantine/ of the spool",
    "refused": "refused, and its sender was told so",
}


def options(parser: ArgumentParser) -> None:
    """Which."""
    parser.add_argument(
        "id", metavar="ID", type=asking.record_id, help="the record's id, as its sender and telemctl journal know it"
    )
    json_option(parser, "one JSON object")


def run(call: Call) -> int:
    """0; 1 where nothing is known of it, or telemd can't be asked."""
    record_id: str = call.arguments.id
    try:
        answer = asking.until_found(call, "why", {"id": record_id})
    except asking.Failed as error:
        if not error.is_away:
            return failed(str(error))
        try:
            answer = _on_disk(call, record_id)
        except OSError as trouble:
            advice = call.advice(f"{VERB} {record_id}", trouble, str(error))
            return failed(f"telemd is not running, and its files can't be read ({trouble.strerror}): {advice}")
    fate = text(answer, "fate")
    if call.arguments.json:
        print(json.dumps({name: value for name, value in answer.items() if name not in ("ok", "next")}, indent=2))
    else:
        print(told(answer, time.time_ns() // 1000))
    return FAILED if fate in ("", "unknown") else GOOD


def _on_disk(call: Call, record_id: str) -> dict[str, object]:
    """telemd's answer, as far as its files have it."""
    found = ondisk.find(call.settings, bytes.fromhex(record_id))
    return {"fate": found.fate, "when_us": found.when_us, "record": {"lane": found.lane}, "running": False}


def told(answer: Mapping[str, object], now_us: int) -> str:
    """A sentence."""
    fate = text(answer, "fate")
    record = table(answer, "record")
    if fate == "waiting":
        place = f"waiting in lane {text(record, 'lane')}, {count(number(record, 'before'))} before it"
        not_before_us = number(record, "not_before_us")
        if not_before_us > now_us:
            until = f"{utc(not_before_us / 1e6)}, in {duration((not_before_us - now_us) / 1e6)}"
            return f"{place}; deferred by a rate limit until {until}"
        return place
    if fate == "with-courier":
        return f"being sent at this moment, from lane {text(record, 'lane')}"
    if fate in _ENDED:
        when_us = number(answer, "when_us")
        reason = f": {text(answer, 'reason')}" if text(answer, "reason") else ""
        return f"{_ENDED[fate]}{reason}; {utc(when_us / 1e6)}, {duration((now_us - when_us) / 1e6)} ago"
    if answer.get("running") is False:
        when_us = number(answer, "when_us")
        when = f"accepted {utc(when_us / 1e6)}, {duration((now_us - when_us) / 1e6)} ago" if when_us else ""
        return _on_disk_told(fate, text(record, "lane"), when)
    return (
        "not known: it doesn't wait, and isn't among the last 10,000 records that ended (nor the last 2,000 that were "
        "refused) since telemd was started"
    )


def _on_disk_told(fate: str, lane: str, when: str) -> str:
    if fate == ondisk.WAITING:
        return f"waiting on disk in lane {lane}, {when}; telemd is not running, and nothing is sent until it is started"
    if fate == ondisk.ENDED:
        return f"no longer waiting: delivered or dropped before telemd was stopped; {when}"
    if fate == ondisk.ACCEPTED:
        return f"{when}, and no longer on disk: delivered or dropped. telemd is not running, and knows no more"
    return "not known: telemd is not running, the record doesn't wait on disk, and the journal hasn't got it"
