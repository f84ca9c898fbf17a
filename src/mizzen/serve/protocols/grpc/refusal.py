"""Answering a call with an error, and the log's share in it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from mizzen.http.exchange import Exchange, Trailers
from mizzen.http.headers import encode
from mizzen.serve.errors import QueueFull, ServeError, describe
from mizzen.serve.protocols.failures import FailureLog
from mizzen.serve.protocols.grpc.framing import ENCODINGS, UnknownEncoding
from mizzen.serve.protocols.grpc.head import REQUEST_ID, UnsupportedMediaType
from mizzen.serve.protocols.grpc.status import Code, code_of, trailers

HEAD = b"content-type: application/grpc\r\n"
OK: tuple[tuple[bytes, bytes], ...] = ((b"grpc-status", b"0"),)

_failures = FailureLog(logging.getLogger(__name__))


def explained(exchange: Exchange, error: BaseException) -> tuple[Code, str]:
    """The code and the sentence for an error; those that are nobody's but a model's go to the log."""
    status, text = describe(error)
    if status >= 500 and not isinstance(error, ServeError | NotImplementedError):
        _failures.note(exchange, error)
    return code_of(status), text


def ending(exchange: Exchange, error: BaseException) -> list[tuple[bytes, bytes]]:
    """The trailers that end a call with an error."""
    fields = trailers(*explained(exchange, error))
    if isinstance(error, QueueFull):
        # Clients that retry wait for so long (gRPC's retry design, "pushback").
        fields.append((b"grpc-retry-pushback-ms", b"%d" % (error.retry_after * 1000)))
    if isinstance(error, UnknownEncoding):
        fields.append((b"grpc-accept-encoding", ENCODINGS))
    return fields


def refuse(exchange: Exchange, error: BaseException) -> None:
    """Answer a call with an error: its head and its end in one."""
    if isinstance(error, UnsupportedMediaType):
        # To whoever does not speak gRPC, HTTP's own status speaks.
        exchange.respond(415, str(error).encode(), b"content-type: text/plain; charset=utf-8\r\n")
        return
    end(exchange, ending(exchange, error))


def end(exchange: Exchange, fields: Trailers) -> None:
    """End a call that has no answer (to a client that knows gRPC, "Trailers-Only")."""
    given = exchange.header(REQUEST_ID)
    exchange.respond(200, b"", HEAD + encode([(REQUEST_ID, given), *fields] if given else fields))


def finish(exchange: Exchange, fields: Iterable[tuple[bytes, bytes]]) -> None:
    """End a call, whether its answer has begun or not."""
    if exchange.started:
        if not exchange.answered:
            exchange.finish(fields)
    else:
        end(exchange, fields)
