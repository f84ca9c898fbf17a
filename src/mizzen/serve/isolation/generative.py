"""A model that generates in another process, as the server has it: its lane is every generative model's.

Turns, the queue and deadlines are kept here, so that the child is never given more than it may run. It is told when
nobody wants the rest, and looks for stop texts itself, so that no token is made in vain.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncGenerator, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mizzen.serve.generation.lane import GenerationLane
from mizzen.serve.generation.model import Chunk, GenerationRequest, GenerativeModel
from mizzen.serve.isolation import wire
from mizzen.serve.isolation.child import Child, Lineage
from mizzen.serve.isolation.connection import Asking, Connection
from mizzen.serve.isolation.streams import Pieces
from mizzen.serve.lanes.scheduling import Scheduling

if TYPE_CHECKING:
    from mizzen.serve.observing.metrics import ModelMetrics


class IsolatedGenerator(GenerativeModel):
    """Args:
    lineage: starts the successors of ``child``, which has loaded the model.
    """

    stops = True

    def __init__(self, name: str, version: str | None, lineage: Lineage, child: Child, loaded: wire.Loaded) -> None:
        super().__init__(name, version)
        self.platform = loaded.platform
        self.files = set(map(Path, loaded.files))
        self.features = frozenset(loaded.features)
        self.concurrency = loaded.concurrency
        self._lineage = lineage
        self._child = child
        self._connection: Connection | None = None

    def load(self) -> None:
        """It is."""

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> GenerationLane:
        # Those that wait do so here; what the child still has of one that was cancelled is no queue.
        theirs = dataclasses.replace(scheduling, queue=None)
        self._connection = Connection(self.name, self._lineage, self._child, theirs, self._say)
        return _Lane(self, metrics, scheduling, stuck, self._connection)

    def unload(self) -> None:
        if self._connection is None:
            self._child.end()
        else:
            self._connection.close()
            self._connection.join()

    async def generate(self, request: GenerationRequest) -> AsyncGenerator[Chunk, None]:
        assert self._connection is not None
        asking = Generation(request, self._connection)
        self._connection.ask(asking)
        try:
            async for chunk in asking.pieces:
                yield chunk
        finally:
            await asking.pieces.aclose()

    def _say(self, reason: str) -> None:
        if self.tell is not None:
            self.tell(reason)


class _Lane(GenerationLane):
    def __init__(
        self,
        model: GenerativeModel,
        metrics: ModelMetrics,
        scheduling: Scheduling,
        stuck: Callable[[str], None],
        connection: Connection,
    ) -> None:
        super().__init__(model, metrics, scheduling, stuck)
        self._connection = connection

    def close(self) -> None:
        super().close()
        self._connection.close()


class Generation(Asking):
    """A generation on its way, and what has come of it."""

    __slots__ = ("_request", "pieces")

    def __init__(self, request: GenerationRequest, connection: Connection) -> None:
        super().__init__()
        self._request = request
        self.pieces: Pieces[Chunk] = Pieces(
            lambda: connection.tell(self, wire.Took(self.number)), partial(connection.drop, self)
        )

    @property
    def settled(self) -> bool:
        return self.pieces.ended

    def message(self) -> wire.Message:
        asked = self._request
        deadline = asked.signal.deadline
        return wire.Generate(
            self.number,
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
            None if deadline is None else deadline - time.monotonic(),
        )

    def hear(self, message: wire.Message) -> None:
        match message:
            case wire.Generated():
                self.pieces.put(message.chunk)
            case wire.Ended():
                self.pieces.end(None if message.error is None else wire.raised(message.error))

    def fail(self, error: BaseException) -> None:
        self.pieces.end(error)
