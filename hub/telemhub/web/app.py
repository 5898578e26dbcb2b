# SPDX-License-Identifier: Apache-2.0
"""Which address is answered by what. Each answer is made elsewhere; here are only the ways there, and what holds for
all of them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse
from starlette.routing import Route

from telemhub.query import BadQuery, Query, read_query, read_record
from telemhub.store import Unavailable
from telemhub.web.answers import Json, refusal, shown_page, shown_stats, unavailable
from telemhub.web.document import CONTENT_SECURITY_POLICY
from telemhub.web.intake import Intake
from telemhub.web.metrics import Metrics
from telemhub.web.page import PAGE_RECORDS, record_page
from telemhub.web.recordpage import missing_page, one_page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from telemhub.store import Store

CHECK_KEPT_S: Final = 2.0
"""How long the answer of one look at the store's health serves others: asking costs a write."""

_STOPPING: Final = refusal(503, "the hub is stopping", {"Retry-After": "1", "Connection": "close"})

URL_MAX: Final = 4_096
"""Characters of path and query."""

SECURITY_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


def make_app(store: Store, hosts: Collection[str] | None) -> ASGIApp:
    """hosts: names the hub is asked under, without port, in lower case; None for any."""
    rooms = _Rooms(store)
    metrics = Metrics(store, _now_us)
    app = Starlette(
        routes=[
            Route("/v1/records", Intake(store, _now_us).post, methods=["POST"]),
            Route("/api/v1/records", rooms.records),
            Route("/api/v1/stats", rooms.stats),
            Route("/api/v1/metrics", metrics.points),
            Route("/api/v1/metrics/series", metrics.series),
            Route("/api/v1/metrics/machines", metrics.machines),
            Route("/machine/{machine}", metrics.page),
            Route("/record/{record}", rooms.record),
            Route("/healthz", rooms.health),
            Route("/", rooms.page),
        ],
        exception_handlers={
            HTTPException: _http_error,
            BadQuery: _bad_query,
            Unavailable: _unavailable,
            Exception: _fault,
        },
    )
    app.router.redirect_slashes = False
    return _Border(app, hosts)


def _now_us() -> int:
    return time.time_ns() // 1000


class _Rooms:
    """The handlers that read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._check: asyncio.Future[None] | None = None
        self._checked_s = 0.0

    async def records(self, request: Request) -> Response:
        query = read_query(request.query_params.multi_items())
        return Json(shown_page(await asyncio.wrap_future(self._store.find(query))))

    async def stats(self, request: Request) -> Response:
        return Json(shown_stats(await asyncio.wrap_future(self._store.stats())))

    async def health(self, request: Request) -> Response:
        now_s = time.monotonic()
        if self._check is None or (self._check.done() and now_s - self._checked_s > CHECK_KEPT_S):
            self._check = asyncio.wrap_future(self._store.check())
            self._checked_s = now_s
        await asyncio.shield(self._check)
        return Json({"status": "ok"})

    async def page(self, request: Request) -> Response:
        notice, status = "", 200
        try:
            query = read_query(request.query_params.multi_items())
        except BadQuery as error:
            notice, status, query = f"{error}.", 400, Query()
        found, stats = await asyncio.gather(
            asyncio.wrap_future(self._store.find(query._replace(limit=PAGE_RECORDS))),
            asyncio.wrap_future(self._store.stats()),
        )
        return HTMLResponse(await asyncio.to_thread(record_page, found, stats, query, notice, _now_us()), status)

    async def record(self, request: Request) -> Response:
        record_id = read_record(request.path_params["record"])
        found = await asyncio.wrap_future(self._store.find(Query(id=record_id, limit=1)))
        if not found.records:
            return HTMLResponse(missing_page(), 404)
        return HTMLResponse(await asyncio.to_thread(one_page, found.records[0]))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    said = {404: "there is nothing at this address", 405: "not with this method"}
    return refusal(error.status_code, said.get(error.status_code, error.detail), error.headers)


async def _bad_query(request: Request, error: Exception) -> Response:
    return refusal(400, str(error))


async def _unavailable(request: Request, error: Exception) -> Response:
    assert isinstance(error, Unavailable)
    return unavailable(error)


async def _fault(request: Request, error: Exception) -> Response:
    return refusal(500, "a fault of the hub's own: its log says more")


class _Border:
    """Around everything: who the hub is asked as, how long an address may be, and the headers of every answer, also of
    the last one.

    A page of somebody else's can have its own name resolve to 127.0.0.1 and so read a hub that listens there; the name
    it asks for gives it away.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] | None) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            started = True
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *SECURITY_HEADERS]
            is_last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if is_last and message.get("body"):
                # Only the next piece waits until this one is taken: a client that doesn't read gets no second answer
                # made for it.
                await send({**message, "more_body": True})
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        answer = self._refusal(scope) or self._app
        try:
            await answer(scope, receive, send_with_headers)
        except asyncio.CancelledError:
            # The server's grace is over. A client that hasn't been told anything yet is told to come again.
            if not started:
                await _STOPPING(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Callable[[Scope, Receive, Send], Awaitable[None]] | None:
        if len(scope["raw_path"]) + len(scope["query_string"]) > URL_MAX:
            return refusal(414, f"an address is at most {URL_MAX} characters")
        if self._hosts is not None:
            named = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(named) != 1 or _without_port(named[0]) not in self._hosts:
                return refusal(421, "this hub is not known by that name: start it with --allow-host NAME")
        return None


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isascii() and port.isdigit() else host).lower()
