"""How gRPC says that a call went wrong: a code of its own, and a sentence that survives any header.

Errors have one home, :mod:`mizzen.serve.errors`, where each has the status that HTTP gives it; here is that status's
counterpart, and the way back for whoever asks others over gRPC.
"""

from __future__ import annotations

from enum import IntEnum
from urllib.parse import unquote_to_bytes


class Code(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


_CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    405: Code.UNIMPLEMENTED,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.ABORTED,
    412: Code.FAILED_PRECONDITION,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.INVALID_ARGUMENT,
    416: Code.OUT_OF_RANGE,
    422: Code.INVALID_ARGUMENT,
    429: Code.RESOURCE_EXHAUSTED,
    431: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    501: Code.UNIMPLEMENTED,
    502: Code.UNAVAILABLE,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
    507: Code.RESOURCE_EXHAUSTED,
}

_STATUSES: dict[int, int] = {
    Code.CANCELLED: 499,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.UNAUTHENTICATED: 401,
}

# What a sentence may take in a header; more, and clients refuse the whole answer.
LONGEST = 4096


def code_of(status: int) -> Code:
    """gRPC's code for an HTTP status."""
    return _CODES.get(status) or (Code.INVALID_ARGUMENT if 400 <= status < 500 else Code.INTERNAL)


def status_of(code: int) -> int:
    """The HTTP status for gRPC's code; 500 for those that say no more than that something failed."""
    return _STATUSES.get(code, 500)


def encode_message(text: str) -> bytes:
    """A sentence as the field ``grpc-message``: percent-encoded UTF-8, cut where it is too long."""
    data = text.encode("utf-8", "replace")
    if len(data) > LONGEST:
        data = data[:LONGEST].decode("utf-8", "ignore").encode() + b"..."
    if data.isalnum():
        return data
    return b"".join([_ESCAPED[byte] for byte in data])


_ESCAPED = [bytes((byte,)) if 0x20 <= byte <= 0x7E and byte != 0x25 else b"%%%02X" % byte for byte in range(256)]


def decode_message(value: bytes) -> str:
    """The sentence in a field ``grpc-message``, as far as it can be read."""
    return unquote_to_bytes(value).decode("utf-8", "replace")


def trailers(code: Code, text: str = "") -> list[tuple[bytes, bytes]]:
    """The fields that end a call."""
    fields = [(b"grpc-status", b"%d" % code)]
    if text:
        fields.append((b"grpc-message", encode_message(text)))
    return fields
