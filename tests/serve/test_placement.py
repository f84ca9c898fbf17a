"""Where predict runs, decided from how long it took."""

from __future__ import annotations

import time

from mizzen.serve.lanes.placement import LONGEST, WINDOW, LoopGauge, Placement, ThreadGauge

FAST, SLOW = 0.0005, 0.002


def test_the_loop_is_earned_by_a_hundred_quick_batches_in_a_row():
    placement = Placement(loop_allowed=True)
    for _ in range(WINDOW - 1):
        placement.record(FAST)
        assert not placement.on_loop
    placement.record(SLOW)
    for _ in range(WINDOW - 1):
        placement.record(FAST)
        assert not placement.on_loop
    placement.record(FAST)
    assert placement.on_loop


def test_one_slow_batch_leaves_it_and_each_time_it_is_harder_to_come_back():
    placement = Placement(loop_allowed=True)
    needed = []
    for _ in range(9):
        count = 0
        while not placement.on_loop:
            placement.record(FAST)
            count += 1
        needed.append(count)
        placement.record(SLOW)
        assert not placement.on_loop
    assert needed == [100, 200, 400, 800, 1600, 3200, 6400, 6400, 6400]
    assert needed[-1] == LONGEST


def test_a_model_that_holds_on_the_loop_is_trusted_again():
    placement = Placement(loop_allowed=True)
    for _ in range(WINDOW):
        placement.record(FAST)
    placement.record(SLOW)
    for _ in range(4 * WINDOW):
        placement.record(FAST)
    assert placement.on_loop
    placement.record(SLOW)
    count = 0
    while not placement.on_loop:
        placement.record(FAST)
        count += 1
    assert count == 2 * WINDOW


def test_code_that_is_not_ours_never_runs_on_the_loop():
    placement = Placement(loop_allowed=False)
    for _ in range(10 * WINDOW):
        placement.record(0.0)
    assert not placement.on_loop


def test_on_the_loop_sleep_counts_and_on_the_thread_it_does_not():
    loop, thread = LoopGauge(), ThreadGauge()
    time.sleep(0.05)
    assert loop.seconds() >= 0.04
    assert thread.seconds() < 0.04
