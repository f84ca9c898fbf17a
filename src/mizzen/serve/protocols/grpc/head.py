"""What a call's head says: how long its caller waits, how messages are compressed, and what it says to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from mizzen.http.headers import Headers
from mizzen.serve.errors import InferenceError, InvalidInput, ServeError

CONTENT_TYPE = b"application/grpc"
REQUEST_ID = b"x-request-id"

_UNITS = {72: 3600.0, 77: 60.0, 83: 1.0, 109: 1e-3, 117: 1e-6, 110: 1e-9}  # H M S m u n

# Fields that are the transport's, and say nothing to a model.
_TRANSPORT = frozenset(
    {b"content-type", b"te", b"grpc-timeout", b"grpc-encoding", b"grpc-accept-encoding", b"grpc-message-type"}
)

# Fields that nobody but us may set (grpc-... beside).
_OURS = frozenset(
    {
        b"connection",
        b"content-length",
        b"content-type",
        b"date",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

_NAME = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789_-.")


class UnsupportedMediaType(ServeError):
    """The body is no gRPC, by its content type."""

    status = 415


class Head(Struct, gc=False):
    """Attributes:
    deadline: when the caller stops waiting, on the clock of ``now``; None is never.
    encoding: what ``grpc-encoding`` says.
    accepted: what ``grpc-accept-encoding`` says.
    request: the request's id, which goes back with the answer.
    """

    deadline: float | None = None
    encoding: bytes | None = None
    accepted: bytes | None = None
    request: bytes | None = None


def read(headers: Headers, now: Callable[[], float]) -> Head:
    """Read a call's fields.

    Args:
        now: the loop's clock.

    Raises:
        UnsupportedMediaType: its content type is not gRPC's with protobuf.
        InvalidInput: its time-out is none.
    """
    head = Head()
    media_type = b""
    for name, value in headers:
        if name == b"content-type":
            media_type = value
        elif name[:5] == b"grpc-":
            if name == b"grpc-timeout":
                head.deadline = now() + timeout(value)
            elif name == b"grpc-encoding":
                head.encoding = value
            elif name == b"grpc-accept-encoding":
                head.accepted = value
        elif name == REQUEST_ID:
            head.request = value
    if media_type != CONTENT_TYPE:
        _check(media_type)
    return head


def is_grpc(media_type: bytes | None) -> bool:
    """Whether a content type is gRPC's, of any kind of messages. (Browsers' gRPC-Web is another protocol.)"""
    return media_type is not None and media_type[:16] == CONTENT_TYPE and media_type[16:17] in (b"", b"+", b";", b" ")


def _check(media_type: bytes) -> None:
    kind = media_type.partition(b";")[0].strip().lower()
    if kind not in (CONTENT_TYPE, CONTENT_TYPE + b"+proto"):
        shown = media_type.decode("latin-1") or "missing"
        raise UnsupportedMediaType(f"gRPC calls here are application/grpc or application/grpc+proto; this is {shown}")


def timeout(value: bytes) -> float:
    """The seconds of a field ``grpc-timeout``: at most eight digits and a unit.

    Raises:
        InvalidInput: it is something else.
    """
    digits = value[:-1]
    unit = _UNITS.get(value[-1]) if value else None
    if unit is None or not digits.isdigit() or len(digits) > 8:
        raise InvalidInput(
            f"grpc-timeout must be at most eight digits and one of H M S m u n, not {value.decode('latin-1')!r}"
        )
    return int(digits) * unit


def encode_timeout(seconds: float) -> bytes:
    """The same the other way, as exact as eight digits allow."""
    for unit, size in ((b"n", 1e-9), (b"u", 1e-6), (b"m", 1e-3), (b"S", 1.0), (b"M", 60.0)):
        if seconds < 1e8 * size - size:
            return b"%d%b" % (max(round(seconds / size), 1), unit)
    return b"%dH" % min(seconds / 3600, 99_999_999)


def metadata(headers: Headers) -> dict[str, str]:
    """The fields that a model may see, values of one name joined by commas. Binary ones stay in base64."""
    found: dict[str, str] = {}
    for name, value in headers:
        if name in _TRANSPORT:
            continue
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def pairs(fields: Mapping[str, str]) -> Headers:
    """Fields as metadata of a call or of its end, less those that the transport has to decide.

    Raises:
        InferenceError: gRPC cannot carry one.
    """
    found = []
    for name, value in fields.items():
        lower = name.lower().encode("utf-8", "replace")
        if lower in _OURS or lower.startswith(b"grpc-"):
            continue
        if not lower or not _NAME.issuperset(lower) or not value.isascii() or not value.isprintable():
            raise InferenceError(f"the header {name!r} cannot be sent as gRPC metadata: {value!r}")
        found.append((lower, value.encode()))
    return found
