# SPDX-License-Identifier: Apache-2.0
"""How often systemd's watchdog is told. That it is told is tests/integration's."""

from __future__ import annotations

import os
import posix
import resource
from typing import TYPE_CHECKING

import pytest

from telemetry_probes.notifying import Watchdog, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    Limited = Callable[[str], Watchdog]


@pytest.fixture
def limited(monkeypatch: pytest.MonkeyPatch) -> Limited:
    """A watchdog with that limit in microseconds, and nobody who listens."""
    for name in (b"NOTIFY_SOCKET", b"WATCHDOG_PID"):
        monkeypatch.delitem(posix.environ, name, raising=False)

    def made(limit_us: str) -> Watchdog:
        monkeypatch.setitem(posix.environ, b"WATCHDOG_USEC", limit_us.encode())
        return Watchdog()

    return made


def test_at_once_and_then_three_times_in_the_limit(limited: Limited) -> None:
    watchdog = limited("300000000")
    assert watchdog.next_s() == 0
    watchdog.work(1000.0)
    assert watchdog.next_s() == 1100
    watchdog.work(1099.0)
    assert watchdog.next_s() == 1100
    watchdog.work(1250.0)
    assert watchdog.next_s() == 1350


@pytest.mark.parametrize("limit_us", ["", "0", "-1", "soon", "9" * 30])
def test_without_a_limit_never(limited: Limited, limit_us: str) -> None:
    watchdog = limited(limit_us)
    watchdog.work(1000.0)
    assert watchdog.next_s() is None


def test_no_descriptor_to_be_had_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(posix.environ, b"NOTIFY_SOCKET", b"@nobody")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        assert tell(b"READY=1") == os.strerror(24)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
