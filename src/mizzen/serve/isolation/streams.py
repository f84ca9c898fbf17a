"""The server's end of a stream whose pieces come from a model's process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Pieces(Generic[T]):
    """An asynchronous iterator of what the child sends. All of it on the server's loop.

    Args:
        took: called for each piece that the client takes.
        stop: called when nobody wants the rest.
    """

    def __init__(self, took: Callable[[], None], stop: Callable[[], None]) -> None:
        self._took, self._stop = took, stop
        self._pieces: deque[T] = deque()
        self.ended = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def put(self, piece: T) -> None:
        self._pieces.append(piece)
        self._wake()

    def end(self, error: BaseException | None = None) -> None:
        self.ended, self._error = True, error
        self._wake()

    def __aiter__(self) -> Pieces[T]:
        return self

    async def __anext__(self) -> T:
        while not self._pieces:
            if self.ended:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._took()
        return self._pieces.popleft()

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        if not self.ended:
            self._pieces.clear()
            self.ended = True
            self._stop()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
