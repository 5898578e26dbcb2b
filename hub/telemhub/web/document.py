# SPDX-License-Identifier: Apache-2.0
"""What all pages share: the document around them, its style, the policy that forbids all else, and words for times.

Values in, HTML out. What a page shows is not known here.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime, timedelta, timezone
from html import escape
from typing import Final

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #5d6673; --line: #e3e6ea; --back: #f6f7f9; --card: #fff;
  --link: #0b57b0; --low: #6b7785; --medium: #8a6100; --high: #b34700; --critical: #b3152b;
  --c0: #2563c9; --c1: #c2570c; --c2: #15803d; --c3: #9333b8; --c4: #b8860b; --c5: #64748b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ed; --soft: #9aa4b1; --line: #2a3037; --back: #121519;
  --card: #191d23; --link: #7db4ff; --low: #98a3b0; --medium: #e0b04a; --high: #ff9552; --critical: #ff7585;
  --c0: #6ea8fe; --c1: #ff9f5a; --c2: #5fd08a; --c3: #d294f0; --c4: #e6c34f; --c5: #a8b3c2; } }
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
h2 { margin: 0; font-size: .95rem; }
h2.said { margin-bottom: 1rem; overflow-wrap: anywhere; }
tbody th { width: 10rem; } tbody tr:last-child th { border-bottom: 0; }
td.whole { white-space: normal; overflow-wrap: anywhere; }
pre { margin: 1rem 0 0; padding: .9rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--card);
  border: 1px solid var(--line); border-radius: .75rem; font: .86em/1.6 ui-monospace, monospace; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: 1rem; margin-top: 1.25rem;
  align-items: start; }
.charts section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: .8rem 1rem;
  min-width: 0; }
svg { display: block; width: 100%; height: 5.5rem; margin: .4rem 0; }
polyline { fill: none; stroke-width: 1.5; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.ground { stroke: var(--line); stroke-width: 1; vector-effect: non-scaling-stroke; }
.line0 { stroke: var(--c0); } .line1 { stroke: var(--c1); } .line2 { stroke: var(--c2); }
.line3 { stroke: var(--c3); } .line4 { stroke: var(--c4); } .line5 { stroke: var(--c5); }
ul { list-style: none; margin: 0; padding: 0; font-size: .8rem; color: var(--soft); }
li { display: flex; gap: .5rem; align-items: baseline; }
li span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; } li b { margin-left: auto; color: var(--ink);
  white-space: nowrap; font-weight: 600; }
li i { flex: none; width: .7rem; height: .2rem; border-radius: .1rem; align-self: center; }
.mark0 { background: var(--c0); } .mark1 { background: var(--c1); } .mark2 { background: var(--c2); }
.mark3 { background: var(--c3); } .mark4 { background: var(--c4); } .mark5 { background: var(--c5); }
@media (max-width: 46rem) { thead { display: none; }
  tr { display: flex; flex-wrap: wrap; gap: .1rem .9rem; padding: .6rem .9rem; border-bottom: 1px solid var(--line); }
  tr:last-child { border-bottom: 0; } td { padding: 0; border: 0; } td.line { flex-basis: 100%; min-width: 0; } }
"""

SEVERITIES: Final = {1: "low", 2: "medium", 3: "high", 4: "critical"}
"""What they are called; their classes in the style, too."""

_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_SECURITY_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def document(summary: str, body: str) -> str:
    """A whole page. summary and body: HTML."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>telemhub</title><style>{STYLE}</style></head><body><main>"
        f'<header><h1><a href="/">telemhub</a></h1><p>{summary}</p></header>{body}</main></body></html>'
    )


def text(outside: str) -> str:
    """Outside text as HTML, in an element or a quoted attribute."""
    return escape(outside, quote=True)


def time_of(us: int) -> datetime:
    """Of microseconds since 1970, UTC."""
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(microseconds=us)


def ago(us: int) -> str:
    """How long that is."""
    for unit_us, name in ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "min")):
        if us >= unit_us:
            return f"{us // unit_us} {name} ago"
    return "just now"
