# SPDX-License-Identifier: Apache-2.0
"""telemhub.web.recordpage: the payload as it was sent, and nothing that came from outside becomes markup."""

from __future__ import annotations

import html
import json

import pytest
from elements import Elements

from telemhub.store import StoredRecord
from telemhub.web.recordpage import missing_page, one_page

NOW_US = 1_760_000_000_000_000
NASTY = "</pre></td><script>alert(1)</script>\"'&<img src=x onerror=y>"
ELEMENTS = set(
    "html head meta title style body main header h1 h2 a p div table tbody tr th td time code span pre".split()
)


def stored(payload: str | bytes, classification: str = "org.test/hub/record", **facts: str) -> StoredRecord:
    return StoredRecord(
        1, b"\1" * 16, b"\2" * 16, NOW_US, NOW_US + 5_000_000, b"\xab" * 16, classification, 4, 1, 0, payload,
        json.dumps({"arch": "x86_64", "build": "12"}), json.dumps(facts) if facts else None, None,
    )  # fmt: skip


@pytest.mark.parametrize("payload", ["hello\n", "\n\n two\n", NASTY, "x" * 65_536, '{"a": [1,\n2]}\ntext'])
def test_the_payload_is_there_whole(payload: str) -> None:
    found = Elements(one_page(stored(payload)))
    assert found.raw.removeprefix("\n") == payload  # a browser drops a newline behind <pre>
    assert found.raw.startswith("\n")


def test_outside_text_is_never_markup() -> None:
    unit = json.dumps({"kind": "unit-failed", "unit": NASTY})
    for record in (stored(NASTY, NASTY, build=NASTY), stored(unit, "org.clearlinux/journal/error")):
        text = one_page(record)
        found = Elements(text)
        assert found.names <= ELEMENTS
        assert not any(name.startswith("on") or name in {"src", "style"} for name in found.attributes)
        assert "<script" not in text
        assert all(link.startswith("/") and not link.startswith("//") for link in found.links)


def test_what_is_known_of_it() -> None:
    text = one_page(stored("x", build="13"))
    assert "2025-10-09 08:53:20 UTC" in text and "2025-10-09 08:53:25 UTC" in text
    assert ">critical<" in text and "x86_64" in text
    assert ">13<" in text and ">12<" not in text
    assert f'href="/?event={"02" * 16}"' in text


def test_a_headline_stands_above() -> None:
    unit = json.dumps({"kind": "unit-failed", "unit": "a.service", "result": "timeout"})
    text = one_page(stored(unit, "org.clearlinux/journal/error"))
    assert '<h2 class="said">a.service failed <span class="soft">timeout</span></h2>' in text
    assert html.escape(unit) in text
    assert "<h2" not in one_page(stored(unit, "org.test/journal/error"))


def test_bytes_are_had_elsewhere() -> None:
    text = one_page(stored(b"\xff" * 1000))
    assert "1,000 bytes that are no text" in text
    assert f'href="/api/v1/records?id={"01" * 16}"' in text


def test_one_that_is_not_there() -> None:
    assert "There is no such record" in missing_page()
