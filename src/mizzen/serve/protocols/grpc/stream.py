"""A call of many messages, as its method sees it: requests to be read, answers to be sent, and an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mizzen.http.exchange import Exchange
from mizzen.http.headers import encode
from mizzen.serve.codecs.raw import Buffer
from mizzen.serve.errors import ServerNotReady
from mizzen.serve.protocols.grpc import framing
from mizzen.serve.protocols.grpc.call import MessageLimits, check_size
from mizzen.serve.protocols.grpc.head import REQUEST_ID, Head
from mizzen.serve.protocols.grpc.refusal import HEAD


class Stream:
    """Attributes:
    ended: set when the server is about to end.
    """

    def __init__(self, exchange: Exchange, head: Head, limits: MessageLimits) -> None:
        self.exchange = exchange
        self.head = head
        self.limits = limits
        self.ended = asyncio.Event()
        self._encoding = framing.answered(head.encoding, head.accepted, b"")

    def start(self) -> None:
        """Answer the head, so that the client knows that it is heard."""
        fields = [(b"grpc-encoding", self._encoding), (REQUEST_ID, self.head.request)]
        self.exchange.start(200, HEAD + encode([(name, value) for name, value in fields if value]))

    def requests(self) -> AsyncIterator[bytes]:
        """The messages of the call, as they come.

        Raises:
            ServerNotReady: the server is about to end, and all that came before have been given.
            ServeError: a frame is broken, or a message too large.
            Disconnected: the client has gone.
        """
        assert self.exchange.stream is not None
        return framing.messages(self.exchange.stream, self.head.encoding, self.limits.receive)

    def framed(self, message: bytes | list[Buffer]) -> bytes:
        """A message as it is sent.

        Raises:
            MessageTooLarge
        """
        framed = framing.frame(message)
        check_size(framed, self.limits)
        return framed if self._encoding is None else framing.compressed(framed, self._encoding)

    async def send(self, message: bytes) -> None:
        """Send a message, and wait while the client takes none.

        Raises:
            MessageTooLarge
            Disconnected
        """
        self.exchange.write(self.framed(message))
        await self.exchange.drain()

    def end(self) -> None:
        """The server is about to end: nothing more is taken."""
        self.ended.set()
        if self.exchange.stream is not None:
            self.exchange.stream.fail(ServerNotReady())
