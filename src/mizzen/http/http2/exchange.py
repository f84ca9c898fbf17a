"""An exchange of HTTP/2: one stream, whose answer goes out when it is ready, whatever its neighbours do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from mizzen.http.body import Body, Piece, gather
from mizzen.http.errors import Disconnected
from mizzen.http.exchange import ANSWERED, GONE, STREAMING, WAITING, Exchange, Trailers
from mizzen.http.http2.blocks import content_length, encode_field, encode_head, encode_pairs
from mizzen.http.http2.fields import RequestHead
from mizzen.http.http2.stream import HIGH, Stream

if TYPE_CHECKING:
    from mizzen.http.http2.connection import Http2Connection
    from mizzen.http.server import Server

_CONTINUE = encode_field(b":status", b"100")


class Http2Exchange(Exchange):
    """Attributes:
    link: its stream.
    missing: what is still to come of a body whose length was declared.
    served: whether its handler was called.
    size: how much has come of a body that is taken whole.
    since: from when on the time of such a body counts.
    """

    __slots__ = ("_connection", "_pieces", "link", "missing", "served", "since", "size")

    version = "2"

    def __init__(self, connection: Http2Connection, number: int, head: RequestHead, ended: bool) -> None:
        self._connection = connection
        self.method = head.method
        self.target = head.target
        # Heads are remembered for the next request that is the same, so nobody gets the list itself.
        self.headers = head.headers.copy()
        self.missing = head.length
        self.length = 0 if ended else head.length
        self.received = ended
        self.body = b""
        self.stream: Body | None = None
        self.on_disconnect = None
        self._state = WAITING
        self._task = None
        self._left = None
        self.served = False
        self._pieces: list[Piece] = []
        self.size = 0
        self.link: Stream[Http2Exchange] = connection.open(number, self, ended)
        self.since = self.link.since

    @property
    def server(self) -> Server:
        return self._connection.server

    @property
    def peer(self) -> str:
        return self._connection.peer

    def respond(self, status: int, body: bytes = b"", headers: bytes = b"", trailers: Trailers = ()) -> None:
        if self._state:
            if self._state == GONE:
                return
            raise self._twice()
        connection = self._connection
        block = encode_head(status, headers) + _date(connection.server.date())
        last = encode_pairs(trailers) if trailers else b""
        self._state = ANSWERED
        # Whoever asked to be told holds this exchange: a cycle that the collector would have to find.
        self.on_disconnect = None
        if self.method == b"HEAD" or status in (204, 304):
            if body and status != 204:
                block += content_length(len(body))
            body = last = b""
        elif body and not last:
            block += content_length(len(body))
        if body or last:
            connection.put_head(self.link, block, False)
            connection.put_data(self.link, body, True, last)
        else:
            connection.put_head(self.link, block, True)

    def start(self, status: int, headers: bytes = b"", length: int | None = None) -> None:
        if self._state:
            if self._state == GONE:
                return
            raise self._twice()
        connection = self._connection
        block = encode_head(status, headers) + _date(connection.server.date())
        self._state = STREAMING
        if length is not None and status != 204:
            block += content_length(length)
        self._left = 0 if self.method == b"HEAD" or status in (204, 304) else length
        connection.put_head(self.link, block, False)

    def write(self, piece: bytes) -> None:
        if not self._counted(piece):
            return
        self._connection.put_data(self.link, piece, False)

    def finish(self, trailers: Trailers = ()) -> None:
        if not self._complete():
            return
        last = encode_pairs(trailers) if trailers else b""
        self._state = ANSWERED
        self.on_disconnect = None
        self._connection.put_data(self.link, b"", True, last)

    async def drain(self) -> None:
        link = self.link
        while self._state != GONE and link.unsent > HIGH:
            await link.drained()
        # A stream that was broken off takes nothing and never fills up.
        if self._state == GONE or (not link.sending and self._state != ANSWERED):
            raise Disconnected("the client went away")

    def abort(self, code: int = 2) -> None:
        self._connection.reset(self.link, code)
        if self._state < ANSWERED:
            # As with a connection that breaks off, whoever works for it is told at the loop's next turn.
            asyncio.get_running_loop().call_soon(self.disconnect)

    def collect(self, piece: bytes) -> int:
        """Add a piece to a body that is taken whole. Returns the size of what has come."""
        pieces = self._pieces
        if pieces:
            gather(pieces, piece)
        else:
            pieces.append(piece)
        self.size += len(piece)
        return self.size

    def collected(self) -> None:
        """The body is complete."""
        pieces = self._pieces
        self.body = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()

    def invite(self) -> None:
        """Ask a client for the body that it waits to be asked for."""
        if self._state == WAITING and not self.received:
            self._connection.put_head(self.link, _CONTINUE, False)


_dated = (b"", b"")


def _date(line: bytes) -> bytes:
    """The encoded ``date`` field of its line, which changes once a second."""
    global _dated
    known, field = _dated
    if known is not line:
        field = encode_field(b"date", line[6:-2])
        _dated = (line, field)
    return field
