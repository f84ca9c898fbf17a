"""One request of a client and its answer, both in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple

from mizzen.http.body import Body
from mizzen.http.errors import Disconnected, HttpError, TimedOut
from mizzen.http.headers import Headers, find
from mizzen.http.http2.fields import ResponseHead
from mizzen.http.http2.frames import Code
from mizzen.http.http2.stream import HIGH, Stream

if TYPE_CHECKING:
    from mizzen.http.http2.upstream import Http2Upstream


class Answer(NamedTuple):
    """A whole answer; names of fields are in lower case."""

    status: int
    headers: Headers
    body: bytes
    trailers: Headers

    def header(self, name: bytes) -> bytes | None:
        """The first value of the field ``name`` (in lower case)."""
        return find(self.headers, name)


class Call:
    """A request that is open. Write its body and end it; read the answer meanwhile or afterwards.

    ``async with`` gives it up if it is left before the answer is complete. One reader at a time.

    Attributes:
        status, headers: of the answer, once :meth:`head` has returned.
        trailers: of the answer, once its body has been read to its end.
        body: the answer's body.
        missing: what is still to come of it, where that was declared.
        complete: whether the whole answer has arrived; parts of it may still be unread.
    """

    def __init__(self, upstream: Http2Upstream, method: bytes) -> None:
        self.method = method
        self.status = 0
        self.headers: Headers = []
        self.trailers: Headers = []
        self.missing: int | None = None
        self.complete = False
        self.body: Body
        self.link: Stream[Call]
        self._upstream = upstream
        self._reads = upstream.reads
        self._error: HttpError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def write(self, piece: bytes) -> None:
        """Send a piece of the body. To respect a slow server, await :meth:`drain` between pieces.

        What is written after the server has given the request up, or has answered it, is dropped.
        """
        self._upstream.put_data(self.link, piece, False)

    async def drain(self) -> None:
        """Wait until the server has taken enough of what was written.

        Raises:
            HttpError: the request failed.
        """
        while self.link.unsent > HIGH and self._error is None:
            await self.link.drained()
        if self._error is not None:
            raise self._error

    def finish(self) -> None:
        """End the body."""
        self._upstream.put_data(self.link, b"", True)

    async def head(self) -> int:
        """Wait for the answer's status and fields. Returns the status.

        Raises:
            HttpError: the request failed; its class says how.
        """
        while not self.status:
            if self._error is not None:
                raise self._error
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self.status

    async def piece(self) -> bytes:
        """The next piece of the answer's body; ``b""`` at its end.

        Raises:
            HttpError: it was cut off.
        """
        return await self.body.read()

    async def answer(self) -> Answer:
        """Wait for the whole answer, or what is left of it.

        Raises:
            HttpError: it did not come.
        """
        await self.head()
        body = await self.body.read_all()
        return Answer(self.status, self.headers, body, self.trailers)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.body

    def cancel(self) -> None:
        """Give the request up, unless its answer is complete already."""
        self._settle()
        self._upstream.reset(self.link, Code.NO_ERROR if self.complete else Code.CANCEL)
        self.fail(Disconnected("the request was given up"))

    @property
    def heard(self) -> bool:
        """Whether anything has come on the connection since this began."""
        return self._upstream.reads != self._reads

    async def __aenter__(self) -> Call:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.cancel()

    def expire(self, when: float | None, lateness: str = "") -> None:
        """Give it up at this time of the loop's clock, or at none, unless the answer is complete by then."""
        self._settle()
        if when is not None and self._error is None and not self.complete:
            self._alarm = asyncio.get_running_loop().call_at(when, self._late, lateness)

    def _late(self, lateness: str) -> None:
        self._upstream.reset(self.link, Code.CANCEL)
        self.fail(TimedOut(lateness))

    # What the connection tells.

    def begin(self, head: ResponseHead) -> None:
        self.status, self.headers = head.status, head.headers.copy()
        if self.method != b"HEAD" and head.status not in (204, 304):
            self.missing = head.length
        self._wake()

    def end(self) -> None:
        self.complete = True
        self._settle()
        self.body.finish()

    def fail(self, error: HttpError) -> None:
        """Whoever waits for it gets ``error``; a complete answer stays one."""
        if self.complete or self._error is not None:
            return
        self._error = error
        self._settle()
        self.body.fail(error)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _settle(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
