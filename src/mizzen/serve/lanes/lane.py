"""The way of one request to its model, and back.

A protocol makes a :class:`Call` and submits it to the model's :class:`Lane`. What kind of lane it is, batched calls of
a framework or a user's own code on a loop of its own, no protocol knows.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mizzen.serve.errors import DeadlineExceeded
from mizzen.serve.model import NO_OPTIONS, Extras, Options, Tensor

logger = logging.getLogger(__name__)


class Call:
    """One request on its way through a model. A protocol derives its own, which knows whom to answer.

    Attributes:
        inputs: the decoded tensors.
        options: what the request says beside them.
        arrived: when it was decoded, on :func:`time.perf_counter`.
        deadline: on the loop's clock; None is never.
        identifier: the request's id, if it has one.
        settled: whether it has its answer, or nobody waits for one any more.
        streams: whether it may have several answers. If it may, :meth:`resolve` may be given, in place of tensors, an
            asynchronous iterator of :class:`~mizzen.serve.model.Part`, which it reads on the server's loop as fast as
            they are wanted, and closes (``aclose``).
        on_cancel: set by a lane that can stop what it is at; called once, on the loop, if nobody waits for the answer
            any more: the client went away, or the deadline passed. Not called once the call has its answer.
    """

    __slots__ = ("arrived", "deadline", "identifier", "inputs", "on_cancel", "options", "settled", "timer")

    streams = False

    def __init__(
        self,
        inputs: list[Tensor],
        arrived: float,
        options: Options = NO_OPTIONS,
        deadline: float | None = None,
        identifier: str | None = None,
    ) -> None:
        self.inputs = inputs
        self.options = options
        self.arrived = arrived
        self.deadline = deadline
        self.identifier = identifier
        self.settled = False
        self.timer: asyncio.TimerHandle | None = None
        self.on_cancel: Callable[[], None] | None = None

    def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
        """Answer with the model's outputs for this request. Whatever it raises is given to :meth:`reject`."""
        raise NotImplementedError

    def reject(self, error: BaseException) -> None:
        """Answer with an error. Must not raise."""
        raise NotImplementedError

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self.settled = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self._tell()

    def give(self, answer: list[Tensor] | BaseException, extras: Extras | None = None) -> None:
        """Settle it, once, on the loop. Its own trouble with the answer is not its neighbours'."""
        if self.settled:
            return
        self.settled = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        try:
            if isinstance(answer, BaseException):
                self.reject(answer)
                return
            try:
                self.resolve(answer, extras)
            except Exception as error:
                self.reject(error)
        except Exception:
            logger.exception("an answer could not be handed over")

    def watch_deadline(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on the call ends by itself when its caller has stopped waiting."""
        if self.deadline is not None:
            self.timer = loop.call_at(self.deadline, self._expire)

    def _expire(self) -> None:
        self.timer = None
        self.give(DeadlineExceeded())
        self._tell()

    def _tell(self) -> None:
        tell, self.on_cancel = self.on_cancel, None
        if tell is not None:
            tell()


class Lane:
    """The way to one model.

    Attributes:
        times_stages: whether it observes the times of ``preprocess`` and ``postprocess`` itself, so that a protocol
            need not take its own decoding and encoding for them.
    """

    times_stages = False

    @property
    def batching(self) -> bool:
        """Whether requests may share a call."""
        return False

    @property
    def on_loop(self) -> bool:
        """Whether the model runs on the server's own event loop."""
        return False

    @property
    def in_flight(self) -> int:
        """Requests taken and not yet answered."""
        raise NotImplementedError

    def submit(self, call: Call) -> None:
        """Take a request; it is settled later, on the loop.

        Raises:
            QueueFull: as many wait as may.
        """
        raise NotImplementedError

    def start(self) -> None:
        """Start what runs the model, where that takes time, before the first request needs it."""

    def close(self) -> None:
        """End what runs the model, after what it is at. Does not wait."""
