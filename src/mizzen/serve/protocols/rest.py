"""What V1 and V2 share over REST: JSON out, errors as ``{"error": ...}``, and a call that ends in a response."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping
from functools import partial
from typing import Any, TypeVar

from mizzen.http.exchange import Exchange
from mizzen.http.headers import FRAMING, HOP_BY_HOP, JSON, Headers, encode
from mizzen.serve.codecs import bodies, compression
from mizzen.serve.codecs.numerals import WRITTEN
from mizzen.serve.codecs.slices import Slices, unhurried
from mizzen.serve.errors import InferenceError, InvalidInput, MethodNotAllowed, QueueFull, ServeError, describe
from mizzen.serve.lanes.lane import Call
from mizzen.serve.model import NO_OPTIONS, Extras, Options, Tensor
from mizzen.serve.protocols.cloudevents import Event, Replies
from mizzen.serve.protocols.failures import FailureLog
from mizzen.serve.served import Served

logger = logging.getLogger(__name__)
trace_logger = logging.getLogger("mizzen.trace")

REQUEST_ID = b"x-request-id"
ENCODING = b"content-encoding"
BINARY_HEADER = b"inference-header-content-length"
EVENT = b"ce-specversion"

_MARKS = frozenset({REQUEST_ID, ENCODING, BINARY_HEADER, EVENT})

# What the server decides for itself, whatever a model says.
_OURS = HOP_BY_HOP | FRAMING | {b"date"}

# Arrays of more elements than this are written in slices.
_LONG = 2 * WRITTEN


_log = FailureLog(logger)


def marks(headers: Headers) -> dict[bytes, bytes] | None:
    """The fields that make a request another than the usual one; None of the usual one."""
    found = None
    for name, value in headers:
        if name in _MARKS:
            if found is None:
                found = {}
            found[name] = value
    return found


def echo(found: Mapping[bytes, bytes]) -> bytes:
    """The header line that gives a request's id back."""
    given = found.get(REQUEST_ID)
    return encode([(REQUEST_ID, given)]) if given else b""


def reply(exchange: Exchange, value: Any, status: int = 200) -> None:
    """Answer with a JSON value."""
    exchange.respond(status, bodies.encode(value), JSON)


def refuse(exchange: Exchange, error: BaseException) -> None:
    """Answer with an error, in the shape that both protocols have."""
    status, text = describe(error)
    headers = JSON
    if isinstance(error, MethodNotAllowed):
        headers += encode([(b"allow", ", ".join(error.allowed).encode())])
    if isinstance(error, QueueFull):
        headers += b"retry-after: %d\r\n" % error.retry_after
    if status >= 500 and not isinstance(error, ServeError | NotImplementedError):
        _log.note(exchange, error)
    given = exchange.header(REQUEST_ID)
    if given:
        headers += encode([(REQUEST_ID, given)])
    # Whatever a model raises must reach the client, lone surrogates and all.
    text = text.encode("utf-8", "replace").decode()
    exchange.respond(status, bodies.encode({"error": text}), headers)


def fields(headers: Mapping[str, str]) -> bytes:
    """A model's own header fields, as lines.

    Raises:
        InferenceError: one cannot be sent.
    """
    pairs = [(name.lower(), value) for name, value in headers.items()]
    try:
        return encode(
            (key, str(value).encode("latin-1")) for name, value in pairs if (key := name.encode("ascii")) not in _OURS
        )
    except ValueError as error:
        raise InferenceError(f"the model's response headers cannot be sent: {error}") from None


def attend(exchange: Exchange, work: Coroutine[Any, Any, None], *, to_its_end: bool = False) -> None:
    """Work for a request that is not yet its answer, such as reading it or waking its model. What it raises is the
    answer. It is cancelled with the server and, unless it must come ``to_its_end``, if the client goes away."""
    task = asyncio.get_running_loop().create_task(_attended(exchange, work))
    tasks = exchange.server.tasks
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    if not to_its_end:
        exchange.on_disconnect = partial(_cancel, task)


def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()


async def _attended(exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:
        refuse(exchange, error)


async def expanded(exchange: Exchange, coding: bytes) -> bytes:
    """A compressed body as it was.

    Raises:
        InvalidInput, BodyTooLarge
    """
    limit = exchange.server.limits.body
    return await unhurried(compression.expand(exchange.body, coding.decode("latin-1"), limit))


def explained(exchange: Exchange, error: InvalidInput) -> InvalidInput:
    """An error of decoding; if it is no wonder by the body's media type, that is said."""
    kind = media_type(exchange)
    if not str(error).startswith("Unrecognized request format") or _may_be_json(kind):
        return error
    if kind == "application/octet-stream":
        hint = "if raw tensors follow its JSON, the header Inference-Header-Content-Length must say where that ends"
        return InvalidInput(f"{error} (the body is {kind}: {hint})")
    return InvalidInput(f"{error} (the body is said to be {kind}; this path takes JSON)")


def media_type(exchange: Exchange) -> str:
    """The body's media type, in lower case, without parameters; empty if it has none."""
    found = exchange.header(b"content-type")
    return found.partition(b";")[0].strip().lower().decode("latin-1") if found else ""


def _may_be_json(kind: str) -> bool:
    # What curl says of any body, unless told otherwise, proves nothing.
    return not kind or kind.endswith("json") or kind == "application/x-www-form-urlencoded"


def send(exchange: Exchange, body: bytes, head: bytes) -> None:
    """Answer with 200, compressed if the client asked for that and it pays."""
    if len(body) > compression.WORTH and (coding := compression.asked_for(exchange.header(b"accept-encoding"))):
        exchange.spawn(_send_compressed(exchange, body, head, coding))
    else:
        exchange.respond(200, body, head)


async def send_long(exchange: Exchange, body: bytes, head: bytes) -> None:
    """The same from a coroutine."""
    if len(body) > compression.WORTH and (coding := compression.asked_for(exchange.header(b"accept-encoding"))):
        await _send_compressed(exchange, body, head, coding)
    else:
        exchange.respond(200, body, head)


async def _send_compressed(exchange: Exchange, body: bytes, head: bytes, coding: str) -> None:
    body = await unhurried(compression.shrink(body, coding))
    exchange.respond(200, body, head + b"content-encoding: %b\r\nvary: accept-encoding\r\n" % coding.encode())


class RestCall(Call):
    """A request whose answer goes back over HTTP. A protocol derives its own, which knows how the answer reads.

    Args:
        served: the model that is asked.
        began: when its handling began, on :func:`time.perf_counter`.
        lines: header lines of the answer.

    Attributes:
        event: the event that the request was, with what answers to events look like; None if it was none.
    """

    __slots__ = ("_times", "event", "exchange", "lines", "served")

    def __init__(
        self,
        exchange: Exchange,
        inputs: list[Tensor],
        served: Served,
        began: float,
        options: Options = NO_OPTIONS,
        deadline: float | None = None,
        identifier: str | None = None,
        lines: bytes = b"",
    ) -> None:
        super().__init__(inputs, time.perf_counter(), options, deadline, identifier)
        self.exchange = exchange
        self.served = served
        self.lines = lines
        self.event: tuple[Event, Replies] | None = None
        # A lane that runs the user's own stages takes their times for these.
        self._times = not (served.lane is not None and served.lane.times_stages)
        if self._times:
            served.metrics.preprocess.observe(self.arrived - began)
        exchange.on_disconnect = self.cancel

    def encoded(self, outputs: list[Tensor], extras: Extras | None) -> tuple[bytes, bytes]:
        """The answer's body and the header lines that tell what it is."""
        raise NotImplementedError

    def encoded_long(self, outputs: list[Tensor], extras: Extras | None) -> Slices[tuple[bytes, bytes]]:
        """The same in slices."""
        raise NotImplementedError

    def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
        began = time.perf_counter()
        for tensor in outputs:
            if tensor.array.size > _LONG:
                self.exchange.spawn(self._resolve_long(outputs, extras, began))
                return
        body, head = self.encoded(outputs, extras)
        if self.event is not None or self.lines or extras is not None:
            body, head = self._finished(body, head, extras)
        metrics = self.served.metrics
        metrics.answered = now = time.perf_counter()
        if self._times:
            metrics.postprocess.observe(now - began)
        if len(body) <= compression.WORTH:
            self.exchange.respond(200, body, head)
        else:
            send(self.exchange, body, head)

    async def _resolve_long(self, outputs: list[Tensor], extras: Extras | None, began: float) -> None:
        try:
            body, head = self._finished(*await unhurried(self.encoded_long(outputs, extras)), extras)
        except Exception as error:
            self.reject(error)
            return
        metrics = self.served.metrics
        metrics.answered = time.perf_counter()
        if self._times:
            metrics.postprocess.observe(metrics.answered - began)
        await send_long(self.exchange, body, head)

    def _finished(self, body: bytes, head: bytes, extras: Extras | None) -> tuple[bytes, bytes]:
        """An answer with what an event, the request's id and the model add to it."""
        if self.event is not None:
            event, replies = self.event
            body, head = replies.wrap(event, self.served.model.name, body, head)
        if extras is not None and extras.headers:
            head += fields(extras.headers)
        return body, head + self.lines

    def reject(self, error: BaseException) -> None:
        self.served.metrics.failed += 1
        refuse(self.exchange, error)


C = TypeVar("C", bound=RestCall)


def timed(kind: type[C]) -> type[C]:
    """The same kind of call, with a line in the log for each that tells where its time went, in KServe's form."""

    class Timed(kind):  # type: ignore[valid-type, misc]
        __slots__ = ("_began",)

        def __init__(
            self, exchange: Exchange, inputs: list[Tensor], served: Served, began: float, *more: Any, **named: Any
        ) -> None:
            super().__init__(exchange, inputs, served, began, *more, **named)
            self._began = began

        def resolve(self, outputs: list[Tensor], extras: Extras | None = None) -> None:
            resolved = time.perf_counter()
            super().resolve(outputs, extras)
            if self.exchange.answered:
                self._tell(resolved)

        async def _resolve_long(self, outputs: list[Tensor], extras: Extras | None, began: float) -> None:
            await super()._resolve_long(outputs, extras, began)
            self._tell(began)

        def _tell(self, resolved: float) -> None:
            before, took, after = self.arrived - self._began, resolved - self.arrived, time.perf_counter() - resolved
            if not tells_times(self.served):
                tell_times(self.exchange, before, took, after, explains=self.options.method == "explain")

    return Timed


def tells_times(served: Served) -> bool:
    """Whether a model's lane writes the line of a request's times itself, stage by stage."""
    return bool(getattr(served.lane, "tells_times", False))


def tell_times(exchange: Exchange, before: float, took: float, after: float, *, explains: bool) -> None:
    """The line of a request's times, in KServe's form.

    Args:
        before, took, after: seconds before the model was asked, until it had answered, and from then on.
    """
    given = exchange.header(REQUEST_ID)
    trace_logger.info(
        "requestId: %s, preprocess_ms: %.6f, explain_ms: %.6f, predict_ms: %.6f, postprocess_ms: %.6f",
        given.decode("latin-1") if given else "N.A.",
        before * 1000,
        took * 1000 if explains else 0.0,
        0.0 if explains else took * 1000,
        after * 1000,
    )
