"""Errors as OpenAI's clients know them: ``{"error": {"message", "type", "param", "code"}}``, whatever went wrong."""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Struct

from mizzen.http.exchange import Exchange
from mizzen.http.headers import JSON, encode
from mizzen.serve.codecs import bodies
from mizzen.serve.errors import (
    DeadlineExceeded,
    MethodNotAllowed,
    ModelNotFound,
    ModelNotReady,
    QueueFull,
    ServeError,
    ServerNotReady,
    VersionNotFound,
    describe,
)
from mizzen.serve.generation.model import InvalidRequest
from mizzen.serve.protocols.failures import FailureLog

_failures = FailureLog(logging.getLogger(__name__))

# By class: the word that programs tell it by, and the field that is to blame.
_CODES: dict[type[BaseException], tuple[str, str | None]] = {
    ModelNotFound: ("model_not_found", "model"),
    VersionNotFound: ("model_not_found", "model"),
    ModelNotReady: ("model_not_ready", "model"),
    ServerNotReady: ("server_not_ready", None),
    QueueFull: ("queue_full", None),
    DeadlineExceeded: ("deadline_exceeded", None),
}


class Detail(Struct):
    message: str
    type: str
    param: str | None
    code: str | None


class Refusal(Struct):
    """The body of an answer that is an error."""

    error: Detail


def refusal(error: BaseException) -> tuple[int, Refusal]:
    """The status and the body for an error met while answering."""
    status, text = describe(error)
    code, param = next((found for kind, found in _CODES.items() if isinstance(error, kind)), (None, None))
    if isinstance(error, InvalidRequest):
        code, param = error.code, error.param
    kind = getattr(error, "kind", None)
    if not isinstance(kind, str):
        kind = "invalid_request_error" if status < 500 else "server_error"
    # Whatever a model raises must reach the client, lone surrogates and all.
    return status, Refusal(Detail(text.encode("utf-8", "replace").decode(), kind, param, code))


def refuse(exchange: Exchange, error: BaseException) -> None:
    """Answer with an error."""
    status, body = refusal(error)
    headers = JSON
    if isinstance(error, MethodNotAllowed):
        headers += encode([(b"allow", ", ".join(error.allowed).encode())])
    if isinstance(error, QueueFull):
        headers += b"retry-after: %d\r\n" % error.retry_after
    note(exchange, error)
    exchange.respond(status, bodies.encode(body), headers)


def note(exchange: Exchange, error: BaseException) -> None:
    """Log what a model has raised; what the protocol expects is no news."""
    if describe(error)[0] >= 500 and not isinstance(error, ServeError | NotImplementedError):
        _failures.note(exchange, error)


def refuse_early(exchange: Exchange, status: int, message: str) -> None:
    """Answer a request that was found wrong before any handler saw it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    body: Any = Refusal(Detail(message, kind, None, None))
    exchange.respond(status, bodies.encode(body), JSON)
