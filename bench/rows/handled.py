# SPDX-License-Identifier: Apache-2.0
"""The kernel calls crashprobe: from a program's crash until it is gone, and until telemd has its report on disk.

Beside it the same crashes with no handler: the kernel's own dump into a file, and no dump at all. As root alone.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import corepattern
from bench.daemon import StateRoot, Telemd
from bench.figures import Aim, Figure, median
from bench.generators import compile_alone
from bench.place import BenchError
from bench.rootonly import closed
from bench.setup import Setup

ORDER = 10
UID = 61_736
"""Nobody's number on any machine; telemd's and the handler's here."""
WORDS = "%P %p %I %s %u %d %c %F %e %E"
LOAD = Path(__file__).parents[1] / "load"
WAIT_S = 60.0
LOOK_S = 0.001
QUICK_RUNS = 5
"""With fewer runs than this everything is smaller."""
THREADS = 300
HEAP_MIB = 6144
LOOP_CRASHES = 200
BIG_RUNS = 7
NO_LIMIT = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
NO_CORE = (0, 0)


class Crash(NamedTuple):
    """One: milliseconds from the signal on. durable_ms is 0 where no report was waited for."""

    gone_ms: float
    durable_ms: float


class Used(NamedTuple):
    """By one call of the handler, all its processes together."""

    cpu_ms: float
    rss_mib: float


def measure(setup: Setup) -> list[Figure]:
    """Nothing where this isn't root: core_pattern can't be changed then."""
    if os.geteuid() != 0:
        print("   left out: core_pattern can be changed by root alone", flush=True)
        return []
    program = setup.programs.telemd.parent.parent / "libexec/crashgate"
    if not program.is_file():
        raise BenchError(f"{program} isn't there: run `make build`.")
    if way := closed(setup.place.directory.parent, program.parent):
        raise BenchError(
            f"only root may look into {way}, which the handler isn't while it works: use --prefix and --dir."
        )
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="tmb", dir="/run"))
        stack.callback(shutil.rmtree, folder)
        folder.chmod(0o755)
        root = setup.state_root(0)
        stack.callback(root.remove)
        stack.enter_context(corepattern.changing())
        return _Row(setup, program, folder, root).figures()


class _Row:
    def __init__(self, setup: Setup, program: Path, folder: Path, root: StateRoot) -> None:
        self.setup, self.folder, self.root = setup, folder, root
        self.quick = setup.sizes.probe_runs < QUICK_RUNS
        self.runs = 2 if self.quick else 20
        setup.place.directory.chmod(0o755)
        root.config.rename(folder / "f")
        root.config = folder / "f"
        (root.directory / "etc/telemetrics/opt-in-no-privacy-filters").touch()
        for name in ("var", "run"):
            for each in (root.directory / name, *(root.directory / name).rglob("*")):
                os.chown(each, UID, UID)
        self.dying = folder / "dying"
        compile_alone(LOAD / "dying.c", self.dying, "-g", "-pthread")
        compile_alone(LOAD / "waited.c", folder / "w")
        for name in ("c", "w.real"):
            shutil.copy(program, folder / name)

    def figures(self) -> list[Figure]:
        threads, mib = (20, 64) if self.quick else (THREADS, min(HEAP_MIB, available_mib() // 2))
        found: list[Figure] = []
        with Telemd(self.setup.programs.telemd, self.root, UID) as telemd:
            found += self._pair("small C program", "1", "0", self.runs, Aim("at most", 40), Aim("at most", 80))
            found += self._pair(f"{threads} threads", str(threads), "0", self.runs, Aim("at most", 80), None)
            found += self._big(mib, 1 if self.quick else BIG_RUNS)
            found += self._loop(telemd, 20 if self.quick else LOOP_CRASHES)
        return found

    def _pair(
        self, what: str, threads: str, mib: str, runs: int, gone: Aim, durable: Aim | None
    ) -> list[Figure]:  # fmt: skip
        with self._called("c"):
            crashes = [self._crash(threads, mib) for _ in range(runs)]
        with self._called("w"):
            self._crash(threads, mib)
            used = self._used(1)
        own = [self._kernels_own(threads, mib) for _ in range(runs)]
        return [
            self._figure(f"{what}: crash to gone", [each.gone_ms for each in crashes], "ms", gone),
            self._figure(f"{what}: crash to durable", [each.durable_ms for each in crashes], "ms", durable),
            self._figure(f"{what}: the handler's memory", [each.rss_mib for each in used], "MiB", Aim("at most", 24)),
            self._figure(f"{what}: the handler's processor time", [each.cpu_ms for each in used], "ms"),
            self._figure(f"{what}: the kernel's own dump", own, "ms"),
        ]

    def _big(self, mib: int, runs: int) -> list[Figure]:
        """With the handler, without any dump, and killed, in turn: giving back so much memory takes most of the time,
        and that differs from minute to minute by more than the handler adds."""
        what = f"{mib / 1024:.3g} GiB of heap"
        without: list[float] = []
        killed: list[float] = []
        crashes: list[Crash] = []
        for _ in range(runs):
            corepattern.PATTERN.write_text("core")
            without.append(self._died("1", str(mib), NO_CORE)[0])
            with self._called("c"):
                crashes.append(self._crash("1", str(mib)))
            killed.append(self._died("1", str(mib), NO_CORE, signal.SIGKILL)[0])
        with self._called("w"):
            self._crash("1", str(mib))
            used = self._used(1)
        quickest = min([crash.gone_ms for crash in crashes]) - min(without)
        more = [crash.gone_ms - alone for crash, alone in zip(crashes, without, strict=True)]
        return [
            self._figure(f"{what}: gone, without any dump", without, "ms"),
            self._figure(f"{what}: gone, by SIGKILL", killed, "ms"),
            self._figure(f"{what}: crash to gone, more than without any dump", more, "ms", Aim("at most", 40)),
            self._figure(f"{what}: the same, of the quickest of both", [quickest], "ms"),
            self._figure(f"{what}: crash to durable", [each.durable_ms for each in crashes], "ms"),
            self._figure(f"{what}: the handler's memory", [each.rss_mib for each in used], "MiB", Aim("at most", 24)),
        ]

    def _loop(self, telemd: Telemd, crashes: int) -> list[Figure]:
        """As fast as it goes; what the first handlers used is left out, which looked at their crashes."""
        before = telemd.accounting().admitted
        with self._called("w"):
            for _ in range(crashes):
                self._died("1", "0", NO_LIMIT)
            used = self._used(crashes)
        looked_at = telemd.accounting().admitted - before
        first = 10
        what = f"a loop of {crashes} crashes"
        return [
            self._figure(
                f"{what}: processor time after the limit", [sum(each.cpu_ms for each in used[first:]) / 1000], "s",
                Aim("at most", 1),
            ),
            self._figure(f"{what}: reports", [looked_at], ""),
        ]  # fmt: skip

    # ---- one crash --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _called(self, name: str) -> Iterator[None]:
        """The kernel calls that program of the folder."""
        (self.folder / "w.used").unlink(missing_ok=True)
        self._forget()
        corepattern.LIMIT.write_text("16")
        corepattern.PATTERN.write_text(f"|{self.folder}/{name} -f {self.root.config} -k {WORDS}")
        try:
            yield
        finally:
            corepattern.PATTERN.write_text("core")

    def _forget(self) -> None:
        """So that no crash is one too many."""
        (self.root.directory / "var/lib/telemetry/crash-loops").unlink(missing_ok=True)

    def _crash(self, threads: str, mib: str) -> Crash:
        """And its report."""
        self._forget()
        process = self._alive(threads, mib, NO_LIMIT)
        following = self._tail(None)["next"]  # not before: telemd forgets who doesn't ask for five seconds
        gone_ms, begin_us = _ended(process, signal.SIGSEGV)
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            answer = self._tail(following)
            following = answer["next"]
            records = answer["records"]
            for record in records if isinstance(records, list) else []:
                return Crash(gone_ms, (record["when_us"] - begin_us) / 1000)
            time.sleep(LOOK_S)
        raise BenchError(f"no report came within {WAIT_S:.0f} s:\n{self.root.log_tail()}")

    def _tail(self, following: object) -> dict[str, object]:
        answer = self.root.ask("tail", **({} if following is None else {"from": following}))
        if answer is None or answer.get("ok") is not True:
            raise BenchError(f"telemd doesn't tell what passes:\n{self.root.log_tail()}")
        return answer

    def _died(
        self, threads: str, mib: str, limit: tuple[int, int], by: signal.Signals = signal.SIGSEGV
    ) -> tuple[float, int]:  # fmt: skip
        """As _ended, of one that has just come up."""
        return _ended(self._alive(threads, mib, limit), by)

    def _alive(self, threads: str, mib: str, limit: tuple[int, int]) -> subprocess.Popen[bytes]:
        """It has all its threads and memory, and waits for its end."""
        process = subprocess.Popen(
            [self.dying, threads, mib], stdout=subprocess.PIPE, cwd=self.folder,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, limit),
        )  # fmt: skip
        assert process.stdout
        if process.stdout.read(1) != b"!":
            raise BenchError(f"{self.dying} {threads} {mib} didn't come up: is there memory enough?")
        return process

    def _kernels_own(self, threads: str, mib: str) -> float:
        """Into a file beside the program."""
        corepattern.PATTERN.write_text("core")
        gone_ms, _ = self._died(threads, mib, NO_LIMIT)
        for core in self.folder.glob("core*"):
            core.unlink()
        return gone_ms

    def _used(self, calls: int) -> list[Used]:
        """By so many calls, in the order in which they ended."""
        file = self.folder / "w.used"
        end_s = time.monotonic() + WAIT_S
        while True:
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) >= calls:
                break
            if time.monotonic() > end_s:
                raise BenchError(f"of {calls} handlers {len(lines)} ended")
            time.sleep(LOOK_S)
        numbers = [[int(word) for word in line.split()] for line in lines]
        if any(status for _, _, status in numbers):
            raise BenchError(f"a handler failed: see the kernel's log\n{self.root.log_tail()}")
        return [Used(cpu_us / 1000, rss_kib / 1024) for cpu_us, rss_kib, _ in numbers]

    def _figure(self, work: str, values: list[float], unit: str, aim: Aim | None = None) -> Figure:
        conditions = self.setup.conditions("1 client")
        detail = f"median of {len(values)}; {min(values):.3g} to {max(values):.3g} {unit}" if len(values) > 1 else ""
        return Figure("handled", work, median(values), unit, conditions, aim, "-", detail)


def _ended(process: subprocess.Popen[bytes], by: signal.Signals) -> tuple[float, int]:
    """Milliseconds until it was gone, and when it was killed, in microseconds since 1970."""
    begin_us, begin_ns = time.time_ns() // 1000, time.monotonic_ns()
    os.kill(process.pid, by)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    gone_ms = (time.monotonic_ns() - begin_ns) / 1e6
    process.wait()
    assert process.stdout
    process.stdout.close()
    return gone_ms, begin_us


def available_mib() -> int:
    """Of memory, now."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) // 1024
    return 0
