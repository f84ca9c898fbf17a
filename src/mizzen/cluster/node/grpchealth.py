"""One call of ``grpc.health.v1.Health/Check``: as much of gRPC as a probe needs, over our own HTTP/2.

The connection is the call's own, since a probe is to find out whether the server takes connections. The two messages
are one field each, so they are written and read here instead of by generated code.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping
from urllib.parse import unquote

from mizzen.http.errors import ConnectFailed, HttpError, Malformed, Reset
from mizzen.http.headers import Headers
from mizzen.http.http2.blocks import encode_fields
from mizzen.http.http2.call import Call
from mizzen.http.http2.upstream import Http2Upstream

_PATH = b"/grpc.health.v1.Health/Check"
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_UNIMPLEMENTED = "12"
_LARGEST = 64 * 1024


class Unhealthy(Exception):
    """The server answered, and is not serving; or it did not answer as a gRPC server does."""


async def check(host: str, port: int, service: str, timeout: float) -> None:
    """Ask a server whether ``service`` (empty: all of it) is serving.

    Raises:
        Unhealthy: it says no, or nothing that is gRPC.
        OSError: there is no connection.
    """
    loop = asyncio.get_running_loop()
    _, upstream = await loop.create_connection(lambda: Http2Upstream(_nothing, _nothing), host, port)
    try:
        async with upstream.call(b"POST", _head(f"{host}:{port}", timeout), _framed(_field(service))) as call:
            answer = await _answer(call)
            _judge(call.status, dict(call.headers + call.trailers), answer)
    except HttpError as error:
        raise Unhealthy(_words(error, upstream)) from error
    finally:
        upstream.close()


def _nothing(_: object) -> None:
    """Nobody else waits for the connection."""


def _head(authority: str, timeout: float) -> bytes:
    fields: Headers = [
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", _PATH),
        (b":authority", authority.encode()),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        (b"user-agent", b"kube-probe/mizzen"),
        (b"grpc-timeout", b"%dm" % max(1, int(timeout * 1000))),
    ]
    return encode_fields(fields)


async def _answer(call: Call) -> bytes:
    await call.head()
    answer = b""
    while piece := await call.piece():
        answer += piece
        if len(answer) > _LARGEST:
            raise Unhealthy("the server's answer is too large for a health check")
    return answer


def _words(error: HttpError, upstream: Http2Upstream) -> str:
    if isinstance(error, Reset):
        return f"the server broke the call off (HTTP/2 error {error.code})"
    if isinstance(error, ConnectFailed):
        return f"the server did not take the call: {error}"
    if not isinstance(error, Malformed):
        return "the server closed the connection before it answered"
    if upstream.new:
        return "the server does not speak gRPC: its first words are not those of HTTP/2"
    return f"the server does not speak gRPC: {error}"


def _judge(http: int, fields: Mapping[bytes, bytes], answer: bytes) -> None:
    """Raises :class:`Unhealthy` unless the answer is SERVING."""
    code = _text(fields.get(b"grpc-status"))
    if code is None and http != 200:
        raise Unhealthy(f"the server does not speak gRPC: HTTP status {http}")
    if code == _UNIMPLEMENTED:
        raise Unhealthy("this server does not implement the grpc health protocol (grpc.health.v1.Health)")
    if code not in (None, "0"):
        message = unquote(_text(fields.get(b"grpc-message")) or "")
        raise Unhealthy(f"the call failed with gRPC status {code}: {message}")
    status = _status(answer)
    if status != _SERVING:
        raise Unhealthy(f"service unhealthy (responded with {_STATUSES.get(status, str(status))})")


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def _framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def _field(service: str) -> bytes:
    """``HealthCheckRequest``: the service's name as field 1."""
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 127:
        encoded.append(number & 127 | 128)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _status(answer: bytes) -> int:
    """The status in a framed ``HealthCheckResponse``; 0, which is not sent, means unknown."""
    if len(answer) < 5:
        raise Unhealthy("the server's answer is empty")
    compressed, length = struct.unpack(">BI", answer[:5])
    message = answer[5 : 5 + length]
    if compressed:
        raise Unhealthy("the server compressed its answer, though it was not asked to")
    if not message:
        return 0
    if message[0] != 0x08 or len(message) < 2:
        raise Unhealthy("the server's answer is no HealthCheckResponse")
    return message[1]
