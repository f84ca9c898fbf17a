"""Watching requests from their arrival to their answer, for logs and traces; who watches nothing pays nothing.

A server with observers hands its handlers an :class:`Observed` exchange, which passes everything on to the real one and
notes what became of it. One without observers hands them the real one.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import unquote

from mizzen.http.exchange import Exchange, Trailers
from mizzen.http.headers import Headers, find
from mizzen.http.server import Server

logger = logging.getLogger(__name__)

# What a request is given up with, in the words of nginx: there is no status for it, as nobody is told.
GIVEN_UP = 499

_GRPC = re.compile(rb"(?:^|\n)grpc-status: (\d+)\r")
_MODEL = re.compile(rb"/v[12]/(?:repository/)?models/([^/?]+?)(?::predict|:explain)?(?:[/?]|$)", re.IGNORECASE)


class Record:
    """One request and what became of it.

    Attributes:
        arrived: on :func:`time.time`.
        status: of HTTP; :data:`GIVEN_UP` if the client went away first.
        grpc: gRPC's own status, where it has one.
        size: bytes of the answer's body.
        seconds: from its arrival to the end of its answer.
        notes: what observers keep from its beginning to its end.
    """

    __slots__ = ("arrived", "began", "exchange", "grpc", "notes", "seconds", "size", "status")

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.arrived = time.time()
        self.began = time.perf_counter()
        self.status = 0
        self.grpc: int | None = None
        self.size = 0
        self.seconds = 0.0
        self.notes: dict[object, Any] = {}

    def field(self, name: bytes) -> str | None:
        """One of the request's header fields."""
        found = find(self.exchange.headers, name)
        return None if found is None else found.decode("latin-1")

    @property
    def model(self) -> str | None:
        """The model that the path names, if it names one."""
        found = _MODEL.match(self.exchange.target)
        return None if found is None else unquote(found[1].decode("latin-1"))


class Observer(Protocol):
    """Is told of requests on the loop, and must neither raise there nor wait."""

    def began(self, record: Record) -> Headers | None:
        """A request has arrived.

        Returns:
            the header fields that the handler is to see instead of the request's own; None is these.
        """

    def ended(self, record: Record) -> None:
        """It has its answer, or needs none any more."""

    def close(self) -> None:
        """No more will come: let out what is kept back. Blocking, for a few seconds at most."""


class Observed(Exchange):
    """An exchange whose end is told to observers."""

    __slots__ = ("_inner", "_notify", "_observers", "_record")

    def __init__(self, inner: Exchange, observers: Sequence[Observer]) -> None:
        self._inner = inner
        self._observers = observers
        self._notify: Callable[[], None] | None = None
        self._record: Record | None = Record(inner)
        self.method = inner.method
        self.target = inner.target
        self.headers = inner.headers
        self.body = inner.body
        self.stream = inner.stream
        self.length = inner.length
        for observer in observers:
            headers = observer.began(self._record)
            if headers is not None:
                self.headers = headers
        inner.on_disconnect = self._gone

    # These come after what the base class keeps them in; both are the real exchange's to tell.

    @property
    def received(self) -> bool:  # type: ignore[override]
        return self._inner.received

    @property
    def on_disconnect(self) -> Callable[[], None] | None:
        return self._notify

    @on_disconnect.setter
    def on_disconnect(self, notify: Callable[[], None] | None) -> None:
        self._notify = notify

    @property
    def server(self) -> Server:
        return self._inner.server

    @property
    def version(self) -> str:
        return self._inner.version

    @property
    def peer(self) -> str:
        return self._inner.peer

    @property
    def gone(self) -> bool:
        return self._inner.gone

    @property
    def answered(self) -> bool:
        return self._inner.answered

    @property
    def started(self) -> bool:
        return self._inner.started

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"", trailers: Trailers = ()) -> None:
        self._inner.respond(status, body, headers, trailers)
        self._note(status, len(body), trailers, headers)
        self._end()

    def start(self, status: int, headers: bytes = b"", length: int | None = None) -> None:
        self._inner.start(status, headers, length)
        self._note(status, 0, (), headers)

    def write(self, piece: bytes) -> None:
        self._inner.write(piece)
        if self._record is not None:
            self._record.size += len(piece)

    def finish(self, trailers: Trailers = ()) -> None:
        self._inner.finish(trailers)
        if self._record is not None:
            self._note(self._record.status, self._record.size, trailers)
        self._end()

    async def drain(self) -> None:
        await self._inner.drain()

    def abort(self, code: int = 2) -> None:
        self._inner.abort(code)
        self._end()

    def refuse(self, status: int, message: str) -> None:
        self._inner.server.refuse(self, status, message)

    def fail(self) -> None:
        self._inner.fail()
        self._end(500)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._inner.spawn(coroutine)

    def disconnect(self) -> None:
        self._inner.disconnect()

    def _gone(self) -> None:
        notify, self._notify = self._notify, None
        try:
            if notify is not None:
                notify()
        finally:
            self._end(GIVEN_UP)

    def _note(self, status: int, size: int, trailers: Iterable[tuple[bytes, bytes]], headers: bytes = b"") -> None:
        record = self._record
        if record is None:
            return
        record.status, record.size = status, size
        # A call that fails at once has its status in the head, as it has nothing else.
        found = _GRPC.search(headers) if b"grpc-status" in headers else None
        if found is not None:
            record.grpc = int(found[1])
        for name, value in trailers:
            if name == b"grpc-status" and value.isdigit():
                record.grpc = int(value)

    def _end(self, status: int = 0) -> None:
        """Tell the observers, once."""
        record, self._record = self._record, None
        if record is None:
            return
        record.seconds = time.perf_counter() - record.began
        record.status = record.status or status or 500
        if status == GIVEN_UP:
            record.status = GIVEN_UP
        for observer in self._observers:
            try:
                observer.ended(record)
            except Exception:
                logger.exception("a request could not be noted")


def observed(exchange: Exchange, observers: Sequence[Observer]) -> Exchange:
    """The exchange by which observers are told: the one that watches the real one already, or a new one.

    The transport answers with the real one where no handler did.
    """
    watching = getattr(exchange.on_disconnect, "__self__", None)
    return watching if isinstance(watching, Observed) else Observed(exchange, observers)
