# SPDX-License-Identifier: Apache-2.0
"""The demo as `make demo` runs it: all arrives, it ends by itself or by Ctrl-C, and nothing of it stays behind."""

from __future__ import annotations

import codecs
import contextlib
import json
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from installed import HERE
from waiting import wait_until

from bench.rootonly import closed

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "demo/run.py")]
TIMEOUT_S = 120.0
COLUMNS = 80
MEASURED = "org.clearlinux/metric/minute"
ROW = re.compile(r"^([0-9a-f]{8})  (\S+) +(low|medium|high|critical)\b", re.MULTILINE)
HUB = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def place() -> Iterator[Path]:
    """Where the demo's own directory goes; a short path, for sockets. At the end nothing may be left there, nor any
    process that knows it."""
    directory = Path(tempfile.mkdtemp(prefix="t", dir="/var/tmp"))
    directory.chmod(0o755)
    try:
        yield directory
        assert list(directory.iterdir()) == []
        wait_until(lambda: processes_of(directory) == {}, "the last process of it is gone")
    finally:
        for pid in processes_of(directory):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(directory)


def processes_of(directory: Path) -> dict[int, str]:
    """Those with that directory in their command line, by pid."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and str(directory).encode() in (line := (entry / "cmdline").read_bytes()):
                found[int(entry.name)] = line.decode(errors="replace")
    return found


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(place), "TERM": "xterm", "LC_ALL": "C.UTF-8", "COLUMNS": str(COLUMNS)}


def run(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=environment(place),
    )


def assert_crash_is_shown(said: str) -> None:
    """As root by the real kernel's call, where a handler without root's rights finds itself."""
    called = os.geteuid() == 0 and not closed(HERE)
    assert ("the kernel calls crashprobe" if called else "the core goes to crashprobe -c") in said, said
    assert re.search(r"^  #0 total\(\) - \[invoice\] - invoice\.c:3$", said, re.MULTILINE), said
    assert re.search(r"^  #2 main\(\) - ", said, re.MULTILINE), said


def test_without_a_terminal_it_ends_when_every_record_has_arrived(place: Path) -> None:
    done = run(place)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\n8 sent, 8 arrived\n" in done.stdout
    assert_crash_is_shown(done.stdout)
    rows = ROW.findall(done.stdout)
    assert len({short_id for short_id, _, _ in rows}) == len(rows) == 10
    assert rows[-1][1] == MEASURED
    assert re.search(r"^  processors: \d+ % busy", done.stdout, re.MULTILINE), done.stdout
    assert int(re.search(r"(\d+) series in all", done.stdout)[1]) > 20, done.stdout  # type: ignore[index]
    assert {severity for _, _, severity in rows} == {"low", "medium", "high", "critical"}
    classes = [classification for _, classification, _ in rows]
    assert classes[:3] == ["org.clearlinux/hello/world", "org.clearlinux/heartbeat/ping", "org.clearlinux/hello/world"]
    assert "\x1b" not in done.stdout
    assert all(len(line) <= COLUMNS for line in done.stdout.splitlines()), done.stdout


def test_programs_with_a_long_path_are_called_by_the_kernel_all_the_same(place: Path, tmp_path: Path) -> None:
    """core_pattern takes 127 bytes; a checkout may lie anywhere."""
    programs = tmp_path / ("long" * 40)
    programs.symlink_to(Path(sys.executable).parent)
    done = run(place, "--programs", str(programs))
    assert done.returncode == 0, done.stdout + done.stderr
    assert_crash_is_shown(done.stdout)


def test_a_hub_that_cannot_listen_is_said_clearly(place: Path) -> None:
    done = run(place, "--hub-listen", "nowhere")
    assert done.returncode == 1
    assert "telemhub ended with 2 at its start" in done.stderr
    assert "--listen is ADDRESS:PORT" in done.stderr
    assert "Traceback" not in done.stderr
    assert "arrived" not in done.stdout


def test_missing_programs_are_said_clearly(place: Path, tmp_path: Path) -> None:
    done = run(place, "--programs", str(tmp_path))
    assert done.returncode == 1
    assert "run `make demo`" in done.stderr
    assert "Traceback" not in done.stderr


class OnTerminal:
    """The demo with a terminal of its own, and what it has shown so far."""

    def __init__(self, place: Path, **more: str) -> None:
        self._terminal, end = pty.openpty()
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # what is read may end within a character
        self.process = subprocess.Popen(
            COMMAND, stdin=end, stdout=end, stderr=end, env={**environment(place), **more}, start_new_session=True
        )
        os.close(end)
        self.shown = ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Until it shows that."""
        end_s = time.monotonic() + TIMEOUT_S
        while (found := re.search(pattern, self.shown)) is None:
            assert time.monotonic() < end_s, f"waited for {pattern!r} in:\n{self.shown}"
            assert self._read(), f"it ended without {pattern!r}:\n{self.shown}"
        return found

    def end(self) -> int:
        """Until it has ended; the exit code."""
        while self._read():
            pass
        return self.process.wait(TIMEOUT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.end()
        os.close(self._terminal)

    def _read(self) -> bool:
        """Some more, or nothing for a moment; False at the end."""
        if select.select([self._terminal], [], [], 1.0)[0]:
            try:
                self.shown += self._decoder.decode(os.read(self._terminal, 65536)).replace("\r\n", "\n")
            except OSError:  # the other end was closed
                return False
        return True


@contextlib.contextmanager
def on_terminal(place: Path, **more: str) -> Iterator[OnTerminal]:
    demo = OnTerminal(place, **more)
    try:
        yield demo
    finally:
        demo.close()


def test_on_a_terminal_it_serves_until_ctrl_c(place: Path) -> None:
    with on_terminal(place, NO_COLOR="1") as demo:
        demo.wait_for("Serving until Ctrl-C")
        rows = ROW.findall(demo.shown)
        url = demo.wait_for(r"page +(\S+)/\n")[1]
        page = json.load(HUB.open(f"{url}/api/v1/records", timeout=TIMEOUT_S))
        arrived = {(record["id"][-8:], record["classification"]) for record in page["records"]}
        shown = {row[:2] for row in rows}
        assert shown <= arrived
        # where a minute ended while metricprobe ran, it has sent two records, of which one is shown
        assert {classification for _, classification in arrived - shown} <= {MEASURED}, arrived - shown

        more = shlex.split(demo.wait_for(r"more +(.+)\n")[1])
        subprocess.run(more, check=True, timeout=TIMEOUT_S, cwd=Path.cwd())
        demo.wait_for(r"shows up here:\s+[0-9a-f]{8}  org\.clearlinux/hello/world +low +hello uptime: \d+")
        assert "\x1b" not in demo.shown

        demo.process.send_signal(signal.SIGINT)
        assert demo.end() == 0, demo.shown


def test_sigterm_ends_it_too(place: Path) -> None:
    with on_terminal(place) as demo:
        demo.wait_for("Sending")
        assert "\x1b[" in demo.shown
        demo.process.terminate()
        assert demo.end() == 128 + signal.SIGTERM, demo.shown


def test_a_hub_that_dies_ends_it(place: Path) -> None:
    with on_terminal(place) as demo:
        demo.wait_for("Serving until Ctrl-C")
        [hub] = [pid for pid, line in processes_of(place).items() if "telemhub" in line]
        os.kill(hub, signal.SIGKILL)
        assert demo.end() == 1, demo.shown
        assert "telemhub ended by itself" in demo.shown
