"""What V1 and V2 share over REST: JSON out, errors as ``{"error": ...}``, and a call that ends in a response."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON, encode
from mizzen.serve import codecs
from mizzen.serve.errors import InvalidInput, MethodNotAllowed, QueueFull, ServeError, describe
from mizzen.serve.lane import Call
from mizzen.serve.metrics import ModelMetrics
from mizzen.serve.model import NO_OPTIONS, Extras, Options, Tensor

logger = logging.getLogger(__name__)

T = TypeVar("T")

# A client that sends nonsense at full speed must not fill the log, nor keep the loop busy with tracebacks.
LOG_EVERY = 1.0


class _Log:
    """Failures of models, in the log with their traceback, at most one a second."""

    def __init__(self) -> None:
        self._next = 0.0
        self._left_out = 0

    def failure(self, exchange: Exchange, error: BaseException) -> None:
        now = time.monotonic()
        if now < self._next:
            self._left_out += 1
            return
        more = f" (and {self._left_out} failures like it were not logged)" if self._left_out else ""
        self._next, self._left_out = now + LOG_EVERY, 0
        target = exchange.target.decode("latin-1")
        logger.error("%s %s failed%s", exchange.method.decode(), target, more, exc_info=error)


_log = _Log()


def reply(exchange: Exchange, value: Any, status: int = 200) -> None:
    """Answer with a JSON value."""
    exchange.respond(status, codecs.encode(value), JSON)


def refuse(exchange: Exchange, error: BaseException) -> None:
    """Answer with an error, in the shape that both protocols have."""
    status, text = describe(error)
    headers = JSON
    if isinstance(error, MethodNotAllowed):
        headers += encode([(b"allow", ", ".join(error.allowed).encode())])
    if isinstance(error, QueueFull):
        headers += b"retry-after: %d\r\n" % error.retry_after
    if status >= 500 and not isinstance(error, ServeError | NotImplementedError):
        _log.failure(exchange, error)
    # Whatever a model raises must reach the client, lone surrogates and all.
    text = text.encode("utf-8", "replace").decode()
    exchange.respond(status, codecs.encode({"error": text}), headers)


def decoded(exchange: Exchange, decode: Callable[[bytes], T]) -> T:
    """The request's body, decoded.

    Raises:
        InvalidInput: it cannot be; if a header tells why, that is said, and not that the JSON is malformed.
    """
    try:
        return decode(exchange.body)
    except InvalidInput as error:
        for name, value in exchange.headers:
            if name == b"content-encoding" and value.lower() != b"identity":
                coding = value.decode("latin-1")
                raise InvalidInput(
                    f"the body is compressed ({coding}), which is not supported: send it as it is"
                ) from error
            if name == b"inference-header-content-length":
                raise InvalidInput(
                    "binary tensors are not supported yet: send the data within the JSON "
                    "(tritonclient and kserve clients: binary_data=False)"
                ) from error
        raise


class RestCall(Call):
    """A request whose answer goes back over HTTP.

    Args:
        encode: makes the response's body of the model's outputs.
        began: when its handling began, on :func:`time.perf_counter`.
    """

    __slots__ = ("_encode", "_exchange", "_metrics")

    def __init__(
        self,
        exchange: Exchange,
        inputs: list[Tensor],
        metrics: ModelMetrics,
        encode: Callable[[list[Tensor]], bytes],
        began: float,
        options: Options = NO_OPTIONS,
        deadline: float | None = None,
        identifier: str | None = None,
    ) -> None:
        super().__init__(inputs, time.perf_counter(), options, deadline, identifier)
        self._exchange = exchange
        self._metrics = metrics
        self._encode = encode
        metrics.preprocess.observe(self.arrived - began)
        exchange.on_disconnect = self.cancel

    def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
        began = time.perf_counter()
        body = self._encode(outputs)
        self._metrics.postprocess.observe(time.perf_counter() - began)
        self._exchange.respond(200, body, JSON)

    def reject(self, error: BaseException) -> None:
        refuse(self._exchange, error)
