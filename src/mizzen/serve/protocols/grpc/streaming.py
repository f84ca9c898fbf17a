"""``ModelStreamInfer``: many requests on one stream, to any of the models.

Requests go to their models as they come, so that they run side by side and share calls; answers go back in the order of
the requests, as Triton's do for models with one answer to each request, because who sends the steps of a sequence
counts on that. A request that fails is answered in its turn, in words, and the stream goes on. A model that gives
several answers to a request (Triton says: a decoupled one) has them sent as they come: it keeps no others waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from mizzen.http.errors import Disconnected
from mizzen.serve.codecs.bodies import make_id
from mizzen.serve.codecs.raw import Buffer
from mizzen.serve.codecs.slices import LARGE, unhurried
from mizzen.serve.errors import Asleep, ServeError
from mizzen.serve.lanes.lane import Call
from mizzen.serve.model import Extras, Part
from mizzen.serve.protocols.grpc import inference
from mizzen.serve.protocols.grpc.call import ModelCall, Put, understand, understand_long
from mizzen.serve.protocols.grpc.kept import Kept
from mizzen.serve.protocols.grpc.refusal import explained
from mizzen.serve.protocols.grpc.schema import ModelStreamInferResponse
from mizzen.serve.protocols.grpc.stream import Stream
from mizzen.serve.protocols.grpc.tensors import varint
from mizzen.serve.repository import Repository

# Requests of one stream under way; past that it is not read.
UNDER_WAY = 64

_INFER_RESPONSE = b"\x12"


class StreamInfer:
    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._kept = Kept()

    async def __call__(self, stream: Stream) -> None:
        turns = _Turns(stream)
        try:
            try:
                async for message in stream.requests():
                    await self._take(turns.add(), message)
                    await turns.fewer_than(UNDER_WAY)
                    await stream.exchange.drain()
            except ServeError:
                # What came before it is answered.
                await turns.fewer_than(1)
                raise
            await turns.fewer_than(1)
        finally:
            await turns.close()

    async def _take(self, turn: _Turn, message: bytes, again: bool = False) -> None:
        """Put a request to its model; if it cannot be put, that is its answer.

        Args:
            again: whether its model has been loaded for it.
        """
        began = time.perf_counter()
        headers = turn.turns.stream.exchange.headers
        try:
            request = inference.read_request(message)
            turn.id = request.id
            # When the stream's own time is over, all that is under way is cancelled: no request has its deadline.
            if len(message) > LARGE:
                put = await understand_long(self._repository, request, headers, None)
            else:
                put = understand(self._repository, request, headers, None)
        except Exception as error:
            if isinstance(error, Asleep) and not again:
                await self._wake(turn, message, error.name)
            else:
                turn.fail(error)
            return
        call = turn.call = _StreamCall(put, began, turn)
        try:
            call.served.submit(call)
        except Exception as error:
            turn.fail(error)

    async def _wake(self, turn: _Turn, message: bytes, name: str) -> None:
        """Load the model that a request is for, and take it again."""
        try:
            await self._kept.finish(self._repository.wake(name))
        except Exception as error:
            turn.fail(error)
        else:
            await self._take(turn, message, again=True)


class _Turn:
    """One request's place among the answers. ``framed`` is its answer, once it is there; ``sending`` sends its several
    ones, for which there is no order."""

    __slots__ = ("call", "framed", "id", "sending", "turns")

    def __init__(self, turns: _Turns) -> None:
        self.turns = turns
        self.call: Call | None = None
        self.framed: bytes | None = None
        self.sending: asyncio.Task[None] | None = None
        self.id = ""

    def answer(self, parts: list[Buffer]) -> None:
        size = sum(map(len, parts))
        self._send(self.turns.stream.framed([_INFER_RESPONSE, varint(size), *parts]))

    def fail(self, error: BaseException) -> None:
        _, text = explained(self.turns.stream.exchange, error)
        response = ModelStreamInferResponse(error_message=text.encode("utf-8", "replace").decode() or "failed")
        response.infer_response.id = self.id
        self._send(self.turns.stream.framed(response.SerializeToString()))

    def _send(self, framed: bytes) -> None:
        if self.sending is not None:
            self.turns.stream.exchange.write(framed)
        else:
            self.framed = framed
            self.turns.flush()


class _Turns:
    """The requests of one stream that are not yet answered, in their order."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._turns: deque[_Turn] = deque()
        self._aside: set[_Turn] = set()
        self._waiter: asyncio.Future[None] | None = None

    def add(self) -> _Turn:
        turn = _Turn(self)
        self._turns.append(turn)
        return turn

    def flush(self) -> None:
        """Send the answers whose turn it is."""
        turns = self._turns
        while turns and (framed := turns[0].framed) is not None:
            turns.popleft()
            self.stream.exchange.write(framed)
        self._wake()

    def set_aside(self, turn: _Turn, sending: Coroutine[Any, Any, None]) -> None:
        """A request has several answers: send them as they come, whosever turn it is."""
        self._turns.remove(turn)
        self._aside.add(turn)
        turn.sending = asyncio.get_running_loop().create_task(self._sent(turn, sending))
        self.flush()

    async def _sent(self, turn: _Turn, sending: Coroutine[Any, Any, None]) -> None:
        try:
            await sending
        finally:
            self._aside.discard(turn)
            self._wake()

    async def fewer_than(self, count: int) -> None:
        """Wait until fewer requests are under way."""
        while len(self._turns) + len(self._aside) >= count:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    async def close(self) -> None:
        """Nobody waits for the rest."""
        for turn in self._turns:
            if turn.call is not None:
                turn.call.cancel()
        sending = [turn.sending for turn in self._aside if turn.sending is not None]
        # Not before their first step: they would never come to where they close what they read.
        await asyncio.sleep(0)
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class _StreamCall(ModelCall):
    __slots__ = ("_turn",)

    final = True
    streams = True

    def __init__(self, put: Put, began: float, turn: _Turn) -> None:
        super().__init__(put, began)
        self._turn = turn

    def resolve(self, outputs: Any, extras: Extras | None = None) -> None:
        if hasattr(outputs, "__aiter__"):
            self._turn.turns.set_aside(self._turn, self._send_all(outputs))
        else:
            super().resolve(outputs, extras)

    def answer(self, message: list[Buffer], extras: Extras | None) -> None:
        self._turn.answer(message)

    async def _send_all(self, parts: AsyncGenerator[Part, None]) -> None:
        """Send several answers, no faster than the client reads."""
        model, asked, exchange = self.served.model, self.asked, self._turn.turns.stream.exchange
        asked.id = asked.id or make_id()  # one for all
        try:
            async with contextlib.aclosing(parts):
                async for part in parts:
                    message = await unhurried(inference.encoding(model, asked, part.outputs, part.extras, False))
                    self._written(time.perf_counter())
                    self.answer(message, part.extras)
                    await exchange.drain()
            if asked.empty_final:
                self.answer(inference.empty_final(model, asked), None)
        except Disconnected:
            return
        except Exception as error:
            self.reject(error)

    def reject(self, error: BaseException) -> None:
        super().reject(error)
        self._turn.fail(error)
