# SPDX-License-Identifier: Apache-2.0
"""Batches to a telemhub: NDJSON, compressed, POST /v1/records (docs/protocol.md, section 6).

Makes the body and sends its parts as telemd.transport._halving says. The record format is read by libtelemetry alone,
what an answer means stands in telemd.answers; neither may ever be decided in here.
"""

from __future__ import annotations

import json
import time
import zlib

from libtelemetry import wire
from telemd.answers import Outcome, failed, read_answer, shown_server
from telemd.courierframes import REASON_UNREADABLE
from telemd.transport._halving import Halving
from telemd.transport._leftout import LeftOut
from telemd.transport._post import Connection, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from telemd.courierframes import Destination

    Compress = Callable[[list[bytes]], bytes]

PATH: Final = "/v1/records"

POST_LEAST_S: Final = 0.5
"""Less time than this before the deadline, and no further request is begun."""


def open_transport(destination: Destination) -> HubTransport:
    return HubTransport(destination)


def records_url(server: str) -> str:
    """Where to POST for what the owner wrote as `server`: with or without a last slash, a path before it, or PATH."""
    base = server.strip().rstrip("/")
    return base if base.endswith(PATH) else base + PATH


class HubTransport:
    """See telemd.transport.Transport."""

    __slots__ = ("_compress", "_connection", "_encoding", "_server")

    def __init__(self, destination: Destination) -> None:
        self._connection = Connection(records_url(destination.server), destination)
        self._server = shown_server(destination.server)
        self._encoding, self._compress = _compression()

    def close(self) -> None:
        self._connection.close()

    def deliver(self, host: dict[str, str], records: bytes, deadline_s: float) -> Outcome:
        left_out = LeftOut()
        lines = _Lines(records, left_out)
        host_line = json.dumps({"host": host}, separators=(",", ":")).encode("ascii") + b"\n"
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": self._encoding}
        course = Halving(lines.count, self._server)
        while (part := course.part()) is not None:
            if deadline_s - time.monotonic() < POST_LEAST_S:
                course.stop(failed("undecided", 1, self._server, "the time it may take"))
                break
            start, stop = part
            answer = self._connection.post(self._compress([host_line, lines.part(start, stop)]), headers, deadline_s)
            if isinstance(answer, Failure):
                course.settle(failed(answer.kind, stop - start, self._server, answer.detail))
                continue
            course.settle(
                read_answer(answer.status, answer.headers, answer.body, stop - start, time.time(), self._server)
            )
        return left_out.among(course.outcome())


class _Lines:
    """A batch as NDJSON, one line a record, without the records that libtelemetry can't read."""

    __slots__ = ("_ends", "_text", "count")

    def __init__(self, records: bytes, left_out: LeftOut) -> None:
        self._ends: list[int] = []
        try:
            self._text, self.count = wire.to_ndjson(records)
        except ValueError:
            self._keep_readable(wire.split(records), left_out)

    def _keep_readable(self, records: list[memoryview], left_out: LeftOut) -> None:
        # telemd checked every record when it took it in: this is a damaged one, or another version of the format.
        lines = []
        for number, record in enumerate(records):
            try:
                lines.append(wire.to_ndjson(record)[0])
            except ValueError:
                left_out.add(number, REASON_UNREADABLE)
        self._text = b"".join(lines)
        self.count = len(lines)

    def part(self, start: int, stop: int) -> bytes:
        """The lines from number start up to, not including, stop."""
        if (start, stop) == (0, self.count):
            return self._text
        if not self._ends:
            at = 0
            while len(self._ends) < self.count:
                at = self._text.index(b"\n", at) + 1
                self._ends.append(at)
        return self._text[self._ends[start - 1] if start else 0 : self._ends[stop - 1]]


def _compression() -> tuple[str, Compress]:
    """Content-Encoding and how to make it: zstd where the module is there, else gzip."""
    try:
        import zstandard
    except ImportError:
        return "gzip", _gzip
    compressor = zstandard.ZstdCompressor(level=3)

    def _zstd(pieces: list[bytes]) -> bytes:
        # With the size in its header, so that a reader can refuse too large a body before it unpacks any of it.
        stream = compressor.compressobj(size=sum(len(piece) for piece in pieces))
        return b"".join([stream.compress(piece) for piece in pieces] + [stream.flush()])

    return "zstd", _zstd


def _gzip(pieces: list[bytes]) -> bytes:
    stream = zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([stream.compress(piece) for piece in pieces] + [stream.flush()])
