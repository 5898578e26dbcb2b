# SPDX-License-Identifier: Apache-2.0
"""Arguments of control verbs: what is taken, and that nothing else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from telemd.request import NUMBER_MAX, BadRequest, Request


def test_what_is_taken() -> None:
    request = Request(
        {"lane": "event", "from": 7, "id": "0" * 31 + "f", "class": "a/*", "payload": True, "until": NUMBER_MAX}
    )
    assert request.lane() == 1
    assert request.number("from", 0) == 7
    assert request.record_id() == bytes(15) + b"\x0f"
    assert request.pattern() == b"a/*"
    assert request.truth("payload") is True
    assert request.number("until", 0) == NUMBER_MAX
    request.done()


def test_what_is_not_named() -> None:
    request = Request({})
    assert (request.number("limit", 5), request.pattern(), request.truth("payload"), request.place()) == (
        5,
        None,
        False,
        (0, 0),
    )
    request.done()


def test_place() -> None:
    assert Request({"from": [2, 9]}).place() == (2, 9)


@pytest.mark.parametrize(
    ("arguments", "take"),
    [
        ({}, Request.lane),
        ({"lane": "secret"}, Request.lane),
        ({"lane": ["event"]}, Request.lane),
        ({"lane": 1}, Request.lane),
        ({}, Request.record_id),
        ({"id": "0" * 31}, Request.record_id),
        ({"id": "0" * 33}, Request.record_id),
        ({"id": "G" * 32}, Request.record_id),
        ({"id": "A" * 32}, Request.record_id),
        ({"id": 0}, Request.record_id),
        ({"class": ""}, Request.pattern),
        ({"class": "a" * 123}, Request.pattern),
        ({"class": "a*b"}, Request.pattern),
        ({"class": "é/b/c"}, Request.pattern),
        ({"class": 3}, Request.pattern),
        ({"payload": 1}, lambda request: request.truth("payload")),
        ({"limit": -1}, lambda request: request.number("limit", 0)),
        ({"limit": 101}, lambda request: request.number("limit", 0, 100)),
        ({"limit": True}, lambda request: request.number("limit", 0)),
        ({"limit": 1.0}, lambda request: request.number("limit", 0)),
        ({"limit": "1"}, lambda request: request.number("limit", 0)),
        ({"limit": NUMBER_MAX + 1}, lambda request: request.number("limit", 0)),
        ({"from": 3}, Request.place),
        ({"from": [3, 0]}, Request.place),
        ({"from": [0]}, Request.place),
        ({"from": [0, 0, 0]}, Request.place),
        ({"from": [0, -1]}, Request.place),
        ({"from": [False, 1]}, Request.place),
        ({"from": ["0", 1]}, Request.place),
        ({"secret": 1}, Request.done),
    ],
)
def test_what_is_refused(arguments: dict[str, object], take: Callable[[Request], object]) -> None:
    with pytest.raises(BadRequest) as error:
        take(Request(dict(arguments)))
    assert "secret" not in str(error.value)
