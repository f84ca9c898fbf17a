"""A loop over descriptors, timers and signals, for processes that fork.

An asyncio loop must not be in a process from which model servers are forked: its descriptors, threads and C state would
be in every child. This one is a selector and a heap.
"""

from __future__ import annotations

import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable
from typing import Protocol


class HasFileno(Protocol):
    def fileno(self) -> int: ...


Ready = Callable[[int], None]


class Timer:
    """Something to be done at ``due`` (of the monotonic clock), unless it is cancelled."""

    __slots__ = ("action", "due")

    def __init__(self, due: float, action: Callable[[], None]) -> None:
        self.due = due
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        self.action = None


class Loop:
    """Runs callbacks until :meth:`stop`. Sleeps without a time-out while no timer is set."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._running = False
        self._signals: dict[int, Callable[[], None]] = {}
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._waker, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self.watch(self._woken, selectors.EVENT_READ, self._signalled)

    def watch(self, fd: int | HasFileno, events: int, ready: Ready) -> None:
        """Call ``ready(events)`` whenever one of the events holds."""
        self._selector.register(fd, events, ready)

    def change(self, fd: int | HasFileno, events: int, ready: Ready) -> None:
        self._selector.modify(fd, events, ready)

    def unwatch(self, fd: int | HasFileno) -> None:
        self._selector.unregister(fd)

    def after(self, seconds: float, action: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, action)
        heapq.heappush(self._timers, (timer.due, next(self._order), timer))
        return timer

    def on_signal(self, signum: int, action: Callable[[], None]) -> None:
        """Call ``action`` from the loop, not from the signal handler."""
        self._signals[signum] = action
        signal.signal(signum, lambda *_: None)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        self._running = True
        while self._running:
            for key, events in self._selector.select(self._wait()):
                # What ran before in this round may have closed it; then only its number can still be asked for.
                if self._selector.get_map().get(key.fd) is key:
                    key.data(events)
            now = time.monotonic()
            while self._running and self._timers and self._timers[0][0] <= now:
                action = heapq.heappop(self._timers)[2].action
                if action is not None:
                    action()

    def _wait(self) -> float | None:
        while self._timers and self._timers[0][2].action is None:
            heapq.heappop(self._timers)
        return max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None

    def _signalled(self, _events: int) -> None:
        try:
            numbers = set(os.read(self._woken, 4096))
        except BlockingIOError:
            return
        for signum in sorted(numbers):
            action = self._signals.get(signum)
            if action is not None:
                action()
