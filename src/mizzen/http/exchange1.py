"""An exchange of HTTP/1.1 or 1.0: its answer goes out as text lines, when it is its turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mizzen.http.body import HIGH, Body
from mizzen.http.errors import Disconnected
from mizzen.http.exchange import ANSWERED, GONE, STREAMING, WAITING, Exchange, Trailers
from mizzen.http.headers import Headers, status_line

if TYPE_CHECKING:
    from mizzen.http.connection import Connection
    from mizzen.http.server import Server


class Http1Exchange(Exchange):
    """Attributes:
    keep_alive: whether the connection may be used again after this exchange.
    modern: whether the client speaks HTTP/1.1.
    since: from when on the time of its body counts; set only of one that does not come at once.
    """

    __slots__ = ("_connection", "_held", "keep_alive", "modern", "since")

    since: int

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
        self.on_disconnect = None
        self._state = WAITING
        self._held: list[bytes] | None = None
        self._left = None
        self._task = None

    @property
    def server(self) -> Server:
        return self._connection.server

    @property
    def version(self) -> str:
        return "1.1" if self.modern else "1.0"

    @property
    def peer(self) -> str:
        return self._connection.peer

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"", trailers: Trailers = ()) -> None:
        if self._state:
            if self._state == GONE:
                return
            raise self._twice()
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
        """In chunks if the ``length`` is not known."""
        if self._state:
            if self._state == GONE:
                return
            raise self._twice()
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
        if not self._counted(piece):
            return
        if self._left is None and self.modern:
            piece = b"%x\r\n%b\r\n" % (len(piece), piece)
        self._connection.put(self, piece, b"", last=False)

    def finish(self, trailers: Trailers = ()) -> None:
        if not self._complete():
            return
        self._state = ANSWERED
        self.on_disconnect = None
        self._connection.put(self, b"0\r\n\r\n" if self._left is None and self.modern else b"", b"", last=True)

    async def drain(self) -> None:
        connection = self._connection
        while self._state != GONE and (
            connection.write_paused or (self._held is not None and sum(map(len, self._held)) > HIGH)
        ):
            await connection.writable()
        # A connection that was broken off takes nothing, never fills up, and is told of only at the loop's next turn.
        if self._state == GONE or connection.closing:
            raise Disconnected("the client went away")

    def abort(self, code: int = 2) -> None:
        self._connection.abort()

    def hold(self, head: bytes, body: bytes) -> None:
        """Keep what is written until it is this exchange's turn."""
        if self._held is None:
            self._held = []
        self._held.extend(part for part in (head, body) if part)

    def release(self) -> list[bytes]:
        """Take what was held back."""
        held, self._held = self._held or [], None
        return held
