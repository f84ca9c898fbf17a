"""A user's own model that another process runs, as the server has it.

Requests go to the child as they come, by a thread that also starts its successors; another reads what it answers. Both
hand over on the server's loop. Which process a request was sent to is kept with it, so that those of one that dies are
answered with its fate, and those that still wait with what its successor says.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mizzen.serve.codecs import bodies
from mizzen.serve.custom.servable import STOP_WITHIN
from mizzen.serve.custom.thread import Outbox
from mizzen.serve.errors import InferenceError, InvalidInput, ModelNotReady, QueueFull
from mizzen.serve.isolation import wire
from mizzen.serve.isolation.child import Child, Lineage
from mizzen.serve.isolation.streams import Pieces
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.payloads import PayloadCall
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Extras, Servable

if TYPE_CHECKING:
    from mizzen.serve.observing.metrics import ModelMetrics

# How often within its limit a child that has requests is asked for a sign of life.
_LOOKS = 4


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
        self._lane: IsolatedLane | None = None

    def load(self) -> None:
        """It is."""

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> Lane:
        self._lane = IsolatedLane(self, metrics, scheduling, self._lineage, self._child)
        return self._lane

    def unload(self) -> None:
        if self._lane is None:
            self._child.end()
        else:
            self._lane.close()
            self._lane.join()

    def say(self, reason: str) -> None:
        """What the child says of its model, or, with no reason, that a new child has none."""
        if self.tell is not None:
            self.tell(reason)


class Asking:
    """A request on its way.

    Attributes:
        make: the message that it is.
        child: to whom it was sent.
        pieces: of its answer, where that is a stream.
    """

    __slots__ = ("call", "child", "make", "number", "pieces")

    def __init__(self, number: int, call: Call, make: Callable[[int], wire.Message]) -> None:
        self.number, self.call, self.make = number, call, make
        self.child: Child | None = None
        self.pieces: Pieces | None = None


class IsolatedLane(Lane):
    """The way to a model in ``child``, and in those after it."""

    times_stages = True

    def __init__(
        self, model: IsolatedCustom, metrics: ModelMetrics, scheduling: Scheduling, lineage: Lineage, child: Child
    ) -> None:
        self._model = model
        self._metrics = metrics
        self._limits = scheduling
        self._lineage = lineage
        self._numbers = itertools.count()
        self._asking: dict[int, Asking] = {}
        self._batching = False
        self._watch: asyncio.TimerHandle | None = None
        self._heard = 0.0
        self._back: Outbox | None = None
        # Requests, and what is said of them later to the child that has them; None is the end.
        self._outgoing: queue.SimpleQueue[Asking | tuple[Asking, wire.Message] | None] = queue.SimpleQueue()
        # Of the current child; a dead one is nobody's.
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._closed = False
        self._reader: threading.Thread | None = None
        self._adopt(child)
        threading.Thread(target=self._write, name=f"to model {metrics.name}", daemon=True).start()

    @property
    def in_flight(self) -> int:
        return len(self._asking)

    @property
    def batching(self) -> bool:
        return self._batching

    def submit(self, call: Call) -> None:
        def request(number: int) -> wire.Message:
            inputs = [wire.wired(tensor) for tensor in call.inputs]
            return wire.Request(number, inputs, call.options, call.identifier)

        self._take(call, request)

    def submit_payload(self, call: PayloadCall) -> None:
        """As :meth:`submit`, for a V1 request."""

        def posted(number: int) -> wire.Message:
            raw = isinstance(call.payload, bytes | bytearray | memoryview)
            body = bytes(call.payload) if raw else bodies.encode(call.payload)
            return wire.Posted(number, body, not raw, call.headers, call.verb, call.identifier)

        self._take(call, posted)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            child = self._child
        self._outgoing.put(None)
        if child is not None:
            child.channel.finish()

    def join(self) -> None:
        """Wait until the model has stopped and its process is gone, and make sure that it goes."""
        with self._lock:
            child, reader = self._child, self._reader
        if reader is not None:
            reader.join(STOP_WITHIN + 2)
            if reader.is_alive() and child is not None:
                child.kill("it has not stopped")
                reader.join()

    # On the server's loop.

    def _take(self, call: Call, make: Callable[[int], wire.Message]) -> None:
        limit = self._limits.queue
        if limit is not None and len(self._asking) >= limit:
            self._metrics.refused += 1
            raise QueueFull(self._metrics.name, len(self._asking))
        loop = asyncio.get_running_loop()
        if self._back is None:
            self._back = Outbox(loop)
        if not self._asking:
            self._heard = time.monotonic()
        asking = Asking(next(self._numbers), call, make)
        self._asking[asking.number] = asking
        call.on_cancel = partial(self._cancel, asking)
        if call.deadline is not None:
            call.watch_deadline(loop)
        self._outgoing.put(asking)
        if self._watch is None:
            self._watch = loop.call_later(self._limits.limit / _LOOKS, self._look)

    def _cancel(self, asking: Asking) -> None:
        """Nobody waits for it any more."""
        if self._asking.pop(asking.number, None) is not None:
            self._outgoing.put((asking, wire.Cancelled(asking.number)))

    def _settle(self, asking: Asking, answer: Any, extras: Extras | None = None) -> None:
        self._asking.pop(asking.number, None)
        if asking.pieces is not None:
            asking.pieces.end(answer)
        else:
            asking.call.give(answer, extras)

    def _hear(self, message: wire.Message) -> None:
        if isinstance(message, wire.Noted):
            self._note(message)
            return
        assert isinstance(message, wire.Reply | wire.Said | wire.Streams | wire.Piece | wire.Ended | wire.Refused)
        asking = self._asking.get(message.number)
        if asking is None:
            return
        if isinstance(message, wire.Reply | wire.Said) and asking.call.identifier is None:
            asking.call.identifier = message.identifier
        match message:
            case wire.Reply():
                extras = Extras(message.parameters, message.headers)
                self._settle(asking, [wire.unwired(raw) for raw in message.outputs], extras)
            case wire.Said():
                self._settle(asking, _value(message), Extras(headers=message.headers))
            case wire.Streams():
                pieces = Pieces(partial(self._took, asking), partial(self._cancel, asking))
                asking.pieces = pieces
                give: Callable[..., None] = asking.call.give
                give(pieces, Extras(headers=message.headers))
            case wire.Piece():
                assert asking.pieces is not None
                asking.pieces.put(_value(message))
            case wire.Ended():
                self._settle(asking, None if message.error is None else _raised(message.error))
            case wire.Refused():
                self._settle(asking, _raised(message.error))

    def _took(self, asking: Asking) -> None:
        self._outgoing.put((asking, wire.Took(asking.number)))

    def _note(self, noted: wire.Noted) -> None:
        self._batching = noted.batching
        for name, value, times in noted.observed:
            getattr(self._metrics, name).observe(value, times)
        for name, count in noted.counted.items():
            setattr(self._metrics, name, getattr(self._metrics, name) + count)

    def _bereave(self, child: Child) -> None:
        """Answer the requests that a dead child had."""
        for asking in [asking for asking in self._asking.values() if asking.child is child]:
            self._settle(asking, child.error)

    def _look(self) -> None:
        """Does the child live? That its model is stuck it says itself, unless that keeps it from saying anything."""
        self._watch = None
        if not self._asking:
            return
        now, limit, child = time.monotonic(), self._limits.limit, self._child
        asked = next((asking for asking in self._asking.values() if asking.child is child), None)
        if child is None or asked is None:
            self._heard = now
        elif now - self._heard >= limit:
            child.kill(f"predict has not returned for {limit:g} s")
        else:
            self._outgoing.put((asked, wire.Ping()))
        self._watch = asyncio.get_running_loop().call_later(limit / _LOOKS, self._look)

    # On the thread that sends.

    def _write(self) -> None:
        while (item := self._outgoing.get()) is not None:
            if isinstance(item, tuple):
                asking, message = item
                if asking.child is not None:
                    with contextlib.suppress(OSError):  # it is dead, and its reader says so
                        asking.child.channel.send(message)
            elif not item.call.settled:
                self._send(item)

    def _send(self, asking: Asking) -> None:
        try:
            data = wire.encode(asking.make(asking.number))
        except Exception as error:
            self._post(self._settle, asking, InvalidInput(f"the request cannot be handed to the model: {error}"))
            return
        try:
            child = self._living()
        except ModelNotReady as error:
            self._post(self._settle, asking, error)
            return
        asking.child = child
        with contextlib.suppress(OSError):
            child.channel.write(data)
        if child.error is not None:
            # It died before this was known to be its own.
            self._post(self._settle, asking, child.error)

    def _living(self) -> Child:
        """Raises:
        ModelNotReady: the last one has died, and there is no other.
        """
        with self._lock:
            child = self._child
        if child is None:
            if self._closed:
                raise ModelNotReady(self._metrics.name, "it is being unloaded")
            child = self._lineage.again()
            self._model.say("")
            self._adopt(child)
        return child

    def _adopt(self, child: Child) -> None:
        with contextlib.suppress(OSError):
            child.channel.send(wire.Opened(self._limits))
        reader = threading.Thread(target=self._read, args=(child,), name=f"model {self._metrics.name}", daemon=True)
        self._heard = time.monotonic()
        with self._lock:
            self._child, self._reader = child, reader
            if self._closed:
                child.channel.finish()
        reader.start()

    # On the thread that reads, one of each child.

    def _read(self, child: Child) -> None:
        with contextlib.suppress(EOFError, OSError):
            while True:
                message = child.channel.receive()
                self._heard = time.monotonic()
                match message:
                    case wire.Told(reason):
                        self._model.say(reason)
                    case wire.Lost(reason):
                        self._leave(child)
                        child.kill(reason)
                    case wire.Pong():
                        pass
                    case _:
                        self._post(self._hear, message)
        self._leave(child)
        if self._closed:
            child.end(STOP_WITHIN)
            child.error = ModelNotReady(self._metrics.name, "it is being unloaded")
        else:
            child.error = self._lineage.bury(child)
        self._post(self._bereave, child)

    def _leave(self, child: Child) -> None:
        with self._lock:
            if self._child is child:
                self._child = None

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._back is not None:
            self._back.put(function, *arguments)


def _value(message: wire.Said | wire.Piece) -> bytes | msgspec.Raw:
    """JSON as it is: whatever encodes it writes these bytes."""
    return msgspec.Raw(message.body) if message.json else message.body


def _raised(error: wire.Failed) -> Exception:
    if error.status == 501:
        return NotImplementedError(error.text)
    return InferenceError(error.text, error.status)
