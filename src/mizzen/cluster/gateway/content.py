"""The body of a request, as the client of the upstream wants it.

A small one is waited for: then it can be sent again, and no server is kept busy by a client that dawdles.
"""

from __future__ import annotations

from mizzen.cluster.gateway.errors import Failed
from mizzen.http import client
from mizzen.http.body import Body
from mizzen.http.errors import Malformed
from mizzen.http.exchange import Exchange

_SMALL = 64 * 1024


def is_awaited(exchange: Exchange) -> bool:
    """Whether a body is small and on its way, so that nothing is decided before it is there."""
    return exchange.length is not None and exchange.length <= _SMALL and exchange.header(b"expect") is None


class Content:
    """One request's body.

    Attributes:
        length: of a stream, if known.
        begun: whether some of a stream was read, so that it is no longer whole.
    """

    def __init__(self, stream: Body, length: int | None) -> None:
        self.length = length
        self.begun = False
        self._stream = stream
        self._whole: bytes | None = None

    @classmethod
    async def of(cls, exchange: Exchange) -> Content:
        """What ``exchange`` has brought or is bringing.

        Raises:
            Failed: the body is no HTTP, or stays out.
        """
        stream = exchange.stream
        assert stream is not None
        found = cls(stream, exchange.length)
        if stream.complete or is_awaited(exchange):
            try:
                found._whole = await stream.read_all()
            except Malformed as error:
                raise Failed(error.status, str(error)) from error
        return found

    @property
    def content(self) -> client.Content:
        """Bytes, or this object as a stream of pieces; None for no body."""
        if self.length == 0:
            return None
        return self if self._whole is None else self._whole

    def __aiter__(self) -> Content:
        return self

    async def __anext__(self) -> bytes:
        self.begun = True
        piece = await self._stream.read()
        if not piece:
            raise StopAsyncIteration
        return piece
