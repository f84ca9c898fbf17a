"""Models that another server runs, which speaks the OpenAI protocol itself: requests go there whole, answers come back.

What is in between is small on purpose: who may ask, how long, and what is said when that server does not answer. It
does its own batching and queueing, so here nothing waits in line.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from mizzen.http.headers import Headers
from mizzen.serve.errors import InferenceError, InvalidInput, QueueFull
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.model import Servable

if TYPE_CHECKING:
    from mizzen.serve.lanes.scheduling import Scheduling
    from mizzen.serve.observing.metrics import ModelMetrics


class UpstreamError(InferenceError):
    """The server behind a model did not answer, or not as it should.

    Args:
        kind: the type of error that KServe's proxy gives it, such as ``BadGateway``.
    """

    def __init__(self, reason: str, status: int, kind: str) -> None:
        super().__init__(reason, status)
        self.kind = kind


class Answer(ABC):
    """What the other server answers: its head, and its body as it comes.

    Attributes:
        status: of HTTP.
        headers: those that concern the client.
        streams: whether the body is a stream of events.
    """

    status: int
    headers: Headers
    streams: bool

    @abstractmethod
    async def read(self) -> bytes:
        """The whole body.

        Raises:
            UpstreamError: it did not come.
        """

    @abstractmethod
    def pieces(self) -> AsyncIterator[bytes]:
        """The body, unchanged, each piece when it is there.

        Raises:
            UpstreamError: the rest does not come.
        """


class Relay(Servable):
    """A model that another server runs."""

    def ask(self, path: str, body: bytes, headers: Headers) -> AbstractAsyncContextManager[Answer]:
        """Pass a request on. Leaving the context before the answer's end tells the other server to stop.

        Args:
            path: below the other server's ``/v1``, such as ``chat/completions``.
            headers: the request's fields.

        Raises:
            UpstreamError: no answer came; the status says why.
        """
        raise NotImplementedError

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> RelayLane:
        return RelayLane(self, metrics, scheduling)


class RelayLane(Lane):
    """The way to such a model: counts who is under way, and refuses where a bound is set."""

    def __init__(self, model: Relay, metrics: ModelMetrics, scheduling: Scheduling) -> None:
        self._model = model
        self._metrics = metrics
        self._queue = scheduling.queue
        self._running = 0

    @property
    def in_flight(self) -> int:
        return self._running

    def submit(self, call: Call) -> None:
        raise InvalidInput(
            f"Model with name {self._model.name} is another server's and takes no tensors: ask it at /openai/v1"
        )

    @contextlib.asynccontextmanager
    async def ask(self, path: str, body: bytes, headers: Headers) -> AsyncIterator[Answer]:
        """See :meth:`Relay.ask`.

        Raises:
            QueueFull: as many are under way as may.
        """
        if self._queue is not None and self._running >= self._queue:
            self._metrics.refused += 1
            raise QueueFull(self._model.name, self._running)
        self._running += 1
        try:
            async with self._model.ask(path, body, headers) as answer:
                yield answer
        finally:
            self._running -= 1
