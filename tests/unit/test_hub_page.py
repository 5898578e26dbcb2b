# SPDX-License-Identifier: Apache-2.0
"""telemhub.web.page: nothing that came from outside becomes markup, and every link leads where it says."""

from __future__ import annotations

import base64
import hashlib
import re
from urllib.parse import parse_qsl, urlsplit

from elements import Elements

from telemhub.query import Cursor, Query, read_query
from telemhub.store import Page, Stats, StoredRecord
from telemhub.web.document import CONTENT_SECURITY_POLICY
from telemhub.web.page import record_page

NOW_US = 1_760_000_000_000_000
NASTY = "</td><script>alert(1)</script>\"'&<img src=x onerror=y>"
ELEMENTS = set(
    "html head meta title style body main header h1 a p form input select option button div table thead tbody tr th td "
    "time code span nav br".split()
)


def stored(
    payload: str | bytes = "hello\n", classification: str = "org.test/hub/record", severity: int = 1
) -> StoredRecord:
    return StoredRecord(
        1,
        b"\1" * 16,
        bytes(16),
        NOW_US,
        NOW_US,
        b"\xab" * 16,
        classification,
        severity,
        1,
        0,
        payload,
        "{}",
        None,
        None,
    )


def page(*records: StoredRecord, query: Query = Query(), notice: str = "", more: Cursor | None = None) -> str:  # noqa: B008
    stats = Stats(len(records), 1, NOW_US, [], []) if records else Stats(0, 0, None, [], [])
    return record_page(Page(list(records), more), stats, query, notice, NOW_US + 120_000_000)


def test_outside_text_is_never_markup() -> None:
    text = page(
        stored(NASTY),
        stored(classification=NASTY),
        query=Query(classification=NASTY),
        notice=NASTY,
        more=Cursor(1, 2, 3),
    )
    found = Elements(text)
    assert found.names <= ELEMENTS
    assert not any(name.startswith("on") or name in {"src", "style"} for name in found.attributes)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert all(link.startswith("/") and not link.startswith("//") for link in found.links)


def test_the_policy_allows_the_style_and_nothing_else() -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", page(stored()), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in CONTENT_SECURITY_POLICY
    assert "default-src 'none'" in CONTENT_SECURITY_POLICY
    assert "script-src" not in CONTENT_SECURITY_POLICY


def test_a_row_shows_how_a_payload_begins() -> None:
    assert '>first <span class="soft">second third</span><' in page(stored("\n\n first\n  second\n\nthird\n"))
    assert ">only<" in page(stored("only\n"))
    assert '>a <span class="soft">…</span><' in page(stored("a" + "\n" * 1000 + "b"))
    assert f'>{"x" * 150} <span class="soft">{"y" * 10}…</span><' in page(stored("x" * 150 + "\n" + "y" * 1000))
    assert "x" * 160 + "…" in page(stored("x" * 1000))
    assert "1,000 bytes of text" in page(stored(bytes(1000)))
    assert page(stored(""))
    assert ">critical<" in page(stored(severity=4))


def test_a_row_of_a_probe_of_ours_says_what_happened() -> None:
    unit = '{"kind": "unit-failed", "unit": "a<b>.service", "result": "timeout"}\nMESSAGE=x'
    assert '>a&lt;b&gt;.service failed <span class="soft">timeout</span><' in page(
        stored(unit, "org.clearlinux/journal/error")
    )
    assert ">{&quot;kind&quot;" in page(stored(unit, "org.example/journal/error"))
    assert ">{&quot;kind&quot;" in page(stored(unit.replace("unit-failed", "else"), "org.clearlinux/journal/error"))


def test_the_time_leads_to_the_record() -> None:
    assert f"/record/{'01' * 16}" in Elements(page(stored())).links


def test_links_keep_the_filters() -> None:
    query = Query("org.test/*", 2, b"\xab" * 16, since_us=-5, until_us=6, cursor=Cursor(1, 2, 3))
    more = Cursor(4, 5, 6)
    links = Elements(page(stored(), query=query, more=more)).links
    newest, older = links[-2:]
    assert read_query(parse_qsl(urlsplit(newest).query)) == query._replace(cursor=None)
    assert read_query(parse_qsl(urlsplit(older).query)) == query._replace(cursor=more)


def test_nothing_to_show_says_what_to_do() -> None:
    assert "telemctl opt-in" in page()
    none_matches = record_page(Page([], None), Stats(5, 1, NOW_US, [], []), Query(), "", NOW_US)
    assert "No record matches" in none_matches


def test_times_are_told_plainly() -> None:
    assert "the last received 2 min ago" in page(stored())
    assert "1 record from 1 machine," in page(stored())
    far = record_page(Page([stored()], None), Stats(2, 2, NOW_US, [], []), Query(), "", NOW_US + 3 * 86_400_000_000)
    assert "3 d ago" in far
    assert "2025-10-09 08:53" in far
