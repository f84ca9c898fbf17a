"""A V1 request to a model that takes payloads, over HTTP: what the body is to the model, and how its answer is sent."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from mizzen.http.errors import HttpError
from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON
from mizzen.serve.codecs import bodies
from mizzen.serve.errors import InvalidInput
from mizzen.serve.lanes.payloads import PayloadCall, Verb
from mizzen.serve.model import Extras
from mizzen.serve.protocols import asking
from mizzen.serve.protocols.cloudevents import Event, Replies
from mizzen.serve.protocols.rest import fields, media_type, refuse, send, tell_times

logger = logging.getLogger(__name__)

_JSON_TYPES = ("", "application/json", "application/cloudevents+json", "application/ld+json")

# What may be JSON and may be anything: curl's default for all bodies, and "some bytes".
_PERHAPS = ("application/x-www-form-urlencoded", "application/octet-stream")


def payload_of(exchange: Exchange, body: bytes) -> Any:
    """A body as a model gets it: a JSON value or, where its media type is none of JSON's, bytes.

    Raises:
        InvalidInput: it should be JSON, and is not.
    """
    kind = media_type(exchange)
    if kind in _JSON_TYPES or kind.endswith("+json"):
        return bodies.decode_json(body)
    if kind in _PERHAPS:
        try:
            return bodies.decode_json(body)
        except InvalidInput:
            return body
    return body


class RestPayload(PayloadCall):
    """Args:
    model: its name.
    lines: header lines of the answer.
    event: the event that the request was, with what answers to events look like.
    deadline: on the loop's clock; None is never.
    """

    __slots__ = ("_event", "_lines", "_model", "_replies", "exchange")

    def __init__(
        self,
        exchange: Exchange,
        model: str,
        payload: Any,
        verb: Verb,
        identifier: str | None,
        lines: bytes,
        event: Event | None,
        replies: Replies,
        deadline: float | None = None,
    ) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in exchange.headers}
        super().__init__(payload, headers, verb, time.perf_counter(), deadline, identifier)
        self.exchange = exchange
        self._model = model
        self._lines = lines
        self._event = event
        self._replies = replies
        exchange.on_disconnect = self.cancel

    def resolve(self, outputs: Any, extras: Extras | None = None) -> None:
        own = fields(extras.headers) if extras is not None and extras.headers else b""
        if hasattr(outputs, "__aiter__"):
            self.exchange.spawn(_stream(self.exchange, aiter(outputs), self._lines + own))
            return
        verbatim = isinstance(outputs, bytes | str)
        body = _bytes(outputs)
        media = b"" if verbatim or own.startswith(b"content-type:") or b"\r\ncontent-type:" in own else JSON
        if self._event is not None:
            body, media = self._replies.wrap(self._event, self._model, body, media)
            if media in own:
                media = b""
        send(self.exchange, body, self._lines + own + media)

    def reject(self, error: BaseException) -> None:
        refuse(self.exchange, error)


class TimedPayload(RestPayload):
    """The same, with a line in the log that tells how long the model took, unless its lane tells of its stages."""

    __slots__ = ()

    def resolve(self, outputs: Any, extras: Extras | None = None) -> None:
        resolved = time.perf_counter()
        super().resolve(outputs, extras)
        took, after = resolved - self.arrived, time.perf_counter() - resolved
        tell_times(self.exchange, 0.0, took, after, explains=self.verb == "explain")


def deadline_of(payload: Any, now: float) -> float | None:
    """When the caller of a payload stops waiting, on the clock of ``now``: its ``parameters`` may say so as those of a
    request with tensors do. A ``timeout`` that is no number is the model's to understand.

    Raises:
        InvalidInput: it is a number of microseconds that cannot be waited for.
    """
    said = payload.get("parameters") if isinstance(payload, dict) else None
    if not isinstance(said, dict):
        return None
    value = said.get(asking.TIMEOUT)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return asking.deadline({asking.TIMEOUT: value}, now)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    return bodies.encode(value)


async def _stream(exchange: Exchange, pieces: AsyncIterator[Any], lines: bytes) -> None:
    """Send pieces as they come, no faster than the client reads. One that fails cuts the answer off, so that nobody
    takes what came of it for the whole."""
    try:
        first = await anext(pieces, None)
        exchange.start(200, lines)
        piece = first
        while piece is not None:
            exchange.write(_piece(piece))
            await exchange.drain()
            piece = await anext(pieces, None)
        exchange.finish()
    except HttpError:
        pass  # the client has gone
    except Exception as error:
        if exchange.started:
            logger.exception("%s: a stream broke off", exchange.target.decode("latin-1"))
            exchange.abort()
        else:
            refuse(exchange, error)
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


def _piece(value: Any) -> bytes:
    return _bytes(value) if isinstance(value, bytes | str) else _bytes(value) + b"\n"
