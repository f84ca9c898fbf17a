"""The way to a custom model: from the server's loop to the model's own and back.

Coroutines of a model run beside each other, plain code one request at a time. Those that have not begun can still be
refused, expire, or be forgotten with their client. What comes back, an answer or the pieces of a stream, is handed over
on the server's loop. A watch tells a model that is at work from one that does not turn its loop any more: the former's
late requests are cancelled one by one, the latter is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mizzen.serve.custom import chain
from mizzen.serve.custom.answers import (
    Answer,
    is_stream,
    payload_answer,
    payload_piece,
    request_of,
    tensor_answer,
    tensor_part,
)
from mizzen.serve.custom.batched import Batched
from mizzen.serve.custom.chain import Outcome
from mizzen.serve.custom.errors import InferenceError
from mizzen.serve.custom.logs import trace_logger
from mizzen.serve.custom.model import Headers, InferenceVerb
from mizzen.serve.custom.streams import Stream, closed
from mizzen.serve.custom.thread import Outbox
from mizzen.serve.errors import ModelNotReady, QueueFull
from mizzen.serve.lanes.batching import Batcher
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.payloads import PayloadCall
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Extras
from mizzen.serve.running.crashes import Mark

if TYPE_CHECKING:
    from mizzen.serve.custom.servable import CustomServable
    from mizzen.serve.observing.metrics import ModelMetrics

logger = logging.getLogger(__name__)

# How often within its limit a model at work is asked for a sign of life.
_LOOKS = 4


class Job:
    """One request on the model's side.

    Attributes:
        call: whom to answer.
        since: when it began, or gave its last piece, on :func:`time.monotonic`.
        began: on :func:`time.perf_counter`.
        outcome: filled as its stages end.
    """

    __slots__ = ("began", "call", "cancelled", "outcome", "since", "started", "task")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.since = self.began = 0.0
        self.outcome = Outcome()
        self.task: asyncio.Task[None] | None = None
        self.started = False
        self.cancelled = False


class CustomLane(Lane):
    """Args:
    servable: brings the model, once it is loaded, and its thread.
    stuck: called, once, with the reason, when the model will not answer any more.
    """

    times_stages = True

    def __init__(
        self, servable: CustomServable, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]
    ) -> None:
        self._servable = servable
        self._metrics = metrics
        self._mark = Mark(metrics.name)
        self._limits = scheduling
        self._stuck = stuck
        self._waiting: deque[Job] = deque()
        self._running: set[Job] = set()
        self._dead: ModelNotReady | None = None
        self._heard = 0.0
        self._asked = False
        self._watch: asyncio.TimerHandle | None = None
        self._batcher: Batcher | None = None
        # To the model's loop, and back to the server's.
        self._there: Outbox | None = None
        self._back: Outbox | None = None

    @property
    def in_flight(self) -> int:
        return len(self._running) + len(self._waiting) + (self._batcher.in_flight if self._batcher is not None else 0)

    @property
    def batching(self) -> bool:
        return self._batcher is not None and self._batcher.batching

    @property
    def tells_times(self) -> bool:
        """Whether the log has a line with the times of each request's stages."""
        model = self._servable.model
        return model is not None and model.enable_latency_logging

    def submit(self, call: Call) -> None:
        model = self._servable.model
        if model is None or not model.batchable or call.options.method != "predict":
            self._take(call)
            return
        if not model.ready:
            raise ModelNotReady(self._metrics.name)
        if self._batcher is None:
            batched = Batched(self._servable)
            self._batcher = Batcher(batched, self._metrics, self._limits, stuck=self._stuck)
        self._batcher.submit(call)

    def submit_payload(self, call: PayloadCall) -> None:
        """As :meth:`submit`, for a V1 request."""
        self._take(call)

    def start(self) -> None:
        self._servable.thread.start()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self._batcher is not None:
            self._batcher.close()
        self._mark.close()
        self._servable.finish()

    def _take(self, call: Call) -> None:
        if self._dead is not None:
            raise self._dead
        model = self._servable.model
        if model is None or not model.ready:
            raise ModelNotReady(self._metrics.name)
        limit = self._limits.queue
        if limit is not None and self.in_flight >= limit:
            self._metrics.refused += 1
            raise QueueFull(self._metrics.name, self.in_flight)
        loop = asyncio.get_running_loop()
        if self._back is None:
            self._back, self._there = Outbox(loop), Outbox(self._servable.thread.start())
        job = Job(call)
        call.on_cancel = lambda: self._cancel(job)
        if call.deadline is not None:
            call.watch_deadline(loop)
        self._waiting.append(job)
        self._next()

    def _next(self) -> None:
        """Let begin what may."""
        assert self._there is not None
        most = self._limits.concurrency or self._servable.concurrency
        while self._waiting and (most is None or len(self._running) < most):
            job = self._waiting.popleft()
            if job.call.settled:
                continue
            if not self._running:
                self._heard = time.monotonic()
            self._running.add(job)
            self._mark.begin()
            self._there.put(self._begin, job)
        if self._running and self._watch is None:
            self._look_later()

    def _cancel(self, job: Job) -> None:
        """Nobody waits for it any more."""
        if job not in self._running:
            with contextlib.suppress(ValueError):
                self._waiting.remove(job)
        elif self._there is not None:
            self._there.put(_stop, job)

    # On the model's thread.

    def _begin(self, job: Job) -> None:
        assert self._servable.thread.loop is not None
        job.task = self._servable.thread.loop.create_task(self._work(job))

    async def _work(self, job: Job) -> None:
        # A task that is cancelled before its first step would never get here, and nobody would hear of its end.
        job.started = True
        job.began, job.since = time.perf_counter(), time.monotonic()
        answer: Answer | BaseException | None
        try:
            answer = None if job.call.settled else await self._answer(job)
        except asyncio.CancelledError:
            answer = None if job.cancelled else InferenceError("the model's code was cancelled by itself")
        except SystemExit as error:
            answer = InferenceError(f"the model tried to end the process: sys.exit({error.code!r})")
        except Exception as error:
            answer = error
        except BaseException as error:
            answer = InferenceError(f"the model raised {type(error).__name__}: {error}")
        if isinstance(answer, Answer) and isinstance(answer.result, Stream):
            stream: Stream = answer.result
            self._tell(job, answer, more=True)
            await stream.pump()
            answer = None
        self._tell(job, answer)

    async def _answer(self, job: Job) -> Answer:
        call, model = job.call, self._servable.model
        assert model is not None
        if isinstance(call, PayloadCall):
            verb = InferenceVerb.EXPLAIN if call.verb == "explain" else InferenceVerb.PREDICT
            await chain.run(model, call.payload, call.headers, verb, job.outcome)
            return payload_answer(job.outcome, lambda iterator: self._stream(job, iterator, payload_piece))
        headers: Headers = call.options.headers if call.options.headers is not None else {}
        verb = InferenceVerb.EXPLAIN if call.options.method == "explain" else InferenceVerb.PREDICT
        request = request_of(call, self._metrics.name, self._servable.version)
        await chain.run(model, request, headers, verb, job.outcome)
        if not is_stream(job.outcome.result):
            return tensor_answer(job.outcome)
        if not call.streams:
            await closed(job.outcome.result)
            raise NotImplementedError(
                f"model {self._metrics.name} answers a request in several parts, which V2 has a form for in gRPC's "
                "ModelStreamInfer alone: ask it there, or over V1"
            )
        stream = self._stream(job, job.outcome.result, tensor_part)
        return Answer(stream, Extras(headers=job.outcome.headers) if job.outcome.headers else None)

    def _stream(self, job: Job, iterator: Any, convert: Callable[[Any], Any]) -> Stream:
        assert self._there is not None and self._back is not None
        heard, stop = lambda: self._piece(job), lambda: self._cancel(job)
        return Stream(iterator, convert, self._there, self._back, heard, stop)

    def _tell(self, job: Job, answer: Answer | BaseException | None, more: bool = False) -> None:
        assert self._back is not None
        self._back.put(self._returned, job, answer, more)

    # On the server's loop again.

    def _returned(self, job: Job, answer: Answer | BaseException | None, more: bool) -> None:
        self._heard = job.since = time.monotonic()
        if not more:
            self._running.discard(job)
            if not self._running:
                self._mark.end()
        if self._dead is not None:
            return
        if more and job.call.settled:
            self._cancel(job)
        elif answer is not None:
            self._observe(job)
            if isinstance(answer, BaseException):
                job.call.give(answer)
            else:
                if job.call.identifier is None:
                    job.call.identifier = answer.identifier
                give: Callable[..., None] = job.call.give
                give(answer.result, answer.extras)
        if not more:
            self._next()

    def _piece(self, job: Job) -> None:
        """A stream has given something: it is at work."""
        self._heard = job.since = time.monotonic()

    def _observe(self, job: Job) -> None:
        metrics, times = self._metrics, job.outcome.times
        metrics.queue.observe(job.began - job.call.arrived)
        metrics.batch.observe(1)
        for stage in ("preprocess", "predict", "explain", "postprocess"):
            if stage in times:
                getattr(metrics, stage).observe(times[stage])
        if self.tells_times:
            shown = ", ".join(
                f"{stage}_ms: {times.get(stage, 0) * 1000:.3f}"
                for stage in ("preprocess", "explain", "predict", "postprocess")
            )
            headers = job.call.headers if isinstance(job.call, PayloadCall) else job.call.options.headers
            trace_logger.info("requestId: %s, %s", (headers or {}).get("x-request-id", "N.A."), shown)

    def _look_later(self) -> None:
        self._watch = asyncio.get_running_loop().call_later(self._limits.limit / _LOOKS, self._look)

    def _look(self) -> None:
        """Is the model at work, and is none of its requests at it for too long?"""
        self._watch = None
        if not self._running or self._dead is not None:
            return
        now, limit = time.monotonic(), self._limits.limit
        if now - self._heard >= limit:
            self._give_up(f"predict has not returned for {limit:g} s")
            return
        for job in [job for job in self._running if job.started and now - job.since >= limit and not job.cancelled]:
            job.call.give(InferenceError(f"the model has not answered within {limit:g} s, and was told to stop", 504))
            self._cancel(job)
        if not self._asked:
            assert self._there is not None
            self._asked = True
            self._there.put(self._sign)
        self._look_later()

    def _sign(self) -> None:
        assert self._back is not None
        self._back.put(self._signed)

    def _signed(self) -> None:
        self._asked = False
        self._heard = time.monotonic()

    def _give_up(self, reason: str) -> None:
        self._dead = ModelNotReady(self._metrics.name, reason)
        for job in (*self._running, *self._waiting):
            job.call.give(self._dead)
        self._waiting.clear()
        self._stuck(reason)


def _stop(job: Job) -> None:
    """Called on the model's loop."""
    job.cancelled = True
    if job.started and job.task is not None:
        job.task.cancel()
