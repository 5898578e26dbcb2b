# SPDX-License-Identifier: Apache-2.0
"""A scripted hostile server against the real courier: every row of docs/answers.md, for each transport it applies to.

The rows are the product's own table; a row that nothing here provokes fails. TLS, proxies and certificates, which need
more than a script, are in test_courier_tls.py, and provoke the rows named ELSEWHERE.
"""

from __future__ import annotations

import contextlib
import socket
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, NamedTuple

import pytest
from courierpeer import (
    DELIVERED,
    MACHINE,
    REJECTED,
    RETRY,
    Answer,
    Courier,
    courier,
    free_port,
    hasty,
    memory_kb,
    record,
)
from hostilescripts import ADDRESSES, ANSWERS, RECORDS, SILENCES, UNENDED, said, said_and_left
from httppeer import Request, reply, serving
from transportpeers import PEERS

from telemd import transport
from telemd.answerrules import BACKEND_RULES, FAILURES, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hostilescripts import Script

    from telemd.answerrules import Rule

NAMES = transport.names()
AT_ONCE_S = 20.0
"""Less than a batch's 25 s, and far more than an answer needs that the courier doesn't wait for to the end."""
HASTY_BATCH_S = 1.6
"""Where the time runs out in any case; in the last 0.5 s of it no request is begun."""
CAREFUL = (
    "import sys; from telemd import courier; from telemd.transport import _single; "
    "courier.BATCH_S, _single.POST_LEAST_S = 4.0, 3.0; sys.exit(courier.main(sys.argv))"
)
"""A courier that begins no request in the last 3 s, so that one that was begun is always answered."""


@contextlib.contextmanager
def enduring(program: str = "") -> Iterator[Courier]:
    """One courier goes through it all: it stays small and leaves well."""
    with courier("--linger", "600", program=program) as running:  # also while another one is asked
        yield running
        peak_kb = memory_kb(running.process.pid, "VmHWM")
        status, said = running.leave()
    assert status == 0, said
    assert "Traceback" not in said
    assert peak_kb <= 60 * 1024


@pytest.fixture(scope="module")
def one() -> Iterator[Courier]:
    with enduring() as running:
        yield running


@pytest.fixture(scope="module")
def impatient() -> Iterator[Courier]:
    """Each transport was used before, so that it has its modules, which take a part of the first batch's time."""
    with enduring(hasty(HASTY_BATCH_S)) as running:
        for name in NAMES:
            deliver(running, name, PEERS[name].good)
        yield running


@pytest.fixture(scope="module")
def careful() -> Iterator[Courier]:
    with enduring(CAREFUL) as running:
        for name in NAMES:
            deliver(running, name, PEERS[name].good)
        yield running


def deliver(one: Courier, name: str, script: Script) -> tuple[Answer, str, int]:
    """What the courier says of a batch to such a server, the server's address, and how many requests there were."""
    with serving(script) as server:
        address = server.url + PEERS[name].path
        answer = one.ask([record(number) for number in range(RECORDS)], address, transport=name)
        return answer, address, len(server.requests)


# ---- answers --------------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """One answer to one transport, and the rule it falls under."""

    name: str
    answer: str
    number: int


def rules_of(name: str) -> tuple[Rule, ...]:
    return BACKEND_RULES if PEERS[name].single else RULES


ROWS = [
    Row(name, rule.answer, number)
    for name in NAMES
    for rule in rules_of(name)
    if rule.one != "verdicts"  # all is well: that is most of what test_transport_conformance.py is about
    for number in range(len(ANSWERS[rule.answer]))
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.name}-{row.answer[:24]}-{row.number}")
def test_every_answer_means_what_the_table_says(one: Courier, row: Row) -> None:
    status, answer = ANSWERS[row.answer][row.number]
    framed = b"Content-Length" in answer or b"chunked" in answer
    single = PEERS[row.name].single
    [rule] = [rule for rule in rules_of(row.name) if rule.answer == row.answer]
    got, address, requests = deliver(one, row.name, (said if framed else said_and_left)(answer))
    if rule.one == "delivered":
        assert got.pairs == [(DELIVERED, 0)] * RECORDS
    elif rule.one == "reject":
        assert got.pairs == [(REJECTED, rule.reason)] * RECORDS
        assert requests == (RECORDS if single else 2 * RECORDS - 1)
    else:
        assert got.pairs == [(RETRY, rule.reason)] * RECORDS
        assert requests == 1
    assert got.text == rule.sentence.format(server=address, status=status)
    assert got.retry_after_s == rule.retry_after_s


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("value", "low_s", "high_s"),
    [
        ("0", 0, 0),
        ("17", 17, 17),
        ("3600", 3600, 3600),
        ("86400", 3600, 3600),
        ("9" * 60, 3600, 3600),
        ("-5", 0, 0),
        ("soon", 0, 0),
        ("1e3", 0, 0),
        ("+90", 60, 90),
        ("+864000", 3600, 3600),
        ("-864000", 0, 0),
        ("Fri, 99 Foo 2027 99:99:99 GMT", 0, 0),
    ],
)
def test_retry_after_is_kept_to_and_capped(one: Courier, name: str, value: str, low_s: int, high_s: int) -> None:
    asked = formatdate(time.time() + int(value), usegmt=True) if value.startswith("+") or value == "-864000" else value
    got, _, _ = deliver(one, name, said(reply(503, b"", f"Retry-After: {asked}")))
    assert got.verdicts == [RETRY] * RECORDS
    assert low_s <= got.retry_after_s <= high_s


# ---- no answer ------------------------------------------------------------------------------------------------------

HERE = {"transport", "refused", "unreachable", "undecided", "takes-nothing"}
"""Tests of their own below, or in test_transport_conformance.py."""
ELSEWHERE = {"cainfo", "client", "client-refused", "certificate", "tls", "proxy", "proxy-address", "incomplete"}
"""test_courier_tls.py; the last one test_courier_socket.py."""


def test_no_row_is_forgotten() -> None:
    assert set(FAILURES) == {*SILENCES, *ADDRESSES, *HERE, *ELSEWHERE}
    used = {rule.answer for name in NAMES for rule in rules_of(name)}
    assert set(ANSWERS) == used - {"2xx with one verdict for each record"}


def assert_failed(got: Answer, kind: str, address: str) -> None:
    """All is kept, for this reason, and the operator reads this row's sentence."""
    rule = FAILURES[kind]
    assert got.pairs == [(RETRY, rule.reason)] * RECORDS, got.text
    before, _, behind = rule.sentence.format(server=address, detail="\0").partition("\0")
    assert got.text.startswith(before) and got.text.endswith(behind), (kind, got.text)
    assert got.retry_after_s == rule.retry_after_s


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("kind", "number"), [(kind, number) for kind, scripts in SILENCES.items() for number in range(len(scripts))]
)
def test_every_way_to_give_no_answer(
    one: Courier, impatient: Courier, name: str, kind: str, number: int
) -> None:  # fmt: skip
    began_s = time.monotonic()
    got, address, requests = deliver(impatient if kind == "slow" else one, name, SILENCES[kind][number])
    assert_failed(got, kind, address)
    assert requests == 1
    assert time.monotonic() - began_s < AT_ONCE_S


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("script", UNENDED)
def test_headers_that_break_off_are_no_receipt(one: Courier, name: str, script: Script) -> None:
    got, _, requests = deliver(one, name, script)
    assert got.verdicts == [RETRY] * RECORDS
    assert requests == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("kind", "address"), [(kind, each) for kind, all_ in ADDRESSES.items() for each in all_])
def test_every_address_that_is_none(one: Courier, name: str, kind: str, address: str) -> None:
    assert_failed(one.ask([record(number) for number in range(RECORDS)], address, transport=name), kind, address)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_listens(one: Courier, name: str) -> None:
    address = f"http://127.0.0.1:{free_port()}/"
    answer = one.ask([record(number) for number in range(RECORDS)], address, transport=name)
    assert_failed(answer, "refused", address)


def test_no_way_there_and_a_connection_that_is_never_taken() -> None:
    """Where the listener's queue is full, the kernel answers no connection at all."""
    with courier() as one, socket.socket() as full, contextlib.ExitStack() as waiting:
        answer = one.ask([record(number) for number in range(RECORDS)], "http://255.255.255.255:9/")
        assert_failed(answer, "unreachable", "http://255.255.255.255:9/")
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        began_s = time.monotonic()
        address = f"http://127.0.0.1:{full.getsockname()[1]}/"
        answer = one.ask([record(number) for number in range(RECORDS)], address)
        assert 4 < time.monotonic() - began_s < AT_ONCE_S
        assert_failed(answer, "unreachable", address)
        assert "within 5 s" in answer.text


@pytest.mark.parametrize("name", NAMES)
def test_a_handshake_that_stops_ends_with_the_deadline(impatient: Courier, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        began_s = time.monotonic()
        answer = impatient.ask([record(number) for number in range(RECORDS)], address, transport=name)
        assert_failed(answer, "slow", address)
        assert time.monotonic() - began_s < AT_ONCE_S


@pytest.mark.parametrize("name", [name for name in NAMES if PEERS[name].single])
def test_a_slow_server_takes_what_it_can_and_the_rest_is_undecided(careful: Courier, name: str) -> None:
    def script(request: Request, stream: socket.socket) -> bytes:
        time.sleep(0.2)
        return PEERS[name].good(request, stream)

    with serving(script) as server:
        address = server.url + PEERS[name].path
        answer = careful.ask([record(number) for number in range(100)], address, transport=name)
        taken = answer.verdicts.count(DELIVERED)
        rule = FAILURES["undecided"]
        assert 0 < taken == len(server.requests) < 100
        assert answer.pairs == [(DELIVERED, 0)] * taken + [(RETRY, rule.reason)] * (100 - taken)
        assert answer.text == rule.sentence.format(server=address, detail="the time it may take")


def test_an_unknown_transport_names_the_known_ones(one: Courier) -> None:
    answer = one.ask([record(number) for number in range(RECORDS)], "http://127.0.0.1:9", transport="pigeon")
    assert_failed(answer, "transport", "")
    assert all(name in answer.text for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_redirect_is_not_followed(one: Courier, name: str) -> None:
    with serving(PEERS[name].good) as elsewhere:
        got, _, requests = deliver(one, name, said(reply(307, b"", f"Location: {elsewhere.url}{PEERS[name].target}")))
        assert got.verdicts == [RETRY] * RECORDS
        assert (requests, elsewhere.connections) == (1, 0)


@pytest.mark.parametrize("name", NAMES)
def test_no_cookie_is_kept(one: Courier, name: str) -> None:
    def script(request: Request, stream: socket.socket) -> bytes:
        return PEERS[name].good(request, stream).replace(b"\r\n", b"\r\nSet-Cookie: id=1; Path=/\r\n", 1)

    with serving(script) as server:
        for _ in range(2):
            answer = one.ask([record(1), record(2)], server.url + PEERS[name].path, transport=name, machine=MACHINE)
            assert answer.verdicts == [DELIVERED] * 2
        assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize("name", NAMES)
def test_a_kept_connection_that_is_dead_is_made_anew_once(one: Courier, name: str) -> None:
    def script(request: Request, stream: socket.socket) -> bytes | None:
        return None if len(server.requests) in (2, 4, 5) else PEERS[name].good(request, stream)

    with serving(script) as server:
        address = server.url + PEERS[name].path
        verdicts = [one.ask([record(number)], address, transport=name).verdicts for number in range(3)]
        assert verdicts == [[DELIVERED], [DELIVERED], [RETRY]]
        assert [request.connection for request in server.requests] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("name", NAMES)
def test_a_server_that_says_201_and_hangs_up_has_not_taken_it(one: Courier, name: str) -> None:
    """Fault 9 of telemetrics-client: this counted as success."""
    for answer in (b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 201 Created\r\n\r\n", reply(201, b"{}", length=9)):
        got, _, _ = deliver(one, name, said_and_left(answer))
        assert got.verdicts == [RETRY] * RECORDS
