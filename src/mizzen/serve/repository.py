"""The models of one server, by name, each with its state: one that cannot be served does not touch the others."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from mizzen.serve.batching import Batcher, Batching
from mizzen.serve.errors import LoadError, ModelNotFound, ModelNotReady
from mizzen.serve.metrics import ModelMetrics
from mizzen.serve.model import Model


class State(enum.Enum):
    LOADING = "LOADING"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"


class Served:
    """A model in the repository.

    Attributes:
        state, reason: whether it can answer, and why not.
        batcher: the way to its ``infer``.
    """

    def __init__(self, model: Model, batching: Batching, prepare: Callable[[], None] | None) -> None:
        self.model = model
        self.state = State.LOADING
        self.reason = ""
        self.metrics = ModelMetrics(model.name)
        self.batcher: Batcher = Batcher(model, self.metrics, batching, prepare)

    @property
    def ready(self) -> bool:
        return self.state is State.READY


class Repository:
    """Args:
    batching: how requests share calls, for every model.
    prepare: run on each model's thread before anything else.

    Attributes:
        draining: the server is about to end: readiness fails, everything else is still served.
    """

    def __init__(self, batching: Batching | None = None, prepare: Callable[[], None] | None = None) -> None:
        self._batching = batching or Batching()
        self._prepare = prepare
        self.draining = False
        self._served: dict[str, Served] = {}

    def __iter__(self) -> Iterator[Served]:
        return iter(self._served.values())

    @property
    def names(self) -> list[str]:
        return list(self._served)

    def load(self, model: Model) -> Served:
        """Add a model and load it. Blocking.

        Raises:
            LoadError: it stays listed, unavailable, with the reason.
        """
        served = self._served[model.name] = Served(model, self._batching, self._prepare)
        try:
            model.load()
        except LoadError as error:
            served.state, served.reason = State.UNAVAILABLE, str(error)
            raise
        served.state = State.READY
        return served

    def get(self, name: str) -> Served:
        """Raises:
        ModelNotFound
        """
        served = self._served.get(name)
        if served is None:
            raise ModelNotFound(name)
        return served

    def ready(self, name: str) -> Served:
        """The model, if it can answer.

        Raises:
            ModelNotFound, ModelNotReady
        """
        served = self._served.get(name)
        if served is None:
            raise ModelNotFound(name)
        if served.state is not State.READY:
            raise ModelNotReady(name, served.reason)
        return served

    def close(self) -> None:
        """End the models' threads."""
        for served in self._served.values():
            served.batcher.close()
