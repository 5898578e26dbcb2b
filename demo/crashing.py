# SPDX-License-Identifier: Apache-2.0
"""A C program crashes, and its backtrace comes to the hub: as root the way a machine does it, the kernel calling
crashprobe, otherwise from the core that the kernel leaves.

Makes the program and the crash; how a report is made is crashprobe's affair.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bench import corepattern
from bench.rootonly import closed
from demo.arrivals import newest
from demo.system import DemoError

if TYPE_CHECKING:
    from demo.arrivals import Arrived
    from demo.system import System

CLASSES = "org.clearlinux/crash/"
COMPILE_S = 60.0
DIE_S = 30.0
ARRIVE_S = 30.0
LOCK_S = 60.0
POLL_S = 0.05
RECORDS_MAX = 50

SOURCE = """\
struct order { int lines; };

static int total(const struct order *order) { return order->lines; }
static int invoice(const struct order *order) { return total(order) + 1; }
int main(void) { return invoice((struct order *)16); }
"""


class NoCrash(Exception):
    """This machine can't show one; the text says why."""


def prepare(system: System) -> Path:
    """The program. NoCrash without a compiler. The owner lifts the privacy filters: of a program outside of /usr it
    would be told only that it crashed."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoCrash("there is no C compiler")
    source, program = system.directory / "invoice.c", system.directory / "invoice"
    source.write_text(SOURCE)
    command = [compiler, "-g", "-O0", "-o", str(program), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_S, check=False)
    if done.returncode != 0:
        raise NoCrash(f"{compiler} fails: {done.stderr.strip()[:200]}")
    (system.directory / "etc/telemetrics/opt-in-no-privacy-filters").touch()
    return program


@contextlib.contextmanager
def handled(system: System) -> Iterator[str]:
    """Within it the kernel calls crashprobe: "". Otherwise why it doesn't."""
    if os.geteuid() != 0:
        yield "only root can have the kernel call crashprobe"
        return
    system.directory.chmod(0o755)  # a handler that has given up root has to reach telemd
    if way := closed(system.directory, Path(sys.prefix)):
        yield f"only root may look into {way}, which crashprobe isn't while it works"
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(corepattern.changing(LOCK_S))
            program = system.linked("crashprobe", "crash")
            system.run("telemctl", ["crash", "enable", "--program", str(program)])
        except (DemoError, OSError) as error:
            yield str(error).strip()
            return
        try:
            yield ""
        finally:
            system.run("telemctl", ["crash", "disable"])


def crash(system: System, program: Path, is_handled: bool) -> None:
    """It dies of SIGSEGV; where nobody handles that its core is given to crashprobe. NoCrash where there is none."""
    limit = resource.getrlimit(resource.RLIMIT_CORE)[1]
    died = subprocess.run(
        [str(program)], cwd=system.directory, timeout=DIE_S, check=False, stderr=subprocess.DEVNULL,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (limit, limit)),
    )  # fmt: skip
    if died.returncode != -signal.SIGSEGV:
        raise DemoError(f"{program} should have died of SIGSEGV, and ended with {died.returncode}")
    if is_handled:
        return
    core = next(system.directory.glob("core*"), None)
    if core is None:
        raise NoCrash(f"the kernel left no core (core_pattern is {corepattern.PATTERN.read_text().strip()})")
    system.run("crashprobe", ["-c", str(core)])


def arrived(system: System, url: str) -> Arrived:
    """The report, at the hub. DemoError where it doesn't come."""
    end_s = time.monotonic() + ARRIVE_S
    while time.monotonic() < end_s:
        for record in newest(system, url, RECORDS_MAX):
            if record.classification.startswith(CLASSES):
                return record
        time.sleep(POLL_S)
    raise DemoError(f"no crash report came to the hub within {ARRIVE_S:.0f} s:\n{system.log_tail('telemd')}")


def backtrace(system: System, record: Arrived) -> list[str]:
    """Its lines as telemetrics-client has them; the demo's own directory goes without saying."""
    return record.text.replace(f"{system.directory}/", "").strip().splitlines()
