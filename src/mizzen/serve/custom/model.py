"""The class that users derive theirs from. Its methods and their arguments are KServe's.

A request goes through ``preprocess``, ``validate``, ``predict`` or ``explain``, and ``postprocess``; each may be a
plain method or a coroutine, and takes what the one before it returned, beside the request's header fields, which are
one mapping for all of them. What a class leaves out is what stands here: nothing, but for ``predict`` and ``explain``,
which ask another server where one is configured.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from mizzen.serve.custom.errors import InvalidInput
from mizzen.serve.forwarding.config import PredictorConfig, PredictorProtocol, current

if TYPE_CHECKING:
    from mizzen.serve.forwarding.forwarder import Forwarder

Headers = dict[str, str]


class InferenceVerb(enum.Enum):
    """Which of its two questions a model is asked."""

    EXPLAIN = 1
    PREDICT = 2


class BaseModel:
    """What can be served under a name: loaded, started, stopped.

    Attributes:
        name: what requests call it.
        ready: whether it can answer; requests are refused with 503 while it cannot.
        engine: whether :meth:`start_engine` is to run beside the server.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready = False
        self.engine = False
        self.enable_latency_logging = False

    async def healthy(self) -> bool:
        """Whether it can answer now. Asked every second."""
        return self.ready

    def load(self) -> bool | Awaitable[bool | None] | None:
        """Get ready to answer. Returning False says that it is not."""
        self.ready = True
        return self.ready

    def start(self) -> None:
        """Called once, before the server listens."""
        self.ready = True

    async def start_engine(self) -> None:
        """Run beside the server, on the model's own loop, if the model has an engine."""
        self.ready = True

    def stop(self) -> None:
        """Called when it is unloaded, and when the server ends."""
        self.ready = False

    def stop_engine(self) -> None:
        """Called after :meth:`stop` if the model has an engine."""
        self.ready = False


class Model(BaseModel):
    """A model that answers V1 and V2 requests.

    Args:
        name: what requests call it.
        predictor_config: the server that :meth:`predict` asks; None is the one that the command line names. (Of
            KServe's older versions; a bool in its place is ``return_response_headers``, as in its newer ones.)
        return_response_headers: whether ``predict`` and ``postprocess`` are given a third mapping, whose entries become
            header fields of the answer.

    Attributes:
        batchable: set on a class, it promises that rows are independent: plain (not async) ``preprocess``, ``predict``
            and ``postprocess`` then get requests joined by rows, always as one :class:`InferRequest`, and their answers
            are split again. Header fields and ids are not given to it.
        explainer_host: the server that :meth:`explain` asks.
    """

    batchable = False

    def __init__(
        self,
        name: str,
        predictor_config: PredictorConfig | bool | None = None,
        return_response_headers: bool = False,
    ) -> None:
        super().__init__(name)
        given = predictor_config if isinstance(predictor_config, PredictorConfig) else None
        self.required_response_headers = predictor_config is True or return_response_headers
        self.explainer_host: str | None = None
        self._predictor_config = given
        self._forwarder: Forwarder | None = None

    async def __call__(
        self,
        body: Any,
        headers: Headers | None = None,
        verb: InferenceVerb = InferenceVerb.PREDICT,
    ) -> tuple[Any, Headers]:
        """All stages after each other. Returns the result and the answer's header fields."""
        from mizzen.serve.custom.chain import run

        outcome = await run(self, body, headers, verb)
        return outcome.result, outcome.headers

    def get_input_types(self) -> list[dict[str, Any]] | Awaitable[list[dict[str, Any]]]:
        """The inputs, for V2 metadata: ``{"name": ..., "datatype": ..., "shape": [...]}``, -1 for any length."""
        return []

    def get_output_types(self) -> list[dict[str, Any]] | Awaitable[list[dict[str, Any]]]:
        """The outputs, as :meth:`get_input_types`."""
        return []

    async def preprocess(self, payload: Any, headers: Headers | None = None) -> Any:
        """Make of the request what ``predict`` takes.

        Args:
            payload: of V1, the request's JSON value, or its bytes where it is not JSON; of V2, an
                :class:`~mizzen.serve.InferRequest`.
            headers: the request's fields, names in lower case.
        """
        return payload

    def validate(self, payload: Any) -> Any:
        """Check what ``preprocess`` returned, and return it.

        Raises:
            InvalidInput: it cannot be asked about.
        """
        if isinstance(payload, dict):
            config = self.predictor_config
            v2 = config is not None and config.predictor_protocol == PredictorProtocol.REST_V2.value
            key = "inputs" if v2 else "instances"
            if key in payload and not isinstance(payload[key], list):
                raise InvalidInput(f'Expected "{key}" to be a list')
        return payload

    async def predict(
        self, payload: Any, headers: Headers | None = None, response_headers: Headers | None = None
    ) -> Any:
        """Answer. As it stands here: ask the predictor.

        Raises:
            NotImplementedError: there is none (501).
        """
        return await self._ask("predict", payload, headers, response_headers)

    async def explain(self, payload: Any, headers: Headers | None = None) -> Any:
        """Say why. As it stands here: ask the server at ``explainer_host``.

        Raises:
            NotImplementedError: there is none (501).
        """
        if not self.explainer_host:
            raise NotImplementedError("Could not find explainer_host.")
        return await self._ask("explain", payload, headers, None)

    async def postprocess(
        self, result: Any, headers: Headers | None = None, response_headers: Headers | None = None
    ) -> Any:
        """Make of ``predict``'s result what the client gets: a JSON value, text or bytes, an
        :class:`~mizzen.serve.InferResponse`, or an iterator whose pieces are sent as they come."""
        return result

    @property
    def predicts(self) -> bool:
        """Whether it has a way to answer of its own, and need not ask a predictor."""
        kind = type(self)
        return "predict" in vars(self) or kind.predict is not Model.predict or kind.__call__ is not Model.__call__

    def ask_predictor(self, payload: Any, headers: Headers | None = None) -> Any:
        """Ask the predictor and wait for its answer: for a plain ``explain`` whose library asks again and again.

        Must not be called from a coroutine of the model: there, ``await Model.predict(self, payload)``.
        """
        return self._forward().blocking(payload, headers)

    @property
    def predictor_config(self) -> PredictorConfig | None:
        """The server that :meth:`predict` asks, or None.

        It is the one that the model was given, else the one of the command line, else the one that the attributes
        ``predictor_host``, ``protocol`` and ``use_ssl`` name, which models for older versions of KServe set.
        """
        if self._predictor_config is not None:
            return self._predictor_config
        config = current()
        if config is not None and config.predictor_host:
            return config
        host = self.__dict__.get("predictor_host")
        if not host:
            return config
        mine: Mapping[str, Any] = self.__dict__
        return PredictorConfig(
            str(host),
            predictor_protocol=str(mine.get("predictor_protocol", mine.get("protocol", "v1"))),
            predictor_use_ssl=bool(mine.get("predictor_use_ssl", mine.get("use_ssl", False))),
            predictor_request_timeout_seconds=mine.get("timeout", 600),
            predictor_request_retries=mine.get("retries", 0),
        )

    @predictor_config.setter
    def predictor_config(self, config: PredictorConfig | None) -> None:
        self._predictor_config = config

    async def _ask(
        self, verb: Literal["predict", "explain"], payload: Any, headers: Headers | None, told: Headers | None
    ) -> Any:
        return await self._forward().ask(verb, payload, headers, told)

    def _forward(self) -> Forwarder:
        if self._forwarder is None:
            from mizzen.serve.forwarding.forwarder import Forwarder

            self._forwarder = Forwarder(self)
        return self._forwarder
