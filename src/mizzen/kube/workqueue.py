"""A queue of keys to look at: each key at most once in it, and never worked on twice at the same time.

A key that is added while it is being worked on comes back when that work ends, so no change is missed and none is
looked at by two workers. Failures come back after a growing delay.
"""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

K = TypeVar("K")

FIRST_RETRY = 0.05
LONGEST_RETRY = 60.0


class WorkQueue(Generic[K]):
    """Keys wait in order of arrival. Not for use from several event loops."""

    def __init__(self) -> None:
        self._waiting: dict[K, None] = {}
        self._working: set[K] = set()
        self._again: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._failures: dict[K, int] = {}
        self._arrived = asyncio.Event()

    def add(self, key: K) -> None:
        """Look at ``key`` soon; a delay that was pending for it is over."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if key in self._working:
            self._again.add(key)
            return
        self._waiting[key] = None
        self._arrived.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Look at ``key`` after ``seconds``, unless it comes up earlier. The nearer of two delays counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and timer.when() <= loop.time() + seconds:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def retry(self, key: K) -> float:
        """Look at ``key`` again after a delay that doubles with each failure; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_RETRY * 2.0**failures, LONGEST_RETRY)
        self.add_after(key, delay)
        return delay

    def succeeded(self, key: K) -> None:
        """Forget the failures of ``key``."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """The next key; call :meth:`done` when its work has ended, however it ended."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        key = next(iter(self._waiting))
        del self._waiting[key]
        self._working.add(key)
        return key

    def done(self, key: K) -> None:
        self._working.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)

    def __len__(self) -> int:
        return len(self._waiting)
