# SPDX-License-Identifier: Apache-2.0
"""Named endpoints of this machine: whether they answer, how fast, and what they say of the requests they serve.

An endpoint answers with one JSON object, or with Prometheus text, in which some of requests_per_second, p99,
error_rate and active_backends have a number. Asked are sockets of this machine and addresses in numbers: looking up a
name has no end that one could set.
"""

from __future__ import annotations

import time

from telemetry_probes.metrics import exposition, jsonfigures, webget
from telemetry_probes.metrics.model import GAUGE, Absent, Choice, Metric

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Final

    from telemetry_probes.metrics.model import Option, Series, Value
    from telemetry_probes.metrics.places import Places

ENDPOINTS_MAX: Final = 32
ENDPOINT_S: Final = 3.0
"""For one endpoint."""
ALL_S: Final = 20.0
"""For all of them together; the last ones have no answer when it is over."""
BODY_BYTES_MAX: Final = 262_144
GOOD: Final = range(200, 400)

UP: Final = Metric("x.http.up", "1", GAUGE, "1 where the endpoint answered with a good status, else 0")
STATUS: Final = Metric("x.http.status", "1", GAUGE, "Status of the answer, as in 200")
TIME: Final = Metric("x.http.response_time", "s", GAUGE, "Until the whole answer was there")
RATE: Final = Metric("x.http.requests_per_second", "{request}/s", GAUGE, "Requests it serves, as the endpoint says")
P99: Final = Metric("x.http.p99", "ms", GAUGE, "99 of 100 requests take no longer, as the endpoint says")
ERRORS: Final = Metric("x.http.error_rate", "%", GAUGE, "Share of requests that fail, as the endpoint says")
BACKENDS: Final = Metric("x.http.active_backends", "{backend}", GAUGE, "Backends in service, as the endpoint says")

TITLE = "endpoints over HTTP, and what they say of their service"
INTERVAL_S = 60.0
METRICS = (UP, STATUS, TIME, RATE, P99, ERRORS, BACKENDS)
OPTIONS = (
    Choice(
        "endpoints",
        (),
        "NAME=URL each, as in `shop=http://127.0.0.1:8404/stats.json` or `shop=unix:/run/shop.sock:/stats`;"
        f" at most {ENDPOINTS_MAX}.",
    ),
)

SAID: Final = (
    (RATE, ("requests_per_second",)),
    (P99, ("p99", "p99_ms")),
    (ERRORS, ("error_rate",)),
    (BACKENDS, ("active_backends",)),
)
PERCENT: Final = 100


class Endpoint:
    """As the owner named it: whom to ask for what."""

    __slots__ = ("name", "place", "target")

    def __init__(self, name: str, place: webget.Place, target: str) -> None:
        self.name = name
        self.place = place
        self.target = target


class Collector:
    """Asks one endpoint after another."""

    __slots__ = ("_endpoints", "series")

    def __init__(self, places: Places, options: Mapping[str, Option]) -> None:
        texts = _texts(options)
        if not any(texts):
            raise Absent(
                "no endpoint is named: write endpoints = ['NAME=http://127.0.0.1:PORT/PATH'] in [metrics.http]"
            )
        self._endpoints = endpoints(texts, places.root)
        self.series: Sequence[Series] = [
            metric.series(("endpoint", each.name)) for each in self._endpoints for metric in METRICS
        ]

    def sample(self, now_s: float) -> Sequence[Value]:
        """All of them. What doesn't answer is down."""
        end_s = time.monotonic() + ALL_S
        row: list[Value] = []
        for each in self._endpoints:
            began_s = time.monotonic()
            try:
                answer = webget.get(each.place, each.target, min(end_s, began_s + ENDPOINT_S), BODY_BYTES_MAX)
            except (OSError, ValueError):
                row += (0, None, None, None, None, None, None)
                continue
            row += (int(answer.status in GOOD), answer.status, round(time.monotonic() - began_s, 6))
            row += figures(answer.body) if answer.status in GOOD else (None, None, None, None)
        return row

    def close(self) -> None:
        """Nothing is open between two samples."""


def wrong(options: Mapping[str, Option]) -> Sequence[tuple[str, str, str]]:
    """See model.Collector."""
    texts = _texts(options)
    problems = [problem for text in texts[:ENDPOINTS_MAX] if (problem := _problem((text,)))]
    return [
        ("endpoints", problem, 'write "NAME=http://127.0.0.1:PORT/PATH" or "NAME=unix:/SOCKET:/PATH"')
        for problem in problems or [_problem(texts)]
        if problem
    ]


def _problem(texts: Sequence[str]) -> str:
    """What is wrong with them first; empty for nothing."""
    try:
        endpoints(texts)
    except Absent as error:
        return str(error)
    return ""


def _texts(options: Mapping[str, Option]) -> list[str]:
    given = options["endpoints"]
    return [given] if isinstance(given, str) else list(given) if not isinstance(given, int | float) else []


def endpoints(texts: Sequence[str], root: str = "") -> list[Endpoint]:
    """All that are named. Absent: one of them can't be asked, and why."""
    if len(texts) > ENDPOINTS_MAX:
        raise Absent(f"endpoints has more than {ENDPOINTS_MAX}: leave some out")
    found = [endpoint(text, root) for text in texts]
    if len({each.name for each in found}) < len(texts):
        raise Absent("two endpoints have the same name: rename one")
    return found


def endpoint(text: str, root: str = "") -> Endpoint:
    """What `NAME=URL` means. root: what stands before the path of a socket. Absent: it means nothing, and why."""
    name, equals, url = text.partition("=")
    name = name.strip()
    if not equals or not name.isprintable() or not 0 < len(name) <= jsonfigures.TEXT_CHARS_MAX:
        raise Absent(f"an endpoint isn't NAME=URL: {jsonfigures.one_line(text)[:60]!r}")
    url = url.strip()
    if url.startswith("unix:/"):
        path, _, target = url[5:].partition(":")
        place = webget.Place(unix=root + path)
    elif url.startswith("http://"):
        where, slash, rest = url[7:].partition("/")
        host, port = _address(name, where)
        place, target = webget.Place(host=host, port=port), slash + rest
    else:
        raise Absent(f"the URL of endpoint {name!r} must begin with http:// or unix:/")
    target = target or "/"
    if not target.startswith("/") or not target.isascii() or not target.isprintable() or " " in target:
        raise Absent(f"the path in the URL of endpoint {name!r} has what can't be asked for")
    return Endpoint(name, place, target)


def _address(name: str, where: str) -> tuple[str, int]:
    import _socket

    if where.startswith("["):
        host, end, port = where[1:].partition("]")
        host, port = host if end else "", port.removeprefix(":")
    else:
        host, _, port = where.partition(":")
    host = "127.0.0.1" if host == "localhost" else host
    number = int(port) if port.isdecimal() and len(port) < 6 else 0 if port else 80
    try:
        _socket.inet_pton(_socket.AF_INET6 if ":" in host else _socket.AF_INET, host)
    except (OSError, ValueError):
        raise Absent(f"endpoint {name!r} has a host that is no address: write it in numbers") from None
    if not 0 < number < 65_536:
        raise Absent(f"endpoint {name!r} has a port that is none")
    return host, number


def figures(body: bytes) -> list[Value]:
    """Requests a second, p99, error rate and backends, None for what isn't said or can't be."""
    said: dict[str, float | None] = {}
    try:
        if body.lstrip()[:1] == b"{":
            found = jsonfigures.parsed(body)
            said = {word: jsonfigures.number(found, word) for _, words in SAID for word in words}
        else:
            said = {each.name: each.value for each in exposition.samples(body) if not each.labels and each.value >= 0}
    except ValueError:
        return [None] * len(SAID)
    row = [next((said[word] for word in words if said.get(word) is not None), None) for _, words in SAID]
    share = row[2]
    row[2] = None if share is None or share > PERCENT else share
    return row
