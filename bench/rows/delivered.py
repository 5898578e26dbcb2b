# SPDX-License-Identifier: Apache-2.0
"""The whole way: from a probe's connection through telemd, its spool and its courier to a server's answer, and settled.

Generator, telemd, courier and hub share the processors of this machine, so a rate is that of all of them together. The
hub is telemhub, durable; the telemetrics-backend is a bare server that keeps nothing (load/backend.py).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple, cast

from bench.daemon import StateRoot, Telemd
from bench.figures import Aim, Figure, median, quantity, spread
from bench.place import BenchError
from bench.processes import cpu_s, descendants, peak_rss
from bench.receivers import Certificate, Receiver, backend, certificate, hub
from bench.setup import Setup

ORDER = 7
HTTP_RATE = Aim("at least", 30_000)
HTTPS_RATE = Aim("at least", 20_000)
HTTPS_CPU = Aim("at most", 15)
SINGLE_RATE = Aim("at least", 1200)
WARM = Aim("at most", 5)
COLD = Aim("at most", 250)
DRAINED = Aim("at most", 1)
COURIER_MEMORY = Aim("at most", 60)
LARGE_BYTES = 64 * 1024
LARGE_RECORDS = 400
LARGE_RECORDS_QUICK = 40
SETTLE_TIMEOUT_S = 120.0
PAUSE_S = 0.3
WARM_UP_RECORDS = 2000


class Flow(NamedTuple):
    """One load, all of it delivered."""

    rate: float  # records a second, from the first one sent to the last one settled
    courier_us: float  # CPU of the courier, a record


def measure(setup: Setup) -> list[Figure]:
    """Rates, then the times of single records, then an outage."""
    sizes = setup.sizes
    tls = certificate(setup.place.directory)
    turns = range(sizes.turns)
    plain = [_through_hub(setup, None) for _ in turns]
    secure = [_through_hub(setup, tls) for _ in turns]
    single = [_to_backend(setup, tls) for _ in turns]
    one = setup.conditions(f"1 client, {sizes.delivered_records} records, hub and generator on the same processors")
    alone = setup.conditions("1 client, hub on the same processors")
    warm, cold = _quiet(setup, 600, sizes.quiet_records), _quiet(setup, 1, min(sizes.quiet_records, 5))
    drained = [_drain(setup) for _ in turns]
    first_ms = [1000 * each.first_s for each in drained]
    memory = [_memory(setup, tls) for _ in turns]
    after_ms = "first answer " + ", ".join(quantity(each, "ms") for each in first_ms) + " after it listened (backoff)"
    return [
        _rate("probe to hub, HTTP", plain, one, HTTP_RATE, "3,800 /s"),
        _rate("probe to hub, HTTPS with zstd", secure, one, HTTPS_RATE, "301 /s"),
        Figure(
            "delivered", "courier's CPU a record, HTTPS with zstd", median([flow.courier_us for flow in secure]), "us",
            one, HTTPS_CPU, "-", spread([flow.courier_us for flow in secure], "us"),
        ),
        _rate(
            "probe to telemetrics-backend's form, a POST a record, HTTPS", single,
            setup.conditions(f"1 client, {sizes.single_records} records, a bare server"), SINGLE_RATE, "301 /s",
        ),
        Figure(
            "delivered", "record to hub, quiet machine, courier running", median(warm), "ms", alone, WARM, "1.4 ms",
            f"longest {quantity(max(warm), 'ms')} of {len(warm)}",
        ),
        Figure(
            "delivered", "record to hub, quiet machine, courier not running", median(cold), "ms", alone, COLD, "-",
            f"longest {quantity(max(cold), 'ms')} of {len(cold)}",
        ),
        Figure(
            "delivered", "courier's memory at the most, records of 64 KiB, HTTPS with zstd", max(memory), "MB", alone,
            COURIER_MEMORY, "-", f"peak RSS; {spread(memory, 'MB')}",
        ),
        Figure(
            "delivered", f"drained after an outage, {sizes.drained_records} records, from the server's first answer",
            median([each.rest_s for each in drained]), "s", alone, DRAINED, "3.3 h",
            f"{spread([each.rest_s for each in drained], 's')}; {after_ms}",
        ),
    ]  # fmt: skip


def _rate(work: str, flows: list[Flow], conditions: str, aim: Aim, original: str) -> Figure:
    rates = [flow.rate for flow in flows]
    courier = median([flow.courier_us for flow in flows])
    detail = f"{spread(rates, '/s')}; courier {quantity(courier, 'us')} CPU a record"
    return Figure("delivered", work, median(rates), "/s", conditions, aim, original, detail)


# ---- rates ----------------------------------------------------------------------------------------------------------


def _through_hub(setup: Setup, tls: Certificate | None) -> Flow:
    with _hub(setup, tls) as receiver, _telemd(setup, receiver.url, tls) as telemd:
        return _flow(setup, telemd, setup.sizes.delivered_records)


def _to_backend(setup: Setup, tls: Certificate) -> Flow:
    extra = 'transport = "backend-json"\n'
    with (
        backend(setup.place.directory, tls) as receiver,
        _telemd(setup, f"{receiver.url}/v3/collector", tls, extra) as telemd,
    ):
        return _flow(setup, telemd, setup.sizes.single_records)


def _flow(setup: Setup, telemd: Telemd, records: int) -> Flow:
    """After a warm-up that starts the courier and opens its connection."""
    warm_up = min(WARM_UP_RECORDS, records // 4)
    _send(setup, telemd, warm_up)
    _wait_delivered(telemd, warm_up)
    [courier] = descendants(telemd.pid)
    before_s = cpu_s(courier)
    start_s = _send(setup, telemd, records)
    end_s = _wait_delivered(telemd, warm_up + records)
    if descendants(telemd.pid) != [courier]:
        raise BenchError(f"the courier was replaced in the middle of it:\n{telemd.root.log_tail()}")
    return Flow(records / (end_s - start_s), 1e6 * (cpu_s(courier) - before_s) / records)


def _send(setup: Setup, telemd: Telemd, records: int) -> float:
    """All are durable then. When the first one was sent."""
    outcome = setup.generators.run(
        "stream", telemd.root.telemd_socket, records, setup.sizes.payload, setup.window_max
    ).all_durable()
    return outcome.start_s


def _wait_delivered(telemd: Telemd, count: int) -> float:
    """When so many were settled in all, and none is waiting, to about 10 ms."""
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        account = cast("dict[str, int]", telemd.status()["accounting"])
        if account["delivered"] >= count:
            return time.monotonic()
        if account["rejected"] or account["evicted"] or account["expired"] or time.monotonic() > deadline_s:
            raise BenchError(f"only {account['delivered']} of {count} were delivered:\n{telemd.root.log_tail()}")
        time.sleep(0.01)


# ---- memory ---------------------------------------------------------------------------------------------------------


def _memory(setup: Setup, tls: Certificate) -> float:
    """Megabytes that the courier had in memory at the most, after many records as large as they may be."""
    records = LARGE_RECORDS if setup.sizes.delivered_records > LARGE_RECORDS_QUICK * 100 else LARGE_RECORDS_QUICK
    with (
        _hub(setup, tls) as receiver,
        _telemd(setup, receiver.url, tls, "courier_linger_s = 600\n") as telemd,
    ):
        setup.generators.run("stream", telemd.root.telemd_socket, records, LARGE_BYTES, setup.window_max).all_durable()
        _wait_delivered(telemd, records)
        [courier] = descendants(telemd.pid)
        return peak_rss(courier) / 1e6


# ---- one record at a time -------------------------------------------------------------------------------------------


def _quiet(setup: Setup, linger_s: int, records: int) -> list[float]:
    """Milliseconds from sending a record to the courier's verdict on it, each on a machine that was left alone."""
    spent_ms = []
    with (
        _hub(setup, None) as receiver,
        _telemd(setup, receiver.url, None, f"courier_linger_s = {linger_s}\n") as telemd,
    ):
        _send(setup, telemd, 1)
        _wait_delivered(telemd, 1)
        for number in range(2, records + 2):
            time.sleep(PAUSE_S)
            if linger_s == 1:
                _wait_no_courier(telemd)
            clocks_s = time.time() - time.monotonic()
            start_s = _send(setup, telemd, 1) + clocks_s
            _wait_delivered(telemd, number)
            delivery = cast("dict[str, int]", telemd.status()["delivery"])
            spent_ms.append(1000 * (delivery["last_success_us"] / 1e6 - start_s))
    return spent_ms


def _wait_no_courier(telemd: Telemd) -> None:
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    while descendants(telemd.pid):
        if time.monotonic() > deadline_s:
            raise BenchError("the courier didn't leave although it was idle for long.")
        time.sleep(PAUSE_S)
    time.sleep(PAUSE_S)


# ---- an outage ------------------------------------------------------------------------------------------------------


class Drained(NamedTuple):
    """How a backlog went when the hub came back."""

    first_s: float  # from listening to the first verdicts: the wait that was left of the backoff
    rest_s: float  # from there until all was settled


def _drain(setup: Setup) -> Drained:
    records = setup.sizes.drained_records
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with _telemd(setup, f"http://127.0.0.1:{port}", None, "retry_max_s = 1\n") as telemd:
        _send(setup, telemd, records)
        if cast("dict[str, int]", telemd.status()["accounting"])["delivered"]:
            raise BenchError(f"something else takes records at port {port}.")
        with _hub(setup, None, port):
            listening_s = time.monotonic()
            delivery: dict[str, int] = {}
            while not delivery.get("last_success_us"):
                if time.monotonic() > listening_s + SETTLE_TIMEOUT_S:
                    raise BenchError(f"the hub is back, and nothing is delivered:\n{telemd.root.log_tail()}")
                delivery = cast("dict[str, int]", telemd.status()["delivery"])
                time.sleep(0.005)
            first_s = time.monotonic()
            return Drained(first_s - listening_s, _wait_delivered(telemd, records) - first_s)


# ---- both sides -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _hub(setup: Setup, tls: Certificate | None, port: int = 0) -> Iterator[Receiver]:
    data = setup.place.directory / f"hub{next(setup.numbers)}"
    with hub(setup.programs.telemhub, data, tls, port) as receiver:
        yield receiver


@contextlib.contextmanager
def _telemd(setup: Setup, server: str, tls: Certificate | None, extra: str = "") -> Iterator[Telemd]:
    cainfo = f'cainfo = "{tls.file}"\n' if tls is not None else ""
    root: StateRoot = setup.state_root(setup.sizes.delivered_records, f'server = "{server}"\n{cainfo}{extra}')
    try:
        with Telemd(setup.programs.telemd, root) as telemd:
            yield telemd
    finally:
        root.remove()
