# SPDX-License-Identifier: Apache-2.0
"""telemhub over HTTP: what each request is answered with, by a real process."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest
import zstandard
from hubbatch import CREATED_US, MACHINE, OTHER_MACHINE, batch, host_line, line, ndjson, record_id
from hubprocess import TIMEOUT_S, HubClient, HubProcess, hub_at, request_head

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """For tests that store nothing, or look at records of their own alone."""
    with hub_at(tmp_path_factory.mktemp("shared") / "hub") as hub:
        yield hub


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    with hub_at(tmp_path_factory.mktemp("own") / "hub") as one:
        yield one


def test_every_record_gets_its_verdict(hub: HubProcess) -> None:
    body = ndjson(host_line(), line(1), line(2, severity=9), line(1), line(3, payload="a\0b"), line(4))
    answer = hub.post(body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "accepted": 2,
        "duplicate": 1,
        "rejected": 2,
        "verdicts": ["accepted", "rejected: severity", "duplicate", "rejected: malformed", "accepted"],
    }
    assert hub.post(batch(1, 4, 5)).json()["verdicts"] == ["duplicate", "duplicate", "accepted"]
    assert [record["id"] for record in hub.records()] == [record_id(number) for number in (5, 4, 1)]


def test_a_record_is_shown_as_it_was_sent(hub: HubProcess) -> None:
    sql = "'); DROP TABLE record; --"
    body = ndjson(
        host_line(cpu_model=sql),
        line(1, payload=sql, facts={"build": "13"}, attributes={"17": "AAE="}),
        line(2, payload=None, payload_base64="AP8=", payload_kind="json-zstd"),
    )
    assert hub.post(body).json()["accepted"] == 2
    second, first = hub.records()
    received_us = first.pop("received_us")
    assert received_us > CREATED_US
    assert first == {
        "id": record_id(1),
        "event_id": f"{1:032x}",
        "machine_id": MACHINE,
        "created_us": CREATED_US + 1,
        "classification": "org.test/hub/record",
        "severity": 1,
        "payload_version": 1,
        "payload_kind": "text",
        "payload": sql,
        "facts": {"arch": "x86_64", "build": "13", "cpu_model": sql},
        "attributes": {"17": "AAE="},
    }
    assert second["payload_base64"] == "AP8="
    assert "payload" not in second
    assert hub.get("/api/v1/records", classification=sql).json() == {"records": [], "next": None}
    assert hub.get("/api/v1/records", id=sql).status_code == 400
    assert len(hub.records()) == 2


@pytest.mark.parametrize("encoding", ["", "identity", "gzip", "zstd", "ZSTD"])
def test_every_encoding_is_read(shared: HubProcess, encoding: str) -> None:
    number = 1000 + len(encoding) + encoding.isupper()
    body = batch(number)
    packed = {"gzip": gzip.compress(body), "zstd": zstandard.compress(body)}.get(encoding.lower(), body)
    answer = shared.post(packed, encoding, "Application/X-NDJSON; charset=utf-8")
    assert answer.status_code == 200, answer.text
    assert len(shared.records(id=record_id(number))) == 1


@pytest.mark.parametrize(
    ("status", "body", "encoding", "content_type"),
    [
        (415, batch(1), "", "application/json"),
        (415, batch(1), "", ""),
        (415, batch(1), "br", "application/x-ndjson"),
        (415, gzip.compress(gzip.compress(batch(1))), "gzip, gzip", "application/x-ndjson"),
        (400, b"", "", "application/x-ndjson"),
        (400, batch(1), "gzip", "application/x-ndjson"),
        (400, zstandard.compress(batch(1))[:-3], "zstd", "application/x-ndjson"),
        (400, b"not json", "", "application/x-ndjson"),
        (400, ndjson(line(1)), "", "application/x-ndjson"),
        (400, batch(1) + b"\xff\xfe\n", "", "application/x-ndjson"),
        (400, batch(1) + b'{"id": "\xff"}', "", "application/x-ndjson"),
        (413, batch(*range(1, 1002)), "", "application/x-ndjson"),
        (413, batch(1) + b" " * 17 * MIB, "", "application/x-ndjson"),
        (413, zstandard.compress(batch(1) + os.urandom(17 * MIB)), "zstd", "application/x-ndjson"),
        (413, gzip.compress(bytes(100 * MIB)), "gzip", "application/x-ndjson"),
        (413, zstandard.compress(bytes(1000 * MIB)), "zstd", "application/x-ndjson"),
        (413, b"\n" * 16 * MIB, "", "application/x-ndjson"),
    ],
)
def test_what_is_no_batch_is_refused_and_nothing_of_it_stored(
    shared: HubProcess, status: int, body: bytes, encoding: str, content_type: str
) -> None:
    answer = shared.post(body, encoding, content_type)
    assert answer.status_code == status, answer.text
    assert list(answer.json()) == ["message"]
    assert shared.records(id=record_id(1)) == []


def test_a_body_without_a_length_is_limited_too(shared: HubProcess) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(17):
            yield b" " * MIB

    answer = shared.request("POST", "/v1/records", data=pieces(), headers={"Content-Type": "application/x-ndjson"})
    assert answer.status_code == 413


def test_the_largest_batch_there_may_be_is_taken(hub: HubProcess) -> None:
    body = ndjson(host_line(), *(line(number, payload="x" * 16_400) for number in range(1, 1001)))
    assert 15.8 * MIB < len(body) <= 16 * MIB
    assert hub.post(body).json()["accepted"] == 1000
    assert len(hub.records(limit=1000)) == 1000


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/api/v1/records/", 404),
        ("GET", "/v1/records", 405),
        ("PUT", "/v1/records", 405),
        ("POST", "/api/v1/records", 405),
        ("DELETE", "/", 405),
        ("GET", "/api/v1/records?limit=1001", 400),
        ("GET", "/api/v1/records?limit=5&limit=6", 400),
        ("GET", "/api/v1/records?clasification=x", 400),
        ("GET", "/api/v1/records?cursor=AAAA", 400),
        ("GET", "/api/v1/records?since=%00", 400),
        ("GET", "/?" + "x" * 5000, 414),
    ],
)
def test_what_cannot_be_answered_is_said_in_json(shared: HubProcess, method: str, path: str, status: int) -> None:
    answer = shared.request(method, path)
    assert answer.status_code == status
    assert isinstance(answer.json()["message"], str)
    if status == 405:
        assert answer.headers["allow"]


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/v1/stats", "/api/v1/records"])
def test_head_is_get_without_the_body(shared: HubProcess, path: str) -> None:
    answer = shared.request("HEAD", path)
    assert answer.status_code == 200
    assert answer.content == b""
    assert int(answer.headers["content-length"]) > 0


def test_health_and_totals(hub: HubProcess) -> None:
    assert hub.get("/healthz").json() == {"status": "ok"}
    assert hub.get("/api/v1/stats").json()["records"] == 0
    hub.post(ndjson(host_line(), line(1), line(2), host_line(OTHER_MACHINE), line(3, classification="org.test/a/b")))
    stats = hub.get("/api/v1/stats").json()
    assert (stats["records"], stats["machines"]) == (3, 2)
    assert stats["newest_received_us"] > CREATED_US
    assert stats["classifications"][0] == {"classification": "org.test/hub/record", "records": 2}
    assert stats["top_machines"][1] == {"machine_id": OTHER_MACHINE, "records": 1}


def test_pages_under_load_show_what_there_was_once(hub: HubProcess) -> None:
    for first in range(1, 2001, 500):
        hub.post(batch(*range(first, first + 500)))
    done = threading.Event()
    added = threading.Event()

    def keep_adding() -> None:
        number = 10_000
        with HubClient(hub.url) as client:
            while not done.is_set():
                # Newer than all that is being read, and in the middle of it.
                body = ndjson(host_line(), *(line(number + i, created_us=CREATED_US + i * 100) for i in range(50)))
                assert client.post(body).status_code == 200
                number += 50
                added.set()

    thread = threading.Thread(target=keep_adding)
    thread.start()
    try:
        assert added.wait(TIMEOUT_S)
        before = {record["id"] for record in hub.records(limit=1000)}
        seen = [record["id"] for record in hub.records(limit=37)]
    finally:
        done.set()
        thread.join(TIMEOUT_S)
    assert len(seen) == len(set(seen))
    assert before <= set(seen)
    assert {record_id(number) for number in range(1, 2001)} <= before


def test_the_page_shows_records_and_runs_nothing(hub: HubProcess) -> None:
    assert "Nothing has arrived yet" in hub.get("/").text
    hub.post(ndjson(host_line(), line(1, payload="<script>alert(1)</script>\nsecond", severity=4)))
    answer = hub.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "<script" not in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "No record matches" in hub.get("/", severity="1").text
    wrong = hub.get("/", severity="9")
    assert wrong.status_code == 400
    assert "severity is a number from 1 to 4" in wrong.text


def test_a_record_has_a_page_of_its_own(hub: HubProcess) -> None:
    unit = '{"kind": "unit-failed", "unit": "a.service", "result": "timeout"}\nMESSAGE=<b>\n'
    failed = line(1, payload=unit, classification="org.clearlinux/journal/error")
    binary = line(2, payload=None, payload_base64="AP8=", payload_kind="json-zstd")
    assert hub.post(ndjson(host_line(), failed, binary)).json()["accepted"] == 2
    listed = hub.get("/").text
    assert 'a.service failed <span class="soft">timeout</span>' in listed and "unit-failed" not in listed
    assert f'href="/record/{record_id(1)}"' in listed
    answer = hub.get(f"/record/{record_id(1)}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "MESSAGE=&lt;b&gt;\n</pre>" in answer.text and "unit-failed" in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "2 bytes that are no text" in hub.get(f"/record/{record_id(2)}").text
    missing = hub.get(f"/record/{record_id(3)}")
    assert (missing.status_code, "There is no such record" in missing.text) == (404, True)
    wrong = hub.get("/record/nonsense")
    assert (wrong.status_code, wrong.json()["message"]) == (400, "record is 32 hexadecimal digits")


def test_somebody_elses_name_for_loopback_is_not_served(shared: HubProcess) -> None:
    for name, status in (
        (f"127.0.0.1:{shared.port}", 200),
        (f"LocalHost:{shared.port}", 200),
        ("localhost", 200),
        ("[::1]:80", 200),
        ("attacker.example", 421),
        (f"127.0.0.1.attacker.example:{shared.port}", 421),
        ("", 421),
    ):
        assert shared.request("GET", "/api/v1/stats", headers={"Host": name}).status_code == status, name


def test_further_names_can_be_allowed(tmp_path_factory: pytest.TempPathFactory) -> None:
    with hub_at(tmp_path_factory.mktemp("named") / "hub", "--allow-host", "Hub.Example") as one:
        assert one.request("GET", "/healthz", headers={"Host": "hub.example"}).status_code == 200
        assert one.request("GET", "/healthz", headers={"Host": "other.example"}).status_code == 421


def test_a_connection_is_kept_for_many_batches(shared: HubProcess) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), TIMEOUT_S) as connection:
        answers = connection.makefile("rb")
        for number in (2001, 2002, 2003):
            body = batch(number)
            connection.sendall(request_head(len(body)) + body)
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
            length = 0
            while (field := answers.readline()) != b"\r\n":
                name, _, value = field.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            assert json.loads(answers.read(length))["accepted"] == 1
