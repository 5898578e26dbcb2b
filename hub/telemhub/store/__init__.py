# SPDX-License-Identifier: Apache-2.0
"""What a store is: keeps batches durably, each record once, and answers bounded questions.

The protocol and its values; store.sqlite is the one there is. Nothing here or in what implements it knows HTTP or
JSON bodies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from telemhub.query import Cursor, PointQuery, Query
    from telemhub.records import Record

PAGE_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of payload in one page: it ends early where its records are large."""


class Unavailable(Exception):
    """Not now: nothing of the batch is stored, or nothing was read. The text is for whoever asked."""

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoredRecord(NamedTuple):
    """A record as it is kept."""

    seq: int
    id: bytes
    event_id: bytes
    created_us: int
    received_us: int
    machine_id: bytes
    classification: str
    severity: int
    payload_version: int
    payload_kind: int
    payload: str | bytes
    host_facts: str
    """JSON objects of strings, as in records.Record; facts overrides host_facts."""

    facts: str | None
    attributes: str | None


class Page(NamedTuple):
    """Records, newest first, and where to go on; None at the end."""

    records: list[StoredRecord]
    next: Cursor | None


class Stats(NamedTuple):
    """What is there in all, and the most frequent of it, most first."""

    records: int
    machines: int
    newest_us: int | None
    """When the last record was received."""

    classifications: list[tuple[str, int]]
    top_machines: list[tuple[bytes, int]]


class Series(NamedTuple):
    """One metric of one thing of a machine."""

    name: str
    attributes: str
    """JSON object of strings."""

    unit: str
    kind: str
    """counter or gauge."""

    last_us: int
    """Of its newest point."""


class SeriesPoints(NamedTuple):
    """Points of a series by time: microseconds since 1970, value, baseline of a counter (0: a gauge)."""

    series: Series
    points: list[tuple[int, float, int]]


class MachineMetrics(NamedTuple):
    """A machine that has points."""

    id: bytes
    series: int
    last_us: int


class TooManyPoints(Exception):
    """More than one answer may have."""


class Store(Protocol):
    """Thread-safe. Every Future fails with Unavailable where the store can't answer now."""

    def add(self, records: Sequence[Record], received_us: int) -> Future[list[bool]]:
        """Keep a batch, all of it or nothing; done when it is durable. For each record whether it is new (else its id
        was there already). Raises Unavailable at once where too much waits."""
        ...

    def find(self, query: Query) -> Future[Page]:
        """At most query.limit records and PAGE_BYTES_MAX bytes of payload, at least one if there is one."""
        ...

    def stats(self) -> Future[Stats]: ...

    def machines(self) -> Future[list[MachineMetrics]]:
        """Those with points, the most recent first; a bounded number."""
        ...

    def series(self, machine: bytes) -> Future[list[Series]]:
        """What there are points of, by name; a bounded number."""
        ...

    def points(self, query: PointQuery) -> Future[list[SeriesPoints]]:
        """By name and attributes, series without any left out. Fails with TooManyPoints."""
        ...

    def check(self) -> Future[None]:
        """Whether a batch could be kept now."""
        ...

    def close(self) -> None:
        """Finish the batches that wait, then stop; questions are refused from then on. Blocks; once is enough."""
        ...
