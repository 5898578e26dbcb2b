# SPDX-License-Identifier: Apache-2.0
"""What a server's answer to a batch means: HTTP status, headers and body in, one verdict a record out.

Pure: no socket, no clock (the time is an argument), no log. docs/answers.md is this module's table in words, and a test
holds the two together. A sentence made here goes to the operator: it says what to do next and never holds a payload, a
credential, or words of the server's that could carry either.
"""

from __future__ import annotations

from telemd.courierframes import (
    DELIVERED,
    DUPLICATE,
    REASON_BUSY,
    REASON_INVALID,
    REASON_NONE,
    REASON_NONSENSE,
    REASON_SETTINGS,
    REASON_TLS,
    REASON_TOO_LARGE,
    REASON_UNAUTHORISED,
    REASON_UNDECIDED,
    REASON_UNREACHABLE,
    REASON_WRONG_ADDRESS,
    REJECTED,
    RETRY,
    RETRY_AFTER_S_MAX,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final, Literal

    Step = Literal["verdicts", "halve", "reject", "retry"]

REASON_WORDS_MAX: Final = 60


class Outcome:
    """What became of some records, in order: (verdict, reason) each; see courierframes.Verdicts for the rest."""

    __slots__ = ("retry_after_s", "text", "verdicts")

    def __init__(self, verdicts: list[tuple[int, int]], retry_after_s: int = 0, text: str = "") -> None:
        self.verdicts = verdicts
        self.retry_after_s = retry_after_s
        self.text = text


class Halve:
    """Something in it is refused, but not all of it needs to be: send it again in two halves."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


class Rule:
    """What one kind of answer means, for a batch of many records and for a single one."""

    __slots__ = ("answer", "many", "one", "reason", "retry_after_s", "sentence")

    def __init__(self, answer: str, many: Step, one: Step, reason: int, sentence: str, retry_after_s: int = 0) -> None:
        self.answer = answer
        self.many = many
        self.one = one
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.sentence = sentence


TAKEN: Final = Rule("2xx with one verdict for each record", "verdicts", "verdicts", REASON_NONE, "")
NONSENSE: Final = Rule(
    "2xx with anything else",
    "retry",
    "retry",
    REASON_NONSENSE,
    "{server} answered {status}, but not with one verdict for each record, so nothing counts as delivered: "
    "is `server` the address of a telemhub?",
)
REDIRECT: Final = Rule(
    "3xx",
    "retry",
    "retry",
    REASON_WRONG_ADDRESS,
    "{server} answered {status}, a redirect, which is never followed: set `server` to where the hub really is",
)
MALFORMED: Final = Rule(
    "400, 422 with a JSON `message`",
    "halve",
    "reject",
    REASON_INVALID,
    "{server} calls a record invalid ({status}): it is given up, and what was sent beside it goes on",
)
NOT_A_HUB: Final = Rule(
    "400, 422 without a JSON `message`",
    "retry",
    "retry",
    REASON_WRONG_ADDRESS,
    "{server} answered {status} as no telemhub does: is `server` right (http or https, port, path)?",
)
UNAUTHORISED: Final = Rule(
    "401, 403",
    "retry",
    "retry",
    REASON_UNAUTHORISED,
    "{server} refuses this machine ({status}): enrol it at the hub, or correct the credentials in `server`",
    retry_after_s=300,
)
WRONG_ADDRESS: Final = Rule(
    "404, 405, 410",
    "retry",
    "retry",
    REASON_WRONG_ADDRESS,
    "{server} answered {status}, there is no hub at this address: is `server` right?",
)
TOO_LARGE: Final = Rule(
    "413",
    "halve",
    "reject",
    REASON_TOO_LARGE,
    "{server} finds a single record too large ({status}), it is given up: raise the limit of the server, "
    "or of the proxy before it, to 1 MiB or more",
)
UNKNOWN_FORM: Final = Rule(
    "406, 415",
    "retry",
    "retry",
    REASON_NONSENSE,
    "{server} doesn't understand this form of batch ({status}): bring the hub up to date with this machine",
)
BUSY: Final = Rule(
    "408, 425, 429, 5xx",
    "retry",
    "retry",
    REASON_BUSY,
    "{server} is busy or out of order ({status}): nothing to do here, it is tried again; look at the hub if this lasts",
)
STRANGE: Final = Rule(
    "anything else",
    "retry",
    "retry",
    REASON_NONSENSE,
    "{server} answered {status}, which a hub never does: is `server` right, and is there a proxy in between?",
)
RULES: Final = (
    TAKEN,
    NONSENSE,
    REDIRECT,
    MALFORMED,
    NOT_A_HUB,
    UNAUTHORISED,
    WRONG_ADDRESS,
    UNKNOWN_FORM,
    TOO_LARGE,
    BUSY,
    STRANGE,
)

_BY_STATUS: Final = {
    400: MALFORMED,
    401: UNAUTHORISED,
    403: UNAUTHORISED,
    404: WRONG_ADDRESS,
    405: WRONG_ADDRESS,
    406: UNKNOWN_FORM,
    408: BUSY,
    410: WRONG_ADDRESS,
    413: TOO_LARGE,
    415: UNKNOWN_FORM,
    422: MALFORMED,
    425: BUSY,
    429: BUSY,
}


def _no_answer(what: str, reason: int, sentence: str) -> Rule:
    return Rule(what, "retry", "retry", reason, sentence)


# What can happen instead of an answer. The keys are what telemd.transport calls them.
FAILURES: Final = {
    "address": _no_answer(
        "no usable address",
        REASON_SETTINGS,
        "`server` is not an http:// or https:// address: correct it in telemetrics.conf",
    ),
    "transport": _no_answer(
        "no such transport",
        REASON_SETTINGS,
        "`transport` names no way out: set it to one of {detail} in telemetrics.conf",
    ),
    "cainfo": _no_answer(
        "CA file unusable",
        REASON_SETTINGS,
        "the file that `cainfo` names can't be used ({detail}): give a PEM file that telemd's courier may read",
    ),
    "name": _no_answer(
        "name not resolved",
        REASON_UNREACHABLE,
        "the host name of {server} can't be resolved: is `server` right, and does DNS work on this machine?",
    ),
    "refused": _no_answer(
        "connection refused",
        REASON_UNREACHABLE,
        "nothing listens at {server}: is the hub running, and is `server` right?",
    ),
    "unreachable": _no_answer(
        "no connection",
        REASON_UNREACHABLE,
        "no connection to {server} ({detail}): are the network and the way to the hub up?",
    ),
    "certificate": _no_answer(
        "certificate not trusted",
        REASON_TLS,
        "the certificate of {server} is not trusted ({detail}): set `cainfo` to the CA that signed it, "
        "and see that this machine's clock is right",
    ),
    "tls": _no_answer(
        "no TLS connection",
        REASON_TLS,
        "no TLS connection with {server} ({detail}): does it speak TLS 1.2 or newer there, and is the port right?",
    ),
    "slow": _no_answer(
        "no answer in time",
        REASON_UNREACHABLE,
        "{server} was too slow ({detail}): is the hub overloaded, or the network?",
    ),
    "dropped": _no_answer(
        "connection lost",
        REASON_UNREACHABLE,
        "{server} closed the connection before its answer was complete: look at the log of the hub, or of a proxy",
    ),
    "oversized": _no_answer(
        "answer over 1 MiB",
        REASON_NONSENSE,
        "{server} gives an answer of over 1 MiB, which a hub never does: is `server` right?",
    ),
    "not-http": _no_answer(
        "answer that isn't HTTP",
        REASON_NONSENSE,
        "what {server} answers is not HTTP: is `server` right (http or https, port)?",
    ),
    "undecided": _no_answer(
        "25 s are over",
        REASON_UNDECIDED,
        "{server} did not get through a batch within {detail}: what is left is sent again",
    ),
    "takes-nothing": Rule(
        "8 single records in a row called invalid, none taken",
        "retry",
        "retry",
        REASON_INVALID,
        "{server} calls one record after another invalid, so the rest of the batch is kept: is `server` right, "
        "and is the hub at least as new as this machine's telemetrics?",
        retry_after_s=300,
    ),
}


def read_answer(
    status: int, headers: Mapping[str, str], body: bytes, count: int, now_s: float, server: str
) -> Outcome | Halve:
    """What an HTTP answer to a batch of count records means.

    headers: names in lower case. now_s: seconds since 1970, for a Retry-After that is a date. server: the address as it
    may be shown, see shown_server().
    """
    rule = _rule_for(status, body)
    if rule is TAKEN:
        verdicts, words = _read_verdicts(body, count)
        if verdicts is not None:
            return Outcome(verdicts, 0, _rejection_sentence(verdicts, words, server))
        rule = NONSENSE
    sentence = rule.sentence.format(server=server, status=status)
    step = rule.one if count == 1 else rule.many
    if step == "halve":
        return Halve(sentence)
    if step == "reject":
        return Outcome([(REJECTED, rule.reason)] * count, 0, sentence)
    asked_s = read_retry_after(headers.get("retry-after", ""), now_s)
    return Outcome([(RETRY, rule.reason)] * count, asked_s or rule.retry_after_s, sentence)


def failed(kind: str, count: int, server: str, detail: str = "") -> Outcome:
    """What it means that there was no answer; kind is a key of FAILURES, detail words of our own or of the system's."""
    rule = FAILURES[kind]
    return Outcome(
        [(RETRY, rule.reason)] * count, rule.retry_after_s, rule.sentence.format(server=server, detail=detail or kind)
    )


def _rule_for(status: int, body: bytes) -> Rule:
    if 200 <= status <= 299:
        return TAKEN
    if 300 <= status <= 399:
        return REDIRECT
    if 500 <= status <= 599:
        return BUSY
    rule = _BY_STATUS.get(status, STRANGE)
    # A web server that is no hub says 400 to whatever it doesn't like; giving up records over that would lose them all.
    if rule is MALFORMED and not isinstance(_json_object(body).get("message"), str):
        return NOT_A_HUB
    return rule


def _json_object(body: bytes) -> dict[str, object]:
    import json  # dear to import, and only where there is an answer to read

    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _read_verdicts(body: bytes, count: int) -> tuple[list[tuple[int, int]] | None, dict[str, int]]:
    """One verdict a record and how often each reason of a rejection was given; None where it isn't a hub's answer."""
    answer = _json_object(body)
    listed = answer.get("verdicts")
    if not isinstance(listed, list) or len(listed) != count:
        return None, {}
    verdicts: list[tuple[int, int]] = []
    words: dict[str, int] = {}
    for said in listed:
        if said == "accepted":
            verdicts.append((DELIVERED, REASON_NONE))
        elif said == "duplicate":
            verdicts.append((DUPLICATE, REASON_NONE))
        elif isinstance(said, str) and (said == "rejected" or said.startswith("rejected:")):
            verdicts.append((REJECTED, REASON_INVALID))
            reason = said.partition(":")[2].strip()
            words[reason] = words.get(reason, 0) + 1
        else:
            return None, {}
    for name, verdict in (("accepted", DELIVERED), ("duplicate", DUPLICATE), ("rejected", REJECTED)):
        if name in answer and answer[name] != sum(1 for given, _ in verdicts if given == verdict):
            return None, {}
    return verdicts, words


def _rejection_sentence(verdicts: list[tuple[int, int]], words: dict[str, int], server: str) -> str:
    rejected = sum(words.values())
    if not rejected:
        return ""
    most = max(words, key=lambda reason: words[reason])
    # The hub's own words, but only such as can't carry a payload or spoil a log.
    plain = len(most) <= REASON_WORDS_MAX and most.isascii() and most.replace(" ", "").replace("_", "").isalnum()
    why = f" ({most})" if plain else ""
    return f"{server} rejected {rejected} of {len(verdicts)} records for good{why}: the hub's log says which and why"


def read_retry_after(value: str, now_s: float) -> int:
    """Seconds to wait by a Retry-After header, delta or HTTP date; 0 .. RETRY_AFTER_S_MAX, 0 where it says nothing."""
    value = value.strip()
    if not value or len(value) > 64:
        return 0
    if value.isascii() and value.isdigit():
        return min(int(value), RETRY_AFTER_S_MAX)
    from datetime import timezone  # rare, and dear to import
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
        # Without a zone it is UTC, as HTTP has it, and not the zone this process happens to be in.
        seconds = (date if date.tzinfo else date.replace(tzinfo=timezone.utc)).timestamp() - now_s
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0
    return max(0, min(int(seconds + 0.999), RETRY_AFTER_S_MAX))


def shown_server(server: str) -> str:
    """The address as it may be logged: no user, password, query, fragment or control character, at most 200 long."""
    scheme, separator, rest = server.partition("://")
    if not separator:
        scheme, rest = "", server
    authority_len = min((rest.find(mark) for mark in "/?#" if mark in rest), default=len(rest))
    if "@" in rest[authority_len:]:
        # A password with a bare slash or question mark looks like this, and so does an odd path: show neither.
        return f"{scheme}{separator}(not shown: it has an @ behind the host name)"[:200]
    authority = rest[:authority_len].rpartition("@")[2]
    path = rest[authority_len:].partition("?")[0].partition("#")[0]
    shown = f"{scheme}{separator}{authority}{path}"[:200]
    return "".join(char if char.isprintable() else "?" for char in shown)
