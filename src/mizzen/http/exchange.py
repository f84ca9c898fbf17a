"""One request and the answer it gets, whatever version of HTTP brought it.

A handler is called with an exchange and answers it: at once, from a callback later, or from a coroutine that it spawns.
However it answers, the connection keeps the order that its version asks for; the handler never waits for its turn. What
all versions have in common stands here; how the bytes go out is said once for each version.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any

from mizzen.http.body import Body
from mizzen.http.errors import Disconnected, Malformed
from mizzen.http.headers import Headers, find

if TYPE_CHECKING:
    from mizzen.http.server import Server

logger = logging.getLogger(__name__)

WAITING, STREAMING, ANSWERED, GONE = range(4)

Trailers = Iterable[tuple[bytes, bytes]]


class Exchange(ABC):
    """A request that has arrived (or, where its body is streamed, is arriving) and waits for its answer.

    Attributes:
        method: in capitals, as bytes.
        target: the request target as sent: path and query, undecoded.
        headers: the request's fields, names in lower case; the authority of HTTP/2 is the field ``host``.
        body: the whole body; empty where it is streamed.
        stream: the body in pieces, where it is streamed; else None.
        length: the body's length as declared; None if its end will tell.
        received: whether the whole request is here.
        on_disconnect: called once if the client goes away, or gives the request up, before the answer is complete.
    """

    __slots__ = (
        "_left",
        "_state",
        "_task",
        "body",
        "headers",
        "length",
        "method",
        "on_disconnect",
        "received",
        "stream",
        "target",
    )

    _left: int | None
    _state: int
    _task: asyncio.Task[Any] | None
    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    stream: Body | None
    length: int | None
    received: bool
    on_disconnect: Callable[[], None] | None

    @property
    @abstractmethod
    def server(self) -> Server:
        """The server that took the request."""

    @property
    @abstractmethod
    def version(self) -> str:
        """Of HTTP: ``1.0``, ``1.1`` or ``2``."""

    @property
    @abstractmethod
    def peer(self) -> str:
        """The client's address, without its port."""

    @property
    def gone(self) -> bool:
        """Whether the client went away, or gave the request up, before its answer was complete."""
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

    @abstractmethod
    def respond(self, status: int, body: bytes = b"", headers: bytes = b"", trailers: Trailers = ()) -> None:
        """Answer in one piece. An answer to a client that has gone is dropped.

        Args:
            headers: encoded lines (see :func:`mizzen.http.headers.encode`).
            trailers: fields after the body. Only HTTP/2 carries them; elsewhere they are dropped.

        Raises:
            RuntimeError: the exchange has its answer already.
        """

    @abstractmethod
    def start(self, status: int, headers: bytes = b"", length: int | None = None) -> None:
        """Begin an answer whose body follows by :meth:`write`, ``length`` bytes of it where that is known."""

    @abstractmethod
    def write(self, piece: bytes) -> None:
        """Send a piece of the body. To respect a slow reader, await :meth:`drain` between pieces.

        Raises:
            ValueError: more than the length that :meth:`start` promised.
        """

    @abstractmethod
    def finish(self, trailers: Trailers = ()) -> None:
        """End an answer that was started. One that falls short of its promised length is broken off instead."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until the client has read enough of what was written.

        Raises:
            Disconnected: the client has gone.
        """

    @abstractmethod
    def abort(self, code: int = 2) -> None:
        """Break the answer off: the client sees a body that was cut, never one that looks complete.

        Args:
            code: what HTTP/2 tells the client (RFC 9113, section 7; 2 is an internal error). There it ends this
                request alone; before, it ends the connection.
        """

    def refuse(self, status: int, message: str) -> None:
        """Answer with an error of the server's making, in words."""
        self.server.refuse(self, status, message)

    def fail(self) -> None:
        """Answer for a handler that could not: 500 if nothing is out yet, else the answer breaks off."""
        if self._state == WAITING:
            self.refuse(500, "the server failed to answer; its log says why")
        elif self._state == STREAMING:
            self.abort()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Answer from a coroutine. It is cancelled if the client goes away, and ends with the server."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._task = task
        self.server.tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.server.tasks.discard(task)
        self._task = None
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Malformed) and self._state == WAITING:
            self.refuse(error.status, str(error))
            return
        if self._state < ANSWERED and not task.cancelled():
            logger.error("%s %r was not answered", self.method.decode(), self.target, exc_info=error)
        self.fail()

    def disconnect(self) -> None:
        """Nobody waits for the answer any more; from here on the handler's words are dropped."""
        if self.stream is not None:
            self.stream.fail(Disconnected("the client went away in the middle of its request"))
        if self._state >= ANSWERED:
            return
        self._state = GONE
        if self._task is not None:
            self._task.cancel()
        if self.on_disconnect is not None:
            notify, self.on_disconnect = self.on_disconnect, None
            try:
                notify()
            except Exception:
                # Others on the same connection are to be told, too.
                logger.exception("%s %r: whoever worked for it could not stop", self.method.decode(), self.target)

    def _counted(self, piece: bytes) -> bool:
        """Whether a piece of the body is to be sent; it is counted against the promised length.

        Raises:
            RuntimeError: the answer has not begun, or is complete.
            ValueError: it is more than was promised.
        """
        if self._state != STREAMING:
            if self._state == GONE:
                return False
            raise RuntimeError(NOT_STARTED)
        if self._left is None or not piece:
            return bool(piece)
        if self.method == b"HEAD":
            return False
        if len(piece) > self._left:
            raise ValueError(f"{len(piece)} bytes of body where {self._left} are left of the promised length")
        self._left -= len(piece)
        return True

    def _complete(self) -> bool:
        """Whether the answer may end now; one that falls short of its promised length breaks off instead."""
        if self._state != STREAMING:
            if self._state == GONE:
                return False
            raise RuntimeError(NOT_STARTED)
        if self._left:
            self.abort()
            return False
        return True

    def _twice(self) -> RuntimeError:
        return RuntimeError(f"{self.method.decode()} {self.target!r} is answered twice")


NOT_STARTED = "the answer has not been started, or is complete"
