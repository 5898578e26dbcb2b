# SPDX-License-Identifier: Apache-2.0
"""What a server's answer means: HTTP status, headers and body in, one verdict a record out.

Pure: no socket, no clock (the time is an argument), no log. The rules and sentences stand in telemd.answerrules, and
in docs/answers.md. A sentence goes to the operator: it never holds a payload, a credential, or words of the
server's that could carry either.
"""

from __future__ import annotations

from telemd.answerrules import (
    BUSY,
    BY_STATUS,
    FAILURES,
    MALFORMED,
    NO_COLLECTOR,
    NONSENSE,
    NOT_A_HUB,
    REDIRECT,
    STORED,
    STRANGE,
    TAKEN,
    UNMARKED_END,
    WRONG_TID,
)
from telemd.courierframes import (
    DELIVERED,
    DUPLICATE,
    REASON_INVALID,
    REASON_NONE,
    REJECTED,
    RETRY,
    RETRY_AFTER_S_MAX,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Final

    from telemd.answerrules import Rule

REASON_WORDS_MAX: Final = 60

_TID_MISMATCH: Final = "telemetry id mismatch"


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
    return _follow(rule, status, headers, count, now_s, server)


def read_receipt(
    status: int, headers: Mapping[str, str], body: bytes, ended: bool, now_s: float, server: str
) -> Outcome:
    """What an HTTP answer to a single record means where the server is a telemetrics-backend.

    ended: the answer said itself where it ends. For the others see read_answer().
    """
    rule = _receipt_rule(status, headers, body, ended)
    if rule is STORED:
        return Outcome([(DELIVERED, REASON_NONE)])
    outcome = _follow(rule, status, headers, 1, now_s, server)
    assert isinstance(outcome, Outcome)  # a single record is never halved
    return outcome


def _follow(
    rule: Rule, status: int, headers: Mapping[str, str], count: int, now_s: float, server: str
) -> Outcome | Halve:
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
    rule = BY_STATUS.get(status, STRANGE)
    # A web server that is no hub says 400 to whatever it doesn't like; giving up records over that would lose them all.
    if rule is MALFORMED and not isinstance(_json_object(body).get("message"), str):
        return NOT_A_HUB
    return rule


def _receipt_rule(status: int, headers: Mapping[str, str], body: bytes, ended: bool) -> Rule:
    if status in (200, 201):
        if headers.get("content-type", "").strip().lower().startswith("text/html"):
            return NO_COLLECTOR
        return STORED if ended else UNMARKED_END
    rule = _rule_for(status, body)
    if rule is TAKEN:
        return NO_COLLECTOR
    # Said of every record alike: giving them up over a setting would lose them all.
    if rule is MALFORMED and _TID_MISMATCH in str(_json_object(body).get("message")).lower():
        return WRONG_TID
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
