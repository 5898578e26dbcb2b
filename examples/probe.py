# SPDX-License-Identifier: Apache-2.0
"""A probe of your own in Python: the errors in a log, each one once.

    python probe.py [-f FILE] STATE LOG

STATE is this probe's own file: where in LOG it has got to, and a secret that record ids are made with. The place moves
only after telemd's answer, so a run that is killed leaves nothing out. Nothing else of the machine may be read here.
Exit code 0: every error is on telemd's disk, or nobody has opted in.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

from libtelemetry import HIGH, JSON, MEDIUM, Client, Record, TelemetryError, is_opted_in, set_config_file

CLASSIFICATION = "example.org/log/error"
PAYLOAD_VERSION = 1
"""Goes up when readers of the payload must know of a change."""

SEVERITIES = {b"FATAL": HIGH, b"ERROR": MEDIUM}
"""What is looked for in a line, and what it means."""

BATCH_RECORDS = 1000
LINE_BYTES_MAX = 4096
"""What is longer counts as several lines."""


class State(NamedTuple):
    secret: str
    offset: int
    """Of LOG, in bytes: what is before it is done."""


def load(path: Path) -> State:
    """A new one where there is none."""
    try:
        return State(**json.loads(path.read_text()))
    except FileNotFoundError:
        return State(os.urandom(32).hex(), 0)


def save(path: Path, state: State) -> None:
    """Whole or not at all, and for its owner's eyes alone."""
    new = path.with_name(path.name + ".new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        json.dump(state._asdict(), file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def record_id(secret: str, offset: int, line: bytes) -> bytes:
    """The same for the same line, and nobody else's: docs/protocol.md, section 1.2."""
    made = bytearray(hmac.digest(bytes.fromhex(secret), b"%d %b" % (offset, line), hashlib.sha256)[:16])
    made[:6] = bytes(6)
    made[6] = 0x70 | made[6] & 0x0F
    made[8] = 0x80 | made[8] & 0x3F
    return bytes(made)


def next_records(log: Path, state: State) -> tuple[list[Record], int]:
    """The records of the next lines, and the offset after them."""
    records: list[Record] = []
    with log.open("rb") as file:
        rotated = os.fstat(file.fileno()).st_size < state.offset
        offset = file.seek(0 if rotated else state.offset)
        while len(records) < BATCH_RECORDS:
            line = file.readline(LINE_BYTES_MAX)
            if not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
                break  # the end, or a line that is still being written
            severity = next((found for word, found in SEVERITIES.items() if word in line), None)
            if severity is not None:
                text = line.rstrip(b"\n").decode(errors="replace")
                records.append(
                    Record(
                        CLASSIFICATION,
                        json.dumps({"line": text}),
                        payload_kind=JSON,
                        payload_version=PAYLOAD_VERSION,
                        severity=severity,
                        record_id=record_id(state.secret, offset, line),
                    )
                )
            offset += len(line)
    return records, offset


def run(state_file: Path, log: Path) -> int:
    """The exit code."""
    state = load(state_file)
    save(state_file, state)  # before anything is sent: with another secret the same line would have another id
    with Client() as client:
        while True:
            records, offset = next_records(log, state)
            if offset == state.offset:
                return 0
            for ack in client.send_many(records):
                if not ack.accepted:
                    print(f"probe: telemd refused a record ({ack.reason_name}), next time again", file=sys.stderr)
                    return 1
            state = state._replace(offset=offset)
            save(state_file, state)


def main() -> int:
    parser = argparse.ArgumentParser("probe.py", description="Reports the errors in a log, each one once.")
    parser.add_argument("-f", metavar="FILE", help="this configuration instead of the system's")
    parser.add_argument("state", metavar="STATE", type=Path, help="a file of this probe's own; made at the first run")
    parser.add_argument("log", metavar="LOG", type=Path)
    arguments = parser.parse_args()
    try:
        if arguments.f:
            set_config_file(arguments.f)
        if not is_opted_in():
            return 0  # the owner's choice, and no failure of ours
        return run(arguments.state, arguments.log)
    except TelemetryError as error:
        print(f"probe: {error.strerror}", file=sys.stderr)  # says what to do
    except OSError as error:
        print(f"probe: {error.filename}: {error.strerror}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
