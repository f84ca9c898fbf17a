"""A message body that arrives in pieces, read by one reader at its own pace.

What has arrived and was not read is bounded: past the high mark the source is told to pause, and to resume once the
reader has caught up. So a slow reader slows the sender down by TCP itself, and nobody's memory grows.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, MutableSequence

HIGH = 256 * 1024
LOW = 64 * 1024

# Pieces up to the one are joined, to pieces of about the other.
_TINY = 1024
_JOINED = 64 * 1024

Piece = bytes | bytearray


def gather(pieces: MutableSequence[Piece], piece: bytes) -> None:
    """Add a piece to others. Tiny ones, which would weigh many times what they hold, are joined as they come."""
    last = pieces[-1] if len(piece) <= _TINY else None
    if type(last) is bytearray and len(last) < _JOINED:
        last += piece
    elif last is None or len(last) > _TINY:
        pieces.append(piece)
    else:
        pieces[-1] = bytearray(last)
        pieces[-1] += piece


class Body:
    """The pieces of one body.

    Args:
        pause, resume: stop and restart the source. Called only in turns.
        wanted: called once, when the reader first asks (a server then sends ``100 Continue``).
    """

    __slots__ = ("_error", "_paused", "_pieces", "_size", "_waiter", "_wanted", "complete", "pause", "resume")

    def __init__(
        self, pause: Callable[[], None], resume: Callable[[], None], wanted: Callable[[], None] | None = None
    ) -> None:
        self.pause = pause
        self.resume = resume
        self.complete = False
        self._wanted = wanted
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._paused = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, piece: bytes) -> None:
        if self._pieces:
            gather(self._pieces, piece)
        else:
            self._pieces.append(piece)
        self._size += len(piece)
        if self._size > HIGH and not self._paused:
            self._paused = True
            self.pause()
        self._wake()

    def finish(self) -> None:
        """No more will come."""
        self.complete = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """The rest will never come: whoever reads past what has arrived gets ``error``."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def read(self) -> bytes:
        """The next piece; ``b""`` at the end.

        Raises:
            HttpError: the body was cut off.
        """
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            wanted()
        while not self._pieces:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        piece = self._pieces.popleft()
        self._size -= len(piece)
        if self._paused and self._size <= LOW:
            self._paused = False
            self.resume()
        return piece if type(piece) is bytes else bytes(piece)

    async def read_all(self) -> bytes:
        """The whole of what is left."""
        first = await self.read()
        if self.complete and not self._pieces:
            return first
        pieces = [first]
        while piece := await self.read():
            pieces.append(piece)
        return b"".join(pieces)

    def __aiter__(self) -> Body:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.read()
        if not piece:
            raise StopAsyncIteration
        return piece
