"""A custom model as the server holds it: made, loaded, asked after, and let go, all on the model's own thread."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import ValidationError, convert

from mizzen.serve.custom import importing
from mizzen.serve.custom.chain import is_plain
from mizzen.serve.custom.errors import NoModelReady
from mizzen.serve.custom.model import Model
from mizzen.serve.custom.thread import ModelThread
from mizzen.serve.errors import LoadError
from mizzen.serve.lanes.lane import Lane
from mizzen.serve.lanes.scheduling import Scheduling
from mizzen.serve.model import Servable, TensorMetadata

if TYPE_CHECKING:
    from mizzen.serve.observing.metrics import ModelMetrics

logger = logging.getLogger(__name__)

# How often a model is asked whether it is well, in seconds; and while it is not.
ASK_EVERY, ASK_AGAIN = 1.0, 0.2

# Requests that a plain model's thread is given, so that it need not wait for the next one.
AHEAD = 8

# How long ``stop`` may take.
STOP_WITHIN = 10.0

# Returns the model and the files that it was made of.
Make = Callable[[], tuple[Model | Servable, set[Path]]]


class CustomServable(Servable):
    """Args:
    make: makes the model; called on its thread.

    Attributes:
        model: None until it is loaded.
        thread: where everything of it runs.
        files: that it was made of, for whoever watches them.
        concurrency: requests that the thread is given at once; None is no bound. Those of a plain model run after
            each other all the same, as none of them waits for anything.
    """

    def __init__(
        self, name: str, make: Make, version: str | None = None, environ: Mapping[str, str] = os.environ
    ) -> None:
        super().__init__(name, version)
        self.reads_headers = True
        self.model: Model | None = None
        self.thread = ModelThread(name)
        self.files: set[Path] = set()
        self.concurrency: int | None = None
        self._make = make
        self._environ = environ
        self._folder: Path | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._stays = False
        # What the class turned out to be, if it is a model of the server's own kinds.
        self._other: Servable | None = None

    @classmethod
    def of(cls, model: Model, name: str | None = None) -> CustomServable:
        """Of a model that its author's program has made; it is listed even if it cannot be loaded."""
        made = cls(name or model.name, lambda: (model, set()))
        made._stays = True
        return made

    def load(self) -> Servable | None:
        try:
            self.thread.call(self._load)
        except LoadError as error:
            if self._stays:
                self.thread.run(self._stay_unwell(str(error)))
            else:
                self.thread.close()
                self.thread = ModelThread(self.name)
            raise
        if self._other is not None:
            self.thread.close()
        return self._other

    def unload(self) -> None:
        self.finish()
        if not self.thread.join(STOP_WITHIN):
            logger.warning("model %s has not stopped within %g s", self.name, STOP_WITHIN)

    def finish(self) -> None:
        """Stop the model and end its thread, after what it is at. Does not wait."""
        self.thread.close(self._stop)

    def open_lane(self, metrics: ModelMetrics, scheduling: Scheduling, stuck: Callable[[str], None]) -> Lane:
        from mizzen.serve.custom.lane import CustomLane

        return CustomLane(self, metrics, scheduling, stuck)

    def _load(self) -> None:
        """On the model's thread, while its loop rests: plain code may run loops of its own, as it may in a program."""
        try:
            model, self.files = self._make()
            self._folder = min((file.parent for file in self.files), default=None)
            if isinstance(model, Servable):
                model.name, model.version, model.files = self.name, self.version, self.files
                other = model.load()
                self._other = other if isinstance(other, Servable) else model
                return
            if not model.ready:
                said = self._value(model.load())
                model.ready = model.ready or said is not False
            if not model.ready:
                raise NoModelReady([model], "Its load() returned False.")
            start: Any = model.start  # a coroutine, where a model has it so
            self._value(start())
            self.inputs = _metadata("get_input_types", self._value(model.get_input_types()))
            self.outputs = _metadata("get_output_types", self._value(model.get_output_types()))
        except BaseException as error:
            raise importing.failed(f"model {self.name} cannot be loaded", error, self._folder) from error
        # A model with hard-wired name is called by that which it is served under.
        model.name = self.name
        self.model = model
        self._check_predicts(model)
        self.concurrency = AHEAD if is_plain(model) else None
        # Joined requests have no header fields of their own.
        self.reads_headers = not model.batchable
        if model.engine:
            self._keep(self._engine(model))
        self._keep(self._ask_after(model))

    def _check_predicts(self, model: Model) -> None:
        """Warn of a class that could not answer. It is served: its author may name a predictor later."""
        config = model.predictor_config
        explains = type(model).explain is not Model.explain or "explain" in vars(model)
        if not model.predicts and not explains and (config is None or not config.predictor_host):
            logger.warning(
                "model %s: %s has no method predict(self, payload, headers=None), and no predictor is named "
                "(--predictor_host): predictions are answered with 501",
                self.name,
                type(model).__name__,
            )

    def _value(self, result: Any) -> Any:
        assert self.thread.loop is not None
        return self.thread.loop.run_until_complete(_awaited(result)) if inspect.isawaitable(result) else result

    async def _stop(self) -> None:
        for task in self._background:
            task.cancel()
        model, self.model = self.model, None
        if model is None:
            return
        stops: list[Any] = [model.stop, model.stop_engine] if model.engine else [model.stop]
        for stop in stops:
            await _maybe(stop())
        if model._forwarder is not None:
            await model._forwarder.close()

    async def _stay_unwell(self, reason: str) -> None:
        """Say so once somebody lists the model all the same."""

        async def repeat() -> None:
            while True:
                self._tell(reason)
                await asyncio.sleep(ASK_EVERY)

        self._keep(repeat())

    async def _engine(self, model: Model) -> None:
        try:
            await model.start_engine()
        except Exception as error:
            self._tell(f"its engine ended: {type(error).__name__}: {error}")
            logger.exception("the engine of model %s ended", self.name)

    async def _ask_after(self, model: Model) -> None:
        """Tell the repository, from now on, when the model is not well."""
        told = ""
        while True:
            reason = await self._trouble(model)
            if reason != told:
                self._tell(reason)
                told = reason
            await asyncio.sleep(ASK_AGAIN if reason else ASK_EVERY)

    async def _trouble(self, model: Model) -> str:
        try:
            if not await _maybe(model.healthy()):
                return "It says itself that it is not."
            config = model.predictor_config
            if config is not None and config.predictor_host and config.predictor_health_check:
                return await model._forward().trouble()
        except Exception as error:
            return f"It could not be asked: {type(error).__name__}: {error}"
        return ""

    def _tell(self, reason: str) -> None:
        if self.tell is not None:
            self.tell(reason)

    def _keep(self, coroutine: Any) -> None:
        assert self.thread.loop is not None
        task = self.thread.loop.create_task(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _awaited(result: Any) -> Any:
    return await result


async def _maybe(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


def _metadata(method: str, listed: Any) -> list[TensorMetadata]:
    try:
        return [convert(one, TensorMetadata) for one in listed or ()]
    except (ValidationError, TypeError) as error:
        raise LoadError(
            f'{method}() must return a list of {{"name": ..., "datatype": ..., "shape": [...]}}: {error}'
        ) from None
