# SPDX-License-Identifier: Apache-2.0
"""Probes that run all day say to systemd's watchdog that they go on, also while nothing happens."""

from __future__ import annotations

import contextlib
import posix
import subprocess
from typing import TYPE_CHECKING

import pytest
from journalsource import Journal, failure
from journalsource import probing as journal_probing
from kernelsource import Scanner, records_of, scanning
from notices import Notices
from running import BIN, TIMEOUT_S, Root, state_root

from telemetry_probes.notifying import Watchdog, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMIT_S = 1.5


@pytest.fixture
def root() -> Iterator[Root]:
    with state_root() as made:
        yield made


@pytest.fixture
def notices(root: Root, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notices]:
    """A watchdog for all that is started."""
    made = Notices(root.path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(made.path))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(LIMIT_S * 1_000_000)))
    yield made
    made.close()


@contextlib.contextmanager
def klogscanner(root: Root, _: Path) -> Iterator[None]:
    with scanning(root):
        yield


@contextlib.contextmanager
def journalprobe(root: Root, tmp_path: Path) -> Iterator[None]:
    journal = Journal(tmp_path / "journal")
    journal.add(failure("a.service"))
    with journal_probing(root, journal, "-t"):
        yield


@contextlib.contextmanager
def metricprobe(root: Root, _: Path) -> Iterator[None]:
    command = [str(BIN / "metricprobe"), "-f", str(root.config_file), "-c", "system", "--listen", f"unix:{root.path}/m"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(TIMEOUT_S)


@pytest.mark.parametrize("probe", [klogscanner, journalprobe, metricprobe], ids=lambda probe: probe.__name__)
def test_while_nothing_happens(
    probe: Callable[[Root, Path], contextlib.AbstractContextManager[None]], root: Root, notices: Notices, tmp_path: Path
) -> None:
    with probe(root, tmp_path):
        for _ in range(3):
            assert notices.next("WATCHDOG")["WATCHDOG"] == "1"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({}, True),
        ({"WATCHDOG_PID": "1"}, False),  # another's
        ({"WATCHDOG_USEC": "0"}, False),
        ({"WATCHDOG_USEC": "soon"}, False),
        ({"NOTIFY_SOCKET": "/nonexistent"}, False),
    ],
)
def test_who_is_told(root: Root, notices: Notices, env: dict[str, str], told: bool) -> None:
    scanner = Scanner(root, records_of("debian-6.1-warn"), env=env)
    assert scanner.end() == 1, scanner.log()  # there is no telemd
    assert notices.has_more() is told
    assert "Traceback" not in scanner.log()


def test_soon_again_where_systemd_could_not_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(posix.environ, b"NOTIFY_SOCKET", b"/nonexistent/notify")
    monkeypatch.setitem(posix.environ, b"WATCHDOG_USEC", b"300000000")
    monkeypatch.delitem(posix.environ, b"WATCHDOG_PID", raising=False)
    assert tell(b"WATCHDOG=1") == "No such file or directory"
    watchdog = Watchdog()
    watchdog.work(1000.0)
    assert watchdog.next_s() == 1001
