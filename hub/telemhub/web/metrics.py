# SPDX-License-Identifier: Apache-2.0
"""The answers where metrics are asked for: JSON, and a machine's page. How points are kept is the store's to know."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import HTMLResponse

from telemhub.points import COUNTER
from telemhub.query import BadQuery, PointQuery, read_machine, read_point_query
from telemhub.rates import rates
from telemhub.store import TooManyPoints
from telemhub.web.answers import Json
from telemhub.web.charts import Range
from telemhub.web.machinepage import RANGE_DEFAULT, RANGES, SERIES_MAX, charted, machine_page, step_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from telemhub.store import Series, SeriesPoints, Store

TOO_MANY = "that is more points than one answer may have: ask for less time, fewer metrics, or a larger step"


class ShownMachine(msgspec.Struct):
    """A machine of `GET /api/v1/metrics/machines`."""

    machine_id: str
    series: int
    last_us: int


class ShownSeries(msgspec.Struct):
    """A series of `GET /api/v1/metrics/series`."""

    name: str
    attributes: msgspec.Raw
    unit: str
    kind: str
    last_us: int


class ShownPoints(ShownSeries, omit_defaults=True):
    """A series of `GET /api/v1/metrics`. A value counts from the last of baselines_us that is not after it."""

    points: list[tuple[int, float]]
    baselines_us: list[int] = []


class Metrics:
    """The handlers. now_us: a clock, microseconds since 1970."""

    def __init__(self, store: Store, now_us: Callable[[], int]) -> None:
        self._store = store
        self._now_us = now_us

    async def machines(self, request: Request) -> Response:
        found = await asyncio.wrap_future(self._store.machines())
        return Json({"machines": [ShownMachine(each.id.hex(), each.series, each.last_us) for each in found]})

    async def series(self, request: Request) -> Response:
        machine = read_machine(request.query_params.get("machine", ""))
        found = await asyncio.wrap_future(self._store.series(machine))
        return Json({"series": [ShownSeries(*_described(each)) for each in found]})

    async def points(self, request: Request) -> Response:
        query = read_point_query(request.query_params.multi_items(), self._now_us())
        try:
            found = await asyncio.wrap_future(self._store.points(query))
        except TooManyPoints:
            raise BadQuery(TOO_MANY) from None
        shown = await asyncio.to_thread(lambda: [_shown(each, query) for each in found])
        return Json({"since_us": query.since_us, "until_us": query.until_us, "series": shown})

    async def page(self, request: Request) -> Response:
        machine = read_machine(request.path_params["machine"])
        chosen = request.query_params.get("range", RANGE_DEFAULT)
        if chosen not in RANGES:
            raise BadQuery(f"range is one of {', '.join(RANGES)}")
        now_us = self._now_us()
        series = await asyncio.wrap_future(self._store.series(machine))
        shown = Range(now_us - RANGES[chosen] * 1_000_000, now_us)
        query = PointQuery(
            machine, charted(series), *shown, step_us=step_us(RANGES[chosen]), series_max=SERIES_MAX
        )  # fmt: skip
        notice = ""
        found: list[SeriesPoints] = []
        try:
            found = await asyncio.wrap_future(self._store.points(query))
        except TooManyPoints:
            notice = "There are more points than a page can show: choose a shorter time."
        newest_us = max((each.last_us for each in series), default=0)
        html = await asyncio.to_thread(machine_page, machine, found, shown, chosen, newest_us, notice)
        return HTMLResponse(html)


def _described(series: Series) -> tuple[str, msgspec.Raw, str, str, int]:
    return series.name, msgspec.Raw(series.attributes), series.unit, series.kind, series.last_us


def _shown(found: SeriesPoints, query: PointQuery) -> ShownPoints:
    counts = found.series.kind == COUNTER
    if query.rate and counts:
        return ShownPoints(*_described(found.series), rates(found.points))
    points = [(at_us, value) for at_us, value, _ in found.points]
    baselines = sorted({start_us for _, _, start_us in found.points}) if counts else []
    return ShownPoints(*_described(found.series), points, baselines)
