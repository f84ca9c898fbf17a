"""The server's side of one HTTP/2 connection.

Requests come out to the handler as soon as they are complete (or, where the server wants that, as soon as their heads
are), and answers go back as they are ready. What is wrong with one request ends that request, in words where it can;
only what makes the rest unreadable, or is meant to harm, ends the connection.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from mizzen.http.errors import Disconnected, Malformed
from mizzen.http.http2 import fields, frames
from mizzen.http.http2.endpoint import Endpoint
from mizzen.http.http2.exchange import Http2Exchange
from mizzen.http.http2.fields import Pairs, RequestHead
from mizzen.http.http2.frames import LARGEST_STREAM, Broken, Code
from mizzen.http.http2.guard import Guard
from mizzen.http.http2.intake import Intake
from mizzen.http.http2.stream import Stream
from mizzen.http.rules import too_large

if TYPE_CHECKING:
    from mizzen.http.server import Limits, Server

logger = logging.getLogger(__name__)

# How much larger than it may be a head is still read, so that it can be refused in words.
_READABLE = 4

_DRAINING = b"draining"
_ALIVE = b"alive???"

_UNREADABLE = RequestHead(b"GET", b"", [], None, False)


class Http2Connection(Endpoint[Http2Exchange, RequestHead]):
    """One client. Times are in the server's ticks (see :class:`mizzen.http.server.Server`)."""

    def __init__(self, server: Server) -> None:
        limits = server.limits
        super().__init__(
            settings={
                frames.MAX_CONCURRENT_STREAMS: limits.streams,
                frames.INITIAL_WINDOW_SIZE: limits.stream_window,
                frames.MAX_FRAME_SIZE: limits.frame,
                frames.MAX_HEADER_LIST_SIZE: limits.head,
            },
            connection_window=limits.connection_window,
            largest=limits.head * _READABLE,
            guard=Guard(limits.resets, limits.noise),
            understand=partial(_understand, limits),
        )
        self.server = server
        self._limits = limits
        self._handler = server.handler
        self._streaming = server.streaming
        self._intake = Intake(limits.body)
        # The highest stream that the client has opened.
        self._last = 0
        # Told that the server ends; told with which stream.
        self._draining = False
        self._final = False
        self._lingering = False
        self._since = 0
        self._heading_since = 0
        self._pinged = -1
        self._unsent = 0

    @property
    def ticks(self) -> int:
        return self.server.ticks

    # What comes.

    def connection_made(self, transport) -> None:  # type: ignore[no-untyped-def]
        super().connection_made(transport)
        self._since = self._heading_since = self.server.opened(self)
        self.heard = self._since
        if self.server.draining:
            self.close_if_idle()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.closed(self)
        self._deaf = True
        self._parts.clear()
        self._give_up_all()

    def eof_received(self) -> bool:
        """A client that has said its last word has gone: no answer of ours could open a window."""
        return False

    def open(self, number: int, exchange: Http2Exchange, ended: bool) -> Stream[Http2Exchange]:
        """A stream for a request whose head has come."""
        stream = Stream(number, exchange, self._initial_window, self._stream_window, not ended, self.server.ticks)
        self.streams[number] = stream
        return stream

    def _head(self, number: int, block: bytes, ended: bool) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            self._trailers(stream, block, ended)
            return
        fault: Malformed | None = None
        try:
            head = self._decoder.head(block)
        except Malformed as error:
            head, fault = _UNREADABLE, error
        if not number & 1:
            raise Broken(Code.PROTOCOL_ERROR, "a client's streams have odd numbers")
        if number <= self._last:
            self._on_closed(number, "HEADERS")
            return
        self._last = number
        if self._final or len(self.streams) >= self._limits.streams:
            # Nothing was done for it, so it may be sent again.
            self.guard.noise()
            self.forbid(number, Code.REFUSED_STREAM)
            return
        self.guard.progress()
        exchange = Http2Exchange(self, number, head, ended)
        if fault is not None:
            self._refuse(exchange, fault)
            self.guard.reset()
            return
        if ended and head.length:
            self.fault(exchange.link, Code.PROTOCOL_ERROR, "the body is shorter than its content-length")
            return
        streaming = self._streaming
        if streaming and (streaming is True or self.server.streams(exchange)):
            exchange.stream = self.body(exchange.link, exchange.invite if head.expects else None)
            if ended:
                exchange.stream.finish()
            self._open(exchange)
        elif ended:
            self._open(exchange)
        elif head.length is not None and head.length > self._limits.body:
            self._refuse(exchange, Malformed(413, too_large(self._limits.body)))
        elif head.expects:
            exchange.invite()

    def _trailers(self, stream: Stream[Http2Exchange], block: bytes, ended: bool) -> None:
        try:
            fields.trailers(self._decoder.pairs(block))
        except Malformed as error:
            self.fault(stream, Code.PROTOCOL_ERROR, str(error))
            return
        if not stream.receiving:
            self.fault(stream, Code.STREAM_CLOSED, "HEADERS after its end")
        elif not ended:
            self.fault(stream, Code.PROTOCOL_ERROR, "trailers must be the end")
        else:
            stream.receiving = False
            self._received(stream)

    def _data(self, stream: Stream[Http2Exchange], piece: bytes, size: int) -> None:
        exchange = stream.owner
        if exchange.answered:
            self.give_back(size)
            return
        if exchange.missing is not None:
            exchange.missing -= len(piece)
            if exchange.missing < 0:
                self.give_back(size)
                self.fault(stream, Code.PROTOCOL_ERROR, "the body is longer than its content-length")
                return
        body = exchange.stream
        if body is not None:
            self.feed(stream, body, piece, size)
            return
        if exchange.collect(piece) > self._limits.body:
            self.give_back(size)
            self._refuse(exchange, Malformed(413, too_large(self._limits.body)))
        elif not stream.receiving:
            self.give_back(size)
        elif self._intake.grew(stream, size):
            self.take(stream, size)
        else:
            self.give_back(size)

    def _received(self, stream: Stream[Http2Exchange]) -> None:
        exchange = stream.owner
        if exchange.answered:
            if not stream.sending:
                self._forget(stream)
            return
        if exchange.missing:
            self.fault(stream, Code.PROTOCOL_ERROR, "the body is shorter than its content-length")
            return
        exchange.received = True
        if exchange.stream is not None:
            exchange.stream.finish()
            return
        self._collected(stream)
        exchange.collected()
        self._open(exchange)

    def _open(self, exchange: Http2Exchange) -> None:
        exchange.served = True
        try:
            self._handler(exchange)
        except Exception:
            logger.exception("%s %r failed", exchange.method.decode(), exchange.target)
            exchange.fail()

    def _refuse(self, exchange: Http2Exchange, error: Malformed) -> None:
        """Answer a request that cannot be served; one that is malformed ends with that (section 8.1.1)."""
        stream = exchange.link
        if error.status == 400:
            stream.receiving = False
        exchange.refuse(error.status, str(error))
        if error.status == 400:
            if stream.sending:
                self.reset(stream, Code.PROTOCOL_ERROR)
            else:
                self.forbid(stream.id, Code.PROTOCOL_ERROR)

    def _collected(self, stream: Stream[Http2Exchange]) -> None:
        for freed, size in self._intake.done(stream):
            freed.since = freed.owner.since = self.server.ticks
            self.open_window(freed, size)

    # How streams end.

    def _sent(self, stream: Stream[Http2Exchange]) -> None:
        if stream.owner.served:
            self.guard.answered()
        super()._sent(stream)
        if stream.receiving:
            # The answer is complete and the request is not. The rest is not wanted (section 8.1), but a reset at once
            # may overtake the answer within the client: so what comes is thrown away for a while.
            stream.since = self.server.ticks
            self.give_back(stream.withheld)
            stream.withheld = 0
            self._collected(stream)

    def _closed(self, stream: Stream[Http2Exchange]) -> None:
        self._since = self.server.ticks
        self._collected(stream)
        body = stream.owner.stream
        if body is not None and not body.complete:
            body.fail(Disconnected("the request ended before its body"))
        if self._final and not self.streams:
            self._linger()

    def _given_up(self, owner: Http2Exchange, code: int) -> None:
        owner.disconnect()

    def _idle(self, number: int) -> bool:
        return not number & 1 or number > self._last

    # How the connection ends.

    def _goaway(self, last: int, code: int, text: str) -> None:
        """A client that goes away opens nothing more; what it has open it still wants, unless it says why not."""
        if code:
            logger.debug("%s ended its connection: %s %s", self.peer, frames.code_name(code), text)

    def retire(self) -> None:
        """Tell the client to open no more; see :meth:`close_if_idle`."""
        self.close_if_idle()

    def close_if_idle(self) -> None:
        """Take no new requests, and close when those under way are answered.

        Requests may be on their way that the client sent before it knows, so it is told twice (section 6.8): to send no
        more, and, when it has heard that, which was the last.
        """
        if not self._draining and not self._deaf:
            self._draining = True
            self._since = self.server.ticks
            self.put(frames.goaway(LARGEST_STREAM, Code.NO_ERROR))
            self.put(frames.ping(_DRAINING))

    def _pong(self, data: bytes) -> None:
        if data == _DRAINING and self._draining:
            self._finish()

    def _finish(self) -> None:
        if not self._final:
            self._final = True
            self.put(frames.goaway(self._last, Code.NO_ERROR))
            if not self.streams:
                self._linger()

    def _stop(self, error: Broken) -> None:
        logger.debug("%s is cut off: %s", self.peer, error)
        self.put(frames.goaway(self._last, error.code, str(error)))
        self._flush()
        self._give_up_all()
        self._linger()

    def _give_up_all(self) -> None:
        streams = list(self.streams.values())
        self.streams.clear()
        self._ready.clear()
        for stream in streams:
            stream.drop()
            stream.owner.disconnect()
            del stream.owner

    def _linger(self) -> None:
        """Close so that what was sent arrives: a socket closed on unread bytes resets, and may take that with it."""
        self._deaf = True
        if self._lingering:
            return
        self._lingering = True
        self._since = self.server.ticks
        self._flush()
        transport = self._transport
        if transport.is_closing():
            return
        if self.write_paused:
            transport.resume_reading()
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    # Time.

    def pause_writing(self) -> None:
        """A client that does not read what it gets may not ask for more."""
        super().pause_writing()
        if not self._lingering and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._lingering and not self._transport.is_closing():
            self._transport.resume_reading()
        super().resume_writing()

    def _heading(self) -> None:
        self._heading_since = self.server.ticks

    def check_time(self, now: int) -> None:
        """Called once a tick: end whatever lasts too long, one request if it is only that."""
        limits, tick = self._limits, self.server.tick
        self.guard.passed(tick)
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            if unsent < self._unsent or not self._unsent:
                self._unsent, self._since = unsent, now
            elif (now - self._since) * tick > limits.write_timeout:
                self.abort()
            return
        self._unsent = 0
        waited = (now - self._since) * tick
        if self._lingering:
            if waited > limits.linger:
                self._transport.abort()
        elif self._late(now):
            self.break_off(Broken(Code.PROTOCOL_ERROR, f"a header took longer than {limits.head_timeout:g} s"))
        elif self._draining and not self._final:
            if waited > limits.linger:
                self._finish()
        elif self.streams:
            for stream in list(self.streams.values()):
                self._check_stream(stream, now, (now - stream.since) * tick)
            self._check_life(now)
        elif waited > limits.keep_alive:
            self._finish()

    def _late(self, now: int) -> bool:
        """Whether a header, or the frame that it is in, or the first frame of all, has been begun too long ago."""
        if self._settled and self._block is None and not self._parts:
            self._heading_since = now
            return False
        return (now - self._heading_since) * self.server.tick > self._limits.head_timeout

    def _check_stream(self, stream: Stream[Http2Exchange], now: int, waited: float) -> None:
        limits = self._limits
        exchange = stream.owner
        if stream.pending is not None:
            if waited > limits.write_timeout:
                self.reset(stream, Code.CANCEL)
                exchange.disconnect()
        elif not stream.sending:
            if waited > limits.linger:
                self.reset(stream, Code.NO_ERROR)
        elif exchange.received or exchange.answered or exchange.stream is not None:
            return
        elif not self._intake.waits(stream):
            took = (now - exchange.since) * self.server.tick
            if late := limits.body_late(waited, took, exchange.size):
                self._refuse(exchange, Malformed(408, late))

    def _check_life(self, now: int) -> None:
        """A client that waits for answers and says nothing for long is asked whether it is still there."""
        limits, tick = self._limits, self.server.tick
        if (now - self.heard) * tick <= limits.keep_alive:
            self._pinged = -1
        elif self._pinged < 0:
            self._pinged = now
            self.put(frames.ping(_ALIVE))
        elif (now - self._pinged) * tick > limits.body_timeout:
            self.abort()


def _understand(limits: Limits, pairs: Pairs) -> RequestHead:
    """Raises:
    Malformed
    """
    count = size = 0
    for name, value in pairs:
        count += 1
        size += len(name) + len(value)
    if count > limits.fields:
        raise Malformed(431, f"the request has more than {limits.fields} header fields")
    if size > limits.head:
        raise Malformed(431, f"the request's header is larger than {limits.head} bytes")
    return fields.request(pairs)
