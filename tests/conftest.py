# SPDX-License-Identifier: Apache-2.0
"""The kinds of test and what each may cost. A kind is a folder; this is the only place where its budget stands.

Says at the end where the time went. A kind over its budget fails the run in CI (the environment variable CI is set),
on two cores; elsewhere it is only said. Fixtures of one kind belong into that kind's folder, not here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.append(str(TESTS.parent))  # bench and demo aren't installed; behind what is

BUDGET_MINUTES = {
    "unit": 2,  # pure code, no process, no socket
    "vectors": 1,  # the examples of docs/protocol.md
    "golden": 1,  # a fixture in, the expected text out
    "c": 2,  # C programs under AddressSanitizer and UBSan
    "crash": 8,  # real cores: what is found in them, and what the source says
    "simulation": 5,  # many seeds of time, faults and orders
    "integration": 11,  # processes, sockets and disks of this machine
    "system": 8,  # a booted systemd
    "fuzz": 2,  # libFuzzer, from the corpus on
}
assert sum(BUDGET_MINUTES.values()) <= 40

DESCRIPTORS_MAX = 512
"""Open at the end: select(2) takes none above 1023, and a test that closes nothing costs others theirs."""

spent_s: dict[str, float] = dict.fromkeys(BUDGET_MINUTES, 0.0)
count: dict[str, int] = dict.fromkeys(BUDGET_MINUTES, 0)


def kind_of(path: Path) -> str:
    """The first folder below tests/."""
    return path.relative_to(TESTS).parts[0]


def over_budget() -> list[str]:
    return [kind for kind, minutes in BUDGET_MINUTES.items() if spent_s[kind] > 60 * minutes]


def descriptors() -> int:
    """That this process has open."""
    return len(os.listdir("/proc/self/fd"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test outside of every kind has no budget; the quick kinds go first, in the order of the table."""
    order = {kind: place for place, kind in enumerate(BUDGET_MINUTES)}
    for item in items:
        if kind_of(item.path) not in order:
            raise pytest.UsageError(f"{item.path}: move it into one of the folders {', '.join(order)}")
    items.sort(key=lambda item: order[kind_of(item.path)])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    kind = Path(report.nodeid.partition("::")[0]).parts
    name = kind[1] if kind[0] == TESTS.name else kind[0]
    spent_s[name] += report.duration
    count[name] += report.when == "call" or report.skipped


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    if (over_budget() and os.environ.get("CI")) or descriptors() > DESCRIPTORS_MAX:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("where the time went")
    for kind, minutes in BUDGET_MINUTES.items():
        if count[kind]:
            mark = "  OVER BUDGET" if kind in over_budget() else ""
            terminalreporter.line(f"{kind:12} {count[kind]:6} tests {spent_s[kind]:8.1f} s of {60 * minutes:4} s{mark}")
    if descriptors() > DESCRIPTORS_MAX:
        terminalreporter.line(f"{descriptors()} descriptors are open, {DESCRIPTORS_MAX} may be: tests close too little")
