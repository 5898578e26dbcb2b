# SPDX-License-Identifier: Apache-2.0
"""What stands for /dev/kmsg in tests, and klogscanner reading it: a socket that keeps the borders of records, from
which a reader that starts anew gets all of them from the first one on, as from the device.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from running import BIN, TIMEOUT_S, Root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

TEXTS = Path(__file__).parents[1] / "golden/kernel/texts"


def records_of(name: str, first_seq: int = 0, start_us: int = 1_000_000) -> list[bytes]:
    """The records of one of the golden texts, numbered anew."""
    found: list[bytes] = []
    for line in (TEXTS / f"{name}.txt").read_text().splitlines()[1:]:
        head, _, text = line.partition(";")
        if text:
            level = head.partition(",")[0]
            seq = first_seq + len(found)
            found.append(f"{level},{seq},{start_us + seq * 10},-;{text}\n".encode())
    return found


class Scanner:
    """A klogscanner and the end of the socket that feeds it."""

    def __init__(self, root: Root, records: Sequence[bytes] = (), *, env: dict[str, str] | None = None) -> None:
        self.feeding, reading = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.feeding.settimeout(TIMEOUT_S)
        self.log_file = root.path / "klogscanner.log"
        with reading, self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "klogscanner", "-f", str(root.config_file), "-k", str(reading.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[reading.fileno()],
                env={**os.environ, **(env or {})},
            )
        self.feed(records)

    def feed(self, records: Sequence[bytes]) -> None:
        """More of the log. Nothing where nobody reads it any more."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for record in records:
                self.feeding.send(record)

    def end(self) -> int:
        """No more will come; the exit code."""
        self.feeding.close()
        return self.process.wait(TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)
        self.feeding.close()

    def log(self) -> str:
        return self.log_file.read_text()

    def wait_log(self, words: str) -> None:
        wait_until(lambda: words in self.log(), f"klogscanner says {words!r}")


@contextlib.contextmanager
def scanning(root: Root, records: Sequence[bytes] = ()) -> Iterator[Scanner]:
    """A klogscanner that is killed at the end, where it still runs, and has left no traceback."""
    scanner = Scanner(root, records)
    try:
        yield scanner
    finally:
        scanner.kill()
    assert "Traceback" not in scanner.log(), scanner.log()
