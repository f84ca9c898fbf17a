"""The processes of one server, seen from one of them: what must act on all is put to all.

A worker has one socket to the supervisor (:mod:`mizzen.serve.running.workers`), which hands each question to every
worker and brings back what they answered. Alone, a server is its own only peer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

from mizzen.errors import MizzenError
from mizzen.serve.errors import ServeError

logger = logging.getLogger(__name__)

Act = Callable[[str, list[Any]], Awaitable[Any]]

NEWLINE = b"\n"

# A line holds at most the metrics of all models.
_LONGEST = 1 << 28


class Message(Struct, omit_defaults=True):
    """Between a worker and the supervisor, a line of JSON each.

    Attributes:
        kind: ``board`` (a worker tells where to see which models are at work), ``ready`` (it has loaded), ``ask`` (of
            all), ``do`` (one of all), ``done`` (its answer), ``all`` (the answers).
        id: of the question; the worker's own in ``ask`` and ``all``, the supervisor's in ``do`` and ``done``.
        verb, arguments: the question.
        answers: as each worker gave them: a value, or an error as ``{"status", "text"}``.
    """

    kind: str
    id: int = 0
    verb: str = ""
    arguments: list[Any] = []
    answers: list[Any] = []


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Message).decode


class Refused(ServeError):
    """A peer could not do what all were asked to."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Peers:
    """Args:
    act: does what is asked of this process.
    channel: to the supervisor; None for a server of one process.
    """

    def __init__(self, act: Act, channel: socket.socket | None = None) -> None:
        self._act = act
        self._channel = channel
        self._writer: asyncio.StreamWriter | None = None
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}
        self._next = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost: asyncio.Event = asyncio.Event()

    @staticmethod
    def show(channel: socket.socket, board: int) -> None:
        """Tell the supervisor where it sees which models are at work here. Before anything else is told."""
        channel.sendall(encode(Message("board", arguments=[board])) + NEWLINE)

    async def start(self, *told: str) -> None:
        """Tell the supervisor that this worker serves, and what to say of it, and do what it says from now on."""
        if self._channel is None:
            return
        reader, self._writer = await asyncio.open_unix_connection(sock=self._channel, limit=_LONGEST)
        self._spawn(self._listen(reader))
        self._send(Message("ready", arguments=list(told)))

    async def everyone(self, verb: str, *arguments: Any) -> list[Any]:
        """Ask all processes, this one included, and wait for all.

        Returns:
            each one's answer.

        Raises:
            Refused: one of them could not.
        """
        if self._writer is None:
            return [await self._act(verb, list(arguments))]
        self._next += 1
        waiter = self._waiting[self._next] = asyncio.get_running_loop().create_future()
        self._send(Message("ask", self._next, verb, list(arguments)))
        try:
            answers: list[Any] = await waiter
        finally:
            del self._waiting[self._next]
        for answer in answers:
            if isinstance(answer, dict) and "refused" in answer:
                raise Refused(answer["refused"], answer["text"])
        return answers

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = decode(line)
            if message.kind == "do":
                self._spawn(self._do(message))
            elif message.kind == "all":
                waiter = self._waiting.get(message.id)
                if waiter is not None and not waiter.done():
                    waiter.set_result(message.answers)
        # The supervisor is gone: without it nobody would start this worker again, nor end it.
        self.lost.set()

    async def _do(self, message: Message) -> None:
        try:
            answer = await self._act(message.verb, message.arguments)
        except MizzenError as error:
            answer = {"refused": getattr(error, "status", 500), "text": str(error)}
        except Exception as error:
            logger.exception("%s failed", message.verb)
            answer = {"refused": 500, "text": str(error) or type(error).__name__}
        self._send(Message("done", message.id, answers=[answer]))

    def _send(self, message: Message) -> None:
        assert self._writer is not None
        self._writer.write(encode(message) + NEWLINE)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
