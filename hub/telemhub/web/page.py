# SPDX-License-Identifier: Apache-2.0
"""The page at `/`: the latest records, for a person with a browser.

Values in, HTML out. Everything that came from outside goes through text(); there is no script, and document's
policy forbids one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from telemhub.headline import headline
from telemhub.records import METRIC, PAYLOAD_KINDS
from telemhub.web.document import SEVERITIES, ago, document, text, time_of

if TYPE_CHECKING:
    from datetime import datetime

    from telemhub.query import Query
    from telemhub.store import Page, Stats, StoredRecord

PAGE_RECORDS: Final = 50
LINE_MAX: Final = 160
"""Characters of a payload that are shown, all its lines on one, where it has no headline."""


def record_page(page: Page, stats: Stats, query: Query, notice: str, now_us: int) -> str:
    """The whole document. notice: what was wrong with the question, or ""."""
    rows = "".join(_row(record, now_us) for record in page.records)
    shown = f"{_TABLE_HEAD}{rows}</tbody></table>" if rows else _empty(stats)
    complaint = f'<p class="notice" role="alert">{text(notice)}</p>' if notice else ""
    body = f'{_form(query)}{complaint}<div class="card">{shown}</div>{_navigation(page, query)}'
    return document(_summary(stats, now_us), body)


_TABLE_HEAD: Final = (
    '<table><thead><tr><th scope="col">Time</th><th scope="col">Machine</th><th scope="col">Classification</th>'
    '<th scope="col">Severity</th><th scope="col">Payload</th></tr></thead><tbody>'
)


def _row(record: StoredRecord, now_us: int) -> str:
    machine, severity = record.machine_id.hex(), SEVERITIES[record.severity]
    when = time_of(record.created_us)
    return (
        f'<tr><td><a href="/record/{record.id.hex()}">'
        f'<time datetime="{when.isoformat()}" title="{when:%Y-%m-%d %H:%M:%S} UTC">'
        f"{_moment(when, now_us)}</time></a></td>"
        f'<td><a href="{_link(machine=machine)}" title="{machine}"><code>{machine[:8]}</code></a></td>'
        f'<td><a href="{_link(classification=record.classification)}">{text(record.classification)}</a></td>'
        f'<td class="{severity}">{severity}</td>'
        f'<td class="line">{_beginning(record)}</td></tr>'
    )


def _beginning(record: StoredRecord) -> str:
    payload = record.payload
    if not isinstance(payload, str):
        size = f"{len(payload):,} bytes of {PAYLOAD_KINDS[record.payload_kind]}"
        if record.payload_kind == METRIC:
            return f'<a href="/machine/{record.machine_id.hex()}">{size}</a>'
        return f'<span class="soft">{size}</span>'
    if (said := headline(record.classification, payload)) is not None:
        return text(said.what) + (f' <span class="soft">{text(said.why)}</span>' if said.why else "")
    # Twice as much is looked at, for the blanks that fall away. The first line often says all, so it stands out.
    start = payload.lstrip()[: 2 * LINE_MAX + 1]
    first, *more = start.splitlines() or [""]
    if len(first) > LINE_MAX:
        return text(first[:LINE_MAX] + "…")
    rest = " ".join(" ".join(more).split())
    room = LINE_MAX - len(first)
    if len(rest) > room or len(start) > 2 * LINE_MAX:
        rest = rest[:room] + "…"
    return text(first) + (f' <span class="soft">{text(rest)}</span>' if rest else "")


def _summary(stats: Stats, now_us: int) -> str:
    if stats.newest_us is None:
        return "No records yet"
    records = f"{stats.records:,} record{'s' if stats.records != 1 else ''}"
    machines = f"{stats.machines:,} machine{'s' if stats.machines != 1 else ''}"
    return f"{records} from {machines}, the last received {ago(now_us - stats.newest_us)}"


def _empty(stats: Stats) -> str:
    if stats.records:
        return '<p class="empty">No record matches. <a href="/">Show all</a></p>'
    return (
        '<p class="empty">Nothing has arrived yet.<br>Name this hub as <code>server</code> in telemetrics.conf, '
        "run <code>telemctl opt-in</code> and send a first record with <code>hprobe</code>.</p>"
    )


def _form(query: Query) -> str:
    options = "".join(
        f'<option value="{number}"{" selected" if query.severity == number else ""}>{name}</option>'
        for number, name in SEVERITIES.items()
    )
    machine = query.machine.hex() if query.machine else ""
    return (
        '<form method="get" action="/"><input name="classification" aria-label="Classification" '
        f'placeholder="Classification, as in org.clearlinux/*" value="{text(query.classification)}">'
        f'<input name="machine" aria-label="Machine" placeholder="Machine id" value="{machine}">'
        f'<select name="severity" aria-label="Severity"><option value="">any severity</option>{options}</select>'
        "<button>Filter</button></form>"
    )


def _navigation(page: Page, query: Query) -> str:
    links = [f'<a href="{_link(query)}">Newest</a>'] if query.cursor else []
    if page.next:
        links.append(f'<a rel="next" href="{_link(query, cursor=page.next.text())}">Older</a>')
    return f"<nav>{''.join(links)}</nav>" if links else ""


def _link(query: Query | None = None, **more: str) -> str:
    """The page with the filters of query, and more."""
    parameters: dict[str, str] = {}
    if query is not None:
        ids = {"machine": query.machine, "event": query.event, "id": query.id}
        numbers = {"severity": query.severity, "since": query.since_us, "until": query.until_us}
        parameters["classification"] = query.classification
        parameters.update({name: value.hex() for name, value in ids.items() if value})
        parameters.update({name: str(value) for name, value in numbers.items() if value is not None})
    parameters.update(more)
    encoded = urlencode({name: value for name, value in parameters.items() if value})
    return text(f"/?{encoded}" if encoded else "/")


def _moment(when: datetime, now_us: int) -> str:
    """The time of today, the date with it otherwise."""
    today = when.date() == time_of(now_us).date()
    return f"{when:%H:%M:%S}" if today else f"{when:%Y-%m-%d %H:%M}"
