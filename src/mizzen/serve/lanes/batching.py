"""Micro-batching without waiting: what arrives while one ``predict`` runs goes into the next.

No timer holds a request back, unless one is asked for. On the loop, a batch is what one round of reading sockets
brought; on a thread, what came during the calls before. Requests share a call only if their tensors and what they say
beside them fit (:func:`~mizzen.serve.lanes.joining.kind`) and the model's rows are independent. Three things keep that
honest: a call that raises is asked again request by request, so that an error never touches a neighbour; samples of
joined calls are compared with single ones; and a model that fails the comparison is not batched any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from mizzen.serve.errors import ModelNotReady, QueueFull
from mizzen.serve.lanes import execution
from mizzen.serve.lanes.execution import Outcome
from mizzen.serve.lanes.joining import kind
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.placement import QUICK, Placement
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.lanes.worker import Worker
from mizzen.serve.model import TensorModel
from mizzen.serve.running import crashes

if TYPE_CHECKING:
    from mizzen.serve.observing.metrics import ModelMetrics

logger = logging.getLogger(__name__)

# The first batches whose rows differ are all compared with single calls, later ones now and then.
FIRST_CHECKS = 8
CHECK_EVERY = 1000

# More bytes of tensors than this never run on the loop, however quick the model is with less.
HEAVY = 64 * 1024


class Group:
    """Requests that will share a call."""

    __slots__ = ("calls", "key", "rows", "size")

    def __init__(self, key: Hashable | None) -> None:
        self.key = key
        self.calls: list[Call] = []
        self.rows = 0
        self.size = 0

    @classmethod
    def of(cls, call: Call) -> Group:
        """A group of one, which nobody joins."""
        group = cls(None)
        group.calls.append(call)
        group.size = sum(tensor.array.nbytes for tensor in call.inputs)
        return group


class Batcher(Lane):
    """The way to one model's ``infer``: a queue, and the decision what to ask it next, and where.

    Args:
        prepare: run on the model's threads before anything else.
        stuck: called, once, when a call has outlasted its limit: the model will not answer any more.
    """

    def __init__(
        self,
        model: TensorModel,
        metrics: ModelMetrics,
        scheduling: Scheduling,
        prepare: Callable[[], None] | None = None,
        stuck: Callable[[str], None] | None = None,
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._limits = scheduling
        self._together = crashes.named(execution.together, model.name)
        self._mark = crashes.Mark(model.name)
        self._placement: Placement | None = None
        self._prepare = prepare
        self._idle: list[Worker] = []
        self._workers: list[Worker] = []
        self._running: dict[Group, float] = {}
        self._queue: deque[Group] = deque()
        self._open: dict[Hashable, Group] = {}
        self._objection = ""
        self._joined = 0
        self._check_at = 1
        self._check_step = 1
        self._next: asyncio.Handle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._stuck = stuck
        self._dead: ModelNotReady | None = None
        self._departed = False

    @property
    def batching(self) -> bool:
        if self._objection or self._limits.batching is False:
            return False
        return self._model.batchable or bool(self._limits.batching)

    @property
    def on_loop(self) -> bool:
        return self._placement is not None and self._placement.on_loop

    @property
    def in_flight(self) -> int:
        return sum(len(group.calls) for group in (*self._running, *self._queue))

    def submit(self, call: Call) -> None:
        limits = self._limits
        if self._dead is not None:
            raise self._dead
        if limits.queue is not None:
            self._check_room(limits.queue)
            call.on_cancel = self._departure
        key = kind(call.inputs, call.options) if self.batching else None
        array = call.inputs[0].array
        rows = array.shape[0] if array.ndim else 1
        size = array.nbytes if len(call.inputs) == 1 else sum(tensor.array.nbytes for tensor in call.inputs)
        group = self._open.get(key) if key is not None else None
        if group is None or group.rows + rows > limits.rows or group.size + size > limits.size:
            group = Group(key)
            self._queue.append(group)
            if key is not None:
                self._open[key] = group
        group.calls.append(call)
        group.rows += rows
        group.size += size
        if call.deadline is not None:
            call.watch_deadline(asyncio.get_running_loop())
        if self._next is None:
            if self._room:
                self._next = self._soon(group)
        elif limits.latency and group.rows >= limits.rows:
            self._next.cancel()
            self._next = asyncio.get_running_loop().call_soon(self._flush)

    def start(self) -> None:
        worker = self._worker()
        worker.start()
        self._idle.append(worker)

    def close(self) -> None:
        for handle in (self._watch, self._next):
            if handle is not None:
                handle.cancel()
        for worker in self._workers:
            worker.close()
        self._mark.close()

    @property
    def _room(self) -> bool:
        """Whether another call may begin."""
        return not self._running or len(self._running) < (self._limits.concurrency or self._model.concurrency)

    def _check_room(self, most: int) -> None:
        """Raises:
        QueueFull: as many requests wait as may, not counting those that nobody waits for.
        """
        if self.in_flight >= most and self._departed:
            self._departed = False
            for group in self._queue:
                group.calls = [call for call in group.calls if not call.settled]
        if (waiting := self.in_flight) >= most:
            self._metrics.refused += 1
            raise QueueFull(self._model.name, waiting)

    def _departure(self) -> None:
        self._departed = True

    def _soon(self, group: Group) -> asyncio.Handle:
        loop = asyncio.get_running_loop()
        if self._limits.latency and group.key is not None and group.rows < self._limits.rows:
            return loop.call_later(self._limits.latency, self._flush)
        return loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._next = None
        placement = self._placement
        if placement is None:
            placement = self._placement = Placement(loop_allowed=not self._model.foreign)
        until = time.perf_counter() + QUICK
        while self._room and (group := self._take()) is not None:
            requests = [call.inputs for call in group.calls]
            options = group.calls[0].options
            check = len(requests) > 1 and self._check_is_due()
            if check or group.size > HEAVY or not placement.on_loop:
                job = execution.compared if check else execution.attempt
                self._dispatch(group, partial(job, self._model, requests, options))
                continue
            self._mark.begin()
            outcome = self._together(self._model, requests, options)
            self._mark.end()
            placement.record(outcome.cost)
            if outcome.answers is None:
                # Asking each alone may take long: not here.
                self._dispatch(group, partial(execution.separately, self._model, requests, options, outcome))
                continue
            self._deliver(group.calls, outcome)
            if outcome.began + outcome.seconds > until:
                break
        if self._queue and self._next is None and self._room:
            # Others want the loop, and may have something for the next call.
            self._next = asyncio.get_running_loop().call_soon(self._flush)

    def _take(self) -> Group | None:
        """The next group, less the requests that nobody waits for."""
        while self._queue:
            group = self._queue.popleft()
            if group.key is not None and self._open.get(group.key) is group:
                del self._open[group.key]
            group.calls = [call for call in group.calls if not call.settled]
            if self._objection and len(group.calls) > 1:
                # They were joined before it was known that they must not be.
                self._queue.extendleft(Group.of(call) for call in reversed(group.calls))
            elif group.calls:
                return group
        return None

    def _check_is_due(self) -> bool:
        """Count a joined call, and say whether to compare it with single ones."""
        self._joined += 1
        if self._joined < self._check_at:
            return False
        # Calls whose rows are all the same prove nothing; the longer there are only such, the more seldom we look.
        self._check_at = self._joined + self._check_step
        self._check_step = min(2 * self._check_step, CHECK_EVERY)
        return True

    def _worker(self) -> Worker:
        if self._idle:
            return self._idle.pop()
        worker = Worker(self._model.name, self._prepare)
        self._workers.append(worker)
        return worker

    def _dispatch(self, group: Group, job: Callable[[], Outcome]) -> None:
        self._running[group] = time.monotonic()
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._limits.limit, self._check_stuck)
        worker = self._worker()
        worker.submit(job, partial(self._returned, group, worker))

    def _returned(self, group: Group, worker: Worker, outcome: Outcome | BaseException) -> None:
        assert self._placement is not None
        self._running.pop(group, None)
        self._idle.append(worker)
        if self._dead is not None:
            return
        if isinstance(outcome, BaseException):
            for call in group.calls:
                call.give(outcome)
        else:
            if outcome.checked:
                self._metrics.checked += 1
                self._check_step = 1 if self._metrics.checked < FIRST_CHECKS else CHECK_EVERY
                self._check_at = self._joined + self._check_step
            if outcome.retried:
                self._metrics.retried += len(group.calls)
            elif group.size <= HEAVY:
                self._placement.record(outcome.cost)
            self._deliver(group.calls, outcome)
        if self._queue and self._next is None:
            self._flush()

    def _deliver(self, calls: list[Call], outcome: Outcome) -> None:
        assert outcome.answers is not None
        metrics = self._metrics
        metrics.batch.observe(len(calls))
        metrics.predict.observe(outcome.seconds, len(calls))
        if outcome.objection and not self._objection:
            self._objection = outcome.objection
            logger.warning("model %s: requests share no calls any more: %s", self._model.name, outcome.objection)
        began = outcome.began
        for call, answer in zip(calls, outcome.answers, strict=True):
            metrics.queue.observe(began - call.arrived)
            call.give(answer)

    def _check_stuck(self) -> None:
        """Has a call outlasted the limit? One timer looks after all of them, and rests while there are none."""
        self._watch = None
        if not self._running:
            return
        limit = self._limits.limit
        left = min(self._running.values()) + limit - time.monotonic()
        if left > 0:
            self._watch = asyncio.get_running_loop().call_later(left, self._check_stuck)
            return
        reason = f"predict has not returned for {limit:g} s"
        if self._model.interrupt(reason):
            # It answers for itself, by failing; and is given the same time to do so.
            self._running = dict.fromkeys(self._running, time.monotonic())
            self._watch = asyncio.get_running_loop().call_later(limit, self._check_stuck)
            return
        self._dead = ModelNotReady(self._model.name, reason)
        for group in (*self._running, *self._queue):
            for call in group.calls:
                call.give(self._dead)
        self._queue.clear()
        if self._stuck is not None:
            self._stuck(reason)
