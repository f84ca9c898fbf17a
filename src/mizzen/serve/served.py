"""One model as a server has it: its state, its numbers, and the way to it.

A model that could not be made, and one that was unloaded to make room, have a stand-in, so that they stay listed.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable

from mizzen.serve.errors import InvalidInput, LoadError
from mizzen.serve.lanes.batching import Batcher
from mizzen.serve.lanes.lane import Call, Lane
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Servable, TensorModel
from mizzen.serve.observing.metrics import ModelMetrics
from mizzen.serve.running.crashes import Mark, named


class State(enum.Enum):
    LOADING = "LOADING"
    READY = "READY"
    UNLOADING = "UNLOADING"
    UNAVAILABLE = "UNAVAILABLE"


class Served:
    """A model in the repository.

    Attributes:
        state, reason: whether it can answer, and why not.
        lane: the way to it; None for one that takes no tensors.
        used: when it was last asked for, on :func:`time.monotonic`; kept only where memory is bounded.
        size: bytes that it takes, as far as can be told.
        dormant: whether it was unloaded to make room, and comes back when it is asked for.
    """

    def __init__(
        self,
        model: Servable,
        scheduling: Scheduling,
        prepare: Callable[[], None] | None,
        stuck: Callable[[Served, str], None] | None = None,
    ) -> None:
        self.model = model
        self.state = State.LOADING
        self.reason = ""
        self.used = time.monotonic()
        self.size = 0
        self.dormant = False
        self.metrics = ModelMetrics(model.name, model.version)
        self._told = stuck
        self._scheduling = scheduling
        self._prepare = prepare
        self._unwell = False
        self.lane: Lane | None = self._way_to(model)

    @property
    def ready(self) -> bool:
        return self.state is State.READY

    @property
    def in_flight(self) -> int:
        return self.lane.in_flight if self.lane is not None else 0

    @property
    def batching(self) -> bool:
        return self.lane is not None and self.lane.batching

    @property
    def on_loop(self) -> bool:
        return self.lane is not None and self.lane.on_loop

    def submit(self, call: Call) -> None:
        """Put a request to the model; it is settled later, on the loop.

        Raises:
            InvalidInput: the model takes no tensors.
            QueueFull, ModelNotReady
        """
        if self.lane is None:
            raise InvalidInput(f"Model with name {self.model.name} does not take tensors; it generates: ask it so")
        self.lane.submit(call)

    def load(self) -> None:
        """Load the model. Blocking.

        Raises:
            LoadError: it stays unavailable, with the reason.
        """
        try:
            other = _load(self.model)
            if isinstance(other, Servable):
                if self.lane is not None:
                    self.lane.close()
                self.model, self.lane = other, self._way_to(other)
        except LoadError as error:
            self.state, self.reason = State.UNAVAILABLE, str(error)
            raise
        except Exception as error:
            self.state, self.reason = State.UNAVAILABLE, f"{type(error).__name__}: {error}"
            raise LoadError(f"model {self.model.name} cannot be loaded: {self.reason}") from error
        self.state, self.reason = State.READY, ""

    def _way_to(self, model: Servable) -> Lane | None:
        model.tell = self.hear
        if isinstance(model, TensorModel):
            return Batcher(model, self.metrics, self._scheduling, self._prepare, self.fail)
        return model.open_lane(self.metrics, self._scheduling, self.fail)

    def sleep(self) -> None:
        """It stands for a model that was unloaded to make room."""
        self.dormant = True
        self.state, self.reason = State.UNAVAILABLE, "it is unloaded to make room; the next request loads it"

    def hear(self, reason: str) -> None:
        """What the model says of itself: why it cannot answer for now, or, with no reason, that it can again.

        It may come from the model's thread: a state is set at once, and read at any time.
        """
        if reason and (self.ready or self._unwell):
            self.state, self.reason, self._unwell = State.UNAVAILABLE, reason, True
        elif not reason and self._unwell:
            self.state, self.reason, self._unwell = State.READY, "", False

    def fail(self, reason: str) -> None:
        """It will not answer any more."""
        self.state, self.reason, self._unwell = State.UNAVAILABLE, reason, False
        if self._told is not None:
            self._told(self, reason)


def _load(model: Servable) -> Servable | None:
    mark = Mark(model.name, loading=True)
    mark.begin()
    try:
        return named(_loaded, model.name)(model)
    finally:
        mark.close()


def _loaded(model: Servable) -> Servable | None:
    return model.load()


class Dormant(Servable):
    """Stands for a model that was unloaded to make room, and keeps what it told of itself."""

    def __init__(self, model: Servable) -> None:
        super().__init__(model.name, model.version)
        self.platform = model.platform
        self.inputs, self.outputs = model.inputs, model.outputs
        self.configuration = getattr(model, "configuration", None)


class Broken(Servable):
    """Stands for a model that could not be made."""

    def __init__(self, name: str, version: str | None = None, error: LoadError | None = None) -> None:
        super().__init__(name, version)
        self._error = error

    def load(self) -> None:
        if self._error is not None:
            raise self._error
