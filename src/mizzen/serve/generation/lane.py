"""The way to a generative model: so many generations at once, the others in line, each ended once nobody wants it.

A plain model generates on a thread and hands its chunks over by a :class:`~mizzen.serve.generation.channel.Channel`;
its place is free again when the thread has come back, not when the client has gone. An asynchronous one runs within the
task of whoever reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING

from mizzen.serve.errors import DeadlineExceeded, InferenceError, InvalidInput, ModelNotReady, QueueFull
from mizzen.serve.generation.channel import Channel
from mizzen.serve.generation.model import Cancelled, Chunk, GenerationRequest, GenerativeModel, Signal
from mizzen.serve.generation.stops import StopScanner
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.worker import Worker
from mizzen.serve.running.crashes import Mark

if TYPE_CHECKING:
    from mizzen.serve.lanes.scheduling import Scheduling
    from mizzen.serve.observing.metrics import ModelMetrics


class GenerationLane(Lane):
    """Args:
    stuck: called, once, when a generation has shown no sign of life for the scheduling's limit.
    """

    def __init__(
        self, model: GenerativeModel, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._stuck = stuck
        self._limit = scheduling.limit
        self._queue = scheduling.queue
        self._free = scheduling.concurrency or model.concurrency
        self._asynchronous = inspect.isasyncgenfunction(model.generate)
        self._running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._idle: list[Worker] = []
        self._workers: list[Worker] = []
        self._threads: dict[Channel[Chunk], Signal] = {}
        self._watch: asyncio.TimerHandle | None = None
        self._dead: ModelNotReady | None = None
        # Of those on the loop: they run beside each other.
        self._mark = Mark(model.name)
        self._on_loop = 0

    @property
    def in_flight(self) -> int:
        return self._running + sum(not turn.done() for turn in self._waiting)

    def submit(self, call: Call) -> None:
        raise InvalidInput(
            f"Model with name {self._model.name} generates text and takes no tensors: "
            "ask it at /openai/v1/completions or /openai/v1/chat/completions"
        )

    def close(self) -> None:
        for worker in self._workers:
            worker.close()
        self._mark.close()

    @contextlib.asynccontextmanager
    async def generate(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Wait for a turn, then generate until the end or until the context is left.

        Raises:
            QueueFull: as many wait as may.
            ModelNotReady: it has got stuck.
            DeadlineExceeded
        """
        arrived = time.perf_counter()
        await self._turn(request.signal)
        began = time.perf_counter()
        self._metrics.queue.observe(began - arrived)
        try:
            async with self._asked(request) as chunks:
                if self._model.stops or not request.stop:
                    yield chunks
                else:
                    async with contextlib.aclosing(_cut(chunks, request)) as cut:
                        yield cut
        finally:
            self._metrics.predict.observe(time.perf_counter() - began)

    @contextlib.asynccontextmanager
    async def _asked(self, request: GenerationRequest) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Use the turn that was given, and see that it is passed on."""
        if not self._asynchronous:
            channel = self._start(request)
            try:
                yield channel
            finally:
                channel.close()
            return
        self._on_loop += 1
        self._mark.begin()
        try:
            async with contextlib.aclosing(self._awaited(request)) as chunks:
                yield chunks
        finally:
            self._on_loop -= 1
            if not self._on_loop:
                self._mark.end()
            request.signal.cancelled = True
            self._release()

    async def _turn(self, signal: Signal) -> None:
        if self._dead is not None:
            raise self._dead
        if self._queue is not None and (waiting := self.in_flight) >= self._queue:
            self._metrics.refused += 1
            raise QueueFull(self._model.name, waiting)
        if self._free:
            self._free -= 1
            self._running += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(None if signal.deadline is None else signal.deadline - time.monotonic()):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._release()  # it was given in the same moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise DeadlineExceeded from None
            raise

    def _release(self) -> None:
        """Pass a turn on to whoever waits longest."""
        self._running -= 1
        self._free += 1
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                self._free -= 1
                self._running += 1
                turn.set_result(None)
                return

    async def _awaited(self, request: GenerationRequest) -> AsyncGenerator[Chunk, None]:
        """The chunks of an asynchronous model."""
        signal = request.signal
        chunks = self._model.generate(request)
        assert isinstance(chunks, AsyncGenerator)
        async with contextlib.aclosing(chunks):
            while True:
                left = None if signal.deadline is None else signal.deadline - time.monotonic()
                try:
                    async with asyncio.timeout(left) as timer:
                        chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                except TimeoutError:
                    if timer.expired():
                        raise DeadlineExceeded from None
                    raise
                yield chunk

    def _start(self, request: GenerationRequest) -> Channel[Chunk]:
        """Let a thread generate."""
        loop = asyncio.get_running_loop()
        signal = request.signal
        channel: Channel[Chunk] = Channel(signal)
        worker = self._idle.pop() if self._idle else self._worker()
        self._threads[channel] = signal
        signal.seen = time.monotonic()
        if signal.deadline is not None:
            # The thread looks between tokens; whoever waits does so no longer than it was to.
            channel.timer = loop.call_later(signal.deadline - signal.seen, channel.end, DeadlineExceeded())
        if self._watch is None:
            self._watch = loop.call_later(self._limit, self._check_stuck)
        worker.submit(partial(self._model.produce, request, channel.put), partial(self._returned, channel, worker))
        return channel

    def _worker(self) -> Worker:
        worker = Worker(self._model.name)
        self._workers.append(worker)
        return worker

    def _returned(self, channel: Channel[Chunk], worker: Worker, outcome: BaseException | None) -> None:
        self._threads.pop(channel, None)
        self._idle.append(worker)
        if isinstance(outcome, SystemExit):
            outcome = InferenceError(f"the model tried to end the process: sys.exit({outcome.code!r})")
        channel.end(None if isinstance(outcome, Cancelled) else outcome)
        if self._dead is None:
            self._release()

    def _check_stuck(self) -> None:
        self._watch = None
        if not self._threads or self._dead is not None:
            return
        left = min(signal.seen for signal in self._threads.values()) + self._limit - time.monotonic()
        if left > 0:
            self._watch = asyncio.get_running_loop().call_later(left, self._check_stuck)
            return
        reason = f"a generation has made no token for {self._limit:g} s"
        self._dead = ModelNotReady(self._model.name, reason)
        for channel in self._threads:
            channel.end(self._dead)
        for turn in self._waiting:
            if not turn.done():
                turn.set_exception(self._dead)
        self._waiting.clear()
        self._stuck(reason)


async def _cut(chunks: AsyncIterator[Chunk], request: GenerationRequest) -> AsyncGenerator[Chunk, None]:
    """The chunks of a model that does not look for stop texts itself, up to the first of them."""
    scanners = {index: StopScanner(request.stop) for index in range(request.n)}
    async for chunk in chunks:
        scanner = scanners.get(chunk.index)
        if scanner is None:
            continue  # this answer has ended
        chunk.text = scanner.feed(chunk.text)
        if chunk.finish:
            chunk.text += scanner.finish()
        if scanner.stopped:
            chunk.finish = "stop"
        if chunk.finish:
            del scanners[chunk.index]
        yield chunk
        if not scanners:
            return
