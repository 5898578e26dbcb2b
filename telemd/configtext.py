# SPDX-License-Identifier: Apache-2.0
"""The table of settings as text for people: the commented example file, and the table of the manual.

`python3 -m telemd.configtext conf` prints etc/telemetrics.conf, `table` what stands in docs/telemetrics.conf.md; a test
keeps them the same. It prints, and never reads or writes a file; telemd doesn't import it.
"""

from __future__ import annotations

import sys
import textwrap

from telemd.configkeys import KEYS, SOCKET_PATH_BYTES_MAX, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from telemd.configkeys import Key

WIDTH = 100

HEAD = """\
# Settings of telemetrics. Every line below is the default; take the # away from those you change.
# `telemctl config check` tells what is wrong with this file, `telemctl config show` what is in force.
# A change counts after `telemctl restart`; most of them at once after SIGHUP.

[settings]
"""


def example() -> str:
    """A configuration file with every key as a comment, with its default."""
    parts = [HEAD]
    for key in KEYS:
        note = key.doc + _limits(key)
        parts.append("\n".join(textwrap.wrap(note, WIDTH, initial_indent="# ", subsequent_indent="# ")))
        parts.append(f"#{key.name} = {shown(key.default)}\n")
    return "\n".join(parts)


def markdown() -> str:
    """A row a key."""
    rows = ["| key | default | range | meaning |", "|---|---|---|---|"]
    for key in KEYS:
        note = f"{key.doc} *Needs a restart.*" if key.fixed else key.doc
        rows.append(f"| `{key.name}` | {_default(key)} | {_range(key)} | {note} |")
    return "\n".join(rows) + "\n"


def _limits(key: Key) -> str:
    parts = []
    if key.type is int:
        numbers = f"{key.low} to {key.high}" + "".join(f" or {each}" for each in key.special)
        parts.append(f"{numbers} {key.unit}".strip())
    if key.choices:
        parts.append(" or ".join(key.choices))
    if key.below_root:
        parts.append("below state_root unless it is set here")
    if key.fixed:
        parts.append("needs a restart")
    return f" ({'; '.join(parts)})" if parts else ""


def _default(key: Key) -> str:
    if key.default == "":
        return "empty"
    return f"{key.default} {key.unit}".strip() if key.type is int else f"`{shown(key.default).strip(chr(34))}`"


def _range(key: Key) -> str:
    if key.type is bool:
        return "true, false"
    if key.type is int:
        return f"{key.low} ... {key.high}" + "".join(f", {each}" for each in key.special)
    if key.choices:
        return ", ".join(key.choices)
    return f"path, {SOCKET_PATH_BYTES_MAX} bytes" if key.form == "socket" else key.form


if __name__ == "__main__":
    sys.stdout.write({"conf": example, "table": markdown}[sys.argv[1]]())
