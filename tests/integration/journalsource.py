# SPDX-License-Identifier: Apache-2.0
"""Journals for tests: files that systemd's own writer (systemd-journal-remote) makes of entries given here, and
journalprobe reading them.

Nothing but journald can give an entry its trusted fields; this can, as from another machine's export.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from running import BIN, TIMEOUT_S, Root, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Fields = Mapping[str, Any]

WRITER = Path("/lib/systemd/systemd-journal-remote")
THIS_BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
OTHER_BOOT = "0b" * 16
MANAGER: dict[str, Any] = {
    "_PID": 1,
    "_UID": 0,
    "_TRANSPORT": "journal",
    "_COMM": "systemd",
    "PRIORITY": 4,
    "SYSLOG_IDENTIFIER": "systemd",
}
SECOND = 1_000_000


def exited(unit: str, status: int = 1, code: str = "exited", **more: str | int) -> dict[str, Any]:
    """As systemd says it of a service's main process."""
    return {
        **MANAGER, "MESSAGE_ID": "98e322203f7a4ed290d09fe03c09fe15", "UNIT": unit, "COMMAND": "ExecStart",
        "EXIT_CODE": code, "EXIT_STATUS": status,
        "MESSAGE": f"{unit}: Main process exited, code={code}, status={status}/FAILURE", **more,
    }  # fmt: skip


def failed(unit: str, result: str = "exit-code", **more: str | int) -> dict[str, Any]:
    """The unit is failed."""
    return {
        **MANAGER, "MESSAGE_ID": "d9b373ed55a64feb8242e02dbe79a49c", "UNIT": unit, "UNIT_RESULT": result,
        "MESSAGE": f"{unit}: Failed with result '{result}'.", **more,
    }  # fmt: skip


def restarted(unit: str, count: int) -> dict[str, Any]:
    """It is started once more."""
    return {
        **MANAGER, "MESSAGE_ID": "5eb03494b6584870a536b337290809b3", "UNIT": unit, "N_RESTARTS": count, "PRIORITY": 6,
        "MESSAGE": f"{unit}: Scheduled restart job, restart counter is at {count}.",
    }  # fmt: skip


def failure(unit: str, status: int = 1) -> list[dict[str, Any]]:
    """What systemd says of one failure."""
    return [exited(unit, status), failed(unit)]


def said(message: str | bytes, priority: int = 6, unit: str = "talker.service", **more: str | int) -> Fields:
    """What any program says."""
    return {
        "_PID": 4242, "_UID": 1000, "_TRANSPORT": "syslog", "_COMM": "talker", "_EXE": "/usr/bin/talker",
        "_SYSTEMD_UNIT": unit, "PRIORITY": priority, "SYSLOG_IDENTIFIER": "talker", "MESSAGE": message, **more,
    }  # fmt: skip


class Journal:
    """A directory with journal files. Entries lie `step_us` apart, from `start_us` (monotonic) on."""

    def __init__(self, folder: Path, boot: str = THIS_BOOT, start_us: int | None = None) -> None:
        if not WRITER.exists():
            pytest.skip("journals are written by systemd-journal-remote: `apt install systemd-journal-remote`")
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.boot = boot
        self.now_us = int(max(1.0, time.monotonic() - 3600) * 1e6) if start_us is None else start_us
        self.offset_us = int((time.time() - time.monotonic()) * 1e6)
        self.file = folder / "system.journal"

    def add(self, entries: Iterable[Fields], step_us: int = 1000) -> None:
        """Behind those that are there."""
        content = bytearray()
        for entry in entries:
            self.now_us += step_us
            content += exported(entry, self.boot, self.now_us, self.offset_us + self.now_us)
        done = subprocess.run(
            [WRITER, "-o", self.file, "-"], input=bytes(content), capture_output=True, timeout=TIMEOUT_S, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def add_now(self, entries: Iterable[Fields], ago_s: float = 0.0) -> None:
        """As written at this moment, or so long ago."""
        self.now_us = int((time.monotonic() - ago_s) * 1e6)
        self.add(entries, 1)

    def last_s(self) -> float:
        """When the last entry was written, seconds since 1970."""
        return (self.offset_us + self.now_us) / 1e6

    def later(self, seconds: float) -> None:
        """The next entry is so much later than the last."""
        self.now_us += int(seconds * 1e6)


def exported(entry: Fields, boot: str, monotonic_us: int, realtime_us: int) -> bytes:
    """In the journal's export format (systemd.io/JOURNAL_EXPORT_FORMATS)."""
    lines = [
        f"__REALTIME_TIMESTAMP={realtime_us}\n__MONOTONIC_TIMESTAMP={monotonic_us}\n_BOOT_ID={boot}\n".encode(),
    ]
    for name, value in entry.items():
        raw = value if isinstance(value, bytes) else str(value).encode()
        if b"\n" in raw or isinstance(value, bytes):
            lines.append(name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n")
        else:
            lines.append(name.encode() + b"=" + raw + b"\n")
    return b"".join([*lines, b"\n"])


class Probe:
    """journalprobe on a journal's directory."""

    def __init__(self, root: Root, journal: Journal, *options: str) -> None:
        self.log_file = root.path / "journalprobe.log"
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [BIN / "journalprobe", "-f", str(root.config_file), "-D", str(journal.folder), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def end(self) -> int:
        """It comes to an end; the exit code."""
        return self.process.wait(TIMEOUT_S)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def log(self) -> str:
        return self.log_file.read_text()

    def wait_log(self, words: str) -> None:
        wait_until(lambda: words in self.log(), f"journalprobe says {words!r}")

    def waits(self) -> bool:
        """Has it read all there is, or ended?"""
        try:
            return "poll" in Path(f"/proc/{self.process.pid}/wchan").read_text()
        except OSError:
            return True

    def cpu_s(self) -> float:
        """Processor time it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kib(self, name: str) -> int:
        """VmRSS, VmHWM or another line of its status."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(f"{name}:"))


@contextlib.contextmanager
def probing(root: Root, journal: Journal, *options: str) -> Iterator[Probe]:
    """A journalprobe that is killed at the end, where it still runs, and has left no traceback."""
    probe = Probe(root, journal, *options)
    try:
        yield probe
    finally:
        probe.kill()
    assert "Traceback" not in probe.log(), probe.log()


def read_once(root: Root, journal: Journal) -> str:
    """To the end of the journal; what the probe said."""
    with probing(root, journal) as probe:
        code = probe.end()
    assert code == 0, probe.log()
    return probe.log()
