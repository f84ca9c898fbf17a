"""A stream of pieces from a model's loop to the server's: a few ahead of the client, never more.

The model's side reads the iterator that ``predict`` returned and hands its pieces over; the server's side is an
asynchronous iterator that the protocol reads. When the protocol closes it, because the client has gone, the model's
side is cancelled, and the generator sees that at the place where it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from mizzen.serve.custom.errors import InferenceError
from mizzen.serve.custom.thread import Outbox

# Pieces that the client has not taken yet.
AHEAD = 16


class Stream:
    """Made on the model's thread.

    Args:
        iterator: of the model: a plain or an asynchronous one.
        convert: makes of what it gives what the protocol takes.
        there, back: to the model's loop, and to the server's.
        heard: called on the server's loop for each piece.
        stop: called on the server's loop when it is not wanted any more; cancels :meth:`pump`.
    """

    def __init__(
        self,
        iterator: Any,
        convert: Callable[[Any], Any],
        there: Outbox,
        back: Outbox,
        heard: Callable[[], None],
        stop: Callable[[], None],
    ) -> None:
        self._iterator = iterator
        self._convert = convert
        self._there, self._back = there, back
        self._heard, self._stop = heard, stop
        self._room = asyncio.Semaphore(AHEAD)
        # The server's side.
        self._pieces: deque[Any] = deque()
        self._ended = False
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def pump(self) -> None:
        """Hand the iterator's pieces over until it ends. On the model's loop; never raises."""
        error: BaseException | None = None
        try:
            if hasattr(self._iterator, "__aiter__"):
                async for piece in self._iterator:
                    await self._hand(piece)
            else:
                for piece in self._iterator:
                    await self._hand(piece)
        except asyncio.CancelledError:
            error = InferenceError("the stream was cancelled")
        except SystemExit as ending:
            error = InferenceError(f"the model tried to end the process: sys.exit({ending.code!r})")
        except Exception as raised:
            error = raised
        except BaseException as raised:
            error = InferenceError(f"the model raised {type(raised).__name__}: {raised}")
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await closed(self._iterator)
        self._back.put(self._end, error)

    async def _hand(self, piece: Any) -> None:
        await self._room.acquire()
        self._back.put(self._arrived, self._convert(piece))
        # A plain generator, or one that never waits, must not keep the loop from hearing that nobody listens any more.
        await asyncio.sleep(0)

    def _arrived(self, piece: Any) -> None:
        self._pieces.append(piece)
        self._heard()
        self._wake()

    def _end(self, error: BaseException | None) -> None:
        self._ended, self._error = True, error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def __aiter__(self) -> Stream:
        return self

    async def __anext__(self) -> Any:
        while not self._pieces:
            if self._ended:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._there.put(self._room.release)
        return self._pieces.popleft()

    async def aclose(self) -> None:
        """Nobody wants the rest."""
        if not self._ended:
            self._pieces.clear()
            self._ended = True
            self._stop()


async def closed(iterator: Any) -> None:
    """End an iterator of the model's, which then puts away what it holds."""
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()
    elif hasattr(iterator, "close"):
        iterator.close()
