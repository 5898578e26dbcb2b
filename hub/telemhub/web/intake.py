# SPDX-License-Identifier: Apache-2.0
"""`POST /v1/records`: a body off the network, within limits of size, time and memory, through ingest into the store.

Answers only when the batch is durable. What a record must look like stands in ingest; nothing of one is ever logged
but its id and the reason it was rejected for.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.requests import ClientDisconnect

from telemhub.decompress import ENCODINGS, Corrupt, TooLarge, decompress
from telemhub.ingest import NotBatch, TooMany, read_batch
from telemhub.records import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Batch, Rejected
from telemhub.store import Unavailable
from telemhub.web.answers import Json, refusal, unavailable, verdicts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.requests import Request
    from starlette.responses import Response

    from telemhub.decompress import Encoding
    from telemhub.store import Store

CONTENT_TYPE: Final = "application/x-ndjson"

BODY_DEADLINE_S: Final = 30.0
"""For a whole body to arrive."""

HELD_MAX: Final = 96 * 1024 * 1024
"""Bytes of all bodies that are arriving, read or waiting to be stored, decompressed where that was done."""

BATCH_HELD_MAX: Final = 80 * 1024 * 1024
"""Of one batch, which has to find room when it is alone; one record alone always keeps to it."""

DISCARDED_MAX: Final = 4 * BATCH_BYTES_MAX
"""Bytes of a refused body that are read all the same: a client that is still sending doesn't listen to the answer."""

READING_MAX: Final = 2
"""Bodies that are decompressed and read at the same time."""

BUSY_RETRY_S: Final = 1

REPORT_EVERY_US: Final = 10_000_000
REPORTED_MAX: Final = 5
"""Records that a line of the log names."""

log = logging.getLogger(__name__)


class _Refused(Exception):
    """This answer instead of the verdicts."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.response = refusal(status, message, headers)


_TOO_LARGE: Final = f"a batch is at most {BATCH_RECORDS_MAX} records and {BATCH_BYTES_MAX} bytes: send less at a time"


class Held:
    """Counts the bytes that requests hold in memory. One event loop's alone."""

    def __init__(self, limit: int) -> None:
        self._free = limit

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function that sets how many bytes this request holds now; what it held is free again at the end."""
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            if size - held > self._free:
                raise _Refused(503, "the hub has as much in hand as it may", {"Retry-After": str(BUSY_RETRY_S)})
            self._free -= size - held
            held = size

        try:
            yield hold
        finally:
            self._free += held


class _Form(NamedTuple):
    """How the body is sent."""

    encoding: Encoding
    length: int | None


class Intake:
    """Its post() is the handler. now_us: a clock, microseconds since 1970."""

    def __init__(self, store: Store, now_us: Callable[[], int]) -> None:
        self._store = store
        self._now_us = now_us
        self._held = Held(HELD_MAX)
        self._reading = CapacityLimiter(READING_MAX)
        self._report = _Report()

    async def post(self, request: Request) -> Response:
        try:
            with self._held.share() as hold:
                batch = await self._receive(request, hold)
                records = batch.records()
                stored = self._store.add(records, self._now_us()) if records else None
                # Shielded: a batch that was handed over is stored, whatever becomes of the one who sent it.
                news = await asyncio.shield(asyncio.wrap_future(stored)) if stored else []
        except _Refused as refused:
            return refused.response
        except Unavailable as error:
            return unavailable(error)
        self._report.of(batch, self._now_us())
        return Json(verdicts(batch, news))

    async def _receive(self, request: Request, hold: Callable[[int], None]) -> Batch:
        body = _Body(request)
        try:
            form = _form(request)
            if form.length is not None and form.length > BATCH_BYTES_MAX:
                raise _Refused(413, _TOO_LARGE)
            data = await body.read(BATCH_BYTES_MAX, hold)
        except _Refused:
            await body.discard()
            raise
        return await self._read(data, form.encoding, hold)

    async def _read(self, data: bytes, encoding: Encoding, hold: Callable[[int], None]) -> Batch:
        """Decompressed and read in a thread, so that others are answered meanwhile."""
        try:
            text = await run_sync(decompress, data, encoding, BATCH_BYTES_MAX, limiter=self._reading)
            hold(len(text))
            batch = await run_sync(read_batch, text, limiter=self._reading)
            held = len(text) + batch.points_bytes()
            if held > BATCH_HELD_MAX:
                raise TooMany
            hold(held)
            return batch
        except Corrupt:
            raise _Refused(400, f"the body is not one whole piece of {encoding}") from None
        except NotBatch as error:
            raise _Refused(400, f"not a batch: {error}") from None
        except (TooLarge, TooMany):
            raise _Refused(413, _TOO_LARGE) from None


class _Body:
    """The body of one request, as it arrives."""

    def __init__(self, request: Request) -> None:
        self._stream = request.stream()
        self._asks_first = "expect" in request.headers
        self._read = 0

    async def read(self, limit: int, hold: Callable[[int], None]) -> bytes:
        """All of it, within BODY_DEADLINE_S. Raises _Refused, and is then to be discarded."""
        pieces: list[bytes] = []

        async def gather() -> None:
            async for piece in self._stream:
                self._read += len(piece)
                if self._read > limit:
                    raise _Refused(413, _TOO_LARGE)
                hold(self._read)
                pieces.append(piece)

        try:
            await asyncio.wait_for(gather(), BODY_DEADLINE_S)
        except asyncio.TimeoutError:
            self._read = DISCARDED_MAX
            late = f"the body took longer than {BODY_DEADLINE_S:.0f} s"
            raise _Refused(408, late, {"Connection": "close"}) from None
        except ClientDisconnect:
            raise _Refused(400, "the body is not complete") from None
        return b"".join(pieces)

    async def discard(self) -> None:
        """Read on without keeping anything, up to DISCARDED_MAX and BODY_DEADLINE_S."""

        async def drain() -> None:
            async for piece in self._stream:
                self._read += len(piece)
                if self._read > DISCARDED_MAX:
                    return

        if self._read >= DISCARDED_MAX or (self._read == 0 and self._asks_first):
            return
        try:
            await asyncio.wait_for(drain(), BODY_DEADLINE_S)
        except (asyncio.TimeoutError, ClientDisconnect, RuntimeError):
            return


def _form(request: Request) -> _Form:
    """Raises _Refused for a form of body that the hub doesn't take."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != CONTENT_TYPE:
        raise _Refused(415, f"the Content-Type of a batch is {CONTENT_TYPE}")
    encoding = ENCODINGS.get(request.headers.get("content-encoding", "").strip().lower())
    if encoding is None:
        raise _Refused(415, "the Content-Encoding is zstd, gzip or none", {"Accept-Encoding": "zstd, gzip"})
    length = request.headers.get("content-length", "")
    return _Form(encoding, int(length) if length.isascii() and length.isdigit() and len(length) < 19 else None)


class _Report:
    """Tells the log of rejected records: one line in REPORT_EVERY_US at most, whatever is sent."""

    def __init__(self) -> None:
        self._said_us = -REPORT_EVERY_US
        self._unsaid = 0

    def of(self, batch: Batch, now_us: int) -> None:
        rejected = [item for item in batch.items if isinstance(item, Rejected)]
        if not rejected:
            return
        if 0 <= now_us - self._said_us < REPORT_EVERY_US:
            self._unsaid += len(rejected)
            return
        named = ", ".join(f"{item.id or 'no usable id'}: {item.reason}" for item in rejected[:REPORTED_MAX])
        log.warning(
            "Rejected %d of %d records of a batch (%s%s), and %d since this was last said.",
            len(rejected),
            len(batch.items),
            named,
            ", …" if len(rejected) > REPORTED_MAX else "",
            self._unsaid,
        )
        self._said_us, self._unsaid = now_us, 0
