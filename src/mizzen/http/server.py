"""A listening server: it hands each request to one handler, and ends well.

Handlers are plain functions of an :class:`~mizzen.http.exchange.Exchange`. A model server takes bodies whole; a gateway
sets ``streaming`` and gets the exchange as soon as its head is read. Time is counted in ticks of one timer for all
connections, because a timer for each request would cost as much as parsing it.

With ``http2`` one port speaks both versions: how a connection begins says which (:mod:`mizzen.http.sniff`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl as tls
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from mizzen.http.connection import Connection
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON, date_line
from mizzen.http.sniff import Sniffer

logger = logging.getLogger(__name__)

Handler = Callable[[Exchange], None]

# The body and encoded header lines for a request that never reached the handler: status and sentence go in.
Refusal = Callable[[int, str], tuple[bytes, bytes]]

# Answers such a request itself, for protocols whose errors are no bodies.
Refuse = Callable[[Exchange, int, str], None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may ask of the server. Sizes in bytes, times in seconds.

    Attributes:
        head: request line and header fields together. HTTP/2 reads four times as much so that it can refuse it in
            words; more ends the connection.
        fields: number of header fields.
        body: a whole body. Streamed bodies are bounded by back-pressure instead.
        pipelined: requests of one connection under way at once; past that it is not read.
        head_timeout: from a head's first byte to its last.
        body_timeout: between two pieces of a body. One that HTTP/2 streams may be silent for longer, if its client is
            alive.
        body_rate: bytes a second, by which the time for a whole body grows from ``body_timeout`` on with what has come
            of it. Streamed bodies are their handlers' to end.
        write_timeout: for which a client may take nothing of what is written to it.
        keep_alive: between requests.
        linger: for which a closed connection waits for the client to close too, and for which the rest of a request
            that has its answer already is thrown away.
        streams: requests of one HTTP/2 connection under way at once; more are refused, and may be sent again.
        stream_window: of one HTTP/2 request's body, how much may come before any of it is taken.
        connection_window: the same for all requests of a connection together.
        frame: payload of one HTTP/2 frame from the client, 16,384 at least.
        resets: requests that an HTTP/2 client may cancel at once; it earns back a tenth of that a second.
        noise: HTTP/2 frames that bring no request forward which a client may send at once; it earns back a tenth of
            that a second, and two with each frame that does.
    """

    head: int = 64 * 1024
    fields: int = 128
    body: int = 128 * 1024 * 1024
    pipelined: int = 64
    head_timeout: float = 10.0
    body_timeout: float = 30.0
    body_rate: float = 1024.0
    write_timeout: float = 60.0
    keep_alive: float = 65.0
    linger: float = 2.0
    streams: int = 256
    stream_window: int = 1024 * 1024
    connection_window: int = 16 * 1024 * 1024
    frame: int = 64 * 1024
    resets: int = 1000
    noise: int = 10_000

    @property
    def shortest(self) -> float:
        return min(self.head_timeout, self.body_timeout, self.write_timeout, self.keep_alive, self.linger)

    def body_late(self, silent: float, took: float, size: int) -> str:
        """Why a body that is not complete is given up; empty if it may go on.

        Args:
            silent: seconds since something came of it.
            took: seconds since it began; of one that is streamed, 0.
            size: bytes that have come.
        """
        if silent > self.body_timeout:
            return f"nothing of the request's body came for {self.body_timeout:g} s"
        if took > self.body_timeout + size / self.body_rate:
            return (
                f"only {size} bytes of the request's body came in {took:.0f} s; "
                f"{self.body_rate:g} a second are expected after the first {self.body_timeout:g} s"
            )
        return ""


def json_refusal(status: int, message: str) -> tuple[bytes, bytes]:
    return json.dumps({"error": message}, ensure_ascii=False).encode(), JSON


class Accepted(Protocol):
    """A connection, as its server sees it."""

    def check_time(self, now: int) -> None: ...

    def retire(self) -> None: ...

    def close_if_idle(self) -> None: ...

    def abort(self) -> None: ...


class Server:
    """An HTTP server on the running event loop.

    Args:
        handler: answers an exchange, now or later.
        streaming: call the handler when the head is read, with the body as a stream; a function says for which
            requests.
        refusal: how errors that are found before the handler look.
        refuse: answers requests that are found wrong before the handler, or that it left unanswered, where a
            ``refusal`` cannot say it; it gets the exchange, a status and a sentence.
        http2: speak HTTP/2 too, with whoever begins so.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        limits: Limits | None = None,
        streaming: bool | Callable[[Exchange], bool] = False,
        refusal: Refusal = json_refusal,
        refuse: Refuse | None = None,
        http2: bool = False,
    ) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.streaming = streaming
        self.refusal = refusal
        self.http2 = http2
        self.draining = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self.ticks = 0
        self.tick = min(1.0, self.limits.shortest / 4)
        self._refuse = refuse
        self._connections: set[Accepted] = set()
        self._listeners: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._date = b""
        self._date_second = 0

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def listen(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        ssl: tls.SSLContext | None = None,
        backlog: int = 2048,
    ) -> list[tuple[str, int]]:
        """Accept connections at an address, or on a socket that is bound already.

        Args:
            ssl: with HTTP/2, :func:`mizzen.http.sniff.offer_http2` lets it be agreed on.

        Returns:
            the addresses that it listens on; port 0 means any.

        Raises:
            OSError: the address is taken or not ours.
        """
        loop = asyncio.get_running_loop()
        options: dict[str, Any] = {"backlog": backlog, "ssl": ssl}
        accept: Callable[[], asyncio.Protocol] = partial(Sniffer if self.http2 else Connection, self)
        if sock is not None:
            listener = await loop.create_server(accept, sock=sock, **options)
        else:
            listener = await loop.create_server(accept, host, port, **options)
        self._listeners.append(listener)
        return [bound.getsockname()[:2] for bound in listener.sockets]

    def retire(self) -> None:
        """Ask clients to go elsewhere, and serve them until :meth:`close`: every answer says that it is the last of its
        connection, and over HTTP/2 they are told to open no more."""
        self.draining = True
        for connection in list(self._connections):
            connection.retire()

    async def close(self, grace: float = 30.0) -> bool:
        """Stop accepting, let what is under way finish within ``grace`` seconds, then end the rest.

        Returns:
            whether everything finished in time.
        """
        self.draining = True
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
        for connection in list(self._connections):
            connection.close_if_idle()
        finished = True
        if self._connections:
            self._empty = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(grace):
                    await self._empty
            except TimeoutError:
                finished = False
            finally:
                self._empty = None
                for connection in list(self._connections):
                    connection.abort()
        tasks = list(self.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return finished

    def streams(self, exchange: Exchange) -> bool:
        """Whether this request's handler is called before its body is there."""
        if not callable(self.streaming):
            return self.streaming
        try:
            return self.streaming(exchange)
        except Exception:
            logger.exception("cannot tell whether %s %r is streamed", exchange.method.decode(), exchange.target)
            return False

    def refuse(self, exchange: Exchange, status: int, message: str) -> None:
        """Answer a request that its handler did not."""
        try:
            if self._refuse is not None:
                self._refuse(exchange, status, message)
            else:
                body, headers = self.refusal(status, message)
                exchange.respond(status, body, headers)
        except Exception:
            logger.exception("%s %r could not be refused", exchange.method.decode(), exchange.target)
            exchange.abort()

    def opened(self, connection: Accepted) -> int:
        """A client has connected. Returns the time in ticks."""
        self._connections.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.tick, self._sweep)
        return self.ticks

    def closed(self, connection: Accepted) -> None:
        """A client is gone."""
        self._connections.discard(connection)
        if not self._connections and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _sweep(self) -> None:
        self.ticks += 1
        for connection in list(self._connections):
            connection.check_time(self.ticks)
        # An idle server sleeps: no connections, no timer.
        self._timer = asyncio.get_running_loop().call_later(self.tick, self._sweep) if self._connections else None

    def date(self) -> bytes:
        """The ``date`` field, made anew once a second."""
        now = int(time.time())
        if now != self._date_second:
            self._date_second = now
            self._date = date_line(now)
        return self._date
