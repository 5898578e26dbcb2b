# SPDX-License-Identifier: Apache-2.0
"""The page at `/`: the latest records, for a person with a browser.

Values in, HTML out. Everything that came from outside goes through _text(); there is no script, and the policy
below forbids one.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta, timezone
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from telemhub.records import PAYLOAD_KINDS

if TYPE_CHECKING:
    from telemhub.query import Query
    from telemhub.store import Page, Stats, StoredRecord

PAGE_RECORDS: Final = 50
LINE_MAX: Final = 160
"""Characters of a payload that are shown, all its lines on one."""

SEVERITIES: Final = {1: "low", 2: "medium", 3: "high", 4: "critical"}

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5d6673; --line: #e3e6ea; --back: #f6f7f9; --card: #fff;
  --link: #0b57b0; --low: #6b7785; --medium: #8a6100; --high: #b34700; --critical: #b3152b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b1; --line: #2a3037; --back: #121519;
  --card: #191d23; --link: #7db4ff; --low: #98a3b0; --medium: #e0b04a; --high: #ff9552; --critical: #ff7585; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { margin: 0; font-size: 1.35rem; letter-spacing: -.01em; }
h1 a { color: inherit; text-decoration: none; }
header { display: flex; flex-wrap: wrap; gap: .4rem 1.5rem; align-items: baseline; margin-bottom: 1.25rem; }
header p { margin: 0; color: var(--soft); }
form { display: flex; flex-wrap: wrap; gap: .5rem; margin-bottom: 1.25rem; }
input, select, button { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .4rem .7rem; }
input { flex: 1 1 14rem; min-width: 0; }
button { cursor: pointer; font-weight: 600; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 1px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-size: .78rem; font-weight: 600; color: var(--soft); }
th, td { padding: .55rem .9rem; border-bottom: 1px solid var(--line); vertical-align: baseline; white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
td.line { white-space: normal; overflow-wrap: anywhere; min-width: 16rem; }
code, time, td.line { font: .86em/1.6 ui-monospace, monospace; }
a { color: var(--link); text-decoration: none; }
a:hover { text-decoration: underline; }
.low { color: var(--low); } .medium { color: var(--medium); }
.high { color: var(--high); font-weight: 600; } .critical { color: var(--critical); font-weight: 700; }
.soft, .empty { color: var(--soft); }
.empty { padding: 3rem 1.5rem; text-align: center; }
.notice { border-left: 3px solid var(--critical); padding: .5rem .9rem; background: var(--card); }
nav { display: flex; gap: 1.25rem; margin-top: 1rem; }
@media (max-width: 46rem) { thead { display: none; }
  tr { display: flex; flex-wrap: wrap; gap: .1rem .9rem; padding: .6rem .9rem; border-bottom: 1px solid var(--line); }
  tr:last-child { border-bottom: 0; } td { padding: 0; border: 0; } td.line { flex-basis: 100%; min-width: 0; } }
"""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def record_page(page: Page, stats: Stats, query: Query, notice: str, now_us: int) -> str:
    """The whole document. notice: what was wrong with the question, or ""."""
    rows = "".join(_row(record, now_us) for record in page.records)
    shown = f"{_TABLE_HEAD}{rows}</tbody></table>" if rows else _empty(stats)
    complaint = f'<p class="notice" role="alert">{_text(notice)}</p>' if notice else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>telemhub</title><style>{_STYLE}</style></head><body><main>"
        f'<header><h1><a href="/">telemhub</a></h1><p>{_summary(stats, now_us)}</p></header>'
        f'{_form(query)}{complaint}<div class="card">{shown}</div>{_navigation(page, query)}</main></body></html>'
    )


_TABLE_HEAD: Final = (
    '<table><thead><tr><th scope="col">Time</th><th scope="col">Machine</th><th scope="col">Classification</th>'
    '<th scope="col">Severity</th><th scope="col">Payload</th></tr></thead><tbody>'
)


def _text(text: str) -> str:
    """Outside text as HTML, in an element or a quoted attribute."""
    return escape(text, quote=True)


def _row(record: StoredRecord, now_us: int) -> str:
    machine, severity = record.machine_id.hex(), SEVERITIES[record.severity]
    when = _time(record.created_us)
    return (
        f'<tr><td><time datetime="{when.isoformat()}" title="{when:%Y-%m-%d %H:%M:%S} UTC">'
        f"{_moment(when, now_us)}</time></td>"
        f'<td><a href="{_link(machine=machine)}" title="{machine}"><code>{machine[:8]}</code></a></td>'
        f'<td><a href="{_link(classification=record.classification)}">{_text(record.classification)}</a></td>'
        f'<td class="{severity}">{severity}</td>'
        f'<td class="line">{_beginning(record)}</td></tr>'
    )


def _beginning(record: StoredRecord) -> str:
    payload = record.payload
    if not isinstance(payload, str):
        return f'<span class="soft">{len(payload):,} bytes of {PAYLOAD_KINDS[record.payload_kind]}</span>'
    # Twice as much is looked at, for the blanks that fall away. The first line often says all, so it stands out.
    start = payload.lstrip()[: 2 * LINE_MAX + 1]
    first, *more = start.splitlines() or [""]
    if len(first) > LINE_MAX:
        return _text(first[:LINE_MAX] + "…")
    rest = " ".join(" ".join(more).split())
    room = LINE_MAX - len(first)
    if len(rest) > room or len(start) > 2 * LINE_MAX:
        rest = rest[:room] + "…"
    return _text(first) + (f' <span class="soft">{_text(rest)}</span>' if rest else "")


def _summary(stats: Stats, now_us: int) -> str:
    if stats.newest_us is None:
        return "No records yet"
    records = f"{stats.records:,} record{'s' if stats.records != 1 else ''}"
    machines = f"{stats.machines:,} machine{'s' if stats.machines != 1 else ''}"
    return f"{records} from {machines}, the last received {_ago(now_us - stats.newest_us)}"


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
        f'placeholder="Classification, as in org.clearlinux/*" value="{_text(query.classification)}">'
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
    return _text(f"/?{encoded}" if encoded else "/")


def _time(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)


def _moment(when: datetime, now_us: int) -> str:
    """The time of today, the date with it otherwise."""
    today = when.date() == _time(now_us).date()
    return f"{when:%H:%M:%S}" if today else f"{when:%Y-%m-%d %H:%M}"


def _ago(us: int) -> str:
    for unit_us, name in ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min")):
        if us >= unit_us:
            return f"{us // unit_us} {name} ago"
    return "just now"
