# SPDX-License-Identifier: Apache-2.0
"""The real kernel calls the installed crashprobe, from a short path, for every crash on this machine meanwhile.

Its telemetry is a state root of its own that belongs to a user who has no name and no rights. Reports are found in the
drop directory (no telemd runs unless a test starts one). Nothing of the handler is imported here.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from installed import BIN as BIN
from waiting import TIMEOUT_S
from waiting import wait_until as wait_until

from bench import corepattern
from libtelemetry.wire import DecodedRecord, decode

UID = 61_734
"""Nobody's number on any machine."""
WORDS = "%P %p %I %s %u %d %c %F %e %E"
WAIT_S = TIMEOUT_S
UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
PATTERN_BYTES_MAX = 127
KERNEL_LINE_BYTES = 8192


class Report:
    """One record that was left, taken apart."""

    def __init__(self, record: DecodedRecord) -> None:
        self.record = record
        self.classification = record.classification
        self.severity = record.severity
        first, _, text = record.payload.partition(b"\n")
        self.text = text.decode() if record.payload_version == 2 else record.payload.decode()
        self.json: dict[str, Any] = json.loads(first) if record.payload_version == 2 else {}

    @property
    def functions(self) -> list[str]:
        """Of the crashing thread, innermost first."""
        return [frame.get("function", "") for frame in self.json["stacks"][0]["frames"]] if self.json["stacks"] else []


class Handled:
    """The handler's machine: `folder` is what core_pattern names, `root` its state root."""

    def __init__(self, folder: Path, root: Path, log: int) -> None:
        self.folder = folder
        self.root = root
        self._log = log
        self.owners = root / "etc/telemetrics"
        self.state = root / "var/lib/telemetry"
        self.drop = root / "var/spool/telemetry/drop"
        self.launcher = folder / "c"
        self.config = folder / "f"

    def say(self, name: str) -> None:
        """The owner makes that file beside the opt-in."""
        (self.owners / name).touch()

    def reports(self) -> list[Report]:
        """All that were left, the oldest first."""
        files = sorted(self.drop.glob("*.rec"), key=lambda file: file.stat().st_mtime_ns) if self.drop.exists() else []
        return [Report(decode(file.read_bytes())) for file in files]

    def wait(self, count: int = 1) -> list[Report]:
        """Until so many are there."""
        wait_until(lambda: len(self.reports()) >= count, f"{count} reports in {self.drop}")
        return self.reports()

    def report(self) -> Report:
        """The only one."""
        found = self.wait()
        assert len(found) == 1, [each.text or each.json for each in found]
        return found[0]

    def kernel_said(self) -> list[str]:
        """Lines of the kernel's log that came since this was asked, or since this machine is there. By their order: its
        times are of another clock than any that a program can ask."""
        found: list[str] = []
        while True:
            try:
                line = os.read(self._log, KERNEL_LINE_BYTES)
            except BlockingIOError:
                return found
            except BrokenPipeError:
                continue  # what comes next was overwritten already
            found.append(line.partition(b";")[2].partition(b"\n")[0].decode(errors="replace"))

    def said(self) -> list[str]:
        """What crashprobe said in there."""
        return [line.partition("crashprobe: ")[2] for line in self.kernel_said() if "crashprobe: " in line]

    def wait_idle(self) -> None:
        """Until no handler runs any more."""
        wait_until(lambda: not handlers(self.launcher), "the handlers end")

    def pattern(self) -> str:
        return f"|{self.launcher} -f {self.config} -k {WORDS}"


def handlers(launcher: Path) -> list[int]:
    """Processes that were started from there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.fsencode(launcher) in (entry / "cmdline").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Within it nobody else changes core_pattern, and it is `core` at first. Skips where this isn't root."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to change core_pattern: run it as root, or in CI")
    with corepattern.changing():
        corepattern.PATTERN.write_text(corepattern.PLAIN)
        yield


@contextlib.contextmanager
def handling(pipe_limit: int = 16, launcher: str = "") -> Iterator[Handled]:
    """Within it the kernel calls. `launcher` is the text of another program to be called (as of `launcher`)."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(alone())
        folder = Path(tempfile.mkdtemp(prefix="tm", dir="/run"))
        stack.callback(shutil.rmtree, folder)
        root = Path(tempfile.mkdtemp(prefix="tm-", dir="/var/tmp"))
        stack.callback(shutil.rmtree, root, ignore_errors=True)
        for each in (folder, root):
            each.chmod(0o755)
        log = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, log)
        os.lseek(log, 0, os.SEEK_END)
        handled = Handled(folder, root, log)
        for each in (handled.owners, handled.state, handled.drop.parent):
            each.mkdir(parents=True)
        handled.say("opt-in")
        for each in (handled.state, handled.drop.parent):
            os.chown(each, UID, UID)
            each.chmod(0o700)
        if launcher:
            handled.launcher.write_text(launcher)
        else:
            shutil.copy(BIN / "crashprobe", handled.launcher)
        handled.launcher.chmod(0o755)
        handled.config.write_text(f'[settings]\nstate_root = "{root}"\n')
        assert len(handled.pattern()) <= PATTERN_BYTES_MAX
        corepattern.LIMIT.write_text(str(pipe_limit))
        corepattern.PATTERN.write_text(handled.pattern())
        yield handled
        handled.wait_idle()


def crash(
    command: Sequence[str | Path], *, limit: tuple[int, int] = UNLIMITED, signal: int = 0, user: int | None = None,
    prepare: Callable[[], None] | None = None,
) -> subprocess.Popen[bytes]:  # fmt: skip
    """Run it until it dies; with `signal` that is sent to it once it sleeps. Its return code is set."""

    def before() -> None:
        resource.setrlimit(resource.RLIMIT_CORE, limit)
        if prepare is not None:
            prepare()

    process = subprocess.Popen(
        [str(each) for each in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        preexec_fn=before, user=user, group=user, extra_groups=None if user is None else [], cwd="/",
    )  # fmt: skip
    if signal:
        stat = Path(f"/proc/{process.pid}/stat")
        wait_until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "S", "it sleeps")
        process.send_signal(signal)
    assert process.wait(WAIT_S) != 0, "it didn't die"
    return process


def launcher(before: str) -> str:
    """The installed launcher with something done to the handler before it starts: for kernels, faults and losses that
    can't be had here."""
    text = (BIN / "crashprobe").read_text()
    head, main, rest = text.partition("sys.exit(main(sys.argv))")
    assert main
    return head + before + main + rest


def faulty_launcher(said: str) -> str:
    """Of a handler with a fault of its own: it raises ValueError with those words while it reads."""
    return launcher(
        "from telemetry_probes.crash import circumstances\n"
        f"def breaks(stat, uptime):\n    raise ValueError({said!r})\n"
        "circumstances.uptime_s = breaks\n"
    )


NESTED = """
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
__attribute__((noinline)) void third(char *p) { *(volatile int *)p = 1; }
__attribute__((noinline)) void second(char *p) { third(p); asm volatile(""); }
__attribute__((noinline)) void first(char *p) { second(p); asm volatile(""); }
int main(int argc, char **argv)
{
        size_t mib = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
        if (mib) {
                char *heap = malloc(mib << 20);
                memset(heap, 7, mib << 20);
                asm volatile("" : : "r"(heap) : "memory");
        }
        if (argc > 2 && system(argv[2]) != 0)
                return 1;
        if (argc > 3)
                prctl(PR_SET_NAME, argv[3]);
        first(NULL);
        return 0;
}
"""


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Goes with this process."""
    return tempfile.TemporaryDirectory(prefix="tm-", dir="/var/tmp")


@functools.cache
def nested() -> Path:
    """A program that dies three calls deep, in `third`, which `second`, `first` and `main` led to; every user can run
    it. Its arguments: MiB of memory to touch, a command for the shell before it dies, the name that it takes on."""
    folder = Path(_folder().name)
    folder.chmod(0o755)
    return compiled(folder / "nested", NESTED)


def compiled(
    file: Path, source: str, *, compiler: str = "/usr/bin/gcc", options: Sequence[str] = ()
) -> Path:  # fmt: skip
    """A program with debug information."""
    text = file.with_suffix(".c")
    text.write_text(source)
    subprocess.run([compiler, "-O1", "-g", *options, text, "-o", file], check=True, timeout=60)
    return file


WAY = ["third", "second", "first", "main"]
"""What its stack begins with."""

WAITS = """
import os, time
while not os.path.exists(os.path.dirname(sys.argv[0]) + "/go"):
    time.sleep(0.01)
"""
"""For `launcher`: the handler begins when the test says so."""


def until_it_dumps(command: Sequence[str | Path], user: int | None = None) -> subprocess.Popen[bytes]:
    """Started, and now the kernel is writing its core."""
    process = subprocess.Popen(
        [str(each) for each in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, user=user, group=user,
        extra_groups=None if user is None else [], cwd="/",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, UNLIMITED),
    )  # fmt: skip
    status = Path(f"/proc/{process.pid}/status")
    wait_until(lambda: "CoreDumping:\t1" in status.read_text(), "it dumps core")
    return process


def reported_when_taken_over(
    handled: Handled, process: subprocess.Popen[bytes], command: Sequence[str | Path]
) -> Report:  # fmt: skip
    """Of a process that is dumping core, and whose pid is another's when the handler, which `WAITS`, looks."""
    other = _taken_over(process, command)
    try:
        (handled.folder / "go").touch()
        return handled.report()
    finally:
        other.kill()
        other.wait()


def _taken_over(process: subprocess.Popen[bytes], command: Sequence[str | Path]) -> subprocess.Popen[bytes]:
    """End it, and start another that has its pid, which somebody else may have meanwhile, for as long as he lives."""
    process.kill()
    process.wait(WAIT_S)
    end_s = time.monotonic() + WAIT_S
    while time.monotonic() < end_s:
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(process.pid - 1))
        other = subprocess.Popen([str(each) for each in command], stdin=subprocess.DEVNULL)
        if other.pid == process.pid:
            return other
        other.kill()
        other.wait()
    raise AssertionError(f"nobody got the pid {process.pid}")
