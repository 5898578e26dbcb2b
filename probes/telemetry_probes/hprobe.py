# SPDX-License-Identifier: Apache-2.0
"""hprobe: send a greeting, or a heartbeat, to show that records arrive.

It runs on every machine's timer, so its start to exit is measured: import nothing here that isn't needed for each run.
"""

from __future__ import annotations

from libtelemetry import REFUSED, Record, send, telemctl
from telemetry_probes.options import CONFIG_FILE, HELP, VERSION, Option
from telemetry_probes.program import Program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

HELLO = "org.clearlinux/hello/world"
HEARTBEAT = "org.clearlinux/heartbeat/ping"
BUNDLES_DIR = "/usr/share/clear/bundles"
BUNDLES_MAX = 1024
"""Names of bundles that are listed; a file name has at most 255 bytes and a payload 65,536, see payload()."""
PAYLOAD_CHARS_MAX = 8192
"""What an older telemd can take."""

OPTIONS = (
    CONFIG_FILE,
    Option("H", "heartbeat", "", "send a heartbeat instead of a greeting"),
    Option("l", "locale", "", "add the locale (LC_ALL)"),
    Option("u", "uptime", "", "add how long the system has been up, in seconds"),
    Option("b", "bundles", "", f"add the names in {BUNDLES_DIR}"),
    HELP,
    VERSION,
)
PROGRAM = Program("hprobe", "Sends a record that says hello, to show that telemetry arrives.", OPTIONS)


def payload(locale: str | None, uptime_s: int | None, bundles: Sequence[str] | None) -> str:
    """The record's payload: a greeting and a line for each fact that is given, at most 8,192 characters."""
    lines = ["hello"]
    if locale is not None:
        lines.append(f"LC_ALL: {locale}")
    if uptime_s is not None:
        lines.append(f"uptime: {uptime_s}")
    if bundles is not None:
        lines.append(f"Bundles ({len(bundles)}):")
        lines.extend(bundles[:BUNDLES_MAX])
    text = "\n".join(lines) + "\n"
    # Whole lines only: half a bundle's name would be another bundle's.
    return text if len(text) <= PAYLOAD_CHARS_MAX else text[: text.rindex("\n", 0, PAYLOAD_CHARS_MAX) + 1]


def read_locale() -> str:
    """The locale that the environment asks for, or C where the system doesn't have it."""
    # The C module below `locale`, which takes longer to import than all of this program.
    import _locale

    try:
        return _locale.setlocale(_locale.LC_ALL, "")
    except _locale.Error:  # type: ignore[attr-defined]  # typeshed doesn't know it
        return "C"


def read_uptime_s() -> int:
    """Whole seconds since the system was booted, those asleep included."""
    import time

    return int(time.clock_gettime(time.CLOCK_BOOTTIME))


def read_bundles(directory: str = BUNDLES_DIR) -> list[str]:
    """The names of the files in there, sorted; none where the directory isn't there or can't be read."""
    import posix

    try:
        with posix.scandir(directory) as entries:
            return sorted(entry.name for entry in entries if entry.is_file() and entry.name.isprintable())
    except OSError:
        return []


def main(argv: list[str] | None = None) -> int:
    """Send one record. 0 when telemd has it, 1 when not; argv is the program's name and its arguments."""
    return PROGRAM.run(argv, _run)


def _run(given: dict[str, str]) -> int:
    body = payload(
        read_locale() if "l" in given else None,
        read_uptime_s() if "u" in given else None,
        read_bundles() if "b" in given else None,
    )
    with Record(HEARTBEAT if "H" in given else HELLO, body) as record:
        ack = send(record)
    if ack.verdict == REFUSED:
        return PROGRAM.failed(f"telemd refused the record ({ack.reason_name}): see `{telemctl('status')}`")
    print("Successfully sent record to daemon.")
    return 0
