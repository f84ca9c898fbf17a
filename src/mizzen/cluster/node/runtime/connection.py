"""One connection to a pod parent, from the side of the client: requests go out, messages come in."""

from __future__ import annotations

import asyncio
import os
import socket as sockets
from collections import deque
from contextlib import suppress
from pathlib import Path

import msgspec

from mizzen.cluster.node.runtime import protocol
from mizzen.cluster.node.runtime.errors import ParentUnreachable
from mizzen.cluster.node.runtime.protocol import Message, Request
from mizzen.cluster.node.runtime.spec import ParentInfo

_BLOCK = 256 * 1024

_messages = msgspec.json.Decoder(Message)


class Connection:
    """Knows frames and numbers, not what they are about. ``peer`` is the pid and uid of who listens."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: tuple[int, int]) -> None:
        self._reader = reader
        self._writer = writer
        self._frames = protocol.Frames()
        self._received: deque[bytes] = deque()
        self.peer = peer

    @classmethod
    async def open(cls, path: Path, timeout: float) -> Connection:
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            connection.setblocking(False)
            with protocol.socket_address(path) as address:
                async with asyncio.timeout(timeout):
                    await asyncio.get_running_loop().sock_connect(connection, address)
            peer = protocol.peer(connection)
            if peer[1] not in (os.geteuid(), 0):
                raise ParentUnreachable(f"another user's process ({peer[0]}, uid {peer[1]}) listens at {path}")
            reader, writer = await asyncio.open_unix_connection(sock=connection)
        except TimeoutError:
            connection.close()
            raise ParentUnreachable(f"no connection to {path} in {timeout:g} s") from None
        except BaseException:
            connection.close()
            raise
        return cls(reader, writer, peer)

    async def greet(self) -> ParentInfo:
        await self.send(Request(0, protocol.Info()))
        while True:
            message = await self.receive()
            if message is None:
                raise ConnectionResetError("the connection ended before the pod parent said who it is")
            if message.event is None:
                return msgspec.json.decode(message.result, type=ParentInfo)

    async def send(self, request: Request) -> None:
        self._writer.write(protocol.frame(request))
        with suppress(ConnectionError):
            # The reader sees the end of the connection too, and fails whoever waits for an answer.
            await self._writer.drain()

    async def receive(self) -> Message | None:
        """The next message; None when the connection has ended."""
        while not self._received:
            try:
                data = await self._reader.read(_BLOCK)
            except ConnectionError:
                return None
            if not data:
                return None
            self._received.extend(self._frames.feed(data))
        return _messages.decode(self._received.popleft())

    async def close(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
