"""Micro-batching without waiting: what arrives while one ``predict`` runs goes into the next.

No timer holds a request back. On the loop, a batch is what one round of reading sockets brought; on the thread, what
came during the call before. Requests share a call only if their tensors fit (:func:`~mizzen.serve.joining.kind`) and
the model's rows are independent. Three things keep that honest: a call that raises is asked again request by request,
so that an error never touches a neighbour; samples of joined calls are compared with single ones; and a model that
fails the comparison is not batched any more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from mizzen.serve import execution
from mizzen.serve.execution import Answer, Outcome
from mizzen.serve.joining import kind
from mizzen.serve.model import Model, Tensor
from mizzen.serve.placement import QUICK, Placement
from mizzen.serve.worker import Worker

if TYPE_CHECKING:
    from mizzen.serve.metrics import ModelMetrics

logger = logging.getLogger(__name__)

# The first batches whose rows differ are all compared with single calls, later ones now and then.
FIRST_CHECKS = 8
CHECK_EVERY = 1000

# More bytes of tensors than this never run on the loop, however quick the model is with less.
HEAVY = 64 * 1024


@dataclass(frozen=True, slots=True)
class Batching:
    """How requests share calls.

    Attributes:
        enabled: None leaves it to the model, True declares every model's rows independent, False keeps calls single.
        rows, size: what one call may hold, in rows and in bytes of tensors. A larger request goes alone.
    """

    enabled: bool | None = None
    rows: int = 1024
    size: int = 16 * 1024 * 1024


class Call:
    """One request on its way through a model. A protocol derives its own, which knows whom to answer.

    Attributes:
        inputs: the decoded tensors.
        arrived: when it was decoded, on :func:`time.perf_counter`.
        cancelled: set when nobody waits for the answer any more.
    """

    __slots__ = ("arrived", "cancelled", "inputs")

    def __init__(self, inputs: list[Tensor], arrived: float) -> None:
        self.inputs = inputs
        self.arrived = arrived
        self.cancelled = False

    def resolve(self, outputs: list[Tensor]) -> None:
        """Answer with the model's outputs for this request. Whatever it raises is given to :meth:`reject`."""
        raise NotImplementedError

    def reject(self, error: BaseException) -> None:
        """Answer with an error. Must not raise."""
        raise NotImplementedError


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


class Batcher:
    """The way to one model's ``infer``: a queue, and the decision what to ask it next, and where.

    Args:
        prepare: run on the model's thread before anything else.
    """

    def __init__(
        self, model: Model, metrics: ModelMetrics, batching: Batching, prepare: Callable[[], None] | None = None
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._limits = batching
        self._placement: Placement | None = None
        self.worker = Worker(model.name, prepare)
        self._queue: deque[Group] = deque()
        self._open: dict[Hashable, Group] = {}
        self._objection = ""
        self._joined = 0
        self._check_at = 1
        self._check_step = 1
        self._scheduled = False
        self._busy = 0

    @property
    def batching(self) -> bool:
        """Whether requests may share a call."""
        if self._objection or self._limits.enabled is False:
            return False
        return self._model.batchable or bool(self._limits.enabled)

    @property
    def on_loop(self) -> bool:
        return self._placement is not None and self._placement.on_loop

    @property
    def in_flight(self) -> int:
        """Requests taken and not yet answered."""
        return self._busy + sum(len(group.calls) for group in self._queue)

    def submit(self, call: Call) -> None:
        """Take a request; its ``resolve`` or ``reject`` is called later, on the loop."""
        key = kind(call.inputs) if self.batching else None
        array = call.inputs[0].array
        rows = array.shape[0] if array.ndim else 1
        size = array.nbytes if len(call.inputs) == 1 else sum(tensor.array.nbytes for tensor in call.inputs)
        group = self._open.get(key) if key is not None else None
        if group is None or group.rows + rows > self._limits.rows or group.size + size > self._limits.size:
            group = Group(key)
            self._queue.append(group)
            if key is not None:
                self._open[key] = group
        group.calls.append(call)
        group.rows += rows
        group.size += size
        if not self._scheduled and not self._busy:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def close(self) -> None:
        self.worker.close()

    def _flush(self) -> None:
        self._scheduled = False
        placement = self._placement
        if placement is None:
            placement = self._placement = Placement(loop_allowed=not self._model.foreign)
        until = time.perf_counter() + QUICK
        while (group := self._take()) is not None:
            requests = [call.inputs for call in group.calls]
            check = len(requests) > 1 and self._check_is_due()
            if check or group.size > HEAVY or not placement.on_loop:
                job = execution.compared if check else execution.attempt
                self._dispatch(group, partial(job, self._model, requests))
                return
            outcome = execution.together(self._model, requests)
            placement.record(outcome.cost)
            if outcome.answers is None:
                # Asking each alone may take long: not here.
                self._dispatch(group, partial(execution.separately, self._model, requests, outcome))
                return
            self._deliver(group.calls, outcome)
            if outcome.began + outcome.seconds > until:
                break
        if self._queue and not self._scheduled:
            # Others want the loop, and may have something for the next call.
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _take(self) -> Group | None:
        """The next group, less the requests that nobody waits for."""
        while self._queue:
            group = self._queue.popleft()
            if group.key is not None and self._open.get(group.key) is group:
                del self._open[group.key]
            group.calls = [call for call in group.calls if not call.cancelled]
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

    def _dispatch(self, group: Group, job: Callable[[], Outcome]) -> None:
        self._busy = len(group.calls)
        self.worker.submit(job, partial(self._returned, group))

    def _returned(self, group: Group, outcome: Outcome | BaseException) -> None:
        assert self._placement is not None
        self._busy = 0
        if isinstance(outcome, BaseException):
            for call in group.calls:
                _hand_over(call, outcome)
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
        if self._queue and not self._scheduled:
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
            if not call.cancelled:
                _hand_over(call, answer)


def _hand_over(call: Call, answer: Answer) -> None:
    """Give a request its answer. Its own trouble with it is not its neighbours'."""
    try:
        if isinstance(answer, BaseException):
            call.reject(answer)
            return
        try:
            call.resolve(answer)
        except Exception as error:
            call.reject(error)
    except Exception:
        logger.exception("an answer could not be handed over")
