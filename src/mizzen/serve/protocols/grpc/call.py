"""Calls of one message and one answer, ``ModelInfer`` above all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from mizzen.http.exchange import Exchange
from mizzen.http.headers import Headers, encode
from mizzen.serve.codecs import contents
from mizzen.serve.codecs.raw import Buffer
from mizzen.serve.codecs.slices import LARGE, unhurried
from mizzen.serve.lanes.lane import Call
from mizzen.serve.model import NO_OPTIONS, Extras, Options, Tensor
from mizzen.serve.protocols import asking
from mizzen.serve.protocols.grpc import framing, inference
from mizzen.serve.protocols.grpc.framing import MessageTooLarge
from mizzen.serve.protocols.grpc.head import REQUEST_ID, Head, metadata, pairs
from mizzen.serve.protocols.grpc.inference import Asked
from mizzen.serve.protocols.grpc.kept import Kept
from mizzen.serve.protocols.grpc.refusal import HEAD, OK, refuse
from mizzen.serve.repository import Repository
from mizzen.serve.served import Served


@dataclass(frozen=True, slots=True)
class MessageLimits:
    """What a message may weigh, in bytes.

    Attributes:
        receive: a request's, unpacked.
        send: an answer's, before it is compressed.
    """

    receive: int = 8 * 1024 * 1024
    send: int = 8 * 1024 * 1024


# KServe's defaults.
STANDARD = MessageLimits()

_kept = Kept()

# What has to be done before a call can be answered.
Work = Callable[[], Coroutine[Any, Any, None]]


class Put(NamedTuple):
    """A request, as it is put to its model."""

    served: Served
    asked: Asked
    options: Options
    deadline: float | None


def understand(repository: Repository, request: Any, headers: Headers, by_call: float | None) -> Put:
    """What a request asks, of whom, and until when.

    Args:
        by_call: the deadline of its call.

    Raises:
        ServeError: it cannot be put.
    """
    served = repository.ready(request.model_name, request.model_version or None)
    return _put(served, inference.decode(request), headers, by_call)


async def understand_long(repository: Repository, request: Any, headers: Headers, by_call: float | None) -> Put:
    """The same with a turn for the loop now and then."""
    asked = await unhurried(inference.decoding(request))
    served = repository.ready(request.model_name, request.model_version or None)
    return _put(served, asked, headers, by_call)


def _put(served: Served, asked: Asked, headers: Headers, by_call: float | None) -> Put:
    model = served.model
    if asked.texts:
        asked.inputs = contents.applied(asked.inputs, asked.parameters, model)
    options = NO_OPTIONS
    deadline = by_call
    if asked.parameters is not None or asked.outputs is not None or model.reads_headers:
        options = asking.options(model, asked.parameters, asked.outputs, lambda: metadata(headers))
    if by_call is not None or asked.parameters is not None:
        deadline = inference.deadline(asked, by_call, asyncio.get_running_loop().time())
    return Put(served, asked, options, deadline)


class ModelCall(Call):
    """A request on its way through its model. Each of the two methods derives its own, which knows whom to answer.

    Args:
        began: when its handling began, on :func:`time.perf_counter`.

    Attributes:
        final: what its answer says of whether it is the last one; None is nothing.
    """

    __slots__ = ("_times", "asked", "served")

    final: bool | None = None

    def __init__(self, put: Put, began: float) -> None:
        served, asked, options, deadline = put
        super().__init__(asked.inputs, time.perf_counter(), options, deadline, asked.id or None)
        self.served = served
        self.asked = asked
        # A lane that runs the user's own stages takes their times for these.
        self._times = not (served.lane is not None and served.lane.times_stages)
        if self._times:
            served.metrics.preprocess.observe(self.arrived - began)

    def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
        began = time.perf_counter()
        if inference.is_long(self.asked, outputs):
            _kept.start(self._resolve_long(outputs, extras, began))
            return
        message = inference.encode(self.served.model, self.asked, outputs, extras, self.final)
        self._written(began)
        self.answer(message, extras)

    async def _resolve_long(self, outputs: list[Tensor], extras: Extras | None, began: float) -> None:
        model = self.served.model
        try:
            message = await unhurried(inference.encoding(model, self.asked, outputs, extras, self.final))
            self._written(began)
            self.answer(message, extras)
        except Exception as error:
            self.reject(error)

    def _written(self, began: float) -> None:
        metrics = self.served.metrics
        metrics.answered = now = time.perf_counter()
        if self._times:
            metrics.postprocess.observe(now - began)

    def answer(self, message: list[Buffer], extras: Extras | None) -> None:
        """Send the answer's message, which is in parts."""
        raise NotImplementedError

    def reject(self, error: BaseException) -> None:
        self.served.metrics.failed += 1


def infer(repository: Repository, limits: MessageLimits, exchange: Exchange, head: Head) -> Work | None:
    """Put a request to its model, which answers later. A large one is read by what is returned: it is to be done first.

    Raises:
        ServeError: it cannot be put.
    """
    began = time.perf_counter()
    message = framing.single(exchange.body, head.encoding, limits.receive)
    request = inference.read_request(message)
    if len(message) > LARGE:
        repository.ready(request.model_name, request.model_version or None)
        return partial(_infer_long, repository, request, limits, exchange, head, began)
    put = understand(repository, request, exchange.headers, head.deadline)
    _submit(InferCall(put, began, exchange, head, limits), exchange)
    return None


async def _infer_long(
    repository: Repository, request: Any, limits: MessageLimits, exchange: Exchange, head: Head, began: float
) -> None:
    put = await understand_long(repository, request, exchange.headers, head.deadline)
    _submit(InferCall(put, began, exchange, head, limits), exchange)


def _submit(call: InferCall, exchange: Exchange) -> None:
    exchange.on_disconnect = call.cancel
    call.served.submit(call)


class InferCall(ModelCall):
    """A request whose answer is the one message of its call."""

    __slots__ = ("_exchange", "_head", "_limits")

    def __init__(self, put: Put, began: float, exchange: Exchange, head: Head, limits: MessageLimits) -> None:
        super().__init__(put, began)
        self._exchange = exchange
        self._head = head
        self._limits = limits

    def answer(self, message: list[Buffer], extras: Extras | None) -> None:
        fields = OK
        if extras is not None and extras.headers:
            fields = (*OK, *pairs(extras.headers))
        reply(self._exchange, self._head, message, self._limits, fields)

    def reject(self, error: BaseException) -> None:
        super().reject(error)
        refuse(self._exchange, error)


def reply(
    exchange: Exchange,
    head: Head,
    message: bytes | list[Buffer],
    limits: MessageLimits,
    fields: tuple[tuple[bytes, bytes], ...] = OK,
) -> None:
    """Answer a call with a message, compressed if its request was.

    Raises:
        MessageTooLarge
    """
    body = framing.frame(message)
    check_size(body, limits)
    lines = HEAD if head.request is None else HEAD + encode([(REQUEST_ID, head.request)])
    if head.encoding is not None:
        encoding = framing.answered(head.encoding, head.accepted, exchange.body)
        if encoding is not None:
            body = framing.compressed(body, encoding)
            lines += b"grpc-encoding: %b\r\n" % encoding
    exchange.respond(200, body, lines, fields)


def check_size(framed: bytes, limits: MessageLimits) -> None:
    """Raises:
    MessageTooLarge
    """
    size = len(framed) - framing.PREFIX.size
    if size > limits.send:
        raise MessageTooLarge(f"the answer of {size} bytes is larger than the {limits.send} bytes that it may have")
