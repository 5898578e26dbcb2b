# SPDX-License-Identifier: Apache-2.0
"""The kinds of test and what each may cost. A kind is a folder; this is the only place where its budget stands.

Says at the end where the time went, and which kind is over its budget. In CI (the environment variable CI is set), on
two cores, all together over the sum of the budgets fail the run. Fixtures of one kind belong into that kind's folder,
not here.

Nothing of the environment of who runs the tests decides how they end: what programs would take from it is removed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path.append(str(TESTS.parent))  # bench and demo aren't installed; behind what is

FOREIGN = {
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR",  # whom programs trust
    "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_USEC", "WATCHDOG_PID",  # a service's
    "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "LOGS_DIRECTORY", "CONFIGURATION_DIRECTORY", "CREDENTIALS_DIRECTORY",
    "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES",  # a terminal's
    "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "DESTDIR",  # of the make that runs them
    "LANGUAGE", "DEBUGINFOD_URLS", "GODEBUG", "GOTRACEBACK",  # what compilers and debuggers say, and whom they ask
}  # fmt: skip
FOR_PIP = {"PIP_CERT": ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), "PIP_PROXY": ("https_proxy", "HTTPS_PROXY")}
"""It gets packages for the test of another Python, and keeps its way to them by variables of its own."""

for own, names in FOR_PIP.items():
    for name in names:
        if name in os.environ:
            os.environ.setdefault(own, os.environ[name])
for name in [each for each in os.environ if each in FOREIGN or each.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["LC_ALL"] = "C.UTF-8"
os.umask(0o022)  # programs that tests make are run by other users

BUDGET_MINUTES = {
    "unit": 1,  # pure code, no process, no socket
    "vectors": 1,  # the examples of docs/protocol.md
    "golden": 2,  # a fixture in, the expected text out
    "c": 1,  # C programs under AddressSanitizer and UBSan
    "crash": 6,  # real cores: what is found in them, and what the source says
    "simulation": 4,  # many seeds of time, faults and orders
    "integration": 13,  # processes, sockets and disks of this machine
    "system": 10,  # a booted systemd
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


def is_too_slow() -> bool:
    """One kind may take longer where the machine has much else to do, as long as the whole run is soon over."""
    return sum(spent_s.values()) > 60 * sum(BUDGET_MINUTES.values())


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
    if (is_too_slow() and os.environ.get("CI")) or descriptors() > DESCRIPTORS_MAX:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section("where the time went")
    for kind, minutes in BUDGET_MINUTES.items():
        if count[kind]:
            mark = "  OVER BUDGET" if kind in over_budget() else ""
            terminalreporter.line(f"{kind:12} {count[kind]:6} tests {spent_s[kind]:8.1f} s of {60 * minutes:4} s{mark}")
    if descriptors() > DESCRIPTORS_MAX:
        terminalreporter.line(f"{descriptors()} descriptors are open, {DESCRIPTORS_MAX} may be: tests close too little")
