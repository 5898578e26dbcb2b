# SPDX-License-Identifier: Apache-2.0
"""telemhub.ingest: every rule of docs/protocol.md, section 6, that a body can break, and the ones it keeps."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest
from hubbatch import MACHINE, OTHER_MACHINE, batch, host_line, line, ndjson, record_id

from telemhub.ingest import NotBatch, TooMany, read_batch
from telemhub.records import CREATED_US_END, Record, Rejected


def only(**changes: Any) -> Record | Rejected:
    (item,) = read_batch(batch(1, **changes)).items
    return item


def accepted(**changes: Any) -> Record:
    item = only(**changes)
    assert isinstance(item, Record), item
    return item


def test_a_good_record_keeps_every_field() -> None:
    facts = {"build": "13", "cpu_model": "größer"}
    record = accepted(
        severity=4, payload="a\nü", payload_kind="json", facts=facts, attributes={"300": "AAE=", "17": ""}
    )
    assert record.id.hex() == record_id(1)
    assert record.event_id == (1).to_bytes(16, "big")
    assert (record.severity, record.payload_version, record.payload_kind, record.payload) == (4, 1, 1, "a\nü")
    assert record.host.machine_id.hex() == MACHINE
    assert json.loads(record.host.facts) == {"arch": "x86_64", "build": "12"}
    assert json.loads(record.facts or "") == facts
    assert json.loads(record.attributes or "") == {"17": "", "300": "AAE="}


def test_a_host_line_holds_up_to_the_next() -> None:
    body = ndjson(host_line(), line(1), line(2), host_line(OTHER_MACHINE, build="99"), line(3))
    records = read_batch(body).records()
    assert [record.host.machine_id.hex() for record in records] == [MACHINE, MACHINE, OTHER_MACHINE]
    assert "99" in records[2].host.facts


def test_the_last_newline_may_be_missing_and_unknown_fields_are_skipped() -> None:
    body = ndjson(host_line(future="x"), line(1, future={"deep": [1, 2]})).rstrip(b"\n")
    assert len(read_batch(body).records()) == 1


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("record-id", {"id": "0" * 32}),
        ("record-id", {"id": "x" * 32}),
        ("record-id", {"id": "00 " * 10 + "00"}),
        ("record-id", {"id": "12"}),
        ("record-id", {"id": 7}),
        ("record-id", {"id": None}),
        ("malformed", {"event_id": "g" * 32}),
        ("malformed", {"event_id": None}),
        ("created", {"created_us": -1}),
        ("created", {"created_us": CREATED_US_END}),
        ("created", {"created_us": "soon"}),
        ("created", {"created_us": 10**30}),
        ("created", {"created_us": None}),
        ("severity", {"severity": 0}),
        ("severity", {"severity": 5}),
        ("severity", {"severity": "4"}),
        ("severity", {"severity": 1.5}),
        ("severity", {"severity": None}),
        ("classification", {"classification": "a/b"}),
        ("classification", {"classification": "a/b/c/d"}),
        ("classification", {"classification": "a//c"}),
        ("classification", {"classification": "a/../c"}),
        ("classification", {"classification": "./b/c"}),
        ("classification", {"classification": "a/b/.."}),
        ("classification", {"classification": "a/b/c d"}),
        ("classification", {"classification": "a/b/c\n"}),
        ("classification", {"classification": "a/b/ü"}),
        ("classification", {"classification": "a/b/" + "c" * 41}),
        ("classification", {"classification": "x" * 1000}),
        ("classification", {"classification": None}),
        ("payload-kind", {"payload_kind": "html"}),
        ("payload-kind", {"payload_kind": 0}),
        ("malformed", {"payload_version": -1}),
        ("malformed", {"payload_version": 2**32}),
        ("malformed", {"payload": None}),
        ("malformed", {"payload": 5}),
        ("malformed", {"payload": "a\0b"}),
        ("malformed", {"payload_base64": "AAAA"}),
        ("malformed", {"payload": None, "payload_base64": "not base64"}),
        ("too-large", {"payload": "x" * 65_537}),
        ("too-large", {"payload": "ü" * 32_769}),
        ("too-large", {"payload": None, "payload_base64": base64.b64encode(bytes(65_537)).decode()}),
        ("attribute", {"facts": {"arch": "x" * 257}}),
        ("attribute", {"facts": {"arch": "a\tb"}}),
        ("attribute", {"facts": {"arch": "a\u0085b"}}),
        ("attribute", {"facts": {"arch": 5}}),
        ("attribute", {"facts": "x86_64"}),
        ("attribute", {"attributes": {"1": "AA=="}}),
        ("attribute", {"attributes": {"16": "AA=="}}),
        ("attribute", {"attributes": {"32768": "AA=="}}),
        ("attribute", {"attributes": {"65536": "AA=="}}),
        ("attribute", {"attributes": {"017": "AA=="}}),
        ("attribute", {"attributes": {"x": "AA=="}}),
        ("attribute", {"attributes": {"²": "AA=="}}),
        ("attribute", {"attributes": {"17": "AA="}}),
        ("attribute", {"attributes": {"17": base64.b64encode(bytes(4_093)).decode()}}),
        ("attribute", {"attributes": [1]}),
    ],
)
def test_a_record_that_breaks_a_rule_is_rejected_alone(reason: str, changes: dict[str, Any]) -> None:
    first, bad, last = read_batch(ndjson(host_line(), line(1), line(2, **changes), line(3))).items
    assert isinstance(bad, Rejected)
    assert bad.reason == reason
    assert isinstance(first, Record)
    assert isinstance(last, Record)


def test_a_rejected_record_is_known_by_its_id_where_it_has_one() -> None:
    assert only(severity=9) == Rejected("severity", record_id(1))
    assert only(classification="a") == Rejected("classification", record_id(1))
    assert only(id="'; DROP TABLE record") == Rejected("record-id", "")


@pytest.mark.parametrize(
    "changes",
    [
        {"created_us": 0},
        {"created_us": CREATED_US_END - 1},
        {"classification": "/".join(["~" * 40, "!" * 40, "..." + "x" * 37])},
        {"payload": ""},
        {"payload": "x" * 65_536},
        {"payload": "\U0001f600" * 16_384},
        {"payload": None, "payload_base64": base64.b64encode(b"\0" * 65_536).decode()},
        {"payload": "'; DROP TABLE record; --"},
        {"payload_version": 2**32 - 1},
        {"facts": {"arch": "ü" * 128}},
        {"facts": {}},
        {"attributes": {"17": base64.b64encode(bytes(4_092)).decode()}},
        {"event_id": "0" * 32},
        {"id": record_id(1).upper()},
    ],
)
def test_what_is_just_within_the_rules_is_accepted(changes: dict[str, Any]) -> None:
    accepted(**changes)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b"{}",
        b"\xef\xbb\xbf" + batch(1),
        ndjson(line(1)),
        ndjson(line(1), host_line()),
        ndjson(line(1, severity=9), host_line()),
        ndjson(host_line(), line(1)) + b"\n",
        ndjson(host_line()) + b"\n" + ndjson(line(1)),
        ndjson(host_line(), line(1)) + b"garbage",
        ndjson(host_line(), line(1)) + b"[1]",
        ndjson(host_line(), line(1)) + b'{"id": "x"',
        ndjson(host_line(), line(1)) + b'{"severity": "x", garbage',
        ndjson(host_line()) + json.dumps(line(1, payload="PAYLOAD")).encode().replace(b"PAYLOAD", b"\xff\xfe"),
        ndjson(host_line()) + json.dumps(line(1, payload="PAYLOAD")).encode().replace(b"PAYLOAD", b"\\ud800"),
        ndjson(host_line()) + json.dumps(line(1, payload="PAYLOAD")).encode().replace(b"PAYLOAD", b"a\x00b"),
        ndjson(host_line()) + b'{"a": ' + b"[" * 100_000,
        ndjson({**host_line(), **line(1)}),
        ndjson({"host": None}, line(1)),
        ndjson({"host": "x"}, line(1)),
        ndjson({"host": {"arch": "x86_64"}}, line(1)),
        ndjson(host_line("x" * 32), line(1)),
        ndjson(host_line("ab " * 10 + "ab"), line(1)),
        ndjson(host_line("ab"), line(1)),
        ndjson(host_line(arch="a\x1bb"), line(1)),
        ndjson(host_line(arch="x" * 257), line(1)),
    ],
)
def test_what_is_no_batch_is_no_batch_as_a_whole(body: bytes) -> None:
    with pytest.raises(NotBatch) as caught:
        read_batch(body)
    assert "DROP" not in str(caught.value)


def test_the_reason_says_which_line_and_quotes_nothing() -> None:
    with pytest.raises(NotBatch, match=r"^line 3 is not a JSON object$"):
        read_batch(ndjson(host_line(), line(1)) + b"secret\n")


def test_a_thousand_records_are_a_batch_and_one_more_is_not() -> None:
    assert len(read_batch(batch(*range(1, 1001))).items) == 1000
    with pytest.raises(TooMany):
        read_batch(batch(*range(1, 1002)))
    with pytest.raises(TooMany):
        read_batch(ndjson(host_line(), *(line(number, severity=9) for number in range(1, 1002))))


def test_lines_are_counted_before_they_are_split() -> None:
    with pytest.raises(TooMany):
        read_batch(b"\n" * 16_000_000)
    with pytest.raises(TooMany):
        read_batch(ndjson(host_line()) * 2001)


def test_a_batch_of_a_host_alone_is_empty() -> None:
    assert read_batch(ndjson(host_line())).items == []


def test_damaged_bodies_never_do_anything_but_be_refused() -> None:
    dice = random.Random(5)
    good = ndjson(host_line(), line(1, facts={"arch": "a"}, attributes={"17": "AAE="}), line(2, payload="ü" * 20))
    for _ in range(5000):
        bad = bytearray(good)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(bad))
            match dice.randrange(3):
                case 0:
                    bad[at] = dice.randrange(256)
                case 1:
                    del bad[at : at + dice.randrange(20)]
                case _:
                    bad[at:at] = dice.choice([b"\0", b"\n", b'"', b"{", b"}", b"[", b"\\", b"-", b"9" * 30])
        try:
            items = read_batch(bytes(bad)).items
        except (NotBatch, TooMany):
            continue
        for item in items:
            assert isinstance(item, Rejected) or (1 <= item.severity <= 4 and len(item.id) == 16)
