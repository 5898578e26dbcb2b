# SPDX-License-Identifier: Apache-2.0
"""When collectors are sampled, on clocks that tests wind: at once, then at multiples of the interval."""

from __future__ import annotations

import pytest

from telemetry_probes.metrics.schedule import Schedule

WALL_S = 1_800_000_000.0
"""A multiple of all intervals here."""


def run(schedule: Schedule, boot_s: float, wall_s: float, until_s: float) -> list[tuple[float, list[str]]]:
    """What is due when, in seconds since boot_s, woken exactly when something is."""
    found: list[tuple[float, list[str]]] = []
    now_s = boot_s
    while (next_s := schedule.next_s()) is not None and next_s <= boot_s + until_s:
        now_s = max(now_s, next_s)
        due = schedule.due(now_s, wall_s + now_s - boot_s)
        assert due, "woken for nothing"
        found.append((round(now_s - boot_s, 3), due))
    return found


def schedule_of(boot_s: float, **intervals_s: float) -> Schedule:
    schedule = Schedule()
    for name, interval_s in intervals_s.items():
        schedule.add(name, interval_s, boot_s)
    return schedule


def test_at_once_and_then_together() -> None:
    schedule = schedule_of(77.7, cpu=5, memory=10)
    assert run(schedule, 77.7, WALL_S + 1.5, 20) == [
        (0.0, ["cpu", "memory"]),
        (3.5, ["cpu"]),
        (8.5, ["cpu", "memory"]),
        (13.5, ["cpu"]),
        (18.5, ["cpu", "memory"]),
    ]


def test_no_second_sample_right_after_the_first() -> None:
    assert [at for at, _ in run(schedule_of(0, cpu=5), 0, WALL_S + 4.9, 11)] == [0.0, 5.1, 10.1]


def test_what_the_machine_slept_through_is_not_made_up_for() -> None:
    schedule = schedule_of(0, cpu=5)
    run(schedule, 0, WALL_S, 20)
    assert schedule.due(7213.0, WALL_S + 7213) == ["cpu"]
    assert schedule.next_s() == pytest.approx(7220.0, abs=1e-3)


def test_a_clock_that_is_set() -> None:
    """Forwards, backwards, to before 1970: each time within one and a half intervals, and then aligned."""
    for jump_s in (3600.0, -3600.0, 2.0, -2.0, -WALL_S - 100):
        schedule = schedule_of(0, cpu=10)
        run(schedule, 0, WALL_S, 30)
        times = [at for at, _ in run(schedule, 30, WALL_S + 30 + jump_s, 60)]
        gaps = [later - sooner for sooner, later in zip([0.0, *times], times, strict=False)]
        assert all(0 < gap <= 15 for gap in gaps[1:])
        assert all((WALL_S + 30 + jump_s + at) % 10 < 0.01 for at in times[1:])


def test_late_wake_ups_do_not_move_the_others() -> None:
    schedule = schedule_of(0, cpu=5)
    schedule.due(0, WALL_S)
    assert schedule.due(5.9, WALL_S + 5.9) == ["cpu"]
    assert schedule.next_s() == pytest.approx(10.0, abs=1e-3)


def test_what_is_put_off() -> None:
    schedule = schedule_of(0, gpu=10, cpu=5)
    schedule.due(0, WALL_S)
    schedule.put_off("gpu", 0, 300)
    assert [at for at, names in run(schedule, 0, WALL_S, 400) if "gpu" in names][:2] == [300.0, 310.0]


def test_nothing_is_ever_due() -> None:
    assert Schedule().next_s() is None
    assert Schedule().due(10, WALL_S) == []
