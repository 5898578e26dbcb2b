# SPDX-License-Identifier: Apache-2.0
"""Files whose drivers are slow, or never answer, hold nobody up."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from telemetry_probes.metrics.readings import AGAIN_S, STUCK_MAX, STUCK_S, Readings

SOON_S = 30.0
"""Far more than a thread needs to be told."""


class Driver:
    """Answers for descriptors; those in `held` answer when they are let go."""

    def __init__(self) -> None:
        self.held: dict[int, threading.Event] = {}
        self.failing: dict[int, int] = {}

    def read(self, descriptor: int, size: int, offset: int) -> bytes:
        if descriptor in self.held:
            self.held[descriptor].wait(SOON_S * 4)
        if descriptor in self.failing:
            raise OSError(self.failing[descriptor], "")
        return b"%d\n" % descriptor

    def hold(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            self.held[descriptor] = threading.Event()


@pytest.fixture
def driver() -> Driver:
    return Driver()


def opened(path: Path, count: int) -> list[int]:
    path.write_bytes(b"45000\n")
    return [os.open(path, os.O_RDONLY) for _ in range(count)]


def test_contents_in_their_order(tmp_path: Path) -> None:
    descriptors = opened(tmp_path / "temp1_input", 3)
    (tmp_path / "other").write_bytes(b"7\n")
    descriptors.append(os.open(tmp_path / "other", os.O_RDONLY))
    some = Readings(descriptors, SOON_S)
    assert some.all(100.0) == [b"45000\n"] * 3 + [b"7\n"]
    (tmp_path / "temp1_input").write_bytes(b"46000\n")
    assert some.all(110.0)[0] == b"46000\n"
    assert not some.gone
    some.close()
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)


def test_one_that_cannot_be_read_is_empty(driver: Driver, tmp_path: Path) -> None:
    descriptors = opened(tmp_path / "file", 3)
    driver.failing[descriptors[1]] = errno.EIO
    some = Readings(descriptors, SOON_S, driver.read)
    said = some.all(100.0)
    assert (said[0], said[1], said[2]) == (b"%d\n" % descriptors[0], b"", b"%d\n" % descriptors[2])
    before = some.gone
    driver.failing[descriptors[1]] = errno.ENODEV
    some.all(110.0)
    assert (before, some.gone) == (False, True)
    some.close()


def reaches(some: Readings, at: int) -> None:
    """Until the round is at that file."""
    end_s = time.monotonic() + SOON_S
    while (some._round is None or some._round.at != at) and time.monotonic() < end_s:
        time.sleep(0.001)
    assert some._round is not None and some._round.at == at


def ends(thread: object) -> None:
    end_s = time.monotonic() + SOON_S
    while getattr(thread, "busy") and time.monotonic() < end_s:  # noqa: B009
        time.sleep(0.001)


def test_what_never_answers_is_left_out(driver: Driver, tmp_path: Path) -> None:
    descriptors = opened(tmp_path / "file", 3)
    some = Readings(descriptors, SOON_S, driver.read)
    assert all(some.all(100.0))
    driver.hold(descriptors[1])
    some._wait_s = 0.001
    assert some.all(110.0)[1] == b"%d\n" % descriptors[1]  # that of the round before
    reaches(some, 1)
    held = some._round
    assert some.all(120.0) == [b""] * 3  # it may still come
    assert some.all(120.0 + STUCK_S / 2) == [b""] * 3
    some._wait_s = SOON_S
    without = [b"%d\n" % descriptors[0], b"", b"%d\n" % descriptors[2]]
    assert some.all(130.0) == some.all(131.0 + AGAIN_S) == without
    driver.held.pop(descriptors[1]).set()
    ends(held)
    assert some.all(130.0 + AGAIN_S / 2) == without  # not at once: it may be slow each time
    assert all(some.all(130.0 + AGAIN_S))
    some.close()


def test_a_machine_that_slept_blames_no_file(driver: Driver, tmp_path: Path) -> None:
    descriptors = opened(tmp_path / "file", 2)
    some = Readings(descriptors, 0.001, driver.read)
    driver.hold(descriptors[0])
    some.all(100.0)
    reaches(some, 0)
    held = some._round
    assert some.all(50_000.0) == [b""] * 2
    driver.held.pop(descriptors[0]).set()
    ends(held)
    some._wait_s = SOON_S
    assert all(some.all(50_010.0))
    some.close()


def test_what_is_slow_is_told_the_next_time(driver: Driver, tmp_path: Path) -> None:
    descriptors = opened(tmp_path / "file", 2)
    some = Readings(descriptors, 0.001, driver.read)
    driver.hold(descriptors[1])
    assert some.all(100.0)[1] == b""
    driver.held.pop(descriptors[1]).set()
    ends(some._round)
    assert all(some.all(110.0)[1:])
    some.close()


def test_when_many_never_answer_it_is_said(driver: Driver, tmp_path: Path) -> None:
    descriptors = opened(tmp_path / "file", STUCK_MAX + 2)
    driver.hold(*descriptors)
    some = Readings(descriptors, 0.001, driver.read)
    now_s = 100.0
    for at in range(STUCK_MAX + 1):
        some.all(now_s)
        reaches(some, at)
        some.all(now_s + 1)
        if at < STUCK_MAX:
            some.all(now_s := now_s + 1 + STUCK_S)
    with pytest.raises(TimeoutError, match="never answer") as said:
        some.all(now_s + 2 + STUCK_S)
    assert said.value.strerror
    for event in driver.held.values():
        event.set()
    some.close()


def test_one_that_waits_in_the_kernel_holds_nobody_up(tmp_path: Path) -> None:
    waits, writes = os.pipe()
    (answers,) = opened(tmp_path / "file", 1)
    some = Readings([answers, waits, os.dup(answers)], 0.001, lambda descriptor, size, _: os.read(descriptor, size))
    some.all(100.0)
    reaches(some, 1)
    some.all(101.0)
    os.lseek(answers, 0, os.SEEK_SET)
    some._wait_s = SOON_S
    assert some.all(101.0 + STUCK_S) == [b"45000\n", b"", b""]  # the two have one place in the file
    os.write(writes, b"at last\n")
    some.close()
    os.close(writes)
