"""An answer as the client's caller holds it: status and fields at once, the body as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mizzen.http.errors import Disconnected
from mizzen.http.headers import Headers, find
from mizzen.http.upstream import Head, Upstream


class Response:
    """Read it to its end, or close it: ``async with`` does the latter. Until then it occupies a connection.

    Attributes:
        status: the code.
        reason: the phrase after it, as sent.
        headers: names in lower case.
    """

    def __init__(
        self,
        head: Head,
        upstream: Upstream,
        request: asyncio.Future[Head],
        pump: asyncio.Task[None] | None,
    ) -> None:
        self.status = head.status
        self.reason = head.reason
        self.headers: Headers = head.headers
        self._body = head.body
        self._upstream = upstream
        self._request = request
        self._pump = pump

    def header(self, name: bytes) -> bytes | None:
        """The first value of the field ``name`` (in lower case)."""
        return find(self.headers, name)

    @property
    def complete(self) -> bool:
        """Whether the whole answer has arrived; parts of it may still be unread."""
        return self._body.complete

    async def piece(self) -> bytes:
        """The next piece of the body; ``b""`` at its end.

        Raises:
            HttpError: the answer was cut off, or took too long.
        """
        piece = await self._body.read()
        if not piece:
            self._settle()
        return piece

    async def read(self) -> bytes:
        """The whole body, or what is left of it."""
        body = await self._body.read_all()
        self._settle()
        return body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while piece := await self.piece():
            yield piece

    def close(self) -> None:
        """Let go of an answer. One that is not complete ends its connection."""
        self._upstream.give_up(self._request, Disconnected("the answer was closed before its end"))
        self._settle()

    def _settle(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    async def __aenter__(self) -> Response:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        # Dropped without being read: the connection must not stay occupied for ever.
        self._upstream.give_up(self._request, Disconnected("the answer was dropped before its end"))
