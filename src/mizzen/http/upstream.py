"""The client's side of one HTTP/1.1 connection: one request at a time, the answer as it comes.

It knows when it may be used again: the answer had an end of its own, the whole request went out, both sides want to
keep the connection, and nothing was left over. In every other case it is closed, never guessed about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import httptools

from mizzen.http.body import Body
from mizzen.http.errors import Disconnected, HttpError, Malformed, TimedOut
from mizzen.http.headers import Headers

_HEAD_LIMIT = 128 * 1024
_FIELD_LIMIT = 256


class Head(NamedTuple):
    """The start of an answer, and the body that follows."""

    status: int
    reason: bytes
    headers: Headers
    body: Body


def _nothing() -> None:
    pass


class Upstream(asyncio.Protocol):
    """A connection to a server.

    Args:
        release: called when the connection is idle and may be used again.
        forget: called once when it is lost.

    Attributes:
        received: whether a byte has come since the request was sent.
        reused: whether it has served a request before.
        sent: whether the whole request went out; whoever streams a body sets it.
        idle_since: the loop's time of the last release.
    """

    def __init__(self, release: Callable[[Upstream], None], forget: Callable[[Upstream], None]) -> None:
        self.received = False
        self.reused = False
        self.sent = True
        self.idle_since = 0.0
        self._release = release
        self._forget = forget
        self._transport: Any = None
        self._loop: Any = None
        self._parser: httptools.HttpResponseParser | None = None
        self._waiter: asyncio.Future[Head] | None = None
        self._current: asyncio.Future[Head] | None = None
        self._body: Body | None = None
        self._error: HttpError | None = None
        self._headers: Headers = []
        self._reason = b""
        self._fed = 0
        self._method = b""
        self._interim = False
        self._keep = False
        self._ends_with_connection = False
        self._paused = False
        self._room: asyncio.Future[None] | None = None
        self._due: float | None = None
        self._lateness = ""
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def usable(self) -> bool:
        """Whether a request can be sent on it now."""
        return self._transport is not None and not self._transport.is_closing() and self._error is None

    def send(self, method: bytes, message: bytes, body: bytes) -> asyncio.Future[Head]:
        """Send a request and return where its answer's head will be. ``message`` is the encoded head."""
        self._method = method
        self._due = None
        self.received = False
        self._fed = 0
        self._waiter = self._current = self._loop.create_future()
        if body:
            self._transport.writelines((message, body))
        else:
            self._transport.write(message)
        return self._waiter

    def write(self, piece: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(piece)

    async def drain(self, patience: float | None) -> None:
        """Wait until the server has taken enough of what was written, each time at most ``patience`` seconds.

        Raises:
            HttpError: the connection is lost, or the server takes nothing.
        """
        while self._paused and self._error is None:
            self._room = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(patience):
                    await self._room
            except TimeoutError:
                self.fail(TimedOut(f"the server took nothing of the request for {patience:g} s"))
            finally:
                self._room = None
        if self._error is not None:
            raise self._error

    def expect(self, request: asyncio.Future[Head], when: float | None, lateness: str) -> None:
        """Give ``request`` up at this time of the loop's clock, unless it is told otherwise or has its answer by then.

        One timer serves all requests of the connection: it moves on when it finds that it is early.
        """
        if self._current is not request:
            return
        self._due, self._lateness = when, lateness
        if when is not None and (self._alarm is None or self._alarm.when() > when):
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(when, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        if self._due is None or self._current is None:
            return
        if self._loop.time() < self._due:
            self._alarm = self._loop.call_at(self._due, self._ring)
        else:
            self.fail(TimedOut(self._lateness))

    def give_up(self, request: asyncio.Future[Head], error: HttpError) -> None:
        """End the connection for the sake of one request, if it is still serving that one."""
        if self._current is request:
            self.fail(error)

    def fail(self, error: HttpError) -> None:
        """Give the connection up; whoever waits gets ``error``."""
        if self._error is None:
            self._error = error
        if self._transport is not None:
            self._transport.abort()
        self._tell(self._error)

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._parser = None
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._ends_with_connection and exc is None and self._error is None and self._body is not None:
            body, self._body = self._body, None
            body.finish()
        if self._error is None:
            self._error = Disconnected("the server closed the connection before its answer was complete")
        self._tell(self._error)
        self._forget(self)

    def _tell(self, error: HttpError) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
        self._waiter = self._current = None
        if self._body is not None:
            self._body.fail(error)
            self._body = None
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if parser is None:
            return
        if self._waiter is None and self._body is None:
            # Bytes that nobody asked for: whatever they are, they must not become the next request's answer.
            self._transport.abort()
            return
        self.received = True
        self._fed += len(data)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self.fail(Malformed(502, "the server switched protocols without being asked"))
        except httptools.HttpParserError as error:
            cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
            if not self.usable:
                return
            self.fail(cause if isinstance(cause, HttpError) else Malformed(502, f"the answer is not HTTP/1.1: {cause}"))
        else:
            if self._waiter is not None and self._fed > _HEAD_LIMIT:
                self.fail(Malformed(502, f"the answer's header is larger than {_HEAD_LIMIT} bytes"))

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is not None:
            return  # a trailer
        if len(self._headers) >= _FIELD_LIMIT:
            raise Malformed(502, f"the answer has more than {_FIELD_LIMIT} header fields")
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None or self._waiter is None:
            raise Malformed(502, "the server sent an answer that nobody asked for")
        status = parser.get_status_code()
        headers, self._headers = self._headers, []
        reason, self._reason = self._reason, b""
        if status < 200:
            self._interim = True
            return
        self._keep = parser.should_keep_alive()
        names = {name for name, _ in headers}
        empty = self._method == b"HEAD" or status in (204, 304)
        self._ends_with_connection = not empty and not names & {b"content-length", b"transfer-encoding"}
        body = Body(self._pause_reading, self._resume_reading)
        waiter, self._waiter = self._waiter, None
        self._body = body
        if not waiter.done():
            waiter.set_result(Head(status, reason, headers, body))
        if self._method == b"HEAD":
            # llhttp waits for the body that the length speaks of; a fresh parser does not.
            self._parser = httptools.HttpResponseParser(self)
            self._complete()

    def on_body(self, piece: bytes) -> None:
        if self._body is None:
            raise Malformed(502, "the server sent more than its answer")
        self._body.feed(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif self._body is not None:
            self._complete()

    def _complete(self) -> None:
        body, self._body = self._body, None
        self._current = None
        assert body is not None
        # Its reader may still be at it when the next answer comes on this connection.
        body.pause = body.resume = _nothing
        self._resume_reading()
        body.finish()
        self.reused = True
        if self._keep and self.sent and not self._ends_with_connection and self.usable:
            self._release(self)
        else:
            self._transport.close()

    def _pause_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()
