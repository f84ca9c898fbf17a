"""A user's own model that another process runs, as the server has it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mizzen.serve.codecs import bodies
from mizzen.serve.errors import QueueFull
from mizzen.serve.isolation import wire
from mizzen.serve.isolation.child import Child, Lineage
from mizzen.serve.isolation.connection import Asking, Connection
from mizzen.serve.isolation.streams import Pieces
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.payloads import PayloadCall
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Extras, Part, Servable

if TYPE_CHECKING:
    from mizzen.serve.observing.metrics import ModelMetrics


class IsolatedCustom(Servable):
    """Args:
    lineage: starts the successors of ``child``, which has loaded the model.
    """

    def __init__(self, name: str, version: str | None, lineage: Lineage, child: Child, loaded: wire.Loaded) -> None:
        super().__init__(name, version)
        self.platform = loaded.platform
        self.inputs, self.outputs = loaded.inputs, loaded.outputs
        self.files = set(map(Path, loaded.files))
        self.reads_headers, self.explains = loaded.reads_headers, loaded.explains
        self._lineage = lineage
        self._child = child
        self._connection: Connection | None = None

    def load(self) -> None:
        """It is."""

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> Lane:
        lane = IsolatedLane(metrics, scheduling)
        self._connection = lane.connection = Connection(
            self.name, self._lineage, self._child, scheduling, self._say, lane.note
        )
        return lane

    def unload(self) -> None:
        if self._connection is None:
            self._child.end()
        else:
            self._connection.close()
            self._connection.join()

    def _say(self, reason: str) -> None:
        if self.tell is not None:
            self.tell(reason)


class IsolatedLane(Lane):
    """The way to a model in a process, and in those after it."""

    times_stages = True
    connection: Connection

    def __init__(self, metrics: ModelMetrics, scheduling: Scheduling) -> None:
        self._metrics = metrics
        self._queue = scheduling.queue
        self._batching = False

    @property
    def in_flight(self) -> int:
        return self.connection.waiting

    @property
    def batching(self) -> bool:
        return self._batching

    def submit(self, call: Call) -> None:
        self._take(CustomAsking(call, self.connection))

    def submit_payload(self, call: PayloadCall) -> None:
        """As :meth:`submit`, for a V1 request."""
        self._take(CustomAsking(call, self.connection))

    def close(self) -> None:
        self.connection.close()

    def note(self, noted: wire.Noted) -> None:
        """Take over what the child has counted."""
        self._batching = noted.batching
        for name, value, times in noted.observed:
            getattr(self._metrics, name).observe(value, times)
        for name, count in noted.counted.items():
            setattr(self._metrics, name, getattr(self._metrics, name) + count)

    def _take(self, asking: CustomAsking) -> None:
        waiting = self.connection.waiting
        if self._queue is not None and waiting >= self._queue:
            self._metrics.refused += 1
            raise QueueFull(self._metrics.name, waiting)
        call = asking.call
        call.on_cancel = partial(self.connection.drop, asking)
        if call.deadline is not None:
            call.watch_deadline(asyncio.get_running_loop())
        self.connection.ask(asking)


class CustomAsking(Asking):
    """A call on its way.

    Attributes:
        call: whom to answer.
        pieces: of the answer, where that is a stream.
    """

    __slots__ = ("_connection", "call", "pieces")

    def __init__(self, call: Call, connection: Connection) -> None:
        super().__init__()
        self.call = call
        self.pieces: Pieces[Any] | None = None
        self._connection = connection

    @property
    def settled(self) -> bool:
        return self.call.settled

    def message(self) -> wire.Message:
        call = self.call
        if isinstance(call, PayloadCall):
            raw = isinstance(call.payload, bytes | bytearray | memoryview)
            body = bytes(call.payload) if raw else bodies.encode(call.payload)
            return wire.Posted(self.number, body, not raw, call.headers, call.verb, call.identifier)
        inputs = [wire.wired(tensor) for tensor in call.inputs]
        return wire.Request(self.number, inputs, call.options, call.identifier, call.streams)

    def hear(self, message: wire.Message) -> None:
        call: Any = self.call  # what it is given is its protocol's
        if isinstance(message, wire.Reply | wire.Said) and call.identifier is None:
            call.identifier = message.identifier
        match message:
            case wire.Reply():
                extras = Extras(message.parameters, message.headers)
                call.give([wire.unwired(raw) for raw in message.outputs], extras)
            case wire.Said():
                call.give(_value(message), Extras(headers=message.headers))
            case wire.Streams():
                took = partial(self._connection.tell, self, wire.Took(self.number))
                self.pieces = Pieces(took, partial(self._connection.drop, self))
                call.give(self.pieces, Extras(headers=message.headers))
            case wire.Piece():
                assert self.pieces is not None
                self.pieces.put(_value(message))
            case wire.Partial():
                assert self.pieces is not None
                own = Extras(message.parameters) if message.parameters else None
                self.pieces.put(Part([wire.unwired(raw) for raw in message.outputs], own))
            case wire.Ended():
                assert self.pieces is not None
                self.pieces.end(None if message.error is None else wire.raised(message.error))
            case wire.Refused():
                call.give(wire.raised(message.error))

    def fail(self, error: BaseException) -> None:
        if self.pieces is not None:
            self.pieces.end(error)
        else:
            self.call.give(error)


def _value(message: wire.Said | wire.Piece) -> bytes | msgspec.Raw:
    """JSON as it is: whatever encodes it writes these bytes."""
    return msgspec.Raw(message.body) if message.json else message.body
