"""One request and the answer it gets.

A handler is called with an exchange and answers it: at once, from a callback later, or from a coroutine that it spawns.
However it answers, the connection keeps the order of pipelined requests; the handler never waits for its turn.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from mizzen.http.body import HIGH, Body
from mizzen.http.errors import Disconnected, Malformed
from mizzen.http.headers import Headers, find, status_line

if TYPE_CHECKING:
    from mizzen.http.connection import Connection

logger = logging.getLogger(__name__)

WAITING, STREAMING, ANSWERED, GONE = range(4)


class Exchange:
    """A request that has arrived (or, on a streaming server, is arriving) and waits for its answer.

    Attributes:
        method: in capitals, as bytes.
        target: the request target as sent: path and query, undecoded.
        headers: the request's fields, names in lower case.
        body: the whole body; empty on a streaming server.
        stream: the body in pieces, on a streaming server only.
        length: the body's length as declared; None when it comes in chunks.
        keep_alive: whether the connection may be used again after this exchange.
        on_disconnect: called once if the client goes away before the answer is complete.
    """

    __slots__ = (
        "_connection",
        "_held",
        "_left",
        "_state",
        "_task",
        "body",
        "headers",
        "keep_alive",
        "length",
        "method",
        "modern",
        "on_disconnect",
        "received",
        "stream",
        "target",
    )

    def __init__(
        self,
        connection: Connection,
        method: bytes,
        target: bytes,
        headers: Headers,
        length: int | None,
        keep_alive: bool,
        modern: bool,
    ) -> None:
        self._connection = connection
        self.method = method
        self.target = target
        self.headers = headers
        self.length = length
        self.keep_alive = keep_alive
        self.modern = modern
        self.received = False
        self.body = b""
        self.stream: Body | None = None
        self.on_disconnect: Callable[[], None] | None = None
        self._state = WAITING
        self._held: list[bytes] | None = None
        self._left: int | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def peer(self) -> str:
        """The client's address, without its port."""
        return self._connection.peer

    @property
    def gone(self) -> bool:
        """Whether the client went away before its answer was complete."""
        return self._state == GONE

    @property
    def answered(self) -> bool:
        """Whether the answer is complete, or needs none any more."""
        return self._state >= ANSWERED

    @property
    def started(self) -> bool:
        """Whether the answer's head is out, so that its status can no longer be chosen."""
        return self._state != WAITING

    def header(self, name: bytes) -> bytes | None:
        """The first value of the field ``name`` (in lower case)."""
        return find(self.headers, name)

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"") -> None:
        """Answer in one piece. ``headers`` are encoded lines (see :func:`mizzen.http.headers.encode`).

        An answer to a client that has gone is dropped.

        Raises:
            RuntimeError: the exchange has its answer already.
        """
        if self._state:
            if self._state == GONE:
                return
            raise RuntimeError(f"{self.method.decode()} {self.target!r} is answered twice")
        self._state = ANSWERED
        # Whoever asked to be told holds this exchange: a cycle that the collector would have to find.
        self.on_disconnect = None
        connection = self._connection
        if self.method == b"HEAD":
            size, body = len(body), b""
        else:
            size = len(body)
        framing = b"content-length: %d\r\n" % size if status >= 200 and status not in (204, 304) else b""
        head = b"%b%b%b%b%b\r\n" % (
            status_line(status),
            headers,
            framing,
            connection.server.date(),
            connection.persistence(self),
        )
        connection.put(self, head, body, last=True)

    def start(self, status: int, headers: bytes = b"", length: int | None = None) -> None:
        """Begin an answer whose body follows by :meth:`write`; in chunks if its ``length`` is not known."""
        if self._state:
            if self._state == GONE:
                return
            raise RuntimeError(f"{self.method.decode()} {self.target!r} is answered twice")
        self._state = STREAMING
        connection = self._connection
        if self.method == b"HEAD" or status in (204, 304):
            framing = b"content-length: %d\r\n" % length if length is not None and status != 204 else b""
            self._left = 0
        elif length is not None:
            framing = b"content-length: %d\r\n" % length
            self._left = length
        elif self.modern:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            # An HTTP/1.0 client knows no chunks: the end of the connection is the end of the body.
            framing = b""
            self.keep_alive = False
        head = b"%b%b%b%b%b\r\n" % (
            status_line(status),
            headers,
            framing,
            connection.server.date(),
            connection.persistence(self),
        )
        connection.put(self, head, b"", last=False)

    def write(self, piece: bytes) -> None:
        """Send a piece of the body. To respect a slow reader, await :meth:`drain` between pieces.

        Raises:
            ValueError: more than the length that :meth:`start` promised.
        """
        if self._state != STREAMING:
            if self._state == GONE:
                return
            raise RuntimeError("the answer has not been started, or is complete")
        if not piece:
            return
        if self._left is not None:
            if self.method == b"HEAD":
                return
            if len(piece) > self._left:
                raise ValueError(f"{len(piece)} bytes of body where {self._left} are left of the promised length")
            self._left -= len(piece)
        elif self.modern:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._connection.put(self, piece, b"", last=False)

    def finish(self) -> None:
        """End an answer that was started. One that falls short of its promised length ends the connection instead."""
        if self._state != STREAMING:
            if self._state == GONE:
                return
            raise RuntimeError("the answer has not been started, or is complete")
        if self._left:
            self.abort()
            return
        self._state = ANSWERED
        self.on_disconnect = None
        self._connection.put(self, b"0\r\n\r\n" if self._left is None and self.modern else b"", b"", last=True)

    async def drain(self) -> None:
        """Wait until the client has read enough of what was written.

        Raises:
            Disconnected: the client has gone.
        """
        connection = self._connection
        while self._state != GONE and (
            connection.write_paused or (self._held is not None and sum(map(len, self._held)) > HIGH)
        ):
            await connection.writable()
        # A connection that was broken off takes nothing, never fills up, and is told of only at the loop's next turn.
        if self._state == GONE or connection.closing:
            raise Disconnected("the client went away")

    def abort(self) -> None:
        """Break the connection off: the client sees a body that was cut, never one that looks complete."""
        self._connection.abort()

    def fail(self) -> None:
        """Answer for a handler that could not: 500 if nothing is out yet, else the connection breaks off."""
        if self._state == WAITING:
            body, headers = self._connection.server.refusal(500, "the server failed to answer; its log says why")
            self.respond(500, body, headers)
        elif self._state == STREAMING:
            self.abort()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Answer from a coroutine. It is cancelled if the client goes away, and ends with the server."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._task = task
        self._connection.server.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._connection.server.tasks.discard(task)
        self._task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Malformed) and self._state == WAITING:
            body, headers = self._connection.server.refusal(error.status, str(error))
            self.respond(error.status, body, headers)
            return
        if self._state < ANSWERED and not task.cancelled():
            logger.error("%s %r was not answered", self.method.decode(), self.target, exc_info=error)
        self.fail()

    def hold(self, head: bytes, body: bytes) -> None:
        """Keep what is written until it is this exchange's turn."""
        if self._held is None:
            self._held = []
        self._held.extend(part for part in (head, body) if part)

    def release(self) -> list[bytes]:
        """Take what was held back."""
        held, self._held = self._held or [], None
        return held

    def disconnect(self) -> None:
        """The connection is lost; from here on the handler's words are dropped."""
        if self.stream is not None:
            self.stream.fail(Disconnected("the client went away in the middle of its request"))
        if self._state >= ANSWERED:
            return
        self._state = GONE
        if self._task is not None:
            self._task.cancel()
        if self.on_disconnect is not None:
            notify, self.on_disconnect = self.on_disconnect, None
            notify()
