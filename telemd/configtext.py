# SPDX-License-Identifier: Apache-2.0
"""The table of settings as text for people: the commented example file, the table of the manual, and its man page.

`python3 -m telemd.configtext conf` prints etc/telemetrics.conf, `table` what stands in docs/telemetrics.conf.md; a test
keeps them the same. `man` prints telemetrics.conf(5), made anew in each build. It prints, and never reads or writes a
file; telemd doesn't import it.
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


MAN_HEAD = """\
.\\" SPDX-License-Identifier: Apache-2.0
.Dd November 21, 2026
.Dt TELEMETRICS.CONF 5
.Os
.Sh NAME
.Nm telemetrics.conf
.Nd settings of telemetrics
.Sh SYNOPSIS
.Pa /etc/telemetrics/telemetrics.conf
.Pp
.Pa /usr/share/defaults/telemetrics/telemetrics.conf
.Sh DESCRIPTION
Both files are TOML with the settings under
.Ql [settings] ;
what the first one says holds over the second, and that over what is built in.
A file that isn't TOML is read as telemetrics-client's own form,
.Ql key=value
without quotes, where
.Ql \\es
stands for a space.
The table
.Ql [metrics]
and those below it are for
.Xr metricprobe 1 .
.Pp
.Ic telemctl config check
says what is wrong with a file,
.Ic telemctl config show
what is in force and where it comes from.
.Ic systemctl reload telemd
brings a change into force if the file is valid; what needs a restart says so below.
.Sh SETTINGS
.Bl -tag -width Ds
"""

MAN_TAIL = """\
.El
.Sh EXAMPLES
.Bd -literal -offset indent
[settings]
server = "https://hub.example.org/"
record_expiry = 4320
.Ed
.Sh SEE ALSO
.Xr telemctl 1 ,
.Xr telemetrics 7 ,
.Xr telemd 8
"""


def manual() -> str:
    """telemetrics.conf(5), in mdoc(7)."""
    parts = [MAN_HEAD]
    for key in KEYS:
        default = shown(key.default).replace("\\", "\\e").replace('"', "\\(dq")
        sentences = (key.doc + _limits(key)).replace("\\", "\\e").replace(". ", ".\n").splitlines()
        note = "\n".join(line for each in sentences for line in textwrap.wrap(each, WIDTH, break_on_hyphens=False))
        parts.append(f".It Va {key.name} No = Li {default}\n{note}\n")
    return "".join(parts) + MAN_TAIL


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
    sys.stdout.write({"conf": example, "man": manual, "table": markdown}[sys.argv[1]]())
