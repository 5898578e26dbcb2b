# SPDX-License-Identifier: Apache-2.0
"""What may be asked of the store, and how it is written in a URL.

Pure. Parameters in, values out, and a place in a list (Cursor) to and from the opaque text that a client carries.
How the store finds the answer is not known here.
"""

from __future__ import annotations

import base64
import struct
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final, NamedTuple

from telemhub.records import CLASSIFICATION_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LIMIT_MAX: Final = 1_000
LIMIT_DEFAULT: Final = 100
VALUE_MAX: Final = 256
"""Characters of one parameter."""

WILDCARDS_MAX: Final = 3
"""Stars in one pattern: the work of matching grows with a power of them."""

PARAMETERS: Final = (
    "classification", "severity", "machine", "event", "id", "since", "until", "limit", "cursor",
)  # fmt: skip

POINT_PARAMETERS: Final = ("machine", "name", "since", "until", "as", "step")
STEP_S_MAX: Final = 86_400
SERIES_DEFAULT: Final = 5_000
NAMES_MAX: Final = 16
"""Metrics in one question."""

RANGE_DEFAULT_US: Final = 3_600_000_000

_I64_MAX: Final = 2**63 - 1
_CURSOR = struct.Struct(">Bqqq")
_CURSOR_VERSION: Final = 1


class BadQuery(Exception):
    """A parameter that can't be used. The text says which and what to write instead; it quotes no value."""


class Cursor(NamedTuple):
    """Where a page ended. Pages after the first show what was there when the first was read, and nothing newer."""

    created_us: int
    seq: int
    newest_seq: int
    """The last record there was when the first page was read."""

    def text(self) -> str:
        packed = _CURSOR.pack(_CURSOR_VERSION, *self)
        return base64.urlsafe_b64encode(packed).decode().rstrip("=")


class Query(NamedTuple):
    """Which records, newest first. None and "": any."""

    classification: str = ""
    """`*` stands for any characters."""

    severity: int | None = None
    machine: bytes | None = None
    event: bytes | None = None
    id: bytes | None = None
    since_us: int | None = None
    """Created at or after."""

    until_us: int | None = None
    """Created before."""

    limit: int = LIMIT_DEFAULT
    cursor: Cursor | None = None


class PointQuery(NamedTuple):
    """Points of these metrics of a machine, from since_us to before until_us."""

    machine: bytes
    names: tuple[str, ...]
    since_us: int
    until_us: int
    rate: bool = False
    """Counters as what they grow by in a second."""

    step_us: int = 0
    """At least so far apart; 0: all there are."""

    series_max: int = SERIES_DEFAULT
    """Of each name; the others are left out."""


def read_query(parameters: Iterable[tuple[str, str]]) -> Query:
    """The query that URL parameters ask for. Raises BadQuery; an unknown parameter is an error, since a filter that is
    spelled wrong would otherwise show everything."""
    given = _given(parameters, PARAMETERS)
    return Query(
        classification=_pattern(given.get("classification", "")),
        severity=_number("severity", given.get("severity"), 1, 4),
        machine=_id("machine", given.get("machine")),
        event=_id("event", given.get("event")),
        id=_id("id", given.get("id")),
        since_us=_time("since", given.get("since")),
        until_us=_time("until", given.get("until")),
        limit=_number("limit", given.get("limit"), 1, LIMIT_MAX) or LIMIT_DEFAULT,
        cursor=_cursor(given.get("cursor")),
    )


def read_point_query(parameters: Iterable[tuple[str, str]], now_us: int) -> PointQuery:
    """The points that URL parameters ask for; of the last hour, where they name no time. Raises BadQuery."""
    parameters = list(parameters)
    names = tuple(dict.fromkeys(value for name, value in parameters if name == "name" and value))
    given = _given([each for each in parameters if each[0] != "name"], POINT_PARAMETERS)
    if not 0 < len(names) <= NAMES_MAX or any(len(name) > VALUE_MAX for name in names):
        raise BadQuery(f"name is the name of a metric, as in system.cpu.time, and may be given {NAMES_MAX} times")
    machine = _id("machine", given.get("machine"))
    if machine is None:
        raise BadQuery("machine is missing: 32 hexadecimal digits")
    shown = given.get("as", "value")
    if shown not in ("value", "rate"):
        raise BadQuery("as is value or rate")
    until_us = _time("until", given.get("until"))
    until_us = now_us if until_us is None else until_us
    since_us = _time("since", given.get("since"))
    since_us = until_us - RANGE_DEFAULT_US if since_us is None else since_us
    step_s = _number("step", given.get("step"), 0, STEP_S_MAX) or 0
    return PointQuery(machine, names, max(0, since_us), max(0, until_us), shown == "rate", step_s * 1_000_000)


def read_machine(text: str) -> bytes:
    """A machine's id as it stands in an address. Raises BadQuery."""
    return _id("machine", text) or b""


def read_record(text: str) -> bytes:
    """A record's id as it stands in an address. Raises BadQuery."""
    return _id("record", text) or b""


def _given(parameters: Iterable[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """Those that aren't empty. Raises BadQuery."""
    given: dict[str, str] = {}
    for name, value in parameters:
        if name not in known:
            raise BadQuery(f"there is a parameter that isn't known; known are {', '.join(known)}")
        if name in given:
            raise BadQuery(f"{name} is given twice")
        if len(value) > VALUE_MAX:
            raise BadQuery(f"{name} is over {VALUE_MAX} characters")
        if value:
            given[name] = value
    return given


def _pattern(text: str) -> str:
    if len(text) > CLASSIFICATION_MAX or text.count("*") > WILDCARDS_MAX or "\0" in text:
        raise BadQuery(f"classification is at most {CLASSIFICATION_MAX} characters with at most {WILDCARDS_MAX} *")
    return text


def _number(name: str, text: str | None, low: int, high: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and low <= int(text) <= high):
        raise BadQuery(f"{name} is a number from {low} to {high}")
    return int(text)


def _id(name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = b""
    if len(text) != 32 or len(value) != 16:
        raise BadQuery(f"{name} is 32 hexadecimal digits")
    return value


def _time(name: str, text: str | None) -> int | None:
    """Microseconds since 1970, or ISO 8601, which is UTC where it names no zone."""
    if text is None:
        return None
    if text.isascii() and text.removeprefix("-").isdigit():
        return max(-_I64_MAX, min(int(text), _I64_MAX))
    try:
        # Python 3.10 doesn't know Z yet; a + in a URL that nobody escaped arrives as a space.
        when = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+" if "T" in text else "T"))
    except ValueError:
        raise BadQuery(
            f"{name} is a time: microseconds since 1970, or as in 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    since_epoch = when - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since_epoch.days * 86_400 + since_epoch.seconds) * 1_000_000 + since_epoch.microseconds


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, created_us, seq, newest_seq = _CURSOR.unpack(packed)
    except (ValueError, struct.error):
        version = created_us = seq = newest_seq = -1
    if version != _CURSOR_VERSION or min(created_us, seq, newest_seq) < 0:
        raise BadQuery("cursor is not one that this hub gave: start again without it")
    return Cursor(created_us, seq, newest_seq)
