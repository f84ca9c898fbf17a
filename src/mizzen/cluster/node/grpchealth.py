"""One call of ``grpc.health.v1.Health/Check``: as much of gRPC as a probe needs, on ``h2``.

The two messages are one field each, so they are written and read here instead of by generated code.
"""

from __future__ import annotations

import asyncio
import struct

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

_PATH = "/grpc.health.v1.Health/Check"
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_UNIMPLEMENTED = "12"
# The place of a frame's type in its header, and the type of the frame with which every HTTP/2 server begins.
_TYPE, _SETTINGS = 3, 4
_LARGEST = 64 * 1024
_BLOCK = 16 * 1024


class Unhealthy(Exception):
    """The server answered, and is not serving; or it did not answer as a gRPC server does."""


async def check(host: str, port: int, service: str, timeout: float) -> None:
    """Ask a server whether ``service`` (empty: all of it) is serving.

    Raises:
        Unhealthy: it says no, or nothing that is gRPC.
        OSError: there is no connection.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        call = _Call(f"{host}:{port}", service, timeout)
        writer.write(call.start())
        while not call.done:
            data = await reader.read(_BLOCK)
            if not data:
                raise Unhealthy("the server closed the connection before it answered")
            writer.write(call.receive(data))
        call.verdict()
    except h2.exceptions.ProtocolError as error:
        raise Unhealthy(f"the server does not speak gRPC: {error}") from error
    finally:
        writer.close()


class _Call:
    """The protocol of one call, without its socket."""

    def __init__(self, authority: str, service: str, timeout: float) -> None:
        self.done = False
        self._is_http2 = False
        self._authority = authority
        self._timeout = timeout
        self._request = _framed(_field(service))
        self._answer = b""
        self._headers: dict[str, str] = {}
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))

    def start(self) -> bytes:
        connection = self._connection
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        connection.send_headers(
            stream,
            [
                (":method", "POST"),
                (":scheme", "http"),
                (":path", _PATH),
                (":authority", self._authority),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "kube-probe/mizzen"),
                ("grpc-timeout", f"{max(1, int(self._timeout * 1000))}m"),
            ],
        )
        connection.send_data(stream, self._request, end_stream=True)
        return connection.data_to_send()

    def receive(self, data: bytes) -> bytes:
        """Take in what came; returns what is to be sent."""
        if not self._is_http2:
            # Of HTTP/1 the library would take the beginning for a long frame, and wait for the rest.
            if len(data) > _TYPE and data[_TYPE] != _SETTINGS:
                raise Unhealthy("the server does not speak gRPC: its first words are not those of HTTP/2")
            self._is_http2 = True
        for event in self._connection.receive_data(data):
            match event:
                case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                    self._headers |= {str(name): str(value) for name, value in event.headers or ()}
                case h2.events.DataReceived():
                    self._answer += event.data or b""
                    if len(self._answer) > _LARGEST:
                        raise Unhealthy("the server's answer is too large for a health check")
                    self._connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id or 0)
                case h2.events.StreamReset():
                    raise Unhealthy(f"the server broke the call off (HTTP/2 error {event.error_code})")
                case h2.events.StreamEnded() | h2.events.ConnectionTerminated():
                    self.done = True
        return self._connection.data_to_send()

    def verdict(self) -> None:
        """Raises :class:`Unhealthy` unless the answer is SERVING."""
        code = self._headers.get("grpc-status")
        if code is None and self._headers.get(":status") != "200":
            raise Unhealthy(f"the server does not speak gRPC: HTTP status {self._headers.get(':status', 'none')}")
        if code == _UNIMPLEMENTED:
            raise Unhealthy("this server does not implement the grpc health protocol (grpc.health.v1.Health)")
        if code not in (None, "0"):
            raise Unhealthy(f"the call failed with gRPC status {code}: {self._headers.get('grpc-message', '')}")
        status = _status(self._answer)
        if status != _SERVING:
            raise Unhealthy(f"service unhealthy (responded with {_STATUSES.get(status, str(status))})")


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
