"""Who wants to know that something has changed, and is told what: not how, that is read where it is kept.

A change that is told twice before a listener has come round is told to it once. So nobody is ever sent more than there
are things, and the last change of each always arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager

from mizzen.acm.runtime.service import Change

# Messages are ever new things; of those the oldest are let go.
_MOST = 10_000


class Feed:
    """Told on the event loop, and listened to there."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def tell(self, changes: Iterable[Change]) -> None:
        for listener in self._listeners:
            listener.add(changes)

    @contextmanager
    def listen(self) -> Iterator[AsyncIterator[Change]]:
        listener = _Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
            listener.close()


class _Listener:
    def __init__(self) -> None:
        self._waiting: dict[Change, None] = {}
        self._news = asyncio.Event()
        self._closed = False

    def add(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self._waiting.pop(change, None)
            self._waiting[change] = None
        while len(self._waiting) > _MOST:
            self._waiting.pop(next(iter(self._waiting)))
        self._news.set()

    def close(self) -> None:
        self._closed = True
        self._news.set()

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        change = next(iter(self._waiting))
        del self._waiting[change]
        return change
