# SPDX-License-Identifier: Apache-2.0
"""Records that can't be sent are moved behind the others: once a lap, not for nothing, and not too much of it."""

from __future__ import annotations

from telemd.overtaking import BYTES_A_MS, LAP_MS, Laps


class Lane:
    """A queue of records that can't be sent (True) or can; moving goes by the rules of Laps."""

    def __init__(self) -> None:
        self.laps = Laps()
        self.queue: list[bool] = []
        self.head_seq = 1
        self.moves = 0

    @property
    def next_seq(self) -> int:
        return self.head_seq + len(self.queue)

    def pump(self, now_ms: int, size: int = 100) -> None:
        """As long as something can be done; records are sent and moved one by one."""
        while self.queue:
            if self.queue[0]:
                if all(self.queue):
                    self.laps.none_behind(self.head_seq, self.next_seq)
                if not self.laps.wanted(self.head_seq, self.next_seq, now_ms):
                    return
                self.laps.move(self.head_seq, self.next_seq, now_ms)
                self.queue.append(True)
                self.laps.moved(1, size)
                self.moves += 1
            del self.queue[0]
            self.head_seq += 1


def test_nothing_is_moved_where_nothing_waits_behind() -> None:
    lane = Lane()
    for now_ms in range(0, 5 * LAP_MS, LAP_MS):
        lane.queue.append(True)
        lane.pump(now_ms)
    assert lane.moves == 0


def test_what_waits_behind_gets_its_turn() -> None:
    lane = Lane()
    lane.queue = [True, True, False, True, False]
    lane.pump(0)
    assert lane.queue == [True, True, True] and lane.moves == 3


def test_newcomers_wait_for_the_next_lap_and_it_comes() -> None:
    lane = Lane()
    lane.queue = [True, False]
    lane.pump(0)
    lane.queue.append(False)
    lane.pump(LAP_MS - 1)
    assert lane.queue == [True, False]
    assert lane.laps.newcomers(lane.next_seq) and lane.laps.due_ms == LAP_MS
    lane.pump(LAP_MS)
    assert lane.queue == [True] and lane.moves == 2


def test_where_no_newcomers_came_no_lap_is_begun() -> None:
    lane = Lane()
    lane.queue = [True, True, False]
    lane.pump(0)
    for now_ms in range(LAP_MS, 20 * LAP_MS, LAP_MS):
        assert not lane.laps.newcomers(lane.next_seq)
        lane.pump(now_ms)
    assert lane.moves == 2


def test_the_more_was_moved_the_later_the_next_lap() -> None:
    lane = Lane()
    lane.queue = [True] * 10 + [False]
    lane.pump(0, 1000 * BYTES_A_MS)
    assert lane.laps.due_ms == LAP_MS + 10_000
    lane.queue.append(False)
    lane.pump(LAP_MS + 9_999)
    assert lane.moves == 10
    lane.pump(LAP_MS + 10_000)
    assert lane.moves == 20 and not any(not each for each in lane.queue)


def test_a_steady_stream_costs_a_lap_each_time_it_is_due() -> None:
    lane = Lane()
    lane.queue = [True] * 5
    for now_ms in range(0, 60_000, 10):
        lane.queue.append(False)
        lane.pump(now_ms)
    assert lane.moves == 5 * 60_000 // LAP_MS
    assert lane.queue.count(False) <= LAP_MS // 10


def test_after_a_failure_it_is_tried_again_with_the_next_lap() -> None:
    laps = Laps()
    assert laps.wanted(1, 3, 0)
    laps.move(1, 3, 0)
    laps.failed(1, 0)
    assert not laps.wanted(1, 3, LAP_MS - 1) and laps.wanted(1, 3, LAP_MS)
