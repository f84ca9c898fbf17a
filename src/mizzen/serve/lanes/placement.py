"""Where ``predict`` runs: on the event loop while it is quick, else on the model's thread.

A call from the loop saves two thread switches, which a small model's requests spend more on than on the model; a slow
call there would hold up everyone. So the loop is for models whose slowest of the last 100 batches stayed under 1 ms.

What counts is the model's own time. Another process that takes the core, and on the thread the wait for the
interpreter's lock, are not the model's doing and would be no shorter elsewhere, so processor time is taken where a
call did not sleep. One that sleeps cannot be told on the thread from one that waits for the lock: such a model looks
quick there and slow on the loop, and each time it does it must be quick for twice as long before it is tried again.
"""

from __future__ import annotations

import time

try:
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # not Linux: the clock must do

    def _sleeps() -> int:
        return int(time.perf_counter() * 1e9)

else:

    def _sleeps() -> int:
        return getrusage(RUSAGE_THREAD).ru_nvcsw


QUICK = 0.001
WINDOW = 100
LONGEST = 64 * WINDOW


class LoopGauge:
    """Times one call on the loop: by processor time, unless it slept."""

    def __init__(self) -> None:
        self._clock = time.perf_counter()
        self._processor = time.thread_time()
        self._sleeps = _sleeps()

    def seconds(self) -> float:
        clock = time.perf_counter() - self._clock
        if clock < QUICK or _sleeps() != self._sleeps:
            return clock
        return time.thread_time() - self._processor


class ThreadGauge:
    """Times one call on the model's thread: by processor time."""

    def __init__(self) -> None:
        self._processor = time.thread_time()

    def seconds(self) -> float:
        return time.thread_time() - self._processor


class Placement:
    """The judgement for one model.

    Args:
        loop_allowed: False for code that is not ours: it always runs on the thread.
    """

    def __init__(self, loop_allowed: bool) -> None:
        self._loop_allowed = loop_allowed
        self._needed = WINDOW
        self._quick = 0
        self.on_loop = False

    def record(self, seconds: float) -> None:
        """One batch ran where ``on_loop`` says and took so long."""
        if seconds < QUICK:
            self._quick += 1
            if self._quick < self._needed or not self._loop_allowed:
                return
            if not self.on_loop:
                self.on_loop = True
                self._quick = 0
            elif self._needed > WINDOW:
                # It has held on the loop as long as it had to prove itself: trust it sooner next time.
                self._needed //= 2
                self._quick = 0
            return
        self._quick = 0
        if self.on_loop:
            self.on_loop = False
            self._needed = min(self._needed * 2, LONGEST)
