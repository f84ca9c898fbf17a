"""The server's side of one HTTP/1.1 connection.

Bytes go into llhttp, requests come out to the handler, answers go back in the order of the requests. All that guards
the server against a client stands here: what a head and a body may weigh, how long each may take, how many requests
may wait, and that a message whose end two readers could see in two places (RFC 9112, section 6.3) is refused. A client
that closes its side has gone: what it asked for is given up (as nginx and Go do; a half-closed connection looks the
same as a lost one).
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools

from mizzen.http.body import Body, Piece, gather
from mizzen.http.errors import Malformed
from mizzen.http.exchange1 import Http1Exchange
from mizzen.http.headers import Headers
from mizzen.http.rules import check_head, check_size, head_too_large, too_large, without_upgrade

if TYPE_CHECKING:
    from mizzen.http.server import Server

logger = logging.getLogger(__name__)

# Why reading may stop. It goes on when no reason is left.
_BODY_FULL, _TOO_MANY, _UNREAD = 1, 2, 4

_LARGE = 64 * 1024

# How a client begins that speaks TLS.
_TLS_HANDSHAKE = b"\x16"

_WATCHED = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect", b"upgrade"})


class Connection(asyncio.Protocol):
    """One client. Times are in the server's ticks (see :class:`mizzen.http.server.Server`)."""

    def __init__(self, server: Server) -> None:
        # No more than 29 attributes: from the thirtieth on CPython finds all of them more slowly (7 % of a request).
        self.server = server
        self.write_paused = False
        self._handler = server.handler
        self._limits = server.limits
        self._streaming = server.streaming
        self._transport: Any = None
        self._parser: httptools.HttpRequestParser | None = None
        self._queue: deque[Http1Exchange] = deque()
        self._waiters: list[asyncio.Future[None]] = []
        self._reasons = 0
        # Deaf: the connection ends after what is queued, so nothing more is taken from it.
        self._deaf = False
        self._lingering = False
        # The client has ended its side: there are no unread bytes to wait for.
        self._heard_all = False
        self._since = 0
        self._unsent = 0
        # The message being read.
        self._target = b""
        self._headers: Headers = []
        self._heading = False
        self._fed = 0
        self._feed = 0
        self._receiving: Http1Exchange | None = None
        self._pieces: list[Piece] = []
        self._size = 0
        self._hosts = 0
        self._length: int | None = None
        self._coding: bytes | None = None
        self._expect = False
        self._upgrade = False
        self._without_upgrade = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        self._since = self.server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.closed(self)
        # The parser holds this object's methods: without this each connection waits for the cycle collector.
        self._parser = None
        self._deaf = True
        for exchange in list(self._queue):
            exchange.disconnect()
        if self._receiving is not None:
            self._receiving.disconnect()
            self._receiving = None
        self._queue.clear()
        self._pieces.clear()
        self._wake()

    def eof_received(self) -> bool:
        """A client that has said its last word may still listen: whom it cut off in the middle, it is told.

        One that waits for answers to whole requests cannot be told from one that has gone, and is taken for that.
        """
        unfinished = self._heading or self._receiving is not None
        others = [exchange for exchange in self._queue if exchange is not self._receiving]
        if self._deaf or not unfinished or others or not self._transport.can_write_eof():
            return False
        self._heard_all = True
        self._since = self.server.ticks
        self._refuse(Malformed(400, "the request was cut off before its end"))
        return not self._transport.is_closing()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._feed = len(data)
        receiving = self._receiving
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]
        except httptools.HttpParserUpgrade as offer:
            self._decline_upgrade(data[offer.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(error, data[:1])
            return
        if self._target:
            self._watch_head(data)
        elif self._receiving is not None:
            self._since = self.server.ticks
            if self._receiving is not receiving:
                self._receiving.since = self._since

    def pause_writing(self) -> None:
        self.write_paused = True
        self._since = self.server.ticks
        self._pause(_UNREAD)

    def resume_writing(self) -> None:
        self.write_paused = False
        self._since = self.server.ticks
        self._resume(_UNREAD)
        self._wake()

    def on_url(self, url: bytes) -> None:
        self._target = self._target + url if self._target else url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if self._receiving is not None:
            # A trailer field: nobody asks for one, but they must not be without end.
            self._size += len(name) + len(value) + 4
            if self._size > self._limits.body + self._limits.head:
                raise Malformed(431, "the trailer is too large")
            return
        self._headers.append((name, value))
        if name in _WATCHED:
            if name == b"host":
                self._hosts += 1
            elif name == b"content-length":
                self._length = int(value)
            elif name == b"transfer-encoding":
                self._coding = value if self._coding is None else self._coding + b"," + value
            elif name == b"expect":
                self._expect = value.strip().lower() == b"100-continue"
            else:
                self._upgrade = True

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        target, self._target = self._target, b""
        headers, self._headers = self._headers, []
        parted = self._heading
        self._heading = False
        if self._deaf:
            return
        method, version = parser.get_method(), parser.get_http_version()
        modern = version == "1.1"
        if self._upgrade and parser.should_upgrade():
            self._without_upgrade = without_upgrade(method, target, version, headers)
            return
        limits = self._limits
        if parted or self._feed > limits.head:
            check_size(target, headers, limits)
        if len(headers) > limits.fields or self._hosts != 1 or self._coding is not None or not modern:
            check_head(headers, version, self._hosts, self._coding, limits)
        if method == b"CONNECT":
            raise Malformed(501, "this server is no proxy: CONNECT is not served")
        length = (self._length or 0) if self._coding is None else None
        exchange = Http1Exchange(self, method, target, headers, length, parser.should_keep_alive(), modern)
        self._receiving = exchange
        streaming = self._streaming
        if streaming and (streaming is True or self.server.streams(exchange)):
            exchange.received = length == 0
            exchange.stream = Body(
                lambda: self._pause(_BODY_FULL),
                lambda: self._resume(_BODY_FULL),
                (lambda: self._continue(exchange)) if self._expect else None,
            )
            self._open(exchange)
        elif length is not None and length > limits.body:
            raise Malformed(413, too_large(limits.body))
        elif self._expect and not self._queue:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, piece: bytes) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        if exchange.stream is not None:
            if not exchange.answered:
                exchange.stream.feed(piece)
            return
        pieces = self._pieces
        if pieces:
            gather(pieces, piece)
        else:
            pieces.append(piece)
        self._size += len(piece)
        if self._size > self._limits.body:
            raise Malformed(413, too_large(self._limits.body))

    def on_message_complete(self) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        self._receiving = None
        self._length = self._coding = None
        self._hosts = self._size = 0
        self._expect = self._upgrade = False
        exchange.received = True
        if not exchange.keep_alive or self.server.draining:
            exchange.keep_alive = False
            self._deaf = True
        if exchange.stream is not None:
            exchange.stream.finish()
            return
        pieces = self._pieces
        if pieces:
            first = pieces[0]
            exchange.body = first if len(pieces) == 1 and type(first) is bytes else b"".join(pieces)
            pieces.clear()
        self._open(exchange)

    def _watch_head(self, data: bytes) -> None:
        """A head comes in more than one piece, of which this is one: it must neither grow nor last without end."""
        if self._heading:
            self._fed += len(data)
        else:
            self._heading = True
            self._since = self.server.ticks
            # Before it there may be the end of the request before. Where a field reads like the target, less is
            # counted than has come, never more.
            self._fed = len(data) - max(0, data.rfind(b" " + self._target))
        if self._fed > self._limits.head:
            self._refuse(Malformed(431, head_too_large(self._limits.head)))

    def check_time(self, now: int) -> None:
        """Called once a tick: end the connection if whatever it is in the middle of lasts too long."""
        limits = self._limits
        waited = (now - self._since) * self.server.tick
        unsent = self._transport.get_write_buffer_size()
        if unsent:
            if unsent < self._unsent or not self._unsent:
                self._unsent, self._since = unsent, now
            elif waited > limits.write_timeout:
                self.abort()
            return
        self._unsent = 0
        if self._lingering or self._heard_all:
            if waited > limits.linger:
                self._transport.abort()
        elif self._heading:
            if waited > limits.head_timeout:
                self._refuse(Malformed(408, f"the request's header took longer than {limits.head_timeout:g} s"))
        elif self._receiving is not None:
            exchange = self._receiving
            took = (now - exchange.since) * self.server.tick if exchange.stream is None else 0.0
            if not self._reasons and (late := limits.body_late(waited, took, self._size)):
                self._refuse(Malformed(408, late))
        elif not self._queue and waited > limits.keep_alive:
            self._transport.close()

    def _refuse(self, error: Exception, first: bytes = b"") -> None:
        """Answer a message that cannot be read, after those before it, and end the connection.

        Args:
            first: how the bytes begin that it is in.
        """
        cause = error.__context__ if isinstance(error, httptools.HttpParserCallbackError) else error
        if self._deaf:
            return
        if cause is not None and not isinstance(cause, Malformed | httptools.HttpParserError):
            logger.error("a request could not be read", exc_info=cause)
        self._deaf = True
        begins = not self._target and self._receiving is None
        self._target = b""
        self._heading = False
        self._pieces.clear()
        exchange, self._receiving = self._receiving, None
        malformed = cause if isinstance(cause, Malformed) else _unreadable(cause, first if begins else b"")
        if exchange is not None and exchange.stream is not None:
            # Its handler is at work and learns it from the body.
            exchange.stream.fail(malformed)
            return
        if exchange is None:
            exchange = Http1Exchange(self, b"GET", b"", [], 0, False, True)
        exchange.keep_alive = False
        self._queue.append(exchange)
        exchange.refuse(malformed.status, str(malformed))

    def _decline_upgrade(self, rest: bytes) -> None:
        """Go on in HTTP/1.1: an offer to upgrade may be ignored (RFC 9110, section 7.8).

        llhttp stops at such a head and takes what follows for another protocol, body included; so the head is read
        again without the offer.
        """
        head, self._without_upgrade = self._without_upgrade, b""
        self._hosts = 0
        self._length = self._coding = None
        self._upgrade = self._expect = False
        self._parser = httptools.HttpRequestParser(self)
        self.data_received(head + rest)

    def _open(self, exchange: Http1Exchange) -> None:
        queue = self._queue
        queue.append(exchange)
        if len(queue) > self._limits.pipelined:
            self._pause(_TOO_MANY)
        try:
            self._handler(exchange)
        except Exception:
            logger.exception("%s %r failed", exchange.method.decode(), exchange.target)
            exchange.fail()

    def _continue(self, exchange: Http1Exchange) -> None:
        if self._queue and self._queue[0] is exchange and not exchange.started and not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def persistence(self, exchange: Http1Exchange) -> bytes:
        """Decide whether the connection outlives this answer, and the field that says so."""
        if not exchange.received:
            # Whoever answers before having read everything cannot find the next request. While the answer is being
            # streamed, its handler may still want the rest of this one.
            exchange.keep_alive = False
            self._deaf = self._deaf or exchange.answered
        elif self.server.draining and self._receiving is None and self._queue[-1] is exchange:
            exchange.keep_alive = False
            self._deaf = True
        if not exchange.keep_alive:
            return b"connection: close\r\n"
        return b"" if exchange.modern else b"connection: keep-alive\r\n"

    def put(self, exchange: Http1Exchange, head: bytes, body: bytes, *, last: bool) -> None:
        """Write if it is this exchange's turn, else keep it until it is."""
        queue = self._queue
        if queue[0] is not exchange:
            exchange.hold(head, body)
            return
        if not body:
            if head:
                self._transport.write(head)
        elif len(body) < _LARGE:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))
        if last:
            self._next()

    def _next(self) -> None:
        """The first exchange is complete: take the turn to the next ones, as far as they are answered."""
        queue = self._queue
        while True:
            exchange = queue.popleft()
            if not exchange.keep_alive:
                self._linger()
                return
            if not queue:
                self._since = self.server.ticks
                if self.server.draining and self._receiving is None and not self._heading:
                    self._linger()
                    return
                break
            following = queue[0]
            held = following.release()
            if held:
                self._transport.writelines(held)
            if not following.answered:
                break
        if self._reasons & _TOO_MANY and len(queue) <= self._limits.pipelined // 2:
            self._resume(_TOO_MANY)
        if self._waiters and not self.write_paused:
            self._wake()

    def _linger(self) -> None:
        """Close so that the answer arrives: a socket closed on unread bytes resets, and may take the answer with it."""
        transport = self._transport
        for exchange in list(self._queue):
            exchange.disconnect()
        self._queue.clear()
        self._deaf = True
        self._lingering = True
        self._since = self.server.ticks
        self._resume(_BODY_FULL | _TOO_MANY)
        if transport.is_closing():
            return
        if transport.can_write_eof() and not self._heard_all:
            transport.write_eof()
        else:
            transport.close()

    def retire(self) -> None:
        """The server is about to end: the next answer will be the last, see :meth:`persistence`."""

    def close_if_idle(self) -> None:
        """Close unless a request is being read, handled or answered."""
        if not self._queue and self._receiving is None and not self._heading and not self._lingering:
            self._transport.close()

    def abort(self) -> None:
        """Break off at once; connection_lost tells everyone."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def closing(self) -> bool:
        """Whether what is written no longer gets anywhere."""
        return bool(self._transport.is_closing())

    @property
    def peer(self) -> str:
        name = self._transport.get_extra_info("peername")
        return name[0] if isinstance(name, tuple) else ""

    def _pause(self, reason: int) -> None:
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons |= reason

    def _resume(self, reason: int) -> None:
        if self._reasons & reason:
            self._reasons &= ~reason
            if not self._reasons and not self._transport.is_closing():
                self._since = self.server.ticks
                if self._receiving is not None:
                    self._receiving.since = self._since
                self._transport.resume_reading()

    async def writable(self) -> None:
        """Wait until there may be room to write, or nobody to write to."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


def _unreadable(cause: BaseException | None, first: bytes = b"") -> Malformed:
    if first.startswith(_TLS_HANDSHAKE):
        return Malformed(400, "this port speaks plain HTTP, and this is TLS: use http://")
    if "PRI" in str(cause):
        # How a client begins that speaks HTTP/2 from the start.
        return Malformed(505, "HTTP/2 is not spoken here, only HTTP/1.1")
    return Malformed(400, f"this is not HTTP/1.1: {cause}")
