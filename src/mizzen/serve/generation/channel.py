"""A bounded way from one thread to the event loop.

The thread waits while the reader is slower than it, so that a client that does not read costs no memory; the reader is
woken once for everything that came meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import Generic, TypeVar

from mizzen.serve.generation.model import Cancelled, Signal

T = TypeVar("T")

CAPACITY = 16


class Channel(Generic[T]):
    """Args:
    signal: looked at with each item; cancelling it and closing the channel ends the thread's wait.
    capacity: items that may lie in it.

    Attributes:
        timer: cancelled when the channel is closed.
    """

    def __init__(self, signal: Signal, capacity: int = CAPACITY) -> None:
        self._loop = asyncio.get_running_loop()
        self._signal = signal
        self._capacity = capacity
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._waiter: asyncio.Future[None] | None = None
        self._told = False
        self._ended = False
        self._error: BaseException | None = None
        self.timer: asyncio.TimerHandle | None = None

    def put(self, item: T) -> None:
        """Hand an item over. For the thread; waits for room.

        Raises:
            Cancelled, DeadlineExceeded
        """
        signal = self._signal
        signal.check()
        with self._changed:
            while len(self._items) >= self._capacity and not signal.cancelled:
                self._changed.wait(None if signal.deadline is None else signal.deadline - time.monotonic())
                signal.check()
            if signal.cancelled:
                raise Cancelled
            self._items.append(item)
            tell, self._told = not self._told, True
        if tell:
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                raise Cancelled from None  # the loop is closed

    def end(self, error: BaseException | None = None) -> None:
        """Nothing more comes. For the loop."""
        if not self._ended:
            self._ended, self._error = True, error
            self._wake()

    def close(self) -> None:
        """Nobody reads any more. For the loop."""
        self._signal.cancelled = True
        if self.timer is not None:
            self.timer.cancel()
        with self._changed:
            self._items.clear()
            self._changed.notify_all()

    def __aiter__(self) -> Channel[T]:
        return self

    async def __anext__(self) -> T:
        """The next item.

        Raises:
            StopAsyncIteration: there is none.
            BaseException: what :meth:`end` was given.
        """
        while True:
            with self._changed:
                if self._items:
                    item = self._items.popleft()
                    self._changed.notify()
                    return item
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _wake(self) -> None:
        with self._changed:
            self._told = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
