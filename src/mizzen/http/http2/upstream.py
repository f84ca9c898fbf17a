"""The client's side of one HTTP/2 connection: many requests at once, each with its own end.

It says when it may be used: while the server takes more requests, has not said that it goes away, and has numbers
left. A request that the server certainly did not work on fails in a way that says so, so that it may be sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mizzen.http.errors import ConnectFailed, Disconnected, HttpError, Malformed, Reset, TimedOut
from mizzen.http.http2 import fields, frames
from mizzen.http.http2.call import Call
from mizzen.http.http2.endpoint import Endpoint
from mizzen.http.http2.fields import ResponseHead
from mizzen.http.http2.frames import LARGEST_STREAM, PREFACE, Broken, Code
from mizzen.http.http2.guard import Guard
from mizzen.http.http2.stream import Stream

_STREAM_WINDOW = 1024 * 1024
_CONNECTION_WINDOW = 16 * 1024 * 1024
_LARGEST_FRAME = 64 * 1024
_LARGEST_HEADER = 256 * 1024

# What is assumed until the server says otherwise; servers seldom take fewer.
_STREAMS = 100

# A server may well end request after request; only frames without end are a fault of its own.
_RESETS = 1_000_000
_NOISE = 100_000

_ALIVE = b"alive???"


class Http2Upstream(Endpoint[Call, ResponseHead]):
    """A connection to a server.

    Args:
        freed: called when it may take more requests than before; with whether these may be many.
        forget: called once when it is lost.

    Attributes:
        used: whether a request has been answered on it.
        reads: how often something has come.
        idle_since: the loop's time since when it has no request; None while it has.
        failure: why it takes no more requests, if that is a fault.
    """

    greeting = PREFACE

    def __init__(self, freed: Callable[[bool], None], forget: Callable[[Http2Upstream], None]) -> None:
        super().__init__(
            settings={
                frames.ENABLE_PUSH: 0,
                frames.INITIAL_WINDOW_SIZE: _STREAM_WINDOW,
                frames.MAX_FRAME_SIZE: _LARGEST_FRAME,
                frames.MAX_HEADER_LIST_SIZE: _LARGEST_HEADER,
            },
            connection_window=_CONNECTION_WINDOW,
            largest=_LARGEST_HEADER,
            guard=Guard(_RESETS, _NOISE),
            understand=fields.response,
        )
        self.used = False
        self.reads = 0
        self.idle_since: float | None = 0.0
        self.failure: HttpError | None = None
        self._freed = freed
        self._forget_me = forget
        self._next = 1
        self._leaving = False
        self._why = "the server closed the connection before its answer was complete"
        self._pinged = 0.0

    @property
    def ticks(self) -> float:
        return self._loop.time()

    @property
    def usable(self) -> bool:
        """Whether it may ever take another request."""
        return not (self._deaf or self._leaving or self._next > LARGEST_STREAM or self._transport.is_closing())

    @property
    def agreed(self) -> str | None:
        """What TLS has agreed on."""
        tls = self._transport.get_extra_info("ssl_object")
        return tls.selected_alpn_protocol() if tls is not None else None

    @property
    def new(self) -> bool:
        """Whether the server has not said yet how many requests it takes."""
        return not self._settled

    @property
    def free(self) -> bool:
        """Whether it takes another request now."""
        most = self.peer_settings.get(frames.MAX_CONCURRENT_STREAMS, LARGEST_STREAM if self._settled else _STREAMS)
        return self.usable and len(self.streams) < most

    def call(self, method: bytes, block: bytes, body: bytes | None) -> Call:
        """Send a request.

        Args:
            block: its encoded head.
            body: the whole of it; None if it follows in pieces.
        """
        call = Call(self, method)
        stream = Stream(self._next, call, self._initial_window, self._stream_window, True, self._loop.time())
        self._next += 2
        call.link = stream
        call.body = self.body(stream)
        self.streams[stream.id] = stream
        self.idle_since = None
        self.put_head(stream, block, body == b"")
        if body:
            self.put_data(stream, body, True)
        return call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.heard = self.idle_since = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._parts.clear()
        if self.failure is None:
            self.failure = ConnectFailed("the server closed the connection before a request was sent")
        self._fail_all(lambda: Disconnected(self._why))
        self._forget_me(self)

    def data_received(self, data: bytes) -> None:
        self.reads += 1
        super().data_received(data)

    def _fail_all(self, error: Callable[[], Disconnected | ConnectFailed | TimedOut], above: int = 0) -> None:
        for stream in [stream for number, stream in self.streams.items() if number > above]:
            call = stream.owner
            self._forget(stream)
            call.fail(error())

    # What comes.

    def _head(self, number: int, block: bytes, ended: bool) -> None:
        stream = self.streams.get(number)
        try:
            if stream is None or not stream.receiving:
                self._decoder.pairs(block)
                self._on_closed(number, "HEADERS")
                return
            call = stream.owner
            if call.status:
                call.trailers = fields.trailers(self._decoder.pairs(block))
                if not ended:
                    raise Malformed(502, "trailers must be the end")
            else:
                head = self._decoder.head(block)
                if head.status == 101 or (head.status < 200 and ended):
                    raise Malformed(502, f"an answer cannot be {head.status} here")
                if head.status < 200:
                    return
                call.begin(head)
        except Malformed as error:
            if stream is not None:
                stream.owner.fail(Malformed(502, str(error)))
                self.reset(stream, Code.PROTOCOL_ERROR)
            return
        if ended:
            stream.receiving = False
            self._received(stream)

    def _data(self, stream: Stream[Call], piece: bytes, size: int) -> None:
        call = stream.owner
        if call.missing is not None:
            call.missing -= len(piece)
        if not call.status or (call.missing is not None and call.missing < 0):
            self.give_back(size)
            call.fail(Malformed(502, "the answer's body is longer than its content-length, or comes before its head"))
            self.reset(stream, Code.PROTOCOL_ERROR)
        else:
            self.feed(stream, call.body, piece, size)

    def _received(self, stream: Stream[Call]) -> None:
        call = stream.owner
        if call.missing:
            call.fail(Malformed(502, "the answer's body is shorter than its content-length"))
            self.reset(stream, Code.PROTOCOL_ERROR)
            return
        self.used = True
        call.end()
        if not stream.sending:
            self._forget(stream)

    def _given_up(self, owner: Call, code: int) -> None:
        if code == Code.REFUSED_STREAM:
            owner.fail(ConnectFailed("the server refused the request before it worked on it"))
        else:
            owner.fail(Reset(code, f"the server gave the request up: {frames.code_name(code)}"))

    def _goaway(self, last: int, code: int, text: str) -> None:
        self._leaving = True
        why = f"the server goes away ({frames.code_name(code)}{': ' + text if text else ''})"
        self._fail_all(lambda: ConnectFailed(f"{why} and did not work on the request"), above=last)
        if code:
            self._why = why
        if not self.streams:
            self.close()
        self._freed(True)

    def _idle(self, number: int) -> bool:
        return not number & 1 or number >= self._next

    def _changed(self) -> None:
        self._freed(True)

    def _closed(self, stream: Stream[Call]) -> None:
        if not self.streams:
            self.idle_since = self._loop.time()
            if self._leaving:
                self.close()
                return
        self._freed(False)

    def _stop(self, error: Broken) -> None:
        if not self._transport.is_closing():
            self.put(frames.goaway(0, error.code, str(error)))
            self._flush()
            self._transport.close()
        self.failure = Malformed(502, f"the server's answer is not HTTP/2: {error}")
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            stream.drop()
            stream.owner.fail(self.failure)
            del stream.owner

    # Its end.

    def close(self) -> None:
        """Say that nothing more comes, and end."""
        if not self._deaf:
            self._deaf = True
            if not self._transport.is_closing():
                self.put(frames.goaway(0, Code.NO_ERROR))
                self._flush()
                self._transport.close()

    def fail(self, error: Callable[[], Disconnected | TimedOut]) -> None:
        """Give the connection up; whoever waits gets the error."""
        self._fail_all(error)
        self._transport.abort()

    def check_time(self, now: float, patience: float) -> None:
        """A server from which nothing comes is asked whether it is still there."""
        if not self.streams or now - self.heard < patience:
            self._pinged = 0.0
        elif not self._pinged:
            self._pinged = now
            self.put(frames.ping(_ALIVE))
        elif now - self._pinged >= patience:
            self.fail(lambda: TimedOut(f"the server has not given a sign of life for {now - self.heard:.0f} s"))
