# SPDX-License-Identifier: Apache-2.0
"""telemd.answers: every kind of answer, what it does to a batch and to one record, and that docs/answers.md says so.

No network. `python tests/unit/test_answers.py` writes the tables of docs/answers.md anew.
"""

from __future__ import annotations

import json
from email.utils import formatdate
from pathlib import Path

import pytest

from telemd import answerrules, answers
from telemd import courierframes as frames
from telemd.answers import Halve, Outcome, read_answer, read_receipt, read_retry_after, shown_server

NOW_S = 1_800_000_000.25
SERVER = "https://hub.example"
HUB_REFUSAL = b'{"message": "line 3 is not JSON"}'
PAGE = Path(__file__).parents[2] / "docs" / "answers.md"


def read(status: int, body: bytes = b"", count: int = 3, headers: dict[str, str] | None = None) -> Outcome | Halve:
    return read_answer(status, headers or {}, body, count, NOW_S, SERVER)


def outcome(status: int, body: bytes = b"", count: int = 3, headers: dict[str, str] | None = None) -> Outcome:
    answer = read(status, body, count, headers)
    assert isinstance(answer, Outcome)
    assert len(answer.verdicts) == count
    return answer


def hub_answer(*verdicts: str, **totals: object) -> bytes:
    counts = {
        "accepted": verdicts.count("accepted"),
        "duplicate": verdicts.count("duplicate"),
        "rejected": sum(1 for verdict in verdicts if verdict.startswith("rejected")),
    }
    return json.dumps({**counts, "verdicts": verdicts, **totals}).encode()


@pytest.mark.parametrize("status", [200, 201, 202])
def test_verdicts_are_passed_on_one_by_one(status: int) -> None:
    answer = outcome(status, hub_answer("accepted", "duplicate", "rejected: severity", "accepted"), 4)
    assert answer.verdicts == [(0, 0), (1, 0), (2, frames.REASON_INVALID), (0, 0)]
    assert answer.retry_after_s == 0
    assert answer.text == f"{SERVER} rejected 1 of 4 records for good (severity): the hub's log says which and why"


def test_all_well_says_nothing() -> None:
    assert outcome(200, hub_answer("accepted", "duplicate"), 2).text == ""


@pytest.mark.parametrize("words", ["a\x1b[2J", "x" * 61, "pass=hunter2", "<script>", "line\nline", "été", ""])
def test_words_of_the_hub_that_could_carry_something_are_left_out(words: str) -> None:
    text = outcome(200, hub_answer(f"rejected: {words}"), 1).text
    assert text == f"{SERVER} rejected 1 of 1 records for good: the hub's log says which and why"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"OK",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"null",
        b"[]",
        b"{}",
        b'{"verdicts": 3}',
        b'{"verdicts": {"0": "accepted"}}',
        hub_answer(),
        hub_answer("accepted", "accepted"),
        hub_answer(*["accepted"] * 4),
        hub_answer("accepted", "accepted", "stored"),
        hub_answer("accepted", "accepted", "Accepted"),
        hub_answer("accepted", "accepted", "rejectedly"),
        b'{"verdicts": ["accepted", "accepted", 1]}',
        b'{"verdicts": ["accepted", "accepted", null]}',
        hub_answer("accepted", "accepted", "accepted", accepted=2),
        hub_answer("accepted", "accepted", "duplicate", duplicate="1"),
        hub_answer("accepted", "accepted", "accepted")[:-1],
    ],
)
@pytest.mark.parametrize("status", [200, 201, 204])
def test_nonsense_is_never_a_delivery(status: int, body: bytes) -> None:
    answer = outcome(status, body)
    assert set(answer.verdicts) == {(frames.RETRY, frames.REASON_NONSENSE)}
    assert "is `server`" in answer.text


RETRIES = {
    frames.REASON_WRONG_ADDRESS: [300, 301, 302, 303, 304, 307, 308, 399, 404, 405, 410],
    frames.REASON_UNAUTHORISED: [401, 403, 407],
    frames.REASON_BUSY: [408, 425, 429, 500, 501, 502, 503, 504, 507, 599],
    frames.REASON_NONSENSE: [100, 101, 199, 402, 406, 415, 418, 431, 451, 499, 600, 999, 0, -1],
}


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("reason", "status"), [(reason, each) for reason, all_ in RETRIES.items() for each in all_])
def test_what_is_tried_again(status: int, reason: int, count: int) -> None:
    answer = outcome(status, HUB_REFUSAL, count)
    assert set(answer.verdicts) == {(frames.RETRY, reason)}
    assert str(status) in answer.text
    assert SERVER in answer.text


@pytest.mark.parametrize("status", [401, 403])
def test_a_machine_that_is_not_wanted_waits_five_minutes(status: int) -> None:
    assert outcome(status).retry_after_s == 300
    assert receipt(status).retry_after_s == 300
    assert outcome(status, headers={"retry-after": "7"}).retry_after_s == 7
    assert "enrol" in outcome(status).text


@pytest.mark.parametrize("status", [301, 404, 405])
def test_a_wrong_address_asks_for_the_setting(status: int) -> None:
    assert "`server`" in outcome(status).text


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, HUB_REFUSAL, frames.REASON_INVALID),
        (409, HUB_REFUSAL, frames.REASON_INVALID),
        (422, HUB_REFUSAL, frames.REASON_INVALID),
        (413, HUB_REFUSAL, frames.REASON_TOO_LARGE),
        (413, b"<html>413 Request Entity Too Large</html>", frames.REASON_TOO_LARGE),
    ],
)
def test_a_refusal_halves_many_and_gives_up_one(status: int, body: bytes, reason: int) -> None:
    assert isinstance(read(status, body, 2), Halve)
    answer = outcome(status, body, 1)
    assert answer.verdicts == [(frames.REJECTED, reason)]
    assert "line 3" not in answer.text


@pytest.mark.parametrize("body", [b"", b"<html>plain HTTP request was sent to HTTPS port</html>", b'{"message": 1}'])
@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("count", [1, 3])
def test_a_refusal_by_something_that_is_no_hub_gives_up_nothing(status: int, body: bytes, count: int) -> None:
    assert set(outcome(status, body, count).verdicts) == {(frames.RETRY, frames.REASON_WRONG_ADDRESS)}


def receipt(status: int, body: bytes = b"", headers: dict[str, str] | None = None, *, ended: bool = True) -> Outcome:
    answer = read_receipt(status, headers or {}, body, ended, NOW_S, SERVER)
    assert len(answer.verdicts) == 1
    return answer


@pytest.mark.parametrize("body", [b"", b"{}", b"OK", b"\xff", HUB_REFUSAL])
@pytest.mark.parametrize("status", [200, 201])
def test_a_backend_says_by_its_status_alone_that_it_has_a_record(status: int, body: bytes) -> None:
    answer = receipt(status, body, {"content-type": "application/json"})
    assert (answer.verdicts, answer.retry_after_s, answer.text) == ([(frames.DELIVERED, 0)], 0, "")


@pytest.mark.parametrize(
    ("status", "headers", "ended", "words"),
    [
        (201, {}, False, "Content-Length"),
        (200, {}, False, "Content-Length"),
        (200, {"content-type": "text/html"}, True, "login"),
        (201, {"content-type": " Text/HTML; charset=utf-8"}, True, "login"),
        (202, {}, True, "as a telemetrics-backend does"),
        (204, {}, True, "as a telemetrics-backend does"),
        (206, {}, True, "as a telemetrics-backend does"),
    ],
)
def test_what_is_no_receipt(status: int, headers: dict[str, str], ended: bool, words: str) -> None:
    answer = receipt(status, b"{}", headers, ended=ended)
    assert answer.verdicts == [(frames.RETRY, frames.REASON_NONSENSE)]
    assert words in answer.text


def test_another_telemetry_id_is_a_setting_and_costs_no_record() -> None:
    answer = receipt(400, b'{"message": "Telemetry ID mismatch"}')
    assert answer.verdicts == [(frames.RETRY, frames.REASON_SETTINGS)]
    assert answer.retry_after_s == 300
    assert "`tidheader`" in answer.text
    assert receipt(400, b'{"message": "severity value is out of range"}').verdicts == [
        (frames.REJECTED, frames.REASON_INVALID)
    ]


@pytest.mark.parametrize(("reason", "status"), [(reason, each) for reason, all_ in RETRIES.items() for each in all_])
def test_what_is_tried_again_at_a_backend_is_what_is_at_a_hub(status: int, reason: int) -> None:
    assert receipt(status, HUB_REFUSAL).verdicts == [(frames.RETRY, reason)]
    assert receipt(status, HUB_REFUSAL, ended=False).verdicts == [(frames.RETRY, reason)]


def test_the_rules_that_both_kinds_of_server_share_are_the_same() -> None:
    assert [rule.answer[:1] for rule in answerrules.RULES[:2]] == ["2", "2"]
    assert answerrules.RULES[2:] == answerrules.BACKEND_RULES[4:]
    assert all(rule.one != "halve" for rule in answerrules.BACKEND_RULES)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1", 1),
        (" 120 ", 120),
        ("3600", 3600),
        ("3601", 3600),
        ("9" * 60, 3600),
        ("9" * 5000, 0),
        ("-1", 0),
        ("1.5", 0),
        ("²", 0),
        ("soon", 0),
        ("", 0),
        (formatdate(NOW_S + 90, usegmt=True), 90),
        (formatdate(NOW_S - 90, usegmt=True), 0),
        (formatdate(NOW_S + 10**8, usegmt=True), 3600),
        ("Fri, 15 Jan 2027 08:01:00 -0000", 60),
        ("Fri, 99 Jan 2027 08:00:00 GMT", 0),
        ("Fri, 15 Jan 99999999999 08:00:00 GMT", 0),
        ("Fri, 15 Jan 2027 08:00:00 +99999999", 0),
    ],
)
def test_retry_after(value: str, seconds: int) -> None:
    assert read_retry_after(value, NOW_S) == seconds
    assert outcome(503, headers={"retry-after": value}).retry_after_s == seconds


@pytest.mark.parametrize("kind", list(answerrules.FAILURES))
def test_every_failure_keeps_the_records_and_says_what_to_do(kind: str) -> None:
    answer = answers.failed(kind, 3, SERVER, "detail")
    assert {verdict for verdict, _ in answer.verdicts} == {frames.RETRY}
    assert len(answer.verdicts) == 3
    assert "{" not in answer.text
    fact, colon, what_to_do = answer.text.rpartition(": ")
    assert fact and colon and len(what_to_do.split()) >= 3


@pytest.mark.parametrize(
    ("server", "shown"),
    [
        ("https://hub.example", "https://hub.example"),
        ("https://user:secret@hub.example:8443/path/", "https://hub.example:8443/path/"),
        ("https://hub.example/p?token=secret#secret", "https://hub.example/p"),
        ("https://hub.example?token=secret", "https://hub.example"),
        ("user:secret@hub.example", "hub.example"),
        ("https://user:sec@ret@hub.example", "https://hub.example"),
        ("https://user:sec/ret@hub.example", "https://(not shown: it has an @ behind the host name)"),
        ("https://user:sec#ret@hub.example", "https://(not shown: it has an @ behind the host name)"),
        ("https://hub\n\x1b.example", "https://hub??.example"),
        ("", ""),
        ("x" * 500, "x" * 200),
    ],
)
def test_an_address_is_shown_without_what_is_secret(server: str, shown: str) -> None:
    assert shown_server(server) == shown


def columns(rule: answerrules.Rule) -> tuple[str, str, str]:
    """Reason, wait, and the sentence."""
    wait = f"{rule.retry_after_s} s" if rule.retry_after_s else "backoff"
    if "retry" not in (rule.one, rule.many):
        wait = ""
    return frames.reason_name(rule.reason), wait, rule.sentence.format(server="*server*", status="*status*")


def tables() -> str:
    """What docs/answers.md says between its markers, made from the rules."""
    say = {
        "verdicts": "as the answer says",
        "delivered": "delivered",
        "halve": "sent again in two halves",
        "reject": "rejected for good",
        "retry": "kept, sent again",
    }
    lines = ["## A hub answers", "", "| answer | many records | one record | reason | wait | what the operator reads |"]
    lines.append("|---|---|---|---|---|---|")
    for rule in answerrules.RULES:
        reason, wait, told = columns(rule)
        lines.append(f"| {rule.answer} | {say[rule.many]} | {say[rule.one]} | {reason} | {wait} | {told} |")
    lines += [
        "",
        "## A telemetrics-backend answers",
        "",
        "| answer | the record | reason | wait | what the operator reads |",
    ]
    lines.append("|---|---|---|---|---|")
    for rule in answerrules.BACKEND_RULES:
        reason, wait, told = columns(rule)
        lines.append(f"| {rule.answer} | {say[rule.one]} | {reason} | {wait} | {told} |")
    lines += ["", "## No answer", "", "In all of these every record is kept and sent again.", ""]
    lines += ["| what happened | reason | wait | what the operator reads |", "|---|---|---|---|"]
    for failure in answerrules.FAILURES.values():
        wait = f"{failure.retry_after_s} s" if failure.retry_after_s else "backoff"
        told = failure.sentence.format(server="*server*", detail="*detail*")
        lines.append(f"| {failure.answer} | {frames.reason_name(failure.reason)} | {wait} | {told} |")
    lines += ["", "## Reasons", "", "The byte beside each verdict in a courier's frame (docs/protocol.md, section 5)."]
    lines += ["", "| number | name |", "|---|---|"]
    lines += [f"| {number} | {name} |" for number, name in enumerate(frames.REASON_NAMES)]
    return "\n".join(lines) + "\n"


MARK = "<!-- made by tests/unit/test_answers.py -->\n"


def test_the_page_says_what_the_rules_do() -> None:
    assert PAGE.read_text().partition(MARK)[2] == tables(), "run: python tests/unit/test_answers.py"


if __name__ == "__main__":
    before, mark, _ = PAGE.read_text().partition(MARK)
    PAGE.write_text(before + mark + tables())
