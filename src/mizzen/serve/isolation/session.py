"""A model in its process that is asked many things at once, each with a number, over one socket.

The model has here what it has in a server: its thread, and the lane to it. The loop beside it reads requests, sends
answers, and says that the process is alive while the model's own code keeps its thread busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, TypeVar

from mizzen.serve.codecs import bodies
from mizzen.serve.errors import ServeError, describe
from mizzen.serve.generation.lane import GenerationLane
from mizzen.serve.generation.model import Chunk, GenerationRequest, GenerativeModel, Signal
from mizzen.serve.isolation import wire
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.payloads import PayloadCall, PayloadLane
from mizzen.serve.model import Extras, Part, Servable
from mizzen.serve.observing.metrics import Histogram, ModelMetrics
from mizzen.serve.running import crashes

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Pieces of a stream that the client has not taken yet.
AHEAD = 16

# How often the server is reminded that the model is not well.
_REMIND = 1.0

_COUNTED = ("retried", "refused", "checked")


class Health:
    """What the model says of itself, from its thread, and before anybody listens."""

    def __init__(self) -> None:
        self.reason = ""

    def __call__(self, reason: str) -> None:
        self.reason = reason


async def run(servable: Servable, sock: socket.socket) -> None:
    """Answer until the other end closes; then stop the model."""
    crashes.tell()
    reader, writer = await asyncio.open_unix_connection(sock=sock)
    session = (
        GenerativeSession(servable, writer)
        if isinstance(servable, GenerativeModel)
        else CustomSession(servable, writer)
    )
    reminder = asyncio.create_task(session.remind())
    try:
        while True:
            (length,) = wire.LENGTH.unpack(await reader.readexactly(wire.LENGTH.size))
            session.hear(wire.decode(await reader.readexactly(length)))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        reminder.cancel()
        await session.close()
        writer.close()


class Session:
    """What all kinds of model need. Each has a session of its own.

    Args:
        writer: to the server.
    """

    def __init__(self, servable: Servable, writer: asyncio.StreamWriter) -> None:
        self._servable = servable
        self._writer = writer
        self._lane: Lane | None = None
        self._numbers = _Notes(servable.name, servable.version)
        self._streams: dict[int, asyncio.Task[None]] = {}
        self._room: dict[int, asyncio.Semaphore] = {}
        self._outgoing: list[bytes] = []
        self._told = ""

    def take(self, message: wire.Message) -> None:
        """A request."""
        raise NotImplementedError

    def hear(self, message: wire.Message) -> None:
        match message:
            case wire.Opened(scheduling):
                self._lane = self._servable.open_lane(self._numbers, scheduling, self._lose)
                assert self._lane is not None
                self._lane.start()
            case wire.Cancelled(number):
                self.cancel(number)
            case wire.Took(number):
                if (room := self._room.get(number)) is not None:
                    room.release()
            case wire.Ping():
                self.send(wire.Pong())
            case _:
                self.take(message)

    def cancel(self, number: int) -> None:
        """Nobody waits for it any more."""
        if (stream := self._streams.get(number)) is not None:
            # Not before its first step: it would never come to where it closes what it reads.
            asyncio.get_running_loop().call_soon(stream.cancel)

    def stream(self, number: int, pieces: AsyncGenerator[T, None], message: Callable[[int, T], wire.Message]) -> None:
        """Send pieces as there is room for them, and that they have ended.

        Args:
            message: makes one of a piece.
        """
        self._room[number] = asyncio.Semaphore(AHEAD)
        self._streams[number] = asyncio.create_task(self._forward(number, pieces, message))

    def send(self, message: wire.Message) -> None:
        """Send it with whatever else this turn of the loop brings. What cannot be encoded raises here."""
        data = wire.encode(message)
        if not self._outgoing:
            asyncio.get_running_loop().call_soon(self._flush)
        self._outgoing.append(data)

    async def remind(self) -> None:
        """Tell, from now on, how the model says that it is."""
        while True:
            health = self._servable.tell
            reason = health.reason if isinstance(health, Health) else ""
            if reason or self._told:
                self._told = reason
                self.send(wire.Told(reason))
            await asyncio.sleep(_REMIND if not reason else _REMIND / 5)

    async def close(self) -> None:
        await asyncio.sleep(0)
        for stream in (running := list(self._streams.values())):
            stream.cancel()
        if running:
            await asyncio.wait(running)
        if self._lane is not None:
            self._lane.close()
        await asyncio.to_thread(self._servable.unload)

    def _lose(self, reason: str) -> None:
        # Before the answers that this gave: nobody may ask this process again because of them. That the model is not
        # well need not be told: it ends with the process, and its successor is another.
        self.send(wire.Lost(reason))
        self._outgoing.insert(0, self._outgoing.pop())

    def _flush(self) -> None:
        messages, self._outgoing = self._outgoing, []
        for message in messages:
            self._writer.write(wire.LENGTH.pack(len(message)))
            self._writer.write(message)

    async def _forward(
        self, number: int, pieces: AsyncGenerator[T, None], message: Callable[[int, T], wire.Message]
    ) -> None:
        error: wire.Failed | None = None
        try:
            async with contextlib.aclosing(pieces):
                async for piece in pieces:
                    await self._room[number].acquire()
                    self.send(message(number, piece))
        except Exception as raised:
            error = _failed(raised)
        finally:
            del self._streams[number], self._room[number]
        self.send(wire.Ended(number, error))


class GenerativeSession(Session):
    """Of a model that generates: every answer is a stream."""

    def take(self, message: wire.Message) -> None:
        assert isinstance(message, wire.Generate)
        self.stream(message.number, self._generated(message), wire.Generated)

    async def _generated(self, asked: wire.Generate) -> AsyncGenerator[Chunk, None]:
        assert isinstance(self._lane, GenerationLane)
        request = GenerationRequest(
            asked.prompt,
            asked.sampling,
            asked.n,
            asked.max_tokens,
            asked.min_tokens,
            asked.stop,
            asked.stop_tokens,
            asked.ignore_eos,
            asked.logprobs,
            asked.echo,
            Signal(None if asked.left is None else time.monotonic() + asked.left),
        )
        async with self._lane.generate(request) as chunks:
            async for chunk in chunks:
                yield chunk


class CustomSession(Session):
    """Of a user's own."""

    def __init__(self, servable: Servable, writer: asyncio.StreamWriter) -> None:
        super().__init__(servable, writer)
        self._calls: dict[int, Call] = {}

    def take(self, message: wire.Message) -> None:
        match message:
            case wire.Request(number):
                assert self._lane is not None
                self._submit(number, _Tensors(self, message), self._lane.submit)
            case wire.Posted(number):
                assert isinstance(self._lane, PayloadLane)
                self._submit(number, _Payload(self, message), self._lane.submit_payload)

    def cancel(self, number: int) -> None:
        if (call := self._calls.pop(number, None)) is not None:
            call.cancel()
        super().cancel(number)

    def answer(self, number: int, message: wire.Message) -> None:
        """The last that is said to a request, or the first of its stream."""
        self._calls.pop(number, None)
        if (noted := self._numbers.drain(self._lane is not None and self._lane.batching)) is not None:
            self.send(noted)
        self.send(message)

    def refuse(self, number: int, error: BaseException) -> None:
        self.answer(number, wire.Refused(number, _failed(error)))

    def _submit(self, number: int, call: Any, submit: Callable[[Any], None]) -> None:
        self._calls[number] = call
        try:
            submit(call)
        except Exception as error:
            call.give(error)


class _Tensors(Call):
    __slots__ = ("_number", "_session", "streams")

    def __init__(self, session: CustomSession, asked: wire.Request) -> None:
        inputs = [wire.unwired(raw) for raw in asked.inputs]
        super().__init__(inputs, time.perf_counter(), asked.options, None, asked.identifier)
        self._session, self._number = session, asked.number
        self.streams = asked.streams

    def resolve(self, outputs: Any, extras: Extras | None = None) -> None:
        if hasattr(outputs, "__aiter__"):
            self._session.answer(self._number, wire.Streams(self._number, _headers(extras)))
            self._session.stream(self._number, outputs, _part)
            return
        tensors = [wire.wired(tensor) for tensor in outputs]
        parameters = extras.parameters if extras is not None else None
        reply = wire.Reply(self._number, tensors, parameters, _headers(extras), self.identifier)
        self._session.answer(self._number, reply)

    def reject(self, error: BaseException) -> None:
        self._session.refuse(self._number, error)


class _Payload(PayloadCall):
    __slots__ = ("_number", "_session")

    def __init__(self, session: CustomSession, asked: wire.Posted) -> None:
        payload = bodies.decode_json(asked.body) if asked.json else asked.body
        super().__init__(payload, asked.headers, asked.verb, time.perf_counter(), None, asked.identifier)
        self._session, self._number = session, asked.number

    def resolve(self, outputs: Any, extras: Extras | None = None) -> None:
        if hasattr(outputs, "__aiter__"):
            self._session.answer(self._number, wire.Streams(self._number, _headers(extras)))
            self._session.stream(self._number, outputs, _piece)
            return
        body, json = _body(outputs)
        self._session.answer(self._number, wire.Said(self._number, body, json, _headers(extras), self.identifier))

    def reject(self, error: BaseException) -> None:
        self._session.refuse(self._number, error)


def _part(number: int, part: Part) -> wire.Message:
    parameters = part.extras.parameters if part.extras is not None else None
    return wire.Partial(number, [wire.wired(tensor) for tensor in part.outputs], parameters)


def _piece(number: int, piece: Any) -> wire.Message:
    return wire.Piece(number, *_body(piece))


class _Noting(Histogram):
    """Keeps what it observed, for the server's own."""

    __slots__ = ("_note",)

    def __init__(self, note: Callable[[float, int], None]) -> None:
        super().__init__(())
        self._note = note

    def observe(self, value: float, times: int = 1) -> None:
        self._note(value, times)


class _Notes(ModelMetrics):
    """The model's numbers, since they were last drained."""

    def __init__(self, name: str, version: str | None) -> None:
        super().__init__(name, version)
        self._observed: list[tuple[str, float, int]] = []
        self._batching = False
        for name in ("preprocess", "predict", "explain", "postprocess", "queue", "batch"):
            setattr(self, name, _Noting(partial(self._note, name)))

    def drain(self, batching: bool) -> wire.Noted | None:
        """What is new, if anything."""
        counted = {name: getattr(self, name) for name in _COUNTED if getattr(self, name)}
        if not self._observed and not counted and batching == self._batching:
            return None
        self._batching = batching
        observed, self._observed = self._observed, []
        for name in counted:
            setattr(self, name, 0)
        return wire.Noted(observed, counted, batching)

    def _note(self, name: str, value: float, times: int) -> None:
        self._observed.append((name, value, times))


def _body(value: Any) -> tuple[bytes, bool]:
    """The bytes of an answer or a piece, and whether they are JSON."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass"), False
    if isinstance(value, bytes):
        return value, False
    return bodies.encode(value), True


def _headers(extras: Extras | None) -> dict[str, str] | None:
    if extras is None or not extras.headers:
        return None
    return {str(name): str(value) for name, value in extras.headers.items()}


def _failed(error: BaseException) -> wire.Failed:
    if describe(error)[0] >= 500 and not isinstance(error, ServeError | NotImplementedError):
        logger.error("a request failed", exc_info=error)
    return wire.failed(error)
