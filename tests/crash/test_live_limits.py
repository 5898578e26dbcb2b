# SPDX-License-Identifier: Apache-2.0
"""What a handler may take, and what becomes of a crash for which there is none: with the real kernel."""

from __future__ import annotations

from pathlib import Path

import kernelcalls
import pytest
from kernelcalls import compiled, crash, handling, launcher, until_it_dumps

from telemetry_probes.crash import steps
from telemetry_probes.kernel import patterns

MEMORY_KIB_MAX = 24 << 10
PROGRAMS = Path(__file__).with_name("programs")
THREADS = """
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include "at_rest.h"
static pthread_barrier_t all_there;
static void *waits(void *p) { pthread_barrier_wait(&all_there); pause(); return p; }
int main(int argc, char **argv)
{
        int count = atoi(argv[argc - 1]);
        pthread_t thread;
        pthread_attr_t small;
        pthread_barrier_init(&all_there, NULL, count);
        pthread_attr_init(&small);
        pthread_attr_setstacksize(&small, 1 << 16);
        for (int i = 1; i < count; i++)
                if (pthread_create(&thread, &small, waits, NULL) != 0)
                        return 1;
        pthread_barrier_wait(&all_there);
        until_others_sleep();
        abort();
}
"""
TELLS_ITS_MEMORY = f"""
import os
from telemetry_probes.crash import handler
whole = handler.handle
def acts(step):
    if step == {steps.DONE!r}:
        with open('/proc/self/status') as status:
            size = next(line for line in status if line.startswith('VmHWM:'))
        handler.posix.write(handler.posix.open(STATE + '/memory', os.O_WRONLY | os.O_CREAT, 0o600), size.encode())
handler.handle = lambda said, now: whole(said, now, acts)
"""


@pytest.mark.parametrize("count", [300, 1500])
def test_many_threads_take_no_more_memory_than_a_small_machine_has(tmp_path: Path, count: int) -> None:
    """Debug information of the C library, which is compressed, among them, where it is installed."""
    program = compiled(tmp_path / "threads", THREADS, options=("-pthread", f"-I{PROGRAMS}"))
    with handling(launcher="placeholder") as handled:
        handled.launcher.write_text(launcher(TELLS_ITS_MEMORY.replace("STATE", repr(str(handled.state)))))
        handled.say("opt-in-no-privacy-filters")
        crash([program, str(count)])
        report = handled.report()
        handled.wait_idle()
        peak_kib = int((handled.state / "memory").read_text().split()[1])
    assert report.json["threads"] == count
    assert sum(stack.get("count", 1) for stack in report.json["stacks"]) == count
    assert peak_kib < MEMORY_KIB_MAX


def test_a_crash_above_the_kernel_s_limit_is_a_report_of_the_kernel_s_log() -> None:
    """The kernel ends that process at once, and calls nobody."""
    nested = kernelcalls.nested()
    with handling(pipe_limit=1, launcher=launcher(kernelcalls.WAITS)) as handled:
        handled.say("opt-in-no-privacy-filters")
        first = until_it_dumps([nested, "1"])
        second = crash([nested])
        (handled.folder / "go").touch()
        first.wait(kernelcalls.WAIT_S)
        assert handled.report().json["pid"] == first.pid
        about = [patterns.match(line) for line in handled.kernel_said() if str(second.pid) in line]
    assert [pattern.kind for pattern in about if pattern is not None] == ["core-pipe-limit"]
