# SPDX-License-Identifier: Apache-2.0
"""The table of docs/answers.md: what an answer means, or that there is none, and what the operator reads of it.

Pure: values only. Which rule an answer falls under is telemd.answers' affair. A sentence says what to do next and never
holds a payload, a credential, or words of the server's that could carry either.
"""

from __future__ import annotations

from telemd.courierframes import (
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
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Literal

    Step = Literal["verdicts", "delivered", "halve", "reject", "retry"]


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
    "{server} answered {status}, a redirect, which is never followed: set `server` to where it leads",
)
MALFORMED: Final = Rule(
    "400, 409, 422 with a JSON `message`",
    "halve",
    "reject",
    REASON_INVALID,
    "{server} calls a record invalid ({status}): it is given up, and what was sent beside it goes on",
)
NOT_A_HUB: Final = Rule(
    "400, 409, 422 without a JSON `message`",
    "retry",
    "retry",
    REASON_WRONG_ADDRESS,
    "{server} answered {status} without a word why, as no server of records does: is `server` right (http or https, "
    "port, path)?",
)
UNAUTHORISED: Final = Rule(
    "401, 403",
    "retry",
    "retry",
    REASON_UNAUTHORISED,
    "{server} refuses this machine ({status}): enrol it there, or correct the credentials in `server`",
    retry_after_s=300,
)
WRONG_ADDRESS: Final = Rule(
    "404, 405, 410",
    "retry",
    "retry",
    REASON_WRONG_ADDRESS,
    "{server} answered {status}, nothing takes records at this address: is `server` right? Is `transport`?",
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
    "{server} doesn't understand the form of what was sent ({status}): is `transport` right, and is the server at "
    "least as new as this machine's telemetrics?",
)
BUSY: Final = Rule(
    "408, 425, 429, 5xx",
    "retry",
    "retry",
    REASON_BUSY,
    "{server} is busy or out of order ({status}): nothing to do here, it is tried again; look there if this lasts",
)
STRANGE: Final = Rule(
    "anything else",
    "retry",
    "retry",
    REASON_NONSENSE,
    "{server} answered {status}, which no server of records does: is `server` right, and is there a proxy in between?",
)
PROXY_DENIED: Final = Rule(
    "407",
    "retry",
    "retry",
    REASON_UNAUTHORISED,
    "the proxy on the way to {server} wants other credentials ({status}): put them into `proxy`, as in "
    "http://USER:PASSWORD@HOST:PORT",
    retry_after_s=300,
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
    PROXY_DENIED,
    TOO_LARGE,
    BUSY,
    STRANGE,
)

# A telemetrics-backend gives no verdicts: its status is all there is.
STORED: Final = Rule("200, 201, whole", "delivered", "delivered", REASON_NONE, "")
UNMARKED_END: Final = Rule(
    "200, 201 without Content-Length or chunks",
    "retry",
    "retry",
    REASON_NONSENSE,
    "{server} answered {status} and hung up without marking where its answer ends, so nothing tells it from one that "
    "was cut off, and nothing counts as delivered: have it send a Content-Length",
)
NO_COLLECTOR: Final = Rule(
    "200, 201 with a web page (text/html); any other 2xx",
    "retry",
    "retry",
    REASON_NONSENSE,
    "{server} answered {status}, but not as a telemetrics-backend does, so nothing counts as delivered: is `server` "
    "right, and does the network ask for a login?",
)
WRONG_TID: Final = Rule(
    '400 with the `message` "Telemetry ID mismatch"',
    "retry",
    "retry",
    REASON_SETTINGS,
    "{server} knows another telemetry id ({status}): set `tidheader` to the one it was set up with",
    retry_after_s=300,
)
BACKEND_RULES: Final = (
    STORED,
    UNMARKED_END,
    NO_COLLECTOR,
    WRONG_TID,
    *RULES[2:],
)
"""For one record a request; from the third on as for a hub."""

BY_STATUS: Final = {
    400: MALFORMED,
    401: UNAUTHORISED,
    403: UNAUTHORISED,
    404: WRONG_ADDRESS,
    405: WRONG_ADDRESS,
    406: UNKNOWN_FORM,
    407: PROXY_DENIED,
    408: BUSY,
    409: MALFORMED,
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
    "incomplete": _no_answer(
        "a Python module is missing",
        REASON_SETTINGS,
        "the courier can't load {detail}, which this `transport` needs: install Python's {detail} on this machine",
    ),
    "cainfo": _no_answer(
        "CA file unusable",
        REASON_SETTINGS,
        "the file that `cainfo` names can't be used ({detail}): give a PEM file that telemd's courier may read",
    ),
    "client": _no_answer(
        "client certificate unusable",
        REASON_SETTINGS,
        "this machine's own certificate can't be used ({detail}): `client_certificate` and `client_key` name PEM files "
        "that belong together, need no passphrase, and may be read by telemd's courier",
    ),
    "proxy-address": _no_answer(
        "no usable address of a proxy",
        REASON_SETTINGS,
        "`proxy` is not an http:// or https:// address: correct it in telemetrics.conf, or leave it out",
    ),
    "proxy": _no_answer(
        "no way through the proxy",
        REASON_UNREACHABLE,
        "the proxy lets nothing through to {server} ({detail}): is `proxy` right, is it running, and does it "
        "allow this address?",
    ),
    "name": _no_answer(
        "name not resolved",
        REASON_UNREACHABLE,
        "the host name of {server} can't be resolved: is `server` right, and does DNS work on this machine?",
    ),
    "refused": _no_answer(
        "connection refused",
        REASON_UNREACHABLE,
        "nothing listens at {server}: is the server running, and is `server` right?",
    ),
    "unreachable": _no_answer(
        "no connection",
        REASON_UNREACHABLE,
        "no connection to {server} ({detail}): are the network and the way to the server up?",
    ),
    "certificate": _no_answer(
        "certificate not trusted",
        REASON_TLS,
        "the certificate of {server} is not trusted ({detail}): set `cainfo` to the CA that signed it, "
        "and see that this machine's clock is right",
    ),
    "client-refused": _no_answer(
        "client certificate not taken",
        REASON_TLS,
        "{server} doesn't take this machine's certificate, or misses it ({detail}): set `client_certificate` and "
        "`client_key` to one that it knows",
    ),
    "tls": _no_answer(
        "no TLS connection",
        REASON_TLS,
        "no TLS connection with {server} ({detail}): does it speak TLS 1.2 or newer there, and is the port right?",
    ),
    "slow": _no_answer(
        "no answer in time",
        REASON_UNREACHABLE,
        "{server} was too slow ({detail}): is the server overloaded, or the network?",
    ),
    "dropped": _no_answer(
        "connection lost",
        REASON_UNREACHABLE,
        "{server} closed the connection before its answer was complete: look at the log of the server, or of a proxy",
    ),
    "oversized": _no_answer(
        "answer over 1 MiB",
        REASON_NONSENSE,
        "{server} gives an answer of over 1 MiB, which no server of records does: is `server` right?",
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
        "and is the server at least as new as this machine's telemetrics?",
        retry_after_s=300,
    ),
}
